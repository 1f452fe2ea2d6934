"""A metric in each slice of the items: where a good total hides a part that is served badly.

Slices are looked at because they are there, not because a question was asked before, so they are marked exploratory
and each p is adjusted for the others. They never make a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum

import numpy as np

from pilot.metrics import Metric, metric_of
from pilot.workbench.stats.comparisons import Comparison, between, holm, independent_shares
from pilot.workbench.stats.data import CONFIDENCE, Column, Estimate, Floats, Groups, Interval, floats
from pilot.workbench.stats.estimates import graded, share

MINIMUM = 30
ACCURACY = metric_of("accuracy")


@dataclass(frozen=True)
class Slice:
    """One slice of `items`, which together have this `weight`. Below the minimum it is `too_few`, and has no number.
    `p` is two-sided, of no difference to the baseline, adjusted for all slices; None without a baseline. `worse` is a
    difference to the bad side of the metric with p < 0.05."""

    name: str
    items: int
    value: float | None = None
    interval: Interval = (None, None)
    p: float | None = None
    worse: bool = False
    exploratory: bool = True
    weight: float = 0.0

    @property
    def too_few(self) -> bool:
        return self.value is None

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.name}: too few ({self.items})"
        low, high = self.interval
        between = "" if low is None or high is None else f"{_number(low)} to {_number(high)}, "
        found = f"{self.name}: {_number(self.value)} ({between}n = {self.items})"
        return f"{found}, worse (adjusted p = {self.p:.2g}, exploratory)" if self.worse else found


def _number(value: float) -> str:
    return f"{value:.2f}" if value == 0 or 0.005 <= abs(value) < 10 else f"{value:.3g}"


def slices(
    names: Iterable[str],
    values: Column,
    metric: Metric = ACCURACY,
    *,
    weights: Column | None = None,
    groups: Groups | None = None,
    baseline: Column = (),
    minimum: int = MINIMUM,
) -> tuple[Slice, ...]:
    """The slices of items, by name in alphabetical order; `values` are those of the metric for each item of `names`, in
    its unit, with `weights` above 0 (1 where None), and the items may come in `groups`.

    `baseline` has the metric of items of before, a sample of which it is as uncertain as the slice.
    Source: as `estimates.share` and `graded`; as `comparisons.independent_shares` for shares without groups, else as
    `between`; Holm (1979), Scandinavian Journal of Statistics 6:65.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    column, before = floats(values), floats(baseline)
    factors = np.ones(len(column)) if weights is None else floats(weights)
    enough = {name: np.array(own) for name, own in sorted(places.items()) if len(own) >= minimum}
    found = {
        name: _estimate(metric, column[own], factors[own], None if groups is None else [groups[place] for place in own])
        for name, own in enough.items()
    }
    raw = {}
    if len(before):
        other = _estimate(metric, before, np.ones(len(before)), None)
        for name, own in enough.items():
            alone = metric.yes_or_no and groups is None
            beside = independent_shares(column[own], before) if alone else between(found[name], other)
            if beside.p is not None:
                raw[name] = beside
    adjusted = dict(zip(raw, holm([one.p or 0.0 for one in raw.values()]), strict=True))
    return tuple(
        _slice(name, found[name], fsum(factors[enough[name]]), metric, raw.get(name), adjusted.get(name))
        if name in found
        else Slice(name, len(own))
        for name, own in sorted(places.items())
    )


def _estimate(metric: Metric, values: Floats, weights: Floats, groups: Groups | None) -> Estimate:
    return share(values, groups) if metric.yes_or_no else graded(values, weights, metric.bounded, groups)


def _slice(
    name: str, found: Estimate, weight: float, metric: Metric, beside: Comparison | None, p: float | None
) -> Slice:
    difference = (beside and beside.difference) or 0.0
    bad = difference < 0 if metric.better == "up" else difference > 0
    worse = p is not None and p < 1 - CONFIDENCE and bad
    return Slice(name, found.n, found.value, found.interval, p, worse, weight=weight)
