"""Measures what the wrapper costs: the service with everything on, against a bare endpoint that records nothing.

    python benchmarks/serving.py [--data FILE.csv --input COLUMN --label COLUMN] [--seconds 8] [--rounds 5]
    python benchmarks/serving.py --processes 1 2 4 --database postgresql://pilot@127.0.0.1:5432/pilot

Both serve a model trained on the same rows, and get the same texts over 32 connections. The service runs in mode auto
with keys, metrics, logs and a durable record of each answer; the bare endpoint calls the scikit-learn pipeline and
returns. The two take turns, so that a noisy machine is noisy for both; what counts is the ratio of the medians.

With --processes it compares so many processes of the service behind one database, over the same 32 connections.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONNECTIONS = 32
# One caller sends all of the load.
OURS = {"PILOT_PORT": "{port}", "PILOT_CALLER_RATE": "0"}

BARE = """
import csv, sys
import numpy, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from pilot.models.onnx import words
from pilot.models.training import fit

file, text, label, port = sys.argv[1:]
rows = list(csv.DictReader(open(file, newline="", encoding="utf-8")))
labels = sorted({row[label] for row in rows})
pipeline, _ = fit([row[text] for row in rows], numpy.array([labels.index(row[label]) for row in rows]))
app = FastAPI()

class Ticket(BaseModel):
    text: str

class Body(BaseModel):
    item: Ticket

class Answer(BaseModel):
    label: str
    confidence: float

@app.post("/v1/predictions")
async def predict(body: Body) -> Answer:
    probabilities = pipeline.predict_proba([words(body.item.text)])[0]
    best = probabilities.argmax()
    return Answer(label=labels[best], confidence=float(probabilities[best]))

@app.get("/readyz")
async def ready() -> str:
    return "ready"

uvicorn.run(app, port=int(port), access_log=False, log_level="warning", loop="uvloop", http="httptools")
"""

# `pilot mode auto` asks for gate 1, which a benchmark does not walk through.
AUTO = """
from pilot.records.controls import Mode, set_mode
from pilot.records.database import migrate, open_database, writing
from pilot.settings import load_settings

engine = open_database(load_settings())
migrate(engine)
with writing(engine) as connection:
    set_mode(connection, Mode.AUTO, "benchmark")
"""


def main() -> None:
    """Renders, trains, measures, prints."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, help="labelled rows; the template's examples if left out")
    options.add_argument("--input", default="text")
    options.add_argument("--label", default="label")
    options.add_argument("--seconds", type=float, default=8)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--processes", type=int, nargs="+", help="how many processes of the service, each in turn")
    options.add_argument("--database", help="an empty database that all of them share, reached without a password")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pilot = _render(Path(folder))
        data = (chosen.data or pilot / "data" / "examples.csv").resolve()
        texts = _texts(data, chosen.input)
        if chosen.database:
            os.environ["DATABASE"] = chosen.database
        columns = ["--data", str(data), "--input", chosen.input, "--label", chosen.label]
        _pilot(pilot, "model", "train", *columns)
        _run(pilot, "python", "-c", AUTO)
        key = _pilot(pilot, "keys", "create", "caller", "--name", "benchmark", "--origin", "test").strip()
        bare_code = Path(folder) / "bare.py"
        bare_code.write_text(BARE, encoding="utf-8")
        python = str(pilot / ".venv" / "bin" / "python")
        serve = [python, "-m", "pilot.cli", "serve"]
        if chosen.processes:
            with ExitStack() as stack:
                ports = [
                    stack.enter_context(_server(serve, pilot, PILOT_PORT="{port}", PILOT_CALLER_RATE="0"))
                    for _ in range(max(chosen.processes))
                ]
                requests = [_request(text, key) for text in texts]
                _scale(ports, chosen.processes, requests, chosen.seconds, chosen.rounds)
            return
        with (
            _server(serve, pilot, **OURS) as ours,
            _server([python, str(bare_code), str(data), chosen.input, chosen.label, "{port}"], pilot) as bare,
        ):
            _compare(ours, bare, [_request(text, key) for text in texts], chosen.seconds, chosen.rounds)


def _scale(ports: list[int], counts: list[int], requests: list[bytes], seconds: float, rounds: int) -> None:
    _load(ports, requests, CONNECTIONS, 2)
    figures: dict[int, list[float]] = {count: [] for count in counts}
    for number in range(1, rounds + 1):
        for count in counts:
            figures[count].append(_load(ports[:count], requests, CONNECTIONS, seconds)[0])
        print(f"round {number}: " + ", ".join(f"{count}: {figures[count][-1]:.0f}/s" for count in counts), flush=True)
    first = statistics.median(figures[counts[0]])
    for count in counts[1:]:
        print(f"throughput, {count} processes to {counts[0]}: {statistics.median(figures[count]) / first:.2f}")


def _compare(ours: int, bare: int, requests: list[bytes], seconds: float, rounds: int) -> None:
    for port in (ours, bare):
        _load([port], requests, CONNECTIONS, 2)
    figures: dict[str, list[float]] = {"ours": [], "bare": [], "ours alone": [], "bare alone": []}
    for number in range(1, rounds + 1):
        for name, port in (("ours", ours), ("bare", bare)):
            throughput, _ = _load([port], requests, CONNECTIONS, seconds)
            _, latency = _load([port], requests, 1, seconds / 4)
            figures[name].append(throughput)
            figures[f"{name} alone"].append(latency)
        print(
            f"round {number}: service {figures['ours'][-1]:.0f}/s, bare {figures['bare'][-1]:.0f}/s; alone "
            f"{figures['ours alone'][-1] * 1000:.2f} ms, {figures['bare alone'][-1] * 1000:.2f} ms",
            flush=True,
        )
    middle = {name: statistics.median(values) for name, values in figures.items()}
    print(f"throughput, service to bare: {middle['ours'] / middle['bare']:.2f}")
    print(f"latency of a lone request, service to bare: {middle['ours alone'] / middle['bare alone']:.2f}")


def _load(ports: list[int], requests: list[bytes], connections: int, seconds: float) -> tuple[float, float]:
    """Answers a second of all ports, and the median seconds to one; each connection waits for its answer before it asks
    on."""
    waiting = selectors.DefaultSelector()
    sent, answered, latencies = 0, 0, []
    for number in range(connections):
        connection = socket.create_connection(("127.0.0.1", ports[number % len(ports)]))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(requests[sent % len(requests)])
        waiting.register(connection, selectors.EVENT_READ, _Waiting(connection, time.perf_counter()))
        sent += 1
    begun = time.perf_counter()
    while (moment := time.perf_counter()) - begun < seconds:
        for ready, _ in waiting.select(1):
            one: _Waiting = ready.data
            if not one.complete():
                continue
            now = time.perf_counter()
            latencies.append(now - one.since)
            answered += 1
            one.ask(requests[sent % len(requests)], now)
            sent += 1
    took = moment - begun
    for ready in list(waiting.get_map().values()):
        ready.data.connection.close()
    return answered / took, statistics.median(latencies)


@dataclass
class _Waiting:
    """A connection that waits for its answer."""

    connection: socket.socket
    since: float
    received: bytes = b""

    def ask(self, request: bytes, now: float) -> None:
        """Sends the next request."""
        self.received, self.since = b"", now
        self.connection.sendall(request)

    def complete(self) -> bool:
        """Reads what is there; whether the answer is whole. An answer other than 200 ends the benchmark."""
        self.received += self.connection.recv(65536)
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"an answer was not 200: {self.received[:300]!r}")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        return length is not None and len(body) >= int(length[1])


def _request(text: str, key: str) -> bytes:
    body = json.dumps({"item": {"text": text}}).encode()
    head = (
        "POST /v1/predictions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _texts(data: Path, column: str) -> list[str]:
    import csv

    with data.open(newline="", encoding="utf-8") as stream:
        return [row[column] for row in csv.DictReader(stream)]


def _render(folder: Path) -> Path:
    """A pilot from this checkout, installed."""
    from copier import run_copy

    source, pilot = folder / "template", folder / "pilot"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    run_copy(str(source), pilot, defaults=True, vcs_ref="HEAD", quiet=True)
    subprocess.run(["uv", "sync", "-q"], cwd=pilot, check=True, env=_environment())
    return pilot


def _pilot(pilot: Path, *words: str) -> str:
    return _run(pilot, "pilot", *words)


def _run(pilot: Path, program: str, *words: str) -> str:
    command = [str(pilot / ".venv" / "bin" / program), *words]
    return subprocess.run(command, cwd=pilot, check=True, stdout=subprocess.PIPE, text=True, env=_environment()).stdout


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PILOT_", "VIRTUAL_ENV"))}
    return kept | ({"PILOT_DATABASE_URL": kept["DATABASE"]} if "DATABASE" in kept else {})


@contextmanager
def _server(command: list[str], folder: Path, **variables: str) -> Iterator[int]:
    """A server on a free loopback port, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = _environment() | {name: value.format(port=port) for name, value in variables.items()}
    command = [part.format(port=port) if part == "{port}" else part for part in command]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit(f"{command[0]} stopped with {process.returncode}") from None
                time.sleep(0.1)
        else:
            raise SystemExit("a server was not ready within two minutes")
        yield port
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    sys.exit(main())
