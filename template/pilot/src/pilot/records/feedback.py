"""Feedback: what people flagged about an answer, or callers reported, until somebody has looked at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

import orjson
from sqlalchemy import ColumnElement, Connection, Table, and_, func, insert, select, update

from pilot.contract import PilotError
from pilot.records import audit
from pilot.records.crypto import Vault
from pilot.records.database import now
from pilot.records.outcomes import Flag, Refused, is_final, latest
from pilot.records.tables import items, outcomes, reports

# A report is named by this letter and its number, a flag of an outcome by its number.
_REPORT = "r"


@dataclass(frozen=True)
class Feedback:
    """A flag with its item and what was decided about it; the contents are none where they were erased."""

    id: str
    item: str
    flag: str
    by: str
    at: datetime
    comment: str | None
    content: dict[str, Any] | None
    final: dict[str, Any] | None


def report(
    connection: Connection, vault: Vault, item_id: str, flag: str, comment: str | None, by: str
) -> tuple[str, bool]:
    """Records a flag without a decision, in an open transaction. Returns its id, and whether it is new: where the same
    flag of the same caller waits on this item already, that is the one.

    Raises Refused where the item's contents were erased.
    """
    erased = connection.execute(select(items.c.erased_at).where(items.c.id == item_id).with_for_update()).scalar()
    if erased is not None:
        raise Refused("flag", "The contents of this item were erased, so nothing more is said about it.")
    same = and_(reports.c.item_id == item_id, reports.c.made_by == by, reports.c.flag == flag)
    waiting = connection.execute(select(reports.c.id).where(same, _open(reports))).scalar()
    if waiting is not None:
        return f"{_REPORT}{waiting}", False
    sealed = vault.seal(orjson.dumps(comment)) if comment else None
    row = {"item_id": item_id, "made_by": by, "flag": flag, "comment": sealed, "at": now()}
    made = f"{_REPORT}{connection.execute(insert(reports).values(row).returning(reports.c.id)).scalar_one()}"
    audit.append(connection, by, "feedback.reported", {"item": item_id, "feedback": made, "flag": flag})
    return made, True


def unread(connection: Connection, vault: Vault, ids: Sequence[str] | None = None) -> list[Feedback]:
    """What nobody has looked at yet, the unsafe first and then the oldest; of `ids`, those alone."""
    content, last = (items.c.content, items.c.erased_at), latest()
    flagged = select(outcomes, *content).join(items, items.c.id == outcomes.c.item_id).where(_open(outcomes))
    decided = items.outerjoin(last, last.c.item_id == items.c.id).outerjoin(outcomes, is_final(last))
    reported = select(reports, outcomes.c.final, *content).select_from(decided)
    reported = reported.join(reports, reports.c.item_id == items.c.id).where(_open(reports))
    if ids is not None:
        flagged, reported = (
            wanted.where(table.c.id.in_(_numbers(ids, table)))
            for wanted, table in ((flagged, outcomes), (reported, reports))
        )

    def opened(stored: bytes | None, row: Any) -> Any:
        return None if stored is None or row.erased_at is not None else orjson.loads(vault.open(stored))

    found = [
        Feedback(
            f"{prefix}{row.id}",
            row.item_id,
            row.flag,
            row.made_by,
            row.at,
            opened(row.comment, row),
            opened(row.content, row),
            opened(row.final, row),
        )
        for prefix, wanted in (("", flagged), (_REPORT, reported))
        for row in connection.execute(wanted.order_by("id"))
    ]
    return sorted(found, key=lambda one: (one.flag != "unsafe", one.at))


def _open(table: Table) -> ColumnElement[bool]:
    return and_(table.c.flag.is_not(None), table.c.triaged_at.is_(None))


def _numbers(ids: Sequence[str], table: Table) -> list[int]:
    """The numbers that these ids name in the table."""
    prefix = _REPORT if table is reports else ""
    numbers = [id.removeprefix(prefix) for id in ids if id.startswith(prefix)]
    return [int(number) for number in numbers if number.isascii() and number.isdigit() and len(number) < 10]


def named(connection: Connection, vault: Vault, ids: Sequence[str]) -> list[Feedback]:
    """The feedback with these ids, in their order. Raises PilotError where one is not there or was looked at."""
    found = {one.id: one for one in unread(connection, vault, ids)}
    missing = [id for id in ids if id not in found]
    if missing:
        raise PilotError(f"No feedback waits under {', '.join(missing)}: `pilot feedback list` names what does.")
    return [found[id] for id in dict.fromkeys(ids)]


def triage(connection: Connection, ids: Sequence[str], by: str, event: str, why: str) -> None:
    """Notes that somebody has looked at feedback, and what came of it: the event `adopted` or `dismissed`."""
    for table in (outcomes, reports):
        connection.execute(update(table).where(table.c.id.in_(_numbers(ids, table))).values(triaged_at=now()))
    told = [int(id) if id.isdecimal() else id for id in ids]
    audit.append(connection, by, f"feedback.{event}", {"feedback": told, "why": why})


def oldest(connection: Connection) -> dict[str, datetime | None]:
    """When the oldest feedback came that nobody has looked at, by its flag; none where none waits."""
    found: dict[str, datetime] = {}
    for table in (outcomes, reports):
        waiting = select(table.c.flag, func.min(table.c.at)).where(_open(table)).group_by(table.c.flag)
        for flag, at in connection.execute(waiting):
            found[flag] = min(at, found.get(flag, at))
    return {flag: found.get(flag) for flag in get_args(Flag)}
