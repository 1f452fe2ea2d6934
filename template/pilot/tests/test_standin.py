"""The stand-in for a provider, asked by the models that call a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from example_fields import INVOICE, Effort, Invoice, Mail, Reply
from pydantic import BaseModel, Field, TypeAdapter
from small_data import Label

import pilot
from pilot.contract import Answer
from pilot.models.llm import LlmFields, LlmModel
from pilot.operations.standin import Provider, least, provider
from pilot.settings import Settings, load_settings

LABELS = ("access", "billing")
BILL = Mail(subject="Invoice", body="Invoice R-2026-017\nof 1 March")
LOST = Mail(subject="Parcel", body="Where is my parcel?")
AGAIN = Mail(subject="Reminder", body="Invoice R-2026-017\nof 1 March, once more")
UNKNOWN = Mail(subject="Hello", body="A text that nobody knows")
SECOND = INVOICE.model_copy(update={"number": "R-2026-018"})
INVOICES = [(BILL, INVOICE), (AGAIN, SECOND)]
REPLIES = [(BILL, Reply(reply="We have paid it.")), (LOST, Reply(reply="It is on its way."))]
EFFORTS = [(BILL, Effort(points=3)), (LOST, Effort(points=8))]


def text(item: Mail) -> str:
    return f"{item.subject}\n\n{item.body}"


def classifier(settings: Settings) -> LlmModel:
    return LlmModel(settings, prediction=Label, labels=LABELS, instructions="", render=text)


def filling(prediction: type[Any]) -> Any:
    return lambda settings: LlmFields(settings, prediction=prediction, instructions="", render=text)


def ask(
    known: list[Any], items: Sequence[Mail], monkeypatch: pytest.MonkeyPatch, *, load: Any, **states: Any
) -> list[Answer]:
    """The answers of a model whose provider is the stand-in in that state."""
    with provider(known) as (stand_in, variables):
        for name, value in states.items():
            setattr(stand_in, name, value)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        model = load(load_settings(root=Path("/nowhere"), llm_retries=0))

        async def all_of_them() -> list[Answer]:
            return [await model.predict_one(item) for item in items]

        return asyncio.run(all_of_them())


@pytest.mark.parametrize(
    ("known", "kind"), [(INVOICES, Invoice), (REPLIES, Reply), (EFFORTS, Effort)], ids=["extract", "draft", "score"]
)
def test_known_items_are_answered_rightly_others_validly_and_wrong_answers_are_others(
    known: list[Any], kind: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    items, finals = [item for item, _ in known], [final for _, final in known]
    given = ask(known, [*items, UNKNOWN], monkeypatch, load=filling(kind))
    assert [answer.prediction for answer in given[:-1]] == finals
    assert {answer.confidence for answer in given} == {0.9}
    assert (type(given[-1].prediction), given[-1].prediction in finals) == (kind, False)
    wrong = ask(known, [*items, UNKNOWN], monkeypatch, load=filling(kind), wrong=True)
    for right, other in zip(given, wrong, strict=True):
        assert isinstance(other.prediction, kind)
        assert not right.prediction.agrees(other.prediction)  # type: ignore[union-attr]


def test_fields_have_a_confidence_each(monkeypatch: pytest.MonkeyPatch) -> None:
    [answer] = ask(INVOICES, [BILL], monkeypatch, load=filling(Invoice))
    assert answer.confidences == dict.fromkeys(Invoice.model_fields, 0.9)


def test_of_two_known_items_of_which_one_holds_the_other_the_one_that_was_asked_is_meant() -> None:
    for known in (INVOICES, INVOICES[::-1]):
        assert Provider(known)._right(text(AGAIN).replace("\n", "\\n")) == SECOND


def test_a_known_item_is_known_by_its_longest_text_where_the_rest_is_not_in_the_message() -> None:
    hidden = Mail(subject="Z", body="A long text without its subject")
    assert Provider([(hidden, SECOND)])._right(hidden.body) == SECOND
    assert Provider([(hidden, SECOND)])._right("Another text, which has a Z") is None


def test_blanks_at_the_ends_of_a_text_need_not_be_in_the_message() -> None:
    padded = Mail(subject="Parcel", body="Where is my parcel? \n")
    assert Provider([(padded, SECOND)])._right(text(padded).strip()) == SECOND


def test_labels_are_answered_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [(BILL, Label(label="billing")), (LOST, Label(label="access"))]
    items = [BILL, LOST, UNKNOWN]
    given = ask(known, items, monkeypatch, load=classifier)
    assert [answer.prediction for answer in given] == [Label(label=one) for one in ("billing", "access", "access")]
    wrong = ask(known, items, monkeypatch, load=classifier, wrong=True)
    assert [answer.prediction for answer in wrong] == [Label(label=one) for one in ("access", "billing", "billing")]


@pytest.mark.parametrize(
    ("states", "failures"),
    [({"status": 503}, ["provider_error"] * 2), ({"refuses": 2}, [None, "rate_limited"])],
)
def test_it_fails_as_it_is_told(states: Any, failures: list[str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    given = ask(REPLIES, [BILL, LOST], monkeypatch, load=filling(Reply), **states)
    assert [answer.failure for answer in given] == failures


class Inner(BaseModel):
    ways: Annotated[list[Literal["b", "a"]], Field(min_length=2)]
    more: dict[str, int] = {}


class Everything(pilot.Prediction):
    text: str = Field(min_length=3)
    blank: str
    when: date
    none: int | None
    kind: Literal["b", "a"]
    either: int | str
    yes: bool
    inner: Inner
    pair: tuple[int, str]
    above: int = Field(gt=4)
    below: float = Field(le=-2)
    between: float = Field(gt=0, lt=1)
    whole: int = Field(gt=0, le=1)
    share: float = Field(ge=0.2, le=0.8)
    left_out: str = "default"


def test_the_least_value_of_each_kind_fits_its_schema() -> None:
    schema = TypeAdapter(Everything).json_schema()
    assert Everything.model_validate(least(schema, schema["$defs"])).model_dump() == {
        "text": "xxx",
        "blank": "",
        "when": date(2000, 1, 1),
        "none": None,
        "kind": "b",
        "either": 0,
        "yes": False,
        "inner": {"ways": ["b", "b"], "more": {}},
        "pair": (0, ""),
        "above": 5,
        "below": -3,
        "between": 0.5,
        "whole": 1,
        "share": 0.2,
        "left_out": "default",
    }
