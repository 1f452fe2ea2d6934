"""Two arms against each other, on the same items (paired) or on different ones (independent), and p-values of several
questions together. A difference is always the first arm less the second; swapping the arms mirrors its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from statistics import NormalDist
from warnings import catch_warnings, simplefilter

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.proportion import confint_proportions_2indep

from pilot.workbench.stats.data import (
    CONFIDENCE,
    TAIL,
    Column,
    Estimate,
    Groups,
    Interval,
    codes,
    floats,
    totals,
)
from pilot.workbench.stats.estimates import NO_INTERVAL, STUDENT, effective_size, few_groups, linearised

TANGO = "Tango score"
NEWCOMBE = "Newcombe hybrid score"
WELCH = "Welch's t"
# Beyond it, a normal tail is too small for a float.
_MOST_Z = 35.0


@dataclass(frozen=True)
class Comparison:
    """A `difference`, first less second, with its 95 % interval and the two-sided p of no difference; `n` items (pairs,
    or those of both arms); the `method` in plain words. None where there is nothing to compare."""

    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    method: str


@dataclass(frozen=True)
class Gain:
    """What the accuracy gained from learning on `after` rows in place of `before`: a difference of shares, with its
    95 % interval. `helping` is whether the whole interval is above zero; otherwise no gain is shown, which is not the
    same as showing that there is none."""

    before: int
    after: int
    gain: float
    interval: Interval

    @property
    def helping(self) -> bool:
        return self.interval[0] is not None and self.interval[0] > 0

    def __str__(self) -> str:
        low, high = self.interval
        found = f"from {self.before} to {self.after} rows the accuracy changed by {self.gain:+.3f}"
        found = found if low is None or high is None else f"{found} ({low:+.3f} to {high:+.3f})"
        if self.helping:
            return f"More examples have been helping: {found}."
        return f"It is not shown that more examples have been helping: {found}."


def paired_shares(first: Column, second: Column, groups: Groups | None = None) -> Comparison:
    """The shares of two answers that are right (1, else 0), on the same items: Tango's interval with the score test
    that it inverts. With `groups`, both are of the effective number of items.

    Source: Tango (1998), Statistics in Medicine 17:891, whose test of no difference is McNemar's (1947), Psychometrika
    12:153; `estimates.effective_size` for groups.
    """
    one, other = floats(first), floats(second)
    n, first_only, second_only = len(one), float((one > other).sum()), float((one < other).sum())
    if n == 0:
        return Comparison(None, None, None, None, 0, TANGO)
    difference = (first_only - second_only) / n
    if groups is None:
        return _score_test(difference, first_only / n, second_only / n, n, n, TANGO)
    size = effective_size(one - other, codes(groups), (floats(one > other), floats(one < other)))
    method = f"{TANGO} of an effective n of {size.n:.4g}, {size.method}"
    return _score_test(difference, first_only / n, second_only / n, size.n, n, method)


def weighted_shares(first: Column, second: Column, probabilities: Column, groups: Groups | None = None) -> Comparison:
    """As `paired_shares`, of items that were chosen at random with the recorded `probabilities` in (0, 1]: Tango's
    interval of the effective number of items, and the score test.

    Source: Tango (1998), Statistics in Medicine 17:891, on the shares of Hajek (1971); the effective number is that of
    `missing.weighted`, of the difference: its variance for independent items over the linearised one.
    """
    one, other, factors = floats(first), floats(second), 1 / floats(probabilities)
    n, method = len(one), "Tango score of inverse-probability weights"
    if n == 0:
        return Comparison(None, None, None, None, 0, method)
    total = fsum(factors)
    first_only, second_only = (fsum(factors * which) / total for which in (one > other, one < other))
    difference = first_only - second_only
    numbers = np.arange(n) if groups is None else codes(groups)
    each = totals(factors, numbers)
    many, size = len(each), total**2 / fsum(each**2)
    spread = first_only + second_only - difference**2
    if spread > 0 and many > 1:
        sums = totals(factors * (one - other - difference), numbers)
        variance = fsum(sums**2) / total**2 * many / (many - 1)
        size = min(float(n), spread / variance) if variance > 0 else float(many)
    if 1 < many < n:
        size *= few_groups(n, many)
    return _score_test(difference, first_only, second_only, size, n, f"{method}, an effective n of {size:.4g}")


def independent_shares(first: Column, second: Column) -> Comparison:
    """The shares of two separate samples of 0 and 1: Newcombe's hybrid score interval, and the p at which it would end
    at no difference.

    Source: Newcombe (1998), Statistics in Medicine 17:873, method 10, through statsmodels.
    """
    one, other = floats(first), floats(second)
    n = len(one) + len(other)
    if not len(one) or not len(other):
        return Comparison(None, None, None, None, n, NEWCOMBE)
    counts = (int(one.sum()), len(one), int(other.sum()), len(other))
    difference = counts[0] / counts[1] - counts[2] / counts[3]
    near = 0 if difference > 0 else 1
    p = 1.0
    if difference:
        z = optimize.brentq(lambda z: newcombe(*counts, float(stats.norm.sf(z)))[near], 1e-9, _MOST_Z)
        p = _two_sided(float(z))
    return Comparison(difference, *newcombe(*counts), p, n, NEWCOMBE)


def newcombe(
    successes: int, trials: int, other_successes: int, other_trials: int, tail: float = TAIL
) -> tuple[float, float]:
    """The hybrid score interval of the difference of two independent shares, in [-1, 1]; each end misses with a chance
    of `tail`.

    Source: Newcombe (1998), Statistics in Medicine 17:873, method 10, through statsmodels.
    """
    low, high = confint_proportions_2indep(
        successes, trials, other_successes, other_trials, method="newcomb", compare="diff", alpha=2 * tail
    )
    return max(-1.0, float(low)), min(1.0, float(high))


def paired_means(first: Column, second: Column, groups: Groups | None = None) -> Comparison:
    """The mean of the paired differences, in their unit, with Student's interval and test; in groups, of their
    linearised differences.

    Source: Student (1908), Biometrika 6:1, through scipy; `estimates.linearised` for groups.
    """
    differences = floats(first) - floats(second)
    n = len(differences)
    difference = fsum(differences) / n if n else None
    if difference is None:
        return Comparison(None, None, None, None, 0, NO_INTERVAL)
    spread = np.sort(differences) if groups is None else linearised(differences, codes(groups))
    if len(spread) < 2 or spread[0] == spread[-1]:
        p = 1.0 if difference == 0 and len(spread) > 1 else None
        return Comparison(difference, None, None, p, n, NO_INTERVAL)
    found = stats.ttest_1samp(spread, 0.0)
    low, high = found.confidence_interval(CONFIDENCE)
    method = STUDENT if groups is None else f"{STUDENT} of {len(spread):,} groups"
    return Comparison(difference, float(low), float(high), float(found.pvalue), n, method)


def independent_means(first: Column, second: Column) -> Comparison:
    """The difference of the means of two separate samples, in their unit, with Welch's interval and test.

    Source: Welch (1947), Biometrika 34:28, through scipy.
    """
    one, other = np.sort(floats(first)), np.sort(floats(second))
    n = len(one) + len(other)
    difference = fsum(one) / len(one) - fsum(other) / len(other) if len(one) and len(other) else None
    if min(len(one), len(other)) < 2 or (one[0] == one[-1] and other[0] == other[-1]):
        return Comparison(difference, None, None, None, n, NO_INTERVAL)
    with catch_warnings():
        simplefilter("ignore")  # one arm may be all the same, and the other is then what varies
        found = stats.ttest_ind(one, other, equal_var=False)
    low, high = found.confidence_interval(CONFIDENCE)
    return Comparison(difference, float(low), float(high), float(found.pvalue), n, WELCH)


def between(first: Estimate, second: Estimate, bounds: tuple[float, float | None] | None = None) -> Comparison:
    """The difference of the estimates of two separate samples, in their unit, from the interval that each has. With
    `bounds`, between which the first value lies whatever its missing items are, the lower end is that of the lower
    bound and the upper end that of the upper one.

    Source: Zou and Donner (2008), Statistics in Medicine 27:1693, equations 1 and 2, which is Newcombe's (1998) method
    10 where both intervals are Wilson's. p is that of the normal distribution whose interval ends as near to 0.
    """
    n, method = first.n + second.n, f"difference of two intervals (MOVER): {first.method}; {second.method}"
    if first.value is None or second.value is None:
        return Comparison(None, None, None, None, n, method)
    least, most = bounds or (first.value, first.value)
    low = high = p = None
    if first.low is not None and second.high is not None:
        low = least - second.value - sqrt((least - first.low) ** 2 + (second.high - second.value) ** 2)
    if first.high is not None and second.low is not None and most is not None:
        high = most - second.value + sqrt((first.high - most) ** 2 + (second.value - second.low) ** 2)
    difference = first.value - second.value
    near = low if difference > 0 else high
    if near is not None:
        z = float(stats.norm.isf(TAIL))
        p = 1.0 if difference == near else _two_sided(abs(difference) / abs(difference - near) * z)
    return Comparison(difference, low, high, p, n, method)


def last_gain(curve: Sequence[tuple[int, float]], judged: int) -> Gain | None:
    """The gain of the last step of a learning curve: pairs of rows learned from and accuracy in [0, 1], in ascending
    rows, each measured on `judged` rows. None where there are fewer than two pairs, as on the card of an old model.

    Source: Newcombe (1998), SiM 17:873, method 10, through statsmodels. It is for independent samples; here the rows
    are the same, which makes the interval wider than it need be, never narrower as long as the two models tend to be
    right on the same rows.
    """
    if len(curve) < 2:
        return None
    (before, worse), (after, better) = curve[-2:]
    interval = newcombe(round(better * judged), judged, round(worse * judged), judged)
    return Gain(before, after, better - worse, interval)


def non_inferior(comparison: Comparison, margin: float, direction: str) -> bool:
    """Whether the first arm proves not to be worse than the second by `margin`, of 0 or more in the unit of the
    difference, where more is better for direction `up` and less for `down`: the interval's worse end lies inside the
    margin. An open end proves nothing."""
    worse = comparison.low if direction == "up" else comparison.high
    return worse is not None and (worse > -margin if direction == "up" else worse < margin)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several secondary questions, adjusted so that all together err at most as often as one.

    Source: Holm (1979), Scandinavian Journal of Statistics 6:65. That of statsmodels collects the garbage of the whole
    process at each call, which takes seconds in a large one.
    """
    values = np.asarray(p_values, dtype=float)
    order = values.argsort()
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1.0)
    return list(map(float, adjusted))


def tango(first_only: float, second_only: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The score interval of (`first_only` - `second_only`) / `n`, in [-1, 1]: of `n` pairs, so many are right in the
    first alone and in the second alone. The numbers need not be whole. No library has it.

    Source: Tango (1998), Statistics in Medicine 17:891: the two roots of the score statistic, his equation for the
    score with the estimate of the nuisance share that maximises the likelihood at a fixed difference.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return -_upper(second_only, first_only, n, z), _upper(first_only, second_only, n, z)


def _score_test(
    difference: float, first_only: float, second_only: float, size: float, n: int, method: str
) -> Comparison:
    """Tango's interval and score test of shares of pairs, for an effective number `size` of them."""
    excess, nuisance = (first_only - second_only) * size, _nuisance(first_only * size, second_only * size, size, 0.0)
    p = _two_sided(excess / sqrt(2 * size * nuisance) if nuisance > 0 else 0.0)
    return Comparison(difference, *tango(first_only * size, second_only * size, size), p, n, method)


def _upper(first_only: float, second_only: float, n: float, z: float) -> float:
    found = min(1.0, (first_only - second_only) / n)

    def outside(difference: float) -> float:
        """Negative inside the interval: the squared score without its division, which the end 1 would not survive."""
        spread = 2 * _nuisance(first_only, second_only, n, difference) + difference * (1 - difference)
        return (first_only - second_only - n * difference) ** 2 - z**2 * n * spread

    if outside(1.0) <= 0:
        return 1.0
    # Without discordant pairs, or with these alone, the difference itself is a root too: the search begins beside it.
    begin = found if outside(found) < 0 else found + 1e-10
    return found if outside(begin) >= 0 else float(optimize.brentq(outside, begin, 1.0, xtol=1e-14))


def _nuisance(first_only: float, second_only: float, n: float, difference: float) -> float:
    """The most likely share of pairs that are right in the second alone, at this difference."""
    half = (first_only + second_only - (2 * n - first_only + second_only) * difference) / 2
    product = 2 * n * second_only * difference * (1 - difference)
    return max(0.0, (sqrt(max(0.0, half**2 + product)) + half) / (2 * n))


def _two_sided(z: float) -> float:
    return float(2 * stats.norm.sf(abs(z)))
