"""Did the pilot meet its charter? One metric against its target, beside today's process and what must not get worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from pilot.contract import PilotError
from pilot.evaluation import calibration, comparisons, estimates, figures, metrics, missing, slices
from pilot.evaluation.columns import UNKNOWN
from pilot.evaluation.comparisons import Comparison
from pilot.evaluation.extra import library
from pilot.evaluation.figures import Figure
from pilot.evaluation.intervals import Estimate
from pilot.evaluation.verdict import Verdict, verdict

if TYPE_CHECKING:
    from pilot.evaluation.columns import Columns

Baseline = Mapping[str, Sequence[float]]
PLANNED = 300


class Guardrail(Protocol):
    """What must not get worse by more than its margin."""

    @property
    def metric(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def margin(self) -> float: ...


class Charter(Protocol):
    """The facts of the charter that a verdict follows from."""

    @property
    def metric(self) -> str | None: ...
    @property
    def direction(self) -> str | None: ...
    @property
    def target(self) -> float | None: ...
    @property
    def judged_items(self) -> int | None: ...
    @property
    def least_coverage(self) -> float: ...
    @property
    def interval(self) -> str | None: ...
    @property
    def cost_of_hour(self) -> float | None: ...
    @property
    def guardrails(self) -> Sequence[Guardrail]: ...


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
class Guarded:
    """A guardrail, the figure that speaks about it, whether it is shown to hold, and whether harm is proven."""

    metric: str
    margin: float
    holds: bool
    harmed: bool
    said: str


@dataclass(frozen=True)
class Other:
    """A metric that the target is not about, beside the baseline where both are known."""

    figure: Figure
    baseline: Versus | None


@dataclass(frozen=True)
class Evaluation:
    """The pilot at the end of the day `as_of`, by records of up to the end of `counted_until`."""

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
    direction = charter.direction or ("up" if metric == "accuracy" else "down")
    counted = counted_until(as_of, due)
    until = moment(counted).timestamp()
    always = charter.interval == "always_valid"
    planned = (charter.judged_items or PLANNED) if always else None
    hour = charter.cost_of_hour
    figure = figures.figure(columns, metric, until=until, cost_of_hour=hour, planned=planned)
    early = not always and (due is None or as_of < due)
    found, reasons = _decided(figure, charter, target, direction, early, due)
    judged = metrics.accuracy(columns)
    known = judged.known
    return Evaluation(
        metric=metric,
        unit=metrics.UNITS[metric],
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
        baseline=_beside_baseline(columns, charter, metric, baseline, direction),
        rules=_beside_rules(columns),
        guardrails=tuple(_guarded(columns, charter, rail, baseline) for rail in charter.guardrails),
        others=tuple(_others(columns, charter, baseline, until, metric)),
        slices=_slices(columns, baseline),
        bands=tuple(missing.coverage(columns.confidence[judged.rows], known)),
        calibration=_calibration(columns, judged),
    )


def _others(columns: Columns, charter: Charter, baseline: Baseline, until: float, metric: str) -> Iterator[Other]:
    for name in metrics.UNITS:
        found = figures.figure(columns, name, until=until, cost_of_hour=charter.cost_of_hour)
        if name != metric and found.naive.value is not None:
            better = "up" if name == "accuracy" else "down"
            yield Other(found, _beside_baseline(columns, charter, name, baseline, better))


def _decided(
    figure: Figure, charter: Charter, target: float, direction: str, early: bool, due: date | None
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict, and why it is none of the clear ones."""
    found = verdict((figure.estimate.low, figure.estimate.high), target, direction)
    reasons = []
    if not figure.items:
        reasons.append(
            "No live item counts for the metric yet."
            if figure.metric == "accuracy"
            else f"Shadow proves accuracy only: {figure.metric} needs items of mode assist or auto, and there are none."
        )
    elif figure.estimate.low is None and figure.estimate.high is None:
        reasons.append(f"The figure has no interval: {figure.estimate.method}.")
    elif found is Verdict.NOT_PROVEN:
        reasons.append("The target lies within the interval.")
        alone = verdict((figure.naive.low, figure.naive.high), target, direction)
        if figure.corrected and alone is not Verdict.NOT_PROVEN:
            open_items = figure.items - figure.known
            reasons.append(f"Without the {open_items} items that have no outcome it would be {alone}: judge those.")
    if figure.coverage is not None and figure.coverage < charter.least_coverage:
        reasons.append(
            f"Of the items that wait for an outcome {figure.coverage:.1%} have one, and the charter asks for "
            f"{charter.least_coverage:.0%}."
        )
        found = Verdict.NOT_PROVEN
    if early:
        when = "the charter is signed and has a date" if due is None else f"the day of the decision, {due}"
        return Verdict.PROGRESS, (f"There is no verdict before {when}.", *reasons)
    return found, tuple(reasons)


def _beside_baseline(
    columns: Columns, charter: Charter, metric: str, baseline: Baseline, direction: str
) -> Versus | None:
    before = baseline.get(metric, ())
    sample = metrics.sample(columns, metric, charter.cost_of_hour)
    values = sample.values[sample.known]
    if not len(before) or not len(values):
        return None
    if metric == "accuracy":
        other, found = estimates.share(before), comparisons.independent_shares(values, before)
    else:
        other, found = estimates.mean(before), comparisons.independent_means(values, before)
    return versus("the baseline", other, found, direction)


def _beside_rules(columns: Columns) -> Versus | None:
    """The AI's answers and those of today's rules to the same judged items."""
    both = (columns.agrees != UNKNOWN) & (columns.rules_agree != UNKNOWN) & columns.asked
    if not both.any():
        return None
    ours, theirs = columns.agrees[both], columns.rules_agree[both]
    codes = columns.group[both]
    groups = None if (codes == UNKNOWN).all() else [None if code == UNKNOWN else code for code in codes.tolist()]
    found = comparisons.paired_shares(ours, theirs, groups)
    return versus("today's rules", estimates.share(theirs), found, "up")


def versus(what: str, other: Estimate, found: Comparison, direction: str) -> Versus:
    low, high = found.low, found.high
    above, below = low is not None and low > 0, high is not None and high < 0
    better, worse = (above, below) if direction == "up" else (below, above)
    return Versus(what, other, found, better, worse)


def _guarded(columns: Columns, charter: Charter, rail: Guardrail, baseline: Baseline) -> Guarded:
    """Whether a guardrail is shown to hold. What cannot be shown does not hold."""

    def unshown(why: str) -> Guarded:
        return Guarded(rail.metric, rail.margin, False, False, why)

    if rail.metric in metrics.OF_THE_MODEL:
        return _of_the_model(columns, rail)
    if rail.metric not in metrics.UNITS:
        return unshown(f"not known; name one of {', '.join(metrics.GUARDRAILS)}")
    found = _beside_baseline(columns, charter, rail.metric, baseline, rail.direction)
    if found is None:
        return unshown("nothing to compare: it needs values of the baseline, and of the pilot beyond shadow")
    comparison = found.comparison
    holds = comparisons.non_inferior(comparison, rail.margin, rail.direction)
    harmed = found.worse and not holds
    return Guarded(rail.metric, rail.margin, holds, harmed, f"pilot less baseline {_shown(comparison)}")


def _of_the_model(columns: Columns, rail: Guardrail) -> Guarded:
    numpy = library("numpy")
    if rail.metric == "failures":
        asked = ~numpy.isnan(columns.answer_seconds)
        found = estimates.share(columns.failed[asked])
    else:
        seconds = columns.answer_seconds[~numpy.isnan(columns.answer_seconds) & ~columns.failed]
        found = estimates.quantile(seconds, 0.95)
    holds = found.high is not None and found.high <= rail.margin
    harmed = found.low is not None and found.low > rail.margin
    what = "share of failed answers" if rail.metric == "failures" else "95th percentile"
    return Guarded(rail.metric, rail.margin, holds, harmed, f"{what} {_shown(found)}")


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
    numpy = library("numpy")
    confidence = columns.confidence[sample.rows]
    usable = sample.known & ~numpy.isnan(confidence)
    return calibration.calibration(confidence[usable], sample.values[usable])


def _shown(found: Estimate | Comparison) -> str:
    value = found.value if isinstance(found, Estimate) else found.difference
    ends = ["open" if end is None else f"{end:.4g}" for end in (found.low, found.high)]
    return f"{'-' if value is None else f'{value:.4g}'} [{ends[0]}, {ends[1]}], n {found.n}, {found.method}"
