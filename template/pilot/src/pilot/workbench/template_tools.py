"""The template behind a pilot: where it came from, what was edited of its files, what is new in it, and the update.

An update by Copier may leave conflicts and end well, so what it did is looked at here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
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
            f"{ANSWERS} has no _commit or _src_path. Get it back from git's history. If it never had them, the pilot "
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
            ["git", "-c", "color.ui=never", *words],  # noqa: S607 (git is where the user has it)
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


def same(one: Path, other: Path) -> bool:
    """Whether two files are there and hold the same, line ends aside: a checkout may have written those otherwise."""
    return one.is_file() and other.is_file() and _unified(one) == _unified(other)


def patch(root: Path, render: Path, path: str) -> str:
    """What makes a file of the pilot in `root` that of the render; empty where they are the same.

    `git apply` makes it so, also where the file is missing on one side or the pilot is a folder of a larger repository.
    """
    above = git(root, "rev-parse", "--show-prefix", accept=(0, 128)).strip()
    with TemporaryDirectory(prefix="pilot-patch-") as folder:
        sides = []
        for side, source in (("a", root / path), ("b", render / path)):
            copy = Path(folder) / side / above / path
            there = source.is_file() or source.is_symlink()
            if there:
                copy.parent.mkdir(parents=True)
                shutil.copy(source, copy, follow_symlinks=False)
            sides.append(f"{side}/{above}{path}" if there else "/dev/null")
        if sides == ["/dev/null", "/dev/null"]:
            return ""
        words = ("diff", "--no-index", "--no-prefix", "--no-ext-diff", "--no-textconv", "--no-color", "--binary")
        return git(Path(folder), "-c", "core.quotepath=off", *words, "--", *sides, accept=(0, 1))


def _unified(file: Path) -> bytes:
    return file.read_bytes().replace(b"\r\n", b"\n")


# git writes seven of each, and a label behind a blank. The middle line, =======, also underlines headings.
MARKERS = r"^(<{7}|>{7}|\|{7})([[:space:]]|$)"
# All but what the team has said is in order as it is, as in ci/files.sh.
LOOKED_AT = ":(attr:!ci-keep)."


def conflicts(root: Path) -> list[str]:
    """The lines with conflict markers and the files of rejected hunks below `root`, as `file:line: text`.

    Looks at what git tracks and at files that are new; rejected hunks count even where git ignores them. Files that
    an attribute calls binary count too: Copier writes its markers there all the same.
    Raises PilotError outside of a git repository.
    """
    # Exit code 1 says that nothing was found.
    quoted = ("-c", "core.quotepath=off")
    lines = git(
        root, *quoted, "grep", "-naE", "--no-color", "--untracked", "-e", MARKERS, "--", LOOKED_AT, accept=(0, 1)
    )
    rejected = git(root, *quoted, "ls-files", "--cached", "--others", "--", "*.rej").splitlines()
    found = [line.replace(":", ": ", 2).replace(": ", ":", 1) for line in lines.splitlines()]
    return [*found, *(f"{path}: hunks of a patch that were rejected" for path in sorted({*rejected}))]


WRAPPER = "pilot/"
IN_THE_WRAPPER = "Extend the wrapper from outside: by code in src/, libraries in pyproject.toml, tests in tests/."
POINT = re.compile(r'[Ee]xtension points?: (.+?\.)(?:[\s"]|$)')


@dataclass(frozen=True)
class Edit:
    """A managed file that is not as it was shipped: what became of it, its path, and where its change belongs."""

    what: str
    path: str
    belongs: str


@dataclass(frozen=True)
class Edits:
    """How many files the template owns, what is wrong with them, and the team's own files beside them."""

    managed: int
    found: list[Edit]
    beside: list[str]


def edits(root: Path, shipped: Render) -> Edits:
    """Compares the managed files of the pilot in `root` with a render of its own version.

    The answers are Copier's to write, and are left out. A file that was added is wrong in the wrapper, which is one
    package; elsewhere it is an extension, such as a runbook page of the team's.
    """
    managed = [path for path in shipped.owned("managed") if path != ANSWERS]
    found = []
    for path in managed:
        if (root / path).is_symlink() or not same(root / path, shipped.folder / path):
            what = "edited" if (root / path).is_file() else "missing"
            found.append(Edit(what, path, where_it_belongs(shipped.folder / path, path)))
    here = files(root)
    made = {*shipped.match("generated", here), *managed, ANSWERS}
    added = [path for path in shipped.match("managed", here) if path not in made]
    found += [Edit("added", path, IN_THE_WRAPPER) for path in added if path.startswith(WRAPPER)]
    return Edits(len(managed), found, [path for path in added if not path.startswith(WRAPPER)])


def where_it_belongs(file: Path, path: str) -> str:
    """Where a change of a managed file belongs: what its first lines name as its extension point."""
    if path.startswith(WRAPPER):
        return IN_THE_WRAPPER
    lines = file.read_text(encoding="utf-8", errors="replace")[:1000].splitlines()
    head = " ".join(" ".join(line.strip().lstrip("#/*<!-").split()) for line in lines)
    found = POINT.search(head)
    return f"Extension point: {found[1]}" if found else "Put it back; its own page or README says where to extend it."


DOCUMENTS = "phases/"
# Where a version of the wrapper keeps the documents that it can add.
BLANK = Path("pilot/src/pilot/workbench/documents/blank")


@dataclass(frozen=True)
class Seed:
    """A file of the team's that a new pilot would get otherwise, or that it has and this one has not."""

    path: str
    # "new": the pilot's version did not render it, and it is not here. "changed": the template changed it since the
    # pilot's version. "absent" and "differs": it did not, so that the team deleted or edited it, or an earlier version.
    what: str
    added: int
    removed: int
    # How `pilot paper add` calls it, where it is one of those documents.
    paper: str | None


def seeds(root: Path, then: Render, now: Render) -> list[Seed]:
    """The seeds of the newest version that are not in the pilot in `root` as they are in it, the news first.

    `then` is a render of the pilot's version and `now` one of the newest.
    """
    found = []
    for path in now.owned("seed"):
        if same(root / path, now.folder / path):
            continue
        here = (root / path).is_file()
        if same(then.folder / path, now.folder / path):
            what = "differs" if here else "absent"
        else:
            what = "changed" if here or (then.folder / path).is_file() else "new"
        paper = path.removeprefix(DOCUMENTS) if path.startswith(DOCUMENTS) and not here else None
        if paper is not None and not (now.folder / BLANK / paper).is_file():
            paper = None
        found.append(Seed(path, what, *_lines(patch(root, now.folder, path)), paper))
    order = ("new", "changed", "absent", "differs")
    return sorted(found, key=lambda seed: (order.index(seed.what), seed.path))


@dataclass(frozen=True)
class Defaulted:
    """A question that the pilot was never asked: its name, the default that answers it, and its wording."""

    name: str
    answer: Any
    wording: str

    def __str__(self) -> str:
        return f"New question, answered by its default: {self.name} = {self.answer!r}. {self.wording}".rstrip()


def questions(before: dict[str, Any], after: dict[str, Any], config: dict[str, Any]) -> list[Defaulted]:
    """What a version of the template, whose copier.yml is `config`, asks beyond the answers `before`, with the answers
    `after`."""
    new = (name for name in after if name not in before and not name.startswith("_"))
    return [
        Defaulted(name, after[name], " ".join(str((config.get(name) or {}).get("help", "")).split())) for name in new
    ]


def changes(origin: Origin, since: str, until: str) -> str:
    """The sections of the template's changelog for the versions after `since`, up to `until`; empty where there are
    none, or no changelog.

    A version that was never released (`v0.1.0-3-g1234567`) counts as the release before it.
    """
    try:
        return sections(origin.text(until, "CHANGELOG.md"), since, until)
    except PilotError:
        return ""


def sections(changelog: str, since: str, until: str) -> str:
    """Those of a changelog whose headings, such as `## 0.2.0 (2026-11-25)`, name a version after `since`, up to
    `until`."""
    parts = ("\n" + changelog).split("\n## ")[1:]
    low, high = number(since), number(until)
    return "\n\n".join(f"## {part.strip()}" for part in parts if low < number(part) <= high)


def number(version: str) -> tuple[int, ...]:
    """`v0.2.0` as (0, 2, 0); what is no version comes before all."""
    words = version.split()[0].removeprefix("v").split("-")[0].split(".")[:3] if version.split() else []
    return tuple(map(int, takewhile(str.isdecimal, words)))


def _lines(difference: str) -> tuple[int, int]:
    """How many lines a patch adds and removes."""
    body = difference.partition("\n@@")[2].splitlines()[1:]
    return sum(line.startswith("+") for line in body), sum(line.startswith("-") for line in body)


# What a pilot runs after its files are new.
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
    defaulted: list[Defaulted]
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


def update(root: Path, origin: Origin) -> Updated:
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
        edited = sum(edit.what != "added" for edit in edits(root, now).found)
    after = answers(root)
    version = str(after["_commit"])
    return Updated(
        origin.version,
        version,
        [line[3:] for line in _changed(root)],
        questions(before, after, origin.config(version)),
        changes(origin, origin.version, version),
        [
            f"{path}: you edited it, and the template's version took its place. Yours: git show HEAD:./{path}"
            if (root / path).is_file()
            else f"{path}: you edited it, and the template has removed it. Yours: git show HEAD:./{path}"
            for path in lost
        ],
        edited,
    )


def prove(root: Path, tell: Callable[[str], None]) -> list[str]:
    """Locks and installs, lints and tests. Returns the commands that are left, first the one that failed; none where
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
