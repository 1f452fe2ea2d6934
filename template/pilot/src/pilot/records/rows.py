"""Reading files that people made: CSV and JSON Lines, row by row, so that a damaged row spoils no other."""

from __future__ import annotations

import csv
import hashlib
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from pydantic import BaseModel, ValidationError

from pilot.contract import PilotError, only_field

# A quoted cell may hold line breaks. One that is still open after so many lines has no closing quote.
_MOST_LINES = 200


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file: where it begins, a hash of its bytes, and its cells by column, or what is wrong with it."""

    line: int
    digest: str
    cells: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


def read_rows(file: Path) -> Iterator[Row]:
    """The rows of a `.csv` file with a header, or of a `.jsonl` file, in their order; empty lines are none.

    Raises PilotError when the file is missing, of another kind, or has no header.
    """
    if not file.is_file():
        raise PilotError(f"There is no file {file}. Give the path of a .csv or .jsonl file.")
    kind = file.suffix.lower()
    if kind not in {".csv", ".jsonl", ".ndjson"}:
        raise PilotError(f"{file} is neither .csv nor .jsonl. Save it as one of them, in UTF-8.")
    with file.open("rb") as stream:
        yield from (_csv_rows(stream, file) if kind == ".csv" else _json_rows(stream))


def check_columns(file: Path, columns: list[str]) -> None:
    """Raises PilotError when one of the columns is missing in a CSV file."""
    if file.suffix.lower() == ".csv" and file.is_file():
        with file.open("rb") as stream:
            header = _header(_Lines(stream), file)
        for column in columns:
            if column not in header:
                raise PilotError(f"{file} has no column {column!r}. Its columns are: {', '.join(header)}.")


def cells_for(model: type[BaseModel], row: Row, column: str | None) -> Any:
    """The value of an Item or Prediction that a row holds: in `column`, which fills its one required field, or in the
    columns that are named as its fields.

    Raises pydantic.ValidationError when they break the schema, PilotError when `column` cannot stand for the model.
    """
    if column is None:
        return model.model_validate({name: row.cells[name] for name in model.model_fields if name in row.cells})
    return model.model_validate({only_field(model): row.cells[column]} if column in row.cells else {})


def words_of(error: ValidationError) -> str:
    """What breaks the schema, field by field, without the values."""
    problems = error.errors(include_input=False, include_url=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg'].removeprefix('Value error, ')}" for one in problems
    )


class _Lines:
    """The lines of a stream, numbered from 1, with the means to look ahead and to go back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead: deque[bytes] = deque()
        self.number = 0

    def take(self) -> bytes | None:
        """The next line, or none at the end."""
        line = self._ahead.popleft() if self._ahead else self._stream.readline()
        self.number += bool(line)
        return line or None

    def put_back(self, lines: list[bytes]) -> None:
        """Makes these lines the next ones."""
        self._ahead.extendleft(reversed(lines))
        self.number -= len(lines)


def _json_rows(stream: BinaryIO) -> Iterator[Row]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        digest = hashlib.sha256(line).hexdigest()
        try:
            cells = orjson.loads(line)
        except orjson.JSONDecodeError:
            yield Row(number, digest, problem="is not JSON in UTF-8")
            continue
        if isinstance(cells, dict):
            yield Row(number, digest, cells)
        else:
            yield Row(number, digest, problem="is not a JSON object")


def _csv_rows(stream: BinaryIO, file: Path) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    lines = _Lines(stream)
    header = _header(lines, file)
    while (first := lines.take()) is not None:
        if not first.strip():
            continue
        number = lines.number
        taken, cells, problem = _record(lines, first)
        if problem is None and cells is not None and len(cells) != len(header):
            problem = f"has {len(cells)} columns instead of {len(header)}"
        if problem is not None and len(taken) > 1:
            # The fault is in the first line; what was read on in search of a closing quote are rows of their own.
            lines.put_back(taken[1:])
            taken = taken[:1]
        digest = hashlib.sha256(b"".join(taken)).hexdigest()
        if problem is not None or cells is None:
            yield Row(number, digest, problem=problem)
        else:
            yield Row(number, digest, dict(zip(header, cells, strict=True)))


def _header(lines: _Lines, file: Path) -> list[str]:
    first = lines.take()
    _, header, problem = _record(lines, first.removeprefix(b"\xef\xbb\xbf")) if first else ([], [], "is empty")
    if problem or not header or not all(header) or len(set(header)) != len(header):
        raise PilotError(
            f"{file}, line 1: {problem or 'names a column twice, or not at all'}. The first line must name the columns."
        )
    return header


def _record(lines: _Lines, first: bytes) -> tuple[list[bytes], list[str] | None, str | None]:
    """The lines of one record, and its cells or what is wrong with it."""
    taken = [first]
    while True:
        try:
            text = b"".join(taken).decode()
        except UnicodeDecodeError as error:
            return taken, None, f"is not UTF-8 at byte {error.start + 1}"
        try:
            # The reader is given the line break too: a break inside a quoted cell belongs to its content.
            return taken, next(csv.reader([text.removesuffix("\n").removesuffix("\r")], strict=True)), None
        except csv.Error as error:
            if "unexpected end" not in str(error):
                return taken, None, f"is not CSV ({error})"
        following = lines.take() if len(taken) < _MOST_LINES else None
        if following is None:
            return taken, None, "has a quote that is not closed"
        taken.append(following)
