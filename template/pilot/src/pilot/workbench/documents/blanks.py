"""Blank papers: what a team that began with an earlier version adds to its own."""

from __future__ import annotations

from pathlib import Path

from pilot.contract import PilotError

BLANK = Path(__file__).parent / "blank"


def names() -> list[str]:
    """The papers that can be added, as they are named below `phases/`."""
    return sorted(file.relative_to(BLANK).as_posix() for file in BLANK.rglob("*") if file.is_file())


def add(root: Path, name: str) -> Path:
    """Adds a paper to the pilot in `root` and gives its file. `name` is its path below `phases/`, or its last part,
    with or without the suffix.

    Raises PilotError where no paper or several have that name, and where the pilot has it already.
    """
    wanted = name.removeprefix("phases/")
    found = [known for known in names() if _means(wanted, Path(known))]
    if len(found) != 1:
        which = "There are several papers of the name" if found else "There is no paper"
        raise PilotError(f"{which} {name!r}. Name one of: {', '.join(found or names())}.")
    file = root / "phases" / found[0]
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("xb") as stream:
            stream.write((BLANK / found[0]).read_bytes())
    except FileExistsError:
        raise PilotError(f"phases/{found[0]} is there already, and stays as it is.") from None
    return file


def _means(wanted: str, known: Path) -> bool:
    return wanted in (known.as_posix(), known.with_suffix("").as_posix(), known.name, known.stem)
