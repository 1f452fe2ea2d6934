"""The response to an item, for each mode and whatever became of the model."""

from __future__ import annotations

import random
from collections.abc import Sequence

import orjson

from pilot.contract import Answer, Prediction
from pilot.records.controls import Mode
from pilot.records.tables import Review, Status
from pilot.records.writer import AnswerRecord, Record, Response

_draw = random.Random().random  # noqa: S311 - a sample, not a secret


def respond(
    record: Record, answers: Sequence[AnswerRecord], *, threshold: float, audit_share: float, off: str = "off"
) -> Response:
    """The response to an item with these answers of the model and the rules.

    In shadow it is the same whatever was answered, so it can be given before. In auto, an answer with a confidence from
    `threshold` on is used, and a share `audit_share` of those is queued for blind review. `off` is the reason where no
    model was asked.
    """
    if record.mode == Mode.SHADOW:
        return Response(Status.RECORDED, Review.BLIND, None, _body(record, Status.RECORDED))
    found = {made.role: made.answer for made in answers}
    primary, rules = found.get("primary"), found.get("rules")
    auto = record.mode == Mode.AUTO
    reason = off if primary is None else _refusal(primary, threshold if auto else None)
    if primary and reason is None:
        audited = auto and _draw() < audit_share
        review = None if auto and not audited else Review.AUDIT if audited else Review.ASSIST
        body = _body(record, Status.ANSWERED, prediction=primary.prediction, confidence=primary.confidence)
        return Response(Status.ANSWERED, review, None, body, "primary", audit_share if auto else None)
    suggestion = rules.prediction if rules else None
    body = _body(record, Status.NEEDS_HUMAN, reason, suggestion=suggestion)
    shown, audited_by = "rules" if suggestion else None, 1.0 if primary and auto else None
    return Response(Status.NEEDS_HUMAN, Review.MANUAL, reason, body, shown, audited_by)


def _refusal(answer: Answer, threshold: float | None) -> str | None:
    """Why an answer of the model is not used; none where it is."""
    if answer.failure is not None:
        return answer.failure
    if threshold is not None and (answer.confidence is None or answer.confidence < threshold):
        return "low_confidence"
    return None


def _body(
    record: Record,
    status: Status,
    reason: str | None = None,
    *,
    prediction: Prediction | None = None,
    confidence: float | None = None,
    suggestion: Prediction | None = None,
) -> bytes:
    return orjson.dumps(
        {
            "id": record.id,
            "status": status,
            "reason": reason,
            "mode": record.mode,
            "source": "model" if prediction else "process" if suggestion else None,
            "prediction": prediction.model_dump(mode="json") if prediction else None,
            "confidence": confidence,
            "suggestion": suggestion.model_dump(mode="json") if suggestion else None,
        }
    )
