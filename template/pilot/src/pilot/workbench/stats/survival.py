"""Times from arrival to final outcome, of which some items have none yet. An open item is not left out, which would
make the pilot look quick: it is known to have taken at least until now (it is right-censored)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight

from pilot.workbench.stats.data import TAIL, Column, Estimate, Floats, Groups, floats
from pilot.workbench.stats.estimates import mean

RESTRICTED = "mean under the Kaplan-Meier curve"


def curve(times: Column, closed: Column) -> tuple[Floats, Floats]:
    """The share of items that is finished within a time, as steps: ascending times, and the shares by then.

    Source: one less the survival of Kaplan and Meier (1958), JASA 53:457, through scipy.
    """
    column, done = floats(times), np.asarray(closed, dtype=bool)
    if not done.any():
        return column[:0], column[:0]
    found = stats.ecdf(stats.CensoredData(uncensored=column[done], right=column[~done])).sf
    return found.quantiles, 1 - found.probabilities


def restricted_mean(
    times: Column, closed: Column, horizon: float, groups: Groups | None = None, tail: float = TAIL
) -> Estimate:
    """The mean time within the first `horizon`, in the unit of the times: an item that takes longer counts with the
    horizon. It exists where items are open, when the mean does not; where the longest time is that of a closed item, it
    is the mean. With `groups`, whole groups vary. `tail` is the chance that an end may miss.

    Raises ValueError when the horizon is beyond the last time while items are open. Source: Klein and
    Moeschberger (2003), Survival Analysis, section 4.5; the curve is statsmodels'. The interval is that of
    `estimates.mean`, of the influences of the items: Ying and Wei (1994), Journal of Multivariate Analysis 50:17.
    """
    column, done = floats(times), np.asarray(closed, dtype=bool)
    if not len(column):
        return Estimate(None, None, None, 0, RESTRICTED)
    if not done.all() and horizon > column.max():
        raise ValueError(f"the horizon {horizon} is beyond the longest time, {column.max()}: nothing is known there")
    value = _area(column, done, horizon)
    found = mean(value + len(column) * _influence(column, done, horizon), groups, tail)
    low, high = found.interval
    if low is not None and high is not None:
        low, high = max(0.0, low), min(horizon, high)
    return replace(found, value=value, low=low, high=high, method=f"{RESTRICTED}, {found.method}")


def _influence(column: Floats, done: Any, horizon: float) -> Floats:
    """How much each item moves the area under the curve. Without open items, its distance from the mean over n."""
    curve = SurvfuncRight(column, done.astype(int))
    inside = curve.surv_times < horizon
    times, heights = curve.surv_times[inside], curve.surv_prob[inside]
    steps = heights * np.diff(np.concatenate([times, [horizon]]))
    after = np.cumsum(steps[::-1])[::-1]
    at_risk, events = curve.n_risk[inside], curve.n_events[inside]
    # Left over at risk, or an event of its own: the last one has nothing after it.
    left = np.maximum(at_risk - events, 1)
    hazard = np.concatenate([[0.0], np.cumsum(after * events / (at_risk * left))])
    jump = np.concatenate([after / left, [0.0]])
    place = np.searchsorted(times, column, side="right")
    own = np.searchsorted(times, column, side="left")
    ended = done & (own < len(times)) & (place > own)
    found: Floats = hazard[place] - np.where(ended, jump[own], 0.0)
    return found


def _area(column: Floats, done: Any, horizon: float) -> float:
    """The area under the Kaplan-Meier curve up to the horizon."""
    curve = SurvfuncRight(column, done.astype(int))
    inside = curve.surv_times < horizon
    heights = np.concatenate([[1.0], curve.surv_prob[inside]])
    return float((heights * np.diff(np.concatenate([[0.0], curve.surv_times[inside], [horizon]]))).sum())
