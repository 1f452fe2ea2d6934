"""A pilot with the default answers that runs: as a process, as an image, and as a stack of containers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import Render, commit, run

UV = os.environ.get("UV") or shutil.which("uv") or "uv"
# What a person's shell has: uv on the PATH, and no environment of the tests.
SHELL = (f"PATH={Path(UV).parent}:{os.environ['PATH']}", "UV_PYTHON_DOWNLOADS=never", "NO_COLOR=1")
BASE_IMAGE = "python:3.13-slim"
# What must not reach the image, in every place where it might be lying about.
CANARY = "canary-of-the-build-folder"
CANARIES = (
    ".env",
    ".env.local",
    "notes.txt",
    "phases/3-decide/interviews/leftover.md",
    "secrets/leftover",
    "tests/test_leftover.py",
    "var/leftover",
)

SET_MODE = """
import sys
from pilot.records.controls import Mode, set_mode
from pilot.records.database import migrate, open_database, writing
from pilot.settings import load_settings

engine = open_database(load_settings())
migrate(engine)
with writing(engine) as connection:
    set_mode(connection, Mode(sys.argv[1]), "test")
"""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until the condition held. Fails the test when it does not within `seconds`."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, f"{condition} did not hold within {seconds} s"
        time.sleep(0.5)
    return time.monotonic() - begun


@dataclass(frozen=True)
class Service:
    """A running service and how its command is given."""

    url: str
    folder: Path
    command: tuple[str, ...]
    environment: tuple[str, ...] = ()

    def pilot(self, *arguments: str) -> str:
        """What `pilot ARGUMENTS` prints."""
        return run("env", *self.environment, *self.command, *arguments, cwd=self.folder)

    def set_mode(self, mode: str) -> None:
        """Sets a mode in the records of a process, where `pilot mode` would ask for gate 1."""
        run("env", *self.environment, UV, "run", "python", "-c", SET_MODE, mode, cwd=self.folder)

    def key(self, role: str = "caller") -> str:
        """A new key, whose items are tests."""
        return self.pilot("keys", "create", role, "--name", "test", "--origin", "test").strip()

    def answers(self) -> bool:
        try:
            return self.call("/readyz")[0] == 200
        except OSError:
            return False

    def call(self, path: str, key: str | None = None, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of the answer. A body makes it a POST."""
        headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.url + path, data=data, headers=headers), timeout=20
            ) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@dataclass(frozen=True)
class Stack(Service):
    """A service under Compose."""

    def compose(self, *arguments: str, timeout: float = 300) -> str:
        """What `docker compose ARGUMENTS` prints."""
        return run("env", *self.environment, "docker", "compose", *arguments, cwd=self.folder, timeout=timeout)

    def container(self, service: str) -> dict[str, Any]:
        """What Docker knows of a service's container."""
        identity = self.compose("ps", "--all", "--quiet", service).strip()
        return dict(json.loads(run("docker", "inspect", identity, cwd=self.folder))[0])

    def log(self) -> list[dict[str, Any]]:
        """The lines of the service's log, each of which must be one JSON object. Docker's own: Compose adds colours."""
        logs = run("sh", "-c", f"docker logs {self.container('pilot')['Id']} 2>&1", cwd=self.folder)
        return [dict(json.loads(line)) for line in logs.splitlines()]

    def health(self) -> str:
        return str(self.container("pilot")["State"]["Health"]["Status"])


@pytest.fixture(scope="session")
def pilot_folder(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pilot with the default answers, installed and committed."""
    folder = render(tmp_path_factory.mktemp("contained") / "ticket-triage")
    run(UV, "sync", "--quiet", cwd=folder)
    commit(folder, "Begin the pilot")
    return folder


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Service, int]]:
    """The pilot's service as a process of this machine, and the id of that process."""
    port = free_port()
    pilot = folder / ".venv" / "bin" / "pilot"
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    (folder / "var").mkdir(exist_ok=True)
    with (folder / "var" / "service.log").open("w") as log:
        process = subprocess.Popen([pilot, "serve", "--port", str(port)], cwd=folder, env=environment, stdout=log)
    service = Service(f"http://127.0.0.1:{port}", folder, (str(pilot),), SHELL)
    try:
        wait_for(service.answers, 90)
        yield service, process.pid
    finally:
        process.terminate()
        # Once all is done, the server dies of the signal that told it to stop.
        assert process.wait(60) in (0, -signal.SIGTERM)


@pytest.fixture(scope="session")
def image(pilot_folder: Path) -> Iterator[str]:
    """The name of the pilot's image, built in a folder that is full of what it must not hold, and whose files a strict
    umask made readable to nobody else (I8, 09)."""
    for part in ("pilot", "phases", "src", "data"):
        run("chmod", "-R", "go-rwx", part, cwd=pilot_folder)
    for name in CANARIES:
        (pilot_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (pilot_folder / name).write_text(f"# {CANARY}\n", encoding="utf-8")
    name = f"pilot-test-{os.getpid()}"
    run("docker", "build", "--build-arg", f"BASE_IMAGE={BASE_IMAGE}", "--tag", name, ".", cwd=pilot_folder, timeout=900)
    for left in CANARIES:
        (pilot_folder / left).unlink()
    yield name
    run("docker", "image", "rm", "--force", name, cwd=pilot_folder)


@pytest.fixture(scope="session")
def stack(pilot_folder: Path, image: str) -> Iterator[Stack]:
    """The service and its database, as `pilot secrets init` and `docker compose up --wait` leave them."""
    run(UV, "run", "pilot", "secrets", "init", cwd=pilot_folder)
    port = free_port()
    stack = Stack(
        f"http://127.0.0.1:{port}",
        pilot_folder,
        ("docker", "compose", "exec", "pilot", "pilot"),
        (*SHELL, f"COMPOSE_PROJECT_NAME={image}", f"HTTP_PORT={port}", f"BASE_IMAGE={BASE_IMAGE}"),
    )
    try:
        stack.compose("up", "--wait", "--wait-timeout", "120", timeout=900)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--rmi", "local", "--timeout", "5")
