"""How many judged items a question needs, by design of the comparison.

All sizes are for one look at a fixed horizon with a two-sided error of 5 %, and are not rounded: round up. Shares and
`power` are in (0, 1). An effect of 0 needs infinitely many items.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt

from statsmodels.stats.power import TTestIndPower, TTestPower, normal_sample_size_one_tail

from pilot.workbench.stats.data import TAIL

POWER = 0.8


def one_proportion(target: float, true: float, power: float = POWER) -> float:
    """Items so that a share of `true` proves to be on its side of a fixed `target`, by a Wilson interval.

    n = ((z[0.975] sqrt(t(1-t)) + z[power] sqrt(p(1-p))) / (p - t))^2. Source: Fleiss, Levin and Paik (2003),
    Statistical Methods for Rates and Proportions, chapter 2: the score test, which the Wilson (1927) interval inverts.
    """
    return _normal(true - target, _deviation(target), _deviation(true), power)


def paired(discordant: float, difference: float, power: float = POWER) -> float:
    """Pairs so that McNemar's test sees a `difference` of two shares on the same items, of which the share `discordant`
    is right in one and wrong in the other.

    n = ((z[0.975] sqrt(s) + z[power] sqrt(s - d^2)) / d)^2. Source: Connor (1987), Biometrics 43:207, page 209.
    """
    return _normal(difference, sqrt(discordant), sqrt(discordant - difference**2), power)


def two_arms(first: float, second: float, power: float = POWER) -> float:
    """Items in each of two independent arms of equal size, so that their shares prove to differ.

    n = ((z[0.975] sqrt(2m(1-m)) + z[power] sqrt(p(1-p) + q(1-q))) / (p - q))^2 with m = (p + q)/2, without continuity
    correction. Source: Fleiss, Levin and Paik (2003), chapter 4; R's power.prop.test.
    """
    null = sqrt(2) * _deviation((first + second) / 2)
    alternative = sqrt(_deviation(first) ** 2 + _deviation(second) ** 2)
    return _normal(second - first, null, alternative, power)


def non_inferiority(new: float, old: float, margin: float, power: float = POWER) -> float:
    """Items in each of two independent arms, so that the share `new` proves not to be worse than `old` by `margin`;
    more is better.

    n = (z[0.975] + z[power])^2 (p(1-p) + q(1-q)) / (p - q + margin)^2. Source: Chow, Shao and Wang (2008), Sample Size
    Calculations in Clinical Research, section 4.2, page 90.
    """
    deviation = sqrt(new * (1 - new) + old * (1 - old))
    return _normal(new - old + margin, deviation, deviation, power)


def one_mean(difference: float, deviation: float, power: float = POWER) -> float:
    """Items so that a t-test sees a `difference` of a mean from a fixed number, in units of which the items have the
    standard `deviation`; or pairs, where both are of the paired differences. Skewed values need more.

    Source: Cohen (1988), Statistical Power Analysis, chapter 2: the noncentral t.
    """
    if difference == 0:
        return inf
    return float(TTestPower().solve_power(_effect(difference, deviation), None, TAIL, power, "larger"))


def two_means(difference: float, deviation: float, power: float = POWER) -> float:
    """Items in each of two independent arms, so that a t-test sees a `difference` of their means.

    Source: as `one_mean`; R's power.t.test.
    """
    if difference == 0:
        return inf
    return float(TTestIndPower().solve_power(_effect(difference, deviation), None, TAIL, power, 1, "larger"))


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


def _normal(difference: float, null: float, alternative: float, power: float) -> float:
    """The size at which a normal test, with these deviations of one item under no difference and under the true one,
    sees the difference."""
    if difference == 0:
        return inf
    return float(normal_sample_size_one_tail(abs(difference), power, TAIL, null, alternative))


def _deviation(share: float) -> float:
    return sqrt(share * (1 - share))


def _effect(difference: float, deviation: float) -> float:
    # The noncentral t is not stable beyond four deviations, where a handful of items is enough.
    return min(abs(difference) / deviation, 4)
