"""Two arms against each other: on the same items (paired), or on different ones (independent). A difference is always
the first arm less the second; swapping the arms mirrors its interval exactly."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from pilot.workbench.stats import clusters, intervals, tango
from pilot.workbench.stats.arrays import finite, flags, numbered, orientation, paired
from pilot.workbench.stats.estimates import average, exact_sum
from pilot.workbench.stats.extra import library
from pilot.workbench.stats.intervals import BCA, BOOTSTRAP, CONFIDENCE, NO_INTERVAL, mirrored
from pilot.workbench.stats.significance import mcnemar

if TYPE_CHECKING:
    from pilot.workbench.stats.arrays import Floats, Groups, Integers, Numbers


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
class RateRatio:
    """A `ratio` of two rates, first over second, with its 95 % interval and the p of equal rates; `n` events."""

    ratio: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    method: str


def paired_shares(first: Numbers, second: Numbers, groups: Groups | None = None) -> Comparison:
    """The shares of two answers that are right, on the same items: Tango's interval with the exact McNemar test. With
    `groups`, both are of the effective number of items, and the test is the score test.

    Source: Tango (1998), Statistics in Medicine 17:891; McNemar (1947); `clusters.effective_size` for groups.
    """
    one, other = flags("first", first), flags("second", second)
    paired("first", one, "second", other)
    n = len(one)
    first_only, second_only = int((one > other).sum()), int((one < other).sum())
    if n == 0:
        return Comparison(None, None, None, None, 0, "Tango score, exact McNemar")
    difference = (first_only - second_only) / n
    if groups is None:
        low, high = tango.interval(first_only, second_only, n)
        test = mcnemar(first_only, second_only)
        return Comparison(difference, low, high, test.p, n, "Tango score, exact McNemar")
    size = clusters.effective_size(one - other, numbered(groups, n), parts=(one > other, one < other))
    scale = size.n / n
    low, high = tango.interval(first_only * scale, second_only * scale, size.n)
    p = _two_sided(tango.score(first_only * scale, second_only * scale, size.n, 0.0))
    return Comparison(difference, low, high, p, n, f"Tango score of an effective n of {size.n:.4g}, {size.method}")


def independent_shares(first: Numbers, second: Numbers) -> Comparison:
    """The shares of two separate samples: Newcombe's hybrid score interval, and Pearson's chi-squared test.

    Source: Newcombe (1998), Statistics in Medicine 17:873, method 10, through statsmodels.
    """
    one, other = flags("first", first), flags("second", second)
    return independent_counts(int(one.sum()), len(one), int(other.sum()), len(other))


def independent_counts(successes: int, trials: int, other_successes: int, other_trials: int) -> Comparison:
    """As `independent_shares`, from the counts."""
    n, method = trials + other_trials, "Newcombe hybrid score, Pearson's chi-squared"
    if trials == 0 or other_trials == 0:
        return Comparison(None, None, None, None, n, method)
    confint = library("statsmodels.stats.proportion").confint_proportions_2indep
    low, high = confint(
        successes, trials, other_successes, other_trials, method="newcomb", compare="diff", alpha=1 - CONFIDENCE
    )
    p = 1.0
    if 0 < successes + other_successes < n:
        table = [[successes, trials - successes], [other_successes, other_trials - other_successes]]
        p = float(library("scipy.stats").chi2_contingency(table, correction=False).pvalue)
    difference = successes / trials - other_successes / other_trials
    return Comparison(difference, max(-1.0, float(low)), min(1.0, float(high)), p, n, method)


def paired_means(first: Numbers, second: Numbers, groups: Groups | None = None) -> Comparison:
    """The mean of the paired differences, in their unit: BCa bootstrap from 30 to 5,000 pairs (or groups), else
    Student's t; p is Student's.

    Source: as `intervals.mean`, or `clusters.mean` with groups.
    """
    one, other = paired("first", first, "second", second)
    differences = one - other
    if groups is None:
        interval, method = intervals.mean_by(differences)
        p = _student(differences)
    else:
        codes = numbered(groups, len(differences))
        interval, method = clusters.mean_by(differences, codes)
        p = _student_of_groups(differences, codes)
    return Comparison(average(differences), *interval, p, len(differences), _with_test(method))


def independent_means(first: Numbers, second: Numbers) -> Comparison:
    """The difference of the means of two separate samples, in their unit: BCa bootstrap where each has from 30 to 5,000
    items, else Welch's t; p is Welch's.

    Source: Efron (1987), JASA 82:171; Welch (1947), Biometrika 34:28; both through scipy.
    """
    numpy, stats = library("numpy"), library("scipy.stats")
    one, other = numpy.sort(finite("first", first)), numpy.sort(finite("second", second))
    n = len(one) + len(other)
    means = average(one), average(other)
    difference = None if means[0] is None or means[1] is None else means[0] - means[1]
    if min(len(one), len(other)) < 2 or (one[0] == one[-1] and other[0] == other[-1]):
        return Comparison(difference, None, None, None, n, NO_INTERVAL)
    side = 1 if len(one) > len(other) else -1
    if len(one) == len(other):
        side = orientation(one, other)
    samples = (other, one) if side < 0 else (one, other)
    with catch_warnings():
        simplefilter("ignore")  # one arm may be all the same, and the other is then what varies
        welch = stats.ttest_ind(*samples, equal_var=False)
    p = float(welch.pvalue)
    if len(one) in BCA and len(other) in BCA:
        interval = mirrored(intervals.bootstrap(samples, _gap), side)
        return Comparison(difference, *interval, p, n, f"{BOOTSTRAP}; p: Welch's t")
    low, high = welch.confidence_interval(CONFIDENCE)
    return Comparison(difference, *mirrored((float(low), float(high)), side), p, n, "Welch's t")


def rates(events: int, exposure: float, other_events: int, other_exposure: float) -> RateRatio:
    """The ratio of two rates of events, such as incidents by thousand items: the score interval, which is Wilson's of
    the first arm's share of all events, and the score test. Its ends and value are None where they are infinite.

    Source: Graham, Mayengbam and Gupta (2003), Statistics in Medicine 22:2071, the score method; equal to
    statsmodels' `confint_poisson_2indep(method="score")`, which fails where an arm has no events.
    """
    if min(events, other_events) < 0 or exposure <= 0 or other_exposure <= 0:
        raise ValueError("events must not be negative, and exposures must be above 0")
    n, method = events + other_events, "score of two Poisson rates"
    if n == 0:
        return RateRatio(None, None, None, None, 0, method)

    def ratio(share: float) -> float | None:
        return share / (1 - share) * other_exposure / exposure if share < 1 else None

    low, high = intervals.wilson(events, n)
    expected = exposure / (exposure + other_exposure)
    p = _two_sided((events - n * expected) / sqrt(n * expected * (1 - expected)))
    ends = (ratio(low or 0.0), ratio(1.0 if high is None else high))
    return RateRatio(ratio(events / n), *ends, p, n, method)


def non_inferior(comparison: Comparison, margin: float, direction: str) -> bool:
    """Whether the first arm proves not to be worse than the second by `margin`, in the unit of the difference, where
    more is better for direction `up` and less for `down`: the interval's worse end lies inside the margin. An open end
    proves nothing."""
    if margin < 0:
        raise ValueError("the margin must not be negative")
    if direction not in ("up", "down"):
        raise ValueError(f"the direction is up or down, and not {direction}")
    worse = comparison.low if direction == "up" else comparison.high
    return worse is not None and (worse > -margin if direction == "up" else worse < margin)


def _student(differences: Floats) -> float | None:
    if len(differences) < 2:
        return None
    ordered = library("numpy").sort(differences)
    if ordered[0] == ordered[-1]:
        return 1.0 if ordered[0] == 0 else None
    return float(library("scipy.stats").ttest_1samp(ordered, 0.0).pvalue)


def _student_of_groups(differences: Floats, codes: Integers) -> float | None:
    """The t-test of the mean with the linearised variance between groups."""
    sums, counts = clusters.totals(differences, codes), clusters.sizes(codes)
    if len(counts) < 2:
        return None
    value = exact_sum(sums) / len(differences)
    error = sqrt(exact_sum((sums - value * counts) ** 2) * len(counts) / (len(counts) - 1)) / len(differences)
    if error == 0:
        return 1.0 if value == 0 else None
    return float(2 * library("scipy.stats").t.sf(abs(value) / error, len(counts) - 1))


def _two_sided(z: float) -> float:
    return float(2 * library("scipy.stats").norm.sf(abs(z)))


def _with_test(method: str) -> str:
    return f"{method}; p: Student's t" if method.startswith(BOOTSTRAP) else method


def _gap(one: Any, other: Any, axis: int) -> Any:
    return one.mean(axis=axis) - other.mean(axis=axis)
