"""Writes items, answers and refused rows: each function takes an open transaction and a batch, which is one commit."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, Row, bindparam, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from pilot.contract import Answer, Item, Prediction
from pilot.records import audit
from pilot.records.crypto import Vault
from pilot.records.database import now
from pilot.records.outcomes import agreement
from pilot.records.tables import PENDING, Review, Status, answers, items, outcomes, quarantine

LEASE = timedelta(seconds=30)
# What is stored as it is, in clear.
_OF_RECORD = (
    *("id", "caller", "request_id", "idempotency_key", "source_id", "fingerprint", "subject", "group", "origin"),
    *("arrived_at", "received_at", "mode", "rollout_version"),
)
_OF_ANSWER_RECORD = ("role", "source", "model_version", "config_hash", "begun_at", "ended_at")
_OF_ANSWER = ("confidence", "cost", "tokens", "failure", "trained")


@dataclass(frozen=True, slots=True)
class Record:
    """An item as it came in. `final` is the decision that a file brought along."""

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
    rollout_version: int | None = None
    final: Prediction | None = None


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """An answer, when it was made and by which model or rules. Without an answer it was begun and has not ended."""

    role: str
    source: str
    answer: Answer | None
    model_version: str
    config_hash: str
    begun_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Response:
    """The response to an item: its body as the caller gets it, and how a person is asked.

    `shown` is the role of the answer in the body, `audit_probability` the one with which a primary answer is audited.
    """

    status: Status
    review: Review | None
    reason: str | None
    body: bytes
    shown: str | None = None
    audit_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Insert:
    """A new item with what is known of it. One that is `pending` is leased to this process until it is completed."""

    record: Record
    response: Response | None = None
    answers: tuple[AnswerRecord, ...] = ()
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call of a remote model for a pending item, noted before it is made, so that no call is repeated."""

    record: Record
    answer: AnswerRecord


@dataclass(frozen=True, slots=True)
class Complete:
    """The answers of a pending item, and the response to it."""

    record: Record
    response: Response
    answers: tuple[AnswerRecord, ...]


def agreements(answers: Sequence[AnswerRecord], final: Prediction | None) -> tuple[bool | None, bool | None]:
    """Whether the answers of the model and of the rules count as right; none where there is no answer yet."""
    found = {made.role: made.answer for made in answers if made.answer is not None}
    primary, rules = found.get("primary"), found.get("rules")
    return (
        None if primary is None else agreement(primary.prediction, final),
        None if rules is None else agreement(rules.prediction, final),
    )


class Writer:
    """Writes what happened. `owner` names this process in leases."""

    def __init__(self, vault: Vault, prediction: type[Prediction]) -> None:
        self.owner = str(uuid.uuid4())
        self._vault = vault
        self._prediction = prediction

    def insert(self, connection: Connection, batch: Sequence[Insert]) -> list[Row[Any] | None]:
        """Inserts items with the answers and outcomes that they have.

        Returns for each none where it was inserted, or the row that holds its caller's idempotency key or source id
        already; that one was not written again.
        """
        rows = [self._item_row(change) for change in batch]
        existing: dict[str, Row[Any]] = {}
        if any(change.record.idempotency_key or change.record.source_id for change in batch):
            existing = self._insert_new(connection, batch, rows)
        else:
            connection.execute(_INSERT_ITEMS, rows)
        new = [change for change in batch if change.record.id not in existing]
        if new:
            answers = [self._answer_row(change, found) for change in new for found in change.answers]
            if answers:
                connection.execute(_INSERT_ANSWERS, answers)
            self._insert_finals(connection, new)
            _trail(connection, "items.recorded", new)
        return [existing.get(change.record.id) for change in batch]

    def attempt(self, connection: Connection, batch: Sequence[Attempt]) -> list[bool]:
        """Notes that a remote model is about to be called for these items.

        Returns for each whether this process may call: it still held the lease, and nobody had called before.
        """
        ids = [change.record.id for change in batch]
        free = self._held(connection, ids) - self.attempted(connection, ids)
        rows = [self._answer_row(change, change.answer) for change in batch if change.record.id in free]
        if rows:
            connection.execute(_INSERT_ANSWERS, rows)
        return [identity in free for identity in ids]

    def complete(self, connection: Connection, batch: Sequence[Complete]) -> list[bool]:
        """Completes pending items with their answers.

        Returns for each whether this process still held its lease; where it did not, nothing was written.
        """
        ids = [change.record.id for change in batch]
        held = self._held(connection, ids)
        batch = [change for change in batch if change.record.id in held]
        if batch:
            attempted = self.attempted(connection, list(held))
            known, fresh = [], []
            for change in batch:
                for found in change.answers:
                    row = self._answer_row(change, found)
                    if found.role == "primary" and change.record.id in attempted:
                        known.append({f"b_{name}": value for name, value in row.items()})
                    else:
                        fresh.append(row)
            if known:
                connection.execute(_UPDATE_ANSWER, known)
            if fresh:
                connection.execute(_INSERT_ANSWERS, fresh)
            connection.execute(
                _COMPLETE,
                [
                    {f"b_{name}": value for name, value in self._response_row(change.response).items()}
                    | {"b_id": change.record.id}
                    for change in batch
                ],
            )
            self._judge(connection, batch)
            _trail(connection, "items.answered", batch)
        return [identity in held for identity in ids]

    def renew(self, connection: Connection) -> None:
        """Keeps this process's leases."""
        mine = (PENDING) & (items.c.lease_owner == self.owner)
        connection.execute(update(items).where(mine).values(lease_until=now() + LEASE))

    def claim(self, connection: Connection, most: int, held: Collection[str], *, shadow: bool = True) -> list[Row[Any]]:
        """Takes over pending items of processes that are gone, and own ones that are not `held`. Longest lapsed first.

        Without `shadow` only those whose caller has no response yet.
        """
        lapsed = or_(items.c.lease_until < now(), items.c.lease_owner == self.owner)
        left = select(items).where(PENDING, lapsed, items.c.id.not_in(held))
        if not shadow:
            left = left.where(items.c.response.is_(None))
        rows = list(
            connection.execute(
                left.order_by(items.c.lease_until, items.c.seq).limit(most).with_for_update(skip_locked=True)
            )
        )
        if rows:
            taken = items.c.id.in_([row.id for row in rows])
            connection.execute(update(items).where(taken).values(lease_owner=self.owner, lease_until=now() + LEASE))
        return rows

    def release(self, connection: Connection) -> None:
        """Gives up this process's leases, so that another may resume at once."""
        mine = (PENDING) & (items.c.lease_owner == self.owner)
        connection.execute(update(items).where(mine).values(lease_until=now()))

    def _held(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        mine = select(items.c.id).where(items.c.id.in_(ids), PENDING, items.c.lease_owner == self.owner)
        return set(connection.execute(mine.with_for_update()).scalars())

    def attempted(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        """Those of the items whose model call was begun."""
        begun = select(answers.c.item_id).where(answers.c.item_id.in_(ids), answers.c.role == "primary")
        return set(connection.execute(begun).scalars())

    def _item_row(self, change: Insert) -> dict[str, Any]:
        return {
            **{name: getattr(change.record, name) for name in _OF_RECORD},
            "content": self._vault.seal(change.record.content),
            "content_key": self._vault.key_id,
            "state": "pending" if change.pending else "done",
            "lease_owner": self.owner if change.pending else None,
            "lease_until": now() + LEASE if change.pending else None,
            **self._response_row(change.response),
        }

    def _response_row(self, response: Response | None) -> dict[str, Any]:
        if response is None:
            return dict.fromkeys(("review", "status", "reason", "response"))
        stated = {"review": response.review, "status": response.status, "reason": response.reason}
        return {**stated, "response": self._vault.seal(response.body)}

    def _insert_new(
        self, connection: Connection, batch: Sequence[Insert], rows: list[dict[str, Any]]
    ) -> dict[str, Row[Any]]:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        # Row by row: a batch may hold the same key twice, and the second must find the first.
        existing = {}
        for change, row in zip(batch, rows, strict=True):
            inserted = connection.execute(
                dialect.insert(items).values(row).on_conflict_do_nothing().returning(items.c.id)
            ).one_or_none()
            if inserted is None:
                record = change.record
                found = find(connection, record.caller, record.idempotency_key, record.source_id)
                if found is None:
                    raise RuntimeError("an item was refused as known and then not found")
                existing[record.id] = found
        return existing

    def _answer_row(self, change: Insert | Attempt | Complete, found: AnswerRecord) -> dict[str, Any]:
        answer = found.answer or Answer()
        response = None if isinstance(change, Attempt) else change.response
        return {
            **{name: getattr(found, name) for name in _OF_ANSWER_RECORD},
            **{name: getattr(answer, name) for name in _OF_ANSWER},
            "item_id": change.record.id,
            "prediction": self._sealed(answer.prediction),
            "confidences": answer.confidences and orjson.dumps(answer.confidences).decode(),
            "intervals": answer.intervals and self._vault.seal(orjson.dumps(answer.intervals)),
            "shown": response is not None and response.shown == found.role,
            "audit_probability": response.audit_probability if response and found.role == "primary" else None,
        }

    def _sealed(self, prediction: Prediction | None) -> bytes | None:
        return None if prediction is None else self._vault.seal(prediction.model_dump_json().encode())

    def _insert_finals(self, connection: Connection, batch: Sequence[Insert]) -> None:
        """Outcomes that a file brought along with its items."""
        rows = []
        for change in batch:
            record = change.record
            if record.final is not None:
                primary, rules = agreements(change.answers, record.final)
                rows.append(
                    {
                        "item_id": record.id,
                        "version": 1,
                        "final": self._sealed(record.final),
                        "made_by": record.caller,
                        "agreement": primary,
                        "rules_agreement": rules,
                        "at": record.received_at,
                    }
                )
        if rows:
            connection.execute(insert(outcomes), rows)

    def _judge(self, connection: Connection, batch: Sequence[Complete]) -> None:
        """Fills in the agreement of outcomes that were there before the answer."""
        answers = {change.record.id: change.answers for change in batch}
        waiting = select(outcomes.c.id, outcomes.c.item_id, outcomes.c.final).where(outcomes.c.item_id.in_(answers))
        rows = []
        for row in connection.execute(waiting).all():
            final = None
            if row.final is not None:
                final = self._prediction.model_validate_json(self._vault.open(row.final))
            primary, rules = agreements(answers[row.item_id], final)
            rows.append({"b_id": row.id, "b_agreement": primary, "b_rules_agreement": rules})
        if rows:
            connection.execute(_JUDGE, rows)


def find(connection: Connection, caller: str, idempotency_key: str | None, source_id: str | None) -> Row[Any] | None:
    """The caller's item with this idempotency key, else the one with this source id, if there is one."""
    for column, value in ((items.c.idempotency_key, idempotency_key), (items.c.source_id, source_id)):
        wanted = select(items).where(items.c.caller == caller, column == value)
        if value is not None and (row := connection.execute(wanted).one_or_none()) is not None:
            return row
    return None


def _trail(connection: Connection, event: str, batch: Sequence[Insert] | Sequence[Complete]) -> None:
    records = [change.record for change in batch]
    detail = {"items": [one.id for one in records], "modes": sorted({one.mode for one in records})}
    audit.append(connection, "service", event, detail)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was refused. `row_id` tells it from the other rows of its source."""

    row_id: str
    line: int
    reason: str


def quarantine_rows(connection: Connection, source: str, refusals: list[Refusal]) -> int:
    """Keeps the refusals of a source that are not kept already, and returns how many those were."""
    if not refusals:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    new = 0
    for refusal in refusals:
        row = {"source": source, "row_id": refusal.row_id, "line": refusal.line, "reason": refusal.reason, "at": now()}
        kept = dialect.insert(quarantine).values(row).on_conflict_do_nothing().returning(quarantine.c.id)
        new += connection.execute(kept).scalar() is not None
    if new:
        audit.append(connection, "ingest", "rows.quarantined", {"source": source, "rows": new})
    return new


# Statements are made once: each commit needs them.
_INSERT_ITEMS = insert(items)
_INSERT_ANSWERS = insert(answers)
_UPDATE_ANSWER = (
    update(answers)
    .where(tuple_(answers.c.item_id, answers.c.role) == tuple_(bindparam("b_item_id"), bindparam("b_role")))
    .values(
        {
            name: bindparam(f"b_{name}")
            for name in (
                *_OF_ANSWER,
                "prediction",
                "confidences",
                "intervals",
                "ended_at",
                "shown",
                "audit_probability",
            )
        }
    )
)
_COMPLETE = (
    update(items)
    .where(items.c.id == bindparam("b_id"))
    .values(
        state="done",
        lease_owner=None,
        lease_until=None,
        review=bindparam("b_review"),
        status=bindparam("b_status"),
        reason=bindparam("b_reason"),
        response=bindparam("b_response"),
    )
)
_JUDGE = (
    update(outcomes)
    .where(outcomes.c.id == bindparam("b_id"))
    .values(agreement=bindparam("b_agreement"), rules_agreement=bindparam("b_rules_agreement"))
)
