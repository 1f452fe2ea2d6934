"""What a load test showed: what was kept and what was missed, the page about it, and the evidence."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from pilot.charter import Load, Objectives
from pilot.metrics import quantile
from pilot.workbench import evidence

# Fewer requests have no p95, and no p99: none of them would lie beyond it in one of twenty tests.
FOR_P95, FOR_P99 = 59, 299
# Back within the objective after a spike or an overload, in seconds; and what a refusal may take, in milliseconds.
RECOVERS, REFUSES = 60.0, 200.0
GOODPUT = 0.9
# What grows by more than a tenth of its level in a day grows.
GROWS = 0.1
# Caches fill by less than this share of the level: a service of 147 MB took 1.5 MB more in its first half hour.
CACHES = 0.02
_WINDOW = 5.0


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
    """What a load test showed. `rate` is that of the peak, for `daily` items a day, `shortened` whether it took less
    time than its profile says, `resources` the figures of the service over time, by name."""

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
    shortened: bool = False

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


FIGURES = {
    "process_resident_memory_bytes": "memory, in megabytes",
    "process_open_fds": "open files and sockets",
    "process_cpu_seconds_total": "seconds of the processor",
    "pilot_database_connections": "connections to the database",
    "pilot_pending_items": "items that were acknowledged and not answered yet",
}


def figures(text: str) -> dict[str, float]:
    """The figures of a scrape, by what they are of."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {
        FIGURES[sample.name]: sample.value / (1e6 if sample.name.endswith("_bytes") else 1)
        for sample in samples
        if sample.name in FIGURES
    }


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


def recovery(sent: Sequence[Sent], since: float, objectives: Objectives) -> Check:
    """How long after `since` (seconds) it took until 95 of 100 requests are answered in time again, and stay so."""
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
    above a tenth of the level, and meanwhile it came to a fiftieth, which caches that fill do not. So an hour shows
    what grows by two thirds of itself in a day, and a night of eight hours what grows by a tenth. The first fifth is
    left out, in which a process warms up."""
    from scipy.stats import theilslopes

    checks = []
    for name, points in resources.items():
        later = points[len(points) // 5 :]
        if name == FIGURES["process_cpu_seconds_total"] or len(later) < 10:
            continue
        times, values = zip(*later, strict=True)
        slope, _, low, _ = theilslopes(values, times)
        level = max(sorted(values)[len(values) // 2], 1.0)
        grows = low * 86400 > GROWS * level and slope * (times[-1] - times[0]) > CACHES * level
        seen = f"{slope * 86400 / level:+.0%} of {level:,.0f} a day"
        checks.append(Check(f"growth of {name}", seen, f"not proven above {GROWS:.0%}", not grows))
    return checks


def lead(tested: LoadResult) -> str:
    """What the load test showed, in one sentence."""
    missed = [f"{check.name} {check.seen}, promised {check.promised}" for check in tested.checks if not check.kept]
    if missed:
        return f"{'; '.join(missed)}."
    best, p95 = max((step.rate for step in tested.steps if step.kept), default=None), tested.latency(0.95)
    if best is not None:
        peaks = f"{best / tested.rate:.1f} times the peak of {tested.daily:g} items a day"
        return f"The service bears {best:.1f} requests a second, {peaks}."
    took = "" if p95 is None else f"; 95 of 100 were answered within {p95:.0f} ms"
    return f"The service bears what {tested.daily:g} items a day bring by the profile {tested.profile}{took}."


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
        "shortened": tested.shortened,
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
            lead=lead(tested),
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
