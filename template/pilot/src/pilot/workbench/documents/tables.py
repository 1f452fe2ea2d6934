"""Papers that are tables: CSV with a header."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator

from pilot.contract import PilotError


def rows_of(text: str, columns: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows that are not empty, by column, with the line where each begins.

    Raises PilotError(line, what, fix) where the table is broken.
    """
    reader = csv.reader(text.removeprefix("\ufeff").splitlines(keepends=True), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in columns if name not in header]
        twice = sorted({name for name in header if header.count(name) > 1})
        unknown = [name for name in header if name not in columns]
        if missing or twice or unknown:
            said = [
                f"{how} {', '.join(map(repr, names))}"
                for how, names in (("lacks", missing), ("repeats", twice), ("does not know", unknown))
                if names
            ]
            raise PilotError(1, f"the header {', '.join(said)}.", f"Write it as {','.join(columns)}.")
        begins = reader.line_num + 1
        for row in reader:
            if any(cell.strip() for cell in row):
                if len(row) != len(header):
                    what = f"the row has {len(row)} fields, and the header {len(header)}."
                    raise PilotError(begins, what, 'Put a text that holds a comma into double quotes, as in "a, b".')
                yield begins, {name: cell.strip() for name, cell in zip(header, row, strict=True)}
            begins = reader.line_num + 1
    except csv.Error as error:
        raise PilotError(
            reader.line_num, f"is not CSV ({error}).", 'Write a quote inside a text twice, as in "".'
        ) from error
