"""How numbers and dates are written in a text: found, and read back."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation

_SIGN = r"(?:(?<![\w)])[-+−])?"
_GROUPED = re.compile(_SIGN + r"\d{1,3}(?:[ '’\u00a0\u202f]\d{3})+(?:[.,]\d+)?(?!\d)")
_SIMPLE = re.compile(_SIGN + r"\d+(?:[.,]\d+)*")
_NUMBER = re.compile(f"{_GROUPED.pattern}|{_SIMPLE.pattern}")
_NUMERIC = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?!\d)|(\d{1,2})([-/.]) ?(\d{1,2})\6 ?(\d{4}|\d{2})(?!\d)")
_MONTH = r"([^\W\d_]{3,10})\.?"
_WORDED = re.compile(
    rf"(\d{{1,2}})(?:st|nd|rd|th|er|\.)?[ -]?(?:(?:of|de) )?{_MONTH}[ ,-]{{1,2}}(\d{{4}}|\d{{2}})(?!\d)"
    rf"|{_MONTH} (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})(?!\d)",
    re.IGNORECASE,
)
_TIME = re.compile(r"[T ,]{1,2}(?:at )?(\d{1,2}):(\d{2})(?::(\d{2}))?(?: ?([ap])\.?m\.?)?", re.IGNORECASE)
# The begin of each month's name in English, German, French, Spanish and Italian, without accents.
_MONTHS = {
    begin: number
    for number, begins in enumerate(
        (
            "jan ene gen",
            "feb fev",
            "mar mrz",
            "apr avr abr",
            "may mai mag",
            "jun juin giu",
            "jul juil lug",
            "aug aou ago",
            "sep set",
            "oct okt ott",
            "nov",
            "dec dez dic",
        ),
        start=1,
    )
    for begin in begins.split()
}


# The signs that stand for a currency where its code is not written.
SIGNS = {"€": "EUR", "£": "GBP", "$": "USD", "¥": "JPY", "Fr.": "CHF", "SFr.": "CHF"}
# More digits and marks than these are the number of an account or an order, which nobody reckons with.
_LONGEST = 18


@dataclass(frozen=True)
class Habit:
    """How a pilot's texts write what can be read in two ways: the mark before the decimals, as in 1.234, and whether
    the day comes before the month, as in 01/03/2026."""

    decimal: str = "."
    day_first: bool = True


HABITS = tuple(Habit(mark, first) for mark in ".," for first in (True, False))


def number(text: str, habit: Habit) -> Decimal | None:
    """The first number of a text, without what stands around it, such as a currency."""
    found = _NUMBER.search(text)
    return _number(found[0], habit) if found else None


def _number(written: str, habit: Habit) -> Decimal | None:
    digits = re.sub(r"[^\d.,-]", "", written.replace("−", "-"))
    if len(digits) > _LONGEST:
        return None
    marks = [mark for mark in digits if mark in ".,"]
    if len(set(marks)) == 2:
        decimal = marks[-1] if marks.count(marks[-1]) == 1 else None
    elif len(marks) == 1:
        whole, part = digits.lstrip("-").split(marks[0])
        thousands = len(part) == 3 and len(whole) <= 3 and whole.strip("0") != ""
        decimal = None if thousands and marks[0] != habit.decimal else marks[0]
    else:
        decimal = None
    plain = "".join("." if mark == decimal else mark for mark in digits if mark not in ".," or mark == decimal)
    try:
        return Decimal(plain)
    except InvalidOperation:
        return None


def day(text: str, habit: Habit) -> date | None:
    """The first date of a text that names day, month and year. Of two digits, the year is from 1970 to 2069."""
    return next((found for _, _, found in _days(text, habit)), None)


def moment(text: str, habit: Habit) -> datetime | None:
    """The first date of a text, with the time behind it, or midnight."""
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        found = next(_days(text, habit), None)
    if found is None:
        return None
    _, end, when = found
    return datetime.combine(when, _clock(text, end)[0])


def numbers(text: str) -> Iterator[tuple[int, int]]:
    """Where the text may hold a number: begin and end. `2 450.00` may be one number, or two."""
    return (found.span() for pattern in (_GROUPED, _SIMPLE) for found in pattern.finditer(text))


def days(text: str, *, times: bool = False) -> Iterator[tuple[int, int]]:
    """Where the text holds a date, with the time behind it if `times`: begin and end."""
    found = {(begin, end) for habit in HABITS for begin, end, _ in _days(text, habit)}
    return ((begin, _clock(text, end)[1] if times else end) for begin, end in sorted(found))


def _clock(text: str, end: int) -> tuple[time, int]:
    """The time that a text has at a place, and where it ends; midnight where there is none."""
    if (found := _TIME.match(text, end)) is None:
        return time(), end
    hour, minute, second = (int(part or 0) for part in found.groups()[:3])
    if found[4]:
        hour = hour % 12 + 12 * (found[4].lower() == "p")
    try:
        return time(hour, minute, second), found.end()
    except ValueError:
        return time(), end


def _days(text: str, habit: Habit) -> Iterator[tuple[int, int, date]]:
    matches = [*_NUMERIC.finditer(text), *_WORDED.finditer(text)]
    for found in sorted(matches, key=re.Match.start):
        if found.start() and text[found.start() - 1].isalnum():
            continue
        if found.re is _NUMERIC:
            if found[1]:
                year, month, of_month = found[1], int(found[3]), int(found[4])
            else:
                first, second, year = int(found[5]), int(found[7]), found[8]
                by_day = first > 12 or (habit.day_first and second <= 12)
                of_month, month = (first, second) if by_day else (second, first)
        else:
            of_month, year = int(found[1] or found[5]), found[3] or found[6]
            month = _month(found[2] or found[4])
        try:
            yield found.start(), found.end(), date(_year(year), month, of_month)
        except ValueError:
            continue


def _year(written: str) -> int:
    year = int(written)
    return year if len(written) == 4 else year + (1900 if year > 69 else 2000)


def _month(name: str) -> int:
    """The number of a month by its name; 0 where it is none."""
    plain = "".join(one for one in unicodedata.normalize("NFD", name.casefold()) if one.isalpha())
    return _MONTHS.get(plain[:4]) or _MONTHS.get(plain[:3], 0)
