"""A figure that is corrected or bounded beside one of another sample, and two answers to items of a weighted sample:
where the comparisons of plain counts would leave out what the correction is for."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from pilot.workbench.stats import clusters, tango
from pilot.workbench.stats.arrays import flags, numbered, paired
from pilot.workbench.stats.comparisons import Comparison
from pilot.workbench.stats.estimates import exact_sum
from pilot.workbench.stats.extra import library
from pilot.workbench.stats.intervals import CONFIDENCE, Estimate
from pilot.workbench.stats.missing import weights

if TYPE_CHECKING:
    from pilot.workbench.stats.arrays import Groups, Numbers

RECOVERED = "difference of two intervals (MOVER)"


def between(first: Estimate, second: Estimate, bounds: tuple[float, float] | None = None) -> Comparison:
    """The difference of the estimates of two separate samples, first less second, in their unit, from the interval that
    each has. With `bounds`, between which the first value lies whatever its missing items are, the lower end is that of
    the lower bound and the upper end that of the upper one.

    Source: Zou and Donner (2008), Statistics in Medicine 27:1693, equations 1 and 2, which is Newcombe's (1998) method
    10 where both intervals are Wilson's. p is that of the normal distribution whose interval ends as near to 0.
    """
    n, method = first.n + second.n, f"{RECOVERED}: {first.method}; {second.method}"
    if first.value is None or second.value is None:
        return Comparison(None, None, None, None, n, method)
    least, most = bounds or (first.value, first.value)
    low = high = None
    if first.low is not None and second.high is not None:
        low = least - second.value - sqrt((least - first.low) ** 2 + (second.high - second.value) ** 2)
    if first.high is not None and second.low is not None:
        high = most - second.value + sqrt((first.high - most) ** 2 + (second.value - second.low) ** 2)
    difference = first.value - second.value
    return Comparison(difference, low, high, _p(difference, low, high), n, method)


def weighted_shares(
    first: Numbers, second: Numbers, probabilities: Numbers, groups: Groups | None = None
) -> Comparison:
    """The shares of two answers that are right, on the same items, which were chosen at random with the recorded
    `probabilities` in (0, 1]: Tango's interval of the effective number of items, and the score test.

    Source: Tango (1998), Statistics in Medicine 17:891, on the shares of Hajek (1971); the effective number is that of
    `missing.weighted`, of the difference: its variance for independent items over the linearised one.
    """
    one, other = flags("first", first), flags("second", second)
    paired("first", one, "second", other)
    factors = weights("probabilities", probabilities)
    paired("first", one, "probabilities", factors)
    numpy, n = library("numpy"), len(one)
    method = "Tango score of inverse-probability weights"
    if n == 0:
        return Comparison(None, None, None, None, 0, method)
    total = exact_sum(factors)
    first_only, second_only = (exact_sum(factors * which) / total for which in (one > other, one < other))
    difference = first_only - second_only
    codes = numpy.arange(n) if groups is None else numbered(groups, n)
    each = clusters.totals(factors, codes)
    many = len(each)
    size = total**2 / exact_sum(each**2)
    spread = first_only + second_only - difference**2
    if spread > 0 and many > 1:
        sums = clusters.totals(factors * (one - other - difference), codes)
        variance = exact_sum(sums**2) / total**2 * many / (many - 1)
        size = min(float(n), spread / variance) if variance > 0 else float(many)
    if 1 < many < n:
        t = library("scipy.stats").t
        size *= float(t.isf((1 - CONFIDENCE) / 2, n - 1) / t.isf((1 - CONFIDENCE) / 2, many - 1)) ** 2
    low, high = tango.interval(first_only * size, second_only * size, size)
    p = float(2 * library("scipy.stats").norm.sf(abs(tango.score(first_only * size, second_only * size, size, 0.0))))
    return Comparison(difference, low, high, p, n, f"{method}, an effective n of {size:.4g}")


def _p(difference: float, low: float | None, high: float | None) -> float | None:
    near = low if difference > 0 else high
    if near is None or difference == near:
        return None if near is None else 1.0
    normal = library("scipy.stats").norm
    return float(2 * normal.sf(abs(difference) / abs(difference - near) * normal.isf((1 - CONFIDENCE) / 2)))
