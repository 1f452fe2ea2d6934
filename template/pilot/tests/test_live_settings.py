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
from pilot.serving.live_settings import LiveSettings


def test_a_look_sees_the_mode_and_the_keys(engine: Engine) -> None:
    live = LiveSettings(engine)
    assert not live.reachable
    with writing(engine) as connection:
        controls.set_mode(connection, Mode.AUTO, "olga")
        secret = keys.create(connection, "caller", "shop", "live", "olga")
    live.read()
    assert (live.mode, live.reachable) == (Mode.AUTO, True)
    assert asyncio.run(live.key(secret)) is not None


def test_a_close_is_off_whatever_the_mode_and_is_undone_by_a_reopening(engine: Engine) -> None:
    live = LiveSettings(engine)
    with writing(engine) as connection:
        controls.set_mode(connection, Mode.AUTO, "olga")
        controls.close(connection, "olga", "decision 0001-no-go.md")
        controls.close(connection, "olga", "decision 0001-no-go.md")
    live.read()
    assert (live.mode, live.closed, live.off) == (Mode.AUTO, True, True)
    with writing(engine) as connection:
        controls.reopen(connection, "olga", "decision 0002-go.md")
        events = [row.event for row in connection.execute(audit.select().order_by(audit.c.seq))]
    live.read()
    assert (live.closed, live.off) == (False, False)
    assert events == ["mode.changed", "pilot.closed", "pilot.reopened"]


@pytest.mark.parametrize("error", [OperationalError("SELECT", None, Exception()), ValueError("a mode of tomorrow")])
def test_what_was_seen_stays_while_a_look_fails_and_the_next_one_counts(
    error: Exception, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_settings, "INTERVAL", 0.05)
    live = LiveSettings(engine)
    with writing(engine) as connection:
        secret = keys.create(connection, "caller", "shop", "live", "olga")
    live.read()
    read = LiveSettings.read

    def fail(_: LiveSettings) -> None:
        raise error

    async def scene() -> None:
        following = asyncio.create_task(live.follow())
        monkeypatch.setattr(LiveSettings, "read", fail)
        while live.reachable:
            await asyncio.sleep(0.01)
        assert await live.key(secret) is not None
        with writing(engine) as connection:
            keys.revoke(connection, secret.split("_")[1], "olga")
        monkeypatch.setattr(LiveSettings, "read", read)
        while await live.key(secret) is not None:
            await asyncio.sleep(0.01)
        assert live.reachable
        following.cancel()

    asyncio.run(asyncio.wait_for(scene(), 60))


def test_a_key_made_while_a_look_is_under_way_is_found(engine: Engine) -> None:
    live = LiveSettings(engine)
    live.read()
    with writing(engine) as connection:
        secret = keys.create(connection, "caller", "shop", "live", "olga")
    assert asyncio.run(live.key(secret)) is not None
