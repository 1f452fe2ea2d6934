"""The service as a process of its own, on scratch settings: for the demo and for drills."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pilot.contract import PilotError
from pilot.settings import Settings

# A proxy of the environment does not lead to this machine's loopback address.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Scratch:
    """Where it answers, and the environment in which commands work on it."""

    url: str
    environment: dict[str, str]


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def unwinding() -> Iterator[None]:
    """Within it SIGTERM ends the command as Ctrl-C does: the server is stopped and the scratch folder removed."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def served(settings: Settings, folder: Path, **more: str) -> Iterator[Scratch]:
    """The service as a process of its own on a free loopback port, with `more` variables; stopped in the end."""
    port = free_port()
    environment = {
        **os.environ,
        "PILOT_ROOT": str(settings.root),
        "PILOT_MODELS": str(settings.models),
        "PILOT_DATABASE_URL": settings.database_url,
        "PILOT_DATA_KEY": ",".join(settings.data_keys),
        "PILOT_HOST": "127.0.0.1",
        "PILOT_PORT": str(port),
        **more,
    }
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "pilot.cli", "serve"]
    with started("The service", command, folder / "service.log", f"{url}/readyz", environment):
        yield Scratch(url, environment)


@contextmanager
def started(
    what: str, command: list[str], log: Path, ready: str, environment: dict[str, str] | None = None
) -> Iterator[None]:
    """A process that writes to `log`, from when it answers at `ready` on; stopped in the end.

    Raises PilotError with the end of its log where it ends, or does not answer within 30 seconds.
    """
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        for _ in range(300):
            if process.poll() is not None:
                raise PilotError(f"{what} did not start:\n{log.read_text()[-2000:]}")
            try:
                direct.open(ready, timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise PilotError(f"{what} was not ready within 30 seconds:\n{log.read_text()[-2000:]}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
