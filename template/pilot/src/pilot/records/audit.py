"""The audit trail: a chain of hashes from its first row, written in the transaction of the change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, insert, select, update

from pilot.contract import PilotError
from pilot.records.database import now
from pilot.records.tables import audit, settings_in_force

GENESIS = "0" * 64
# Where the number and the hash of the last entry stand: a chain alone does not show that its tail was cut.
CHECKPOINT = "audit_checkpoint"
_FIELDS = ("seq", "at", "actor", "event", "detail", "previous", "hash")
# How far, in entries, one that stands in another's place is looked for.
_NEAR = 1000
# Made once: each commit needs them.
_HEAD = select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
_INSERT = insert(audit)
_MARK = (
    update(settings_in_force)
    .where(settings_in_force.c.name == CHECKPOINT)
    .values(value=bindparam("b_value"), at=bindparam("b_at"), version=settings_in_force.c.version + 1)
)


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
    hashed = entry_hash(row)
    connection.execute(_INSERT, {**row, "hash": hashed})
    value, moment = f"{seq} {hashed}", row["at"]
    if connection.execute(_MARK, {"b_value": value, "b_at": moment}).rowcount == 0:
        first = {"name": CHECKPOINT, "value": value, "version": 1, "at": moment, "by": "service"}
        connection.execute(insert(settings_in_force), first)


def head(connection: Connection) -> str:
    """The hash of the last entry, which covers all before it."""
    return last(connection)[1]


def last(connection: Connection) -> tuple[int, str]:
    """The number of entries and the hash of the last one."""
    found = connection.execute(_HEAD).one_or_none()
    return (found.seq, found.hash) if found else (0, GENESIS)


def entries(connection: Connection, after: int, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` entries from the one after `after` on, in their order."""
    wanted = select(*(audit.c[name] for name in _FIELDS)).where(audit.c.seq > after).order_by(audit.c.seq).limit(limit)
    return [dict(zip(_FIELDS, row, strict=True)) for row in connection.execute(wanted)]


def entry_hash(row: dict[str, Any]) -> str:
    """SHA-256 over an entry and the hash of the one before it."""
    at = row["at"].astimezone(UTC).isoformat(timespec="microseconds")
    parts = [row["previous"], row["seq"], at, row["actor"], row["event"], row["detail"]]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()


def read_entries(file: Path) -> list[dict[str, Any]]:
    """The entries of a file, a JSON object on each line.

    Raises PilotError where a line is none, with its number.
    """
    found = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            entry = orjson.loads(line)
            found.append({**{name: entry[name] for name in _FIELDS}, "at": datetime.fromisoformat(entry["at"])})
        except (ValueError, KeyError, TypeError) as error:
            raise PilotError(
                f"{file}, line {number} is no entry of an audit trail ({type(error).__name__})."
            ) from error
    return found


def end(entries: list[dict[str, Any]]) -> tuple[int, str]:
    """How many entries there are, and the hash of the last one."""
    return len(entries), entries[-1]["hash"] if entries else GENESIS


@dataclass(frozen=True, slots=True)
class Flaw:
    """The first entry from which a trail does not hold, and what is wrong there."""

    seq: int
    what: str


def first_break(connection: Connection) -> int | None:
    """The number of the first entry that was altered, moved, cut off or lost its predecessor; none if all hold."""
    found = verify(connection)
    return found.seq if found else None


def verify(connection: Connection, anchors: Mapping[str, str] | None = None) -> Flaw | None:
    """The first flaw of the database's trail, which must reach its checkpoint. `anchors` as in `flaw`."""
    mark = connection.execute(
        select(settings_in_force.c.value).where(settings_in_force.c.name == CHECKPOINT)
    ).scalar_one_or_none()
    count, _, hashed = (mark or "0 ").partition(" ")
    rows = connection.execution_options(yield_per=1000).execute(select(audit).order_by(audit.c.seq))
    return flaw((dict(row) for row in rows.mappings()), anchors or {}, (int(count), hashed))


def flaw(
    entries: Iterable[dict[str, Any]], anchors: Mapping[str, str], checkpoint: tuple[int, str] = (0, "")
) -> Flaw | None:
    """The first flaw of a trail, none where it holds.

    `anchors` are hashes of its past last entries that were kept elsewhere, with the name of that place; `checkpoint` is
    the number and the hash of its last entry. What comes behind the checkpoint was written by older code.
    """
    left = dict(anchors)
    previous, seq = GENESIS, 0
    left.pop(GENESIS, None)
    for expected, row in enumerate(entries, start=1):
        seq = int(row["seq"])
        if seq != expected:
            what = f"is missing, and {seq} follows" if seq > expected else f"is missing: {seq} stands there"
            return Flaw(expected, what)
        if row["hash"] != entry_hash(row):
            near = range(max(1, seq - _NEAR), seq + _NEAR)
            other = next((one for one in near if entry_hash({**row, "seq": one}) == row["hash"]), None)
            return Flaw(seq, f"stands in another's place: it was entry {other}" if other else "was altered")
        if row["previous"] != previous:
            return Flaw(seq, "does not follow the one before it, which was altered or replaced")
        if seq == checkpoint[0] and row["hash"] != checkpoint[1]:
            return Flaw(seq, "is not the one that the checkpoint names")
        previous = row["hash"]
        left.pop(previous, None)
    if seq < checkpoint[0]:
        return Flaw(seq + 1, f"is missing: the tail was cut, the checkpoint counts {checkpoint[0]} entries")
    if left:
        named, place = next(iter(left.items()))
        return Flaw(
            seq + 1,
            f"may be missing: {place} names the head {named[:12]}, which is not in the trail. Its tail was cut, or it "
            "is another database's",
        )
    return None
