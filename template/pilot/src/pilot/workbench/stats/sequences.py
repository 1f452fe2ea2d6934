"""Always-valid 95 % intervals: with 95 % probability none of the intervals of a whole pilot misses the truth, however
often and whenever it is looked at. For charters that ask for a verdict before the decision date; they are wider than
those of one look."""

from __future__ import annotations

from math import log, log1p, sqrt
from typing import TYPE_CHECKING

from pilot.workbench.stats.arrays import finite, flags, paired
from pilot.workbench.stats.estimates import average, exact_sum
from pilot.workbench.stats.extra import library
from pilot.workbench.stats.intervals import CONFIDENCE, Estimate

if TYPE_CHECKING:
    from pilot.workbench.stats.arrays import Numbers

# The mean's sequence takes the variance from the values, so it begins when there are some.
FEWEST = 30
BETA_BINOMIAL = "always valid: Robbins' beta-binomial mixture"
NORMAL = "always valid: normal mixture with the estimated variance"


def share(successes: Numbers) -> Estimate:
    """The share of items that are true (or 1), in [0, 1], valid at every number of items.

    Source: as `share_of_counts`.
    """
    column = flags("successes", successes)
    return share_of_counts(int(column.sum()), len(column))


def share_of_counts(successes: int, trials: int) -> Estimate:
    """As `share`, from the counts: all p with B(1+k, 1+n-k) / (p^k (1-p)^(n-k)) below 1/alpha.

    Source: Robbins (1970), Annals of Mathematical Statistics 41:1397, section 3: the mixture of the likelihood ratio
    over a uniform share, with Ville's inequality.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no share")
    if trials == 0:
        return Estimate(None, None, None, 0, BETA_BINOMIAL)
    low, high = _lowest(successes, trials), 1 - _lowest(trials - successes, trials)
    return Estimate(successes / trials, low, high, trials, BETA_BINOMIAL)


def mean(values: Numbers, planned: int) -> Estimate:
    """The mean in the unit of the values, narrowest at the `planned` number of items. For a paired difference give the
    differences. From 30 values on that are not all the same; before that both ends are open.

    The variance is estimated, so it is valid for many values and not for very skewed few ones. Source: Howard, Ramdas,
    McAuliffe and Sekhon (2021), Annals of Statistics 49:1055, equation 14, tuned by their equation 21, and Robbins
    (1970); with the sample's variance as in Waudby-Smith et al. (2024), Annals of Statistics 52:2613.
    """
    column = finite("values", values)
    if planned < 1:
        raise ValueError("planned must be at least 1 item")
    n, value = len(column), average(column)
    if n < FEWEST or value is None:
        return Estimate(value, None, None, n, NORMAL)
    deviation = sqrt(exact_sum((column - value) ** 2) / (n - 1))
    if column.min() == column.max() or deviation == 0:
        return Estimate(value, None, None, n, NORMAL)
    radius = deviation * boundary(n, planned) / n
    return Estimate(value, value - radius, value + radius, n, NORMAL)


def paired_difference(first: Numbers, second: Numbers, planned: int) -> Estimate:
    """The mean of `first` - `second` on the same items, in their unit, or of two shares, given as 0 and 1.

    Source: as `mean`.
    """
    one, other = paired("first", first, "second", second)
    return mean(one - other, planned)


def boundary(n: float, planned: float) -> float:
    """What the sum of `n` values with mean 0 and variance 1 stays below at all times, on both sides, with 95 %
    probability; tightest at `planned`.

    sqrt((v + r) ln((v + r) / (a^2 r))), with r = planned / (2 ln(1/a) + ln(1 + 2 ln(1/a))). Source: as `mean`.
    """
    alpha = 1 - CONFIDENCE
    doubled = 2 * log(1 / alpha)
    rho = planned / (doubled + log1p(doubled))
    return sqrt((n + rho) * (log((n + rho) / rho) + doubled))


def _lowest(successes: int, trials: int) -> float:
    """The smallest share that the mixture does not exclude."""
    if successes == 0:
        return 0.0
    constant = float(library("scipy.special").betaln(1 + successes, 1 + trials - successes)) + log(1 - CONFIDENCE)
    failures = trials - successes

    def excess(share: float) -> float:
        return constant - successes * log(share) - (failures * log1p(-share) if failures else 0.0)

    return float(library("scipy.optimize").brentq(excess, 1e-300, successes / trials, xtol=1e-15))
