"""An update by Copier that nobody has to look after: it refuses, or it says what is left to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pilot.contract import PilotError
from pilot.workbench.template_tools import check, markers, news
from pilot.workbench.template_tools.compare import same
from pilot.workbench.template_tools.origin import ANSWERS, Origin, Render, answers, git, library, said

# What a pilot runs after its files are new. The team's tests alone: the wrapper's take minutes, and run in CI.
STEPS = ("uv sync", "uv run ruff check", "uv run pytest -q tests")
# What changes an answer within the version that is there.
AGAIN = "uv run copier update --defaults --vcs-ref :current: --data"
# All was committed before, so this loses nothing of the team's.
UNDO = "git restore --staged --worktree . && git clean -d --force ."


@dataclass(frozen=True)
class Updated:
    """What an update did: the versions before and after, the paths that changed, the questions that had no answer
    before, the changelog of the versions passed, the team's edits of the template's files that did not survive it, and
    how many of these files are not as the new version ships them."""

    before: str
    after: str
    paths: list[str]
    defaulted: list[news.Defaulted]
    changelog: str
    lost: list[str]
    edited: int


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
    refuses or fails, and where it would replace a file that git does not keep.
    """
    copier, settings = library()
    before = answers(root)
    with TemporaryDirectory(prefix="pilot-") as folder:
        then = origin.render(Path(folder) / "then", origin.version)
        now = origin.render(Path(folder) / "now")
        ours = _ours(root, then, now)
        _refuse_ignored(root, ours)
        try:
            copier.run_update(root, settings=settings, defaults=True, overwrite=True, quiet=True)
        except Exception as error:  # Of whichever of its libraries: a half of an update is no place for a traceback.
            left = f" It left changes behind: git status shows them, and this undoes them: {UNDO}"
            raise PilotError(
                f"Copier cannot update the pilot: {said(error)}{left if _changed(root) else ''}"
            ) from error
        lost = [path for path in ours if not os.path.lexists(root / path) or same(root / path, now.folder / path)]
        edited = sum(finding.what != "added" for finding in check.look(root, now).findings)
    after = answers(root)
    version = str(after["_commit"])
    return Updated(
        origin.version,
        version,
        [line[3:] for line in _changed(root)],
        news.questions(before, after, origin.config(version)),
        news.changes(origin, origin.version, version),
        [
            f"{path}: you edited it, and the template's version took its place. Yours: git show HEAD:./{path}"
            if (root / path).is_file()
            else f"{path}: you edited it, and the template has removed it. Yours: git show HEAD:./{path}"
            for path in lost
        ],
        edited,
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
        except OSError as error:
            tell(f"uv cannot be run. Install it, or name it in the variable UV. ({said(error)})")
            return [*STEPS[place:]]
        if done.returncode != 0:
            return [*STEPS[place:]]
    return []


def _ours(root: Path, then: Render, now: Render) -> list[str]:
    """The template's files, of either version, that are here and as neither of them has them."""
    managed = sorted({*then.owned("managed"), *now.owned("managed")} - {ANSWERS})
    return [
        path
        for path in managed
        if (root / path).is_file() and not any(same(root / path, render.folder / path) for render in (then, now))
    ]


def _refuse_ignored(root: Path, ours: list[str]) -> None:
    ignored = git(root, "check-ignore", "--", *ours, accept=(0, 1)).splitlines() if ours else []
    if ignored:
        raise PilotError(
            "git ignores these files, and the update would replace them for good. Commit them (git add --force) or "
            "move them away first:" + "".join(f"\n  {path}" for path in ignored)
        )


def _changed(root: Path) -> list[str]:
    words = ("status", "--porcelain", "--untracked-files=all", "--", ".")
    return git(root, "-c", "core.quotepath=off", *words).splitlines()
