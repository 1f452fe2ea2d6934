from datetime import date, datetime
from decimal import Decimal

import pytest

from pilot.models import spellings
from pilot.models.spellings import Habit

COMMA, MONTH_FIRST = Habit(decimal=","), Habit(day_first=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,234.50", "1234.50"),
        ("1.234,50", "1234.50"),
        ("1'234.50", "1234.50"),
        ("1 234,50 EUR", "1234.50"),
        ("€ 12,5", "12.5"),
        ("1.234.567", "1234567"),
        ("0.125", "0.125"),
        ("-5", "-5"),
        ("−5.5", "-5.5"),
        ("7 people", "7"),
    ],
)
def test_a_number_is_read_however_it_is_written(text: str, expected: str) -> None:
    assert spellings.number(text, Habit()) == spellings.number(text, COMMA) == Decimal(expected)


def test_what_may_be_thousands_or_decimals_is_read_by_the_habit() -> None:
    assert spellings.number("1.234", Habit()) == Decimal("1.234")
    assert spellings.number("1.234", COMMA) == 1234
    assert spellings.number("1,234", Habit()) == 1234
    assert spellings.number("1,234", COMMA) == Decimal("1.234")


def test_a_text_without_a_number_has_none() -> None:
    assert spellings.number("seven", Habit()) is None
    assert spellings.number("account " + "7" * 20, Habit()) is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01",
        "2026/3/1",
        "1 March 2026",
        "1. März 2026",
        "1er mars 2026",
        "1st of March, 2026",
        "March 1, 2026",
        "Mar. 1st, 2026",
        "1 Mar 26",
        "01.03.2026",
        "on 1. 3. 2026, at last",
    ],
)
def test_a_date_is_read_however_it_is_written(text: str) -> None:
    assert spellings.day(text, Habit()) == date(2026, 3, 1)


def test_a_date_of_numbers_is_read_by_the_habit_where_both_are_possible() -> None:
    assert spellings.day("03/04/2026", Habit()) == date(2026, 4, 3)
    assert spellings.day("03/04/2026", MONTH_FIRST) == date(2026, 3, 4)
    assert spellings.day("13/04/26", MONTH_FIRST) == spellings.day("04/13/26", Habit()) == date(2026, 4, 13)
    assert spellings.day("01.02.70", Habit()) == date(1970, 2, 1)


@pytest.mark.parametrize("text", ["31.02.2026", "1 Marvel", "room 2026-99-01", "soon", "2026"])
def test_what_is_no_date_is_not_read_as_one(text: str) -> None:
    assert spellings.day(text, Habit()) is None
    assert spellings.moment(text, Habit()) is None


def test_the_time_behind_a_date_is_read_and_else_it_is_midnight() -> None:
    afternoon = datetime(2026, 3, 1, 14, 30)
    for text in ("2026-03-01T14:30", "1 March 2026, 14:30", "March 1, 2026 2:30 pm", "01.03.2026 14:30:00"):
        assert spellings.moment(text, Habit()) == afternoon
    assert (
        spellings.moment("1 March 2026", Habit())
        == spellings.moment("1 March 2026 99:99", Habit())
        == datetime(2026, 3, 1)
    )


def test_places_are_those_of_whole_numbers_and_dates() -> None:
    text = "Due 01.03.2026 14:30, 2 450.00"
    assert [text[begin:end] for begin, end in spellings.days(text)] == ["01.03.2026"]
    assert [text[begin:end] for begin, end in spellings.days(text, times=True)] == ["01.03.2026 14:30"]
    found = [text[begin:end] for begin, end in spellings.numbers(text)]
    assert {"2 450.00", "450.00", "2"} <= set(found)
