"""Always-valid 95 % intervals: with 95 % probability none of the intervals of a whole pilot misses the truth, however
often and whenever it is looked at. For charters that ask for a verdict before the decision date; they are wider than
those of one look."""

from __future__ import annotations

from math import fsum, log, log1p, sqrt

from scipy import optimize, special

from pilot.workbench.stats.data import CONFIDENCE, Column, Estimate, floats

# The mean's sequence takes the variance from the values, so it begins when there are some.
FEWEST = 30
BETA_BINOMIAL = "always valid: Robbins' beta-binomial mixture"
NORMAL = "always valid: normal mixture with the estimated variance"


def share(successes: int, trials: int) -> Estimate:
    """A share, in [0, 1], valid at every number of items: all p with B(1+k, 1+n-k) / (p^k (1-p)^(n-k)) below 1/alpha.

    Source: Robbins (1970), Annals of Mathematical Statistics 41:1397, section 3: the mixture of the likelihood ratio
    over a uniform share, with Ville's inequality.
    """
    if trials == 0:
        return Estimate(None, None, None, 0, BETA_BINOMIAL)
    low, high = _lowest(successes, trials), 1 - _lowest(trials - successes, trials)
    return Estimate(successes / trials, low, high, trials, BETA_BINOMIAL)


def mean(values: Column, planned: int) -> Estimate:
    """The mean in the unit of the values, narrowest at the `planned` number of items, which is 1 or more. The ends are
    open below 30 values, and where all are the same.

    The variance is estimated, so it is valid for many values and not for very skewed few ones. Source: Howard, Ramdas,
    McAuliffe and Sekhon (2021), Annals of Statistics 49:1055, equation 14, tuned by their equation 21, and Robbins
    (1970); with the sample's variance as in Waudby-Smith et al. (2024), Annals of Statistics 52:2613.
    """
    column = floats(values)
    n = len(column)
    value = fsum(column) / n if n else None
    if n < FEWEST or value is None:
        return Estimate(value, None, None, n, NORMAL)
    deviation = sqrt(fsum((column - value) ** 2) / (n - 1))
    if column.min() == column.max() or deviation == 0:
        return Estimate(value, None, None, n, NORMAL)
    radius = deviation * boundary(n, planned) / n
    return Estimate(value, value - radius, value + radius, n, NORMAL)


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
    constant = float(special.betaln(1 + successes, 1 + trials - successes)) + log(1 - CONFIDENCE)
    failures = trials - successes

    def excess(share: float) -> float:
        return constant - successes * log(share) - (failures * log1p(-share) if failures else 0.0)

    return float(optimize.brentq(excess, 1e-300, successes / trials, xtol=1e-15))
