"""What the statistics take and return: columns, groups, intervals and estimates.

Columns come from `workbench.columns` and from the baseline's parser, which check them: finite numbers, 0 and 1 for a
share, and one row for each item in all columns of a call. The functions here do not check them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Column = Sequence[float] | NDArray[Any]
Groups = Sequence[object] | NDArray[Any]
Interval = tuple[float | None, float | None]

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2


@dataclass(frozen=True)
class Estimate:
    """A figure of `n` items with the ends of its 95 % interval, by a `method` in plain words. The value is None where
    there are no items, and an end where they do not bound it.

    Of items in `groups` groups, `design_effect` is how many items say as much as one independent item, at least 1.
    Both are None for items without groups. `too_few` is why the interval is no ground for a verdict; None where it is.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    design_effect: float | None = None
    groups: int | None = None
    too_few: str | None = None

    @property
    def interval(self) -> Interval:
        """Both ends."""
        return self.low, self.high


def floats(values: Column) -> Floats:
    """The column as an array of floats."""
    return np.asarray(values, dtype=float)


def codes(groups: Groups) -> Integers:
    """A number from 0 on for the group of each row, in the order of appearance. A row whose group is None is a group of
    its own."""
    known: dict[object, int] = {}
    keys = (("row", row) if group is None else ("group", group) for row, group in enumerate(groups))
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)


def totals(column: Floats, codes: Integers) -> Floats:
    """The sum of each group, by its code. Sums are exact (`math.fsum`): one that depended on the order of the rows
    could decide a tie between resamples."""
    order = np.argsort(codes, kind="stable")
    ordered, bounds = column[order].tolist(), np.searchsorted(codes[order], np.arange(codes.max(initial=-1) + 2))
    return np.array([fsum(ordered[low:high]) for low, high in pairwise(bounds.tolist())], dtype=float)
