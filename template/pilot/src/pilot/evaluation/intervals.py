"""95 % intervals of one sample. Each is (low, high); an end is None where the values do not bound it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from pilot.evaluation.extra import library

CONFIDENCE = 0.95
Interval = tuple[float | None, float | None]

# Below so many values BCa covers too little, and above so many the t-interval is as good and much quicker.
_BCA = range(30, 5001)
_RESAMPLES = 9_999
_SEED = 20_261_123


def wilson(successes: int, trials: int) -> Interval:
    """Of a share, in [0, 1]. Without trials both ends are None.

    Source: Wilson (1927), JASA 22:209, through scipy. Needs the extra `evaluation`.
    """
    if trials == 0:
        return None, None
    test = library("scipy.stats").binomtest
    found = test(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def quantile(values: Sequence[float], q: float) -> Interval:
    """Of the quantile `q` in (0, 1), in the unit of the values, from two of them: it supposes nothing about their
    distribution. Few values leave an end open.

    Source: Conover (1999), Practical Nonparametric Statistics, section 3.2, through scipy. Needs the extra
    `evaluation`.
    """
    if not values:
        return None, None
    test = library("scipy.stats").quantile_test
    found = test(values, q=values[0], p=q).confidence_interval(CONFIDENCE)
    return _end(found.low), _end(found.high)


def mean(values: Sequence[float]) -> Interval:
    """Of the mean, in the unit of the values: a BCa bootstrap of 9,999 resamples with a fixed seed from 30 values on, a
    t-interval for fewer, and for more than 5,000. Values that are one, or all the same, bound nothing.

    Source: Efron (1987), JASA 82:171; Student (1908), Biometrika 6:1; both through scipy. Needs the extra `evaluation`.
    """
    if len(set(values)) < 2:
        return None, None
    numpy, stats = library("numpy"), library("scipy.stats")
    array = numpy.sort(numpy.asarray(values, dtype=float))  # so that the order of the rows changes nothing
    if len(array) in _BCA:
        found = stats.bootstrap(
            (array,),
            numpy.mean,
            method="BCa",
            confidence_level=CONFIDENCE,
            n_resamples=_RESAMPLES,
            batch=max(1, 2_000_000 // len(array)),
            rng=_SEED,
        ).confidence_interval
        if isfinite(found.low) and isfinite(found.high):
            return float(found.low), float(found.high)
    error = stats.sem(array)
    if error == 0:  # values so close that their differences are lost in rounding
        return None, None
    low, high = stats.t.interval(CONFIDENCE, len(array) - 1, loc=array.mean(), scale=error)
    return float(low), float(high)


def _end(value: float) -> float | None:
    return float(value) if isfinite(value) else None
