"""The difference of two shares of the same items, from the items in which they differ: no library has its interval."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from pilot.workbench.stats.extra import library
from pilot.workbench.stats.intervals import CONFIDENCE


def interval(first_only: float, second_only: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The score interval of (`first_only` - `second_only`) / `n`, in [-1, 1]: of `n` pairs, so many are right in the
    first alone and in the second alone. The numbers need not be whole. Swapping the two mirrors it exactly.

    Source: Tango (1998), Statistics in Medicine 17:891: the two roots of the score statistic, his equation for the
    score with the estimate of the nuisance share that maximises the likelihood at a fixed difference.
    """
    if n <= 0 or min(first_only, second_only) < 0 or first_only + second_only > n * (1 + 1e-12):
        raise ValueError(f"{first_only} and {second_only} discordant pairs of {n} are no numbers of pairs")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return -_upper(second_only, first_only, n, z), _upper(first_only, second_only, n, z)


def score(first_only: float, second_only: float, n: float, difference: float) -> float:
    """The statistic that is standard normal where the true difference is `difference`, in (-1, 1)."""
    variance = n * (2 * _nuisance(first_only, second_only, n, difference) + difference * (1 - difference))
    excess = first_only - second_only - n * difference
    return excess / sqrt(variance) if variance > 0 else 0.0


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
    if outside(begin) >= 0:
        return found
    return float(library("scipy.optimize").brentq(outside, begin, 1.0, xtol=1e-14))


def _nuisance(first_only: float, second_only: float, n: float, difference: float) -> float:
    """The most likely share of pairs that are right in the second alone, at this difference."""
    half = (first_only + second_only - (2 * n - first_only + second_only) * difference) / 2
    product = 2 * n * second_only * difference * (1 - difference)
    return max(0.0, (sqrt(max(0.0, half**2 + product)) + half) / (2 * n))
