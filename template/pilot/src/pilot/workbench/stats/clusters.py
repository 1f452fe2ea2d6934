"""Figures of items that come in groups, such as those of one reviewer or customer, with 95 % intervals that let whole
groups vary and not items: items of one group say less than as many of different ones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, sqrt
from typing import TYPE_CHECKING, Any

from pilot import metrics
from pilot.workbench.stats import intervals
from pilot.workbench.stats.arrays import finite, flags, numbered, orientation, paired
from pilot.workbench.stats.estimates import ORDER_STATISTICS, average, exact_sum, proper
from pilot.workbench.stats.extra import library
from pilot.workbench.stats.intervals import BCA, CONFIDENCE, Estimate, Interval

if TYPE_CHECKING:
    from pilot.workbench.stats.arrays import Floats, Groups, Integers, Numbers


@dataclass(frozen=True)
class Clustered(Estimate):
    """An estimate of items in `clusters` groups. `design_effect`: how many such items say as much as one independent
    item, at least 1; None without items. An item whose group is None is a group of its own."""

    design_effect: float | None
    clusters: int


@dataclass(frozen=True)
class Effective:
    """The number of independent items that say as much as those at hand, in how many groups, and how it was found."""

    n: float
    clusters: int
    method: str


def share(successes: Numbers, groups: Groups) -> Clustered:
    """The share of items that are true (or 1), in [0, 1]: Wilson's interval of the effective number of items.

    Source: as `effective_size` and `intervals.wilson_of_effective`.
    """
    column = flags("successes", successes)
    codes = numbered(groups, len(column))
    value = metrics.share(int(column.sum()), len(column))
    if value is None:
        return Clustered(None, None, None, 0, "Wilson", None, 0)
    size = effective_size(column, codes)
    low, high = intervals.wilson_of_effective(value, size.n)
    method = f"Wilson of an effective n of {size.n:.4g}, {size.method}"
    return Clustered(value, low, high, len(column), method, len(column) / size.n, size.clusters)


def quantile(values: Numbers, q: float, groups: Groups) -> Clustered:
    """The quantile `q` in (0, 1) in the unit of the values: order statistics of the effective number of items, which is
    that of the share at or below the quantile.

    Source: Woodruff (1952), JASA 47:635, with the ranks of Conover (1999), section 3.2.
    """
    column = finite("values", values)
    codes = numbered(groups, len(column))
    proper(q)
    if not len(column):
        return Clustered(None, None, None, 0, ORDER_STATISTICS, None, 0)
    value = metrics.quantile(column.tolist(), q) or 0.0
    size = effective_size((column <= value).astype(int), codes)
    ordered = library("numpy").sort(column)
    ranks = library("scipy.stats").binom(max(1, floor(size.n)), q)
    each = len(column) / max(1, floor(size.n))
    tail = (1 - CONFIDENCE) / 2
    below, above = floor((int(ranks.ppf(tail)) - 1) * each + 1e-9), ceil((int(ranks.isf(tail)) + 1) * each - 1e-9) - 1
    low = float(ordered[below]) if below >= 0 else None
    high = float(ordered[above]) if above < len(column) else None
    method = f"{ORDER_STATISTICS} of an effective n of {size.n:.4g}, {size.method}"
    return Clustered(value, low, high, len(column), method, len(column) / size.n, size.clusters)


def mean(values: Numbers, groups: Groups) -> Clustered:
    """The mean in the unit of the values: the sum of the groups' sums over that of their sizes, where BCa resamples
    groups, or, below 30 groups and above 5,000, Student's t of the linearised ratio.

    Source: as `intervals.ratio_by`, with groups for items.
    """
    column = finite("values", values)
    codes = numbered(groups, len(column))
    interval, method = mean_by(column, codes)
    return _clustered(average(column), interval, method, column, codes)


def ratio(numerators: Numbers, denominators: Numbers, groups: Groups) -> Clustered:
    """The sum of the numerators over the sum of the denominators; groups are resampled with both.

    Source: as `intervals.ratio_by`, with groups for items.
    """
    top, bottom = paired("numerators", numerators, "denominators", denominators)
    codes = numbered(groups, len(top))
    interval, method = intervals.ratio_by(totals(top, codes), totals(bottom, codes))
    total = exact_sum(bottom)
    value = exact_sum(top) / total if total > 0 else None
    residuals = top - (value or 0.0) * bottom
    return _clustered(value, interval, _by_groups(method), residuals, codes)


def mean_by(column: Floats, codes: Integers) -> tuple[Interval, str]:
    """The interval of the mean of a column whose rows are in the groups `codes`, and the method that was used."""
    sums, counts = totals(column, codes), sizes(codes)
    # Equal copies of every item say nothing new. Without them resamples that are as large as the mean stay so, which
    # rounding would decide, and BCa counts them.
    copies = float(library("numpy").gcd.reduce(counts.astype(int))) or 1.0
    interval, method = intervals.ratio_by(sums / copies, counts / copies)
    return interval, _by_groups(method)


def effective_size(column: Numbers, codes: Integers, parts: tuple[Numbers, ...] = ()) -> Effective:
    """How many independent items say as much about the mean as the items of `column`, which are in the groups `codes`:
    the variance of one item over that of the mean, which is found by resampling groups (linearised above 5,000), less
    what few groups leave open. Where all items are the same, it is the number of groups.

    `parts` are columns of 0 and 1 that `column` is made of. Items that come in equal copies count once.

    Source: Korn and Graubard (1998), Survey Methodology 24:193, section 2, with the ratio t(n-1)/t(groups-1) squared.
    """
    numpy, stats = library("numpy"), library("scipy.stats")
    values = finite("column", column)
    sums, counts = _sorted_totals(values, codes)
    clusters = len(counts)
    if clusters == 1:
        return Effective(1.0, 1, "of a single group")
    middle = average(values) or 0.0
    variance = exact_sum((values - middle) ** 2) / len(values)
    if variance == 0:
        return Effective(float(clusters), clusters, f"the {clusters:,} groups")
    # Copies of every item within its group say nothing new, so a common factor of all counts is taken out of the limit.
    counted = [totals(finite("column", part), codes) for part in parts or (values,)]
    copies = int(numpy.gcd.reduce(numpy.concatenate([counts, *counted]).astype(numpy.int64)))
    most = len(values) / copies
    error, how = _error(sums, counts)
    size = min(most, variance / error**2) if error > 0 else most
    size *= float(stats.t.isf((1 - CONFIDENCE) / 2, most - 1) / stats.t.isf((1 - CONFIDENCE) / 2, clusters - 1)) ** 2
    return Effective(max(1.0, float(size)), clusters, how)


def totals(column: Floats, codes: Integers) -> Floats:
    """The sum of each group, by its number, without rounding on the way, so that neither the order of the rows nor the
    sign of all of them changes it."""
    numpy = library("numpy")
    order = numpy.argsort(codes, kind="stable")
    ordered, bounds = column[order].tolist(), numpy.searchsorted(codes[order], numpy.arange(codes.max(initial=-1) + 2))
    found: Floats = numpy.array([exact_sum(ordered[low:high]) for low, high in pairwise(bounds.tolist())], dtype=float)
    return found


def sizes(codes: Integers) -> Floats:
    """The number of rows of each group, by its number."""
    found: Floats = library("numpy").bincount(codes).astype(float)
    return found


def _sorted_totals(values: Floats, codes: Integers) -> tuple[Floats, Floats]:
    """Sums and sizes of the groups in an order that depends on neither their names nor the sign of the values."""
    numpy = library("numpy")
    sums, counts = totals(values, codes), sizes(codes)
    up, down = numpy.lexsort((sums, counts)), numpy.lexsort((-sums, counts))
    order = up if orientation(sums[up], -sums[down]) >= 0 else down
    return sums[order], counts[order]


def _error(sums: Floats, counts: Floats) -> tuple[float, str]:
    clusters = len(counts)
    correction = clusters / (clusters - 1)
    if clusters in range(2, BCA.stop):
        found = intervals.standard_error((sums, counts), _mean_of_totals)
        return found * sqrt(correction), f"from {intervals.RESAMPLES:,} resamples of {clusters:,} groups"
    residuals = sums - sums.sum() / counts.sum() * counts
    return sqrt(float((residuals**2).sum()) * correction) / float(counts.sum()), f"linearised over {clusters:,} groups"


def _clustered(value: float | None, interval: Interval, method: str, column: Floats, codes: Integers) -> Clustered:
    """With the design effect of the mean of `column`, linearised."""
    if not len(column):
        return Clustered(None, None, None, 0, method, None, 0)
    clusters = len(sizes(codes))
    apart = column - (average(column) or 0.0)
    spread = exact_sum(apart**2)
    if clusters == 1 or spread == 0:
        effect = len(column) / clusters
    else:
        effect = max(1.0, exact_sum(totals(apart, codes) ** 2) / spread * clusters / (clusters - 1))
    return Clustered(value, *interval, len(column), method, effect, clusters)


def _mean_of_totals(sums: Floats, counts: Floats, axis: int) -> Any:
    return sums.sum(axis=axis) / counts.sum(axis=axis)


def _by_groups(method: str) -> str:
    return method if method == intervals.NO_INTERVAL else f"{method}, by groups"
