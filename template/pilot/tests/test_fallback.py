"""The response of each mode, whatever became of the model."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from example_team import Item, Prediction

from pilot.contract import Answer, Failure
from pilot.records.database import now
from pilot.records.writer import AnswerRecord, Record
from pilot.serving import responses

FIELDS = ["id", "status", "reason", "mode", "source", "prediction", "confidence", "suggestion"]


def _record(mode: str) -> Record:
    return Record("shop", "live", mode, Item(text="a"), b"", "f", "r", now(), now())


def _answer(role: str, answer: Answer | None) -> AnswerRecord:
    return AnswerRecord(role, "model" if role == "primary" else "process", answer, "1", "c", now(), now())


def _respond(mode: str, model: Answer | None, rules: Answer, share: float = 0.0) -> tuple[Record, Any]:
    record = _record(mode)
    primary = None if model is None else _answer("primary", model)
    responses.respond(record, primary, _answer("rules", rules), 0.8, share)
    assert record.response is not None
    return record, orjson.loads(record.response)


GOOD, RULE = Answer(Prediction(label="x"), 0.9), Answer(Prediction(label="rule"), 1.0)
ABSTAINED = Answer.failed(Failure.ABSTAINED)


def test_every_response_has_the_same_fields_in_the_same_order() -> None:
    record = _record("shadow")
    responses.acknowledge(record)
    assert record.response is not None
    assert list(orjson.loads(record.response)) == FIELDS
    for mode in ("off", "assist", "auto"):
        for model in (None, GOOD, ABSTAINED):
            assert list(_respond(mode, model, RULE)[1]) == FIELDS


@pytest.mark.parametrize("failure", list(Failure))
def test_a_failure_is_never_the_models_answer(failure: Failure) -> None:
    record, told = _respond("auto", Answer.failed(failure), RULE)
    assert (told["status"], told["reason"], told["source"], told["prediction"]) == (
        "needs_human", failure.value, "process", None,
    )  # fmt: skip
    assert (record.review, told["suggestion"]) == ("manual", {"label": "rule"})


def test_where_the_rules_abstain_too_there_is_no_suggestion_and_no_source() -> None:
    told = _respond("assist", ABSTAINED, ABSTAINED)[1]
    assert (told["status"], told["source"], told["suggestion"]) == ("needs_human", None, None)


def test_an_item_for_people_is_audited_for_certain_and_an_answered_one_by_its_share() -> None:
    low = _answer("primary", Answer(Prediction(label="x"), 0.1))
    responses.respond(_record("auto"), low, _answer("rules", RULE), 0.8, 0.3)
    assert (low.audit_probability, low.shown) == (1.0, False)
    high = _answer("primary", GOOD)
    responses.respond(_record("auto"), high, _answer("rules", RULE), 0.8, 0.3)
    assert (high.audit_probability, high.shown) == (0.3, True)


def test_assist_knows_no_threshold_and_no_audit() -> None:
    primary = _answer("primary", Answer(Prediction(label="x"), 0.0))
    record = _record("assist")
    responses.respond(record, primary, _answer("rules", RULE), 0.8, 1.0)
    assert (record.status, record.review, primary.audit_probability) == ("answered", "assist", None)
