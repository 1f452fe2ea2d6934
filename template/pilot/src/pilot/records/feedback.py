"""Feedback: what people flagged about an answer, until somebody has looked at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

import orjson
from sqlalchemy import Connection, and_, case, func, select, update

from pilot.contract import PilotError
from pilot.records import audit
from pilot.records.crypto import Vault
from pilot.records.database import now
from pilot.records.outcomes import Flag
from pilot.records.tables import items, outcomes

_OPEN = and_(outcomes.c.flag.is_not(None), outcomes.c.triaged_at.is_(None))


@dataclass(frozen=True)
class Feedback:
    """A flag with its item and what was decided about it; the contents are none where they were erased."""

    id: int
    item: str
    flag: str
    by: str
    at: datetime
    comment: str | None
    content: dict[str, Any] | None
    final: dict[str, Any] | None


def unread(connection: Connection, vault: Vault, ids: Sequence[int] | None = None) -> list[Feedback]:
    """What nobody has looked at yet, the unsafe first and then the oldest; of `ids`, those alone."""
    columns = (outcomes, items.c.content, items.c.erased_at)
    wanted = select(*columns).join(items, items.c.id == outcomes.c.item_id).where(_OPEN)
    if ids is not None:
        wanted = wanted.where(outcomes.c.id.in_(ids))
    ordered = wanted.order_by(case((outcomes.c.flag == "unsafe", 0), else_=1), outcomes.c.at, outcomes.c.id)

    def opened(stored: bytes | None, row: Any) -> Any:
        return None if stored is None or row.erased_at is not None else orjson.loads(vault.open(stored))

    return [
        Feedback(
            row.id,
            row.item_id,
            row.flag,
            row.made_by,
            row.at,
            opened(row.comment, row),
            opened(row.content, row),
            opened(row.final, row),
        )
        for row in connection.execute(ordered)
    ]


def named(connection: Connection, vault: Vault, ids: Sequence[int]) -> list[Feedback]:
    """The feedback with these ids, in their order. Raises PilotError where one is not there or was looked at."""
    found = {one.id: one for one in unread(connection, vault, ids)}
    missing = [str(id) for id in ids if id not in found]
    if missing:
        raise PilotError(f"No feedback waits under {', '.join(missing)}: `pilot feedback list` names what does.")
    return [found[id] for id in dict.fromkeys(ids)]


def triage(connection: Connection, ids: Sequence[int], by: str, event: str, why: str) -> None:
    """Notes that somebody has looked at feedback, and what came of it: the event `adopted` or `dismissed`."""
    connection.execute(update(outcomes).where(outcomes.c.id.in_(ids)).values(triaged_at=now()))
    audit.append(connection, by, f"feedback.{event}", {"feedback": list(ids), "why": why})


def oldest(connection: Connection) -> dict[str, datetime | None]:
    """When the oldest feedback came that nobody has looked at, by its flag; none where none waits."""
    waiting = select(outcomes.c.flag, func.min(outcomes.c.at)).where(_OPEN).group_by(outcomes.c.flag)
    found = dict(connection.execute(waiting).all())
    return {flag: found.get(flag) for flag in get_args(Flag)}
