"""Nothing acknowledged is lost or applied twice when the server is killed at any moment."""

from __future__ import annotations

import collections
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from conftest import ServerMaker, wait_until
from example_load import Load, set_mode
from sqlalchemy import select

from pilot.records import audit
from pilot.records.database import open_database
from pilot.records.tables import answers, items
from pilot.records.tables import audit as trail
from pilot.settings import load_settings

CLIENTS = 4


@pytest.mark.parametrize("behaviour", ["right", "remote"])
def test_no_kill_loses_or_doubles_what_was_acknowledged(
    behaviour: str, database: dict[str, str], make_server: ServerMaker, tmp_path: Path
) -> None:
    # Each push a few, each night many.
    few, many = (6, 15) if "sqlite" in database["database_url"] else (4, 8)
    kills = int(os.environ.get("PILOT_TEST_KILLS", many if os.environ.get("PILOT_TEST_FULL") else few))
    server = make_server(
        behaviour,
        "shadow",
        database,
        PILOT_TEST_LEASE="3",
        PILOT_TEST_SECONDS="0.01" if behaviour == "right" else "0.1",  # long enough for a kill to hit a remote call
        PILOT_LOG_LEVEL="warning",
    )
    settings = load_settings(root=tmp_path, **database)
    load = Load(server)
    draw = random.Random(7)
    for number in range(kills):
        set_mode(settings, ("shadow", "assist", "auto")[number % 3])
        server.start()
        stop = threading.Event()
        clients = [threading.Thread(target=load.run_until, args=(stop, server.url)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        before = len(load.acknowledged)
        wait_until(lambda before=before: len(load.acknowledged) > before, 30, 0.001)
        time.sleep(draw.random() * 0.3)
        server.kill()
        stop.set()
        for client in clients:
            client.join(30)
    server.start()

    def retried() -> bool:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            for key in list(load.unsure):
                load.send(client, key)
        return not load.unsure

    wait_until(retried, 60, 0.5)
    engine = open_database(settings)

    def all_answered() -> bool:
        with engine.connect() as connection:
            return not connection.execute(select(items.c.id).where(items.c.state == "pending")).first()

    wait_until(all_answered, 60, 0.5)
    assert server.stop() in (0, -15)

    assert load.failures == []
    assert len(load.acknowledged) > kills
    with engine.connect() as connection:
        stored = {row.idempotency_key: row for row in connection.execute(select(items))}
        made = [(row.item_id, row.role, row.failure) for row in connection.execute(select(answers))]
        entries = [
            (row.event, identity)
            for row in connection.execute(select(trail).where(trail.c.event.like("items.%")))
            for identity in orjson.loads(row.detail)["items"]
        ]
        assert audit.first_break(connection) is None
        count = len(connection.execute(select(items.c.id)).all())
    engine.dispose()
    assert count == len(stored), "every item has its own key here"
    assert {key: row.id for key, row in stored.items() if key in load.acknowledged} == load.acknowledged
    assert stored.keys() == load.acknowledged.keys(), "each unsure item was retried until acknowledged"
    recorded = collections.Counter(identity for event, identity in entries if event == "items.recorded")
    assert recorded == collections.Counter(row.id for row in stored.values()), "one entry of the trail for each item"
    roles = collections.Counter((item, role) for item, role, _ in made)
    assert roles == collections.Counter(
        {(row.id, role): 1 for row in stored.values() for role in ("primary", "rules")}
    ), "each item has one answer of the model and one of the rules"
    failures = {item: failure for item, role, failure in made if role == "primary" and failure}
    assert set(failures.values()) <= {"interrupted"}
    if behaviour == "remote":
        calls = collections.Counter(server.calls.all())
        assert max(calls.values()) == 1, "no item was charged twice"
        texts = {f"item {key}": row.id for key, row in stored.items()}
        assert {texts[text] for text in calls} >= {row.id for row in stored.values()} - failures.keys()
        assert failures, "kills hit calls in flight"
    else:
        assert failures == {}, "a local model answers after the restart"


def test_a_call_cut_off_by_a_kill_ends_as_interrupted_and_is_not_repeated(make_server: ServerMaker) -> None:
    server = make_server("remote", "assist", PILOT_TEST_LEASE="3", PILOT_TEST_SECONDS="30")
    server.start()
    with pytest.raises(httpx.TimeoutException):
        server.post("where is my money", key="one", timeout=2)
    assert server.post("where is my money", key="one").status_code == 409
    server.kill()
    server.start()
    assert server.post("where is my money", key="one").headers["retry-after"]
    reply = wait_until(
        lambda: (found := server.post("where is my money", key="one")).status_code == 200 and found.json(), 30, 0.5
    )
    assert (reply["status"], reply["reason"], reply["prediction"]) == ("needs_human", "interrupted", None)
    assert (reply["suggestion"], reply["source"]) == ({"label": "by-rule"}, "process")
    assert server.calls.all() == ["where is my money"]


def test_a_stopped_server_finishes_what_it_acknowledged(make_server: ServerMaker) -> None:
    server = make_server("right", "shadow", PILOT_TEST_SECONDS="1")
    server.start()
    identity = server.post("where is my money").json()["id"]
    assert server.stop() in (0, -15)
    engine = open_database(load_settings(root=Path(server.environment["PILOT_ROOT"])))
    url = server.environment["PILOT_DATABASE_URL"]
    engine = open_database(load_settings(database_url=url))
    with engine.connect() as connection:
        assert connection.execute(select(items.c.state).where(items.c.id == identity)).scalar() == "done"
    engine.dispose()


def test_a_stopped_server_leaves_its_leases_to_the_next(make_server: ServerMaker) -> None:
    server = make_server("hanging", "shadow", PILOT_MODEL_DEADLINE="3")
    server.start()
    identity = server.post("where is my money").json()["id"]
    assert server.stop() in (0, -15), "a model that hangs does not keep the process alive"
    server.environment["PILOT_TEST_MODEL"] = "right"
    server.start()
    engine = open_database(load_settings(database_url=server.environment["PILOT_DATABASE_URL"]))

    def state() -> Any:
        with engine.connect() as connection:
            return connection.execute(select(items.c.state).where(items.c.id == identity)).scalar() == "done"

    wait_until(state, 60)
    engine.dispose()
