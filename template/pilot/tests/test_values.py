"""Items and predictions as people read them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from pydantic import BaseModel, Field

import pilot
from pilot.serving import values


class Line(BaseModel):
    what: str = Field(title="Article")
    price: float | None = None


class Order(pilot.Item):
    text: str
    due_on: date | None = None
    at: datetime | None = None
    tags: list[str] = Field([])
    lines: list[Line] = Field([])
    main_line: Line | None = None
    extra: dict[str, Any] = Field({})


def test_titles_and_values_are_for_people() -> None:
    order = Order(
        text="x",
        due_on=date(2026, 11, 7),
        at=datetime.fromisoformat("2026-11-07T14:05:00+00:00"),
        tags=["a", "b"],
        lines=[Line(what="ink", price=5)],
        main_line=Line(what="pens"),
        extra={"some_key": [1, True]},
    )
    assert values.shown(Order, order.model_dump(mode="json")) == [
        ("Text", "x"),
        ("Due on", "7 Nov 2026"),
        ("At", "7 Nov 2026, 14:05 UTC"),
        ("Tags", ["a", "b"]),
        ("Lines", [{"Article": "ink", "Price": "5"}]),
        ("Main line", {"Article": "pens", "Price": "—"}),
        ("Extra", {"Some key": ["1", "yes"]}),
    ]


def test_what_the_schema_no_longer_knows_is_shown_too() -> None:
    assert values.shown(Order, {"old_field": "y", "due_on": "soon", "tags": []}) == [
        ("Old field", "y"),
        ("Due on", "soon"),
        ("Tags", "—"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (None, "—"),
        (True, "yes"),
        (5.0, "5"),
        (0.1, "0.1"),
        (["a", 1], "a, 1"),
        ([], "—"),
        ([{"a_b": 1, "c": None}, {"a_b": 2}], "A b: 1; C: —\nA b: 2"),
    ],
)
def test_a_value_in_one_text(value: Any, text: str) -> None:
    assert values.text(value) == text


def test_texts_are_found_at_any_depth_and_the_outer_ones_first() -> None:
    assert list(values.texts({"a": [{"b": "inner"}], "c": "outer", "d": 1})) == ["outer", "inner"]
