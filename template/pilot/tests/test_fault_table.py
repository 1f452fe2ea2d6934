"""The faults that a service meets, as a table: how each is made, what callers see meanwhile, and the same reckoning
afterwards. Kills, lost servers of a database and a real disk that is full have files of their own. PILOT_TEST_FULL runs
all of them, on both databases; without it there is a sample of each kind."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from conftest import Server, ServerMaker, wait_until
from example_load import Load
from sqlalchemy import select
from stub_llm import Reply, StubLlm, completion, failing, good, said

from pilot.records import audit
from pilot.records.database import open_database
from pilot.records.tables import answers, items
from pilot.settings import load_settings

pytest.importorskip("pydantic_ai")
CANARY = "canary-4711"
KEY = "sk-canary-0815"
# What each request may get while nothing but its own fault is wrong.
FINE = {200}


class Canaries(Load):
    """Clients whose items hold a canary, which must show nowhere."""

    def send(self, client: httpx.Client, key: str, stop: threading.Event | None = None) -> None:
        headers = self.server.headers("shop", idempotency_key=key)
        try:
            reply = client.post("/v1/predictions", json={"item": {"text": f"{CANARY} {key}"}}, headers=headers)
        except httpx.TransportError:
            self.unsure[key] = key
            return
        if reply.status_code == 200:
            self.acknowledged[key] = reply.json()["id"]
            self.sources.append(reply.json()["source"])
            self.reasons.add(reply.json()["reason"])
        else:
            self.failures.append((key, reply.status_code, reply.headers.get("retry-after")))

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.sources: list[str] = []
        self.reasons: set[str | None] = set()


@dataclass
class Bench:
    """A service that buys its model, its provider, and clients."""

    server: Server
    stub: StubLlm
    load: Canaries
    database: dict[str, str]

    def send(self, content: bytes = b'{"item":{"text":"a"}}', path: str = "/v1/predictions", **headers: str) -> int:
        sent = {"content-type": "application/json", **self.server.headers(), **headers}
        return httpx.post(f"{self.server.url}{path}", content=content, headers=sent, timeout=30).status_code

    def metric(self, name: str) -> float:
        """The sum of a metric's series whose line begins so."""
        text = httpx.get(f"{self.server.url}/metrics", headers=self.server.headers("olga"), timeout=30).text
        assert CANARY not in text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


Inject = Callable[[Bench], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """`reasons` are those with which people get the items meanwhile, `statuses` what else clients may get; `metric` is
    one that moves, `event` a line of the log."""

    inject: Inject
    reasons: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    metric: str = ""
    event: str = ""
    calls: float = 1.0  # most calls of the provider for an item, beside the reserve of repeats


def provider(reply: Reply) -> Inject:
    """The provider answers so, whatever it is asked."""

    @contextlib.contextmanager
    def inject(bench: Bench) -> Iterator[None]:
        usual, bench.stub.answer = bench.stub.answer, lambda text: reply
        seen = len(bench.load.sources)
        wait_until(lambda: "process" in bench.load.sources[seen:], 30)
        time.sleep(1)
        yield
        bench.stub.answer = usual

    return inject


def requests(send: Callable[[Bench], Any]) -> Inject:
    """Somebody sends what is no proper request."""

    @contextlib.contextmanager
    def inject(bench: Bench) -> Iterator[None]:
        send(bench)
        yield

    return inject


def malformed(bench: Bench) -> None:
    bodies = [b"", b"{", b"[]", b"null", b'{"item":1}', b'{"item":{"text":"a"},"mode":"auto"}', b"\xff\xfe{}"]
    bodies += [b'{"item":{"text":"\\ud800"}}', b'{"item":{"text":1e999}}', b'\xef\xbb\xbf{"item":{"text":""}}']
    assert {bench.send(body) for body in bodies} <= {400, 422}
    assert bench.send(**{"content-type": "text/plain"}) == 415


def oversized(bench: Bench) -> None:
    assert bench.send(b'{"item":{"text":"' + b"a" * 300_000 + b'"}}') == 413
    assert bench.send(b"[" * 100_000) in (400, 413, 422)

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"a" * 65536

    with contextlib.suppress(httpx.TransportError):  # the server may hang up before all is sent
        head = {"content-type": "application/json", **bench.server.headers()}
        reply = httpx.post(f"{bench.server.url}/v1/predictions", content=pieces(), headers=head, timeout=30)
        assert reply.status_code == 413


def hostile(bench: Bench) -> None:
    for path in ("..%2f..%2fetc%2fpasswd", "%00", "x' OR '1'='1", "CON", "a" * 4000):
        reply = httpx.get(f"{bench.server.url}/v1/predictions/{path}", headers=bench.server.headers(), timeout=30)
        assert reply.status_code == 404
    assert bench.send(b'{"item":{"text":"a\\r\\nb\\u001b[31m\\u2028{\\"event\\":\\"forged\\"}"}}') == 200


def guesses(bench: Bench) -> None:
    told = [bench.send(authorization=f"Bearer pilot_{number}_x") for number in range(60)]
    assert set(told) == {401, 429}


def storm(bench: Bench) -> None:
    with ThreadPoolExecutor(60) as pool:
        told = set(pool.map(lambda _: bench.send(), range(300)))
    assert told <= {200, 503}


@contextlib.contextmanager
def idle(bench: Bench) -> Iterator[None]:
    """Connections whose heads do not come."""
    port = int(bench.server.url.rsplit(":", 1)[1])
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    for client in clients:
        client.sendall(b"GET /healthz HTTP/1.1\r\n")
    before = len(bench.load.acknowledged)
    wait_until(lambda: len(bench.load.acknowledged) > before + 5)
    yield
    for client in clients:
        client.close()


@contextlib.contextmanager
def locked(bench: Bench) -> Iterator[None]:
    """Somebody else holds SQLite's lock."""
    other = sqlite3.connect(bench.database["database_url"].removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    wait_until(lambda: bench.load.failures, 30)
    yield
    other.execute("ROLLBACK")
    other.close()


@contextlib.contextmanager
def terminated(bench: Bench) -> Iterator[None]:
    """The server of the database ends all connections, as in a failover, five times."""
    url, password = bench.database["database_url"], bench.database["database_password"]
    with psycopg.connect(url, password=password, autocommit=True) as connection:
        for _ in range(5):
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
            time.sleep(0.3)
    yield


@contextlib.contextmanager
def slow_locks(bench: Bench) -> Iterator[None]:
    """Somebody else holds a lock on the table of items for longer than anybody may wait."""
    url, password = bench.database["database_url"], bench.database["database_password"]
    with psycopg.connect(url, password=password) as connection:
        connection.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
        wait_until(lambda: bench.load.failures, 30)
    yield


@contextlib.contextmanager
def suspended(bench: Bench) -> Iterator[None]:
    """The server of the database stands still: its connections stay open and get no answer."""
    with psycopg.connect(bench.database["database_url"], password=bench.database["database_password"]) as connection:
        backend = connection.info.backend_pid
        postmaster = int(Path(f"/proc/{backend}/stat").read_text().rsplit(")", 1)[1].split()[1])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    for process in (postmaster, *map(int, children)):
        os.kill(process, signal.SIGSTOP)
    try:
        wait_until(lambda: bench.load.failures, 20)
        begun = time.monotonic()
        assert bench.send() == 503
        assert time.monotonic() - begun < 20
    finally:
        for process in (postmaster, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)
    yield


@contextlib.contextmanager
def full_disk(bench: Bench) -> Iterator[None]:
    """No file can grow, neither the database nor the log, as on a full disk."""
    assert bench.server.pid is not None
    was = resource.prlimit(bench.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(bench.server.pid, resource.RLIMIT_FSIZE, (4096, was[1]))
    wait_until(lambda: len(bench.load.failures) > 5, 30)
    wait_until(lambda: httpx.get(f"{bench.server.url}/readyz", timeout=30).status_code == 503)
    headers = bench.server.headers("olga")
    assert httpx.get(f"{bench.server.url}/v1/predictions", headers=headers, timeout=30).status_code == 200
    yield
    resource.prlimit(bench.server.pid, resource.RLIMIT_FSIZE, was)


@contextlib.contextmanager
def no_descriptors(bench: Bench) -> Iterator[None]:
    """The process may open nothing more, while two hundred connections come."""
    assert bench.server.pid is not None
    was = resource.prlimit(bench.server.pid, resource.RLIMIT_NOFILE)
    opened = len(os.listdir(f"/proc/{bench.server.pid}/fd"))
    resource.prlimit(bench.server.pid, resource.RLIMIT_NOFILE, (opened + 8, was[1]))
    port = int(bench.server.url.rsplit(":", 1)[1])
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    before = len(bench.load.acknowledged)
    wait_until(lambda: len(bench.load.acknowledged) > before + 5)
    resource.prlimit(bench.server.pid, resource.RLIMIT_NOFILE, was)
    for client in clients:
        client.close()
    yield


def _provider(reply: Reply, *reasons: str, calls: float = 1.0) -> Fault:
    out = {"unavailable"} if "invalid_output" not in reasons else set()
    return Fault(provider(reply), frozenset({*reasons, *out}), metric="pilot_model_failures_total", calls=calls)


FAULTS = {
    "F-01 the provider hangs": _provider(Reply(b"{}", delay=60), "timeout"),
    "F-03 the provider fails": _provider(failing(500), "provider_error", calls=1.1),
    "F-04 the provider takes no more": _provider(failing(429, Retry_After="20"), "rate_limited", calls=1.1),
    "F-13 the provider's key has ended": _provider(failing(401), "credential_rejected"),
    **{
        f"F-05 garbage: {what}": _provider(reply, "invalid_output", calls=2.0)
        for what, reply in {
            "no JSON": Reply(b"sorry"),
            "a page with 200": Reply(b"<html><b>Bad gateway</b>", content_type="text/html"),
            "nothing": Reply(b""),
            "cut off": Reply(good("refund").body[:80]),
            "another schema": Reply(b'{"result": "refund"}'),
            "a label of its own": good("invented"),
            "a confidence of 2": good("refund", 2.0),
            "no number": said('{"label": "refund", "confidence": NaN}'),
            "ten megabytes": Reply(completion({"content": "a" * 10_000_000})),
        }.items()
    },
    "F-08 heads that do not come": Fault(idle),
    "F-09 bodies that are too large": Fault(requests(oversized), metric='pilot_refused_total{reason="too_large"}'),
    "F-10 bodies that are malformed": Fault(requests(malformed), metric='pilot_refused_total{reason="schema"}'),
    # A provider that is asked sixteen times at once may be too slow as well.
    "F-17 a storm of callers": Fault(requests(storm), frozenset({"timeout", "unavailable"}), frozenset({503})),
    "F-20 hostile paths and texts": Fault(requests(hostile), metric='pilot_refused_total{reason="unknown"}'),
    "F-23 guesses at keys": Fault(requests(guesses), metric='pilot_refused_total{reason="too_many"}'),
    "F-11 the disk is full": Fault(full_disk, statuses=frozenset({503})),
    "F-33 no descriptor is left": Fault(no_descriptors),
    "F-07 the database is locked": Fault(locked, statuses=frozenset({503}), event="database_failed"),
    "F-07 its connections end": Fault(terminated, statuses=frozenset({503})),
    "F-07 a table is locked": Fault(slow_locks, statuses=frozenset({503}), event="database_failed"),
    "F-31 the database stands still": Fault(suspended, statuses=frozenset({503}), event="database_failed"),
}
OF_POSTGRES = {"F-07 its connections end", "F-07 a table is locked", "F-31 the database stands still"}
OF_SQLITE = {"F-07 the database is locked", "F-11 the disk is full"}
NIGHTLY = {
    f"F-05 garbage: {what}"
    for what in ("a page with 200", "nothing", "another schema", "a confidence of 2", "no number")
}
FULL = bool(os.environ.get("PILOT_TEST_FULL"))
ROWS = [
    pytest.param(name, database, marks=pytest.mark.postgres if database == "postgres" else ())
    for name in FAULTS
    for database in ("sqlite", "postgres")
    if name not in (OF_SQLITE if database == "postgres" else OF_POSTGRES)
    and (FULL or (name not in NIGHTLY and (database == "sqlite" or name in OF_POSTGRES)))
]


@pytest.fixture
def stub() -> Iterator[StubLlm]:
    with StubLlm(lambda text: good("refund", 0.95)) as server:
        yield server


@pytest.fixture
def bench(request: pytest.FixtureRequest, on: str, make_server: ServerMaker, stub: StubLlm, tmp_path: Path) -> Bench:
    database = {"database_url": f"sqlite:///{tmp_path}/bench.db"}
    if on == "postgres":
        database = request.getfixturevalue("postgres").new_database()
    server = make_server(
        "llm",
        "assist",
        database,
        PILOT_LLM_MODEL="openai:stub",
        PILOT_LLM_BASE_URL=stub.url,
        PILOT_LLM_API_KEY=KEY,
        PILOT_MODEL_DEADLINE="3",
        PILOT_KNOWN_INTERVAL="0",
    )
    server.start()
    return Bench(server, stub, Canaries(server), database)


@pytest.mark.parametrize(("name", "on"), ROWS)
def test_a_fault_is_survived(name: str, bench: Bench) -> None:
    fault, load, stop = FAULTS[name], bench.load, threading.Event()
    clients = [threading.Thread(target=load.run_until, args=(stop, bench.server.url)) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        wait_until(lambda: load.sources.count("model") > 5)
        before = bench.metric(fault.metric) if fault.metric else 0.0
        with fault.inject(bench):
            assert httpx.get(f"{bench.server.url}/healthz", timeout=30).status_code == 200
            if fault.metric:
                assert bench.metric(fault.metric) > before
        seen = len(load.sources)
        wait_until(lambda: "model" in load.sources[seen:], 60)
    finally:
        stop.set()
        for client in clients:
            client.join(60)
    assert {status for _, status, _ in load.failures} <= fault.statuses
    assert all(named and int(named) >= 1 for _, _, named in load.failures)
    assert load.reasons - {None} <= fault.reasons
    _reckon(bench, fault)


def _reckon(bench: Bench, fault: Fault) -> None:
    """Acknowledged is stored, nothing twice, each answer told apart from a failure, and no canary anywhere outside."""
    engine = open_database(load_settings(root=bench.server.log.parent, **bench.database))
    with engine.connect() as connection:
        stored = connection.execute(select(items.c.id, items.c.idempotency_key, items.c.state)).all()
        made = connection.execute(select(answers).where(answers.c.role == "primary")).all()
        assert audit.verify(connection) is None
    engine.dispose()
    assert len(bench.stub.requests) <= fault.calls * len(made) + 10
    keys = [row.idempotency_key for row in stored if row.idempotency_key]
    assert len(keys) == len(set(keys))
    assert set(bench.load.acknowledged.values()) <= {row.id for row in stored}
    assert all((row.prediction is None) != (row.failure is None) for row in made if row.ended_at)
    events = [line["event"] for line in bench.server.lines()]
    assert not fault.event or fault.event in events
    log = bench.server.log.read_text()
    assert not [secret for secret in (CANARY, KEY, *bench.server.keys.values()) if secret in log]
    assert not [line for line in bench.server.lines() if line["level"] in ("error", "critical")]


@pytest.mark.parametrize(("name", "on"), [("F-08 heads that do not come", "sqlite")])
def test_the_reckoning_sees_what_it_looks_for(name: str, bench: Bench) -> None:
    fault, load = FAULTS[name], bench.load
    with httpx.Client(base_url=bench.server.url, timeout=30) as client:
        load.send(client, "k1")
    _reckon(bench, fault)
    with pytest.raises(AssertionError):
        _reckon(bench, Fault(idle, event="database_failed"))
    load.acknowledged["k2"] = "never stored"
    with pytest.raises(AssertionError):
        _reckon(bench, fault)
    del load.acknowledged["k2"]
    bench.stub.requests.extend([{}] * 12)
    with pytest.raises(AssertionError):
        _reckon(bench, fault)
    del bench.stub.requests[-12:]
    with bench.server.log.open("a") as log:
        log.write(f'{{"event": "request", "level": "info", "reason": "{CANARY}"}}\n')
    with pytest.raises(AssertionError):
        _reckon(bench, fault)
