"""The form of a decision: which control each field has, and what becomes of what is entered."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, model_validator

import pilot
from pilot.contract import Prediction
from pilot.fields import Draft, SameText
from pilot.serving import forms, schemas


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    what: str
    quantity: int
    price: Decimal | None = None


class Seller(BaseModel):
    name: str
    city: str | None = None


class Invoice(pilot.Prediction):
    number: str
    total: float = Field(ge=0)
    currency: Literal["EUR", "GBP"]
    seller: Seller
    buyer: Seller | None = None
    due: date | None = None
    seen: datetime | None = None
    at: time | None = None
    paid: bool
    colour: Colour | None = None
    topics: list[Literal["a", "b", "c"]] = Field([])
    references: list[str]
    lines: list[Line] = Field([])
    note: str | None = Field(None, max_length=500)
    reply: Annotated[str | None, Draft()] = None
    extra: dict[str, Any] = Field({})


WHOLE = Invoice(
    number="A 1",
    total=12.5,
    currency="EUR",
    seller=Seller(name="Lind"),
    due=date(2026, 11, 7),
    seen=datetime(2026, 11, 7, 14, 5),
    paid=True,
    colour=Colour.BLUE,
    topics=["a", "c"],
    references=["one", "two"],
    lines=[Line(what="paper", quantity=2, price=Decimal("3.20")), Line(what="ink", quantity=1)],
    reply="Hello,\n\nyes.",
    extra={"k": [1]},
)
ASKED = forms.questions(Invoice, ())
FILLED = forms.as_fields(ASKED, WHOLE.model_dump(mode="json"))
BODY = schemas.outcome_request(Invoice)


def entered(asked: tuple[forms.Question, ...], model: type[Prediction], form: dict[str, str], **more: Any) -> Any:
    return forms.entered(form, asked, schemas.outcome_request(model), more.pop("assist", False), **more)


def of_invoice(**changes: str) -> forms.Entered:
    """What is entered where a form that is filled in is changed."""
    form = {**FILLED, **{f"final-{name}": value for name, value in changes.items()}}
    return forms.entered(form, ASKED, BODY, assist=True, answer=WHOLE)


def test_each_type_has_the_control_that_fits() -> None:
    found = {question.name: (question.control, question.attributes("")) for question in ASKED}
    assert found == {
        "number": ("short", {}),
        "total": ("short", {"inputmode": "decimal"}),
        "currency": ("radios", {}),
        "seller": ("group", {}),
        "buyer": ("group", {}),
        "due": ("short", {"type": "date"}),
        "seen": ("short", {"type": "datetime-local", "step": "any"}),
        "at": ("short", {"type": "time", "step": "any"}),
        "paid": ("radios", {}),
        "colour": ("radios", {}),
        "topics": ("checkboxes", {}),
        "references": ("lines", {}),
        "lines": ("rows", {}),
        "note": ("long", {}),
        "reply": ("long", {}),
        "extra": ("json", {}),
    }
    assert {question.name for question in ASKED if question.required} == {
        "number",
        "total",
        "currency",
        "seller",
        "paid",
    }


def test_a_form_that_is_filled_in_gives_back_its_prediction() -> None:
    assert entered(ASKED, Invoice, FILLED).values["final"] == WHOLE


def test_an_answer_left_as_it_was_is_accepted() -> None:
    found = of_invoice()
    assert (found.errors, found.values["action"], found.values["final"]) == ({}, "accepted", None)


def test_a_field_that_was_edited_is_a_change_and_the_others_stay() -> None:
    found = of_invoice(total="13")
    assert found.values["action"] == "changed"
    assert found.values["final"] == WHOLE.model_copy(update={"total": 13.0})


def test_an_edit_that_makes_no_difference_accepts() -> None:
    class Name(pilot.Prediction):
        name: Annotated[str, SameText()]
        other: str | None = None

    asked, answer = forms.questions(Name, ()), Name(name="Lind & Co.")
    found = entered(asked, Name, {"final-name": "lind & co"}, assist=True, answer=answer)
    assert (found.values["action"], found.values["final"].name) == ("accepted", "lind & co")


def test_a_rejected_answer_has_a_decision_only_where_one_was_entered() -> None:
    form = {**FILLED, "action": "rejected"}
    assert forms.entered(form, ASKED, BODY, assist=True, answer=WHOLE).values["final"] is None
    found = forms.entered({**form, "final-number": "B 2"}, ASKED, BODY, assist=True, answer=WHOLE)
    assert (found.values["action"], found.values["final"].number) == ("rejected", "B 2")


def test_what_a_form_cannot_show_survives_in_fields_that_nobody_touched() -> None:
    class Odd(pilot.Prediction):
        at: datetime
        words: list[str]
        name: str

    answer = Odd.model_validate({"at": "2026-11-07T14:05:00+02:00", "words": ["two\nlines"], "name": "x"})
    asked = forms.questions(Odd, ())
    form = forms.as_fields(asked, answer.model_dump(mode="json"))
    assert asked[0].attributes(form["final-at"]) == {}
    found = entered(asked, Odd, {**form, "final-name": "y"}, assist=True, answer=answer)
    assert found.values["final"] == answer.model_copy(update={"name": "y"})


def test_an_optional_field_left_empty_is_nothing() -> None:
    found = of_invoice(due="", note=" ", colour="", **{"seller-city": ""})
    final = found.values["final"]
    assert (final.due, final.note, final.colour, final.buyer, final.seller.city) == (None, None, None, None, None)


def test_what_is_missing_is_said_at_its_field() -> None:
    found = entered(ASKED, Invoice, {"final-buyer-city": "Leeds", "final-lines-1-what": "ink"})
    assert found.errors == {
        "final-number": "Enter the number.",
        "final-total": "Enter the total.",
        "final-currency": "Choose the currency.",
        "final-seller-name": "Enter the name (Seller).",
        "final-buyer-name": "Enter the name (Buyer).",
        "final-paid": "Choose the paid.",
        "final-lines-1-quantity": "Enter the quantity (Lines, row 1).",
    }


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("total", "many", "Total: enter a number, such as 1234.50."),
        ("total", "nan", "Total: enter a number, such as 1234.50."),
        ("total", "1,234", "Total: the comma can be read in two ways; enter 1234 or 1.234."),
        ("total", "-1", "Total: it must be 0.0 or more."),
        ("due", "soon", "Due: enter a date, such as 2026-11-30."),
        ("lines-1-quantity", "1,5", "Quantity (Lines, row 2): enter a whole number, such as 12."),
        (
            "extra",
            "{",
            "Extra: enter it as JSON; Expecting property name enclosed in double quotes: line 1 column 2 (char 1).",
        ),
        ("currency", "CHF", "Currency: it must be 'EUR' or 'GBP'."),
        ("note", "x" * 501, "Note: it may have 500 characters at most."),
    ],
)
def test_what_does_not_fit_is_said_at_its_field_in_plain_words(name: str, given: str, said: str) -> None:
    assert of_invoice(**{name: given}).errors == {f"final-{name}": said}


def test_an_error_in_a_row_is_at_that_row_although_another_is_empty() -> None:
    class Bill(pilot.Prediction):
        class Entry(BaseModel):
            amount: float = Field(gt=0)

        entries: list[Entry]
        note: str | None = None

    asked = forms.questions(Bill, ())
    found = entered(asked, Bill, {"final-entries-0-amount": "", "final-entries-2-amount": "-1"})
    assert found.errors == {"final-entries-2-amount": "Amount (Entries, row 2): it must be more than 0.0."}


def test_an_error_about_all_fields_has_a_place() -> None:
    class Sum(pilot.Prediction):
        net: float
        gross: float

        @model_validator(mode="after")
        def add_up(self) -> Sum:
            if self.net > self.gross:
                raise ValueError("the net amount is more than the gross one")
            return self

    found = entered(forms.questions(Sum, ()), Sum, {"final-net": "2", "final-gross": "1"})
    assert found.errors == {"final": "The net amount is more than the gross one."}


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("12.50", 12.5),
        ("12,50", 12.5),
        ("-12,5", -12.5),
        ("1.234,56", 1234.56),
        ("1,234.56", 1234.56),
        ("1 234,5", 1234.5),
        ("1'234", 1234.0),
        ("1.234.567", 1234567.0),
        ("1.234", 1.234),
        ("1e-05", 1e-05),
        ("\u22123", -3.0),
    ],
)
def test_numbers_are_read_as_people_write_them(given: str, number: float) -> None:
    assert entered(forms.questions(Score, ()), Score, {"final-points": given}).values["final"] == Score(points=number)


def test_a_whole_number_may_have_marks_between_thousands() -> None:
    class Count(pilot.Prediction):
        count: int

    asked = forms.questions(Count, ())
    for given in ("1.234", "1,234", "1234"):
        assert entered(asked, Count, {"final-count": given}).values["final"] == Count(count=1234)


def test_rows_that_are_empty_do_not_count_and_others_keep_their_order() -> None:
    form = {f"final-lines-{n}-{name}": "" for n in range(5) for name in ("what", "quantity", "price")}
    form |= {"final-lines-3-what": "pens", "final-lines-3-quantity": "7"}
    lines = of_invoice(**{name.removeprefix("final-"): given for name, given in form.items()}).values["final"].lines
    assert lines == [Line(what="pens", quantity=7)]


def test_a_list_has_an_empty_row_at_its_end_and_gets_more() -> None:
    lines = next(question for question in ASKED if question.name == "lines")
    assert lines.shown_rows({}) == [0, 1, 2]
    assert lines.shown_rows(FILLED) == [0, 1, 2]
    form = dict(FILLED)
    assert forms.more_rows(form, ASKED, "final-lines") == "final-lines-2-what"
    assert lines.shown_rows(form) == [0, 1, 2, 3, 4]
    assert entered(ASKED, Invoice, form).values["final"] == WHOLE
    assert forms.more_rows(form, ASKED, "final-number") == ""


def test_a_list_within_a_list_gets_more_rows_too() -> None:
    class Box(BaseModel):
        name: str
        lines: list[Line]

    class Load(pilot.Prediction):
        boxes: list[Box]

    asked = forms.questions(Load, ())
    form = {"final-boxes-0-name": "x", "final-boxes-0-lines-0-what": "ink", "final-boxes-0-lines-0-quantity": "1"}
    assert forms.more_rows(form, asked, "final-boxes-0-lines") == "final-boxes-0-lines-1-what"
    assert entered(asked, Load, form).values["final"] == Load(
        boxes=[Box(name="x", lines=[Line(what="ink", quantity=1)])]
    )


class Node(BaseModel):
    name: str
    inner: list[Node] = Field([])


class Tree(pilot.Prediction):
    root: Node


def test_a_schema_that_contains_itself_ends_in_json() -> None:
    inner = next(part for part in forms.questions(Tree, ())[0].parts if part.name == "inner")
    deeper = next(part for part in inner.row(0) if part.name == "inner")
    deepest = next(part for part in deeper.row(0) if part.name == "inner")
    assert (inner.control, deeper.control, deepest.control) == ("rows", "rows", "json")
    tree = Tree.model_validate({"root": {"name": "a", "inner": [{"name": "b"}]}})
    asked = forms.questions(Tree, ())
    assert entered(asked, Tree, forms.as_fields(asked, tree.model_dump(mode="json"))).values["final"] == tree


class Label(pilot.Prediction):
    label: str


class Reply(pilot.Prediction):
    reply: Annotated[str, Draft()]


class Score(pilot.Prediction):
    points: float


@pytest.mark.parametrize(("model", "exchanged"), [(Label, True), (Reply, False), (Score, False), (Invoice, False)])
def test_a_single_label_is_exchanged_and_every_other_answer_edited(model: type[Prediction], exchanged: bool) -> None:
    assert forms.exchanged(forms.questions(model, ())) is exchanged


def test_labels_are_the_choices_of_the_one_field_that_is_required() -> None:
    class Sorted(pilot.Prediction):
        label: str
        note: str | None = None

    label, note = forms.questions(Sorted, ("x", "y"))
    assert (label.control, tuple(label.choices), note.control) == ("radios", ("x", "y"), "short")


def test_only_drafts_that_changed_have_differences() -> None:
    asked, before = forms.questions(Reply, ()), Reply(reply="Dear Ann, no. ")
    assert forms.drafts(asked, before, Reply(reply="Dear Ann, no.")) == []
    ((title, pieces),) = forms.drafts(asked, before, Reply(reply="Dear Ann, yes."))
    assert title == "Reply"
    assert ("out", "no.") in [(what, words.strip()) for what, words in pieces]
    assert ("in", "yes.") in [(what, words.strip()) for what, words in pieces]
