"""Times from arrival to final outcome, of which some items have none yet. An open item is not left out, which would
make the pilot look quick: it is known to have taken at least until now (it is right-censored)."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from pilot.workbench.stats import clusters, estimates
from pilot.workbench.stats.arrays import finite, flags, numbered, paired
from pilot.workbench.stats.comparisons import Comparison
from pilot.workbench.stats.estimates import exact_sum
from pilot.workbench.stats.extra import library
from pilot.workbench.stats.intervals import CONFIDENCE, Estimate, end
from pilot.workbench.stats.significance import Test

if TYPE_CHECKING:
    from pilot.workbench.stats.arrays import Floats, Groups, Numbers

KAPLAN_MEIER = "Kaplan-Meier, log-log Greenwood"
RESTRICTED = "restricted mean, Greenwood"


def quantile(times: Numbers, closed: Numbers, q: float) -> Estimate:
    """The time within which a share `q` in (0, 1) of the items has its final outcome. `times` are until that outcome
    where `closed`, else until now. An end is None where too few items are closed; without open items it is
    `estimates.quantile`.

    Source: Kaplan and Meier (1958), JASA 53:457; Brookmeyer and Crowley (1982), Biometrics 38:29, for the interval,
    with the log-log transformation; through scipy.
    """
    column, done = _checked(times, closed)
    estimates.proper(q)
    if done.all():
        return estimates.quantile(column, q)
    if not done.any():
        return Estimate(None, None, None, len(column), KAPLAN_MEIER)
    curve = library("scipy.stats").ecdf(_sample(column, done)).sf
    with library("numpy").errstate(all="ignore"):
        band = _quiet_band(curve)
    left = 1 - q + 1e-12  # so that a share that is q but for rounding is reached
    low = _first(curve.quantiles, band.low.probabilities <= left)
    high = _first(curve.quantiles, band.high.probabilities < left - 2e-12)
    return Estimate(_first(curve.quantiles, curve.probabilities <= left), low, high, len(column), KAPLAN_MEIER)


def curve(times: Numbers, closed: Numbers) -> tuple[Floats, Floats]:
    """The share of items that is finished within a time, as steps: ascending times, and the shares by then.

    Source: one less the survival of Kaplan and Meier (1958), JASA 53:457, through scipy.
    """
    column, done = _checked(times, closed)
    if not done.any():
        return column[:0], column[:0]
    found = library("scipy.stats").ecdf(_sample(column, done)).sf
    return found.quantiles, 1 - found.probabilities


def restricted_mean(times: Numbers, closed: Numbers, horizon: float, groups: Groups | None = None) -> Estimate:
    """The mean time within the first `horizon`, in the unit of the times: an item that takes longer counts with the
    horizon. It exists where items are open, when the mean does not. With `groups`, whole groups vary.

    Raises ValueError when the horizon is not above 0, or beyond the last time while items are open. Source: Klein and
    Moeschberger (2003), Survival Analysis, section 4.5, with its variance times n/(n-1) of the n closed items; the
    curve is statsmodels'. For groups, the sums of the items' influences by Ying and Wei (1994), Journal of Multivariate
    Analysis 50:17, with Student's t of the groups.
    """
    column, done = _checked(times, closed)
    if horizon <= 0:
        raise ValueError(f"the horizon must be above 0, and is {horizon}")
    if not len(column):
        return Estimate(None, None, None, 0, RESTRICTED)
    if not done.all() and horizon > column.max():
        raise ValueError(f"the horizon {horizon} is beyond the longest time, {column.max()}: nothing is known there")
    value, error = _area(column, done, horizon)
    stats, tail, method = library("scipy.stats"), (1 - CONFIDENCE) / 2, RESTRICTED
    reach = float(stats.norm.isf(tail)) * error
    if groups is not None:
        codes = numbered(groups, len(column))
        sums = clusters.totals(_influence(column, done, horizon), codes)
        many, method = len(sums), "restricted mean, linearised by groups"
        error = sqrt(exact_sum(sums**2) * many / (many - 1)) if many > 1 else 0.0
        reach = max(reach, float(stats.t.isf(tail, many - 1)) * error) if many > 1 else 0.0
    if reach <= 1e-12 * horizon:
        return Estimate(value, None, None, len(column), method)
    return Estimate(value, max(0.0, value - reach), min(horizon, value + reach), len(column), method)


def restricted_means(
    first: Numbers, first_closed: Numbers, second: Numbers, second_closed: Numbers, horizon: float
) -> Comparison:
    """The difference of the restricted means of two separate samples, first less second, in the unit of the times.

    Source: as `restricted_mean`; the variances add up.
    """
    one = restricted_mean(first, first_closed, horizon)
    other = restricted_mean(second, second_closed, horizon)
    n, method = one.n + other.n, f"difference of {RESTRICTED}"
    if one.value is None or other.value is None:
        return Comparison(None, None, None, None, n, method)
    difference = one.value - other.value
    errors = [_area(*_checked(*arm), horizon)[1] for arm in ((first, first_closed), (second, second_closed))]
    error = sqrt(errors[0] ** 2 + errors[1] ** 2)
    if error == 0:
        return Comparison(difference, None, None, None, n, method)
    normal = library("scipy.stats").norm
    reach = float(normal.isf((1 - CONFIDENCE) / 2)) * error
    p = float(2 * normal.sf(abs(difference) / error))
    return Comparison(difference, difference - reach, difference + reach, p, n, method)


def log_rank(first: Numbers, first_closed: Numbers, second: Numbers, second_closed: Numbers) -> Test:
    """Whether two separate samples take equally long. The statistic is standard normal, and above 0 where the first is
    quicker.

    Source: Mantel (1966), Cancer Chemotherapy Reports 50:163, through scipy.
    """
    one, one_done = _checked(first, first_closed)
    other, other_done = _checked(second, second_closed)
    n, method = len(one) + len(other), "log-rank"
    if not len(one) or not len(other) or not (one_done.any() or other_done.any()):
        return Test(None, None, n, method)
    with library("numpy").errstate(all="ignore"):
        found = library("scipy.stats").logrank(_sample(one, one_done), _sample(other, other_done))
    return Test(end(found.statistic), end(found.pvalue), n, method)


def _influence(column: Floats, done: Any, horizon: float) -> Floats:
    """How much each item moves the area under the curve. Without open items, its distance from the mean over n."""
    numpy = library("numpy")
    curve = library("statsmodels.duration.survfunc").SurvfuncRight(column, done.astype(int))
    inside = curve.surv_times < horizon
    times, heights = curve.surv_times[inside], curve.surv_prob[inside]
    steps = heights * numpy.diff(numpy.concatenate([times, [horizon]]))
    after = numpy.cumsum(steps[::-1])[::-1]
    at_risk, events = curve.n_risk[inside], curve.n_events[inside]
    # Left over at risk, or an event of its own: the last one has nothing after it.
    left = numpy.maximum(at_risk - events, 1)
    hazard = numpy.concatenate([[0.0], numpy.cumsum(after * events / (at_risk * left))])
    jump = numpy.concatenate([after / left, [0.0]])
    place = numpy.searchsorted(times, column, side="right")
    own = numpy.searchsorted(times, column, side="left")
    ended = done & (own < len(times)) & (place > own)
    found: Floats = hazard[place] - numpy.where(ended, jump[own], 0.0)
    return found


def _checked(times: Numbers, closed: Numbers) -> tuple[Floats, Any]:
    column, done = finite("times", times), flags("closed", closed).astype(bool)
    paired("times", column, "closed", done)
    if (column < 0).any():
        raise ValueError("times must not be negative: an outcome stands before its item's arrival")
    return column, done


def _sample(column: Floats, done: Any) -> Any:
    return library("scipy.stats").CensoredData(uncensored=column[done], right=column[~done])


def _quiet_band(curve: Any) -> Any:
    with catch_warnings():
        # Its ends are no numbers where nothing is open any more; they then bound nothing.
        simplefilter("ignore")
        return curve.confidence_interval(CONFIDENCE, method="log-log")


def _first(times: Floats, reached: Any) -> float | None:
    found = library("numpy").flatnonzero(reached)
    return float(times[found[0]]) if len(found) else None


def _area(column: Floats, done: Any, horizon: float) -> tuple[float, float]:
    """The area under the Kaplan-Meier curve up to the horizon, and its standard error."""
    numpy = library("numpy")
    curve = library("statsmodels.duration.survfunc").SurvfuncRight(column, done.astype(int))
    inside = curve.surv_times < horizon
    heights = numpy.concatenate([[1.0], curve.surv_prob[inside]])
    areas = heights * numpy.diff(numpy.concatenate([[0.0], curve.surv_times[inside], [horizon]]))
    after = numpy.cumsum(areas[::-1])[::-1][1:]  # the area from each time on
    at_risk, events = curve.n_risk[inside], curve.n_events[inside]
    remaining = numpy.maximum(at_risk - events, 1)  # where none remain, the area after is 0
    variance = (after**2 * events / (at_risk * remaining)).sum()
    n = int(done.sum())
    return float(areas.sum()), float(numpy.sqrt(variance * n / (n - 1))) if n > 1 else 0.0
