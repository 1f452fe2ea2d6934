"""Load tests: the profiles of loadtest/profiles.toml, what is sent, what must be kept, and what was seen."""

from __future__ import annotations

import importlib.util
import math
import os
import platform
import random
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from pilot.charter import Load, Objectives
from pilot.contract import PilotError, Team
from pilot.metrics import quantile
from pilot.models.examples import read_examples
from pilot.operations.copy import Copy, copied
from pilot.records import keys
from pilot.records.database import writing
from pilot.records.tables import items
from pilot.serving.scratch import direct
from pilot.settings import Settings
from pilot.workbench import evidence

PROFILES = Path("loadtest/profiles.toml")
WHO = "pilot loadtest"
# Fewer requests have no p95, and no p99: none of them would lie beyond it in one of twenty tests.
FOR_P95, FOR_P99 = 59, 299
# Back within the objective after a spike or an overload, in seconds; and what a refusal may take, in milliseconds.
RECOVERS, REFUSES = 60.0, 200.0
GOODPUT = 0.9
# A stress test ends here, whether the objectives broke or not, in requests a second.
MOST = 2000.0
# What grows by more than a tenth of its level in a day grows.
GROWS = 0.1
_WINDOW = 5.0
_SLOW, _REFUSED = 5.0, 5
Say = Callable[[str], Any]


@dataclass(frozen=True)
class Sent:
    """A request: when it was due, sent and answered, in seconds since the begin; the status (0: no answer), whether it
    named a time to wait, and the id that was acknowledged."""

    due: float
    sent: float
    ended: float
    status: int
    named: bool
    id: str | None

    @property
    def milliseconds(self) -> float:
        """The time that it took, from when it was due: a stall is seen in each request that it holds up."""
        return (self.ended - self.due) * 1000


@dataclass(frozen=True)
class Check:
    """Something that must be kept: what was seen and what was promised, in words, and whether it was kept."""

    name: str
    seen: str
    promised: str
    kept: bool


@dataclass(frozen=True)
class Step:
    """A rate of a stress test, in requests a second: its p95 in milliseconds, its share of errors, and how many good
    answers came a second within the objective."""

    rate: float
    p95: float
    errors: float
    goodput: float
    kept: bool


@dataclass
class LoadResult:
    """What a load test showed. `rate` is that of the peak, for `daily` items a day, `resources` the figures of the
    service over time, by name."""

    profile: str
    target: str
    daily: float
    load: Load
    rate: float
    seconds: float
    planned: int
    sent: list[Sent] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    resources: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether all was kept."""
        return all(check.kept for check in self.checks)

    def latency(self, share: float) -> float | None:
        """The milliseconds within which this share was answered; None where the requests are too few to say."""
        needed = FOR_P95 if share <= 0.95 else FOR_P99
        return None if len(self.sent) < needed else quantile([one.milliseconds for one in self.sent], share)

    @property
    def formula(self) -> str:
        """How the rate of the peak comes about."""
        load = self.load
        return (
            f"{self.daily:g} items a day x {load.peak_hour_share:g} in the busiest hour / 3600 s x {load.burst:g} in "
            f"bursts x {load.growth:g} for growth = {self.rate:.2f} requests a second"
        )


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
                for name, value in _figures(text).items():
                    self.resources.setdefault(name, []).append((time.monotonic() - self._begun, value))

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            ended.set()
            looking.join(10)


FIGURES = {
    "process_resident_memory_bytes": "memory, in bytes",
    "process_open_fds": "open files and sockets",
    "process_cpu_seconds_total": "seconds of the processor",
    "pilot_database_connections": "connections to the database",
    "pilot_pending_items": "items that were acknowledged and not answered yet",
}


def _figures(text: str) -> dict[str, float]:
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {FIGURES[sample.name]: sample.value for sample in samples if sample.name in FIGURES}


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
    with copied(team, settings, WHO, PILOT_KNOWN_INTERVAL="0") as copy:
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
        tested.checks.append(_recovery(tested.sent, calm, objectives))


def _stress(
    target: Target,
    tested: LoadResult,
    profile: dict[str, Any],
    objectives: Objectives,
    seconds: float | None,
    say: Say,
) -> None:
    """Steps up to the knee, then more than the service can do, then the peak again."""
    share = (seconds or math.inf) / (profile["overload_seconds"] + profile["recovery_seconds"])
    length, rate, knee = profile["step_seconds"] * min(1.0, share), max(tested.rate, FOR_P95 / 10), None
    while rate <= MOST:
        due = arrivals([(max(length, FOR_P95 / rate * 1.2), rate)])
        sent = target.send(due)
        tested.planned += len(due)
        tested.sent += sent
        step = stepped(rate, sent, objectives)
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
    due = arrivals([(profile["overload_seconds"] * min(1.0, share), over)])
    say(f"{over:7.1f} a second, {profile['overload']} times as much as it can")
    sent = target.send(due)
    calm = arrivals([(profile["recovery_seconds"] * min(1.0, share), max(tested.rate, FOR_P95 / 10))])
    after = target.send(calm)
    tested.planned += len(due) + len(calm)
    tested.sent += sent + after
    tested.checks += overload(sent, knee)
    offered = len(sent) / max(one.sent for one in sent)
    if offered < 0.9 * over:
        tested.notes.append(
            f"The sender of this machine came to {offered:.0f} requests a second, {offered / knee.rate:.1f} times the "
            "knee, so a greater overload was not tried."
        )
    tested.checks.append(_recovery(after, 0, objectives))


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


def promises(sent: Sequence[Sent], planned: int, objectives: Objectives) -> list[Check]:
    """What slo.toml promises, as the requests saw it. `planned` is how many were to be sent."""
    checks, took = [], [one.milliseconds for one in sent]
    p99 = objectives.latency_p99_ms or 4 * objectives.latency_p95_ms
    for share, most, needed in ((0.95, objectives.latency_p95_ms, FOR_P95), (0.99, p99, FOR_P99)):
        if len(took) < needed:
            continue
        seen = quantile(took, share) or 0.0
        checks.append(Check(f"{share:.0%} are answered within", f"{seen:.0f} ms", f"{most:g} ms", seen <= most))
    failed, allowed = _errors(sent), 1 - objectives.availability
    checks.append(Check("share of errors", f"{failed:.2%}", f"at most {allowed:.2%}", failed <= allowed))
    dropped = planned - len(sent)
    checks.append(Check("arrivals that were dropped", f"{dropped}", "0", dropped == 0))
    return checks


def stepped(rate: float, sent: Sequence[Sent], objectives: Objectives) -> Step:
    """A step of a stress test."""
    p95, errors = quantile([one.milliseconds for one in sent], 0.95) or math.inf, _errors(sent)
    kept = p95 <= objectives.latency_p95_ms and errors <= 1 - objectives.availability
    return Step(rate, p95, errors, _good(sent, objectives) / _length(sent), kept)


def overload(sent: Sequence[Sent], knee: Step) -> list[Check]:
    """What must hold where more comes than the service can do: it refuses at once and says when to come back, and still
    answers as many as at the knee."""
    refused = [one for one in sent if one.status in (429, 503)]
    # From when it was sent: an overload that fills the sender's own connections is no fault of the service.
    took = quantile([(one.ended - one.sent) * 1000 for one in refused], 0.99) or 0.0
    unnamed = sum(not one.named for one in refused)
    broken = sum(one.status not in (200, 202, 429, 503) for one in sent)
    answered = sum(one.status in (200, 202) for one in sent) / _length(sent)
    return [
        Check("99 % of refusals within", f"{took:.0f} ms", f"{REFUSES:g} ms", took <= REFUSES),
        Check("refusals without Retry-After", f"{unnamed} of {len(refused)}", "0", unnamed == 0),
        Check("neither answered nor refused", f"{broken} of {len(sent)}", "0", broken == 0),
        Check(
            "answered a second while overloaded",
            f"{answered:.0f}",
            f"{GOODPUT * knee.goodput:.0f} or more",
            answered >= GOODPUT * knee.goodput,
        ),
    ]


def _recovery(sent: Sequence[Sent], since: float, objectives: Objectives) -> Check:
    """How long after `since` it took until 95 of 100 requests are answered in time again, and stay so."""
    late = [one.due for one in sent if one.due >= since and not _in_time(one, objectives)]
    windows = {int((due - since) / _WINDOW) for due in late}
    bad = [
        number
        for number in windows
        if sum(int((due - since) / _WINDOW) == number for due in late)
        > 0.05 * sum(int((one.due - since) / _WINDOW) == number for one in sent if one.due >= since)
    ]
    took = (max(bad) + 1) * _WINDOW if bad else 0.0
    return Check("within the objectives again after", f"{took:.0f} s", f"{RECOVERS:g} s", took <= RECOVERS)


def growth(resources: dict[str, list[tuple[float, float]]]) -> list[Check]:
    """Whether memory, files, connections or the queue grow: the lower bound of the Theil-Sen slope (95 %), in a day, is
    above a tenth of the level. The first fifth is left out, in which a process warms up."""
    from scipy.stats import theilslopes

    checks = []
    for name, points in resources.items():
        later = points[len(points) // 5 :]
        if name == FIGURES["process_cpu_seconds_total"] or len(later) < 10:
            continue
        times, values = zip(*later, strict=True)
        slope, _, low, _ = theilslopes(values, times)
        level = max(sorted(values)[len(values) // 2], 1.0)
        grows = low * 86400 > GROWS * level
        seen = f"{slope * 86400 / level:+.0%} of {level:,.0f} a day"
        checks.append(Check(f"growth of {name}", seen, f"not proven above {GROWS:.0%}", not grows))
    return checks


def bottleneck(tested: LoadResult) -> str:
    """What was used up first, as far as the figures tell."""
    used = tested.resources.get(FIGURES["process_cpu_seconds_total"], [])
    if len(used) < 3:
        return "not known: the figures of the service were not at hand"
    rates = [(b - a) / (y - x) for (x, a), (y, b) in pairwise(used) if y > x]
    busiest = max(rates)
    if busiest > 0.8:
        return f"the processor: the service used {busiest:.0%} of one core at most"
    return f"not the processor, of which the service used {busiest:.0%} of one core at most"


def _length(sent: Sequence[Sent]) -> float:
    """The seconds from the first request to the last answer."""
    return max(one.ended for one in sent) - min(one.due for one in sent)


def _errors(sent: Sequence[Sent]) -> float:
    return sum(one.status not in (200, 202) for one in sent) / len(sent) if sent else 1.0


def _in_time(one: Sent, objectives: Objectives) -> bool:
    return one.status in (200, 202) and one.milliseconds <= objectives.latency_p95_ms


def _good(sent: Sequence[Sent], objectives: Objectives) -> int:
    return sum(_in_time(one, objectives) for one in sent)


def record(root: Path, tested: LoadResult, report: Path, today: date, by: str) -> Path:
    """Writes the evidence of a load test and returns its path."""
    facts = {
        "profile": tested.profile,
        "target": tested.target,
        "daily": tested.daily,
        "rate": round(tested.rate, 3),
        "load": tested.load.model_dump(),
        "seconds": round(tested.seconds),
        "sent": len(tested.sent),
        "p95_ms": _rounded(tested.latency(0.95)),
        "p99_ms": _rounded(tested.latency(0.99)),
        "checks": {check.name: check.seen for check in tested.checks},
        "missed": [check.name for check in tested.checks if not check.kept],
        "kept": tested.kept,
        "report": report.name,
        "sha256": evidence.digest(report.read_text(encoding="utf-8")),
        "machine": machine(),
        "by": by,
    }
    return evidence.append(root, "loadtest", f"loadtest-{tested.profile}", today, facts)


def write_report(file: Path, tested: LoadResult, objectives: Objectives, today: date) -> None:
    """Writes the page about a load test. Raises PilotError where that is not possible."""
    from pilot.workbench import charts, pages

    took, p95 = [one.milliseconds for one in tested.sent], tested.latency(0.95)
    within = "an unknown time" if p95 is None else f"{p95:.0f} ms"
    curve = charts.latency(
        [one.due for one in tested.sent],
        took,
        objectives.latency_p95_ms,
        name="latency",
        title="How long answers took over time",
        description=f"95 of 100 were answered within {within}; the objective is {objectives.latency_p95_ms:g} ms.",
    )
    used = [
        (name, min(values), max(values))
        for name, points in tested.resources.items()
        if (values := [value for _, value in points])
    ]
    pages.write(
        file,
        pages.render(
            "loadtest.html",
            tested=tested,
            missed=[check.name for check in tested.checks if not check.kept],
            # The parts of a stress test begin anew each, so they have no common time.
            curve=None if tested.steps else curve,
            bottleneck=bottleneck(tested),
            used=used,
            machine=machine(),
            today=today,
        ),
    )


def machine() -> str:
    """The machine on which it ran."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
