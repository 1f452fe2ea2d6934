"""Databases, settings, a client on the application, and a server in a process of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg
import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from example_team import Calls, make_team  # noqa: E402

from pilot.contract import Team  # noqa: E402
from pilot.records import controls, keys  # noqa: E402
from pilot.records.controls import Mode  # noqa: E402
from pilot.records.database import migrate, open_database, writing  # noqa: E402
from pilot.serving.app import create_app  # noqa: E402
from pilot.serving.guide import Guide  # noqa: E402
from pilot.serving.service import Service  # noqa: E402
from pilot.settings import Settings, load_settings  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    """The tests bring their marker along: a rendered pilot runs them under its own settings of pytest."""
    config.addinivalue_line("markers", "postgres: needs PostgreSQL's programs, on the PATH or in PILOT_TEST_POSTGRES")


def wait_until(condition: Callable[[], Any], seconds: float = 30, every: float = 0.05) -> Any:
    """What `condition` gives as soon as it is true. Fails after a generous time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(every)
    raise AssertionError(f"still not so after {seconds} s: {condition}")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PILOT_") and not name.startswith("PILOT_TEST_"):
            monkeypatch.delenv(name)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Postgres:
    """A private cluster with a password, that can be stopped and started."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self.folder, self.port = programs, folder, free_port()
        self.password = secrets.token_urlsafe(16)
        self._as_user = self.run_as(folder)
        file = folder / "password"
        file.write_text(self.password)
        file.chmod(0o644)
        self._run(
            "initdb", "-D", folder / "data", "-U", "pilot", "-A", "scram-sha-256", f"--pwfile={file}", "-E", "UTF8"
        )
        file.unlink()

    @staticmethod
    def run_as(folder: Path) -> list[str]:
        """What makes a command that refuses root run as another user, to whom the folder is given."""
        if os.geteuid() != 0:
            return []
        user = next(name for name in ("postgres", "nobody") if _is_user(name))
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user)
        return ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]

    def _run(self, program: str, *arguments: Any) -> None:
        subprocess.run(
            [*self._as_user, self._programs / program, *arguments],
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=120,
        )

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder} -c max_connections=100"
        self._run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def new_database(self) -> dict[str, str]:
        """The settings of an empty database."""
        name = f"test_{secrets.token_hex(4)}"
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="pilot", password=self.password, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return {
            "database_url": f"postgresql://pilot@127.0.0.1:{self.port}/{name}",
            "database_password": self.password,
        }


def _is_user(name: str) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return False


def _postgres_programs() -> Path | None:
    named = os.environ.get("PILOT_TEST_POSTGRES")
    folders = [Path(named)] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    folders += [Path(found).resolve().parent] if found else []
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A cluster for the whole session. Where CI is set its absence is a failure, elsewhere a skip."""
    programs = _postgres_programs()
    if programs is None:
        missing = "PostgreSQL's programs are not here: install the package postgresql, or set PILOT_TEST_POSTGRES"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    # Not below pytest's own folder, which only its user may enter.
    folder = Path(tempfile.mkdtemp(prefix="pilot-postgres-"))
    cluster = Postgres(programs, folder)
    cluster.start()
    yield cluster
    cluster.stop()
    shutil.rmtree(folder, ignore_errors=True)


class Pooler:
    """PgBouncer before a cluster, which hands out its few connections transaction by transaction."""

    def __init__(self, program: str, cluster: Postgres, folder: Path) -> None:
        self.cluster, self.port, self.log = cluster, free_port(), folder / "pgbouncer.log"
        (folder / "users.txt").write_text(f'"pilot" "{cluster.password}"\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={cluster.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nauth_type = plain\nauth_file = {folder}/users.txt\npool_mode = transaction\n"
            f"default_pool_size = 5\nlogfile = {self.log}\nunix_socket_dir =\n"
        )
        as_user = cluster.run_as(folder)
        self._process = subprocess.Popen(
            [*as_user, program, folder / "pgbouncer.ini"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: self.log.exists() and "process up" in self.log.read_text(), 20)

    def before(self, database: dict[str, str]) -> dict[str, str]:
        """The settings of the database, reached through the pooler."""
        return {
            **database,
            "database_url": database["database_url"].replace(f":{self.cluster.port}/", f":{self.port}/"),
        }

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture(scope="session")
def pooler(postgres: Postgres) -> Iterator[Pooler]:
    """A pooler for the whole session. Where CI is set its absence is a failure, elsewhere a skip."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        missing = "PgBouncer is not here: install the package pgbouncer"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    folder = Path(tempfile.mkdtemp(prefix="pilot-pooler-"))
    running = Pooler(program, postgres, folder)
    yield running
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The settings of an empty database, once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        return {"database_url": f"sqlite:///{tmp_path}/pilot.db"}
    cluster: Postgres = request.getfixturevalue("postgres")
    return cluster.new_database()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings on an empty root, with SQLite."""
    return load_settings(root=tmp_path)


@pytest.fixture
def engine(database: dict[str, str], tmp_path: Path) -> Iterator[Engine]:
    """A migrated database of each kind."""
    engine = open_database(load_settings(root=tmp_path, **database))
    migrate(engine)
    yield engine
    engine.dispose()


PEOPLE = (("caller", "shop"), ("caller", "bank"), ("reviewer", "rita"), ("operator", "olga"), ("auditor", "anna"))


def make_keys(engine: Engine, mode: str = "shadow", origin: str = "live") -> dict[str, str]:
    """A key for each of PEOPLE by name, with the mode set."""
    with writing(engine) as connection:
        controls.set_mode(connection, Mode(mode), "test")
        return {name: keys.create(connection, role, name, origin, "test") for role, name in PEOPLE}


@dataclass
class App:
    """The application in this process, behind a client."""

    client: TestClient
    service: Service
    keys: dict[str, str]
    settings: Settings
    calls: Calls
    model: Any

    def headers(self, who: str = "shop", **more: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[who]}", **{n.replace("_", "-"): v for n, v in more.items()}}

    def post(
        self, text: str = "where is my money", who: str = "shop", key: str | None = None, **fields: Any
    ) -> httpx.Response:
        headers = self.headers(who, **({"idempotency_key": key} if key else {}))
        return self.client.post("/v1/predictions", json={"item": {"text": text}, **fields}, headers=headers)

    def raw(self, body: bytes, who: str = "shop", content_type: str = "application/json") -> httpx.Response:
        headers = self.headers(who, content_type=content_type)
        return self.client.post("/v1/predictions", content=body, headers=headers)

    def get(self, path: str, who: str = "shop") -> httpx.Response:
        return self.client.get(path, headers=self.headers(who))

    def judge(self, item: str, who: str = "rita", **body: Any) -> httpx.Response:
        return self.client.post(f"/v1/predictions/{item}/outcome", json=body, headers=self.headers(who))

    def set_mode(self, mode: str) -> None:
        with writing(self.service.engine) as connection:
            controls.set_mode(connection, Mode(mode), "test")
        self.service.live.read()

    def rows(self, table: Any) -> list[Any]:
        with self.service.engine.connect() as connection:
            return list(connection.execute(table.select()))

    def drained(self) -> None:
        """Waits until nothing is pending."""
        from pilot.records.tables import items

        wait_until(lambda: all(row.state == "done" for row in self.rows(items)))

    def earlier(self, by: timedelta) -> None:
        """Dates the items back, once nothing is pending, so that they came while the pilot still ran."""
        from pilot.records.tables import items

        self.drained()
        with writing(self.service.engine) as connection:
            for row in connection.execute(items.select()).all():
                moments = {"arrived_at": row.arrived_at - by, "received_at": row.received_at - by}
                connection.execute(items.update().where(items.c.id == row.id).values(moments))


AppMaker = Callable[..., App]


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[AppMaker]:
    """Starts the application: `make_app(behaviour, mode, **settings)`; attributes of the model as `model={...}`."""
    with contextlib.ExitStack() as stack:

        def make(
            behaviour: str = "right",
            mode: str = "shadow",
            model: dict[str, Any] | None = None,
            team: Team | None = None,
            guide: Guide | None = None,
            **changes: Any,
        ) -> App:
            settings = load_settings(**{"root": tmp_path, **changes})
            calls = tmp_path / f"calls-{secrets.token_hex(4)}"
            team = team or make_team(behaviour, calls, **(model or {}))
            engine = open_database(settings)
            migrate(engine)
            made = make_keys(engine, mode)
            engine.dispose()
            application = create_app(team, settings, guide)
            loaded = application.state.service.model
            if getattr(loaded, "release", None):
                stack.callback(loaded.release.set)
            client = stack.enter_context(TestClient(application, raise_server_exceptions=False))
            if getattr(loaded, "release", None):
                stack.callback(loaded.release.set)
            return App(client, application.state.service, made, settings, Calls(calls), loaded)

        yield make


class Forks:
    """The process that has everything imported and forks servers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, HERE / "serve_example.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def ask(self, **wish: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(orjson.dumps(wish) + b"\n")
            return orjson.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """One for the whole session."""
    made = Forks()
    yield made
    made.close()


@dataclass
class Server:
    """The server in a process of its own. Its lines are in `log`."""

    forks: Forks
    environment: dict[str, str]
    log: Path
    calls: Calls
    keys: dict[str, str] = field(default_factory=dict)
    pid: int | None = None
    url: str = ""

    def start(self, wait: bool = True) -> None:
        port = self.environment.get("PILOT_PORT") or free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {**self.environment, "PILOT_PORT": str(port)}
        self.pid = self.forks.ask(environment=environment, log=str(self.log), folder=str(self.log.parent))
        if wait:
            wait_until(self._answers, 60, 0.02)

    def _answers(self) -> bool:
        assert self.exited() is None, self.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        return False

    def exited(self) -> int | None:
        """The exit code, once the process has ended."""
        assert self.pid is not None
        code: int | None = self.forks.ask(wait=self.pid, look=True)
        if code is not None:
            self.pid = None
        return code

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def stop(self, by: int = signal.SIGTERM, seconds: float = 60) -> int:
        """Sends a signal and gives the exit code. Fails when the process is still there after `seconds`."""
        assert self.pid is not None
        os.kill(self.pid, by)
        code: list[int] = []

        def ended() -> bool:
            found = self.exited()
            code.extend([] if found is None else [found])
            return found is not None

        wait_until(ended, seconds, 0.01)
        return code[0]

    def lines(self) -> list[dict[str, Any]]:
        """The log, each line of which must be one JSON object."""
        lines = [orjson.loads(line) for line in self.log.read_bytes().splitlines()]
        assert all(isinstance(line, dict) for line in lines)
        return lines

    def headers(self, who: str = "shop", **more: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[who]}", **{n.replace("_", "-"): v for n, v in more.items()}}

    def post(self, text: str, who: str = "shop", key: str | None = None, **options: Any) -> httpx.Response:
        headers = self.headers(who, **({"idempotency_key": key} if key else {}))
        return httpx.post(
            f"{self.url}/v1/predictions", json={"item": {"text": text}}, headers=headers, **{"timeout": 60, **options}
        )


ServerMaker = Callable[..., Server]


@pytest.fixture
def make_server(tmp_path: Path, forks: Forks) -> Iterator[ServerMaker]:
    """`make_server(behaviour, mode, database, **environment)`: a server whose keys are made; `start` runs it."""
    made: list[Server] = []

    def make(
        behaviour: str = "right", mode: str = "shadow", database: dict[str, str] | None = None, **environment: str
    ) -> Server:
        folder = tmp_path / f"server-{len(made)}"
        folder.mkdir()
        database = database or {"database_url": f"sqlite:///{folder}/pilot.db"}
        own = {f"PILOT_{name.upper()}": value for name, value in database.items()}
        server = Server(
            forks,
            {
                "PATH": os.environ["PATH"],
                **{name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "PYTHON"))},
                "PILOT_ROOT": str(folder),
                "PILOT_TEST_MODEL": behaviour,
                "PILOT_TEST_CALLS": str(folder / "calls"),
                **own,
                **environment,
            },
            folder / "log",
            Calls(folder / "calls"),
        )
        engine = open_database(load_settings(root=folder, **database))
        migrate(engine)
        server.keys = make_keys(engine, mode)
        engine.dispose()
        made.append(server)
        return server

    yield make
    for server in made:
        if server.pid is not None:
            server.kill()
