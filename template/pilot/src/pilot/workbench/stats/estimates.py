"""Figures of one sample with their 95 % intervals, of items that are independent of each other; `clusters` is for items
that come in groups. Whatever is no finite number is refused by a ValueError that names the column."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING

from pilot import metrics
from pilot.workbench.stats import intervals
from pilot.workbench.stats.arrays import finite, flags, paired
from pilot.workbench.stats.intervals import Estimate

if TYPE_CHECKING:
    from pilot.workbench.stats.arrays import Numbers

WILSON = "Wilson"
ORDER_STATISTICS = "order statistics"


def share(successes: Numbers) -> Estimate:
    """The share of items that are true (or 1), in [0, 1], with Wilson's interval.

    Source: as `intervals.wilson`.
    """
    column = flags("successes", successes)
    right, n = int(column.sum()), len(column)
    low, high = intervals.wilson(right, n)
    return Estimate(metrics.share(right, n), low, high, n, WILSON)


def mean(values: Numbers) -> Estimate:
    """The mean in the unit of the values: BCa bootstrap from 30 to 5,000 items, else Student's t.

    Source: as `intervals.mean`.
    """
    column = finite("values", values)
    (low, high), method = intervals.mean_by(column)
    return Estimate(average(column), low, high, len(column), method)


def quantile(values: Numbers, q: float) -> Estimate:
    """The quantile `q` in (0, 1) in the unit of the values, with an interval between two of them.

    Source: Hyndman and Fan (1996), definition 1, for the value; the interval as `intervals.quantile`.
    """
    column = finite("values", values)
    proper(q)
    low, high = intervals.quantile(column, q)
    return Estimate(metrics.quantile(column.tolist(), q), low, high, len(column), ORDER_STATISTICS)


def ratio(numerators: Numbers, denominators: Numbers) -> Estimate:
    """The sum of the numerators over the sum of the denominators of the same items, such as cost per correct item; none
    where the denominators are all zero. It is no mean of ratios: items are resampled with both.

    Source: as `intervals.ratio_by`.
    """
    top, bottom = paired("numerators", numerators, "denominators", denominators)
    (low, high), method = intervals.ratio_by(top, bottom)
    total = exact_sum(bottom)
    return Estimate(exact_sum(top) / total if total > 0 else None, low, high, len(top), method)


def average(column: Numbers) -> float | None:
    """The mean, the same whatever the order of the rows; none where there are none."""
    return exact_sum(column) / len(column) if len(column) else None


def exact_sum(column: Numbers) -> float:
    """The sum without rounding on the way (Shewchuk 1997), so that the order of the rows changes nothing."""
    return fsum(column)


def proper(q: float) -> None:
    """Raises ValueError unless `q` is in (0, 1)."""
    if not 0 < q < 1:
        raise ValueError(f"q must be above 0 and below 1, and is {q}")
