"""Load tests: the profiles of loadtest/profiles.toml, and what is sent to a scratch copy or to a deployed service."""

from __future__ import annotations

import importlib.util
import math
import os
import random
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from pilot.charter import Objectives
from pilot.contract import PilotError, Team
from pilot.models.examples import read_examples
from pilot.operations.copy import Copy, copied
from pilot.operations.load_results import (
    FOR_P95,
    Check,
    LoadResult,
    Sent,
    figures,
    growth,
    overload,
    promises,
    recovery,
    stepped,
)
from pilot.records import keys
from pilot.records.database import writing
from pilot.records.tables import items
from pilot.serving.scratch import direct
from pilot.settings import Settings

PROFILES = Path("loadtest/profiles.toml")
WHO = "pilot loadtest"
# A stress test ends here, whether the objectives broke or not, in requests a second.
MOST = 2000.0
# A degraded provider takes so many seconds longer, and refuses each so-manieth call.
_SLOW, _REFUSED = 5.0, 5
Say = Callable[[str], Any]


class Target:
    """What is sent to: the requests, the reconciliation, the figures."""

    def __init__(self, url: str, key: str, bodies: list[Any], timeout: float, copy: Copy | None = None) -> None:
        self.url, self.copy = url, copy
        self._timeout = timeout
        self._key, self._bodies = key, bodies
        self._begun = time.monotonic()
        self.resources: dict[str, list[tuple[float, float]]] = {}

    def send(self, due: Sequence[float]) -> list[Sent]:
        """Sends a request at each of these times, in seconds from now. Raises PilotError where that does not run."""
        plan = {"url": self.url, "key": self._key, "bodies": self._bodies, "timeout": self._timeout, "due": list(due)}
        done = subprocess.run(
            [sys.executable, "-m", "pilot.operations.arrivals"],
            input=orjson.dumps(plan),
            capture_output=True,
            check=False,
            timeout=due[-1] + 4 * self._timeout + 60,
        )
        lines = [Sent(*orjson.loads(line)) for line in done.stdout.splitlines() if line.startswith(b"[")]
        if done.returncode or not lines:
            raise PilotError(f"The requests were not sent:\n{done.stderr.decode()[-1000:]}")
        return lines

    def lost(self, sent: Sequence[Sent]) -> int:
        """How many of the requests that were acknowledged are not in the record."""
        ids = [one.id for one in sent if one.status in (200, 202)]
        if self.copy is not None:
            with self.copy.engine.connect() as connection:
                stored = set(connection.execute(select(items.c.id)).scalars())
            return sum(id not in stored for id in ids)
        return sum(not self._stored(id) for id in ids)

    def _stored(self, id: str | None) -> bool:
        request = urllib.request.Request(  # noqa: S310 - the address that the operator named
            f"{self.url}/v1/predictions/{id}", headers={"authorization": f"Bearer {self._key}"}
        )
        try:
            with direct.open(request, timeout=30) as response:
                return bool(orjson.loads(response.read())["id"] == id)
        except (OSError, ValueError, KeyError):
            return False

    @contextmanager
    def watched(self, every: float) -> Iterator[None]:
        """Takes the figures of a scratch copy's metrics every so many seconds, meanwhile."""
        ended = threading.Event()

        def look() -> None:
            while self.copy is not None and not ended.wait(every):
                try:
                    with direct.open(f"http://{self.copy.metrics}/metrics", timeout=5) as response:
                        text = response.read().decode()
                except OSError:
                    continue
                for name, value in figures(text).items():
                    self.resources.setdefault(name, []).append((time.monotonic() - self._begun, value))

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            ended.set()
            looking.join(10)


def profiles(root: Path) -> dict[str, dict[str, Any]]:
    """The profiles by name. Raises PilotError where the file is not one of profiles."""
    try:
        return tomllib.loads((root / PROFILES).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PilotError(
            f"{PROFILES} cannot be read ({error}). `pilot template check` says whether it was edited."
        ) from error


def run(
    team: Team,
    settings: Settings,
    name: str,
    daily: float | None,
    objectives: Objectives,
    url: str | None,
    seconds: float | None,
    say: Say,
) -> LoadResult:
    """Runs a profile against a scratch copy, or the service at `url`, in `seconds` or as long as the profile says.

    `daily` is the volume of production, in items a day. Raises PilotError where it cannot run: no volume, no key for
    a service at an address, no provider that could be slow, locust not installed.
    """
    known = profiles(settings.root)
    if name not in known:
        raise PilotError(f"There is no profile {name!r} in {PROFILES}. Its profiles: {', '.join(known)}.")
    if not daily:
        raise PilotError("The charter does not say how many items a day production has: `volume_production`.")
    if importlib.util.find_spec("locust") is None:
        raise PilotError("A load test needs locust, which is among the development tools: `uv sync`.")
    if url and not os.environ.get("LOADTEST_KEY"):
        raise PilotError(
            "LOADTEST_KEY is not set. Make a key on the service: pilot keys create caller --name loadtest --origin test"
        )
    rows, refused = read_examples(team, settings.root / "data" / "examples.csv", None, None)
    if not rows:
        raise PilotError(f"data/examples.csv has no row that fits the schema. {' '.join(refused[:3])}")
    bodies = [{"item": item.model_dump(mode="json")} for item, _ in rows]
    rate = objectives.load.peak(daily)
    # Nobody waits three times as long as is promised, or for ten seconds where that is longer.
    timeout = max(10.0, 3 * objectives.latency_p95_ms / 1000)
    with _target(team, settings, name, url, bodies, timeout) as target:
        where = url or "a scratch copy on this machine"
        if target.copy is not None and target.copy.provider is not None:
            where += ", with a stand-in for the provider"
        tested = LoadResult(name, where, daily, objectives.load, rate, 0, 0)
        say(tested.formula)
        say(f"{name}: {where}")
        begun = time.monotonic()
        with target.watched(max(1.0, (seconds or 60) / 100)):
            if name == "stress":
                _stress(target, tested, known[name], objectives, seconds, say)
            else:
                _shaped(target, tested, known[name], objectives, seconds, say)
        tested.seconds = time.monotonic() - begun
        tested.resources = target.resources
        lost = target.lost(tested.sent)
        tested.checks.append(Check("acknowledged and not stored", f"{lost}", "0", lost == 0))
        if name == "soak":
            tested.checks += growth(tested.resources)
    return tested


@contextmanager
def _target(
    team: Team, settings: Settings, name: str, url: str | None, bodies: list[Any], timeout: float
) -> Iterator[Target]:
    if url:
        yield Target(url.rstrip("/"), os.environ["LOADTEST_KEY"], bodies, timeout)
        return
    with copied(team, settings, WHO, PILOT_KNOWN_INTERVAL="0", PILOT_CALLER_RATE="0") as copy:
        if name == "degraded":
            if copy.provider is None:
                raise PilotError(
                    "The model of this pilot is its own, so there is no provider that could be slow or refuse."
                )
            copy.provider.delay, copy.provider.refuses = _SLOW, _REFUSED
        with writing(copy.engine) as connection:
            key = keys.create(connection, "caller", "loadtest", "test", WHO)
        yield Target(copy.service.url, key, bodies, timeout, copy)


def _shaped(
    target: Target,
    tested: LoadResult,
    profile: dict[str, Any],
    objectives: Objectives,
    seconds: float | None,
    say: Say,
) -> None:
    shape = [[profile["seconds"], profile["rate"] / tested.rate]] if "rate" in profile else profile["shape"]
    stretch = seconds / sum(part for part, _ in shape) if seconds else 1.0
    parts = [(part * stretch, times * tested.rate) for part, times in shape]
    tested.shortened = stretch < 1
    due, more = arrivals(parts), 1.0
    while len(due) < FOR_P95:
        more *= 1.1
        due = arrivals([(part, rate * more) for part, rate in parts])
    if more > 1:
        say(f"So few requests have no p95, so {more:.1f} times as many are sent.")
    tested.planned = len(due)
    say(f"{len(due)} requests within {sum(part for part, _ in parts):.0f} s")
    tested.sent = target.send(due)
    tested.checks = promises(tested.sent, tested.planned, objectives)
    if tested.profile == "spike":
        calm = sum(part for part, _ in parts[:-1])
        tested.checks.append(recovery(tested.sent, calm, objectives))


def _stress(
    target: Target,
    tested: LoadResult,
    profile: dict[str, Any],
    objectives: Objectives,
    seconds: float | None,
    say: Say,
) -> None:
    """Steps up to the knee, then more than the service can do, then the peak again."""

    def sent(seconds: float, rate: float) -> list[Sent]:
        due = arrivals([(seconds, rate)])
        found = target.send(due)
        tested.planned += len(due)
        tested.sent += found
        return found

    share = (seconds or math.inf) / (profile["overload_seconds"] + profile["recovery_seconds"])
    length, rate, knee = profile["step_seconds"] * min(1.0, share), max(tested.rate, FOR_P95 / 10), None
    while rate <= MOST:
        step = stepped(rate, sent(max(length, FOR_P95 / rate * 1.2), rate), objectives)
        tested.steps.append(step)
        say(f"{rate:7.1f} a second: p95 {step.p95:.0f} ms, {step.errors:.1%} errors{'' if step.kept else ', too much'}")
        if not step.kept:
            break
        knee, rate = step, rate * profile["step_factor"]
    bearable = Check(
        "highest rate within the objectives",
        f"{knee.rate:.1f} a second" if knee else "none",
        f"{tested.rate:.2f} a second or more",
        knee is not None,
    )
    tested.checks = [bearable]
    if knee is None or tested.steps[-1].kept:
        tested.notes.append(
            "The objectives did not break up to here, so no overload was tried."
            if knee
            else "The lowest rate was too much already, so no overload was tried."
        )
        return
    over = knee.rate * profile["overload"]
    say(f"{over:7.1f} a second, {profile['overload']} times as much as it can")
    beyond = sent(profile["overload_seconds"] * min(1.0, share), over)
    after = sent(profile["recovery_seconds"] * min(1.0, share), max(tested.rate, FOR_P95 / 10))
    tested.checks += overload(beyond, knee)
    offered = len(beyond) / max(one.sent for one in beyond)
    if offered < 0.9 * over:
        tested.notes.append(
            f"The sender of this machine came to {offered:.0f} requests a second, {offered / knee.rate:.1f} times the "
            "knee, so a greater overload was not tried."
        )
    tested.checks.append(recovery(after, 0, objectives))


def arrivals(parts: Sequence[tuple[float, float]], seed: int = 0) -> list[float]:
    """The times of a Poisson process, in seconds, of these parts: seconds and requests a second each. One at least."""
    draw, found, begin = random.Random(seed), [], 0.0  # noqa: S311 - no secret
    for seconds, rate in parts:
        at = begin + draw.expovariate(rate)
        while at < begin + seconds:
            found.append(at)
            at += draw.expovariate(rate)
        begin += seconds
    return found or [0.0]
