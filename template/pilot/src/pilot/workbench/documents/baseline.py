"""The process before the AI: what was measured, frozen so that the pilot is compared with what was there before it."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import stdev
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pilot.charter import read_charter
from pilot.contract import PilotError
from pilot.frontmatter import AnyDay, Document, Fault, Issue, Unreadable, replace_text, validated
from pilot.metrics import HOUR, OF_THE_MODEL, metric_of
from pilot.records.rows import read_rows
from pilot.workbench import evidence
from pilot.workbench.documents.model import about
from pilot.workbench.evidence import Chain

BASELINE = Path("phases/2-build/baseline.csv")
MEASURES = ("seconds", "correct", "cost", "touches")
# The measure that the charter's metric is compared with.
MEASURE_OF = {"accuracy": "correct", "cycle_time": "seconds", "manual_touches": "touches", "cost_per_item": "cost"}
_MOST_ISSUES = 20


def _known(value: Any) -> Any:
    """An empty cell is not known."""
    return None if isinstance(value, str) and not value.strip() else value


def _number(value: Any) -> Any:
    """A number or nothing. Python reads 1_0 as ten, and people mean something else by it."""
    if isinstance(value, str) and "_" in value:
        raise ValueError("is no number")
    return _known(value)


Name = Annotated[str, Field(min_length=1, max_length=200)]
Amount = Annotated[float | None, Field(ge=0, allow_inf_nan=False), BeforeValidator(_number)]
_NUMBER = "a number of 0 or more such as {}, or leave it empty"


class Measurement(BaseModel):
    """One item: `seconds` from its arrival to the final decision, whether that was `correct`, its `cost` in the
    charter's currency, and the `touches`, which are actions of persons; None is not known. `by_field` is what was
    measured of single fields, by the name of the metric, such as `accuracy:total` or `absolute_error:hours`."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, coerce_numbers_to_str=True)

    id: Name = Field(description="an id of its own for each item, in 1 to 200 characters")
    measured_on: AnyDay = Field(description="the day of the measurement as 2026-11-23")
    measured_by: Name = Field(description="the name of who measured, in 1 to 200 characters")
    seconds: Amount = about(_NUMBER.format("540 or 12.5"))
    correct: Annotated[bool | None, BeforeValidator(_known)] = about("yes or no, or leave it empty")
    cost: Amount = about(_NUMBER.format("4.20"))
    touches: Annotated[int | None, Field(ge=0), BeforeValidator(_number)] = about(
        "a whole number of 0 or more, or leave it empty"
    )

    by_field: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_number)]] = about(
        "a column for each metric of fields, such as accuracy:total: yes, no or a number", {}
    )

    @property
    def cells(self) -> dict[str, str]:
        """The measurement as text, the same whatever file it came from."""
        return {name: _text(getattr(self, name)) for name in COLUMNS} | {
            name: _text(value) for name, value in self.by_field.items()
        }

    def measured(self, measure: str) -> float | None:
        """The value of a measure, or of a metric of fields; None where it is not known."""
        value = getattr(self, measure) if measure in MEASURES else self.by_field.get(measure)
        return None if value is None else float(value)


COLUMNS = tuple(name for name in Measurement.model_fields if name != "by_field")


@dataclass
class Imported:
    """What became of the rows of a file: each is new, or known from before, or refused."""

    rows: int = 0
    new: int = 0
    known: int = 0
    refused: list[Unreadable] = field(default_factory=list)


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


def import_file(root: Path, file: Path, today: date) -> Imported:
    """Adds the measurements of `file` to the baseline of the pilot in `root`. The same file again adds nothing.

    Raises PilotError when one of the two cannot be read.
    """
    rows = {row.id: row for row in read_all(root)}
    imported = Imported()
    for row in _rows(file, file):
        imported.rows += 1
        if isinstance(row, Unreadable):
            imported.refused.append(row)
        elif row.facts.measured_on > today:
            fault = Fault("measured_on", f"{row.facts.measured_on} is still to come.", "Fix the date.")
            imported.refused.append(Unreadable(row.issue(fault)))
        elif (known := rows.get(row.facts.id)) is None:
            rows[row.facts.id] = row.facts
            imported.new += 1
        elif known == row.facts:
            imported.known += 1
        else:
            what = f"{known.id} is in the baseline with other values."
            imported.refused.append(Unreadable(row.issue(Fault("id", what, "Fix the wrong one of the two."))))
    if imported.new:
        _write(root / BASELINE, list(rows.values()))
    return imported


def read_all(root: Path) -> list[Measurement]:
    """All measurements of the pilot in `root`; none where there is no such file. Raises Unreadable with each row that
    is no measurement, or repeats an id."""
    if not (root / BASELINE).is_file():
        return []
    rows: dict[str, Measurement] = {}
    issues: list[Issue] = []
    for row in _rows(root / BASELINE, BASELINE):
        if isinstance(row, Unreadable):
            issues += row.issues
        elif row.facts.id in rows:
            issues.append(row.issue(Fault("id", f"{row.facts.id} is there twice.", "Remove one of the two.")))
        else:
            rows[row.facts.id] = row.facts
    if issues:
        raise Unreadable(*issues[:_MOST_ISSUES])
    return list(rows.values())


def freeze(root: Path, today: date) -> Frozen:
    """Binds the baseline to hashes, as evidence. One that did not change since is left as it is; one that did
    is frozen anew, and both stay on record.

    Raises PilotError when there is nothing to freeze, or nothing that the charter's metric can be compared with, or
    where the evidence so far was altered.
    """
    rows = read_all(root)
    if not rows:
        raise PilotError(f"{BASELINE} has no rows. Measure today's process, then run `pilot baseline import FILE`.")
    days = [row.measured_on for row in rows]
    if max(days) > today:
        raise PilotError(f"{BASELINE}: a row is measured on {max(days)}, which is still to come. Fix the date.")
    charter = read_charter(root)
    measure = MEASURE_OF.get(charter.metric, charter.metric) if charter and charter.metric else None
    if charter and measure and all(row.measured(measure) is None for row in rows):
        raise PilotError(
            f"{BASELINE}: the charter's metric is {charter.metric}, and no row has {measure}. Measure it and import it."
        )
    before = frozen(root, evidence.read(root))
    if before is not None and not changes(before, lambda: rows):
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


def frozen(root: Path, chain: Chain) -> Frozen | None:
    """The baseline as it was frozen last; None where it never was, and where that evidence was altered."""
    last = next((entry for entry in reversed(chain.entries) if entry.kind == "baseline"), None)
    altered = [Path(problem.file).name for problem in chain.problems]
    if last is None or any(name <= last.file.name or name.endswith("-baseline.json") for name in altered):
        return None
    return _frozen(root, last.file, last.date, last.facts)


def changes(before: Frozen | None, read: Callable[[], list[Measurement]]) -> list[Issue]:
    """What differs from the frozen baseline, column by column; none where nothing does, or nothing is frozen."""
    if before is None:
        return []
    try:
        rows = read()
    except PilotError as error:
        return [_changed(before, f"can no longer be read. {error}")]
    columns = _hashes(rows)
    if columns["id"] != before.columns.get("id"):
        count = f"{before.n} then, {len(rows)} now" if len(rows) != before.n else "one was replaced"
        return [_changed(before, f"other rows ({count}).")]
    names = dict.fromkeys([*columns, *before.columns])
    return [_changed(before, f"other {name}.") for name in names if columns.get(name) != before.columns.get(name)]


def by_metric(rows: list[Measurement]) -> dict[str, list[float]]:
    """The known values of each of the charter's metrics, in the charter's units: accuracy as 1 and 0, cycle_time in
    hours, manual_touches in actions, cost_per_item in the charter's currency; and those of fields by name."""
    found: dict[str, list[float]] = {}
    for metric, measure in (MEASURE_OF | {name: name for name in _by_field(rows)}).items():
        values = [value for row in rows if (value := row.measured(measure)) is not None]
        found[metric] = [value / HOUR for value in values] if metric == "cycle_time" else values
    return found


def spreads(rows: list[Measurement]) -> dict[str, float]:
    """The standard deviation of each of the charter's metrics that the measurements know two values of: of cycle_time
    in hours, of manual_touches in actions, of cost_per_item in the charter's currency."""
    known = by_metric(rows)
    unbounded = {metric: values for metric, values in known.items() if not metric_of(metric).bounded}
    return {metric: stdev(values) for metric, values in unbounded.items() if len(values) > 1}


def _by_field(rows: list[Measurement]) -> list[str]:
    """The metrics of fields that any row has, in alphabetical order."""
    return sorted({name for row in rows for name in row.by_field})


def _frozen(root: Path, file: Path, on: date, facts: dict[str, Any]) -> Frozen:
    begins, ends = date.fromisoformat(facts["begins"]), date.fromisoformat(facts["ends"])
    return Frozen(file.relative_to(root), on, facts["n"], begins, ends, tuple(facts["measured_by"]), facts["columns"])


def _changed(before: Frozen, what: str) -> Issue:
    fix = "Bring it back from git, or run `pilot baseline freeze` again and give the reason in the commit."
    return Issue(BASELINE.as_posix(), None, f"was changed after it was frozen on {before.on}: {what}", fix)


def _hashes(rows: list[Measurement]) -> dict[str, str]:
    """A hash of each column in the order of the ids, so that neither the order of rows nor the way a file writes its
    numbers counts."""
    cells: list[dict[str, Any]] = [row.cells for row in sorted(rows, key=lambda row: row.id)]
    return {
        name: hashlib.sha256(orjson.dumps([[row["id"], row.get(name, "")] for row in cells])).hexdigest()
        for name in (*COLUMNS, *_by_field(rows))
    }


def _rows(path: Path, file: Path) -> Iterator[Document[Measurement] | Unreadable]:
    """The rows of a .csv or .jsonl file, as measurements or with what is wrong. Messages name the file `file`. A row
    without an id is known by its content and its occurrence. Raises PilotError when the file cannot be read."""
    seen: Counter[str] = Counter()
    for row in read_rows(path):
        # Of the cells, not of the bytes: the last line of a file gets a line break when rows are added below it.
        content = hashlib.sha256(orjson.dumps(row.cells, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
        seen[content] += 1
        cells = {
            "id": f"row-{content}-{seen[content]}",
            **{name: cell for name, cell in row.cells.items() if name != "id" or _known(cell) is not None},
        }
        of_fields = {name: _value(cells.pop(name)) for name in list(cells) if _is_of_fields(name)}
        if of_fields := {name: value for name, value in of_fields.items() if value is not None}:
            cells["by_field"] = of_fields
        lines = {"": row.line}
        try:
            if row.problem is not None:
                raise Unreadable(Issue(file.as_posix(), row.line, f"{row.problem}.", "Fix the row."))
            found = Document(file, validated(Measurement, cells, file, lines), lines)
            if not found.facts.by_field and all(getattr(found.facts, name) is None for name in MEASURES):
                raise Unreadable(found.issue(Fault("", "measures nothing.", f"Fill one of {', '.join(MEASURES)}.")))
            yield found
        except Unreadable as error:
            yield error


def _is_of_fields(column: str) -> bool:
    """Whether a column is a metric of fields."""
    try:
        return column not in MEASURE_OF and column not in OF_THE_MODEL and bool(metric_of(column))
    except PilotError:
        return False


def _value(cell: Any) -> Any:
    """A cell as a number: yes is 1 and no is 0; None where it is empty."""
    words = {"yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0}
    return words.get(str(cell).strip().casefold(), _known(cell))


def _write(file: Path, rows: list[Measurement]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *_by_field(rows)], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.cells for row in rows)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, text.getvalue())


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.15g}" if isinstance(value, float) else str(value)
