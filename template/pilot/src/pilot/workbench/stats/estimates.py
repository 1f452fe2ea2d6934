"""Shares, means and quantiles of one sample with their 95 % intervals.

Items may come in groups, such as those of one reviewer or customer. Then whole groups vary and not items, because items
of one group say less than as many of different ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, fsum, isfinite, log, log1p, sqrt
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
from scipy import optimize, special, stats
from statsmodels.stats.proportion import proportion_confint

from pilot import metrics
from pilot.workbench.stats.data import (
    CONFIDENCE,
    TAIL,
    Column,
    Estimate,
    Floats,
    Groups,
    Integers,
    Interval,
    codes,
    floats,
    totals,
)

# BCa covers too little below this many values. Above, the t-interval is as good and much quicker.
BCA = range(30, 5001)
RESAMPLES = 9_999
BOOTSTRAP = f"BCa bootstrap, {RESAMPLES:,} resamples"
STUDENT = "Student's t"
BETA_BINOMIAL = "always valid: Robbins' beta-binomial mixture"
NO_INTERVAL = "no interval: fewer than two different values"
ORDER_STATISTICS = "order statistics"
SEED = 20_261_123


@dataclass(frozen=True)
class Effective:
    """The number of independent items that say as much as those at hand, in how many groups, and how it was found."""

    n: float
    groups: int
    method: str


def share(successes: Column, groups: Groups | None = None) -> Estimate:
    """The share of items that are 1, in [0, 1]: Wilson's interval, of the effective number of items where these come in
    groups.

    Source: as `wilson` and `effective_size`.
    """
    column = floats(successes)
    n, right = len(column), float(column.sum())
    if groups is None:
        return Estimate(metrics.share(right, n), *wilson(right, n), n, "Wilson")
    if not n:
        return Estimate(None, None, None, 0, "Wilson", None, 0)
    size = effective_size(column, codes(groups))
    method = f"Wilson of an effective n of {size.n:.4g}, {size.method}"
    return Estimate(right / n, *wilson(right / n * size.n, size.n), n, method, n / size.n, size.groups)


def always_valid(successes: int, trials: int) -> Estimate:
    """A share, in [0, 1], with an interval that holds at every number of items: with 95 % probability none of the
    intervals of a whole pilot misses the truth, however often and whenever it is looked at. It is all p with
    B(1+k, 1+n-k) / (p^k (1-p)^(n-k)) below 1/alpha, and wider than that of one look. Of a mean of skewed values there
    is none that holds, so none is offered.

    Source: Robbins (1970), Annals of Mathematical Statistics 41:1397, section 3: the mixture of the likelihood ratio
    over a uniform share, with Ville's inequality.
    """
    if trials == 0:
        return Estimate(None, None, None, 0, BETA_BINOMIAL)
    low, high = _lowest(successes, trials), 1 - _lowest(trials - successes, trials)
    return Estimate(successes / trials, low, high, trials, BETA_BINOMIAL)


def mean(values: Column, groups: Groups | None = None) -> Estimate:
    """The mean in the unit of the values: BCa bootstrap of 9,999 resamples with a fixed seed from 30 to 5,000 values or
    groups, else Student's t. In groups, the mean is the ratio of the groups' sums and sizes, and the t-interval is that
    of the linearised ratio. Values that are all the same bound nothing.

    Source: Efron (1987), JASA 82:171; Student (1908), Biometrika 6:1; Cochran (1977), Sampling Techniques, section
    2.11, theorem 2.5, for the ratio.
    """
    column = floats(values)
    n = len(column)
    value = fsum(column) / n if n else None
    if groups is None:
        interval, method = _mean_interval(column)
        return Estimate(value, *interval, n, method)
    numbers = codes(groups)
    interval, method = _grouped_mean_interval(column, numbers)
    if value is None:
        return Estimate(None, None, None, 0, method, None, 0)
    return Estimate(value, *interval, n, method, _design_effect(column - value, numbers), int(numbers.max()) + 1)


def quantile(values: Column, q: float, groups: Groups | None = None) -> Estimate:
    """The quantile `q` in (0, 1) in the unit of the values, between two of them: it supposes nothing about their
    distribution. Few values leave an end open. In groups, the ranks are those of the effective number of items, of the
    share at or below the quantile.

    Source: Hyndman and Fan (1996), definition 1, for the value; Conover (1999), Practical Nonparametric Statistics,
    section 3.2, for the ranks; Woodruff (1952), JASA 47:635, for groups.
    """
    column = floats(values)
    n, value = len(column), metrics.quantile(column.tolist(), q)
    if value is None:
        return Estimate(None, None, None, 0, ORDER_STATISTICS, None, None if groups is None else 0)
    if groups is None:
        found = stats.quantile_test(column, q=column[0], p=q).confidence_interval(CONFIDENCE)
        return Estimate(value, end(found.low), end(found.high), n, ORDER_STATISTICS)
    size = effective_size(floats(column <= value), codes(groups))
    ranks, each = stats.binom(max(1, floor(size.n)), q), n / max(1, floor(size.n))
    below = floor((int(ranks.ppf(TAIL)) - 1) * each + 1e-9)
    above = ceil((int(ranks.isf(TAIL)) + 1) * each - 1e-9) - 1
    ordered = np.sort(column)
    low, high = float(ordered[below]) if below >= 0 else None, float(ordered[above]) if above < n else None
    method = f"{ORDER_STATISTICS} of an effective n of {size.n:.4g}, {size.method}"
    return Estimate(value, low, high, n, method, n / size.n, size.groups)


def wilson(successes: float, trials: float) -> Interval:
    """The interval of a share, in [0, 1]; the numbers need not be whole. Without trials both ends are None.

    Source: Wilson (1927), JASA 22:209, through statsmodels; for an effective number of trials Korn and Graubard (1998),
    Survey Methodology 24:193.
    """
    if trials <= 0:
        return None, None
    low, high = proportion_confint(successes, trials, alpha=1 - CONFIDENCE, method="wilson")
    return (max(0.0, float(low)) if successes > 0 else 0.0), (min(1.0, float(high)) if successes < trials else 1.0)


def effective_size(column: Floats, numbers: Integers, parts: tuple[Floats, ...] = ()) -> Effective:
    """How many independent items say as much about the mean as those of `column`, whose groups have the codes
    `numbers`: the variance of one item over that of the mean, which is found by resampling groups (linearised above
    5,000), less what few groups leave open. Where all items are the same, it is the number of groups.

    `parts` are columns of 0 and 1 that `column` is made of. Items that come in equal copies count once.
    Source: Korn and Graubard (1998), Survey Methodology 24:193, section 2, with the ratio t(n-1)/t(groups-1) squared.
    """
    sums, counts = totals(column, numbers), np.bincount(numbers).astype(float)
    groups, n = len(counts), len(column)
    if groups == 1:
        return Effective(1.0, 1, "of a single group")
    middle = fsum(column) / n
    variance = fsum((column - middle) ** 2) / n
    if variance == 0:
        return Effective(float(groups), groups, f"the {groups:,} groups")
    # Copies of every item within its group say nothing new, so a common factor of all counts is taken out of the limit.
    counted = [totals(part, numbers) for part in parts or (column,)]
    most = n / int(np.gcd.reduce(np.concatenate([counts, *counted]).astype(np.int64)))
    error, method = _standard_error(sums, counts)
    size = min(most, variance / error**2) if error > 0 else most
    return Effective(max(1.0, size * few_groups(most, groups)), groups, method)


def few_groups(n: float, groups: int) -> float:
    """The factor, at most 1, by which `groups` groups say less than the effective number `n` alone, because their
    variance is estimated from few: the squared ratio of two quantiles of Student's t.

    Source: Korn and Graubard (1998), Survey Methodology 24:193, section 2.
    """
    return float(stats.t.isf(TAIL, n - 1) / stats.t.isf(TAIL, groups - 1)) ** 2


def _grouped_mean_interval(column: Floats, numbers: Integers) -> tuple[Interval, str]:
    """The interval of the mean of a column whose groups have the codes `numbers`, and its method."""
    sums, counts = totals(column, numbers), np.bincount(numbers).astype(float)
    # Equal copies of every item say nothing new. Without them resamples that are as large as the mean stay so, which
    # rounding would decide, and BCa counts them.
    copies = float(np.gcd.reduce(counts.astype(int))) or 1.0
    interval, method = _ratio_interval(sums / copies, counts / copies)
    return interval, method if method == NO_INTERVAL else f"{method}, by groups"


def bootstrap(samples: tuple[Floats, ...], statistic: Callable[..., Any], paired: bool = False) -> Interval:
    """The BCa interval of `statistic(*samples, axis=)`, by 9,999 resamples with a fixed seed; the percentile interval
    where BCa does not exist."""
    with np.errstate(all="ignore"), catch_warnings():
        simplefilter("ignore")  # a BCa that does not exist is seen by its ends
        found = _resampled(samples, statistic, paired, "BCa")
        low, high = found.confidence_interval
        if np.isnan(low) or np.isnan(high):
            low, high = np.quantile(found.bootstrap_distribution, [TAIL, 1 - TAIL], method="inverted_cdf")
    return end(low), end(high)


def side(values: Floats, mirror: Floats) -> int:
    """1 where `values` are resampled as they are, -1 where their `mirror` is in their place, and 0 where both are the
    same, so that a sample and its mirror image have intervals that mirror each other."""
    one, other = values.tolist(), mirror.tolist()
    return int(one > other) - int(one < other)


def turned(interval: Interval, side: int) -> Interval:
    """The interval of the values from that of what was resampled for `side`; for 0 it is its own mirror image."""
    low, high = interval
    if side < 0:
        return None if high is None else -high, None if low is None else -low
    if side > 0 or low is None or high is None:
        return (low, high) if side > 0 else (None, None)
    return (low - high) / 2, (high - low) / 2


def end(value: float) -> float | None:
    """One end; None where it is infinite or no number."""
    return float(value) if isfinite(value) else None


def _mean_interval(values: Floats) -> tuple[Interval, str]:
    column = np.sort(values)  # so that the order of the rows changes nothing
    if not len(column) or column[0] == column[-1]:
        return (None, None), NO_INTERVAL
    mirror = -column[::-1]
    way = side(column, mirror)
    column = mirror if way < 0 else column
    if len(column) in BCA:
        interval = bootstrap((column,), np.mean)
        if None not in interval:
            return turned(interval, way), BOOTSTRAP
    error = stats.sem(column)
    if not error > 0:  # values so close that their differences are lost in rounding
        return (None, None), NO_INTERVAL
    low, high = stats.t.interval(CONFIDENCE, len(column) - 1, loc=column.mean(), scale=error)
    return turned((float(low), float(high)), way), STUDENT


def _ratio_interval(sums: Floats, counts: Floats) -> tuple[Interval, str]:
    """The interval of the sum of `sums` over that of `counts`, where groups are resampled with both."""
    top, bottom, way = _upright(sums, counts)
    groups = len(top)
    if groups < 2:
        return (None, None), NO_INTERVAL
    value = top.sum() / bottom.sum()
    error = np.sqrt(((top - value * bottom) ** 2).sum() * groups / (groups - 1)) / bottom.sum()
    if not error > 1e-12 * abs(value):
        return (None, None), NO_INTERVAL
    if groups in BCA:
        interval, method = bootstrap((top, bottom), _ratio, paired=True), BOOTSTRAP
    else:
        low, high = stats.t.interval(CONFIDENCE, groups - 1, loc=value, scale=error)
        interval, method = (float(low), float(high)), f"{STUDENT} of the linearised ratio"
    return turned(interval, way), method


def _upright(sums: Floats, counts: Floats) -> tuple[Floats, Floats, int]:
    """The groups ordered by size and sum, with the sums or their mirror image, and which `side` that is."""
    order = np.lexsort((sums, counts))
    top, mirror = sums[order], -sums[np.lexsort((-sums, counts))]
    way = side(top, mirror)
    return mirror if way < 0 else top, counts[order], way


def _standard_error(sums: Floats, counts: Floats) -> tuple[float, str]:
    """The standard error of the mean of groups with these sums and sizes, and its method."""
    groups = len(counts)
    correction = sqrt(groups / (groups - 1))
    if groups < BCA.stop:
        found = _resampled(_upright(sums, counts)[:2], _ratio, True, "percentile")
        return float(found.standard_error) * correction, f"from {RESAMPLES:,} resamples of {groups:,} groups"
    residuals = sums - sums.sum() / counts.sum() * counts
    error = sqrt(float((residuals**2).sum())) * correction / float(counts.sum())
    return error, f"linearised over {groups:,} groups"


def _design_effect(apart: Floats, numbers: Integers) -> float:
    """That of a mean, linearised, from the distances of the items from it."""
    groups, spread = int(numbers.max()) + 1, fsum(apart**2)
    if groups == 1 or spread == 0:
        return len(apart) / groups
    return max(1.0, fsum(totals(apart, numbers) ** 2) / spread * groups / (groups - 1))


def _resampled(samples: tuple[Floats, ...], statistic: Callable[..., Any], paired: bool, method: str) -> Any:
    return stats.bootstrap(
        samples,
        statistic,
        paired=paired,
        method=method,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        batch=max(1, 1_000_000 // sum(len(sample) for sample in samples)),
        rng=SEED,
    )


def _ratio(top: Floats, bottom: Floats, axis: int) -> Any:
    return top.sum(axis=axis) / bottom.sum(axis=axis)


def _lowest(successes: int, trials: int) -> float:
    """The smallest share that the mixture does not exclude."""
    if successes == 0:
        return 0.0
    constant = float(special.betaln(1 + successes, 1 + trials - successes)) + log(1 - CONFIDENCE)
    failures = trials - successes

    def excess(share: float) -> float:
        return constant - successes * log(share) - (failures * log1p(-share) if failures else 0.0)

    return float(optimize.brentq(excess, 1e-300, successes / trials, xtol=1e-15))
