"""What people may ask of their data, and how long it is kept: export, erasure, retention, and new keys for contents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Engine, Row, Table, and_, exists, func, select, update

from pilot.contract import PilotError
from pilot.records import audit, controls, queries
from pilot.records.crypto import Vault, keyed_hash
from pilot.records.database import now, writing
from pilot.records.tables import answers, items, outcomes, reports

# Logs of a regulated system are kept for six months at least (EU AI Act, articles 19 and 26(6)).
LEAST_DAYS = 183
# Rows in one transaction, between which the service has its turn.
CHUNK = 200
_SEALED: tuple[tuple[Table, str], ...] = (
    (items, "content"),
    (items, "response"),
    (answers, "prediction"),
    (answers, "intervals"),
    (outcomes, "final"),
    (outcomes, "comment"),
    (reports, "comment"),
)
_GONE = ("prediction", "intervals", "suggestion")


def check_retention(days: int, regulated: bool) -> None:
    """Raises PilotError where contents of a regulated pilot would be kept for less than six months."""
    if regulated and 0 < days < LEAST_DAYS:
        raise PilotError(
            f"PILOT_RETENTION_DAYS is {days}, and by its charter this pilot is regulated: what it decided is kept "
            f"for {LEAST_DAYS} days at least. Set {LEAST_DAYS} or more, or 0 to keep everything."
        )


def overdue(connection: Connection, days: int) -> int:
    """How many items have contents that are older than `days`; none where that is 0."""
    return connection.execute(select(func.count()).select_from(items).where(_older(days))).scalar_one() if days else 0


def purge(engine: Engine, vault: Vault, days: int, by: str) -> int:
    """Erases the contents of items that came more than `days` ago, and returns how many."""
    if not days:
        raise PilotError("PILOT_RETENTION_DAYS is not set, so contents are kept. Set after how many days they go.")
    return _erase_all(engine, vault, _older(days), by, "data.purged", {"days": days})


def erase(engine: Engine, vault: Vault, subject: str, by: str) -> int:
    """Erases the contents of a subject's items, and returns how many. The subject stands in the audit trail by its
    pseudonym alone, by which an erasure can be repeated after an old backup was restored.

    Raises PilotError where an item of the subject is still being answered.
    """
    with engine.connect() as connection:
        pseudonym = _pseudonym(connection, vault, subject)
        of = items.c.subject == pseudonym
        if connection.execute(select(exists().where(of, items.c.state != "done"))).scalar_one():
            raise PilotError("Items of this subject are still being answered. Wait a minute and run this again.")
    return _erase_all(engine, vault, of, by, "data.erased", {"subject": pseudonym})


def export(engine: Engine, vault: Vault, subject: str, by: str) -> list[dict[str, Any]]:
    """Everything that is recorded about a subject: its items with their answers and outcomes, in their order."""
    with writing(engine) as connection:
        pseudonym = _pseudonym(connection, vault, subject)
        rows = connection.execute(select(items).where(items.c.subject == pseudonym).order_by(items.c.seq)).all()
        found = [_exported(connection, vault, row) for row in rows]
        audit.append(connection, by, "data.exported", {"subject": pseudonym, "items": [row.id for row in rows]})
    return found


def rotate(engine: Engine, vault: Vault, by: str) -> Iterator[int]:
    """Seals with the first data key whatever is sealed with another, or not at all, while the service runs; yields how
    many contents are done so far. It can be broken off and run again.

    Raises PilotError where no data key is set, or one is missing that sealed a content.
    """
    if vault.key_id is None:
        raise PilotError("PILOT_DATA_KEY is not set. Put the new key before the present one, separated by a comma.")
    done = 0
    with writing(engine) as connection:
        controls.seal_pepper(connection, vault)
    for table, column in _SEALED:
        while changed := _seal_some(engine, vault, table, column):
            done += changed
            yield done
    with writing(engine) as connection:
        audit.append(connection, by, "data.rotated", {"key": vault.key_id, "contents": done})


def _seal_some(engine: Engine, vault: Vault, table: Table, column: str) -> int:
    sealed, key = table.c[column], next(iter(table.primary_key))
    mark = vault.mark
    other = and_(sealed.is_not(None), func.substr(sealed, 1, len(mark)) != mark)
    with writing(engine) as connection:
        rows = connection.execute(select(key, sealed).where(other).order_by(key).limit(CHUNK)).all()
        for identity, content in rows:
            values: dict[str, Any] = {column: vault.seal(vault.open(content))}
            if column == "content":
                values["content_key"] = vault.key_id
            connection.execute(update(table).where(key == identity).values(values))
    return len(rows)


def _older(days: int) -> ColumnElement[bool]:
    there = and_(items.c.erased_at.is_(None), items.c.state == "done")
    return and_(there, items.c.received_at < now() - timedelta(days=days))


def _pseudonym(connection: Connection, vault: Vault, subject: str) -> str:
    return keyed_hash(controls.pepper(connection, vault), subject.encode())


def _erase_all(
    engine: Engine, vault: Vault, which: ColumnElement[bool], by: str, event: str, detail: dict[str, Any]
) -> int:
    erased = 0
    while True:
        with writing(engine) as connection:
            left = select(items).where(which, items.c.erased_at.is_(None)).order_by(items.c.seq).limit(CHUNK)
            rows = connection.execute(left).all()
            for row in rows:
                _erase_one(connection, vault, row)
            if rows or not erased:
                audit.append(connection, by, event, {**detail, "items": [row.id for row in rows]})
        erased += len(rows)
        if len(rows) < CHUNK:
            break
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:  # what was overwritten leaves the write-ahead log too
            connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return erased


def _erase_one(connection: Connection, vault: Vault, row: Row[Any]) -> None:
    """Takes out an item's contents and the names that its caller gave it. How and when it was answered stays, and so do
    the sums."""
    told = queries.response(row, vault)
    told = told and {**told, **dict.fromkeys(_GONE)}
    nothing = dict.fromkeys(("idempotency_key", "source_id", "subject", "group"))
    values = {
        **nothing,
        "fingerprint": "",
        "content": vault.seal(b"{}"),
        "content_key": vault.key_id,
        "response": vault.seal(orjson.dumps(told)) if told else None,
        "erased_at": now(),
    }
    connection.execute(update(items).where(items.c.id == row.id).values(values))
    connection.execute(update(answers).where(answers.c.item_id == row.id).values(prediction=None, intervals=None))
    connection.execute(update(outcomes).where(outcomes.c.item_id == row.id).values(final=None, comment=None))
    connection.execute(update(reports).where(reports.c.item_id == row.id).values(comment=None))


def _exported(connection: Connection, vault: Vault, row: Row[Any]) -> dict[str, Any]:
    made = queries.answers_of(connection, vault, row.id)
    decided = queries.outcomes_of(connection, vault, row.id)
    reported = queries.reports_of(connection, vault, row.id)
    return {
        **{name: getattr(row, name) for name in _OF_ITEM},
        "content": orjson.loads(vault.open(row.content)),
        "answers": [{name: one[name] for name in _OF_ANSWER} for one in made],
        # Who decided is another person, whose name is not the subject's to have.
        "outcomes": [{name: one[name] for name in _OF_OUTCOME} for one in decided],
        "reports": [{name: one[name] for name in _OF_REPORT} for one in reported],
    }


_OF_ITEM = ("id", "caller", "source_id", "group", "received_at", "mode", "status")
_OF_ANSWER = (
    *("role", "model_version", "prediction", "confidence", "confidences", "intervals", "failure", "shown", "ended_at"),
)
_OF_OUTCOME = ("version", "final", "action", "flag", "comment", "at")
_OF_REPORT = ("flag", "comment", "at")
