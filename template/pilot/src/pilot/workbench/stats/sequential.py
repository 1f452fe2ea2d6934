"""The always-valid 95 % interval of a share: with 95 % probability none of the intervals of a whole pilot misses the
truth, however often and whenever it is looked at. For charters that ask for a verdict before the decision date; it is
wider than that of one look. Of a mean of skewed values there is none that holds, so none is offered."""

from __future__ import annotations

from math import log, log1p

from scipy import optimize, special

from pilot.workbench.stats.data import CONFIDENCE, Estimate

BETA_BINOMIAL = "always valid: Robbins' beta-binomial mixture"


def share(successes: int, trials: int) -> Estimate:
    """A share, in [0, 1], valid at every number of items: all p with B(1+k, 1+n-k) / (p^k (1-p)^(n-k)) below 1/alpha.

    Source: Robbins (1970), Annals of Mathematical Statistics 41:1397, section 3: the mixture of the likelihood ratio
    over a uniform share, with Ville's inequality.
    """
    if trials == 0:
        return Estimate(None, None, None, 0, BETA_BINOMIAL)
    low, high = _lowest(successes, trials), 1 - _lowest(trials - successes, trials)
    return Estimate(successes / trials, low, high, trials, BETA_BINOMIAL)


def _lowest(successes: int, trials: int) -> float:
    """The smallest share that the mixture does not exclude."""
    if successes == 0:
        return 0.0
    constant = float(special.betaln(1 + successes, 1 + trials - successes)) + log(1 - CONFIDENCE)
    failures = trials - successes

    def excess(share: float) -> float:
        return constant - successes * log(share) - (failures * log1p(-share) if failures else 0.0)

    return float(optimize.brentq(excess, 1e-300, successes / trials, xtol=1e-15))
