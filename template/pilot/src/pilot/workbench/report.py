"""The report on the pilot: one HTML file for people, and the same in Markdown for a pull request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from markupsafe import Markup
from scipy import stats
from sqlalchemy import Connection

from pilot.contract import ModelUnavailable, PilotError
from pilot.fields import Match
from pilot.metrics import HOUR, metric_of
from pilot.models.store import load_active
from pilot.records.crypto import Contents
from pilot.settings import Settings
from pilot.workbench import charts, columns, evaluation, metrics, pages, phrases
from pilot.workbench.columns import Columns
from pilot.workbench.evaluation import Baseline, Evaluation, Figure, Verdict, codes, moment
from pilot.workbench.results import Results, bounds
from pilot.workbench.stats import survival
from pilot.workbench.stats.agreement import Agreement, Direction, agreement, direction_of
from pilot.workbench.stats.calibration import Calibration
from pilot.workbench.stats.comparisons import Gain, last_gain
from pilot.workbench.stats.data import TAIL, Interval
from pilot.workbench.stats.estimates import wilson
from pilot.workbench.stats.missing import Band

_CONFUSIONS = 8


@dataclass(frozen=True)
class Report:
    """The content of a report: the evaluation and its inputs. `remarks` are on page one. `contaminated` is
    whether the baseline may show what the AI did. `agreement` is of the
    labels, None where answers are no labels; `gain` is of the model's last step of learning, None where it has none."""

    name: str
    currency: str
    evaluation: Evaluation
    columns: Columns
    measured: Baseline
    cost_of_hour: float | None
    remarks: tuple[str, ...]
    agreement: Agreement | None
    gain: Gain | None
    contaminated: bool = False


def complete(found: Results, connection: Connection, contents: Contents, settings: Settings) -> Report:
    """The report on the results: with the labels that the AI and people gave, and the learning curve of the model in
    force. Where labels or a model cannot be opened, the report says so and does without."""
    remarks = list(found.remarks)
    agreed = gain = None
    try:
        until, (begins, ends) = moment(found.evaluation.counted_until), bounds(found.window)
        pairs = columns.read_pairs(
            connection, contents.vault, contents.prediction, role="primary", until=until, begins=begins, ends=ends
        )
        agreed = _agreement(pair for pair in pairs if not pair.trained)
    except PilotError as error:
        remarks.append(f"Disagreements are not listed: {error}")
    try:
        card = load_active(settings).card
        gain = last_gain(card.learning_curve, card.rows)
    except ModelUnavailable:
        pass  # An LLM learns nothing here, and has no curve.
    return Report(
        name=found.charter.pilot or "The pilot",
        currency=found.charter.currency or "of the currency",
        evaluation=found.evaluation,
        columns=found.columns,
        measured=found.measured,
        cost_of_hour=found.charter.cost_of_hour,
        remarks=tuple(remarks),
        agreement=agreed,
        gain=gain,
        contaminated=found.contaminated,
    )


def _agreement(pairs: Iterator[columns.Pair]) -> Agreement | None:
    said = Counter((columns.label(pair.answer), columns.label(pair.final)) for pair in pairs)
    known = {(ours, theirs): n for (ours, theirs), n in said.items() if ours is not None and theirs is not None}
    return agreement(known) if known else None


def html(report: Report) -> str:
    """The report as one HTML file that needs no other. The same records give the same bytes."""
    drawn = {name: Markup(svg) for name, svg in _pictures(report).items()}  # noqa: S704 - drawn here, texts escaped
    return pages.render("report.html", pictures=drawn, **_facts(report))


def markdown(report: Report) -> str:
    """The report as Markdown, without its pictures."""
    return pages.render("report.md", pictures={}, **_facts(report))


def _facts(report: Report) -> dict[str, Any]:
    found = report.evaluation
    told = phrases.parts_of_lead(found, report.currency, report.contaminated)
    return {
        "name": report.name,
        "found": found,
        "lead": phrases.lead(found, report.currency, report.contaminated),
        "told": told,
        "unknown": (*found.reasons, *told["open"], *report.remarks),
        "meaning": phrases.meaning(found),
        "target": phrases.target(found, report.currency),
        "remarks": report.remarks,
        "agreement": report.agreement,
        "confusions": report.agreement.confusions[:_CONFUSIONS] if report.agreement else (),
        "direction": _direction(report.agreement),
        "gain": report.gain,
        "gap": found.verdict in (Verdict.MISSED, Verdict.NOT_PROVEN),
        "number": phrases.number,
        "interval": phrases.interval,
        "share": phrases.share,
        "versus": lambda versus: phrases.versus(versus, found.early),
        "state": lambda rail: phrases.state(rail, found.early),
        "bounds": phrases.bounds(found) if found.figure.bounds else None,
        "value": phrases.value(found),
        "judged": phrases.JUDGED,
        "parts": {dimension: phrases.parts(members, found.sliced) for dimension, members in found.slices.items()},
        "phrases": phrases,
        "matches": tuple(Match),
    }


def _direction(found: Agreement | None) -> Direction | None:
    """Whether the two labels that are confused most are confused to one side."""
    if found is None or not found.confusions:
        return None
    return direction_of(found, found.confusions[0].ai, found.confusions[0].human)


def over_time(found: Evaluation, columns: Columns, cost_of_hour: float | None, name: str) -> str:
    """The picture of the metric after each day, with its interval, against the target."""
    if found.figure.horizon is None:
        days = series(columns, found.metric, cost_of_hour)
    else:
        days = censored_series(columns, found.counted_until, found.until)
    return charts.target_over_time(
        days.days,
        days.values,
        days.lows,
        days.highs,
        found.target,
        name=name,
        title=f"{phrases.title(found.metric)} after each day, against the target",
        description=_progress(days, found),
        unit="%" if metric_of(found.metric).bounded else found.unit,
    )


def _pictures(report: Report) -> dict[str, str]:
    found, columns = report.evaluation, report.columns
    made = {"verdict": _verdict(report)} if found.figure.estimate.value is not None else {}
    made |= {
        "progress": over_time(found, columns, report.cost_of_hour, "progress"),
        "coverage": charts.coverage(
            [_band(band) for band in found.bands],
            [band.labelled for band in found.bands],
            [band.items for band in found.bands],
            name="coverage",
            title="Items with an outcome, by the AI's confidence",
            description=_coverage(found.bands),
            # Where answers are used without a person, most of a band is judged by nobody, and meant to be.
            floor=None if found.sampled else found.floor,
        ),
    }
    if isinstance(found.calibration, Calibration) and (table := found.calibration.table):
        made["reliability"] = charts.reliability(
            [one.confidence for one in table],
            [one.share for one in table],
            [one.interval[0] or 0.0 for one in table],
            [1.0 if one.interval[1] is None else one.interval[1] for one in table],
            name="reliability",
            title=f"How often {found.calibration.of} were right, by the AI's confidence",
            description=str(found.calibration),
        )
    if report.agreement is not None and report.agreement.table is not None and len(report.agreement.labels) > 1:
        made["confusion"] = charts.confusion(
            report.agreement.labels,
            report.agreement.table,
            name="confusion",
            title="What the AI said, and what people decided",
            description=str(report.agreement),
        )
    hours, after = report.measured.get("cycle_time", ()), _cycle(report)
    if len(hours) and after is not None:
        made["cycle"] = charts.cycle_time(
            charts.cumulative(hours),
            after,
            name="cycle",
            title="Time from arrival to the final outcome, before the pilot and in it",
            description=_told_cycle(found),
        )
    return made


def _verdict(report: Report) -> str:
    """The picture of page one: the figure, today's process and the target on one axis."""
    found, money = report.evaluation, report.currency
    factor, unit = phrases.unit_of(found.metric, found.target, money)
    beside = {"pilot": found.figure.estimate} | ({"before": found.baseline.other} if found.baseline else {})
    described = [f"{label}: {phrases.amount(found.metric, one.value, money)}" for label, one in beside.items()]

    def scaled(end: float | None) -> float | None:
        return None if end is None else end * factor

    return charts.verdict(
        [(label, (one.value or 0.0) * factor, scaled(one.low), scaled(one.high)) for label, one in beside.items()],
        found.target * factor,
        unit=unit,
        up=found.direction == "up",
        name="verdict",
        title=f"{phrases.title(found.metric)}: the pilot, today's process and the target",
        description=f"{'; '.join(described)}; target: {phrases.target(found, money)}.",
    )


def _band(found: Band) -> str:
    """A band of confidence, in short."""
    if found.low is None or found.high is None:
        return "none"
    low, high = f"{found.low:.2f}", f"{found.high:.2f}"
    return low if low == high else f"{low} to {high}"


def _coverage(bands: Sequence[Band]) -> str:
    """What the picture of the coverage shows."""
    if not bands:
        return "No item is recorded."
    parts = [f"confidence {_band(one)}: {one.labelled} of {one.items}" for one in bands]
    return f"Items with an outcome, of all that wait for one. {'; '.join(parts)}."


def _progress(days: Series, found: Evaluation) -> str:
    """What the picture of the progress shows."""
    if not days.days:
        return "No item has an outcome yet."
    return (
        f"From {days.days[0]} to {days.days[-1]} the figure went from {days.values[0]:.3g} to {days.values[-1]:.3g}; "
        f"the target is {found.target:g}. {phrases.COUNTED[found.figure.horizon is not None]}"
    )


def _told_cycle(found: Evaluation) -> str:
    """What the picture of the cycle time shows."""
    figures: list[Figure] = [found.figure, *(other.figure for other in found.others)]
    versus = [found.baseline, *(other.baseline for other in found.others)]
    for figure, beside in zip(figures, versus, strict=True):
        if figure.metric == "cycle_time" and beside is not None:
            pilot, before = figure.estimate.value or 0, beside.other.value or 0
            return f"On average {pilot:.3g} hours in the pilot, {before:.3g} before."
    return "The share of items that was finished within a time."


def _cycle(report: Report) -> charts.Curve | None:
    """The curve of the pilot's items, the open ones included as such; None where the AI could change no time."""
    sample = metrics.cycle_time(report.columns)
    known = sample.known
    if not known.any():
        return None
    return survival.curve(evaluation.hours_until(report.columns, sample, report.evaluation.until), known)


# A metric as it was known after each day: progress, which decides nothing.
MOST_DAYS = 60
# A curve of all items is drawn for each.
FEW_DAYS = 12
_DAY = 86_400


@dataclass(frozen=True)
class Series:
    """For each of the `days`, in ascending order, the metric of all items that had arrived by its end and have an
    outcome, each with the weight of its choice, and its 95 % interval; an end is None where the values bound none."""

    days: tuple[date, ...]
    values: tuple[float, ...]
    lows: tuple[float | None, ...]
    highs: tuple[float | None, ...]


def series(columns: Columns, metric: str, cost_of_hour: float | None = None) -> Series:
    """The days on which items arrived, thinned to MOST_DAYS: Wilson's interval for accuracy, of Kish's (1965) effective
    number of items where they are weighted; Student's t for a mean."""
    sample = metrics.sample(columns, metric, cost_of_hour)
    known = sample.known
    arrived, values = columns.arrived_at[sample.rows][known], sample.values[known]
    order = np.argsort(arrived, kind="stable")
    days = (arrived[order] // _DAY).astype(int)
    ends = np.flatnonzero(np.diff(days, append=days[-1:] + 1)) if len(days) else np.empty(0, int)
    if len(ends) > MOST_DAYS:
        ends = ends[np.linspace(0, len(ends) - 1, MOST_DAYS).round().astype(int)]
    named = metric_of(metric)
    factors = 1 / sample.probability[known][order] if named.of_answers else np.ones(len(order))
    if sample.weights is not None:
        factors = factors * sample.weights[known][order]
    weights, sizes = np.cumsum(factors), np.cumsum(factors**2)
    sums, squares = np.cumsum(factors * values[order]), np.cumsum(values[order] ** 2)
    means, effective = sums[ends] / weights[ends], weights[ends] ** 2 / sizes[ends]
    found = [
        wilson(min(1.0, float(mean)) * float(n), float(n))
        if named.bounded
        else _student(float(mean), float(square), int(n))
        for square, mean, n in zip(squares[ends], means, effective, strict=True)
    ]
    return Series(
        tuple(datetime.fromtimestamp(int(days[end]) * _DAY, UTC).date() for end in ends),
        tuple(float(mean) for mean in means),
        tuple(low for low, _ in found),
        tuple(high for _, high in found),
    )


def censored_series(columns: Columns, last: date, until: float) -> Series:
    """The cycle time in hours as it was known at the end of some of the days up to `last`, which ends at the moment
    `until`: the mean within the longest time so far, in which an item that was open counts as open. Each is the figure
    that an evaluation of that day has.

    Source: as `survival.restricted_mean`.
    """
    sample = metrics.cycle_time(columns)
    arrived, ended = columns.arrived_at[sample.rows], columns.ended_at[sample.rows]
    first, end = int(arrived.min(initial=float("inf")) // _DAY) if len(arrived) else 0, (last - date(1970, 1, 1)).days
    days = np.unique(np.linspace(min(first, end), end, FEW_DAYS).round().astype(int))
    found = []
    for day in days.tolist():
        at = min((day + 1) * _DAY, until)
        there = arrived < at
        closed = ended[there] < at
        times = np.where(closed, ended[there], at) - arrived[there]
        hours = np.maximum(times, 0.0) / HOUR
        if closed.any() and hours.max() > 0:
            mean = survival.restricted_mean(hours, closed, float(hours.max()), codes(sample.group, there))
            found.append((date(1970, 1, 1) + timedelta(days=day), mean))
    return Series(
        tuple(day for day, _ in found),
        tuple(mean.value or 0.0 for _, mean in found),
        tuple(mean.low for _, mean in found),
        tuple(mean.high for _, mean in found),
    )


def _student(mean: float, squares: float, n: int) -> Interval:
    """The t interval of a mean from the sum of squares. Source: Student (1908), Biometrika 6:1."""
    variance = (squares - n * mean**2) / (n - 1) if n > 1 else 0.0
    if variance <= 0:
        return None, None
    reach = float(stats.t.isf(TAIL, n - 1)) * (variance / n) ** 0.5
    return mean - reach, mean + reach
