"""Keys: random, shown once, ended for good."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, update

from pilot.contract import PilotError
from pilot.records import keys
from pilot.records.database import now, writing
from pilot.records.tables import audit, sessions
from pilot.records.tables import keys as table


def _make(engine: Engine, role: str = "reviewer", name: str = "rita", origin: str = "live") -> str:
    with writing(engine) as connection:
        return keys.create(connection, role, name, origin, "olga")


def test_a_key_is_in_force_until_it_is_revoked(engine: Engine) -> None:
    secret = _make(engine)
    identity = secret.split("_")[1]
    with engine.connect() as connection:
        assert keys.in_force(connection) == {keys.hash_of(secret): keys.Key(identity, "rita", "reviewer", "live")}
    with writing(engine) as connection:
        keys.revoke(connection, identity, "olga")
    with engine.connect() as connection:
        assert keys.in_force(connection) == {}
        assert keys.listed(connection)[0]["revoked_at"] is not None
        events = connection.execute(select(audit.c.event, audit.c.actor).order_by(audit.c.seq)).all()
    assert [tuple(row) for row in events] == [("key.created", "olga"), ("key.revoked", "olga")]


def test_no_two_keys_are_the_same_and_none_is_listed_with_its_hash(engine: Engine) -> None:
    made = {_make(engine) for _ in range(20)}
    assert len(made) == 20
    with engine.connect() as connection:
        assert not any("hash" in key for key in keys.listed(connection))


@pytest.mark.parametrize(
    ("role", "name", "origin"),
    [
        ("admin", "a", "live"),
        ("caller", "a", "production"),
        ("caller", "", "live"),
        ("caller", "  ", "live"),
        ("caller", "a\nb", "live"),
        ("caller", "a\x00", "live"),
        ("caller", "\udcff", "live"),
        ("caller", "x" * 201, "live"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(role: str, name: str, origin: str, engine: Engine) -> None:
    with pytest.raises(PilotError):
        _make(engine, role, name, origin)
    with engine.connect() as connection:
        assert keys.listed(connection) == []


def test_a_key_cannot_be_revoked_twice(engine: Engine) -> None:
    identity = _make(engine).split("_")[1]
    with writing(engine) as connection:
        keys.revoke(connection, identity, "olga")
    for unknown in (identity, "nobody"):
        with pytest.raises(PilotError, match="is in force"), writing(engine) as connection:
            keys.revoke(connection, unknown, "olga")


def test_an_expired_key_holds_no_more_and_neither_do_its_sessions(engine: Engine) -> None:
    with writing(engine) as connection:
        secret = keys.create(connection, "reviewer", "rita", "live", "olga", now() + timedelta(days=1))
    opened = _session(engine, secret)
    with writing(engine) as connection:
        assert keys.session_key(connection, opened) is not None
        connection.execute(update(table).values(expires_at=now() - timedelta(seconds=1)))
    with engine.connect() as connection:
        assert keys.in_force(connection) == {}
        assert keys.session_key(connection, opened) is None


def test_a_key_and_its_successor_both_hold_until_the_overlap_ends(engine: Engine) -> None:
    with writing(engine) as connection:
        old = keys.create(connection, "caller", "shop", "live", "olga", now() + timedelta(days=90))
        new, ends = keys.rotate(connection, old.split("_")[1], timedelta(hours=1), "olga")
    with engine.connect() as connection:
        held = keys.in_force(connection)
        assert {key.name for key in held.values()} == {"shop"}
        assert held.keys() == {keys.hash_of(old), keys.hash_of(new)}
        expiry = keys.first_expiry(connection)
        assert expiry is not None
        assert abs(expiry - now() - timedelta(days=90)) < timedelta(minutes=1), "the successor's, not the overlap's"
    assert abs(ends - now() - timedelta(hours=1)) < timedelta(minutes=1)
    with writing(engine) as connection:
        connection.execute(update(table).where(table.c.id == old.split("_")[1]).values(expires_at=now()))
        assert keys.in_force(connection).keys() == {keys.hash_of(new)}
        with pytest.raises(PilotError, match="is in force"):
            keys.rotate(connection, old.split("_")[1], timedelta(hours=1), "olga")


def test_keys_that_never_end_have_no_first_expiry(engine: Engine) -> None:
    _make(engine)
    with engine.connect() as connection:
        assert keys.first_expiry(connection) is None


def _session(engine: Engine, secret: str) -> str:
    with writing(engine) as connection:
        return keys.open_session(connection, keys.in_force(connection)[keys.hash_of(secret)])


def test_a_session_ends_with_its_time_its_sign_out_or_its_key(engine: Engine) -> None:
    secret = _make(engine)
    late, closed, revoked = (_session(engine, secret) for _ in range(3))
    with engine.connect() as connection:
        for one in (late, closed, revoked):
            found = keys.session_key(connection, one)
            assert found is not None
            assert found.name == "rita"
        assert keys.session_key(connection, "nobody") is None
        kept = set(connection.execute(select(sessions.c.hash)).scalars())
        assert not kept & {late, closed, revoked}
    with writing(engine) as connection:
        past = now() - timedelta(seconds=1)
        connection.execute(update(sessions).where(sessions.c.hash == keys.hash_of(late)).values(expires_at=past))
        keys.close_session(connection, closed)
        assert keys.session_key(connection, late) is None
        assert keys.session_key(connection, closed) is None
        assert keys.session_key(connection, revoked) is not None
        keys.revoke(connection, secret.split("_")[1], "olga")
    with engine.connect() as connection:
        assert keys.session_key(connection, revoked) is None
