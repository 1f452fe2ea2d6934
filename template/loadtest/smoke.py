"""A short load test: does the service keep the objectives of phases/4-harden/slo.toml at a low, steady load?

    export LOADTEST_KEY=$(uv run pilot keys create caller --name loadtest --origin test)
    uv run python loadtest/smoke.py

It sends the items of data/examples.csv to LOADTEST_URL (http://127.0.0.1:8000): LOADTEST_RATE requests a second (2) for
LOADTEST_SECONDS (30), at random times that are drawn beforehand and wait for no answer. Latency counts from the time at
which a request was due, so a stall is seen in each request that it delays. Exit code: 0 kept, 1 missed, 2 not run.

The template owns this file; an update replaces it. Extension points: slo.toml, data/examples.csv, own files here.
"""

import csv
import math
import os
import random
import ssl
import sys
import time
import tomllib
from collections import Counter, deque
from functools import cache
from pathlib import Path
from typing import Any

import gevent
from gevent.event import AsyncResult
from locust import FastHttpUser, task
from locust.env import Environment
from locust.exception import StopUser
from pilot.contract import PilotError, load_team

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 10.0
MOST_USERS = 64


class Caller(FastHttpUser):
    """Sends whatever is due next. The callers of a run share its arrivals, so a slow answer holds up nothing else."""

    network_timeout = connection_timeout = TIMEOUT
    insecure = False
    ssl_context_factory = staticmethod(cache(ssl.create_default_context))
    key: str
    bodies: list[dict[str, Any]]
    arrivals: deque[tuple[int, float]]
    begin: AsyncResult
    statuses: Counter[str]

    @task
    def predict(self) -> None:
        if not self.arrivals:
            raise StopUser
        number, offset = self.arrivals.popleft()
        due = self.begin.get() + offset
        gevent.sleep(max(0.0, due - time.perf_counter()))
        with self.client.post(
            "/v1/predictions",
            json=self.bodies[number % len(self.bodies)],
            headers={"Authorization": f"Bearer {self.key}"},
            catch_response=True,
        ) as response:
            response.request_meta["response_time"] = (time.perf_counter() - due) * 1000
            if response.status_code not in (200, 202):
                response.failure(f"HTTP {response.status_code}" if response.status_code else str(response.error))
                return
            try:
                self.statuses[response.json()["status"]] += 1
            except (KeyError, TypeError, ValueError):
                response.failure("an answer without a status")


def number(name: str, default: str, most: float) -> float:
    """The variable's number. Raises ValueError where it is none, or not between 0 and `most`."""
    try:
        value = float(os.environ.get(name, default))
    except ValueError:
        value = math.nan
    if not 0 < value <= most:
        raise ValueError(f"{name} must be a number above 0 and at most {most:g}.")
    return value


def examples() -> list[dict[str, Any]]:
    """Bodies of requests, made from the columns of data/examples.csv that are fields of the team's Item."""
    item = load_team().item
    with (ROOT / "data" / "examples.csv").open(encoding="utf-8", newline="") as file:
        rows = [{name: row[name] for name in item.model_fields if row.get(name)} for row in csv.DictReader(file)]
    return [{"item": item.model_validate(row).model_dump(mode="json")} for row in rows]


def run(url: str, rate: float, seconds: float) -> tuple[list[float], Counter[str], Counter[str]]:
    """Sends rate * seconds requests. Latencies in milliseconds, counts of errors, counts of the answers' statuses."""
    latencies: list[float] = []
    errors: Counter[str] = Counter()

    def done(response_time: float, exception: BaseException | None, **_: Any) -> None:
        latencies.append(response_time)
        if exception:
            errors[str(exception)] += 1

    count = round(rate * seconds)
    Caller.host, Caller.statuses, Caller.begin = url, Counter(), AsyncResult()
    draw = random.Random(0)
    Caller.arrivals = deque(enumerate(sorted(draw.uniform(0, seconds) for _ in range(count))))
    environment = Environment(user_classes=[Caller])
    environment.events.request.add_listener(done)
    runner = environment.create_local_runner()
    users = min(count, MOST_USERS)
    runner.start(users, spawn_rate=users, wait=True)
    Caller.begin.set(time.perf_counter())
    end = time.perf_counter() + seconds + TIMEOUT
    while len(latencies) < count and time.perf_counter() < end:
        gevent.sleep(0.05)
    runner.quit()
    return latencies, errors, Caller.statuses


def settings() -> tuple[str, float, float, dict[str, float]]:
    """Address, requests a second, seconds and objectives. Raises ValueError where one is wrong."""
    slo = tomllib.loads((ROOT / "phases" / "4-harden" / "slo.toml").read_text(encoding="utf-8"))
    rate, seconds = number("LOADTEST_RATE", "2", 50), number("LOADTEST_SECONDS", "30", 300)
    if rate * seconds < 59:
        raise ValueError("LOADTEST_RATE times LOADTEST_SECONDS must be 59 or more: fewer requests have no p95.")
    if not os.environ.get("LOADTEST_KEY"):
        raise ValueError("LOADTEST_KEY is not set. Make one: pilot keys create caller --name loadtest --origin test")
    return os.environ.get("LOADTEST_URL", "http://127.0.0.1:8000"), rate, seconds, slo


def main() -> int:
    """Runs the test, prints what was promised and what was seen, and returns the exit code."""
    try:
        url, rate, seconds, slo = settings()
        Caller.key, Caller.bodies = os.environ["LOADTEST_KEY"], examples()
    except (OSError, ValueError, PilotError) as error:
        print(f"The load test did not run. {error}", file=sys.stderr)
        return 2
    latencies, errors, statuses = run(url, rate, seconds)

    planned, sent = round(rate * seconds), len(latencies)
    p95 = sorted(latencies)[math.ceil(0.95 * sent) - 1] if sent else math.inf
    failed = sum(errors.values()) / sent if sent else 1.0
    checks = [
        ("p95 in ms", p95, "at most", slo["latency_p95_ms"], p95 <= slo["latency_p95_ms"]),
        ("share of errors", failed, "at most", 1 - slo["availability"], failed <= 1 - slo["availability"]),
        ("share of planned requests", sent / planned, "at least", 0.95, sent >= 0.95 * planned),
    ]
    answers = ", ".join(f"{times} {status}" for status, times in statuses.items())
    print(f"{sent} of {planned} requests to {url}: {answers or 'no answer'}")
    for problem, times in errors.most_common(5):
        print(f"  {times} times: {problem}")
    for name, seen, relation, promised, kept in checks:
        print(f"{'kept' if kept else 'MISSED':6}  {name}: {seen:.4g}, {relation} {promised:.4g}")
    return 0 if all(kept for *_, kept in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
