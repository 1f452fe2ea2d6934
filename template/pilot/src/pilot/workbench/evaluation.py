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
from pilot.contract import INTERVAL, PilotError
from pilot.fields import Match
from pilot.frontmatter import midnight
from pilot.metrics import HOUR, NAMES, OF_THE_MODEL, UNITS, Metric, better, metric_of, share
from pilot.workbench import metrics
from pilot.workbench.columns import MATCHES, UNKNOWN, Codes, Columns, Flags
from pilot.workbench.documents.baseline import MEASURES, Measurement
from pilot.workbench.metrics import Sample
from pilot.workbench.stats import calibration, comparisons, estimates, missing, slices, survival
from pilot.workbench.stats.comparisons import Comparison, holm
from pilot.workbench.stats.data import CONFIDENCE, TAIL, Estimate, Floats, Interval
from pilot.workbench.window import Window


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
# The chance of an error to either side that one look may have: the only one, each of two planned ones (Pocock 1977,
# Biometrika 64:191), and one that follows an extension which the charter did not plan.
POCOCK = 0.0147
UNPLANNED = 0.005
# The part of that chance at which the interval must prove MET where the items vary in groups or their values are
# skewed, and where open ones are censored, so that it errs no more often: simulated in benchmarks/intervals.py.
STRICT = 0.6
CENSORED = 0.4
STILL_OPEN = "The longest time so far is that of an item that is still open, so nothing bounds the mean: close it."
UNKNOWN_ERRORS = "An item that nobody decided may have any error, so nothing bounds the mean from above: decide it."
UNKNOWN_COSTS = "A value that is not known may be any, so nothing bounds the mean from above."


@dataclass(frozen=True)
class Figure:
    """A metric over `items`, of which `known` have a value. `estimate` is corrected for those that have none, or
    bounded by them, and may decide; `naive` takes the known ones for all. `corrected` is whether that makes a
    difference. `proof` is the interval that proves MET, at least as wide as that of the estimate; `proof_tail` and
    `tail` are the chances of an error to either side of the two. `bounds` are the values of the metric if all items
    without one were as bad as can be, and as good; for a mean the upper one is None. Where open items are censored,
    `horizon` is the longest time. `unbounded` is why the upper end is open. `groups` is how many groups the items come
    in, and `design_effect` what that costs; None without groups."""

    metric: str
    items: int
    known: int
    estimate: Estimate
    naive: Estimate
    corrected: bool
    proof: Interval
    proof_tail: float = TAIL
    tail: float = TAIL
    bounds: tuple[float, float | None] | None = None
    horizon: float | None = None
    unbounded: str | None = None
    design_effect: float | None = None
    groups: int | None = None

    @property
    def coverage(self) -> float | None:
        """The share of the items whose value is known."""
        return share(self.known, self.items)


def figure(
    columns: Columns,
    metric: str,
    *,
    until: float,
    cost_of_hour: float | None = None,
    planned: int | None = None,
    tail: float = TAIL,
) -> Figure:
    """The metric of these items at the moment `until`, in seconds since 1970: what an item has or has not as a share,
    others as a mean.

    With `planned` items the interval holds at every look; without, at one, where each end misses with a chance of
    `tail`. Source: as the functions of `estimates`, `missing` and `survival` that its method names.
    """
    sample = metrics.sample(columns, metric, cost_of_hour)
    named = metric_of(metric)
    if named.of_answers and not named.yes_or_no:
        return _graded(sample, named, planned, tail)
    known, groups = sample.known, codes(sample.group, sample.known)
    lost = len(sample) - int(known.sum())
    is_share = named.yes_or_no
    weighted = is_share and bool((sample.probability != 1).any())
    naive = (estimates.share if is_share else estimates.mean)(sample.values[known], groups, tail)
    bounds: tuple[float, float | None] | None = None
    horizon = unbounded = times = None
    if metric == "cycle_time" and 0 < lost < len(sample) and planned is None:
        times = hours_until(columns, sample, until)
        horizon = float(times.max())
    if lost and is_share:
        bounds = _bounds(sample)
    elif 0 < lost < len(sample):
        least = np.where(known, sample.values, 0.0) if times is None else times
        if times is None or not known[times == horizon].any():
            bounds = (fsum(least) / len(sample), None)
            unbounded = UNKNOWN_COSTS if times is None else STILL_OPEN

    def estimated(tail: float) -> Estimate:
        if planned is not None:
            sequence = _sequence(sample, weighted) if is_share else None
            return sequence or Estimate(naive.value, None, None, naive.n, NO_SEQUENCE)
        if is_share:
            return _accuracy(sample, weighted, tail)
        if not 0 < lost < len(sample):
            return estimates.mean(sample.values[known], groups, tail)
        if times is not None:
            found = survival.restricted_mean(times, known, horizon or 0.0, codes(sample.group), tail)
        else:
            found = estimates.mean(np.where(known, sample.values, 0.0), codes(sample.group), tail)
        return found if unbounded is None else replace(found, high=None, method=f"{found.method}, at least")

    estimate = estimated(tail)
    exact = is_share and (groups is None or planned is not None)
    part = STRICT if horizon is None else CENSORED
    proof = estimate if exact else estimated(part * tail)
    return Figure(
        metric=metric,
        items=len(sample),
        known=int(known.sum()),
        estimate=estimate,
        naive=naive,
        corrected=bool(lost) or weighted,
        proof=proof.interval,
        proof_tail=tail if exact else part * tail,
        tail=tail,
        bounds=bounds,
        horizon=horizon,
        unbounded=unbounded,
        design_effect=naive.design_effect,
        groups=naive.groups,
    )


def _graded(sample: Sample, metric: Metric, planned: int | None, tail: float) -> Figure:
    """What each answer has more or less of, such as the share of its fields that are right: a weighted mean over the
    items. One without a value may be as bad as can be, or as good; how large an error may be, nobody knows.

    Source: Hajek (1971), in Foundations of Statistical Inference, for items that were chosen with a probability;
    Manski (1989), Journal of Human Resources 24:343, for those without a value; `estimates.ratio` and `mean`.
    """
    known = sample.known
    values, groups, chosen = sample.values[known], codes(sample.group, known), 1 / sample.probability
    lost = fsum(chosen[~known]) / fsum(chosen) if len(sample) else 0.0

    def of(weights: Floats, tail: float) -> Estimate:
        return estimates.graded(values, weights, metric.bounded, groups, tail)

    def estimated(tail: float) -> Estimate:
        found = of(_weights(sample), tail)
        if planned is not None:
            return replace(found, low=None, high=None, method=NO_SEQUENCE)
        if not lost:
            return found
        low = None if found.low is None else (1 - lost) * found.low
        high = None if found.high is None or not metric.bounded else (1 - lost) * found.high + lost
        return replace(found, low=low, high=high, method=f"no-assumption bounds, {found.method}")

    estimate = estimated(tail)
    naive = of(np.ones(len(values)) if sample.weights is None else sample.weights[known], tail)
    value, bounds = estimate.value, None
    if lost and value is not None:
        bounds = ((1 - lost) * value, (1 - lost) * value + lost if metric.bounded else None)
    return Figure(
        metric=metric.name,
        items=len(sample),
        known=int(known.sum()),
        estimate=estimate,
        naive=naive,
        corrected=bool(lost) or bool((sample.probability != 1).any()),
        proof=estimated(STRICT * tail).interval,
        proof_tail=STRICT * tail,
        tail=tail,
        bounds=bounds,
        unbounded=UNKNOWN_ERRORS if lost and not metric.bounded else None,
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


def _accuracy(sample: Sample, weighted: bool, tail: float) -> Estimate:
    known, values = sample.known, sample.values
    if weighted:
        right, chosen, others = values[known], sample.probability[known], sample.probability[~known]
        return missing.weighted(right, chosen, others, codes(sample.group, known), tail)
    if known.all():
        return estimates.share(values, codes(sample.group), tail)
    return missing.bounds(values[known], int((~known).sum()), codes(sample.group, known), tail)


def _sequence(sample: Sample, weighted: bool) -> Estimate | None:
    """The share with an interval for every look; an item without a value is wrong at the lower end, right at the
    upper. None where there is no such interval."""
    known = sample.known
    if weighted or codes(sample.group, known) is not None:
        return None
    correct, judged, n = int((sample.values[known] == 1).sum()), int(known.sum()), len(sample)
    low, high = (estimates.always_valid(right, n) for right in (correct, correct + n - judged))
    return Estimate(share(correct, judged), low.low, high.high, judged, low.method)


def _bounds(sample: Sample) -> tuple[float, float]:
    """The share if all items without a value were wrong, and if all were right, each with the weight of its choice."""
    factors, known = 1 / sample.probability, sample.known
    total, right = fsum(factors), fsum(factors[known] * sample.values[known])
    return min(1.0, right / total), min(1.0, (right + fsum(factors[~known])) / total)


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
    for name in (*MEASURES, *sorted({name for row in rows for name in row.by_field})):
        values = [value for row in rows if (value := row.measured(name)) is not None]
        statistics = {}
        if values and (name == "correct" or (name not in MEASURES and metric_of(name).yes_or_no)):
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
    named = metric_of(figure.metric)
    share = named.yes_or_no
    other = estimates.share(before) if share else estimates.mean(before)
    if named.of_answers and not share:
        other = estimates.ratio(before, np.ones(len(before))) if named.bounded else other
        return versus(other, comparisons.between(figure.estimate, other, figure.bounds), named.better)
    sample = metrics.sample(columns, figure.metric, cost_of_hour)
    if figure.horizon is not None:  # of both, the mean within the longest time so far, which is the same quantity
        times = hours_until(columns, sample, until)
        ours = survival.restricted_mean(times, sample.known, figure.horizon, codes(sample.group))
        other = survival.restricted_mean(before, [1] * len(before), figure.horizon)
        return versus(other, comparisons.between(ours, other), named.better)
    if figure.corrected or figure.groups is not None:
        return versus(other, comparisons.between(figure.estimate, other, figure.bounds), named.better)
    compare = comparisons.independent_shares if share else comparisons.independent_means
    return versus(other, compare(sample.values, before), named.better)


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
    if rail.metric not in beside:
        return _unshown(rail, f"not known; name one of {NAMES}")
    if rail.direction != better(rail.metric):
        return _unshown(
            rail, f"its direction is {rail.direction}, and it gets better when it goes {better(rail.metric)}"
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
    target, direction = charter.target or 0.0, charter.direction or better(figure.metric)
    found = verdict(figure.estimate.interval, target, direction)
    if barred:
        return Verdict.NOT_PROVEN, barred
    always = charter.interval == "always_valid"
    if found is Verdict.MET and verdict(figure.proof, target, direction) is not Verdict.MET:
        return Verdict.NOT_PROVEN, (
            "The interval is on the good side of the target by too little: values that are skewed, or come in groups, "
            f"must prove it at {figure.proof_tail:.1%} to keep the error at {figure.tail:.1%}.",
        )
    if (
        found is Verdict.MET
        and metric_of(figure.metric).yes_or_no
        and not always
        and by_chance(figure, target) > figure.tail
    ):
        chance = f"{by_chance(figure, target):.1%}, and {figure.tail:.1%} is allowed"
        return Verdict.NOT_PROVEN, (
            f"A true share of exactly the target looks as good with a probability of {chance}.",
        )
    if found is not Verdict.NOT_PROVEN:
        return found, ()
    if figure.unbounded is not None:
        return found, (figure.unbounded,)
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
    size = stats.norm.isf(figure.tail) ** 2 * low * (1 - low) / (share - low) ** 2
    return float(stats.binom.sf(floor(share * size + 1e-6) - 1, floor(size + 1e-6), target))


def _barred(figure: Figure, columns: Columns, charter: Charter) -> Iterator[str]:
    """What prevents a verdict."""
    coverage, least = figure.coverage, charter.least_coverage
    planned, good = charter.judged_items or 0, better(figure.metric)
    if charter.direction not in (None, good):
        yield f"The charter's direction is {charter.direction}, and {figure.metric} gets better when it goes {good}."
    if 0 < figure.known < planned and charter.interval != "always_valid":
        yield f"{figure.known} items have {_value(figure)}, and the charter plans {planned}."
    if not figure.items:
        yield (
            "No live item counts for the metric yet."
            if metric_of(figure.metric).of_answers
            else f"Shadow proves accuracy only: {figure.metric} needs items of mode assist or auto, and there are none."
        )
    elif figure.metric == "cost_per_item" and not figure.known and charter.cost_of_hour is None:
        yield "The charter does not say what an hour of people's time costs: cost_of_hour."
    elif not figure.known:
        yield f"No item that counts has {_value(figure)} yet."
    elif figure.estimate.low is None and figure.estimate.high is None:
        yield f"The figure has no interval: {figure.estimate.method.removeprefix('no interval: ')}."
    elif figure.estimate.too_few is not None:
        yield f"{figure.estimate.too_few}."
    if coverage is not None and coverage < least:
        yield (
            f"Of the {figure.items} items that count {coverage:.1%} have {_value(figure)}, and the charter asks for "
            f"{least:.0%}."
        )
    yield from _unaudited(figure, columns, charter)


def _unaudited(figure: Figure, columns: Columns, charter: Charter) -> Iterator[str]:
    """Whether fewer of the answers that were used without a person were judged than the charter declares."""
    if not metric_of(figure.metric).of_answers:
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
    return {"cost_per_item": "a known cost", "work_time": "a known time of work"}.get(figure.metric, "an outcome")


PLANNED = 300


@dataclass(frozen=True)
class Other:
    """A metric that the target is not about, beside the baseline where both are known; its p is adjusted for the other
    metrics (Holm)."""

    figure: Figure
    baseline: Versus | None


# A month has so many on average.
WORKING_DAYS = 21
# What the work is held against: the measured baseline, or else what people took here where they saw no answer.
BASELINE, WITHOUT = "in the baseline", "where they decided here without the AI"


@dataclass(frozen=True)
class Saved:
    """The people's work on an item, in minutes, `beside` that of BASELINE or WITHOUT. `items` is the charter's volume
    on a working day, None where it does not name one."""

    beside: str
    versus: Versus
    items: float | None

    @property
    def minutes(self) -> Estimate:
        """What an item takes less: below 0 where it takes more."""
        found = self.versus.comparison
        value, low, high = (None if end is None else 0.0 - end for end in (found.difference, found.high, found.low))
        return Estimate(value, low, high, found.n, found.method)

    @property
    def hours(self) -> Estimate | None:
        """The same in a month of WORKING_DAYS; None without a volume."""
        if self.items is None:
            return None
        factor, found = self.items * WORKING_DAYS / 60, self.minutes
        value, low, high = (None if end is None else factor * end for end in (found.value, *found.interval))
        return replace(found, value=value, low=low, high=high)


def _saved(
    columns: Columns, found: Figure, beside: Versus | None, charter: Charter, until: float, hour: float | None
) -> Saved | None:
    """None where the AI could not influence any item, or nothing is known of the work without it."""
    said = BASELINE
    if beside is None:
        said, beside = (
            WITHOUT,
            against(columns, found, {"work_time": metrics.without_ai(columns).tolist()}, until, hour),
        )
    if beside is None:
        return None
    return Saved(said, beside, charter.volume_production or charter.volume_now)


@dataclass(frozen=True)
class FieldFigures:
    """A field of the AI's answers over the judged items: how many of each match, and the figures that its type has."""

    name: str
    matches: Mapping[Match, int]
    figures: Mapping[str, Estimate]


def by_field(columns: Columns) -> tuple[FieldFigures, ...]:
    """Every field, where contents were read: the share of items in which it is right, its F1, and the error of a number
    or what stays of a draft. Items of an audit weigh as much as those that they stand for."""
    found: list[FieldFigures] = []
    if len(columns.ai) == 1 and all(not one.draft and np.isnan(one.error).all() for one in columns.ai.values()):
        return ()  # one label, for which accuracy is the figure
    for name, column in columns.ai.items():
        judged = columns.agrees != UNKNOWN
        counts = {one: int((column.match[judged] == MATCHES.index(one)).sum()) for one in MATCHES}
        number = not np.isnan(column.error).all()
        kinds = [f"accuracy:{name}", *([] if column.draft else [f"f1:{name}"])]
        kinds += [f"absolute_error:{name}"] * number + ["edit_similarity"] * column.draft
        figures = {kind.partition(":")[0]: figure(columns, kind, until=0.0).estimate for kind in kinds}
        found.append(FieldFigures(name, counts, figures))
    return tuple(found)


Calibrated = calibration.Calibration | calibration.Coverage | calibration.Kept


@dataclass(frozen=True)
class Evaluation:
    """The pilot at the end of the day `as_of`, by records of up to the end of `counted_until`. `early` is whether there
    can be no verdict yet, so that what is compared proves nothing either. `sampled` is whether some items were drawn
    for an audit, so that figures of the judged ones do not hold for all. `straight_through` is the share of items whose
    answer was used without a person, `saved` the work that people have less, and `fields` what is known of every field,
    where contents were read. `sliced` is the metric of the `slices`. `until` is the moment up to which an open item
    ages, in seconds since 1970."""

    metric: str
    unit: str
    direction: str
    target: float
    as_of: date
    due: date | None
    counted_until: date
    until: float
    early: bool
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
    sliced: str
    bands: tuple[missing.Band, ...]
    calibration: Calibrated
    sampled: bool
    straight_through: Estimate
    saved: Saved | None
    fields: tuple[FieldFigures, ...]

    @property
    def confidence(self) -> float:
        """That of the interval which decides."""
        return 1 - 2 * self.figure.tail


def moment(day: date) -> datetime:
    """The end of a day, in UTC."""
    return midnight(day + timedelta(days=1))


def counted_until(as_of: date, due: date | None) -> date:
    """The last day whose records count: nothing that comes after the day of the decision may change its verdict."""
    return as_of if due is None else min(as_of, due)


def error(charter: Charter, window: Window | None) -> float:
    """The chance that this look may be wrong to either side, so that all looks together keep to what one may. An
    interval that holds at every look needs no less for a second one."""
    if charter.interval == "always_valid":
        return TAIL
    if charter.looks == 2:
        return POCOCK
    return UNPLANNED if window is not None and window.extended else TAIL


def evaluate(
    columns: Columns,
    charter: Charter,
    baseline: Baseline,
    *,
    as_of: date,
    window: Window | None,
    now: datetime | None = None,
) -> Evaluation:
    """The verdict on the charter's target, from the columns of live items that count, and from the known values of the
    baseline by metric, in the charter's units.

    It is PROGRESS until the `window` has ended (None: before a charter is signed), unless the charter asks for an
    interval that holds at every look, and on a day that is still to come at the moment `now`. An open item ages to the
    end of the day, or to `now` where that is earlier. Raises PilotError when the charter has no target.
    """
    metric, target = charter.metric, charter.target
    if metric is None or target is None:
        raise PilotError("The charter has no target. Write its metric and a number, such as `target: 0.85`.")
    named, direction = metric_of(metric), charter.direction or better(metric)
    due = window.due if window else None
    counted = counted_until(as_of, due)
    until = min(moment(counted), now or moment(counted)).timestamp()
    always = charter.interval == "always_valid"
    hour = charter.cost_of_hour
    names = dict.fromkeys([*UNITS, metric, *(rail.metric for rail in charter.guardrails if _measurable(rail, columns))])
    measured = {name: figure(columns, name, until=until, cost_of_hour=hour) for name in names}
    beside = {name: against(columns, one, baseline, until, hour) for name, one in measured.items()}
    planned = (charter.judged_items or PLANNED) if always else None
    tail = error(charter, window)
    main = figure(columns, metric, until=until, cost_of_hour=hour, planned=planned, tail=tail)
    early = _early(as_of, window, now, always)
    found, reasons = decided(main, columns, charter, early)
    judged, sliced = metrics.accuracy(columns), _sliced(named, columns)
    sampled = bool((judged.probability != 1).any())
    return Evaluation(
        metric=metric,
        unit=charter.unit or "" if named.unit is None else named.unit,
        direction=direction,
        target=target,
        as_of=as_of,
        due=due,
        counted_until=counted,
        until=until,
        early=_early(as_of, window, now, always=False) is not None,
        verdict=found,
        reasons=reasons,
        figure=main,
        floor=charter.least_coverage,
        planned=charter.judged_items,
        baseline=beside[metric],
        rules=_beside_rules(columns, named),
        guardrails=tuple(guarded(columns, rail, beside) for rail in charter.guardrails),
        others=_others(metric, measured, beside),
        # The judged items of a sample are not like all: no part of them can be held to what the baseline has of all.
        slices=_slices(columns, sliced, {} if sampled else baseline),
        sliced=sliced.name,
        bands=_bands(columns, judged),
        calibration=_calibration(columns, judged),
        sampled=sampled,
        straight_through=_straight_through(columns),
        saved=_saved(columns, measured["work_time"], beside["work_time"], charter, until, hour),
        fields=by_field(columns),
    )


def _early(as_of: date, window: Window | None, now: datetime | None, always: bool) -> str | None:
    """Why it is too early for a verdict; None where it is not."""
    if window is None:
        return "There is no verdict before the charter is signed and has a date."
    if now is not None and as_of > now.astimezone().date():  # of this machine, as the days that people name
        return f"{as_of} is still to come, and there is no verdict on what has not happened."
    if always or as_of >= window.ends:
        return None
    return f"There is no verdict before the items of the whole pilot are there: from {window.ends} on."


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


def _measurable(rail: Guardrail, columns: Columns) -> bool:
    """Whether the guardrail is about a metric of items, and of a field that there is."""
    if rail.metric in OF_THE_MODEL:
        return False
    try:
        metrics.sample(columns, rail.metric, None)
    except PilotError:
        return False
    return True


def _beside_rules(columns: Columns, metric: Metric) -> Versus | None:
    """The AI's answers and those of today's rules to the same judged items, by the charter's metric where that is about
    fields, else by accuracy."""
    if metric.of_fields:
        return _fields_beside_rules(columns, metric)
    both = (columns.agrees != UNKNOWN) & (columns.rules_agree != UNKNOWN) & columns.asked
    if not both.any():
        return None
    ours, theirs, chosen = columns.agrees[both], columns.rules_agree[both], columns.probability[both]
    groups = codes(columns.group[both])
    if (chosen == 1).all():
        return versus(estimates.share(theirs), comparisons.paired_shares(ours, theirs, groups), "up")
    other = missing.weighted(theirs, chosen, groups=groups)
    return versus(other, comparisons.weighted_shares(ours, theirs, chosen, groups), "up")


def _fields_beside_rules(columns: Columns, metric: Metric) -> Versus | None:
    ours, theirs = (metrics.of_fields(columns, metric, role) for role in (columns.ai, columns.rules))
    rows, here, there = np.intersect1d(ours.rows[ours.known], theirs.rows[theirs.known], return_indices=True)
    if not len(rows):
        return None
    values, weights = (
        [given[places] for given, places in zip(pair, (here, there), strict=True)]
        for pair in ((ours.values[ours.known], theirs.values[theirs.known]), (_weights(ours), _weights(theirs)))
    )
    first, second = map(estimates.weighed, values, weights)
    groups = codes(columns.group[rows])
    other = estimates.ratio(values[1], weights[1], groups) if metric.bounded else estimates.mean(second, groups)
    return versus(other, comparisons.paired_means(first, second, groups), metric.better)


def _weights(sample: Sample) -> Floats:
    """The weights of the items whose value is known, each with that of its choice."""
    chosen: Floats = 1 / sample.probability[sample.known]
    return chosen if sample.weights is None else chosen * sample.weights[sample.known]


def _straight_through(columns: Columns) -> Estimate:
    sample = metrics.straight_through(columns)
    return estimates.share(sample.values[sample.known], codes(sample.group, sample.known))


def _bands(columns: Columns, judged: metrics.Sample) -> tuple[missing.Band, ...]:
    """The coverage of all items that the AI was asked about: those too whose answer was used, and that nobody judges
    by design."""
    rows = np.union1d(judged.rows, np.flatnonzero(columns.influenced & ~np.isnan(columns.answer_seconds)))
    return tuple(missing.coverage(columns.confidence[rows], columns.asked[rows] & (columns.agrees[rows] != UNKNOWN)))


def _sliced(charted: Metric, columns: Columns) -> Metric:
    """The metric by which parts of the whole are looked at: the charter's where it is about answers; else what the
    answer's fields have more or less of, and accuracy where there is no such thing."""
    if charted.of_answers or charted.kind == "accepted_unchanged":
        return charted
    if any(one.draft for one in columns.ai.values()):
        return metric_of("edit_similarity")
    if len(columns.ai) > 1:
        return metric_of("field_accuracy")
    numbers = [name for name, one in columns.ai.items() if not np.isnan(one.error).all()]
    return metric_of(f"absolute_error:{numbers[0]}" if numbers else "accuracy")


def _slices(columns: Columns, metric: Metric, baseline: Baseline) -> dict[str, tuple[slices.Slice, ...]]:
    sample = metrics.sample(columns, metric.name, None)
    rows, values, groups = sample.rows[sample.known], sample.values[sample.known], codes(sample.group, sample.known)
    weights = None if sample.weights is None else sample.weights[sample.known]
    before = baseline.get(metric.name, ())

    def of(names: list[str], groups: list[Any] | None = groups) -> tuple[slices.Slice, ...]:
        return slices.slices(names, values, metric, weights=weights, groups=groups, baseline=before)

    def named(codes: Codes, names: tuple[str, ...]) -> list[str]:
        return ["none" if code == UNKNOWN else names[code] for code in codes[rows].tolist()]

    weeks = [datetime.fromtimestamp(at, UTC).strftime("%G-W%V") for at in columns.arrived_at[rows].tolist()]
    return {
        "mode": of(named(columns.mode, columns.modes)),
        "model version": of(named(columns.version, columns.versions)),
        # Each of these is one group, in which nothing but items can vary.
        "group": of(named(columns.group, columns.groups), None) if columns.groups else (),
        "week": of(weeks),
        **{name: of(named(facet.codes, facet.names)) for name, facet in columns.facets.items()},
    }


def _calibration(columns: Columns, sample: metrics.Sample) -> Calibrated:
    """What the AI's confidence is worth: of numbers with an interval, how often it holds; of drafts, what stays of
    them; of fields with confidences of their own, how often they are right; else how often the answers are."""
    rows, fields = sample.rows[sample.known], columns.ai.values()
    for one in fields:
        if one.inside is not None and (known := rows[~np.isnan(one.inside[rows])]).size:
            groups = codes(columns.group[known])
            return calibration.Coverage(INTERVAL, estimates.share(one.inside[known], groups))
    for one in fields:
        if one.draft:
            sure = (
                columns.confidence if one.sure is None else np.where(np.isnan(one.sure), columns.confidence, one.sure)
            )
            known = rows[~np.isnan(sure[rows]) & ~np.isnan(one.score[rows])]
            order = np.lexsort((one.score[known], sure[known]))
            return calibration.kept(sure[known][order], one.score[known][order])
    parts = [(one.sure[rows], one.match[rows]) for one in fields if one.sure is not None]
    if parts and not all(np.isnan(sure).all() for sure, _ in parts):
        sure, match = (np.concatenate(column) for column in zip(*parts, strict=True))
        items = np.tile(rows, len(parts))
        right = np.isin(match, [MATCHES.index(one) for one in Match if one.agrees]).astype(float)
        usable = ~np.isnan(sure) & (match != UNKNOWN)
        order = np.flatnonzero(usable)[np.lexsort((items[usable], right[usable], sure[usable]))]
        return calibration.calibration(sure[order], right[order], items[order])
    confidence = columns.confidence[rows]
    usable = ~np.isnan(confidence)
    confidence, right = confidence[usable], sample.values[sample.known][usable]
    order = np.lexsort((right, confidence))  # so that the order of the rows changes no last digit
    return calibration.calibration(confidence[order], right[order])
