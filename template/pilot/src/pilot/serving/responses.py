"""The response to an item, for each mode and whatever became of the model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import cast

import orjson

from pilot.contract import Answer, Prediction
from pilot.fields import fields_of, required
from pilot.records.controls import Mode
from pilot.records.tables import Review, Status
from pilot.records.writer import AnswerRecord, Record, Response

_draw = random.Random().random  # noqa: S311 - a sample, not a secret


def respond(
    record: Record,
    answers: Sequence[AnswerRecord],
    *,
    threshold: float,
    audit_share: float,
    thresholds: Mapping[str, float] | None = None,
    off: str = "off",
) -> Response:
    """The response to an item with these answers of the model and the rules.

    In shadow it is the same whatever was answered, so it can be given before. In auto, an answer with a confidence from
    `threshold` on is used (`thresholds` are those of single fields), and a share `audit_share` of those is queued for
    blind review. `off` is the reason where no model was asked.
    """
    if record.mode == Mode.SHADOW:
        return Response(Status.RECORDED, Review.BLIND, None, _body(record, Status.RECORDED))
    found = {made.role: made.answer for made in answers}
    primary, rules = found.get("primary"), found.get("rules")
    auto = record.mode == Mode.AUTO
    reason = off if primary is None else primary.failure
    if auto and primary and reason is None and not _sure(primary, threshold, thresholds or {}):
        reason = "low_confidence"
    if primary and reason is None:
        audited = auto and _draw() < audit_share
        review = None if auto and not audited else Review.AUDIT if audited else Review.ASSIST
        body = _body(record, Status.ANSWERED, answer=primary)
        return Response(Status.ANSWERED, review, None, body, "primary", audit_share if auto else None)
    suggestion = rules.prediction if rules else None
    body = _body(record, Status.NEEDS_HUMAN, reason, suggestion=suggestion)
    shown, audited_by = "rules" if suggestion else None, 1.0 if primary and auto else None
    return Response(Status.NEEDS_HUMAN, Review.MANUAL, reason, body, shown, audited_by)


def _sure(answer: Answer, threshold: float, thresholds: Mapping[str, float]) -> bool:
    """Whether each required field of an answer reaches its threshold. A field that the model gave no confidence has the
    answer's. Where none is required, those with a confidence decide, else all."""
    given = answer.confidences
    if not given and not thresholds:
        return answer.confidence is not None and answer.confidence >= threshold
    kind, given = cast("type[Prediction]", type(answer.prediction)), given or {}
    found = {name: given.get(name, answer.confidence) for name in required(kind) or given or fields_of(kind)}
    return all(sure is not None and sure >= thresholds.get(name, threshold) for name, sure in found.items())


def _body(
    record: Record,
    status: Status,
    reason: str | None = None,
    *,
    answer: Answer | None = None,
    suggestion: Prediction | None = None,
) -> bytes:
    prediction = answer and answer.prediction
    return orjson.dumps(
        {
            "id": record.id,
            "status": status,
            "reason": reason,
            "mode": record.mode,
            "source": "model" if prediction else "process" if suggestion else None,
            "prediction": prediction.model_dump(mode="json") if prediction else None,
            "confidence": answer and answer.confidence,
            "confidences": answer and answer.confidences,
            "intervals": answer and answer.intervals,
            "suggestion": suggestion.model_dump(mode="json") if suggestion else None,
        }
    )
