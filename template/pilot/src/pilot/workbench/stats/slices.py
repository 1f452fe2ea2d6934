"""The share of good items in each slice: where a good total hides a part that is served badly.

Slices are looked at because they are there, not because a question was asked before, so they are marked exploratory
and each p is adjusted for the others. They never make a verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress

from scipy import stats

from pilot.workbench.stats.comparisons import benjamini_hochberg
from pilot.workbench.stats.data import TAIL, Column, Interval
from pilot.workbench.stats.estimates import wilson

MINIMUM = 30


@dataclass(frozen=True)
class Slice:
    """One slice of `items`. Below the minimum it is `too_few`, and has no number. `p` is one-sided, of a share that is
    truly the reference or better, adjusted for all slices; None without a reference. `worse` is p < 0.025."""

    name: str
    items: int
    value: float | None = None
    interval: Interval = (None, None)
    p: float | None = None
    exploratory: bool = True

    @property
    def too_few(self) -> bool:
        return self.value is None

    @property
    def worse(self) -> bool:
        return self.p is not None and self.p < TAIL

    def __str__(self) -> str:
        low, high = self.interval
        if self.value is None or low is None or high is None:
            return f"{self.name}: too few ({self.items})"
        found = f"{self.name}: {self.value:.2f} ({low:.2f} to {high:.2f}, n = {self.items})"
        return f"{found}, worse (adjusted p = {self.p:.2g}, exploratory)" if self.worse else found


def slices(
    names: Iterable[str], good: Column, *, reference: float | None = None, minimum: int = MINIMUM
) -> tuple[Slice, ...]:
    """The slices of items, by name in alphabetical order; `good` is 1 or 0 for each item of `names`.

    `reference` is a fixed share in [0, 1] that a slice may be worse than, such as that of the baseline.
    Source: the exact binomial test through scipy; Benjamini and Hochberg (1995), JRSS B 57:289, through statsmodels.
    """
    names = list(names)
    totals, hits = Counter(names), Counter(compress(names, good))
    enough = sorted(name for name, items in totals.items() if items >= minimum)
    adjusted = _adjusted([(hits[name], totals[name]) for name in enough], reference)
    chances = dict(zip(enough, adjusted, strict=True))
    return tuple(
        Slice(name, items, hits[name] / items, wilson(hits[name], items), chances[name])
        if name in chances
        else Slice(name, items)
        for name, items in sorted(totals.items())
    )


def _adjusted(counts: list[tuple[int, int]], reference: float | None) -> list[float | None]:
    if reference is None or not counts:
        return [None] * len(counts)
    tests = [stats.binomtest(hits, items, reference, alternative="less") for hits, items in counts]
    return [*benjamini_hochberg([float(test.pvalue) for test in tests])]
