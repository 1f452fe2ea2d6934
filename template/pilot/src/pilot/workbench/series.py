"""A metric as it was known after each day: progress, which decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from scipy import stats

from pilot.metrics import HOUR
from pilot.workbench import metrics
from pilot.workbench.columns import Columns
from pilot.workbench.evaluation import codes
from pilot.workbench.stats import survival
from pilot.workbench.stats.data import TAIL, Interval
from pilot.workbench.stats.estimates import wilson

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
    factors = 1 / sample.probability[known][order] if metric == "accuracy" else np.ones(len(order))
    weights, sizes = np.cumsum(factors), np.cumsum(factors**2)
    sums, squares = np.cumsum(factors * values[order]), np.cumsum(values[order] ** 2)
    means, effective = sums[ends] / weights[ends], weights[ends] ** 2 / sizes[ends]
    found = [
        wilson(min(1.0, float(mean)) * float(n), float(n))
        if metric == "accuracy"
        else _student(float(mean), float(square), int(n))
        for square, mean, n in zip(squares[ends], means, effective, strict=True)
    ]
    return Series(
        tuple(datetime.fromtimestamp(int(days[end]) * _DAY, UTC).date() for end in ends),
        tuple(float(mean) for mean in means),
        tuple(low for low, _ in found),
        tuple(high for _, high in found),
    )


def censored_series(columns: Columns, last: date) -> Series:
    """The cycle time in hours as it was known at the end of some of the days up to `last`: the mean within the longest
    time so far, in which an item that was open counts as open. Each is the figure that an evaluation of that day has.

    Source: as `survival.restricted_mean`.
    """
    sample = metrics.cycle_time(columns)
    arrived, ended = columns.arrived_at[sample.rows], columns.ended_at[sample.rows]
    first, end = int(arrived.min(initial=float("inf")) // _DAY) if len(arrived) else 0, (last - date(1970, 1, 1)).days
    days = np.unique(np.linspace(min(first, end), end, FEW_DAYS).round().astype(int))
    found = []
    for day in days.tolist():
        there = arrived < (day + 1) * _DAY
        closed = ended[there] < (day + 1) * _DAY
        times = np.where(closed, ended[there], (day + 1) * _DAY) - arrived[there]
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
