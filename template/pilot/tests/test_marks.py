"""Where the values of an answer are found in the texts of an item."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, create_model

import pilot
from pilot.fields import Draft
from pilot.serving.marks import marker

DAY = date(2026, 11, 7)


class Line(BaseModel):
    amount: Decimal


class Order(pilot.Prediction):
    name: str = Field(title="Customer")
    paid: bool = True
    lines: list[Line] = Field([])
    reply: Annotated[str | None, Draft()] = None


def found(kind: Any, value: Any, text: str) -> list[str]:
    model = create_model("Found", __base__=pilot.Prediction, value=(kind, ...), other=(str | None, None))
    content = model(value=value).model_dump(mode="json")
    return [piece for piece, title in marker(model, content)(text) if title]


@pytest.mark.parametrize(
    ("kind", "value", "text", "places"),
    [
        (str, "Lind & Co.", "from LIND &\n Co. and Lindner & Co.", ["LIND &\n Co."]),
        (str, "EUR", "EUR 5, in EURO", ["EUR"]),
        (str, "x", "x marks nothing", []),
        (
            float,
            1150.5,
            "1150.5 1,150.50 1.150,50 1 150,5 1150.51 11150.5",
            ["1150.5", "1,150.50", "1.150,50", "1 150,5"],
        ),
        (Decimal, "12.00", "12 12.00 12,0 12,000 12.5 2012 3:12", ["12", "12.00", "12,0"]),
        (int, 4, "4 people at 4:30 on 4.11.2026, item 4.", ["4", "4"]),
        (float, -3.5, "minus -3.5", ["3.5"]),
        (
            date,
            date(2026, 11, 7),
            "2026-11-07 7.11.2026 07/11/26 11/7/2026 17.11.2026",
            ["2026-11-07", "7.11.2026", "07/11/26", "11/7/2026"],
        ),
        (
            date,
            date(2026, 11, 7),
            "7 November 2026, Nov 7th, the 7th of November; November 17",
            ["7 November 2026", "Nov 7th", "7th of November"],
        ),
        (datetime, datetime(2026, 11, 7, 14, 5), "on 7.11.2026 at 14:05", ["7.11.2026"]),
        (bool, True, "true yes True", []),
        (list[str], ["ink", "pens"], "pens, ink", ["pens", "ink"]),
    ],
)
def test_values_are_found_as_people_write_them(kind: Any, value: Any, text: str, places: list[str]) -> None:
    assert found(kind, value, text) == places


def test_the_pieces_are_the_text_and_name_their_fields() -> None:
    order = Order(name="Lind", lines=[Line(amount=Decimal("3.20")), Line(amount=Decimal("7"))], reply="Thanks")
    text = "Thanks, Lind: 3,20 and 7"
    pieces = marker(Order, order.model_dump(mode="json"))(text)
    assert "".join(piece for piece, _ in pieces) == text
    titles = [(piece, title) for piece, title in pieces if title]
    assert titles == [("Lind", "Customer"), ("3,20", "Amount 1"), ("7", "Amount 2")]


def test_of_two_places_that_overlap_the_longer_is_marked() -> None:
    class Two(pilot.Prediction):
        city: str
        street: str

    pieces = marker(Two, {"city": "York", "street": "4 York Road"})("4 York Road, York")
    assert [(piece, title) for piece, title in pieces if title] == [("4 York Road", "Street"), ("York", "City")]


def test_an_estimate_is_not_in_the_text() -> None:
    class Points(pilot.Prediction):
        points: float

    assert marker(Points, {"points": 3.0})("3 reports") == [("3 reports", "")]


def test_no_answer_marks_nothing() -> None:
    assert marker(Order, {})("Lind") == [("Lind", "")]
