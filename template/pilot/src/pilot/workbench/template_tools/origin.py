"""Where the pilot came from: a copy of the template's repository, and what each version of it renders."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from pilot.contract import PilotError

ANSWERS = ".copier-answers.yml"
# What Copier knows as short forms of addresses.
SHORT = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/"}


@dataclass(frozen=True)
class Render:
    """What one version of the template renders with the pilot's answers."""

    folder: Path
    version: str
    config: dict[str, Any]

    def owned(self, kind: str) -> list[str]:
        """The rendered paths of a class of owners, `managed` or `seed`."""
        return self.match(kind, files(self.folder))

    def match(self, kind: str, paths: list[str]) -> list[str]:
        """Those of the paths that a class of owners has: `managed`, `seed` or `generated`.

        Raises PilotError where this version does not say who owns what.
        """
        from pathspec import GitIgnoreSpec

        try:
            lines = self.config["_ownership"][kind].splitlines()
        except (KeyError, TypeError, AttributeError):
            raise PilotError(
                f"copier.yml of {self.version} lists no paths that are {kind}. Is this the template of the pilot?"
            ) from None
        # In copier.yml the seeds stand between the lines of a condition, because only updates leave them out.
        spec = GitIgnoreSpec.from_lines(line for line in lines if not line.startswith("{%"))
        return sorted(spec.match_files(paths))


@dataclass(frozen=True)
class Origin:
    """The template of a pilot: its address, the version that the pilot has, and a clone of its repository."""

    clone: Path
    address: str
    answers: dict[str, Any]

    @property
    def version(self) -> str:
        return str(self.answers["_commit"])

    def render(self, folder: Path, version: str | None = None) -> Render:
        """Renders a version into a new folder, the newest one where none is given. Never trusts the template.

        Raises PilotError where Copier is not installed, and where it cannot render that version with these answers.
        """
        from jinja2 import TemplateError

        copier, settings = library()
        known = {name: answer for name, answer in self.answers.items() if not name.startswith("_")}
        try:
            copier.run_copy(
                str(self.clone), folder, known, vcs_ref=version, settings=settings, defaults=True, quiet=True
            )
        except (copier.errors.CopierError, TemplateError, ValueError, OSError) as error:
            raise PilotError(
                f"{version or 'The newest version'} of {self.address} cannot be rendered with the answers in "
                f"{ANSWERS}: {said(error)}"
            ) from error
        found = str(answers(folder)["_commit"])
        return Render(folder, found, self.config(found))

    def past(self, version: str) -> bool:
        """Whether the pilot's version has all that another has, such as that of a release before it."""
        try:
            git(self.clone, "merge-base", "--is-ancestor", version, self.version)
        except PilotError:
            return False
        return True

    def config(self, version: str) -> dict[str, Any]:
        """copier.yml as a version has it."""
        found = yaml.safe_load(self.text(version, "copier.yml"))
        return found if isinstance(found, dict) else {}

    def text(self, version: str, path: str) -> str:
        """A file of the template's repository in a version."""
        return git(self.clone, "show", "--end-of-options", f"{version}:{path}")


@contextmanager
def fetched(root: Path) -> Iterator[Origin]:
    """The template of the pilot in `root`, cloned for as long as the context lasts.

    Raises PilotError where the answers do not name one that every machine finds, and where it cannot be reached.
    """
    known = answers(root)
    url = address(str(known["_src_path"]))
    shown = without_password(url)
    with TemporaryDirectory(prefix="pilot-template-", ignore_cleanup_errors=True) as folder:
        try:
            git(Path(folder), "clone", "--quiet", "--", url, "clone")
        except PilotError as error:
            raise PilotError(
                f"The template at {shown} cannot be reached. Check your network, your access to it, and _src_path in "
                f"{ANSWERS}. {error}"
            ) from error
        yield Origin(Path(folder) / "clone", shown, known)


def answers(root: Path) -> dict[str, Any]:
    """What the template asked and recorded of the pilot in `root`. Raises PilotError where that cannot be read."""
    try:
        found = yaml.safe_load((root / ANSWERS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PilotError(
            f"There is no {ANSWERS} in {root}, which says where the pilot came from. Get it back from git's history."
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PilotError(f"{ANSWERS} cannot be read: {said(error)} Get it back from git's history.") from error
    if not isinstance(found, dict) or not (found.get("_commit") and found.get("_src_path")):
        raise PilotError(
            f"{ANSWERS} lacks _commit or _src_path. Get it back from git's history. If it never had them, the pilot "
            "was not made from a version of a git repository: render it again from the template's own address."
        )
    return found


def address(source: str) -> str:
    """The address that git understands of a `_src_path`. Raises PilotError where it is relative to some folder."""
    for short, whole in SHORT.items():
        if source.startswith(short):
            return f"{whole}{source.removeprefix(short).strip('/').removesuffix('.git')}.git"
    source = os.path.expanduser(source.removeprefix("git+"))
    if not os.path.isabs(source) and not re.match(r"[\w.+@-]+:", source):
        raise PilotError(
            f"_src_path in {ANSWERS} is the relative path {source}, which is found from one folder of one machine. "
            "Write the template's address or its absolute path there, and commit that."
        )
    return source


def library() -> tuple[Any, Any]:
    """Copier, and settings that trust nothing, whatever the user's own say. Raises PilotError where it is missing."""
    try:
        import copier
        import copier.errors
    except ImportError as error:
        raise PilotError(
            "Copier is not installed here. Run `uv sync`, which installs it, and run this again."
        ) from error
    return copier, copier.Settings()


def git(folder: Path, *words: str, accept: tuple[int, ...] = (0,)) -> str:
    """What git prints in a folder. Raises PilotError with its own words where it fails, or is not there."""
    quiet = {} if sys.stdin is not None and sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}
    # A server that says nothing for so long never will. git itself waits for ever.
    patience = {"GIT_HTTP_LOW_SPEED_LIMIT": "1", "GIT_HTTP_LOW_SPEED_TIME": "30"}
    try:
        done = subprocess.run(  # noqa: S603 (a fixed program, without a shell)
            ["git", *words],  # noqa: S607 (git is where the user has it)
            cwd=folder,
            env={**patience, **os.environ, **quiet},
            capture_output=True,
        )
    except FileNotFoundError:
        raise PilotError("git is not on the PATH. Install git and run this again.") from None
    # Not as text, which would change the line ends of a patch.
    out, notes = (said.decode("utf-8", "surrogateescape") for said in (done.stdout, done.stderr))
    if done.returncode not in accept:
        raise PilotError(f"git says: {without_password((notes or out).strip()) or done.returncode}")
    return out


def files(folder: Path) -> list[str]:
    """Every file below a folder, links included, as paths relative to it, without git's own and environments."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in (".git", ".venv"))
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in sorted(names)]
    return found


def without_password(text: str) -> str:
    """A text whose addresses name neither user nor password."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


def said(error: Exception) -> str:
    """An error of a library as one sentence, without passwords."""
    words = " ".join(without_password(str(getattr(error, "stderr", None) or error)).split()) or type(error).__name__
    return words if words.endswith((".", "!", "?")) else f"{words}."
