"""Rows that were refused: where they stood and why, never what they held."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from pilot.records import audit
from pilot.records.database import now
from pilot.records.tables import quarantine


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was refused. `row_id` tells it from the other rows of its source."""

    row_id: str
    line: int
    reason: str


def keep(connection: Connection, source: str, refusals: list[Refusal]) -> int:
    """Keeps the refusals of a source that are not kept already, and gives how many those were."""
    if not refusals:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    new = 0
    for refusal in refusals:
        row = {"source": source, "row_id": refusal.row_id, "line": refusal.line, "reason": refusal.reason, "at": now()}
        insert = dialect.insert(quarantine).values(row).on_conflict_do_nothing().returning(quarantine.c.id)
        new += connection.execute(insert).scalar() is not None
    if new:
        audit.append(connection, "ingest", "rows.quarantined", {"source": source, "rows": new})
    return new
