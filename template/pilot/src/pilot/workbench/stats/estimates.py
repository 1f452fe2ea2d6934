"""Shares, means and quantiles of one sample with their 95 % intervals.

Items may come in groups, such as those of one reviewer or customer. Then whole groups vary and not items, because items
of one group say less than as many of different ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor, fsum, isfinite, log, log1p, sqrt

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

HALL = "Hall's transformed t"
STUDENT = "Student's t"
BETA_BINOMIAL = "always valid: Robbins' beta-binomial mixture"
NO_INTERVAL = "no interval: fewer than two different values"
ORDER_STATISTICS = "order statistics"
# What a verdict needs beside an interval, as simulated in benchmarks/intervals.py: so many groups, so many values of a
# mean, and so many of them for each unit of their squared skewness.
LEAST_GROUPS = 10
LEAST_VALUES = 30
SKEWED = 25
SKEWED_SHARES = 15


@dataclass(frozen=True)
class Effective:
    """The number of independent items that say as much as those at hand, in how many groups, and how it was found."""

    n: float
    groups: int
    method: str


def share(successes: Column, groups: Groups | None = None, tail: float = TAIL) -> Estimate:
    """The share of items that are 1, in [0, 1]: Wilson's interval, of the effective number of items where these come in
    groups, and then at least as wide as that of the groups' mean. `tail` is the chance that an end may miss.

    Source: as `wilson`, `effective_size` and `mean`.
    """
    column = floats(successes)
    n, right = len(column), float(column.sum())
    if groups is None:
        return Estimate(metrics.share(right, n), *wilson(right, n, tail), n, "Wilson")
    if not n:
        return Estimate(None, None, None, 0, "Wilson", None, 0)
    numbers = codes(groups)
    size = effective_size(column, numbers)
    method = f"Wilson of an effective n of {size.n:.4g}, {size.method}"
    spread = linearised(column, numbers)
    ends, other = wilson(right / n * size.n, size.n, tail), transformed(spread, tail)
    low, high = (None if end is None else min(1.0, max(0.0, end)) for end in other)
    low = ends[0] if low is None else min(low, ends[0] or 0.0)
    high = ends[1] if high is None else max(high, 1.0 if ends[1] is None else ends[1])
    few = too_few_groups(size.groups) or _too_skewed(spread, SKEWED_SHARES, "groups")
    return Estimate(right / n, low, high, n, method, n / size.n, size.groups, few)


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


def mean(values: Column, groups: Groups | None = None, tail: float = TAIL) -> Estimate:
    """The mean in the unit of the values with an interval that allows for their skewness: Hall's transformed t; of so
    few that it decides nothing, Student's. In groups, the mean is the ratio of the groups' sums and sizes, and the
    interval is of its linearised values. Values that are all the same bound nothing. `tail` is the chance that an end
    may miss.

    Source: Student (1908), Biometrika 6:1; Hall (1992), JRSS B 54:221, with Student's quantile as in Zhou and Dinh
    (2005), Biostatistics 6:187; Cochran (1977), Sampling Techniques, section 2.11, theorem 2.5, for the ratio.
    """
    column = floats(values)
    n = len(column)
    if groups is None:
        few = (
            f"{n} values are too few for a verdict on a mean, which needs {LEAST_VALUES}" if n < LEAST_VALUES else None
        )
        return _mean(np.sort(column), n, tail, few)
    if not n:
        return Estimate(None, None, None, 0, NO_INTERVAL, None, 0)
    numbers = codes(groups)
    many, value = int(numbers.max()) + 1, fsum(column) / n
    found = _mean(linearised(column, numbers), n, tail, too_few_groups(many))
    method = found.method if found.low is None else f"{found.method} of {many:,} groups"
    return replace(
        found, value=value, method=method, design_effect=_design_effect(column - value, numbers), groups=many
    )


def _mean(ordered: Floats, n: int, tail: float, few: str | None) -> Estimate:
    value, (low, high) = fsum(ordered) / len(ordered) if len(ordered) else None, transformed(ordered, tail)
    if value is None or low is None:
        return Estimate(value, None, None, n, NO_INTERVAL)
    if few is None:
        return Estimate(value, low, high, n, HALL, too_few=_too_skewed(ordered, SKEWED, "values"))
    reach = float(stats.t.isf(tail, len(ordered) - 1)) * float(stats.sem(ordered))
    return Estimate(value, value - reach, value + reach, n, STUDENT, too_few=few)


def ratio(values: Column, weights: Column, groups: Groups | None = None, tail: float = TAIL) -> Estimate:
    """The mean of values in [0, 1], each with its weight above 0, such as the share of an item's fields that are right,
    which weighs as many fields as the item has: as `mean`, of the linearised values. Where these are too few or too
    skewed for that, or all the same, it is Wilson's interval of the effective number of items, which is the widest that
    values in [0, 1] can have.

    Source: Cochran (1977), Sampling Techniques, section 2.11, for the ratio; Bhatia and Davis (2000), The American
    Mathematical Monthly 107:353, for the variance, which is at most that of a share; Kish (1965) for the number.
    """
    column, factors = floats(values), floats(weights)
    if not len(column):
        return Estimate(None, None, None, 0, NO_INTERVAL, None, None if groups is None else 0)
    value = min(1.0, fsum(factors * column) / fsum(factors))
    found = mean(weighed(column, factors), groups, tail)
    if groups is None and (found.low is None or found.too_few is not None):
        size = fsum(factors) ** 2 / fsum(factors**2)
        low, high = wilson(value * size, size, tail)
        return Estimate(value, low, high, len(column), "Wilson, as wide as values between 0 and 1 can be")
    low, high = (None if end is None else min(1.0, max(0.0, end)) for end in found.interval)
    return replace(found, value=value, low=low, high=high)


def graded(
    values: Floats, weights: Floats, bounded: bool, groups: Groups | None = None, tail: float = TAIL
) -> Estimate:
    """The mean of values, in their unit, each with its weight above 0: as `ratio` where they are `bounded` by 0 and 1,
    else as `mean` of those that are weighed."""
    return ratio(values, weights, groups, tail) if bounded else mean(weighed(values, weights), groups, tail)


def weighed(values: Floats, weights: Floats) -> Floats:
    """Values whose plain mean is the weighted mean of these, and whose variance is that of the ratio.

    Source: Cochran (1977), Sampling Techniques, section 2.11, theorem 2.5.
    """
    total = fsum(weights)
    if not total:
        return values
    value = fsum(weights * values) / total
    return value + weights * (values - value) * len(values) / total


def transformed(values: Floats, tail: float = TAIL) -> Interval:
    """Hall's interval of a mean; both ends None where the values, or their differences beyond rounding, are too few.

    Source: Hall (1992), JRSS B 54:221, the cubic transformation, with Student's quantile.
    """
    n = len(values)
    if n < 2:
        return None, None
    middle, deviation = fsum(values) / n, float(values.std(ddof=1))
    if not deviation > 1e-12 * abs(middle):
        return None, None
    skew, reach = _skewness(values), float(stats.t.isf(tail, n - 1)) / sqrt(n)

    def inverse(t: float) -> float:
        return t if abs(skew) < 1e-6 else 3 / skew * (float(np.cbrt(1 + skew * (t - skew / (6 * n)))) - 1)

    return middle - deviation * inverse(reach), middle - deviation * inverse(-reach)


def linearised(column: Floats, numbers: Integers) -> Floats:
    """A value for each group, by the codes `numbers`, whose plain mean and its variance are those of the mean of the
    items; in ascending order.

    Source: Cochran (1977), Sampling Techniques, section 2.11, theorem 2.5.
    """
    sums, counts, n = totals(column, numbers), np.bincount(numbers), len(column)
    middle = fsum(column) / n
    return np.sort(middle + len(sums) * (sums - middle * counts) / n)


def _skewness(values: Floats) -> float:
    return float(stats.skew(values))


def too_few_groups(groups: int) -> str | None:
    """Why so few groups are no ground for a verdict; None where they are enough."""
    return None if groups >= LEAST_GROUPS else f"{groups} groups are too few for a verdict, which needs {LEAST_GROUPS}"


def _too_skewed(values: Floats, factor: int, what: str) -> str | None:
    """Why so few values, this skewed, are no ground for a verdict. Source: Cochran (1977), section 2.15, rule 2.44."""
    if len(values) < 2 or not values.std() > 1e-12 * abs(values.mean()):
        return None
    needed = ceil(factor * _skewness(values) ** 2)
    if len(values) >= needed:
        return None
    return f"{len(values)} {what} are too few for a verdict: a few large ones decide it, and it needs about {needed:,}"


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


def wilson(successes: float, trials: float, tail: float = TAIL) -> Interval:
    """The interval of a share, in [0, 1]; the numbers need not be whole. Without trials both ends are None.

    Source: Wilson (1927), JASA 22:209, through statsmodels; for an effective number of trials Korn and Graubard (1998),
    Survey Methodology 24:193.
    """
    if trials <= 0:
        return None, None
    low, high = proportion_confint(successes, trials, alpha=2 * tail, method="wilson")
    return (max(0.0, float(low)) if successes > 0 else 0.0), (min(1.0, float(high)) if successes < trials else 1.0)


def effective_size(column: Floats, numbers: Integers, parts: tuple[Floats, ...] = ()) -> Effective:
    """How many independent items say as much about the mean as those of `column`, whose groups have the codes
    `numbers`: the variance of one item over that of the mean, linearised by groups, less what few groups leave open.
    Where all items are the same, it is the number of groups.

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


def end(value: float) -> float | None:
    """One end; None where it is infinite or no number."""
    return float(value) if isfinite(value) else None


def _standard_error(sums: Floats, counts: Floats) -> tuple[float, str]:
    """The standard error of the mean of groups with these sums and sizes, and its method."""
    groups, n = len(counts), fsum(counts)
    residuals = sums - fsum(sums) / n * counts
    return sqrt(fsum(residuals**2) * groups / (groups - 1)) / n, f"linearised over {groups:,} groups"


def _design_effect(apart: Floats, numbers: Integers) -> float:
    """That of a mean, linearised, from the distances of the items from it."""
    groups, spread = int(numbers.max()) + 1, fsum(apart**2)
    if groups == 1 or spread == 0:
        return len(apart) / groups
    return max(1.0, fsum(totals(apart, numbers) ** 2) / spread * groups / (groups - 1))


def _lowest(successes: int, trials: int) -> float:
    """The smallest share that the mixture does not exclude."""
    if successes == 0:
        return 0.0
    constant = float(special.betaln(1 + successes, 1 + trials - successes)) + log(1 - CONFIDENCE)
    failures = trials - successes

    def excess(share: float) -> float:
        return constant - successes * log(share) - (failures * log1p(-share) if failures else 0.0)

    return float(optimize.brentq(excess, 1e-300, successes / trials, xtol=1e-15))
