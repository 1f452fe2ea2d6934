"""Faults of the database: refused quickly, nothing acknowledged is lost, and service is back by itself."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import Postgres, Server, ServerMaker, wait_until
from example_load import Load, set_mode
from sqlalchemy import select

from pilot.records import audit
from pilot.records.database import open_database
from pilot.records.tables import items
from pilot.settings import load_settings

QUICKLY = 15.0


def _assert_refused(server: Server) -> None:
    begun = time.monotonic()
    reply = server.post("while it is down")
    assert reply.status_code == 503
    assert reply.headers["content-type"] == "application/problem+json"
    assert int(reply.headers["retry-after"]) > 0
    assert time.monotonic() - begun < QUICKLY
    assert httpx.get(f"{server.url}/healthz", timeout=30).status_code == 200
    # An answer to a probe holds for a second.
    ready = wait_until(lambda: (reply := httpx.get(f"{server.url}/readyz", timeout=30)).status_code == 503 and reply, 5)
    assert ready.headers["retry-after"] == "5"


def _assert_back(server: Server) -> None:
    wait_until(lambda: server.post("after").status_code in (200, 202), 60, 0.2)
    wait_until(lambda: httpx.get(f"{server.url}/readyz", timeout=30).status_code == 200, 60, 0.2)


def _stored(server: Server) -> set[str]:
    engine = open_database(
        load_settings(
            root=Path(server.environment["PILOT_ROOT"]),
            database_url=server.environment["PILOT_DATABASE_URL"],
            database_password=server.environment.get("PILOT_DATABASE_PASSWORD"),
        )
    )
    with engine.connect() as connection:
        found = set(connection.execute(select(items.c.id)).scalars())
        assert audit.first_break(connection) is None
    engine.dispose()
    return found


@contextlib.contextmanager
def _under_load(server: Server) -> Iterator[Load]:
    load, stop = Load(server), threading.Event()
    clients = [threading.Thread(target=load.run_until, args=(stop, server.url)) for _ in range(2)]
    for client in clients:
        client.start()
    wait_until(lambda: len(load.acknowledged) > 5)
    try:
        yield load
    finally:
        stop.set()
        for client in clients:
            client.join(60)


@pytest.mark.postgres
@pytest.mark.parametrize("mode", ["shadow", "auto"])
def test_postgres_may_stop_and_start_under_load(mode: str, postgres: Postgres, make_server: ServerMaker) -> None:
    server = make_server("remote" if mode == "auto" else "right", mode, postgres.new_database())
    server.start()
    with _under_load(server) as load:
        postgres.stop()
        try:
            wait_until(lambda: any(status == 503 for _, status, *_ in load.failures), 30)
            _assert_refused(server)
        finally:
            postgres.start()
        before = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > before + 5, 60)
        _assert_back(server)
    assert {status for _, status, *_ in load.failures} == {503}
    assert set(load.acknowledged.values()) <= _stored(server)
    lines = server.lines()
    assert not [line for line in lines if line["level"] in ("error", "critical")], "a passing loss is a warning"
    assert [line for line in lines if line["event"] == "database_failed" and line["request_id"]]


def test_a_locked_file_refuses_and_then_serves_again(make_server: ServerMaker) -> None:
    server = make_server()
    server.start()
    with _under_load(server) as load:
        locker = sqlite3.connect(server.log.parent / "pilot.db", isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        _assert_refused(server)
        locker.execute("ROLLBACK")
        locker.close()
        _assert_back(server)
    assert set(load.acknowledged.values()) <= _stored(server)
    assert {status for _, status, *_ in load.failures} <= {503}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        missing = "mounting a small disk needs a root that may mount"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_and_then_serves_again(small_disk: Path, make_server: ServerMaker) -> None:
    server = make_server("right", "shadow", {"database_url": f"sqlite:///{small_disk}/pilot.db"})
    server.start()
    acknowledged = {server.post("before").json()["id"]}
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    replies = [server.post("x" * 9000) for _ in range(40)]
    assert {reply.status_code for reply in replies} <= {202, 503}
    acknowledged |= {reply.json()["id"] for reply in replies if reply.status_code == 202}
    _assert_refused(server)
    ballast.unlink()
    _assert_back(server)
    assert acknowledged <= _stored(server)


def test_the_mode_is_obeyed_within_seconds_by_a_running_process(
    database: dict[str, str], make_server: ServerMaker
) -> None:
    server = make_server("right", "assist", database)
    server.start()
    settings = load_settings(root=server.log.parent, **database)
    with _under_load(server) as load:
        set_mode(settings, "off")
        wait_until(lambda: server.post("probe").json()["mode"] == "off", 10)
        calls, before = len(server.calls.all()), len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > before + 10)
        assert len(server.calls.all()) == calls
        set_mode(settings, "assist")
        wait_until(lambda: len(server.calls.all()) > calls, 10)
    assert load.failures == []
