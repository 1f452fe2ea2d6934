"""What the AI and people said about judged live items, opened one by one; the items themselves stay closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, select

from pilot.contract import Prediction
from pilot.records.crypto import Vault
from pilot.records.outcomes import latest
from pilot.records.tables import answers, items, outcomes

_CHUNK = 5_000
FAILED = "(no answer)"


@dataclass(frozen=True, slots=True)
class Pair:
    """The answer of one model version, None where it failed, and the final decision about the same item. `cost` is in
    the currency of the model, None where it is not known."""

    item_id: str
    version: str
    group: str | None
    answer: Prediction | None
    final: Prediction
    cost: float | None
    seconds: float


def read(
    connection: Connection, vault: Vault, kind: type[Prediction], *, until: datetime | None = None, role: str | None
) -> Iterator[Pair]:
    """The answers of the role (None: of all roles) to judged live items of before `until`, in the order of arrival.

    Raises PilotError where a data key is not set that sealed them.
    """
    last = latest(until)
    wanted = (
        select(
            items.c.id,
            answers.c.model_version,
            items.c.group,
            answers.c.prediction,
            outcomes.c.final,
            answers.c.cost,
            answers.c.begun_at,
            answers.c.ended_at,
        )
        .select_from(items)
        .join(last, last.c.item_id == items.c.id)
        .join(outcomes, and_(outcomes.c.item_id == items.c.id, outcomes.c.version == last.c.version))
        .join(answers, answers.c.item_id == items.c.id)
        .where(items.c.origin == "live", answers.c.ended_at.is_not(None), outcomes.c.final.is_not(None))
        .order_by(items.c.seq, answers.c.id)
    )
    if role is not None:
        wanted = wanted.where(answers.c.role == role)
    if until is not None:
        wanted = wanted.where(items.c.received_at < until)
    rows = connection.execution_options(yield_per=_CHUNK).execute(wanted)
    for item_id, version, group, prediction, sealed, cost, begun, ended in rows:
        answer = None if prediction is None else kind.model_validate_json(vault.open(prediction))
        final = kind.model_validate_json(vault.open(sealed))
        yield Pair(item_id, version, group, answer, final, cost, (ended - begun).total_seconds())


def label(prediction: Prediction | None) -> str | None:
    """A prediction in one word, where it has one field that holds one; FAILED where there is none. None where it holds
    more than a word, which no table can show."""
    if prediction is None:
        return FAILED
    fields: dict[str, Any] = prediction.model_dump(mode="json")
    value = next(iter(fields.values()), None)
    return str(value) if len(fields) == 1 and isinstance(value, str | int | bool) else None
