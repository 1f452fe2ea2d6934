"""One metric of the pilot in one figure: the interval that may decide on a target, and the naive one beside it."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import Any

import numpy as np

from pilot.metrics import HOUR, share
from pilot.workbench import metrics
from pilot.workbench.columns import UNKNOWN, Codes, Columns, Flags
from pilot.workbench.metrics import Sample
from pilot.workbench.stats import estimates, missing, sequential, survival
from pilot.workbench.stats.data import Estimate, Floats

NO_SEQUENCE = "no always-valid interval: it is for items that are independent, all judged, and closed"


@dataclass(frozen=True)
class Figure:
    """A metric over `items`, of which `known` have a value. `estimate` is corrected for those that have none, or
    bounded by them, and may decide; `naive` takes the known ones for all. `corrected` says whether that makes a
    difference. `bounds` are the values of the metric if all items without one were as bad as can be, and as good; for a
    mean, as the least and the greatest known. Where open items are censored, `horizon` is where their mean ends.
    `groups` is how many groups the items come in, and `design_effect` what that costs; None without groups."""

    metric: str
    items: int
    known: int
    estimate: Estimate
    naive: Estimate
    corrected: bool
    bounds: tuple[float, float] | None = None
    horizon: float | None = None
    design_effect: float | None = None
    groups: int | None = None

    @property
    def coverage(self) -> float | None:
        """The share of the items whose value is known."""
        return share(self.known, self.items)


def figure(
    columns: Columns, metric: str, *, until: float, cost_of_hour: float | None = None, planned: int | None = None
) -> Figure:
    """The metric of these items at the moment `until`, in seconds since 1970: accuracy as a share, others as a mean.

    With `planned` items the interval holds at every look; without, at one. Source: as the functions of `estimates`,
    `missing`, `survival` and `sequential` that its method names.
    """
    sample = metrics.sample(columns, metric, cost_of_hour)
    known, groups = sample.known, codes(sample.group)
    values, chosen = sample.values[known], codes(sample.group, known)
    lost = len(sample) - int(known.sum())
    bounds = horizon = None
    if metric == "accuracy":
        naive = estimates.share(values, chosen)
        weighted = bool((sample.probability != 1).any())
        estimate = _accuracy(sample, naive, planned)
        bounds = _bounds(sample) if lost else None
    else:
        naive = estimates.mean(values, chosen)
        weighted = False
        if metric == "cycle_time" and lost and planned is None and lost < len(sample):
            times = hours_until(columns, sample, until)
            horizon = float(times.max())
            estimate = survival.restricted_mean(times, known, horizon, groups) if horizon > 0 else naive
        else:
            estimate, bounds = _mean(sample, naive, planned)
    return Figure(
        metric=metric,
        items=len(sample),
        known=int(known.sum()),
        estimate=estimate,
        naive=naive,
        corrected=bool(lost) or weighted,
        bounds=bounds,
        horizon=horizon,
        design_effect=naive.design_effect,
        groups=naive.groups,
    )


def hours_until(columns: Columns, sample: Sample, until: float) -> Floats:
    """The cycle time of each item in hours; of an open one how long it has been open at `until`."""
    ages = np.maximum((until - columns.arrived_at[sample.rows]) / HOUR, 0.0)
    found: Floats = np.where(sample.known, sample.values, ages)
    return found


def codes(group: Codes, which: Flags | None = None) -> list[Any] | None:
    """The group of each item, or of those of `which`, None for one without; None where no item at all has one."""
    if (group == UNKNOWN).all():
        return None
    return [None if code == UNKNOWN else code for code in (group if which is None else group[which]).tolist()]


def _accuracy(sample: Sample, naive: Estimate, planned: int | None) -> Estimate:
    known = sample.known
    correct, n = int((sample.values[known] == 1).sum()), len(sample)
    lost = n - int(known.sum())
    weighted = bool((sample.probability != 1).any())
    grouped = codes(sample.group, known)
    if planned is not None:
        if weighted or grouped is not None:
            return Estimate(naive.value, None, None, naive.n, NO_SEQUENCE)
        low, high = (sequential.share(right, n) for right in (correct, correct + lost))
        return Estimate(naive.value, low.low, high.high, naive.n, low.method)
    if weighted:
        return missing.weighted(sample.values[known], sample.probability[known], sample.probability[~known], grouped)
    if not lost:
        return naive
    return missing.bounds(sample.values[known], lost, grouped)


def _bounds(sample: Sample) -> tuple[float, float]:
    """The share if all items without a value were wrong, and if all were right, each with the weight of its choice."""
    factors, known = 1 / sample.probability, sample.known
    total, right = fsum(factors), fsum(factors[known] * sample.values[known])
    return min(1.0, right / total), min(1.0, (right + fsum(factors[~known])) / total)


def _mean(sample: Sample, naive: Estimate, planned: int | None) -> tuple[Estimate, tuple[float, float] | None]:
    known, groups = sample.known, codes(sample.group)
    if planned is not None:
        if not known.all() or groups is not None:
            return Estimate(naive.value, None, None, naive.n, NO_SEQUENCE), None
        return sequential.mean(sample.values, planned), None
    if known.all() or not known.any():
        return naive, None
    # A mean has no worst case: one item may cost anything. What was seen so far is the nearest that there is to it.
    seen = sample.values[known]
    filled = [np.where(known, sample.values, value) for value in (seen.min(), seen.max())]
    least, most = (estimates.mean(one, groups) for one in filled)
    method = f"{naive.method}, unknown values as the least and the greatest known"
    bounds = (least.value or 0.0, most.value or 0.0)
    return Estimate(naive.value, least.low, most.high, naive.n, method), bounds
