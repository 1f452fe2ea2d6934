"""An update by Copier that nobody has to look after: it refuses, or it says what is left to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pilot.contract import PilotError
from pilot.template import markers, news
from pilot.template.origin import Origin, answers, git, library, said

# What a pilot runs after its files are new. The team's tests alone: the wrapper's take minutes, and run in CI.
STEPS = ("uv sync", "uv run ruff check", "uv run pytest -q tests")
# What changes an answer within the version that is there.
AGAIN = "uv run copier update --defaults --vcs-ref :current: --data"
# All was committed before, so this loses nothing of the team's.
UNDO = "git restore --staged --worktree . && git clean -d --force ."


@dataclass(frozen=True)
class Updated:
    """What an update did: the versions before and after, the paths that changed, the questions that had no answer
    before, and the changelog of the versions passed."""

    before: str
    after: str
    paths: list[str]
    defaulted: list[news.Defaulted]
    changelog: str


def refuse_unsaved(root: Path) -> None:
    """Raises PilotError where the pilot is in no git repository, has changes that are not committed, or conflicts of
    an earlier update, which Copier stumbles over."""
    try:
        git(root, "rev-parse", "--show-toplevel")
    except PilotError as error:
        raise PilotError(
            f"{root} is in no git repository, where an update could be looked at and undone. Make one: git init && "
            f"git add -A && git commit -m 'Begin the pilot'. ({error})"
        ) from error
    changed = _changed(root)
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise PilotError(
            "There are changes that are not committed, and an update would mix with them. Commit or stash them first:"
            + "".join(f"\n  {line}" for line in changed[:5])
            + more
        )
    left = conflicts(root)
    if left:
        raise PilotError("\n  ".join(["An earlier update or merge left conflicts. Resolve them first:", *left]))


def run(root: Path, origin: Origin) -> Updated:
    """Brings the pilot in `root` to the newest version of its template, without trust.

    It may leave conflicts, which Copier takes for a success: `conflicts` lists them. Raises PilotError where Copier
    refuses or fails.
    """
    from jinja2 import TemplateError

    copier, settings = library()
    before = answers(root)
    try:
        copier.run_update(root, settings=settings, defaults=True, overwrite=True, quiet=True)
    except (copier.errors.CopierError, TemplateError, ValueError, OSError) as error:
        left = f" It left changes behind: git status shows them, and this undoes them: {UNDO}" if _changed(root) else ""
        raise PilotError(f"Copier cannot update the pilot: {said(error)}{left}") from error
    after = answers(root)
    version = str(after["_commit"])
    return Updated(
        origin.version,
        version,
        [line[3:] for line in _changed(root)],
        news.questions(before, after, origin.config(version)),
        news.changes(origin, origin.version, version),
    )


def conflicts(root: Path) -> list[str]:
    """What an update left to be resolved by hand in `root`."""
    return markers.look(root, everything=True)


def prove(root: Path, tell: Callable[[str], None]) -> list[str]:
    """Locks and installs, lints and tests. Gives the commands that are left, the one that failed first, and none where
    all went well."""
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    for place, step in enumerate(STEPS):
        tell(f"{place + 1}/{len(STEPS)}  {step}")
        try:
            done = subprocess.run([uv, *step.split()[1:]], cwd=root)  # noqa: S603 (our own commands)
        except FileNotFoundError:
            tell("uv is not on the PATH. Install it, or name it in the variable UV.")
            return [*STEPS[place:]]
        if done.returncode != 0:
            return [*STEPS[place:]]
    return []


def _changed(root: Path) -> list[str]:
    words = ("status", "--porcelain", "--untracked-files=all", "--", ".")
    return git(root, "-c", "core.quotepath=off", *words).splitlines()
