"""The response: what a caller gets, and how a person is asked, for each mode and whatever became of the model."""

from __future__ import annotations

import random

import orjson

from pilot.contract import Prediction
from pilot.records.controls import Mode
from pilot.records.writer import AnswerRecord, Record

_draw = random.Random().random  # noqa: S311 - a sample, not a secret


def acknowledge(record: Record) -> None:
    """Shadow: the same for every item, before the model is asked."""
    record.status, record.review = "recorded", "blind"
    record.response = _response(record, None, None, None, None)


def respond(
    record: Record, primary: AnswerRecord | None, rules: AnswerRecord, threshold: float, audit_share: float
) -> None:
    """Fills in status, reason, review and response of an item that is answered at once.

    In auto a share `audit_share` of what is answered is also queued for blind review.
    """
    answer = primary.answer if primary else None
    if answer is None:
        reason: str | None = record.reason or "off"
    elif answer.failure is not None:
        reason = answer.failure
    elif record.mode == Mode.AUTO and (answer.confidence is None or answer.confidence < threshold):
        reason = "low_confidence"
    else:
        reason = None
    if primary and answer and reason is None:
        record.status, record.review, primary.shown = "answered", "assist", True
        if record.mode == Mode.AUTO:
            primary.audit_probability = audit_share
            record.review = "audit" if _draw() < audit_share else None
        record.response = _response(record, None, answer.prediction, answer.confidence, None)
    else:
        record.status, record.review, record.reason = "needs_human", "manual", reason
        suggestion = rules.answer.prediction if rules.answer else None
        rules.shown = suggestion is not None
        if primary and record.mode == Mode.AUTO:
            primary.audit_probability = 1.0
        record.response = _response(record, reason, None, None, suggestion)


def _response(
    record: Record,
    reason: str | None,
    prediction: Prediction | None,
    confidence: float | None,
    suggestion: Prediction | None,
) -> bytes:
    return orjson.dumps(
        {
            "id": record.id,
            "status": record.status,
            "reason": reason,
            "mode": record.mode,
            "source": "model" if prediction else "process" if suggestion else None,
            "prediction": prediction.model_dump(mode="json") if prediction else None,
            "confidence": confidence,
            "suggestion": suggestion.model_dump(mode="json") if suggestion else None,
        }
    )
