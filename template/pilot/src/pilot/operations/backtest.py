"""A look back: what the alerts would have done on the pilot's own records, asked of a real Prometheus."""

from __future__ import annotations

import itertools
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import get_args

import orjson
from sqlalchemy import Connection, and_, select

from pilot.charter import Charter, Objectives
from pilot.contract import PilotError
from pilot.operations import prometheus
from pilot.operations.prometheus import Alert, Prometheus
from pilot.records.outcomes import Flag
from pilot.records.queries import KNOWN_ITEMS
from pilot.records.tables import answers, audit, items, outcomes
from pilot.serving.metrics import ROUTE, Metrics
from pilot.workbench import evidence

# The figures are of each minute, as are the looks at the rules: a service is scraped four times as often.
STEP = 60
MOST_DAYS = 180
# Pages that come while a person is at it already, or within an hour after, are one call.
CALL = 3600
# Prometheus answers at most 11,000 moments at once.
_MOMENTS = 10_000
_METRIC = re.compile(r"\b(?:pilot_[a-z0-9_]+|up)\b")


@dataclass(frozen=True)
class Series:
    """A series of a metric from `since` on (seconds since 1970): its values at the moments of a grid."""

    name: str
    labels: str
    since: float
    values: Callable[[Iterable[int]], Iterator[float]]


@dataclass(frozen=True)
class Alarm:
    """An alert that would have fired, from when to when (seconds since 1970)."""

    alert: Alert
    begin: int
    end: int


@dataclass(frozen=True)
class Looked:
    """What a look back shows: the alarms of pages and tickets, oldest first; the names of the alerts whose metrics the
    records do not hold; how many `items` and `known` items came between `begin` and `end` (seconds since 1970)."""

    begin: int
    end: int
    items: int
    known: int
    alarms: list[Alarm]
    unseen: list[str]

    @property
    def calls(self) -> list[list[Alarm]]:
        """The pages, those together that call somebody once."""
        found: list[list[Alarm]] = []
        for alarm in self.alarms:
            if alarm.alert.severity != "page":
                continue
            if found and alarm.begin <= max(before.end for before in found[-1]) + CALL:
                found[-1].append(alarm)
            else:
                found.append([alarm])
        return found


def look_back(root: Path, connection: Connection, objectives: Objectives, charter: Charter, interval: float) -> Looked:
    """Asks a Prometheus of this machine what the rules of the pilot in `root` would have said to its records, of 180
    days at most. `interval` is that of the known items, in seconds.

    Raises PilotError where nothing is recorded, or Prometheus is not installed.
    """
    events = _Events.read(connection)
    if not events.received:
        raise PilotError("Nothing is recorded yet, so there is nothing to look back on.")
    moments = [*events.received, *itertools.chain(*events.asked.values())]
    end = int(max(moments)) // STEP * STEP + STEP
    begin = max(int(min(moments)) // STEP * STEP - STEP, end - MOST_DAYS * 86400)
    rules = prometheus.alerts(root)
    series = [*events.series(interval, end), *promised(objectives, charter, begin)]
    known = {line.name for line in series}
    # A request that failed left no record.
    seen = [
        alert
        for alert in rules
        if set(_METRIC.findall(alert.expression)) <= known and 'status=~"5' not in alert.expression
    ]
    unseen = [alert.name for alert in rules if alert.severity in ("page", "ticket") and alert not in seen]
    return Looked(
        begin,
        end,
        sum(moment >= begin for moment in events.received),
        sum(moment >= begin for moment in moments) - sum(moment >= begin for moment in events.received),
        alarms(seen, series, begin, end),
        unseen,
    )


def alarms(rules: list[Alert], series: Sequence[Series], begin: int, end: int) -> list[Alarm]:
    """What the rules would have said of the series from `begin` to `end` (seconds since 1970), oldest first. Those that
    call nobody, such as the watchdog, are left out. Raises PilotError where Prometheus is not there or refuses it."""
    with tempfile.TemporaryDirectory(prefix="pilot-backtest-") as name:
        folder = Path(name)
        with (folder / "series.txt").open("w", encoding="utf-8") as file:
            file.writelines(_open_metrics(series, begin, end))
        # One block for all: each further one reads the whole file once more.
        hours = (end - begin) // 3600 + 1
        command = [prometheus.program("promtool"), "tsdb", "create-blocks-from", f"--max-block-duration={hours}h"]
        done = subprocess.run(  # noqa: S603 - Prometheus' own program
            [*command, "openmetrics", "--quiet", str(folder / "series.txt"), str(folder / "data")],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PilotError(f"promtool does not take the records:\n{done.stderr[-1000:]}")
        with prometheus.running(folder, None, "--storage.tsdb.retention.time=100y") as asked:
            found = [
                Alarm(rule, first, last)
                for rule in rules
                if rule.severity in ("page", "ticket")
                for first, last in _firing(rule, _true(asked, rule, begin, end))
            ]
    return sorted(found, key=lambda alarm: (alarm.begin, alarm.alert.name))


def counted(name: str, times: Iterable[float], since: float = 0, /, **labels: str) -> Series:
    """A counter that rises by one at each of these times (seconds since 1970)."""
    rises = sorted(times)

    def values(grid: Iterable[int]) -> Iterator[float]:
        count = 0
        for moment in grid:
            while count < len(rises) and rises[count] <= moment:
                count += 1
            yield count

    return Series(name, _written(labels), since, values)


def constant(name: str, value: float, since: float, /, **labels: str) -> Series:
    """A gauge that stays as it is."""
    return Series(name, _written(labels), since, lambda grid: (value for _ in grid))


def oldest(waits: Iterable[tuple[float, float]], since: float) -> Series:
    """The age of the oldest item that waits, of when each began and ended to wait (seconds since 1970)."""
    ordered = sorted(waits)

    def values(grid: Iterable[int]) -> Iterator[float]:
        first = 0
        for moment in grid:
            while first < len(ordered) and ordered[first][1] <= moment:
                first += 1
            yield max(moment - ordered[first][0], 0) if first < len(ordered) else 0

    return Series("pilot_oldest_waiting_seconds", "", since, values)


def promised(objectives: Objectives, charter: Charter, since: float) -> list[Series]:
    """What the service exports of slo.toml and the charter, for rules to compare with."""
    metrics = Metrics()
    metrics.promises(objectives, charter)
    return [
        constant(sample.name, sample.value, since, **sample.labels)
        for family in metrics.registry.collect()
        if family.name in ("pilot_objective", "pilot_expected_requests")
        for sample in family.samples
    ]


@dataclass(frozen=True)
class _Events:
    """When what happened, in seconds since 1970: requests, answers of the model with why they failed, flags of people,
    known items by what became of them, from when to when items waited for a person, and the AI was off."""

    received: list[float]
    answered: list[tuple[float, str | None]]
    flagged: list[tuple[float, str]]
    asked: dict[str, list[float]]
    waits: list[tuple[float, float]]
    off: list[tuple[float, float]]

    @classmethod
    def read(cls, connection: Connection) -> _Events:
        """What the records hold of it."""
        known = items.c.caller == KNOWN_ITEMS
        received = select(items.c.received_at).where(~known)
        made = and_(answers.c.role == "primary", answers.c.ended_at.is_not(None))
        first = and_(outcomes.c.item_id == items.c.id, outcomes.c.version == 1)
        of_model = select(answers.c.ended_at, answers.c.failure, known.label("known"), outcomes.c.agreement)
        answered = connection.execute(of_model.join_from(answers, items).outerjoin(outcomes, first).where(made)).all()
        flagged = select(outcomes.c.at, outcomes.c.flag).where(outcomes.c.flag.in_(get_args(Flag)))
        waits = select(items.c.received_at, outcomes.c.at).outerjoin(outcomes, first).where(items.c.review.is_not(None))
        asked: dict[str, list[float]] = {}
        for row in answered:
            if row.known:
                became = "failed" if row.failure else "right" if row.agreement else "wrong"
                asked.setdefault(became, []).append(row.ended_at.timestamp())
        return cls(
            [moment.timestamp() for moment in connection.execute(received).scalars()],
            [(row.ended_at.timestamp(), row.failure) for row in answered],
            [(moment.timestamp(), flag) for moment, flag in connection.execute(flagged)],
            asked,
            [(at.timestamp(), until.timestamp() if until else float("inf")) for at, until in connection.execute(waits)],
            _off(connection),
        )

    def series(self, interval: float, end: int) -> Iterator[Series]:
        """The series that the service would have exported of it."""
        yield counted("pilot_requests_total", self.received, route=ROUTE, status="200")
        yield counted("pilot_model_answers_total", (moment for moment, _ in self.answered))
        yield from _by_label("pilot_model_failures_total", "reason", self.answered)
        yield from _by_label("pilot_flagged_total", "flag", self.flagged)
        yield oldest(self.waits, 0)
        if self.asked:
            # Before the first known item the service knew of none.
            since = min(itertools.chain(*self.asked.values())) - STEP
            yield constant("pilot_known_items_rows", 1, since)
            for became, moments in self.asked.items():
                yield counted("pilot_known_items_total", moments, since, result=became)
            ticks = (at for begin, until in self.off for at in _ticks(max(begin, since), min(until, end), interval))
            yield counted("pilot_known_items_total", ticks, since, result="off")


def _by_label(name: str, label: str, events: Iterable[tuple[float, str | None]]) -> Iterator[Series]:
    moments: dict[str, list[float]] = {}
    for moment, value in events:
        if value is not None:
            moments.setdefault(value, []).append(moment)
    # A metric without an event is there all the same, at zero: its alerts are looked at, and stay silent.
    for value, times in moments.items() or [("none", [])]:
        yield counted(name, times, **{label: value})


def _off(connection: Connection) -> list[tuple[float, float]]:
    """From when to when the AI was off, by the audit trail; the last one may go on for ever."""
    turned = ("mode.changed", "pilot.closed", "pilot.reopened")
    rows = connection.execute(select(audit).where(audit.c.event.in_(turned)).order_by(audit.c.seq))
    found: list[tuple[float, float]] = []
    mode, closed, since = "", False, None
    for row in rows:
        if row.event == "mode.changed":
            mode = orjson.loads(row.detail)["after"]
        else:
            closed = row.event == "pilot.closed"
        off = closed or mode == "off"
        if off and since is None:
            since = row.at.timestamp()
        elif not off and since is not None:
            found.append((since, row.at.timestamp()))
            since = None
    return found if since is None else [*found, (since, float("inf"))]


def _ticks(begin: float, end: float, interval: float) -> Iterator[float]:
    while begin < end:
        yield begin
        begin += max(interval, STEP)


def _written(labels: dict[str, str]) -> str:
    inner = ",".join(f"{name}={orjson.dumps(value).decode()}" for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _open_metrics(series: Sequence[Series], begin: int, end: int) -> Iterator[str]:
    """The series as OpenMetrics, those of one metric together, as the format asks for."""
    grid = range(begin, end + 1, STEP)
    for name, lines in itertools.groupby(sorted(series, key=lambda line: line.name), lambda line: line.name):
        kind = "counter" if name.endswith("_total") else "gauge"
        yield f"# TYPE {name.removesuffix('_total')} {kind}\n"
        for line in lines:
            for moment, value in zip(grid, line.values(grid), strict=True):
                if moment >= line.since:
                    yield f"{name}{line.labels} {value} {moment}\n"
    yield "# EOF\n"


def _true(asked: Prometheus, rule: Alert, begin: int, end: int) -> list[int]:
    """The moments at which the expression has a result."""
    found: set[int] = set()
    for first in range(begin, end + 1, _MOMENTS * STEP):
        last = min(first + (_MOMENTS - 1) * STEP, end)
        query = {"query": rule.expression, "start": str(first), "end": str(last), "step": str(STEP)}
        for line in asked.ask("query_range", **query)["result"]:
            found.update(int(moment) for moment, _ in line["values"])
    return sorted(found)


def _firing(rule: Alert, moments: list[int]) -> Iterator[tuple[int, int]]:
    """From when to when it would have fired: it is true for as long as its `for` says, without a break."""
    first = last = None
    for moment in [*moments, None]:
        if last is not None and moment != last + STEP:
            if first is not None and last - first >= rule.hold:
                yield first + rule.hold, last
            first = moment
        first = moment if first is None else first
        last = moment


def lines(found: Looked) -> Iterator[str]:
    """What a look back shows, as people read it."""
    span = f"{shown(found.begin)} to {shown(found.end)} UTC"
    yield f"Looked at {found.items:,} items and {found.known:,} known ones of {span}, minute by minute."
    times = {0: "not have called anybody.", 1: "have called somebody once:"}
    yield f"The alerts would {times.get(len(found.calls), f'have called somebody {len(found.calls)} times:')}"
    for call in found.calls:
        names = ", ".join(dict.fromkeys(alarm.alert.name for alarm in call))
        yield f"  {shown(call[0].begin)}  {_minutes(call)}  {names}, {call[0].alert.page}"
    tickets = [alarm for alarm in found.alarms if alarm.alert.severity == "ticket"]
    if tickets:
        yield f"Tickets: {len(tickets)}"
    for alarm in tickets:
        yield f"  {shown(alarm.begin)}  {_minutes([alarm])}  {alarm.alert.name}, {alarm.alert.page}"
    if found.unseen:
        yield f"The records do not hold what these look at: {', '.join(found.unseen)}."


def record(root: Path, found: Looked, fired: dict[str, tuple[float, int]] | None, today: date, by: str) -> Path:
    """Writes the evidence of a look back and returns its path. `fired` is what a Prometheus counted meanwhile, see
    `Prometheus.fired`; None where none answered."""
    facts = {
        "begins": shown(found.begin),
        "ends": shown(found.end),
        "items": found.items,
        "known_items": found.known,
        "calls": [
            {
                "at": shown(call[0].begin),
                "minutes": _length(call),
                "alerts": sorted({alarm.alert.name for alarm in call}),
            }
            for call in found.calls
        ],
        "tickets": sum(alarm.alert.severity == "ticket" for alarm in found.alarms),
        "unseen": found.unseen,
        "minutes_by_prometheus": None if fired is None else {name: fired[name][1] for name in sorted(fired)},
        "by": by,
    }
    return evidence.append(root, "backtest", "backtest", today, facts)


def shown(moment: float) -> str:
    """A moment (seconds since 1970) as people read it."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}"


def _length(call: list[Alarm]) -> int:
    return (max(alarm.end for alarm in call) - call[0].begin) // 60 + 1


def _minutes(call: list[Alarm]) -> str:
    return f"{_length(call):>5} min"
