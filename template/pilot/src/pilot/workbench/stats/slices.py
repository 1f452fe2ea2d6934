"""The share of good items in each slice: where a good total hides a part that is served badly.

Slices are looked at because they are there, not because a question was asked before, so they are marked exploratory
and each p is adjusted for the others. They never make a verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

from pilot.workbench.stats import intervals
from pilot.workbench.stats.arrays import flags, labels, same_length
from pilot.workbench.stats.extra import library
from pilot.workbench.stats.significance import benjamini_hochberg

if TYPE_CHECKING:
    from pilot.workbench.stats.arrays import Numbers

MINIMUM = 30
# One-sided, like the end of a 95 % interval.
ALPHA = 0.025


@dataclass(frozen=True)
class Slice:
    """One slice of `items`. Below the minimum it is `too_few`, and has no number. `p` is one-sided, of a share that is
    truly the reference or better, adjusted for all slices; None without a reference. `worse` is p < 0.025."""

    name: str
    items: int
    value: float | None = None
    interval: intervals.Interval = (None, None)
    p: float | None = None
    exploratory: bool = True

    @property
    def too_few(self) -> bool:
        return self.value is None

    @property
    def worse(self) -> bool:
        return self.p is not None and self.p < ALPHA

    def __str__(self) -> str:
        low, high = self.interval
        if self.value is None or low is None or high is None:
            return f"{self.name}: too few ({self.items})"
        found = f"{self.name}: {self.value:.2f} ({low:.2f} to {high:.2f}, n = {self.items})"
        return f"{found}, worse (adjusted p = {self.p:.2g}, exploratory)" if self.worse else found


def slices(
    names: Iterable[str], good: Numbers, *, reference: float | None = None, minimum: int = MINIMUM
) -> tuple[Slice, ...]:
    """The slices of items, by name in alphabetical order. `names` and `good` go by item and have the same length.

    `reference` is a fixed share in [0, 1] that a slice may be worse than, such as that of the baseline.
    Raises ValueError for two lengths, NaN or None, or a value of `good` that is neither true nor false.
    Source: the exact binomial test through scipy; Benjamini and Hochberg (1995), JRSS B 57:289, through statsmodels.
    Needs the extra `evaluation`.
    """
    names, right = labels("names", names), flags("good", good).astype(bool).tolist()
    same_length(names=names, good=right)
    if reference is not None and not 0 <= reference <= 1:  # which NaN is not, either
        raise ValueError(f"the reference must be a share between 0 and 1, not {reference}")
    if minimum < 1:
        raise ValueError(f"the minimum must be 1 or more, not {minimum}")
    totals, hits = Counter(names), Counter(compress(names, right))
    enough = sorted(name for name, items in totals.items() if items >= minimum)
    adjusted = _adjusted([(hits[name], totals[name]) for name in enough], reference)
    chances = dict(zip(enough, adjusted, strict=True))
    return tuple(
        Slice(name, items, hits[name] / items, intervals.wilson(hits[name], items), chances[name])
        if name in chances
        else Slice(name, items)
        for name, items in sorted(totals.items())
    )


def _adjusted(counts: list[tuple[int, int]], reference: float | None) -> list[float | None]:
    if reference is None or not counts:
        return [None] * len(counts)
    test = library("scipy.stats").binomtest
    raw = [float(test(hits, items, reference, alternative="less").pvalue) for hits, items in counts]
    return [*benjamini_hochberg(raw)]
