"""Reading files that people made: CSV and JSON Lines, row by row. A damaged row is refused, with all of its lines."""

from __future__ import annotations

import codecs
import csv
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal
from unicodedata import normalize

import orjson
from pydantic import BaseModel, ValidationError

from pilot.contract import PilotError, Prediction, only_field
from pilot.fields import Draft, FieldType, fields_of, parsed

# Spaces of any width within a line; and the zero-width space, the word joiner, the byte-order mark and the soft hyphen.
_BLANKS = re.compile(r"[^\S\n]+")
_UNSEEN = dict.fromkeys((0x200B, 0x2060, 0xFEFF, 0x00AD))


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file: where it begins, a hash of its bytes, and its cells by column, or what is wrong with it."""

    line: int
    digest: str
    cells: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None

    def inside(self, part: Literal["input", "final"]) -> dict[str, Any]:
        """The cells of the item or of the decision: all of them, but in an object such as `{"input": {...}, "final":
        {...}}`, which holds them apart."""
        apart = isinstance(self.cells.get("input"), dict) and isinstance(self.cells.get("final", {}), dict | None)
        return (self.cells.get(part) or {}) if apart else self.cells

    @property
    def decided(self) -> bool:
        """Whether the object has a decision of its own, apart from the item."""
        return self.inside("final") is not self.cells and bool(self.inside("final"))


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
        if kind != ".csv" and (found := _other_json(stream.peek(1))):
            raise PilotError(f"{file} is not JSON Lines, which has an object on each line: {found}.")
        yield from (_csv_rows(stream, file) if kind == ".csv" else _json_rows(stream))


def check_columns(file: Path, columns: list[str]) -> None:
    """Raises PilotError when one of the columns is missing in a CSV file."""
    if file.suffix.lower() == ".csv" and file.is_file():
        with file.open("rb") as stream:
            header = _header(next(_records(stream), None), file)
        for column in columns:
            if column not in header:
                raise PilotError(
                    f"{file} has no column {column!r}. Its columns are: {', '.join(filter(None, header))}."
                )
            if header.count(column) > 1:
                raise PilotError(
                    f"{file} has {header.count(column)} columns {column!r}. Give the right one another name."
                )


# One column, which fills the one required field; the columns of some fields by name; or none: each field has its own.
Chosen = str | Mapping[str, str] | None


def chosen(model: type[BaseModel], given: Sequence[str], option: str) -> Chosen:
    """The columns that were given on the command line, each as COLUMN or as FIELD=COLUMN.

    Raises PilotError where a single column cannot fill the model, or a field is named twice.
    """
    named: dict[str, str] = {}
    alone = []
    for one in given:
        field, sign, column = one.partition("=")
        if not sign or field not in model.model_fields:
            alone.append(one)
        elif field in named:
            raise PilotError(f"{option} names the column of {field} twice. Give each field one column.")
        else:
            named[field] = column
    if not alone:
        return named or None
    if named or len(alone) > 1:
        raise PilotError(
            f"{option} {alone[0]} does not say which field the column fills. Write FIELD=COLUMN; the fields are: "
            f"{', '.join(model.model_fields)}."
        )
    only_field(model)
    return alone[0]


def columns_of(model: type[BaseModel], columns: Chosen) -> dict[str, str]:
    """The column of each field. One that is not named has that of its own name; a single column fills no other field.

    Raises PilotError where a single column cannot stand for the model.
    """
    if isinstance(columns, str):
        return {only_field(model): columns}
    return {name: (columns or {}).get(name, name) for name in model.model_fields}


def named_columns(columns: Chosen) -> list[str]:
    """The columns that somebody asked for."""
    return [columns] if isinstance(columns, str) else list((columns or {}).values())


def cells_for(model: type[BaseModel], row: Row, columns: Chosen) -> Any:
    """The value of an Item or Prediction that a row holds. Where a JSON object has nothing but `input` and `final`, and
    perhaps an id, its fields are inside of these.

    Raises pydantic.ValidationError when they break the schema, PilotError when the columns cannot stand for the model.
    """
    fields, source = fields_of(model), row.inside("final" if issubclass(model, Prediction) else "input")
    given = {name: source[column] for name, column in columns_of(model, columns).items() if column in source}
    cells = {name: _cell(model, fields[name], cell) for name, cell in given.items()}
    return model.model_validate(
        {name: cell for name, cell in cells.items() if cell is not None or model.model_fields[name].is_required()}
    )


def _cell(model: type[BaseModel], field: FieldType, cell: Any) -> Any:
    """A cell as its type reads it. A label has single blanks, none around it, each accent in one character and no
    character that nobody sees: what looks the same is the same label. A draft keeps its blanks. An empty cell is
    nothing where the field may be; the text of an item stays as it is."""
    if not isinstance(cell, str):
        return cell
    if field.kind is str and not field.many:
        if not issubclass(model, Prediction):
            return cell
        cell = normalize("NFC", cell).strip()
        if not isinstance(field.comparison, Draft):
            cell = _BLANKS.sub(" ", cell.translate(_UNSEEN)).strip()
        return None if field.optional and not cell else cell
    read = parsed(field, cell)
    return cell if read is None and not field.optional else read


def words_of(error: ValidationError) -> str:
    """What breaks the schema, field by field, without the values."""
    problems = error.errors(include_input=False, include_url=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg'].removeprefix('Value error, ')}" for one in problems
    )


def _json_rows(stream: BinaryIO) -> Iterator[Row]:
    for number, line in enumerate(stream, start=1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
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


def _other_json(begin: bytes) -> str | None:
    """What a file is, by its first bytes, where it is JSON of another kind; None where it may have lines."""
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it is UTF-16; save it in UTF-8"
    begin = begin.removeprefix(codecs.BOM_UTF8).lstrip()
    first, ends, _ = begin.partition(b"\n")
    if begin.startswith(b"["):
        return "it is one JSON array; jq -c '.[]' makes lines of it"
    if b"}\r{" in first.replace(b" ", b""):
        return "its lines end with CR alone, as on an old Mac"
    return "its objects take several lines; jq -c . puts each on one" if ends and first.strip() == b"{" else None


def _csv_rows(stream: BinaryIO, file: Path) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    records = _records(stream)
    header = _header(next(records, None), file)
    for record in records:
        cells, problem = record.cells()
        if problem is None and len(cells) != len(header):
            problem = f"has {len(cells)} columns instead of {len(header)}"
        digest = hashlib.sha256(record.content).hexdigest()
        if problem is None:
            named = zip(header, cells, strict=True)
            yield Row(record.line, digest, {name: cell for name, cell in named if name and header.count(name) == 1})
        else:
            lines = f" (with the lines up to {record.last})" if record.last > record.line else ""
            yield Row(record.line, digest, problem=f"{problem}{lines}")


def _header(record: _Record | None, file: Path) -> list[str]:
    """The names of the columns. One that has no name, or that of another one, cannot be asked for, and does no harm."""
    header, problem = record.cells() if record else ([], "is empty")
    found = _dialect(record.content) if record else None
    if found:
        raise PilotError(f"{file}: {found}. Save it as CSV in UTF-8, with commas between its columns.")
    if problem or not any(header):
        raise PilotError(f"{file}, line 1: {problem or 'names no column'}. The first line must name the columns.")
    return header


def _dialect(first: bytes) -> str | None:
    """What a file is, by its first record, where it is not CSV with commas in UTF-8."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it is UTF-16"
    first = first.removeprefix(codecs.BOM_UTF8)
    if b"\r" in first.replace(b"\r\n", b"\n").removesuffix(b"\r"):
        return "its lines end with CR alone, as on an old Mac"
    if first.startswith(b"sep="):
        return "its first line names a separator, for a spreadsheet"
    names = {b";": "semicolons", b"\t": "tabs", b"|": "bars"}
    found = [name for separator, name in names.items() if separator in first and b"," not in first]
    return f"its columns are separated by {found[0]}" if found else None


@dataclass(frozen=True, slots=True)
class _Record:
    """The bytes of a record, the lines that it is on, and whether its last quoted cell is still open."""

    line: int
    last: int
    content: bytes
    open: bool

    def cells(self) -> tuple[list[str], str | None]:
        """The cells, and what is wrong with the record."""
        try:
            text = self.content.removeprefix(codecs.BOM_UTF8).decode()
        except UnicodeDecodeError as error:
            return [], f"is not UTF-8 at byte {error.start + 1}"
        if self.open:
            return [], "has a quote that is not closed"
        try:
            # The reader is given the line break too: a break inside a quoted cell belongs to its content.
            return next(csv.reader([text.removesuffix("\n").removesuffix("\r")], strict=True)), None
        except csv.Error as error:
            return [], "has a line break (CR) outside of quotes" if "\r" in text.strip() else f"is not CSV ({error})"


def _records(stream: BinaryIO) -> Iterator[_Record]:
    """The records of a CSV file. One ends at the first line break outside of quotes, however damaged it is, so that no
    line of a refused record is taken for a record of its own."""
    taken: list[bytes] = []
    begins, quoted = 1, False
    for number, line in enumerate(stream, 1):
        if not taken and not line.strip():
            continue
        begins = begins if taken else number
        taken.append(line)
        quoted = _quoted_after(line.rstrip(b"\r\n"), quoted)
        if not quoted:
            yield _Record(begins, number, b"".join(taken), open=False)
            taken = []
    if taken:
        yield _Record(begins, begins + len(taken) - 1, b"".join(taken), open=True)


def _quoted_after(line: bytes, quoted: bool) -> bool:
    """Whether a quoted cell is open after the line, where one is or is not open before it.

    A quote opens a cell at its start, and closes one where a comma or the end of the line follows. Any other quote in a
    quoted cell is half of a doubled one or a mistake, and the cell goes on.
    """
    place = 0
    while True:
        if not quoted:
            if line.startswith(b'"', place):
                quoted, place = True, place + 1
            else:
                place = line.find(b",", place) + 1
                if not place:
                    return False
                continue
        place = line.find(b'"', place) + 1
        if not place:
            return True
        if line.startswith(b'"', place):
            place += 1
        elif place == len(line):
            return False
        elif line.startswith(b",", place):
            quoted, place = False, place + 1
