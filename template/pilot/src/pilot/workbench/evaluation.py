"""Did the pilot meet its charter? One metric against its target, beside today's process and what must not get worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from math import floor, fsum
from typing import Any

import numpy as np
from scipy import stats

from pilot.charter import Charter, Guardrail
from pilot.contract import PilotError
from pilot.metrics import BETTER, GUARDRAILS, HOUR, OF_THE_MODEL, UNITS, share
from pilot.workbench import metrics
from pilot.workbench.columns import UNKNOWN, Codes, Columns, Flags
from pilot.workbench.documents.baseline import MEASURES, Measurement
from pilot.workbench.metrics import Sample
from pilot.workbench.stats import calibration, comparisons, estimates, missing, slices, survival
from pilot.workbench.stats.comparisons import Comparison, holm
from pilot.workbench.stats.data import CONFIDENCE, TAIL, Estimate, Floats, Interval


class Verdict(StrEnum):
    """What the records show about a target. PROGRESS is the result of an early look: figures without a verdict."""

    MET = "MET"
    MISSED = "MISSED"
    NOT_PROVEN = "NOT PROVEN"
    PROGRESS = "PROGRESS"

    @property
    def exit_code(self) -> int:
        """What `pilot evaluate` ends with."""
        return {"MET": 0, "MISSED": 10, "NOT PROVEN": 11, "PROGRESS": 12}[self.value]


def verdict(interval: Interval, target: float, direction: str) -> Verdict:
    """MET where the whole interval is at the target or on its good side (`up`: above, `down`: below), MISSED where the
    whole of it is on the other, NOT PROVEN where the target lies within. An end that is None proves nothing."""
    low, high = interval
    if direction == "down":
        low, high, target = _mirrored(high), _mirrored(low), -target
    if low is not None and low >= target:
        return Verdict.MET
    if high is not None and high < target:
        return Verdict.MISSED
    return Verdict.NOT_PROVEN


def _mirrored(end: float | None) -> float | None:
    return None if end is None else -end


NO_SEQUENCE = "no always-valid interval: it is for shares of items that are independent and all judged"


@dataclass(frozen=True)
class Figure:
    """A metric over `items`, of which `known` have a value. `estimate` is corrected for those that have none, or
    bounded by them, and may decide; `naive` takes the known ones for all. `corrected` is whether that makes a
    difference. `bounds` are the values of the metric if all items without one were as bad as can be, and as good; for a
    mean, as the least and the greatest known. Where open items are censored, `horizon` is where their mean ends.
    `groups` is how many groups the items come in, and `design_effect` what that costs; None without groups."""

    metric: str
    items: int
    known: int
    estimate: Estimate
    naive: Estimate
    corrected: bool
    bounds: tuple[float, float] | None = None
    horizon: float | None = None
    design_effect: float | None = None
    groups: int | None = None

    @property
    def coverage(self) -> float | None:
        """The share of the items whose value is known."""
        return share(self.known, self.items)


def figure(
    columns: Columns, metric: str, *, until: float, cost_of_hour: float | None = None, planned: int | None = None
) -> Figure:
    """The metric of these items at the moment `until`, in seconds since 1970: accuracy as a share, others as a mean.

    With `planned` items the interval holds at every look; without, at one. Source: as the functions of `estimates`,
    `missing` and `survival` that its method names.
    """
    sample = metrics.sample(columns, metric, cost_of_hour)
    known, groups = sample.known, codes(sample.group)
    values, chosen = sample.values[known], codes(sample.group, known)
    lost = len(sample) - int(known.sum())
    bounds = horizon = None
    if metric == "accuracy":
        naive = estimates.share(values, chosen)
        weighted = bool((sample.probability != 1).any())
        estimate = _accuracy(sample, naive, planned)
        bounds = _bounds(sample) if lost else None
    else:
        naive = estimates.mean(values, chosen)
        weighted = False
        if metric == "cycle_time" and lost and planned is None and lost < len(sample):
            times = hours_until(columns, sample, until)
            horizon = float(times.max())
            estimate = survival.restricted_mean(times, known, horizon, groups) if horizon > 0 else naive
        else:
            estimate, bounds = _mean(sample, naive, planned)
    return Figure(
        metric=metric,
        items=len(sample),
        known=int(known.sum()),
        estimate=estimate,
        naive=naive,
        corrected=bool(lost) or weighted,
        bounds=bounds,
        horizon=horizon,
        design_effect=naive.design_effect,
        groups=naive.groups,
    )


def hours_until(columns: Columns, sample: Sample, until: float) -> Floats:
    """The cycle time of each item in hours; of an open one how long it has been open at `until`."""
    ages = np.maximum((until - columns.arrived_at[sample.rows]) / HOUR, 0.0)
    found: Floats = np.where(sample.known, sample.values, ages)
    return found


def codes(group: Codes, which: Flags | None = None) -> list[Any] | None:
    """The group of each item, or of those of `which`, None for one without; None where no item at all has one."""
    if (group == UNKNOWN).all():
        return None
    return [None if code == UNKNOWN else code for code in (group if which is None else group[which]).tolist()]


def _accuracy(sample: Sample, naive: Estimate, planned: int | None) -> Estimate:
    known = sample.known
    correct, n = int((sample.values[known] == 1).sum()), len(sample)
    lost = n - int(known.sum())
    weighted = bool((sample.probability != 1).any())
    grouped = codes(sample.group, known)
    if planned is not None:
        if weighted or grouped is not None:
            return Estimate(naive.value, None, None, naive.n, NO_SEQUENCE)
        low, high = (estimates.always_valid(right, n) for right in (correct, correct + lost))
        return Estimate(naive.value, low.low, high.high, naive.n, low.method)
    if weighted:
        return missing.weighted(sample.values[known], sample.probability[known], sample.probability[~known], grouped)
    if not lost:
        return naive
    return missing.bounds(sample.values[known], lost, grouped)


def _bounds(sample: Sample) -> tuple[float, float]:
    """The share if all items without a value were wrong, and if all were right, each with the weight of its choice."""
    factors, known = 1 / sample.probability, sample.known
    total, right = fsum(factors), fsum(factors[known] * sample.values[known])
    return min(1.0, right / total), min(1.0, (right + fsum(factors[~known])) / total)


def _mean(sample: Sample, naive: Estimate, planned: int | None) -> tuple[Estimate, tuple[float, float] | None]:
    known, groups = sample.known, codes(sample.group)
    if planned is not None:  # of skewed values, no sequence of means keeps its promise
        return Estimate(naive.value, None, None, naive.n, NO_SEQUENCE), None
    if known.all() or not known.any():
        return naive, None
    # A mean has no worst case: one item may cost anything. What was seen so far is the nearest that there is to it.
    seen = sample.values[known]
    filled = [np.where(known, sample.values, value) for value in (seen.min(), seen.max())]
    least, most = (estimates.mean(one, groups) for one in filled)
    method = f"{naive.method}, unknown values as the least and the greatest known"
    bounds = (least.value or 0.0, most.value or 0.0)
    return Estimate(naive.value, least.low, most.high, naive.n, method), bounds


Baseline = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Versus:
    """The pilot beside something else: the other's figure, and the difference, pilot less other. `better` is whether
    the difference is proven to be on the good side, `worse` on the bad one."""

    other: Estimate
    comparison: Comparison
    better: bool
    worse: bool


def versus(other: Estimate, found: Comparison, direction: str) -> Versus:
    """The comparison, with what its interval proves."""
    low, high = found.low, found.high
    above, below = low is not None and low > 0, high is not None and high < 0
    better, worse = (above, below) if direction == "up" else (below, above)
    return Versus(other, found, better, worse)


@dataclass(frozen=True)
class Measure:
    """One measure of the baseline: `n` known values, how many are `missing`, and its statistics by name."""

    n: int
    missing: int
    statistics: dict[str, Estimate]


def measures(rows: Sequence[Measurement]) -> dict[str, Measure]:
    """The measures by name, in seconds, as a share, in the charter's currency, and in actions."""
    found = {}
    for name in MEASURES:
        values = [float(value) for row in rows if (value := getattr(row, name)) is not None]
        statistics = {}
        if values and name == "correct":
            statistics["share"] = estimates.share(values)
        elif values:
            statistics["median"], statistics["p90"] = (estimates.quantile(values, q) for q in (0.5, 0.9))
            statistics["mean"] = estimates.mean(values)
        found[name] = Measure(len(values), len(rows) - len(values), statistics)
    return found


def against(
    columns: Columns, figure: Figure, baseline: Baseline, until: float, cost_of_hour: float | None
) -> Versus | None:
    """The figure of the pilot against the known values of the baseline; None where one of the two has no value.

    Where all items have a value and none a group, as `comparisons.independent_shares` and `independent_means`. Else the
    corrected figure against the baseline, as `comparisons.between`; a censored one against the baseline's mean within
    the same horizon.
    """
    before = baseline.get(figure.metric, ())
    if not len(before) or figure.naive.value is None:
        return None
    share = figure.metric == "accuracy"
    other = estimates.share(before) if share else estimates.mean(before)
    if figure.corrected or figure.groups is not None:
        if figure.horizon is not None:
            other = survival.restricted_mean(before, [1] * len(before), figure.horizon)
        return versus(other, comparisons.between(figure.estimate, other, figure.bounds), BETTER[figure.metric])
    sample = metrics.sample(columns, figure.metric, cost_of_hour)
    compare = comparisons.independent_shares if share else comparisons.independent_means
    return versus(other, compare(sample.values, before), BETTER[figure.metric])


@dataclass(frozen=True)
class Guarded:
    """A guardrail, the figure that speaks about it, whether it is shown to hold, and whether harm is proven."""

    metric: str
    margin: float
    holds: bool
    harmed: bool
    said: str


def guarded(columns: Columns, rail: Guardrail, beside: Mapping[str, Versus | None]) -> Guarded:
    """Whether the guardrail holds: a metric of the charter against the baseline, by non-inferiority within the margin;
    failures and latency against the margin itself. Harm is proven where the interval lies wholly on the worse side of
    no difference and does not stay within the margin, or wholly above the margin."""
    if rail.metric in OF_THE_MODEL:
        return _of_the_model(columns, rail)
    if rail.metric not in UNITS:
        return _unshown(rail, f"not known; name one of {', '.join(GUARDRAILS)}")
    if rail.direction != BETTER[rail.metric]:
        return _unshown(
            rail, f"its direction is {rail.direction}, and it gets better when it goes {BETTER[rail.metric]}"
        )
    found = beside[rail.metric]
    if found is None:
        return _unshown(rail, "nothing to compare: it needs values of the baseline, and of the pilot beyond shadow")
    holds = comparisons.non_inferior(found.comparison, rail.margin, rail.direction)
    said = f"pilot less baseline {_shown(found.comparison)}"
    return Guarded(rail.metric, rail.margin, holds, found.worse and not holds, said)


def _of_the_model(columns: Columns, rail: Guardrail) -> Guarded:
    answered = ~np.isnan(columns.answer_seconds)
    if rail.metric == "failures":
        found = estimates.share(columns.failed[answered], codes(columns.group, answered))
    else:
        answered &= ~columns.failed
        found = estimates.quantile(columns.answer_seconds[answered], 0.95, codes(columns.group, answered))
    holds = found.high is not None and found.high <= rail.margin
    harmed = found.low is not None and found.low > rail.margin
    what = "share of failed answers" if rail.metric == "failures" else "95th percentile of seconds"
    return Guarded(rail.metric, rail.margin, holds, harmed, f"{what} {_shown(found)}")


def _unshown(rail: Guardrail, why: str) -> Guarded:
    return Guarded(rail.metric, rail.margin, False, False, why)


def _shown(found: Estimate | Comparison) -> str:
    value = found.value if isinstance(found, Estimate) else found.difference
    ends = ["open" if end is None else f"{end:.4g}" for end in (found.low, found.high)]
    return f"{'-' if value is None else f'{value:.4g}'} [{ends[0]}, {ends[1]}], n {found.n}, {found.method}"


# Fewer audits than this chance allows, where the share is kept, are no accident.
TOO_FEW = 0.025


def decided(figure: Figure, columns: Columns, charter: Charter, early: str | None) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict on the figure, and why it is not a clear one. A look that is `early`, for that reason, has none."""
    barred = tuple(_barred(figure, columns, charter))
    if early is not None:
        return Verdict.PROGRESS, (early, *barred)
    target, direction = charter.target or 0.0, charter.direction or BETTER[figure.metric]
    found = verdict(figure.estimate.interval, target, direction)
    if barred:
        return Verdict.NOT_PROVEN, barred
    always = charter.interval == "always_valid"
    if found is Verdict.MET and figure.metric == "accuracy" and not always and by_chance(figure, target) > TAIL:
        chance = f"{by_chance(figure, target):.1%}, and {TAIL:.1%} is allowed"
        return Verdict.NOT_PROVEN, (
            f"A true share of exactly the target looks as good with a probability of {chance}.",
        )
    if found is not Verdict.NOT_PROVEN:
        return found, ()
    reasons = ["The target lies within the interval."]
    lost = figure.items - figure.known
    alone = verdict(figure.naive.interval, target, direction)
    if lost and not always and alone is not Verdict.NOT_PROVEN:
        reasons.append(f"Leaving out the {lost} items without {_value(figure)} it would be {alone}: judge those.")
    return found, tuple(reasons)


def by_chance(figure: Figure, target: float) -> float:
    """The probability of as many right items as are known to be right, or more, were the true share exactly the target.
    Items without an outcome count as wrong. Of items that are weighted or come in groups, the effective number counts,
    which is that of the Wilson interval with the same lower end.

    Source: Clopper and Pearson (1934), Biometrika 26:404, the upper tail of the binomial distribution; Wilson (1927),
    JASA 22:209, for n = z^2 low (1 - low) / (share - low)^2.
    """
    share, low = figure.bounds[0] if figure.bounds else figure.estimate.value, figure.estimate.low
    if share is None or low is None or share <= low:
        return 1.0
    size = stats.norm.isf(TAIL) ** 2 * low * (1 - low) / (share - low) ** 2
    return float(stats.binom.sf(floor(share * size + 1e-6) - 1, floor(size + 1e-6), target))


def _barred(figure: Figure, columns: Columns, charter: Charter) -> Iterator[str]:
    """What prevents a verdict."""
    coverage, least = figure.coverage, charter.least_coverage
    planned, better = charter.judged_items or 0, BETTER[figure.metric]
    if charter.direction not in (None, better):
        yield f"The charter's direction is {charter.direction}, and {figure.metric} gets better when it goes {better}."
    if 0 < figure.known < planned and charter.interval != "always_valid":
        yield f"{figure.known} items have {_value(figure)}, and the charter plans {planned}."
    if not figure.items:
        yield (
            "No live item counts for the metric yet."
            if figure.metric == "accuracy"
            else f"Shadow proves accuracy only: {figure.metric} needs items of mode assist or auto, and there are none."
        )
    elif figure.metric == "cost_per_item" and not figure.known and charter.cost_of_hour is None:
        yield "The charter does not say what an hour of people's time costs: cost_of_hour."
    elif not figure.known:
        yield f"No item that counts has {_value(figure)} yet."
    elif figure.estimate.low is None and figure.estimate.high is None:
        yield f"The figure has no interval: {figure.estimate.method.removeprefix('no interval: ')}."
    if coverage is not None and coverage < least:
        yield (
            f"Of the {figure.items} items that count {coverage:.1%} have {_value(figure)}, and the charter asks for "
            f"{least:.0%}."
        )
    yield from _unaudited(figure, columns, charter)


def _unaudited(figure: Figure, columns: Columns, charter: Charter) -> Iterator[str]:
    """Whether fewer of the answers that were used without a person were judged than the charter declares."""
    if figure.metric != "accuracy":
        return
    alone = columns.influenced & ~np.isnan(columns.answer_seconds) & (columns.audited | ~columns.asked)
    used, audits = int(alone.sum()), int((alone & columns.audited & columns.judged).sum())
    share = charter.audited
    chance = float(stats.binom.cdf(audits, used, share)) if used else 1.0
    if chance < TOO_FEW:
        yield (
            f"Of {used} answers that were used without a person {audits} were judged by audit, and the charter asks "
            f"for {share:.0%}."
        )


def _value(figure: Figure) -> str:
    return "a known cost" if figure.metric == "cost_per_item" else "an outcome"


PLANNED = 300


@dataclass(frozen=True)
class Other:
    """A metric that the target is not about, beside the baseline where both are known; its p is adjusted for the other
    metrics (Holm)."""

    figure: Figure
    baseline: Versus | None


@dataclass(frozen=True)
class Evaluation:
    """The pilot at the end of the day `as_of`, by records of up to the end of `counted_until`. `sampled` is whether
    some items were drawn for an audit, so that figures of the judged ones do not hold for all. `until` is the moment up
    to which an open item ages, in seconds since 1970."""

    metric: str
    unit: str
    direction: str
    target: float
    as_of: date
    due: date | None
    counted_until: date
    until: float
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


def evaluate(
    columns: Columns,
    charter: Charter,
    baseline: Baseline,
    *,
    as_of: date,
    due: date | None,
    now: datetime | None = None,
) -> Evaluation:
    """The verdict on the charter's target, from the columns of live items up to `counted_until`, and from the known
    values of the baseline by metric, in the charter's units.

    Before the day `due` it is PROGRESS, unless the charter asks for an interval that holds at every look. An open item
    ages to the end of the day, or to `now` where that is earlier. Raises PilotError when the charter has no target.
    """
    metric, target = charter.metric, charter.target
    if metric is None or target is None:
        raise PilotError("The charter has no target. Write its metric and a number, such as `target: 0.85`.")
    direction = charter.direction or BETTER[metric]
    counted = counted_until(as_of, due)
    until = min(moment(counted), now or moment(counted)).timestamp()
    always = charter.interval == "always_valid"
    hour = charter.cost_of_hour
    measured = {name: figure(columns, name, until=until, cost_of_hour=hour) for name in UNITS}
    beside = {name: against(columns, one, baseline, until, hour) for name, one in measured.items()}
    main = measured[metric]
    if always:
        planned = charter.judged_items or PLANNED
        main = figure(columns, metric, until=until, cost_of_hour=hour, planned=planned)
    found, reasons = decided(main, columns, charter, _early(as_of, due, always))
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
        until=until,
        verdict=found,
        reasons=reasons,
        figure=main,
        floor=charter.least_coverage,
        planned=charter.judged_items,
        baseline=beside[metric],
        rules=_beside_rules(columns),
        guardrails=tuple(guarded(columns, rail, beside) for rail in charter.guardrails),
        others=_others(metric, measured, beside),
        # The judged items of a sample are not like all: no part of them can be held to what the baseline has of all.
        slices=_slices(columns, {} if sampled else baseline),
        bands=_bands(columns, judged),
        calibration=_calibration(columns, judged),
        sampled=sampled,
    )


def _early(as_of: date, due: date | None, always: bool) -> str | None:
    """Why it is too early for a verdict; None where it is not."""
    if due is None:
        return "There is no verdict before the charter is signed and has a date."
    return None if always or as_of >= due else f"There is no verdict before the day of the decision, {due}."


def _others(metric: str, measured: Mapping[str, Figure], beside: Mapping[str, Versus | None]) -> tuple[Other, ...]:
    """The secondary metrics, whose p-values are adjusted for each other (Holm)."""
    names = [name for name, one in measured.items() if name != metric and one.naive.value is not None]
    raw = {name: found.comparison.p for name in names if (found := beside[name]) and found.comparison.p is not None}
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    others = []
    for name in names:
        found = beside[name]
        if found is not None:
            p = adjusted.get(name)
            proven = p is not None and p < 1 - CONFIDENCE
            comparison = replace(found.comparison, p=p)
            found = replace(found, comparison=comparison, better=found.better and proven, worse=found.worse and proven)
        others.append(Other(measured[name], found))
    return tuple(others)


def _beside_rules(columns: Columns) -> Versus | None:
    """The AI's answers and those of today's rules to the same judged items."""
    both = (columns.agrees != UNKNOWN) & (columns.rules_agree != UNKNOWN) & columns.asked
    if not both.any():
        return None
    ours, theirs, chosen = columns.agrees[both], columns.rules_agree[both], columns.probability[both]
    groups = codes(columns.group[both])
    if (chosen == 1).all():
        return versus(estimates.share(theirs), comparisons.paired_shares(ours, theirs, groups), "up")
    other = missing.weighted(theirs, chosen, groups=groups)
    return versus(other, comparisons.weighted_shares(ours, theirs, chosen, groups), "up")


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
