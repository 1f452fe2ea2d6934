"""What is recorded of live items, in figures: what the gates look at. No content is read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, exists, func, not_, or_, select

from pilot.records import audit, controls
from pilot.records.database import now, shown_name
from pilot.records.tables import answers, items, outcomes

# An item that came just now may still be with the model.
GRACE = timedelta(minutes=10)
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Live:
    """The live items of a database: how many, when the first came and when a model first answered one; `incomplete`
    lists the ids of some of those whose record lacks a part; of the `asked`, which a person is to decide, `judged` have
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
    lacking = and_(of_live, items.c.received_at < now() - GRACE, _incomplete())
    count, first = connection.execute(select(func.count(), func.min(items.c.received_at)).where(of_live)).one()
    of_model = and_(of_live, answers.c.source == "model", answers.c.role == "primary", answers.c.failure.is_(None))
    answered = select(func.min(answers.c.ended_at)).join(items, items.c.id == answers.c.item_id).where(of_model)
    last = select(func.max(outcomes.c.at)).join(items, items.c.id == outcomes.c.item_id).where(of_live)

    def number(which: ColumnElement[bool]) -> int:
        return connection.execute(select(func.count()).select_from(items).where(which)).scalar_one()

    return Live(
        database=shown_name(connection.engine),
        scratch=controls.scratch(connection),
        items=count,
        first_item_at=first,
        first_answer_at=connection.execute(answered).scalar(),
        incomplete_items=number(lacking),
        incomplete=tuple(
            connection.execute(select(items.c.id).where(lacking).order_by(items.c.seq).limit(_SHOWN)).scalars()
        ),
        asked=number(asked),
        judged=number(and_(asked, judged)),
        last_outcome_at=connection.execute(last).scalar(),
        head=audit.head(connection),
    )


def _incomplete() -> ColumnElement[bool]:
    """Whether an item lacks a part of its record: the response, an answer of the rules, one of the model unless the AI
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
