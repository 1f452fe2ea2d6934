"""The server's process: a start that is refused says why, and a stop ends it."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
import time

import httpx
import pytest
from conftest import Server, ServerMaker, wait_until
from cryptography.fernet import Fernet
from example_load import Load
from sqlalchemy import select, text

from pilot.records import audit
from pilot.records.database import open_database, writing
from pilot.records.tables import items
from pilot.settings import load_settings


def _refused(server: Server, **environment: str) -> str:
    server.environment |= environment
    server.start(wait=False)
    code: list[int | None] = []
    wait_until(lambda: code.append(server.exited()) or code[-1] is not None, 60)
    assert code[-1] == 1
    told = server.log.read_text()
    assert "Traceback" not in told
    return told


def _newer(server: Server, database: dict[str, str], runs_from: str) -> None:
    """Marks the database as one that a newer version made, for code from that schema on."""
    engine = open_database(load_settings(root=server.log.parent, **database))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        mark = {"value": runs_from}
        connection.execute(text("UPDATE settings_in_force SET value = :value WHERE name = 'schema_runs_from'"), mark)
    engine.dispose()


def test_a_newer_schema_stops_the_start(database: dict[str, str], make_server: ServerMaker) -> None:
    server = make_server("right", "shadow", database)
    _newer(server, database, "9998")
    assert "schema 9999, which this version does not know" in _refused(server)


def test_a_newer_schema_that_left_all_in_place_is_served(database: dict[str, str], make_server: ServerMaker) -> None:
    server = make_server("right", "shadow", database)
    _newer(server, database, "0001")
    server.start()
    assert server.post("a").status_code == 202


def test_a_version_is_rolled_out_and_taken_back_under_load(database: dict[str, str], make_server: ServerMaker) -> None:
    """P4-10: the next version migrates, comes up beside the present one, which then goes; and the other way round."""
    old, new = (make_server("right", "shadow", database) for _ in range(2))
    old.start()
    load, stop, to = Load(old), threading.Event(), [old.url]

    def client() -> None:
        with httpx.Client(timeout=30) as direct:
            while not stop.is_set():
                key = f"k{next(load.numbers)}"
                direct.base_url = to[0]
                load.send(direct, key)

    clients = [threading.Thread(target=client) for _ in range(3)]
    for thread in clients:
        thread.start()

    def more() -> None:
        seen = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > seen + 20)

    try:
        more()
        _newer(old, database, "0003")
        for comes, goes in ((new, old), (old, new)):
            if comes.pid is None:
                comes.start()
            more()
            to[0] = comes.url
            more()
            assert goes.stop() == 0
            more()
    finally:
        stop.set()
        for thread in clients:
            thread.join(60)
    assert (load.failures, load.unsure) == ([], {})
    engine = open_database(load_settings(root=old.log.parent, **database))
    with engine.connect() as connection:
        stored = connection.execute(select(items.c.id, items.c.idempotency_key)).all()
        assert audit.verify(connection) is None
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()
    assert {(row.idempotency_key, row.id) for row in stored} == set(load.acknowledged.items())


def test_a_start_does_not_wait_for_whoever_writes(make_server: ServerMaker) -> None:
    """The version before may be under load meanwhile, and SQLite gives nobody a turn."""
    server = make_server("right", "shadow")
    server.start()
    server.stop()
    engine = open_database(load_settings(root=server.log.parent, database_url=server.environment["PILOT_DATABASE_URL"]))
    server.log.unlink()
    with writing(engine):
        server.start(wait=False)
        wait_until(lambda: server.log.exists() and '"listening"' in server.log.read_text())
        wait_until(lambda: httpx.get(f"{server.url}/healthz").status_code == 200)
    engine.dispose()
    wait_until(lambda: server.post("warm").status_code == 202)
    assert server.post("a").status_code == 202


def test_a_start_that_fails_within_the_server_names_the_error(make_server: ServerMaker) -> None:
    server = make_server("right", "shadow")
    engine = open_database(load_settings(root=server.log.parent, database_url=server.environment["PILOT_DATABASE_URL"]))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE keys"))
    engine.dispose()
    told = _refused(server)
    assert "its log says why" in told
    (failed,) = (json.loads(line) for line in told.splitlines() if '"start_failed"' in line)
    assert failed["error"] == "OperationalError from OperationalError"
    assert failed["frames"]


def test_a_lost_data_key_stops_the_start(make_server: ServerMaker) -> None:
    first, second = (Fernet.generate_key().decode() for _ in range(2))
    server = make_server(PILOT_DATA_KEY=first)
    server.start()
    server.stop()
    told = _refused(server, PILOT_DATA_KEY=second)
    assert re.search("sealed with data key [0-9a-f]{12}, which is not set", told)
    assert first not in told
    assert second not in told


def test_a_port_that_is_taken_stops_the_start(make_server: ServerMaker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "Cannot listen on" in _refused(make_server(), PILOT_PORT=str(taken.getsockname()[1]))


def test_a_database_that_is_away_stops_the_start(make_server: ServerMaker) -> None:
    server = make_server()
    told = _refused(server, PILOT_DATABASE_URL="postgresql://pilot@127.0.0.1:1/x", PILOT_DATABASE_PASSWORD="hunter2x")
    assert "cannot be used" in told
    assert "hunter2x" not in told


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_and_leaves_no_crash(by: int, make_server: ServerMaker) -> None:
    server = make_server()
    server.start()
    server.post("a")
    assert server.stop(by) == 0
    events = [line["event"] for line in server.lines()]
    assert "server_stopped" in events
    assert "crash" not in events
    assert not [line for line in server.lines() if line["level"] in ("error", "critical")]


def test_a_signal_ends_a_process_whose_model_hangs(make_server: ServerMaker) -> None:
    server = make_server("hanging", "shadow", PILOT_MODEL_DEADLINE="500")
    server.start()
    server.post("a")
    wait_until(server.calls.all)
    server.stop(seconds=60)


def test_requests_in_flight_are_answered_before_the_end(make_server: ServerMaker) -> None:
    import threading

    server = make_server("remote", "assist", PILOT_TEST_SECONDS="1")
    server.start()
    replies: list[int] = []
    client = threading.Thread(target=lambda: replies.append(server.post("a").status_code))
    client.start()
    wait_until(server.calls.all)
    time.sleep(0.1)
    server.stop()
    client.join(30)
    assert replies == [200]
