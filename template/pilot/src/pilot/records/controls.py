"""The settings in force that change while the service runs: the mode, and the database's own secret."""

from __future__ import annotations

import base64
import secrets
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, exists, insert, select, update

from pilot.contract import PilotError
from pilot.records import audit
from pilot.records.crypto import Vault
from pilot.records.database import now
from pilot.records.tables import items, settings_in_force


class Mode(StrEnum):
    """What the AI may do. Every pilot starts in shadow."""

    OFF = "off"
    SHADOW = "shadow"
    ASSIST = "assist"
    AUTO = "auto"


def mode(connection: Connection) -> Mode:
    """The mode in force."""
    row = _row(connection, "mode")
    return Mode(row.value) if row else Mode.SHADOW


def set_mode(connection: Connection, wanted: Mode, by: str) -> Mode:
    """Changes the mode and returns the one before. Running services obey within seconds."""
    before = mode(connection)
    _put(connection, "mode", wanted.value, by)
    audit.append(connection, by, "mode.changed", {"before": before, "after": wanted})
    return before


def closed(connection: Connection) -> bool:
    """Whether the pilot was closed: no AI is called, whatever the mode."""
    row = _row(connection, "closed")
    return row is not None and row.value == "yes"


def close(connection: Connection, by: str, why: str) -> None:
    """Closes the pilot. Running services obey within seconds."""
    if not closed(connection):
        _put(connection, "closed", "yes", by)
        audit.append(connection, by, "pilot.closed", {"why": why})


def reopen(connection: Connection, by: str, why: str) -> None:
    """Opens a pilot that was closed; its mode is again what it was."""
    if closed(connection):
        _put(connection, "closed", "no", by)
        audit.append(connection, by, "pilot.reopened", {"why": why})


def scratch(connection: Connection) -> bool:
    """Whether the database is for trying out: what it holds counts for no gate."""
    return _row(connection, "scratch") is not None


def mark_scratch(connection: Connection, by: str) -> None:
    """Makes it a scratch database, for good.

    Raises PilotError where it holds live items, which would be lost for the gates.
    """
    if scratch(connection):
        return
    if connection.execute(select(exists().where(items.c.origin == "live"))).scalar_one():
        raise PilotError(
            "This database holds live items, so it is none for trying out. Name another one in PILOT_DATABASE_URL, "
            "such as sqlite:///var/scratch.db."
        )
    _put(connection, "scratch", "yes", by)
    audit.append(connection, by, "database.scratch", {})


def pepper(connection: Connection, vault: Vault) -> bytes:
    """The 32 random bytes that key this database's fingerprints and pseudonyms; made on first use."""
    row = _row(connection, "pepper")
    if row is None:
        made = vault.seal(base64.b64encode(secrets.token_bytes(32)))
        _put(connection, "pepper", base64.b64encode(made).decode(), "service")
        row = _row(connection, "pepper")
        assert row is not None  # noqa: S101 - it was written in this transaction
    return base64.b64decode(vault.open(base64.b64decode(row.value)))


def probe(connection: Connection) -> None:
    """Writes the present moment, to see that the database takes records: a full or read-only disk still reads well."""
    _put(connection, "last_probe", now().isoformat(), "service")


def _row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(settings_in_force).where(settings_in_force.c.name == name)).one_or_none()


def _put(connection: Connection, name: str, value: str, by: str) -> None:
    same = settings_in_force.c.name == name
    values = {"value": value, "at": now(), "by": by}
    changed = connection.execute(
        update(settings_in_force).where(same).values(**values, version=settings_in_force.c.version + 1)
    )
    if changed.rowcount == 0:
        connection.execute(insert(settings_in_force), {"name": name, "version": 1, **values})
