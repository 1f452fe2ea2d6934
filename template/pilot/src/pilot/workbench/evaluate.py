"""Did the pilot meet its charter? One metric against its target, beside today's process and what must not get worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from pilot.charter import Charter
from pilot.contract import PilotError
from pilot.metrics import BETTER, UNITS
from pilot.workbench import figures, metrics
from pilot.workbench.baselines import Baseline, Beside, against
from pilot.workbench.columns import UNKNOWN, Columns
from pilot.workbench.figures import Figure
from pilot.workbench.guardrails import Guarded, guarded
from pilot.workbench.reasons import decided
from pilot.workbench.stats import calibration, comparisons, estimates, missing, slices
from pilot.workbench.stats.comparisons import Comparison, holm
from pilot.workbench.stats.data import CONFIDENCE, Estimate
from pilot.workbench.verdict import Verdict

PLANNED = 300


@dataclass(frozen=True)
class Versus:
    """The pilot beside something else: the other's figure, and the difference, pilot less other. `better` is whether
    the difference is proven to be on the good side; `what` names the other."""

    what: str
    other: Estimate
    comparison: Comparison
    better: bool
    worse: bool


@dataclass(frozen=True)
class Other:
    """A metric that the target is not about, beside the baseline where both are known; its p is adjusted for the other
    metrics (Holm)."""

    figure: Figure
    baseline: Versus | None


@dataclass(frozen=True)
class Evaluation:
    """The pilot at the end of the day `as_of`, by records of up to the end of `counted_until`. `sampled` is whether
    some items were drawn for an audit, so that what is said of the judged ones alone is not said of all."""

    metric: str
    unit: str
    direction: str
    target: float
    as_of: date
    due: date | None
    counted_until: date
    verdict: Verdict
    reasons: tuple[str, ...]
    figure: Figure
    floor: float
    planned: int | None
    baseline: Versus | None
    rules: Versus | None
    guardrails: tuple[Guarded, ...]
    others: tuple[Other, ...]
    slices: Mapping[str, tuple[slices.Slice, ...]]
    bands: tuple[missing.Band, ...]
    calibration: calibration.Calibration
    sampled: bool

    @property
    def early(self) -> bool:
        """Whether this is a look before the day of the decision: what it compares proves nothing yet, unless its
        interval holds at every look, as that of the verdict may."""
        return self.due is None or self.as_of < self.due


def moment(day: date) -> datetime:
    """The end of a day, in UTC."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)


def counted_until(as_of: date, due: date | None) -> date:
    """The last day whose records count: nothing that comes after the day of the decision may change its verdict."""
    return as_of if due is None else min(as_of, due)


def evaluate(columns: Columns, charter: Charter, baseline: Baseline, *, as_of: date, due: date | None) -> Evaluation:
    """The verdict on the charter's target, from the columns of live items up to `counted_until`, and from the known
    values of the baseline by metric, in the charter's units.

    Before the day `due` it is PROGRESS, unless the charter asks for an interval that holds at every look. Raises
    PilotError when the charter has no target.
    """
    metric, target = charter.metric, charter.target
    if metric is None or target is None:
        raise PilotError("The charter has no target. Write its metric and a number, such as `target: 0.85`.")
    direction = charter.direction or BETTER[metric]
    counted = counted_until(as_of, due)
    until = moment(counted).timestamp()
    always = charter.interval == "always_valid"
    hour = charter.cost_of_hour
    measured = {name: figures.figure(columns, name, until=until, cost_of_hour=hour) for name in UNITS}
    beside = {name: against(columns, one, baseline, until, hour) for name, one in measured.items()}
    figure = measured[metric]
    if always:
        planned = charter.judged_items or PLANNED
        figure = figures.figure(columns, metric, until=until, cost_of_hour=hour, planned=planned)
    found, reasons = decided(figure, columns, charter, due, early=due is None or (as_of < due and not always))
    judged = metrics.accuracy(columns)
    sampled = bool((judged.probability != 1).any())
    return Evaluation(
        metric=metric,
        unit=UNITS[metric],
        direction=direction,
        target=target,
        as_of=as_of,
        due=due,
        counted_until=counted,
        verdict=found,
        reasons=reasons,
        figure=figure,
        floor=charter.least_coverage,
        planned=charter.judged_items,
        baseline=_versus_baseline(beside[metric], direction),
        rules=_beside_rules(columns),
        guardrails=tuple(guarded(columns, rail, beside) for rail in charter.guardrails),
        others=_others(metric, measured, beside),
        # The judged items of a sample are not like all: no part of them can be held to what the baseline has of all.
        slices=_slices(columns, {} if sampled else baseline),
        bands=_bands(columns, judged),
        calibration=_calibration(columns, judged),
        sampled=sampled,
    )


def _others(metric: str, measured: Mapping[str, Figure], beside: Mapping[str, Beside | None]) -> tuple[Other, ...]:
    """The secondary metrics, whose p-values are adjusted for each other (Holm)."""
    names = [name for name, one in measured.items() if name != metric and one.naive.value is not None]
    raw = {name: found.comparison.p for name in names if (found := beside[name]) and found.comparison.p is not None}
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    others = []
    for name in names:
        versus = _versus_baseline(beside[name], BETTER[name])
        if versus is not None:
            p = adjusted.get(name)
            proven = p is not None and p < 1 - CONFIDENCE
            comparison = replace(versus.comparison, p=p)
            versus = replace(
                versus, comparison=comparison, better=versus.better and proven, worse=versus.worse and proven
            )
        others.append(Other(measured[name], versus))
    return tuple(others)


def _versus_baseline(found: Beside | None, direction: str) -> Versus | None:
    return None if found is None else versus("the baseline", found.other, found.comparison, direction)


def _beside_rules(columns: Columns) -> Versus | None:
    """The AI's answers and those of today's rules to the same judged items."""
    both = (columns.agrees != UNKNOWN) & (columns.rules_agree != UNKNOWN) & columns.asked
    if not both.any():
        return None
    ours, theirs, chosen = columns.agrees[both], columns.rules_agree[both], columns.probability[both]
    groups = figures.codes(columns.group[both])
    if (chosen == 1).all():
        return versus("today's rules", estimates.share(theirs), comparisons.paired_shares(ours, theirs, groups), "up")
    other = missing.weighted(theirs, chosen, groups=groups)
    return versus("today's rules", other, comparisons.weighted_shares(ours, theirs, chosen, groups), "up")


def versus(what: str, other: Estimate, found: Comparison, direction: str) -> Versus:
    """The comparison, with what its interval proves."""
    low, high = found.low, found.high
    above, below = low is not None and low > 0, high is not None and high < 0
    better, worse = (above, below) if direction == "up" else (below, above)
    return Versus(what, other, found, better, worse)


def _bands(columns: Columns, judged: metrics.Sample) -> tuple[missing.Band, ...]:
    """The coverage of all items that the AI was asked about: those too whose answer was used, and that nobody judges
    by design."""
    rows = np.union1d(judged.rows, np.flatnonzero(columns.influenced & ~np.isnan(columns.answer_seconds)))
    return tuple(missing.coverage(columns.confidence[rows], columns.asked[rows] & (columns.agrees[rows] != UNKNOWN)))


def _slices(columns: Columns, baseline: Baseline) -> dict[str, tuple[slices.Slice, ...]]:
    sample = metrics.accuracy(columns)
    rows, right = sample.rows[sample.known], sample.values[sample.known]
    before = baseline.get("accuracy", ())
    reference = float(sum(before) / len(before)) if len(before) else None

    def of(codes: object, names: tuple[str, ...]) -> tuple[slices.Slice, ...]:
        found = ["none" if code == UNKNOWN else names[code] for code in codes.tolist()]  # type: ignore[attr-defined]
        return slices.slices(found, right, reference=reference)

    weeks = [datetime.fromtimestamp(at, UTC).strftime("%G-W%V") for at in columns.arrived_at[rows].tolist()]
    return {
        "mode": of(columns.mode[rows], columns.modes),
        "model version": of(columns.version[rows], columns.versions),
        "group": of(columns.group[rows], columns.groups) if columns.groups else (),
        "week": slices.slices(weeks, right, reference=reference),
    }


def _calibration(columns: Columns, sample: metrics.Sample) -> calibration.Calibration:
    confidence = columns.confidence[sample.rows]
    usable = sample.known & ~np.isnan(confidence)
    confidence, right = confidence[usable], sample.values[usable]
    order = np.lexsort((right, confidence))  # so that the order of the rows changes no last digit
    return calibration.calibration(confidence[order], right[order])
