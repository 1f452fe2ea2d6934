"""Fields: what each holds, and how an answer's is compared with what people decided."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AnySet
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from itertools import permutations
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field, PastDate, ValidationError, create_model

from pilot.fields import (
    Draft,
    Match,
    SameSet,
    SameText,
    Scored,
    Within,
    agree,
    changes,
    difference,
    fields_of,
    lines,
    parsed,
    plain,
    present,
    required,
    similarity,
)
from pilot.fields import scores as scores_of


def scores(answer: BaseModel | None, final: BaseModel) -> dict[str, Scored]:
    return scores_of(answer, final, type(final))


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Line(BaseModel):
    article: Annotated[str, SameText()]
    count: int = 1
    price: Annotated[Decimal, Within(absolute=0.01)] | None = None


class Order(BaseModel):
    customer: Annotated[str, SameText(), Field(description="Who pays.")]
    total: Annotated[float, Within(relative=0.01)]
    due: Annotated[date, Within(absolute=1)] | None = None
    tags: Annotated[list[str], SameSet()] = []
    lines: list[Line] = []
    express: bool = False
    colour: Colour | None = None
    reply: Annotated[str, Draft()] = ""


class Delivery(BaseModel):
    boxes: list[Box]


class Box(BaseModel):
    kilograms: float


class Plain(BaseModel):
    """Nothing in it says how it is compared."""

    text: str
    number: float | None
    flag: bool
    when: datetime | None
    colour: Literal["red", "blue"]
    many: list[int]
    inner: Line | None
    money: Decimal


def one(kind: Any, value: Any) -> BaseModel:
    """A value of a model with this kind as its one field."""
    return _of(kind)(value=value)


def _of(kind: Any) -> type[BaseModel]:
    if repr(kind) not in _MADE:
        _MADE[repr(kind)] = create_model("One", value=(kind, ...))
    return _MADE[repr(kind)]


_MADE: dict[str, type[BaseModel]] = {}


def compared(kind: Any, answer: Any, final: Any) -> Any:
    made = one(kind, answer), one(kind, final)
    found = scores(*made)["value"]
    assert agree(*made) is found.match.agrees
    return found


LINES = st.builds(
    Line,
    article=st.text(max_size=5),
    count=st.integers(0, 9),
    price=st.none() | st.decimals(-99, 99, places=2),
)
ORDERS = st.builds(
    Order,
    customer=st.text(max_size=8),
    total=st.floats(-1e6, 1e6),
    due=st.none() | st.dates(date(1990, 1, 1), date(2090, 1, 1)),
    tags=st.lists(st.text(max_size=2), max_size=4),
    lines=st.lists(LINES, max_size=3),
    express=st.booleans(),
    colour=st.none() | st.sampled_from(Colour),
    reply=st.text(max_size=20),
)
WORDS = st.text(min_size=1, max_size=4).filter(str.strip)
PLAINS = st.builds(
    Plain,
    text=WORDS,
    number=st.none() | st.floats(allow_nan=False),
    flag=st.booleans(),
    when=st.none() | st.datetimes(timezones=st.none() | st.just(UTC)),
    colour=st.sampled_from(["red", "blue"]),
    many=st.lists(st.integers(0, 2), max_size=3),
    inner=st.none() | st.builds(Line, article=st.just("a"), count=st.integers(0, 1)),
    money=st.decimals(-2, 2, places=1),
)


def test_a_field_is_known_by_what_it_holds() -> None:
    found = fields_of(Order)
    assert list(found) == list(Order.model_fields)
    assert [name for name, field in found.items() if field.number] == ["total", "due"]
    assert [name for name, field in found.items() if field.many] == ["tags", "lines"]
    assert {name: field.nested for name, field in found.items() if field.nested} == {"lines": Line}
    assert found["colour"].choices == ("red", "blue")
    assert (found["customer"].title, found["customer"].description) == ("Customer", "Who pays.")
    assert {name: field.comparison for name, field in found.items() if field.comparison} == {
        "customer": SameText(),
        "total": Within(relative=0.01),
        "due": Within(absolute=1),
        "tags": SameSet(),
        "reply": Draft(),
    }


def test_a_model_may_name_one_that_is_defined_below_it() -> None:
    assert fields_of(Delivery)["boxes"].nested is Box


def test_required_is_what_always_holds_something() -> None:
    assert required(Order) == ("customer", "total")
    assert required(Plain) == ("text", "flag", "colour", "many", "money")


@pytest.mark.parametrize(
    ("kind", "bare", "many", "optional"),
    [
        (str | None, str, False, True),
        (int | float | None, int | float, False, True),
        (int | str, int | str, False, False),
        (list[str] | None, str, True, True),
        (list[str | None], str, True, False),
        (Annotated[list[Annotated[int, Within(1)]], SameSet()] | None, int, True, True),
        (list, Any, True, False),
        (Sequence[str], str, True, False),
        (AnySet[str], str, True, False),
        (frozenset[str], str, True, False),
        (tuple[int, ...], int, True, False),
        (dict[str, int], dict[str, int], False, False),
        (AwareDatetime, datetime, False, False),
        (PastDate | None, date, False, True),
        (Literal["a", "b"] | None, Literal["a", "b"], False, True),
    ],
)
def test_annotations_and_none_are_taken_off(kind: Any, bare: Any, many: bool, optional: bool) -> None:
    found = fields_of(_of(kind))["value"]
    assert (found.kind, found.many, found.optional) == (bare, many, optional)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (int, True),
        (float | None, True),
        (Decimal, True),
        (date, True),
        (AwareDatetime, True),
        (Annotated[int, Field(gt=0)], True),
        (bool, False),
        (Level, False),
        (Literal[1, 2], False),
        (str, False),
        (list[int], False),
    ],
)
def test_a_number_has_errors_with_a_size(kind: Any, number: bool) -> None:
    assert fields_of(_of(kind))["value"].number is number


@settings(deadline=None)
@given(ORDERS)
def test_what_is_as_decided_is_right(order: Order) -> None:
    again = Order.model_validate_json(order.model_dump_json())
    found = scores(again, order)
    assert agree(again, order)
    assert {one.match for one in found.values()} <= {Match.RIGHT, Match.EMPTY}
    assert {one.score for one in found.values()} == {1.0}
    assert not [one for one in found.values() if one.extra or one.lost or one.error]


@settings(deadline=None)
@given(ORDERS, ORDERS)
def test_a_score_is_one_part_of_one_and_whole_where_it_is_right(answer: Order, final: Order) -> None:
    found = scores(answer, final)
    assert all(0 <= one.score <= 1 for one in found.values())
    assert all(one.score == 1 for one in found.values() if one.match.agrees)
    assert agree(answer, final) is all(one.match.agrees for one in found.values())


@settings(deadline=None)
@given(ORDERS, ORDERS)
def test_missing_and_spurious_change_places_with_answer_and_decision(answer: Order, final: Order) -> None:
    there, back = scores(answer, final), scores(final, answer)
    swapped = {Match.MISSING: Match.SPURIOUS, Match.SPURIOUS: Match.MISSING}
    for name in Order.model_fields.keys() - {"total"}:  # whose tolerance is a part of what was decided
        assert back[name].match is swapped.get(there[name].match, there[name].match)
        assert (back[name].hits, back[name].extra, back[name].lost) == (
            there[name].hits, there[name].lost, there[name].extra,
        )  # fmt: skip
        assert back[name].score == pytest.approx(there[name].score)


@settings(deadline=None)
@given(PLAINS, PLAINS)
def test_fields_that_say_nothing_of_it_are_compared_by_equality(answer: Plain, final: Plain) -> None:
    assert agree(answer, final) is (answer == final)
    again = answer.model_copy(update={"flag": final.flag, "colour": final.colour, "many": list(final.many)})
    assert agree(again, final) is (again == final)


def test_values_of_two_models_never_agree() -> None:
    class Other(Line):
        pass

    assert not agree(Other(article="a"), Line(article="a"))


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), max_size=6), st.lists(st.integers(0, 5), max_size=6), st.randoms())
def test_f1_of_a_set_is_its_definition_in_any_order(answer: list[int], final: list[int], random: Any) -> None:
    kind = Annotated[list[int], SameSet()]
    found = compared(kind, answer, final)
    hits = sum(min(answer.count(value), final.count(value)) for value in set(answer))
    assert (found.hits, found.extra, found.lost) == (hits, len(answer) - hits, len(final) - hits)
    if hits:
        precision, recall = hits / len(answer), hits / len(final)
        assert found.score == pytest.approx(2 * precision * recall / (precision + recall))
    else:
        assert found.score == (0.0 if answer or final else 1.0)
    for value in (answer, final):
        random.shuffle(value)
    assert compared(kind, answer, final) == found


@settings(deadline=None)
@given(st.sets(st.integers(0, 99)), st.sets(st.integers(0, 99)))
def test_a_set_has_no_order_either(answer: set[int], final: set[int]) -> None:
    found = compared(set[int], answer, final)
    assert found.match.agrees is (answer == final)
    assert (found.hits, found.extra, found.lost) == (len(answer & final), len(answer - final), len(final - answer))


def test_a_list_is_compared_in_its_order() -> None:
    found = compared(list[str], ["a", "b", "c"], ["a", "c"])
    assert (found.match, found.hits, found.extra, found.lost) == (Match.WRONG, 1, 2, 1)
    assert found.score == pytest.approx(2 / 5)


def test_elements_are_compared_as_they_say_in_lists_and_in_sets() -> None:
    text, near = Annotated[str, SameText()], Annotated[float, Within(absolute=0.5)]
    assert compared(list[text], ["A.", "b"], ["a", "B!"]).match is Match.RIGHT
    assert compared(Annotated[list[text], SameSet()], ["b!", "A"], ["a", "B"]).match is Match.RIGHT
    assert compared(set[text], {"b!", "A"}, {"a", "B"}).match is Match.RIGHT
    assert compared(Annotated[list[near], SameSet()], [2.0, 9.0], [8.5, 2.5]).hits == 2
    assert compared(Annotated[list[str], SameSet(), SameText()], ["b!", "A"], ["a", "B"]).match is Match.RIGHT
    lines = [Line(article=name) for name in ("B", "a", "A.")]
    assert compared(Annotated[list[Line], SameSet()], lines[:2], lines[2:]).hits == 1


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=6), st.lists(st.integers(0, 9), max_size=6))
def test_a_set_with_a_tolerance_pairs_as_many_as_can_be(answer: list[int], final: list[int]) -> None:
    """Against all ways to pair them."""
    fewer, more = sorted((answer, final), key=len)
    most = max(
        sum(abs(one - other) <= 1 for one, other in zip(fewer, order, strict=True))
        for order in permutations(more, len(fewer))
    )
    assert compared(Annotated[list[Annotated[int, Within(absolute=1)]], SameSet()], answer, final).hits == most


def test_long_lists_are_compared_in_time() -> None:
    begun = time.process_time()
    assert compared(Annotated[list[int], SameSet()], [1] * 1200, [1] * 600).hits == 600
    assert time.process_time() - begun < 5


def test_a_nested_model_is_right_where_each_of_its_fields_is_and_else_scores_their_mean() -> None:
    final = Line(article="Bolt", count=2, price=Decimal("1.00"))
    near, wrong = (final.model_copy(update=change) for change in ({"price": Decimal("1.01")}, {"count": 3}))
    assert compared(Line, near, final).match is Match.RIGHT
    found = compared(Line, wrong, final)
    assert (found.match, found.score, found.extra, found.lost) == (Match.WRONG, pytest.approx(2 / 3), 1, 1)
    assert compared(Line | None, None, final).match is Match.MISSING
    found = compared(list[Line], [near, wrong], [final, final])
    assert (found.hits, found.extra, found.lost) == (1, 1, 1)


@pytest.mark.parametrize("nothing", [None, "", " \n"])
def test_a_text_that_is_blank_is_nothing(nothing: str | None) -> None:
    kind = str | None
    assert not present(nothing)
    assert compared(kind, nothing, None).match is Match.EMPTY
    assert compared(kind, nothing, "a").match is Match.MISSING
    assert compared(kind, "a", nothing).match is Match.SPURIOUS


def test_zero_and_no_are_something() -> None:
    assert present(0)
    assert present(False)
    assert compared(int | None, None, 0).match is Match.MISSING
    assert compared(bool | None, False, None).match is Match.SPURIOUS


def test_a_list_that_is_missing_counts_each_element() -> None:
    assert compared(list[int], [], [1, 2, 3]).lost == 3
    assert compared(list[int] | None, [1, 2, 3], None).extra == 3
    assert compared(list[int] | None, None, []).match is Match.EMPTY


def test_without_an_answer_all_that_was_decided_is_missing() -> None:
    found = scores(None, Order(customer="Acme", total=1, tags=["a", "b"]))
    assert {name: (one.match, one.lost) for name, one in found.items() if one.match is not Match.EMPTY} == {
        "customer": (Match.MISSING, 1),
        "total": (Match.MISSING, 1),
        "tags": (Match.MISSING, 2),
        "express": (Match.MISSING, 1),
    }


@settings(deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_within_an_absolute_distance_is_symmetric(answer: float, final: float, absolute: float) -> None:
    kind = Annotated[float, Within(absolute=absolute)]
    there, back = compared(kind, answer, final), compared(kind, final, answer)
    assert (there.match, there.error) == (back.match, back.error)
    assert there.error == abs(answer - final)
    assert there.match.agrees is (abs(answer - final) <= absolute * (1 + 1e-9))


@settings(deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(0, 50))
def test_a_relative_distance_is_a_part_of_what_was_decided(final: int, percent: int) -> None:
    part = percent / 100
    kind = Annotated[float, Within(relative=part)]
    for sign in (-1, 1):
        assert compared(kind, final + sign * 0.99 * part * final, final).match.agrees
        beyond = final + sign * (1.01 * part + 0.01) * final
        assert compared(kind, beyond, final).match.agrees is (beyond == final)


@pytest.mark.parametrize(
    ("kind", "answer", "final", "error", "right"),
    [
        (Annotated[Decimal, Within(absolute=0.01)], "10.01", "10.00", 0.01, True),
        (Annotated[Decimal, Within(absolute=0.01)], "10.02", "10.00", 0.02, False),
        (Decimal, "10.0", "10.00", 0.0, True),
        (Annotated[int, Within(absolute=1, relative=0.1)], 8, 9, 1.0, True),
        (Annotated[int, Within(absolute=1, relative=0.1)], 90, 100, 10.0, True),
        (Annotated[date, Within(absolute=2)], "2026-03-01", "2026-02-27", 2.0, True),
        (Annotated[date, Within(absolute=2)], "2026-03-02", "2026-02-27", 3.0, False),
        (Annotated[datetime, Within(timedelta(hours=1))], "2026-01-01T12:00Z", "2026-01-01T13:00Z", 1 / 24, True),
        (Annotated[datetime, Within(timedelta(hours=1))], "2026-01-01T12:00", "2026-01-01T13:01", 61 / 1440, False),
        (AwareDatetime, "2026-01-01T12:00+02:00", "2026-01-01T10:00Z", 0.0, True),
        (Annotated[datetime, Within(1)], "2026-01-01T12:00", "2026-01-01T12:00Z", None, False),
        (Annotated[bool, Within(1)], True, False, None, False),
        (Annotated[int, Within(1)], 10**400, 10**400, None, True),
        (Annotated[int, Within(1)], 10**400, 1, None, False),
        (float, 1.5e308, -1.5e308, None, False),
        (Level, 1, 2, None, False),
    ],
)
def test_numbers_and_dates_are_so_far_apart(
    kind: Any, answer: Any, final: Any, error: float | None, right: bool
) -> None:
    found = compared(kind, answer, final)
    assert (found.match.agrees, found.error) == (right, error if error is None else pytest.approx(error))


@pytest.mark.parametrize(
    ("answer", "final"),
    [
        (True, 1),
        (1, None),
        ("1", 1),
        (math.nan, 1.0),
        (math.inf, 1.0),
        (Decimal("sNaN"), Decimal(1)),
        (date(2026, 1, 1), datetime(2026, 1, 1)),
        (datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_what_is_not_two_numbers_or_two_dates_has_no_distance(answer: Any, final: Any) -> None:
    assert difference(answer, final) is None
    assert difference(final, answer) is None


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(timezone(timedelta(hours=5, minutes=30)))))
def test_a_moment_is_the_same_in_another_zone(moment: datetime) -> None:
    try:
        other = moment.astimezone(UTC)
    except OverflowError:
        return
    assert difference(moment, other) == 0.0
    assert compared(AwareDatetime, moment, other).match is Match.RIGHT


@pytest.mark.parametrize(
    ("answer", "final", "same"),
    [
        ("ACME  Ltd.", "acme ltd", True),
        ("Straße 1,\nKöln", "STRASSE 1 KÖLN", True),
        ("ﬁne", "fine", True),
        ("“quoted”", '"Quoted"', True),
        ("snake_case", "snake case", True),
        ("A+", "A-", False),
        ("€ 5", "$ 5", False),
        ("👍", "👎", False),
        ("कि", "की", False),
        ("cafe", "café", False),
        ("e\u0301", "\u00e9", True),
        ("10", "1 0", False),
    ],
)
def test_texts_are_the_same_but_for_case_blanks_and_punctuation(answer: str, final: str, same: bool) -> None:
    assert (plain(answer) == plain(final)) is same
    assert compared(Annotated[str, SameText()], answer, final).match.agrees is same


@settings(deadline=None)
@given(st.text())
def test_a_plain_text_stays_as_it_is(text: str) -> None:
    assert plain(f" {text}\t") == plain(text)
    assert not plain(text) or plain(text) == " ".join(plain(text).split(" "))
    assert "  " not in plain(text)


def test_a_draft_is_right_where_nothing_that_one_reads_was_changed() -> None:
    kind = Annotated[str, Draft()]
    assert compared(kind, "Dear Ann,\nyes. \n", "Dear Ann,\nyes.").match is Match.RIGHT
    found = compared(kind, "we will pay it back today", "we will pay it back tomorrow")
    assert (found.match, found.score) == (Match.WRONG, pytest.approx(5 / 6))
    assert compared(kind, "Yes.", "yes.").match is Match.WRONG
    by_characters = compared(Annotated[str, Draft("characters")], "Yes.", "yes.")
    assert (by_characters.match, by_characters.score) == (Match.WRONG, 0.75)
    assert lines("a \n\n b\n") == ["a", "", " b"]


def _distance(one: Sequence[Any], other: Sequence[Any]) -> int:
    """The Levenshtein distance by its definition."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return _distance(one[1:], other[1:])
    return 1 + min(_distance(one[1:], other), _distance(one, other[1:]), _distance(one[1:], other[1:]))


_SPLIT: dict[Literal["words", "characters"], Callable[[str], Sequence[str]]] = {"words": str.split, "characters": str}


@pytest.mark.parametrize("by", ["words", "characters"])
@settings(deadline=None)
@given(st.text("ab ", max_size=6), st.text("ab ", max_size=6))
def test_similarity_is_the_share_that_stayed(by: Literal["words", "characters"], answer: str, final: str) -> None:
    parts = [_SPLIT[by](text) for text in (answer, final)]
    longest = max(map(len, parts))
    expected = 1 - _distance(*parts) / longest if longest else 1.0
    assert similarity(answer, final, by) == pytest.approx(expected)
    assert similarity(answer, final, by) == pytest.approx(similarity(final, answer, by))


@settings(deadline=None)
@given(st.text("abc \n"), st.text("abc \n"))
def test_changes_lead_from_one_text_to_the_other(before: str, after: str) -> None:
    found = list(changes(before, after))
    assert "".join(text for what, text in found if what != "in") == before
    assert "".join(text for what, text in found if what != "out") == after
    assert ([what for what, _ in found if what != "same"] == []) is (before == after)


def test_changes_are_told_word_by_word() -> None:
    assert list(changes("pay it today", "pay it tomorrow")) == [
        ("same", "pay it "),
        ("out", "today"),
        ("in", "tomorrow"),
    ]


class Paper(BaseModel):
    total: float | None = None
    pieces: int = 0
    exact: Decimal | None = None
    due: date | None = None
    paid: bool = False
    tags: list[str] = Field(default_factory=list)
    sums: list[float] = Field(default_factory=list)
    level: Literal["low", "high"] = "low"


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("total", "12,50", 12.5),
        ("total", "1.234,50", 1234.5),
        ("total", "1,234.50", 1234.5),
        ("total", "1 234,5", 1234.5),
        ("total", "1'234.50", 1234.5),
        ("total", "1.234.567", 1234567.0),
        ("total", "-3,5", -3.5),
        ("total", " 7 ", 7.0),
        ("total", "", None),
        ("pieces", "1.000.000", 1_000_000),
        ("exact", "0,10", Decimal("0.10")),
        ("due", "4.5.2026", date(2026, 5, 4)),
        ("due", "2026-05-04", date(2026, 5, 4)),
        ("paid", "yes", True),
        ("tags", "a; b;; c", ["a", "b", "c"]),
        ("tags", '["a; b", "c"]', ["a; b", "c"]),
        ("tags", "", []),
        ("sums", "1,5; 2", [1.5, 2.0]),
        ("level", " high ", "high"),
    ],
)
def test_what_people_write_is_read_by_its_type(field: str, text: str, value: Any) -> None:
    read = parsed(fields_of(Paper)[field], text)
    assert getattr(Paper.model_validate({field: read}), field) == value


@pytest.mark.parametrize(
    ("field", "text"), [("total", "1,234"), ("total", "viel"), ("due", "04/05/2026"), ("tags", "[a")]
)
def test_what_can_be_read_in_two_ways_or_none_is_refused(field: str, text: str) -> None:
    """A comma before three digits may part thousands or decimals, and a slash comes behind the day or the month."""
    with pytest.raises(ValidationError):
        Paper.model_validate({field: parsed(fields_of(Paper)[field], text)})
