"""What people flagged, as rows of `data/known.csv`: items whose right answer is known, without what names a person."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from pilot.contract import PilotError, Team
from pilot.frontmatter import read_text, replace_text
from pilot.models.redaction import redact
from pilot.records.feedback import Feedback
from pilot.records.rows import Row, cells_for

SOURCE = "source"


def rows(team: Team, found: list[Feedback], country: str) -> list[dict[str, str]]:
    """A row for each piece of feedback: the item, the right answer, and where it comes from.

    Raises PilotError where one was erased, has no decision, or does not fit a row.
    """
    made = []
    for one in found:
        if one.content is None:
            raise PilotError(f"Feedback {one.id} cannot be adopted: the contents of its item were erased. Dismiss it.")
        if one.final is None:
            raise PilotError(
                f"Feedback {one.id} cannot be adopted: its outcome names no right answer. Decide item {one.item} on "
                "the review page, or dismiss it."
            )
        cells = {**one.content, **one.final}
        row = {name: _cell(value, country) for name, value in cells.items()}
        for kind in (team.item, team.prediction):
            cells_for(kind, Row(0, "", dict(row)), None)
        made.append({**row, SOURCE: f"feedback {one.id} of {one.at:%Y-%m-%d}, {one.flag}"})
    return made


def _cell(value: Any, country: str) -> str:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return redact(value, country) if isinstance(value, str) else "" if value is None else str(value)


def add(file: Path, new: list[dict[str, str]]) -> int:
    """Adds rows to the file, which keeps those that it has, and returns how many were not there already."""
    text = read_text(file) if file.exists() else None
    reader = csv.DictReader(io.StringIO(text or "", newline=""))
    there = list(reader)
    columns = list(dict.fromkeys([*(reader.fieldnames or ()), *(name for row in new for name in row)]))

    def content(row: dict[str, str]) -> tuple[str, ...]:
        return tuple(row.get(name) or "" for name in columns if name != SOURCE)

    known = {content(row) for row in there}
    added = [row for row in new if content(row) not in known]
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*there, *added])
    replace_text(file, written.getvalue())
    return len(added)
