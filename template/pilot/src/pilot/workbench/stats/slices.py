"""The share of good items in each slice: where a good total hides a part that is served badly.

Slices are looked at because they are there, not because a question was asked before, so they are marked exploratory
and each p is adjusted for the others. They never make a verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress

from pilot.workbench.stats.comparisons import Comparison, holm, independent_shares
from pilot.workbench.stats.data import CONFIDENCE, Column, Interval
from pilot.workbench.stats.estimates import wilson

MINIMUM = 30


@dataclass(frozen=True)
class Slice:
    """One slice of `items`. Below the minimum it is `too_few`, and has no number. `p` is two-sided, of no difference to
    the baseline, adjusted for all slices; None without a baseline. `worse` is a lower share with p < 0.05."""

    name: str
    items: int
    value: float | None = None
    interval: Interval = (None, None)
    p: float | None = None
    worse: bool = False
    exploratory: bool = True

    @property
    def too_few(self) -> bool:
        return self.value is None

    def __str__(self) -> str:
        low, high = self.interval
        if self.value is None or low is None or high is None:
            return f"{self.name}: too few ({self.items})"
        found = f"{self.name}: {self.value:.2f} ({low:.2f} to {high:.2f}, n = {self.items})"
        return f"{found}, worse (adjusted p = {self.p:.2g}, exploratory)" if self.worse else found


def slices(names: Iterable[str], good: Column, *, baseline: Column = (), minimum: int = MINIMUM) -> tuple[Slice, ...]:
    """The slices of items, by name in alphabetical order; `good` is 1 or 0 for each item of `names`.

    `baseline` has the same of items of before, a sample of which it is as uncertain as the slice.
    Source: as `comparisons.independent_shares`; Holm (1979), Scandinavian Journal of Statistics 6:65.
    """
    names = list(names)
    totals, hits = Counter(names), Counter(compress(names, good))
    enough = sorted(name for name, items in totals.items() if items >= minimum)
    beside = [independent_shares([1.0] * hits[name] + [0.0] * (totals[name] - hits[name]), baseline) for name in enough]
    known = [found for found in beside if found.p is not None]
    adjusted: Sequence[float | None] = holm([found.p or 0.0 for found in known]) or [None] * len(enough)
    found = {name: (one, p) for name, one, p in zip(enough, beside, adjusted, strict=True)}
    return tuple(
        _slice(name, hits[name], items, *found[name]) if name in found else Slice(name, items)
        for name, items in sorted(totals.items())
    )


def _slice(name: str, hits: int, items: int, beside: Comparison, p: float | None) -> Slice:
    worse = p is not None and p < 1 - CONFIDENCE and (beside.difference or 0.0) < 0
    return Slice(name, items, hits / items, wilson(hits, items), p, worse)
