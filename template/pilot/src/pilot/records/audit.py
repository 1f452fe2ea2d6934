"""The audit trail: a chain of hashes from its first row, written in the transaction of the change."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select

from pilot.records.database import now
from pilot.records.tables import audit

GENESIS = "0" * 64
# Made once: each commit needs them.
_HEAD = select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
_INSERT = insert(audit)


def append(connection: Connection, actor: str, event: str, detail: dict[str, Any], at: datetime | None = None) -> None:
    """Adds an entry. The transaction must come from `writing`, which keeps the chain in one order."""
    head = connection.execute(_HEAD).one_or_none()
    seq, previous = (head.seq + 1, head.hash) if head else (1, GENESIS)
    row = {
        "seq": seq,
        "at": at or now(),
        "actor": actor,
        "event": event,
        "detail": orjson.dumps(detail, option=orjson.OPT_SORT_KEYS).decode(),
        "previous": previous,
    }
    connection.execute(_INSERT, {**row, "hash": entry_hash(row)})


def head(connection: Connection) -> str:
    """The hash of the last entry, which covers all before it."""
    found = connection.execute(_HEAD).one_or_none()
    return found.hash if found else GENESIS


def entry_hash(row: dict[str, Any]) -> str:
    """SHA-256 over an entry and the hash of the one before it."""
    at = row["at"].astimezone(UTC).isoformat(timespec="microseconds")
    parts = [row["previous"], row["seq"], at, row["actor"], row["event"], row["detail"]]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()


def first_break(connection: Connection) -> int | None:
    """The number of the first entry that was altered, moved, or lost its predecessor; none if all hold."""
    previous = GENESIS
    rows = connection.execution_options(yield_per=1000).execute(select(audit).order_by(audit.c.seq))
    for expected, row in enumerate(rows.mappings(), start=1):
        if row["seq"] != expected or row["previous"] != previous or row["hash"] != entry_hash(dict(row)):
            return int(row["seq"])
        previous = row["hash"]
    return None
