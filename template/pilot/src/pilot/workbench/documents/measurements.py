"""One item of today's process as it was measured, and the file of them."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pilot.contract import PilotError
from pilot.records.rows import Row, read_rows

MEASURES = ("seconds", "correct", "cost", "touches")
_FIXES = {
    "id": "give each item its own id of 1 to 200 characters",
    "measured_on": "write the day of the measurement as 2026-11-23",
    "measured_by": "name who measured, in 1 to 200 characters",
    "seconds": "write a number of 0 or more such as 540 or 12.5, or leave it empty",
    "correct": "write yes or no, or leave it empty",
    "cost": "write a number of 0 or more such as 4.20, or leave it empty",
    "touches": "write a whole number of 0 or more, or leave it empty",
}


def _known(value: Any) -> Any:
    """An empty cell is not known."""
    return None if isinstance(value, str) and not value.strip() else value


def _day(value: Any) -> Any:
    """A day as people write it; a bare number is not read as seconds since 1970."""
    return date.fromisoformat(value.strip()) if isinstance(value, str) else None


Name = Annotated[str, Field(min_length=1, max_length=200)]
Amount = Annotated[float | None, Field(ge=0, allow_inf_nan=False), BeforeValidator(_known)]


class Measurement(BaseModel):
    """One item: `seconds` from its arrival to the final decision, whether that was `correct`, its `cost` in the
    charter's currency, and the `touches`, which are actions of persons. None is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, coerce_numbers_to_str=True)

    id: Name
    measured_on: Annotated[date, BeforeValidator(_day)]
    measured_by: Name
    seconds: Amount = None
    correct: Annotated[bool | None, BeforeValidator(_known)] = None
    cost: Amount = None
    touches: Annotated[int | None, Field(ge=0), BeforeValidator(_known)] = None

    @property
    def cells(self) -> dict[str, str]:
        """The measurement as text, the same whatever file it came from."""
        return {name: _text(getattr(self, name)) for name in COLUMNS}


COLUMNS = tuple(Measurement.model_fields)


@dataclass(frozen=True)
class Refused:
    """A row that is no measurement."""

    line: int
    reason: str


def read(file: Path) -> Iterator[tuple[int, Measurement | Refused]]:
    """The rows of a .csv or .jsonl file, each with its line, as measurements or with the reason why not.

    A row without an id is known by its content and its occurrence. Raises PilotError when the file cannot be read.
    """
    seen: Counter[str] = Counter()
    for row in read_rows(file):
        # Of the cells, not of the bytes: the last line of a file gets a line break when rows are added below it.
        content = hashlib.sha256(orjson.dumps(row.cells, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
        seen[content] += 1
        yield row.line, _measurement(row, f"row-{content}-{seen[content]}")


def write(file: Path, rows: list[Measurement]) -> None:
    """Replaces the file as a whole, so that an interrupted write leaves the one before."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.cells for row in rows)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".csv.draft")
    draft.write_text(text.getvalue(), encoding="utf-8", newline="")
    os.replace(draft, file)


def read_all(root: Path, paper: Path) -> list[Measurement]:
    """All measurements of a paper of the pilot in `root`; none where there is no such file.

    Raises PilotError that names the lines that are no measurements, with the fix, or that repeat an id.
    """
    if not (root / paper).is_file():
        return []
    rows: dict[str, Measurement] = {}
    problems = []
    for line, row in read(root / paper):
        if isinstance(row, Refused):
            problems.append(f"{paper}, line {line}: {row.reason}")
        elif row.id in rows:
            problems.append(f"{paper}, line {line}: id {row.id} stands there twice; remove one of the two")
        else:
            rows[row.id] = row
    if problems:
        raise PilotError("Fix these rows:\n  " + "\n  ".join(problems[:20]))
    return list(rows.values())


def _measurement(row: Row, identity: str) -> Measurement | Refused:
    if row.problem is not None:
        return Refused(row.line, row.problem)
    cells = {
        "id": identity,
        **{name: cell for name, cell in row.cells.items() if name != "id" or _known(cell) is not None},
    }
    try:
        found = Measurement.model_validate(cells)
    except ValidationError as error:
        places = dict.fromkeys(str(problem["loc"][0]) for problem in error.errors(include_url=False))
        return Refused(row.line, "; ".join(f"{place}: {_fix(place, row)}" for place in places))
    if all(getattr(found, name) is None for name in MEASURES):
        return Refused(row.line, f"measures nothing: fill one of {', '.join(MEASURES)}")
    return found


def _fix(place: str, row: Row) -> str:
    if place in _FIXES:
        return _FIXES[place] if place in row.cells else f"is missing; {_FIXES[place]}"
    near = get_close_matches(place, COLUMNS, 1)
    return "is not a column of the baseline; " + (f"did you mean {near[0]}?" if near else "remove it")


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.15g}" if isinstance(value, float) else str(value)
