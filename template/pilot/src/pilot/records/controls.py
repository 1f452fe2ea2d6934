"""The settings in force that change while the service runs: the mode, and the database's own secret."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import Connection, Row, exists, insert, select, update

from pilot.contract import PilotError
from pilot.records import audit
from pilot.records.crypto import Vault
from pilot.records.database import now
from pilot.records.tables import audit as audit_table
from pilot.records.tables import items, settings_in_force

DRIFT, TARGET_MISSED = "drift", "target_missed"
RETRAINED, PROMOTED, ROLLED_BACK = "model.retrained", "model.promoted", "model.rolled_back"


class Mode(StrEnum):
    """What the AI may do. Every pilot starts in shadow."""

    OFF = "off"
    SHADOW = "shadow"
    ASSIST = "assist"
    AUTO = "auto"


def mode(connection: Connection) -> Mode:
    """The mode in force."""
    row = in_force(connection, "mode")
    return Mode(row.value) if row else Mode.SHADOW


def set_mode(connection: Connection, wanted: Mode, by: str) -> Mode:
    """Changes the mode and returns the one before. Running services obey within seconds."""
    before = mode(connection)
    put(connection, "mode", wanted.value, by)
    audit.append(connection, by, "mode.changed", {"before": before, "after": wanted})
    return before


def closed(connection: Connection) -> bool:
    """Whether the pilot was closed: no AI is called, whatever the mode."""
    return _is_on(connection, "closed")


def close(connection: Connection, by: str, why: str) -> None:
    """Closes the pilot. Running services obey within seconds."""
    if not closed(connection):
        put(connection, "closed", "yes", by)
        audit.append(connection, by, "pilot.closed", {"why": why})


def reopen(connection: Connection, by: str, why: str) -> None:
    """Opens a pilot that was closed; its mode is again what it was."""
    if closed(connection):
        put(connection, "closed", "no", by)
        audit.append(connection, by, "pilot.reopened", {"why": why})


def model(connection: Connection) -> str | None:
    """The version of the model in force; None where none was promoted, so that the store's own mark counts."""
    row = in_force(connection, "model")
    return row.value if row else None


def promote(connection: Connection, version: str, before: str, by: str, detail: dict[str, Any]) -> None:
    """Puts a version in force in place of `before`. Running services load it within seconds."""
    put(connection, "model", version, by)
    audit.append(connection, by, PROMOTED, {"version": version, "before": before, **detail})


def roll_back(connection: Connection, by: str) -> tuple[str, str]:
    """Puts the version in force that was so before the last promotion. Returns the version until now, and that one.

    Raises PilotError where no promotion is left to be taken back.
    """
    versions: list[str] = []
    for entry in model_history(connection):
        if entry["event"] == PROMOTED:
            versions += [entry["before"], entry["version"]] if not versions else [entry["version"]]
        elif entry["event"] == ROLLED_BACK:
            versions.pop()
    if len(versions) < 2:
        raise PilotError(
            "No version was in force before this one, so there is none to go back to. `pilot mode off` stops the AI."
        )
    until_now, version = versions[-1], versions[-2]
    put(connection, "model", version, by)
    audit.append(connection, by, ROLLED_BACK, {"version": version, "before": until_now})
    return until_now, version


def model_history(connection: Connection) -> list[dict[str, Any]]:
    """Each training, promotion and roll back of the model, the oldest first, with who and when."""
    events = (RETRAINED, PROMOTED, ROLLED_BACK)
    rows = connection.execute(select(audit_table).where(audit_table.c.event.in_(events)).order_by(audit_table.c.seq))
    return [{"at": row.at, "by": row.actor, "event": row.event, **orjson.loads(row.detail)} for row in rows]


def see_provider_model(connection: Connection, name: str) -> bool:
    """Notes the name that the provider gives its model, and returns whether it was another one before."""
    row = in_force(connection, "provider_model")
    if row is not None and row.value == name:
        return False
    put(connection, "provider_model", name, "service")
    audit.append(connection, "service", "provider.model", {"name": name, "before": row.value if row else None})
    return row is not None


def note_drift(connection: Connection, by: str, enough: bool, sizes: list[tuple[str, str, float]]) -> None:
    """Notes a look for drift: whether there was enough to look at, and of what was compared the field, what of it, and
    the size of its change, 0 where it is none."""
    put(connection, DRIFT, orjson.dumps(sizes).decode(), by)
    changed = [[field, what, round(size, 3)] for field, what, size in sizes if size]
    audit.append(connection, by, "drift.looked", {"enough": enough, "changed": changed})


def drift(connection: Connection) -> tuple[datetime, list[tuple[str, str, float]]] | None:
    """When drift was last looked for, and the sizes that were found; none where it never was."""
    row = in_force(connection, DRIFT)
    return (row.at, [(field, what, size) for field, what, size in orjson.loads(row.value)]) if row else None


def note_target(connection: Connection, by: str, missed: bool) -> None:
    """Notes whether production misses the charter's target."""
    if target_missed(connection) != missed:
        put(connection, TARGET_MISSED, "yes" if missed else "no", by)
        audit.append(connection, by, "target.missed" if missed else "target.kept", {})


def target_missed(connection: Connection) -> bool:
    """Whether production missed the charter's target when it was looked at last."""
    return _is_on(connection, TARGET_MISSED)


def scratch(connection: Connection) -> bool:
    """Whether the database is for trying out: what it holds counts for no gate."""
    return in_force(connection, "scratch") is not None


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
    put(connection, "scratch", "yes", by)
    audit.append(connection, by, "database.scratch", {})


def pepper(connection: Connection, vault: Vault) -> bytes:
    """The 32 random bytes that key this database's fingerprints and pseudonyms; made on first use."""
    found = kept_pepper(connection, vault)
    if found is None:
        found = secrets.token_bytes(32)
        made = vault.seal(base64.b64encode(found))
        put(connection, "pepper", base64.b64encode(made).decode(), "service")
    return found


def kept_pepper(connection: Connection, vault: Vault) -> bytes | None:
    """The bytes of `pepper`; none where none were made yet. Nothing is written."""
    row = in_force(connection, "pepper")
    return None if row is None else base64.b64decode(vault.open(base64.b64decode(row.value)))


def seal_pepper(connection: Connection, vault: Vault) -> None:
    """Seals the database's secret with the first data key."""
    sealed = vault.seal(base64.b64encode(pepper(connection, vault)))
    put(connection, "pepper", base64.b64encode(sealed).decode(), "service")


def probe(connection: Connection) -> None:
    """Writes the present moment, to see that the database takes records: a full or read-only disk still reads well."""
    put(connection, "last_probe", now().isoformat(), "service")


def in_force(connection: Connection, name: str) -> Row[Any] | None:
    """The row of a setting: its value, version, when it was set and by whom; none where it never was."""
    return connection.execute(select(settings_in_force).where(settings_in_force.c.name == name)).one_or_none()


def _is_on(connection: Connection, name: str) -> bool:
    row = in_force(connection, name)
    return row is not None and row.value == "yes"


def put(connection: Connection, name: str, value: str, by: str) -> None:
    """Sets a setting, as its next version."""
    same = settings_in_force.c.name == name
    values = {"value": value, "at": now(), "by": by}
    changed = connection.execute(
        update(settings_in_force).where(same).values(**values, version=settings_in_force.c.version + 1)
    )
    if changed.rowcount == 0:
        connection.execute(insert(settings_in_force), {"name": name, "version": 1, **values})
