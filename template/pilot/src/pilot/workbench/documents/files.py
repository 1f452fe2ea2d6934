"""Adds blank documents, and finds those that cannot be read. What they say is the gates' matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pilot.charter import CHARTER, OBJECTIVES, read_charter, read_objectives
from pilot.contract import PilotError
from pilot.frontmatter import Issue, Unreadable
from pilot.workbench.documents import baseline, candidates, costs, gaps, interviews, operations
from pilot.workbench.documents.operations import BLANK

RULE = "papers-readable"
_READERS: dict[Path, Callable[[Path], object]] = {
    CHARTER: read_charter,
    baseline.BASELINE: baseline.read_all,
    costs.COSTS: costs.read,
    OBJECTIVES: read_objectives,
}


def names() -> list[str]:
    """The documents that can be added, as they are named below `phases/`."""
    return sorted(file.relative_to(BLANK).as_posix() for file in BLANK.rglob("*") if file.is_file())


def add(root: Path, name: str) -> Path:
    """Adds a blank document to the pilot in `root` and returns its file. `name` is its path below `phases/` or the last
    part of that, with or without the suffix.

    Raises PilotError where no document or several have that name, and where the pilot has it already.
    """
    wanted = name.removeprefix("phases/")
    found = [known for known in names() if _means(wanted, Path(known))]
    if len(found) != 1:
        which = "There are several documents of the name" if found else "There is no document"
        raise PilotError(f"{which} {name!r}. Name one of: {', '.join(found or names())}.")
    file = root / "phases" / found[0]
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("xb") as stream:
            stream.write((BLANK / found[0]).read_bytes())
    except FileExistsError:
        raise PilotError(f"phases/{found[0]} is there already, and stays as it is.") from None
    return file


def unreadable(root: Path) -> list[Issue]:
    """What cannot be read in the documents of the pilot in `root`: wrong YAML, TOML or CSV, and facts that break their
    schema. An empty document can be read, and one that is missing is no mistake of form."""
    readers = {**_READERS, **{kind.file: _operations(name) for name, kind in operations.DOCUMENTS.items()}}
    found: list[Issue] = []
    for file, read in readers.items():
        try:
            if (root / file).is_file():
                read(root)
        except Unreadable as error:
            found += error.issues
        except PilotError as error:
            found.append(Issue(file.as_posix(), None, "cannot be read.", str(error)))
    found += candidates.read(root).unreadable
    found += interviews.read(root).unreadable
    found += gaps.listed_in(root).unreadable
    return [replace(issue, rule=RULE) for issue in found]


def _operations(name: str) -> Callable[[Path], object]:
    return lambda root: operations.read(root, name)


def _means(wanted: str, known: Path) -> bool:
    return wanted in (known.as_posix(), known.with_suffix("").as_posix(), known.name, known.stem)
