"""The documents of a pilot as files: the model of each, whether they can be read, and blank ones to add."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from pilot.charter import CHARTER, OBJECTIVES, Charter, Objectives
from pilot.contract import PilotError
from pilot.frontmatter import Issue, Unreadable, parse, parse_table, parse_toml, text_of
from pilot.workbench.documents import baseline, candidates, costs, gaps, interviews, operations
from pilot.workbench.documents.operations import BLANK

# The model of the front matter or of the TOML of each document, and of the rows of each table.
MODELS: dict[Path, type[BaseModel]] = {
    CHARTER: Charter,
    candidates.CANDIDATES: candidates.Candidate,
    OBJECTIVES: Objectives,
    costs.COSTS: costs.Costs,
    gaps.GAPS: gaps.Row,
    **{kind.file: kind for kind in operations.DOCUMENTS.values()},
}


def unreadable(root: Path) -> list[Issue]:
    """What cannot be read in the documents of the pilot in `root`: wrong YAML, TOML or CSV, and facts that break their
    schema. An empty document can be read, and a missing one is not looked at."""
    talks = sorted(path.relative_to(root) for path in (root / interviews.INTERVIEWS).glob("*.md"))
    found: list[Issue] = []
    models: dict[Path, type[BaseModel]] = {**MODELS, **dict.fromkeys(talks, interviews.Answers)}
    for file, model in models.items():
        try:
            if (root / file).is_file():
                found += _issues(model, text_of(root, file), file)
        except Unreadable as error:
            found += error.issues
    # A row without its score or its evidence cannot be ranked.
    known = {(issue.file, issue.line, issue.what) for issue in found}
    rows = (issue for issue in candidates.read(root).issues if issue.rule == candidates.SCORED and issue.line)
    found += [issue for issue in rows if (issue.file, issue.line, issue.what) not in known]
    try:
        baseline.read_all(root)
    except Unreadable as error:
        found += error.issues
    except PilotError as error:
        found.append(Issue(baseline.BASELINE.as_posix(), None, "cannot be read.", str(error)))
    return found


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


def _issues(model: type[BaseModel], text: str, file: Path) -> list[Issue]:
    """The issues of the rows of a table. Raises Unreadable where the document as a whole cannot be read."""
    if file.suffix == ".csv":
        return parse_table(model, text, file)[1]
    (parse_toml if file.suffix == ".toml" else parse)(model, text, file)
    return []


def _means(wanted: str, known: Path) -> bool:
    return wanted in (known.as_posix(), known.with_suffix("").as_posix(), known.name, known.stem)
