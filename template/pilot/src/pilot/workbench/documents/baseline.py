"""The process before the AI: what was measured, frozen so that the pilot is compared with what was there before it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import stdev
from typing import Any

import orjson

from pilot.charter import read_charter
from pilot.contract import PilotError
from pilot.metrics import HOUR, quantile, share
from pilot.workbench import evidence
from pilot.workbench.documents.measurements import COLUMNS, MEASURES, Measurement, Refused, read, read_all, write
from pilot.workbench.documents.model import Issue
from pilot.workbench.stats import intervals

BASELINE = Path("phases/2-build/baseline.csv")
RULE = "baseline-frozen"
# The measure that the charter's metric is compared with.
MEASURE_OF = {"accuracy": "correct", "cycle_time": "seconds", "manual_touches": "touches", "cost_per_item": "cost"}


@dataclass
class Report:
    """What became of the rows of a file: each is new, or known from before, or refused."""

    rows: int = 0
    new: int = 0
    known: int = 0
    refused: list[Refused] = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    """A baseline as it was frozen: how many items, from when to when, measured by whom, and hashes of its columns."""

    file: Path
    on: date
    n: int
    begins: date
    ends: date
    measured_by: tuple[str, ...]
    columns: dict[str, str]

    def precedes(self, first_answer: date) -> bool:
        """Whether its period ended before the day of the AI's first answer; if not, the AI may have touched it."""
        return self.ends < first_answer


@dataclass(frozen=True)
class Figures:
    """One measure: `n` known values, how many are `missing`, and each statistic with its value and 95 % interval."""

    n: int
    missing: int
    statistics: dict[str, tuple[float, intervals.Interval]]


def import_file(root: Path, file: Path, today: date) -> Report:
    """Adds the measurements of `file` to the baseline of the pilot in `root`. The same file again adds nothing.

    Raises PilotError when one of the two cannot be read.
    """
    rows = {row.id: row for row in read_all(root, BASELINE)}
    report = Report()
    for line, row in read(file):
        report.rows += 1
        if isinstance(row, Refused):
            report.refused.append(row)
        elif row.measured_on > today:
            report.refused.append(Refused(line, f"measured_on: {row.measured_on} is still to come; fix the date"))
        elif row.id not in rows:
            rows[row.id] = row
            report.new += 1
        elif rows[row.id] == row:
            report.known += 1
        else:
            reason = f"id: {row.id} is in the baseline with other values; fix the wrong one of the two"
            report.refused.append(Refused(line, reason))
    if report.new:
        write(root / BASELINE, list(rows.values()))
    return report


def freeze(root: Path, today: date) -> Frozen:
    """Binds the baseline to hashes, as evidence. One that is frozen as it stands is left as it is; one that was changed
    is frozen anew, and both stay on record.

    Raises PilotError when there is nothing to freeze, or nothing that the charter's metric can be compared with, or
    where the evidence so far was altered.
    """
    rows = read_all(root, BASELINE)
    if not rows:
        raise PilotError(f"{BASELINE} has no rows. Measure today's process, then run `pilot baseline import FILE`.")
    days = [row.measured_on for row in rows]
    if max(days) > today:
        raise PilotError(f"{BASELINE}: a row is measured on {max(days)}, which is still to come. Fix the date.")
    charter = read_charter(root)
    measure = MEASURE_OF.get(charter.metric or "") if charter else None
    if charter and measure and all(getattr(row, measure) is None for row in rows):
        raise PilotError(
            f"{BASELINE}: the charter's metric is {charter.metric}, and no row has {measure}. Measure it and import it."
        )
    before = frozen(root)
    if before is not None and not changes(root):
        return before
    facts = {
        "file": BASELINE.as_posix(),
        "n": len(rows),
        "begins": str(min(days)),
        "ends": str(max(days)),
        "measured_by": sorted({row.measured_by for row in rows}),
        "columns": _hashes(rows),
    }
    return _frozen(root, evidence.append(root, "baseline", "baseline", today, facts), today, facts)


def frozen(root: Path) -> Frozen | None:
    """The baseline as it was frozen last; None where it never was, and where that evidence was altered."""
    chain = evidence.read(root)
    last = next((entry for entry in reversed(chain.entries) if entry.kind == "baseline"), None)
    altered = [Path(problem.file).name for problem in chain.problems]
    if last is None or any(name <= last.file.name or name.endswith("-baseline.json") for name in altered):
        return None
    return _frozen(root, last.file, last.date, last.says)


def changes(root: Path) -> list[Issue]:
    """What differs from the frozen baseline, column by column; none where nothing does, or nothing is frozen."""
    before = frozen(root)
    if before is None:
        return []
    try:
        rows = read_all(root, BASELINE)
    except PilotError as error:
        return [_changed(before, f"can no longer be read. {error}")]
    columns = _hashes(rows)
    if columns["id"] != before.columns.get("id"):
        count = f"{before.n} then, {len(rows)} now" if len(rows) != before.n else "one was replaced"
        return [_changed(before, f"other rows ({count}).")]
    return [_changed(before, f"other {name}.") for name in COLUMNS if columns[name] != before.columns.get(name)]


def figures(rows: list[Measurement]) -> dict[str, Figures]:
    """The measures by name, in seconds, as a share, in the charter's currency, and in actions.

    Raises PilotError without the libraries of the extra `evaluation`.
    """
    found = {}
    for name in MEASURES:
        values = [getattr(row, name) for row in rows if getattr(row, name) is not None]
        statistics = _share(values) if name == "correct" else _amounts(values)
        found[name] = Figures(len(values), len(rows) - len(values), statistics)
    return found


def by_metric(rows: list[Measurement]) -> dict[str, list[float]]:
    """The known values of each of the charter's metrics, in the charter's units: accuracy as 1 and 0, cycle_time in
    hours, manual_touches in actions, cost_per_item in the charter's currency."""
    found: dict[str, list[float]] = {}
    for metric, measure in MEASURE_OF.items():
        values = [float(value) for row in rows if (value := getattr(row, measure)) is not None]
        found[metric] = [value / HOUR for value in values] if metric == "cycle_time" else values
    return found


def spreads(root: Path) -> dict[str, float]:
    """The standard deviation of each of the charter's metrics that the baseline of the pilot in `root` knows two values
    of: of cycle_time in hours, of manual_touches in actions, of cost_per_item in the charter's currency.

    Raises PilotError when the baseline cannot be read.
    """
    known = by_metric(read_all(root, BASELINE))
    return {metric: stdev(values) for metric, values in known.items() if metric != "accuracy" and len(values) > 1}


def _share(values: list[bool]) -> dict[str, tuple[float, intervals.Interval]]:
    found = share(sum(values), len(values))
    return {} if found is None else {"share": (found, intervals.wilson(sum(values), len(values)))}


def _amounts(values: list[float]) -> dict[str, tuple[float, intervals.Interval]]:
    if not values:
        return {}
    statistics: dict[str, tuple[float, intervals.Interval]] = {}
    for name, q in (("median", 0.5), ("p90", 0.9)):
        statistics[name] = (quantile(values, q) or 0.0, intervals.quantile(values, q))
    statistics["mean"] = (sum(values) / len(values), intervals.mean(values))
    return statistics


def _frozen(root: Path, file: Path, on: date, says: dict[str, Any]) -> Frozen:
    begins, ends = date.fromisoformat(says["begins"]), date.fromisoformat(says["ends"])
    return Frozen(file.relative_to(root), on, says["n"], begins, ends, tuple(says["measured_by"]), says["columns"])


def _changed(before: Frozen, what: str) -> Issue:
    fix = "Bring it back from git, or run `pilot baseline freeze` again and give the reason in the commit."
    return Issue(BASELINE.as_posix(), None, f"was changed after it was frozen on {before.on}: {what}", fix, RULE)


def _hashes(rows: list[Measurement]) -> dict[str, str]:
    """A hash of each column in the order of the ids, so that neither the order of rows nor the way a file writes its
    numbers counts."""
    cells: list[dict[str, Any]] = [row.cells for row in sorted(rows, key=lambda row: row.id)]
    return {
        name: hashlib.sha256(orjson.dumps([[row["id"], row[name]] for row in cells])).hexdigest() for name in COLUMNS
    }
