"""Keys of callers, reviewers, operators and auditors: random, shown once, kept as hashes."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from pilot.contract import PilotError
from pilot.records import audit
from pilot.records.database import now
from pilot.records.tables import keys, sessions

ROLES = ("caller", "reviewer", "operator", "auditor")
# Those without whom a service does nothing; an auditor may never be needed.
DAILY_ROLES = ROLES[:3]
ORIGINS = ("live", "test", "demo", "backtest")
SESSION = timedelta(hours=8)
_OF_KEY = (keys.c.id, keys.c.name, keys.c.role, keys.c.origin)
_NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")


@dataclass(frozen=True, slots=True)
class Key:
    """A key that holds. `name` is the caller or the person: several keys may carry it while one replaces the other.
    `guide` is the version of the user guide that a session's person read last."""

    id: str
    name: str
    role: str
    origin: str
    guide: str | None = None


def hash_of(secret: str) -> str:
    """SHA-256. The secrets are 256 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create(connection: Connection, role: str, name: str, origin: str, by: str, expires: datetime | None = None) -> str:
    """Makes a key and returns its secret, which cannot be shown again. Without `expires` it holds until it is revoked.

    Raises PilotError for an unknown role or origin, or a name that is empty or holds control characters.
    """
    if role not in ROLES:
        raise PilotError(f"There is no role {role!r}. Use one of: {', '.join(ROLES)}.")
    if origin not in ORIGINS:
        raise PilotError(f"There is no origin {origin!r}. Use one of: {', '.join(ORIGINS)}.")
    if not name.strip() or not _NAME.fullmatch(name):
        raise PilotError("A key needs a name of 1 to 200 printable characters: the system or the person that holds it.")
    identity = secrets.token_hex(4)
    secret = f"pilot_{identity}_{secrets.token_urlsafe(32)}"
    of = {"id": identity, "name": name, "role": role, "origin": origin}
    connection.execute(insert(keys), {**of, "created_at": now(), "expires_at": expires, "hash": hash_of(secret)})
    audit.append(connection, by, "key.created", {**of, "expires_at": expires and expires.isoformat()})
    return secret


def rotate(connection: Connection, identity: str, overlap: timedelta, by: str) -> tuple[str, datetime]:
    """Makes a key to replace this one, which goes on to hold for the `overlap`. It lives as long as the old one was to.

    Returns the new secret and when the old key ends. Raises PilotError when no such key is in force.
    """
    old = connection.execute(select(keys).where(keys.c.id == identity, holds())).one_or_none()
    if old is None:
        raise PilotError(f"No key {identity!r} is in force. `pilot keys list` shows them.")
    moment = now()
    expires = moment + (old.expires_at - old.created_at) if old.expires_at else None
    secret = create(connection, old.role, old.name, old.origin, by, expires)
    ends = min(moment + overlap, old.expires_at or moment + overlap)
    connection.execute(update(keys).where(keys.c.id == identity).values(expires_at=ends))
    detail = {"id": identity, "by": secret.split("_")[1], "ends": ends.isoformat()}
    audit.append(connection, by, "key.rotated", detail)
    return secret, ends


def holds() -> ColumnElement[bool]:
    """The condition that a key is in force now."""
    return and_(keys.c.revoked_at.is_(None), or_(keys.c.expires_at.is_(None), keys.c.expires_at > now()))


def first_expiry(connection: Connection) -> datetime | None:
    """When the first key in force ends that no other of its name, role and origin outlives; None where none ends."""
    names = (keys.c.name, keys.c.role, keys.c.origin)
    lasting = func.count().filter(keys.c.expires_at.is_(None))
    ends = select(func.max(keys.c.expires_at).label("ends")).where(holds()).group_by(*names).having(lasting == 0)
    found: datetime | None = connection.execute(select(func.min(ends.subquery().c.ends))).scalar_one()
    return found


def revoke(connection: Connection, identity: str, by: str) -> None:
    """Ends a key and the sessions that it opened.

    Raises PilotError when there is no such key, or it was revoked before.
    """
    held = (keys.c.id == identity) & keys.c.revoked_at.is_(None)  # an expired one may be revoked too
    if connection.execute(update(keys).where(held).values(revoked_at=now())).rowcount == 0:
        raise PilotError(f"No key {identity!r} is in force. `pilot keys list` shows them.")
    connection.execute(delete(sessions).where(sessions.c.key_id == identity))
    audit.append(connection, by, "key.revoked", {"id": identity})


def in_force(connection: Connection) -> dict[str, Key]:
    """The keys that hold, by the hash of their secret."""
    rows = connection.execute(select(keys.c.hash, *_OF_KEY).where(holds()))
    return {row[0]: Key(*row[1:]) for row in rows}


def of_person(connection: Connection, name: str, role: str, *, exact: bool) -> Key | None:
    """The key in force of this name and role that ends last, or none. Unless `exact`, capitals do not count."""
    latest = (keys.c.expires_at.is_not(None), keys.c.expires_at.desc())
    rows = connection.execute(select(*_OF_KEY).where(keys.c.role == role, holds()).order_by(*latest))
    same = (row for row in rows if row.name == name or (not exact and row.name.casefold() == name.casefold()))
    return next((Key(*row) for row in same), None)


def open_session(connection: Connection, key: Key, by: str = "key") -> str:
    """Signs a person in on the pages, by the key or the identity provider. Returns the session's secret, which the
    cookie carries."""
    secret = secrets.token_urlsafe(32)
    connection.execute(delete(sessions).where(sessions.c.expires_at < now()))
    row = {"hash": hash_of(secret), "key_id": key.id, "expires_at": now() + SESSION}
    connection.execute(insert(sessions), row)
    audit.append(connection, key.name, "session.opened", {"key": key.id, "by": by})
    return secret


def session_key(connection: Connection, secret: str) -> Key | None:
    """The key behind a session that has neither ended nor lost its key."""
    found = (
        select(*_OF_KEY, keys.c.guide)
        .join_from(sessions, keys)
        .where(sessions.c.hash == hash_of(secret), sessions.c.expires_at > now(), holds())
    )
    row = connection.execute(found).one_or_none()
    return Key(*row) if row else None


def read_guide(connection: Connection, key: Key, version: str) -> None:
    """Notes that the person of a key has read this version of the user guide, for all keys of theirs."""
    same = and_(keys.c.name == key.name, keys.c.role == key.role)
    connection.execute(update(keys).where(same).values(guide=version))
    audit.append(connection, key.name, "guide.read", {"version": version})


def untrained(connection: Connection, version: str) -> list[str]:
    """The names of reviewers with a key in force who have not read this version of the user guide."""
    wanted = select(keys.c.name, keys.c.guide).where(keys.c.role == "reviewer", holds())
    read = {name: guide == version for name, guide in connection.execute(wanted)}
    return sorted(name for name, done in read.items() if not done)


def close_session(connection: Connection, secret: str) -> None:
    """Signs out."""
    connection.execute(delete(sessions).where(sessions.c.hash == hash_of(secret)))


def listed(connection: Connection) -> list[dict[str, str | datetime | None]]:
    """All keys, oldest first, without their hashes."""
    columns = [column for column in keys.c if column.name != "hash"]
    return [dict(row) for row in connection.execute(select(*columns).order_by(keys.c.created_at)).mappings()]
