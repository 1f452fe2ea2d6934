"""Reads the records: items, the review queue, counts, live items and the health of the service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, false, func, not_, or_, select

from pilot.contract import Prediction
from pilot.fields import recognised
from pilot.metrics import quantile, share
from pilot.records import audit, controls
from pilot.records.crypto import Vault
from pilot.records.database import now, shown_name
from pilot.records.keys import DAILY_ROLES, ORIGINS, holds
from pilot.records.tables import PENDING, answers, items, keys, outcomes, quarantine, reports

# The caller in whose name the service asks for known items. They count for nothing that people look at.
KNOWN_ITEMS = "known-items"
_ASKED = items.c.caller != KNOWN_ITEMS


@dataclass(frozen=True)
class Page:
    """Items, newest first, and the place to go on from, if there are more."""

    rows: list[dict[str, Any]]
    next: int | None


def item(connection: Connection, item_id: str, caller: str | None = None) -> Row[Any] | None:
    """The item's row; none when there is none, or it belongs to another than `caller`."""
    wanted = select(items).where(items.c.id == item_id)
    if caller is not None:
        wanted = wanted.where(items.c.caller == caller)
    return connection.execute(wanted).one_or_none()


def response(row: Row[Any], vault: Vault) -> dict[str, Any] | None:
    """The response as it was given, or none while it is not."""
    return None if row.response is None else orjson.loads(vault.open(row.response))


def page(
    connection: Connection, vault: Vault, *, caller: str | None, origin: str | None, before: int | None, limit: int
) -> Page:
    """A page of items. `caller` none means everybody's; `before` is the `next` of the page before."""
    wanted = select(items).order_by(items.c.seq.desc()).limit(limit + 1)
    for column, value in ((items.c.caller, caller), (items.c.origin, origin)):
        if value is not None:
            wanted = wanted.where(column == value)
    if before is not None:
        wanted = wanted.where(items.c.seq < before)
    rows = connection.execute(wanted).all()
    judged = outcome_versions(connection, [row.id for row in rows[:limit]])
    return Page(
        [envelope(row, vault, judged.get(row.id)) for row in rows[:limit]],
        rows[limit - 1].seq if len(rows) > limit else None,
    )


def envelope(row: Row[Any], vault: Vault, outcome_version: int | None) -> dict[str, Any]:
    """What a caller may know of its item: the response as it was given, and which version of an outcome there is."""
    return {
        **(response(row, vault) or {"id": row.id, "status": "pending", "mode": row.mode, **_NOTHING_YET}),
        "source_id": row.source_id,
        "origin": row.origin,
        "arrived_at": row.arrived_at,
        "received_at": row.received_at,
        "outcome_version": outcome_version,
    }


_NOTHING_YET = dict.fromkeys(("reason", "source", "prediction", "confidence", "confidences", "intervals", "suggestion"))


def outcome_versions(connection: Connection, ids: list[str]) -> dict[str, int]:
    """The present version of the outcome of each item that has one."""
    latest = select(outcomes.c.item_id, func.max(outcomes.c.version)).where(outcomes.c.item_id.in_(ids))
    return dict(connection.execute(latest.group_by(outcomes.c.item_id)).all())


def known_answers(connection: Connection, since: datetime) -> list[Row[Any]]:
    """The last answer to each known item that was asked for since then, sealed as it is recorded, the oldest first."""
    answered = and_(answers.c.item_id == items.c.id, answers.c.role == "primary", answers.c.ended_at.is_not(None))
    mine = (
        select(func.max(items.c.seq))
        .join(answers, answered)
        .where(items.c.caller == KNOWN_ITEMS, items.c.arrived_at >= since, items.c.erased_at.is_(None))
        .group_by(items.c.fingerprint)
    )
    told = (answers.c.prediction, answers.c.failure, answers.c.model_version, answers.c.ended_at)
    wanted = (
        select(items.c.content, *told, outcomes.c.final)
        .join(answers, answered)
        .join(outcomes, outcomes.c.item_id == items.c.id)
        .where(items.c.seq.in_(mine))
    )
    return list(connection.execute(wanted.order_by(items.c.seq)))


def knows(answer: Prediction | None, known: Prediction) -> bool:
    """Whether an answer to a known item counts as right."""
    return answer is not None and (answer.agrees(known) or recognised(answer, known))


def answers_of(connection: Connection, vault: Vault, item_id: str) -> list[dict[str, Any]]:
    """Every answer to an item, its prediction and intervals opened, with the confidence of each of its fields by name
    or none."""
    rows = connection.execute(select(answers).where(answers.c.item_id == item_id).order_by(answers.c.id))
    return [
        {
            **row,
            "prediction": _opened(vault, row["prediction"]),
            "confidences": row["confidences"] and orjson.loads(row["confidences"]),
            "intervals": _opened(vault, row["intervals"]),
        }
        for row in rows.mappings()
    ]


def outcomes_of(connection: Connection, vault: Vault, item_id: str) -> list[dict[str, Any]]:
    """Every version of an item's outcome, oldest first, opened."""
    rows = connection.execute(
        select(outcomes).where(outcomes.c.item_id == item_id).order_by(outcomes.c.version)
    ).mappings()
    return [{**row, **{name: _opened(vault, row[name]) for name in ("final", "comment")}} for row in rows]


def reports_of(connection: Connection, vault: Vault, item_id: str) -> list[dict[str, Any]]:
    """What was reported about an item without a decision, oldest first, opened."""
    rows = connection.execute(select(reports).where(reports.c.item_id == item_id).order_by(reports.c.id)).mappings()
    return [{**row, "comment": _opened(vault, row["comment"])} for row in rows]


def _opened(vault: Vault, stored: bytes | None) -> Any:
    return None if stored is None else orjson.loads(vault.open(stored))


def _waiting() -> ColumnElement[bool]:
    judged = select(outcomes.c.id).where(outcomes.c.item_id == items.c.id).exists()
    there = items.c.erased_at.is_(None)
    return and_(items.c.review.is_not(None), items.c.status.is_not(None), there, ~judged)


def queue(connection: Connection, limit: int) -> list[Row[Any]]:
    """Items that wait for a person, oldest first."""
    return list(connection.execute(select(items).where(_waiting()).order_by(items.c.seq).limit(limit)))


def queue_length(connection: Connection) -> int:
    """How many items wait for a person."""
    return _count(connection, _waiting())


def next_in_queue(connection: Connection, after: int) -> Row[Any] | None:
    """The item that waits behind `after` (a seq), else the first of the queue."""
    ahead = select(items).where(_waiting(), items.c.seq > after).order_by(items.c.seq).limit(1)
    return connection.execute(ahead).one_or_none() or next(iter(queue(connection, 1)), None)


def _count(connection: Connection, *which: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(items).where(*which)).scalar_one()


def counts(connection: Connection) -> dict[str, Any]:
    """Items by origin, mode, status and model version, and the rows in quarantine."""

    def by(statement: Select[Any]) -> dict[str, int]:
        return {str(name): count for name, count in connection.execute(statement) if name is not None}

    def grouped(column: Any) -> dict[str, int]:
        return by(select(column, func.count()).where(_ASKED).group_by(column).order_by(column))

    version = answers.c.model_version
    primary = and_(answers.c.role == "primary", _ASKED)
    models = select(version, func.count()).join(items).where(primary).group_by(version).order_by(version)
    reason = answers.c.failure
    failures = select(reason, func.count()).join(items).where(primary).group_by(reason).order_by(reason)
    return {
        "items": _count(connection, _ASKED),
        "by_origin": grouped(items.c.origin),
        "by_mode": grouped(items.c.mode),
        "by_status": grouped(items.c.status),
        "by_model_version": by(models),
        "by_failure": by(failures),
        "pending": _count(connection, PENDING),
        "waiting_for_review": queue_length(connection),
        "quarantined": connection.execute(select(func.count()).select_from(quarantine)).scalar_one(),
    }


@dataclass(frozen=True, slots=True)
class Spent:
    """What the model's answers to a caller have cost, the `dearest` of them, and how many had no price."""

    cost: float = 0.0
    dearest: float = 0.0
    unpriced: int = 0


def spent(connection: Connection, since: datetime) -> dict[str, Spent]:
    """What the model's answers to items that came since then have cost, by caller. One that failed may cost nothing."""
    of = and_(items.c.origin.in_(ORIGINS), items.c.received_at >= since, answers.c.role == "primary")
    made = and_(of, answers.c.ended_at.is_not(None))
    cost = answers.c.cost
    unpriced = func.count().filter(cost.is_(None), answers.c.failure.is_(None))
    sums = (func.coalesce(func.sum(cost), 0.0), func.coalesce(func.max(cost), 0.0), unpriced)
    wanted = select(items.c.caller, *sums).join_from(items, answers).where(made).group_by(items.c.caller)
    return {caller: Spent(*found) for caller, *found in connection.execute(wanted)}


@dataclass(frozen=True, slots=True)
class Judged:
    """Sums over items: how many there are, and have an outcome. Of those that a person was to decide while the AI was
    on, `compared` have an outcome and an answer, of which `agreeing` agree; each with the weight of its choice, which
    is one over the probability of an audit and else 1."""

    items: int
    outcomes: int
    compared: float
    agreeing: float
    rules_compared: float
    rules_agreeing: float


def judged(connection: Connection, origin: str | None = None) -> Judged:
    """The sums behind agreement and coverage, of the first outcome of each item, and without answers of a model that
    had learned from the item."""
    unseen = func.coalesce(answers.c.trained, false()).is_(False)
    asked = and_(items.c.review.is_not(None), items.c.mode != "off", unseen)
    weight = 1.0 / func.coalesce(func.nullif(answers.c.audit_probability, 0.0), 1.0)

    def total_of(which: ColumnElement[bool]) -> Any:
        return func.coalesce(func.sum(weight).filter(and_(asked, which)), 0.0)

    wanted = (
        select(
            func.count(),
            total_of(outcomes.c.agreement.is_not(None)),
            total_of(outcomes.c.agreement.is_(True)),
            total_of(outcomes.c.rules_agreement.is_not(None)),
            total_of(outcomes.c.rules_agreement.is_(True)),
        )
        .select_from(outcomes)
        .join(items, items.c.id == outcomes.c.item_id)
        .where(outcomes.c.version == 1, _ASKED)
        .outerjoin(answers, and_(answers.c.item_id == items.c.id, answers.c.role == "primary"))
    )
    total = select(func.count()).where(_ASKED)
    if origin is not None:
        wanted, total = wanted.where(items.c.origin == origin), total.where(items.c.origin == origin)
    return Judged(connection.execute(total).scalar_one(), *connection.execute(wanted).one())


def answer_seconds(connection: Connection) -> list[float]:
    """How long each answer of the primary model took, in seconds; the latest ten thousand."""
    took = (
        select(answers.c.begun_at, answers.c.ended_at)
        .join(items)
        .where(_ASKED, answers.c.role == "primary", answers.c.ended_at.is_not(None), answers.c.failure.is_(None))
    )
    rows = connection.execute(took.order_by(answers.c.id.desc()).limit(10_000))
    return [(ended - begun).total_seconds() for begun, ended in rows]


def summary(connection: Connection) -> dict[str, Any]:
    """Counts and shares over everything recorded but known items, and by origin; only `live` counts for the gates.

    `agreement` is the metric accuracy, which `pilot evaluate` has of the items of its window: the share of judged items
    whose answer agrees with the first decision, failures and abstentions counting against it, an audited one for all
    that it speaks for. `coverage`: share of items with an outcome. `latency`: seconds of the model's answers. A share
    of nothing is none.
    """
    found = counts(connection)
    seconds = answer_seconds(connection)
    return {
        "mode": controls.mode(connection).value,
        **found,
        **_quality(judged(connection)),
        "origins": {origin: _quality(judged(connection, origin)) for origin in ORIGINS if origin in found["by_origin"]},
        "latency": {"median": quantile(seconds, 0.5), "p95": quantile(seconds, 0.95), "answers": len(seconds)},
    }


def _quality(judged: Judged) -> dict[str, Any]:
    return {
        "items": judged.items,
        "outcomes": judged.outcomes,
        "coverage": share(judged.outcomes, judged.items),
        "agreement": share(judged.agreeing, judged.compared),
        "rules_agreement": share(judged.rules_agreeing, judged.rules_compared),
    }


# An item that came just now may still be with the model.
GRACE = timedelta(minutes=10)
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Live:
    """The live items of a database: how many, when the first came and when a model first answered one; `incomplete`
    lists the ids of some of those whose record is not whole; of the `asked`, which a person is to decide, `judged` have
    an outcome, the last of them of `last_outcome_at`. `head` is the last hash of the audit trail."""

    database: str
    scratch: bool
    items: int
    first_item_at: datetime | None
    first_answer_at: datetime | None
    incomplete_items: int
    incomplete: tuple[str, ...]
    asked: int
    judged: int
    last_outcome_at: datetime | None
    head: str


def live(connection: Connection) -> Live:
    """The live items of the database behind the connection."""
    of_live = items.c.origin == "live"
    judged = exists().where(outcomes.c.item_id == items.c.id)
    asked = and_(of_live, items.c.review.is_not(None))
    partial = and_(of_live, items.c.received_at < now() - GRACE, _incomplete())
    count, first = connection.execute(select(func.count(), func.min(items.c.received_at)).where(of_live)).one()
    of_model = and_(of_live, answers.c.source == "model", answers.c.role == "primary", answers.c.failure.is_(None))
    answered = select(func.min(answers.c.ended_at)).join(items, items.c.id == answers.c.item_id).where(of_model)
    last = select(func.max(outcomes.c.at)).join(items, items.c.id == outcomes.c.item_id).where(of_live)
    shown = select(items.c.id).where(partial).order_by(items.c.seq).limit(_SHOWN)
    return Live(
        database=shown_name(connection.engine),
        scratch=controls.scratch(connection),
        items=count,
        first_item_at=first,
        first_answer_at=connection.execute(answered).scalar(),
        incomplete_items=_count(connection, partial),
        incomplete=tuple(connection.execute(shown).scalars()),
        asked=_count(connection, asked),
        judged=_count(connection, and_(asked, judged)),
        last_outcome_at=connection.execute(last).scalar(),
        head=audit.head(connection),
    )


def _incomplete() -> ColumnElement[bool]:
    """Whether an item's record is missing a part: the response, an answer of the rules, one of the model unless the AI
    was off, or what an answer said or why it failed."""

    def answer(role: str) -> ColumnElement[bool]:
        whole = or_(answers.c.prediction.is_not(None), answers.c.failure.is_not(None))
        held = and_(answers.c.item_id == items.c.id, answers.c.role == role, answers.c.ended_at.is_not(None), whole)
        return exists().where(held)

    return or_(
        items.c.state != "done",
        items.c.status.is_(None),
        items.c.response.is_(None),
        not_(answer("rules")),
        and_(items.c.mode != "off", not_(answer("primary"))),
    )


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """The mode in force; whether the database is `embedded` in one process; how many live items are kept `in_clear`,
    without encryption; whether a `single_reviewer` made all decisions on live items; the `roles` without a key in
    force; the number of the first entry of the audit trail that does not hold, or None."""

    mode: str
    embedded: bool
    in_clear: int
    single_reviewer: bool
    keyless_roles: tuple[str, ...]
    audit_break: int | None


def service_health(connection: Connection) -> ServiceHealth:
    """The service behind the connection. Reads the whole audit trail, which takes seconds where it is long."""
    of_live = items.c.origin == "live"
    made = select(outcomes.c.made_by).join(items, items.c.id == outcomes.c.item_id).where(of_live).distinct()
    deciders = set(connection.execute(made).scalars())
    people = set(connection.execute(select(keys.c.name).where(keys.c.role == "reviewer")).scalars())
    held = set(connection.execute(select(keys.c.role).where(holds())).scalars())
    return ServiceHealth(
        mode=controls.mode(connection).value,
        embedded=connection.dialect.name == "sqlite",
        in_clear=_count(connection, of_live, items.c.content_key.is_(None)),
        # A caller's key belongs to a system, behind which any number of people may decide.
        single_reviewer=len(deciders) == 1 and deciders <= people,
        keyless_roles=tuple(role for role in DAILY_ROLES if role not in held),
        audit_break=audit.first_break(connection),
    )
