"""How many judged items a question needs, by design of the comparison.

All sizes are for one look at a fixed horizon, and are not rounded: round up. Shares are in (0, 1), `power` and `alpha`
in (0, 1), and `alpha` is two-sided throughout: 0.05 is 2.5 % on the side that counts. Wrong values raise ValueError.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log, sqrt
from statistics import NormalDist

from pilot.workbench.stats.extra import library

POWER = 0.8
ALPHA = 0.05


def one_proportion(target: float, true: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Items so that a share of `true` proves to be on its side of a fixed `target`, by a Wilson interval.

    n = ((z[1-a/2] sqrt(t(1-t)) + z[power] sqrt(p(1-p))) / (p - t))^2. Source: Fleiss, Levin and Paik (2003),
    Statistical Methods for Rates and Proportions, chapter 2: the score test, which the Wilson (1927) interval inverts.
    """
    _shares(target, true)
    return _normal(true - target, _deviation(target), _deviation(true), power, alpha)


def paired(discordant: float, difference: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Pairs so that McNemar's test sees a `difference` of two shares on the same items, of which the share `discordant`
    is right in one and wrong in the other.

    n = ((z[1-a/2] sqrt(s) + z[power] sqrt(s - d^2)) / d)^2. Source: Connor (1987), Biometrics 43:207, page 209.
    """
    _shares(discordant)
    if abs(difference) > discordant:
        raise ValueError("the difference cannot exceed the share of discordant pairs")
    return _normal(difference, sqrt(discordant), sqrt(discordant - difference**2), power, alpha)


def two_arms(first: float, second: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Items in each of two independent arms of equal size, so that their shares prove to differ.

    n = ((z[1-a/2] sqrt(2m(1-m)) + z[power] sqrt(p(1-p) + q(1-q))) / (p - q))^2 with m = (p + q)/2, without continuity
    correction. Source: Fleiss, Levin and Paik (2003), chapter 4; R's power.prop.test.
    """
    _shares(first, second)
    null, alternative = _two_arms(first, second)
    return _normal(second - first, null, alternative, power, alpha)


def two_arms_power(items: float, first: float, second: float, alpha: float = ALPHA) -> float:
    """The power of `two_arms` with `items` in each arm, in (0, 1); the wrong side's share of it is left out.

    Source: as `two_arms`, solved for the power.
    """
    _shares(first, second)
    null, alternative = _two_arms(first, second)
    return NormalDist().cdf((sqrt(items) * abs(second - first) - _z(1 - alpha / 2) * null) / alternative)


def non_inferiority(new: float, old: float, margin: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Items in each of two independent arms, so that the share `new` proves not to be worse than `old` by `margin`;
    more is better.

    n = (z[1-a/2] + z[power])^2 (p(1-p) + q(1-q)) / (p - q + margin)^2. Source: Chow, Shao and Wang (2008), Sample Size
    Calculations in Clinical Research, section 4.2, page 90.
    """
    _shares(new, old)
    if margin <= 0 or new - old + margin <= 0:
        raise ValueError("the new share must be better than the old one less a positive margin")
    deviation = sqrt(new * (1 - new) + old * (1 - old))
    return _normal(new - old + margin, deviation, deviation, power, alpha)


def one_mean(difference: float, deviation: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Items so that a t-test sees a `difference` of a mean from a fixed number, in units of which the items have the
    standard `deviation`; or pairs, where both are of the paired differences. Skewed values need more.

    Source: Cohen (1988), Statistical Power Analysis, chapter 2: the noncentral t. Needs the extra `evaluation`.
    """
    return _solved(1, difference, deviation, power, alpha)


def two_means(difference: float, deviation: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Items in each of two independent arms, so that a t-test sees a `difference` of their means.

    Source: as `one_mean`; R's power.t.test. Needs the extra `evaluation`.
    """
    return _solved(2, difference, deviation, power, alpha)


def bounded_quantile(q: float, alpha: float = ALPHA) -> float:
    """Items so that the largest of them bounds the quantile `q` from above with confidence 1 - `alpha`, one-sided,
    whatever the distribution.

    n = ln(a) / ln(q). Source: Wilks (1941), Annals of Mathematical Statistics 12:91; 59 for 0.95, 299 for 0.99.
    """
    _shares(q, alpha)
    return log(alpha) / log(q)


def detectable(size: Callable[[float], float], items: float, most: float) -> float | None:
    """The smallest effect in (0, `most`) for which `size(effect)`, which must fall as the effect grows, is at most
    `items`, to six digits; none where even the largest needs more."""
    low, high = 0.0, most * (1 - 1e-9)
    if size(high) > items:
        return None
    while high - low > 1e-7 * most:
        middle = (low + high) / 2
        low, high = (low, middle) if size(middle) <= items else (middle, high)
    return high


def _normal(difference: float, null: float, alternative: float, power: float, alpha: float) -> float:
    """The size at which a normal test with these deviations of one item sees the difference: two quantiles and a
    square, so that the charter's check needs no library."""
    _shares(power, alpha)
    if difference == 0:
        return inf
    # The normal test's power is at least alpha/2 whatever the size.
    return float((max(0.0, _z(1 - alpha / 2) * null + _z(power) * alternative) / difference) ** 2)


def _solved(arms: int, difference: float, deviation: float, power: float, alpha: float) -> float:
    """The items in each of one or two arms, two at least, at which a t-test has the power."""
    stats = library("scipy.stats")
    _shares(power, alpha)
    if deviation <= 0:
        raise ValueError("the standard deviation must be above 0")
    if difference == 0:
        return inf
    # The noncentral t is not stable beyond four deviations, where a handful of items is enough.
    effect = min(abs(difference) / deviation, 4)

    def lacking(items: float) -> float:
        # The wrong side's share of the power is left out, as R does: it is tiny, and often no number.
        freedom = arms * (items - 1)
        critical = stats.t.isf(alpha / 2, freedom)
        return power - float(stats.nct.sf(critical, freedom, effect * sqrt(items / arms)))

    # The normal test needs a little less, so the search is short.
    low = high = max(2.0, _normal(effect, sqrt(arms), sqrt(arms), power, alpha))
    while lacking(high) > 0:
        low, high = high, high + 2
    return high if low == high else float(library("scipy.optimize").brentq(lacking, low, high))


def _two_arms(first: float, second: float) -> tuple[float, float]:
    middle = (first + second) / 2
    return sqrt(2) * _deviation(middle), sqrt(_deviation(first) ** 2 + _deviation(second) ** 2)


def _deviation(share: float) -> float:
    return sqrt(share * (1 - share))


def _z(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


def _shares(*values: float) -> None:
    if not all(0 < value < 1 for value in values):
        raise ValueError(f"a share must be above 0 and below 1: {', '.join(str(value) for value in values)}")
