"""The envelope of one item: what came, what was answered, and what was decided."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from pilot.contract import Answer, Item, Prediction


@dataclass(slots=True)
class AnswerRecord:
    """An answer, when it was made and by which model or rules."""

    role: str
    source: str
    answer: Answer | None
    model_version: str
    config_hash: str
    begun_at: datetime
    ended_at: datetime | None
    shown: bool = False
    audit_probability: float | None = None


@dataclass(slots=True)
class Record:
    """An item on its way through the service: what came, what was answered, and the response as it was given."""

    caller: str
    origin: str
    mode: str
    item: Item
    content: bytes
    fingerprint: str
    request_id: str
    arrived_at: datetime
    received_at: datetime
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    idempotency_key: str | None = None
    source_id: str | None = None
    subject: str | None = None
    group: str | None = None
    review: str | None = None
    status: str | None = None
    reason: str | None = None
    response: bytes | None = None
    answers: list[AnswerRecord] = field(default_factory=list)
    final: Prediction | None = None


def agreement(prediction: Prediction | None, final: Prediction | None) -> bool:
    """Whether an answer counts as right: a failure, an abstention and a rejected answer do not."""
    return prediction is not None and final is not None and prediction.agrees(final)


def agreements(record: Record, final: Prediction | None) -> tuple[bool | None, bool | None]:
    """Whether the answers of the model and of the rules count as right; none where there is no answer yet."""
    found = {made.role: made.answer for made in record.answers if made.answer is not None}
    primary, rules = found.get("primary"), found.get("rules")
    return (
        None if primary is None else agreement(primary.prediction, final),
        None if rules is None else agreement(rules.prediction, final),
    )
