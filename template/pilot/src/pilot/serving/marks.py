"""Where the values of an answer are written in the texts of its item."""

from __future__ import annotations

import re
from calendar import month_abbr, month_name
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel

from pilot.fields import Draft, FieldType, fields_of, present

# A longer value is no place in a text that helps to read it.
LONGEST = 200
# Pieces of a text, each with the titles of the fields that it holds the value of; the others with none.
Pieces = list[tuple[str, str]]
_BETWEEN_THOUSANDS = "[.,' \u00a0\u202f]?"


def marker(model: type[BaseModel], answer: Mapping[str, Any]) -> Callable[[str], Pieces]:
    """What splits a text into `Pieces` by an answer, given as JSON. An answer that is a number alone is an estimate,
    which no text holds."""
    fields = fields_of(model)
    estimate = len(fields) == 1 and next(iter(fields.values())).number
    patterns = (
        [] if estimate else [(called, re.compile(one, re.IGNORECASE)) for called, one in _patterns(model, answer)]
    )

    def pieces(text: str) -> Pieces:
        found: dict[tuple[int, int], list[str]] = {}
        for called, pattern in patterns:
            for match in pattern.finditer(text):
                titles = found.setdefault(match.span(), [])
                if called not in titles:
                    titles.append(called)
        # Of two places that overlap the longer one says more.
        kept: list[tuple[int, int]] = []
        for start, end in sorted(found, key=lambda place: (place[0] - place[1], place)):
            if all(end <= other[0] or start >= other[1] for other in kept):
                kept.append((start, end))
        split, done = [], 0
        for start, end in sorted(kept):
            split += [(text[done:start], "")] * (start > done) + [(text[start:end], ", ".join(found[start, end]))]
            done = end
        return split + [(text[done:], "")] * (done < len(text))

    return pieces


def _patterns(
    model: type[BaseModel], content: Mapping[str, Any], before: str = "", after: str = ""
) -> Iterator[tuple[str, str]]:
    """A title and a regular expression for each value in a prediction."""
    for name, field in fields_of(model).items():
        value = content.get(name)
        if not present(value) or isinstance(field.comparison, Draft):
            continue
        for number, one in enumerate(list(value) if field.many and value else [value], 1):
            if field.nested is not None:
                row = ("", f" {number}") if field.many else (f"{field.title}: ", after)
                yield from _patterns(field.nested, one, *row)
            elif pattern := _pattern(field, one):
                yield f"{before}{field.title}{after}", pattern


def _pattern(field: FieldType, value: Any) -> str | None:
    """What finds a value as people write it, or none where it has no such form."""
    kind = field.kind if isinstance(field.kind, type) else str
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        if issubclass(kind, datetime):
            return _of_date(datetime.fromisoformat(str(value)))
        if issubclass(kind, date):
            return _of_date(date.fromisoformat(str(value)))
        if issubclass(kind, int | float | Decimal):
            return _of_number(Decimal(str(value)))
    except (ValueError, InvalidOperation):
        return None
    words = str(value).split()
    if not 1 < len(" ".join(words)) <= LONGEST:
        return None
    written = r"\s+".join(map(re.escape, words))
    return rf"(?<!\w){written}(?!\w)"


def _of_number(value: Decimal) -> str | None:
    """A number with a decimal point or comma, and with or without marks between thousands."""
    if not value.is_finite():
        return None
    whole, _, part = format(abs(value), "f").partition(".")
    part = part.rstrip("0")
    grouped = re.sub(r"(?<=\d)(?=(?:\d{3})+$)", lambda _: _BETWEEN_THOUSANDS, whole)
    decimals = rf"[.,]{part}0*" if part else "(?:[.,]00?)?"
    return rf"(?<!\w)(?<!\d[.,:/-]){grouped}{decimals}(?!\w|[.,:/-]\d)"


def _of_date(value: date) -> str:
    """A date in digits, in the order of any country, or with the English name of its month."""
    year, month, day = value.year, f"0?{value.month}", f"0?{value.day}"
    years, name = f"(?:{year}|{year % 100:02})", f"(?:{month_name[value.month]}|{month_abbr[value.month]})"
    which = rf"{day}(?:st|nd|rd|th)?"
    forms = (
        rf"{year}([-./]){month}(?:\1){day}",
        rf"{day}([./-]){month}(?:\2){years}",
        rf"{month}([/-]){day}(?:\3){years}",
        rf"{which}\.?\s+(?:of\s+)?{name}\b\.?(?:,?\s+{year})?",
        rf"{name}\.?\s+{which}\b(?:,?\s+{year})?",
    )
    return rf"(?<!\w)(?<!\d[./-])(?:{'|'.join(forms)})(?!\w|[/-]\d)"
