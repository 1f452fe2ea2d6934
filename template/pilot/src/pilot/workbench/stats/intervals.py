"""95 % intervals of one sample. Each is (low, high); an end is None where the values do not bound it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from pilot.workbench.stats.arrays import finite, orientation, paired
from pilot.workbench.stats.extra import library

if TYPE_CHECKING:
    from pilot.workbench.stats.arrays import Floats, Numbers

CONFIDENCE = 0.95
Interval = tuple[float | None, float | None]

# Below so many values BCa covers too little, and above so many the t-interval is as good and much quicker.
BCA = range(30, 5001)
RESAMPLES = 9_999
BOOTSTRAP = f"BCa bootstrap, {RESAMPLES:,} resamples"
STUDENT = "Student's t"
NO_INTERVAL = "no interval: fewer than two different values"
_SEED = 20_261_123


@dataclass(frozen=True)
class Estimate:
    """A figure, with the ends of its 95 % interval, of `n` items, by a `method` in plain words. The value is None where
    there are no items, and an end where they do not bound it."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str

    @property
    def interval(self) -> Interval:
        """Both ends."""
        return self.low, self.high


def wilson(successes: int, trials: int) -> Interval:
    """Of a share, in [0, 1]. Without trials both ends are None.

    Source: Wilson (1927), JASA 22:209, through scipy. Needs the extra `evaluation`.
    """
    if trials == 0:
        return None, None
    test = library("scipy.stats").binomtest
    found = test(int(successes), int(trials)).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def wilson_of_effective(share: float, n: float) -> Interval:
    """As `wilson`, of a share whose items carry as much as `n` independent ones, which need not be a whole number.

    Source: Korn and Graubard (1998), Survey Methodology 24:193, with Wilson's interval, through statsmodels.
    """
    if n <= 0:
        return None, None
    confint = library("statsmodels.stats.proportion").proportion_confint
    low, high = confint(share * n, n, alpha=1 - CONFIDENCE, method="wilson")
    return (0.0 if share <= 0 else float(max(0.0, low))), (1.0 if share >= 1 else float(min(1.0, high)))


def quantile(values: Numbers, q: float) -> Interval:
    """Of the quantile `q` in (0, 1), in the unit of the values, from two of them: it supposes nothing about their
    distribution. Few values leave an end open.

    Source: Conover (1999), Practical Nonparametric Statistics, section 3.2, through scipy. Needs the extra
    `evaluation`.
    """
    column = finite("values", values)
    if not len(column):
        return None, None
    test = library("scipy.stats").quantile_test
    found = test(column, q=column[0], p=q).confidence_interval(CONFIDENCE)
    return end(found.low), end(found.high)


def mean(values: Numbers) -> Interval:
    """Of the mean, in the unit of the values: a BCa bootstrap of 9,999 resamples with a fixed seed from 30 values on, a
    t-interval for fewer, and for more than 5,000. Values that are one, or all the same, bound nothing.

    Source: Efron (1987), JASA 82:171; Student (1908), Biometrika 6:1; both through scipy. Needs the extra `evaluation`.
    """
    return mean_by(values)[0]


def mean_by(values: Numbers) -> tuple[Interval, str]:
    """As `mean`, and the method that was used. Values of the other sign have the mirror image of it."""
    numpy, stats = library("numpy"), library("scipy.stats")
    column = numpy.sort(finite("values", values))  # so that the order of the rows changes nothing
    if not len(column) or column[0] == column[-1]:
        return (None, None), NO_INTERVAL
    turned = -column[::-1]
    side = orientation(column, turned)
    column = turned if side < 0 else column
    if len(column) in BCA:
        low, high = bootstrap((column,), numpy.mean)
        if low is not None and high is not None:
            return mirrored((low, high), side), BOOTSTRAP
    error = stats.sem(column)
    if not error > 0:  # values so close that their differences are lost in rounding
        return (None, None), NO_INTERVAL
    low, high = stats.t.interval(CONFIDENCE, len(column) - 1, loc=column.mean(), scale=error)
    return mirrored((float(low), float(high)), side), STUDENT


def ratio_by(numerators: Numbers, denominators: Numbers) -> tuple[Interval, str]:
    """Of the sum of the numerators over the sum of the denominators, of the same items, and the method that was used: a
    BCa bootstrap that resamples the items, from 30 to 5,000 of them, else a t-interval of the linearised ratio. The
    upper end is None where resamples often have denominators of zero.

    Raises ValueError when a denominator is negative. Source: Efron (1987), JASA 82:171, through scipy; Cochran (1977),
    Sampling Techniques, section 2.11, theorem 2.5.
    """
    numpy, stats = library("numpy"), library("scipy.stats")
    top, bottom = _oriented(*paired("numerators", numerators, "denominators", denominators))
    if (bottom < 0).any():
        raise ValueError("denominators must not be negative")
    total = bottom.sum()
    if len(top) < 2 or not total > 0:
        return (None, None), NO_INTERVAL
    turned, _ = _oriented(-top, bottom)
    side = orientation(top, turned)
    top = turned if side < 0 else top
    value = top.sum() / total
    error = numpy.sqrt(((top - value * bottom) ** 2).sum() * len(top) / (len(top) - 1)) / total
    if not error > 1e-12 * abs(value):
        return (None, None), NO_INTERVAL
    if len(top) in BCA:
        return mirrored(bootstrap((top, bottom), _ratio, paired=True), side), BOOTSTRAP
    low, high = stats.t.interval(CONFIDENCE, len(top) - 1, loc=value, scale=error)
    return mirrored((float(low), float(high)), side), f"{STUDENT} of the linearised ratio"


def bootstrap(samples: tuple[Floats, ...], statistic: Any, paired: bool = False, method: str = "BCa") -> Interval:
    """Of any `statistic(*samples, axis=)`, by scipy's bootstrap of 9,999 resamples with a fixed seed. Where BCa does
    not exist it is the percentile interval."""
    numpy, stats = library("numpy"), library("scipy.stats")
    with numpy.errstate(all="ignore"), catch_warnings():
        simplefilter("ignore")  # a BCa that does not exist is seen by its ends
        found = stats.bootstrap(
            samples,
            statistic,
            paired=paired,
            method=method,
            confidence_level=CONFIDENCE,
            n_resamples=RESAMPLES,
            batch=max(1, 1_000_000 // sum(len(sample) for sample in samples)),
            rng=_SEED,
        )
        low, high = found.confidence_interval
        if numpy.isnan(low) or numpy.isnan(high):
            tail = (1 - CONFIDENCE) / 2
            low, high = numpy.quantile(found.bootstrap_distribution, [tail, 1 - tail], method="inverted_cdf")
    return end(low), end(high)


def standard_error(samples: tuple[Floats, ...], statistic: Any) -> float:
    """The standard deviation of the statistic over 9,999 resamples of its items."""
    found = library("scipy.stats").bootstrap(
        samples,
        statistic,
        paired=True,
        method="percentile",
        n_resamples=RESAMPLES,
        batch=max(1, 1_000_000 // sum(len(sample) for sample in samples)),
        rng=_SEED,
    )
    return float(found.standard_error)


def mirrored(interval: Interval, side: int) -> Interval:
    """The interval for side 1, its mirror image for -1, and for 0, a sample that is its own mirror image, an interval
    that is so too."""
    low, high = interval
    if side > 0:
        return interval
    if side < 0:
        return None if high is None else -high, None if low is None else -low
    if low is None or high is None:
        return None, None
    return (low - high) / 2, (high - low) / 2


def end(value: float) -> float | None:
    """One end; None where it is infinite or no number."""
    return float(value) if isfinite(value) else None


def _oriented(top: Floats, bottom: Floats) -> tuple[Floats, Floats]:
    order = library("numpy").lexsort((top, bottom))
    return top[order], bottom[order]


def _ratio(top: Floats, bottom: Floats, axis: int) -> Any:
    numpy = library("numpy")
    tops, bottoms = top.sum(axis=axis), bottom.sum(axis=axis)
    with numpy.errstate(all="ignore"):
        return numpy.where(bottoms > 0, tops / bottoms, numpy.inf)
