"""The response of each mode, whatever became of the model."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from example_team import Item, Prediction

from pilot.contract import Answer, Failure
from pilot.records.database import now
from pilot.records.writer import AnswerRecord, Record, Response
from pilot.serving.responses import respond

FIELDS = [
    *("id", "status", "reason", "mode", "source", "prediction", "confidence", "confidences", "intervals", "suggestion")
]
GOOD, RULE = Answer(Prediction(label="x"), 0.9), Answer(Prediction(label="rule"), 1.0)
ABSTAINED = Answer.failed(Failure.ABSTAINED)


def _respond(mode: str, model: Answer | None, rules: Answer | None, share: float = 0.0) -> tuple[Response, Any]:
    record = Record("shop", "live", mode, Item(text="a"), b"", "f", "r", now(), now())
    made = tuple(
        AnswerRecord(role, source, answer, "1", "c", now(), now())
        for role, source, answer in (("primary", "model", model), ("rules", "process", rules))
        if answer is not None
    )
    response = respond(record, made, threshold=0.8, audit_share=share)
    return response, orjson.loads(response.body)


def test_every_response_has_the_same_fields_in_the_same_order() -> None:
    for mode in ("off", "shadow", "assist", "auto"):
        for model in (None, GOOD, ABSTAINED):
            assert list(_respond(mode, model, RULE)[1]) == FIELDS


@pytest.mark.parametrize("model", [None, GOOD, ABSTAINED])
def test_in_shadow_the_response_tells_nothing_of_the_answers(model: Answer | None) -> None:
    response, body = _respond("shadow", model, None if model is None else RULE)
    assert (response.status, response.review, response.shown) == ("recorded", "blind", None)
    assert {name: body[name] for name in ("source", "prediction", "confidence", "suggestion")} == dict.fromkeys(
        ("source", "prediction", "confidence", "suggestion")
    )


@pytest.mark.parametrize("failure", list(Failure))
def test_a_failure_is_never_the_models_answer(failure: Failure) -> None:
    response, body = _respond("auto", Answer.failed(failure), RULE)
    assert (body["status"], body["reason"], body["source"], body["prediction"]) == (
        "needs_human", failure.value, "process", None,
    )  # fmt: skip
    assert (response.review, response.shown, body["suggestion"]) == ("manual", "rules", {"label": "rule"})


def test_where_the_rules_abstain_too_there_is_no_suggestion_and_no_source() -> None:
    response, body = _respond("assist", ABSTAINED, ABSTAINED)
    assert (body["status"], body["source"], body["suggestion"], response.shown) == ("needs_human", None, None, None)


def test_an_item_for_people_is_audited_for_certain_and_an_answered_one_by_its_share() -> None:
    low = _respond("auto", Answer(Prediction(label="x"), 0.1), RULE, 0.3)[0]
    assert (low.reason, low.audit_probability, low.shown) == ("low_confidence", 1.0, "rules")
    high = _respond("auto", GOOD, RULE, 0.3)[0]
    assert (high.reason, high.audit_probability, high.shown) == (None, 0.3, "primary")


def test_assist_knows_no_threshold_and_no_audit() -> None:
    response = _respond("assist", Answer(Prediction(label="x"), 0.0), RULE, 1.0)[0]
    assert (response.status, response.review, response.audit_probability) == ("answered", "assist", None)
