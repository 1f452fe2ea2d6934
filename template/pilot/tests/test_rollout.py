"""What is in force: read again and again, and kept while the database is away."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from pilot.records import controls, keys
from pilot.records.controls import Mode
from pilot.records.database import writing
from pilot.records.tables import audit
from pilot.serving import live_settings
from pilot.serving.live_settings import InForce


def test_a_look_sees_the_mode_and_the_keys(engine: Engine) -> None:
    in_force = InForce(engine)
    assert not in_force.reachable
    with writing(engine) as connection:
        controls.set_mode(connection, Mode.AUTO, "olga")
        secret = keys.create(connection, "caller", "shop", "live", "olga")
    in_force.look()
    assert (in_force.mode, in_force.reachable) == (Mode.AUTO, True)
    assert asyncio.run(in_force.key(secret)) is not None


def test_a_close_is_off_whatever_the_mode_and_is_undone_by_a_reopening(engine: Engine) -> None:
    in_force = InForce(engine)
    with writing(engine) as connection:
        controls.set_mode(connection, Mode.AUTO, "olga")
        controls.close(connection, "olga", "decision 0001-no-go.md")
        controls.close(connection, "olga", "decision 0001-no-go.md")
    in_force.look()
    assert (in_force.mode, in_force.closed, in_force.off) == (Mode.AUTO, True, True)
    with writing(engine) as connection:
        controls.reopen(connection, "olga", "decision 0002-go.md")
        events = [row.event for row in connection.execute(audit.select().order_by(audit.c.seq))]
    in_force.look()
    assert (in_force.closed, in_force.off) == (False, False)
    assert events == ["mode.changed", "pilot.closed", "pilot.reopened"]


@pytest.mark.parametrize("error", [OperationalError("SELECT", None, Exception()), ValueError("a mode of tomorrow")])
def test_what_was_seen_stays_while_a_look_fails_and_the_next_one_counts(
    error: Exception, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_settings, "INTERVAL", 0.05)
    in_force = InForce(engine)
    with writing(engine) as connection:
        secret = keys.create(connection, "caller", "shop", "live", "olga")
    in_force.look()
    look = InForce.look

    def fail(_: InForce) -> None:
        raise error

    async def scene() -> None:
        following = asyncio.create_task(in_force.follow())
        monkeypatch.setattr(InForce, "look", fail)
        while in_force.reachable:
            await asyncio.sleep(0.01)
        assert await in_force.key(secret) is not None
        with writing(engine) as connection:
            keys.revoke(connection, secret.split("_")[1], "olga")
        monkeypatch.setattr(InForce, "look", look)
        while await in_force.key(secret) is not None:
            await asyncio.sleep(0.01)
        assert in_force.reachable
        following.cancel()

    asyncio.run(asyncio.wait_for(scene(), 60))


def test_a_key_made_while_a_look_is_under_way_is_found(engine: Engine) -> None:
    in_force = InForce(engine)
    in_force.look()
    with writing(engine) as connection:
        secret = keys.create(connection, "caller", "shop", "live", "olga")
    assert asyncio.run(in_force.key(secret)) is not None
