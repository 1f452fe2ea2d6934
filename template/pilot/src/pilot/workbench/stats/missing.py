"""Items whose outcome nobody recorded. Those that people look at are not a random sample of all, so their share of
right answers is not that of all: how many are missing where, and what can be said in spite of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

import numpy as np

from pilot.workbench.stats.data import TAIL, Column, Estimate, Floats, Groups, Integers, codes, floats, totals
from pilot.workbench.stats.estimates import few_groups, share, too_few_groups, wilson


@dataclass(frozen=True)
class Band:
    """Items with confidences from `low` to `high` (None: the items without a confidence), how many of them are
    `labelled`, which is their `coverage` in [0, 1]."""

    low: float | None
    high: float | None
    items: int
    labelled: int
    coverage: float


def coverage(confidences: Floats, labelled: Column, bands: int = 10) -> list[Band]:
    """How many items of each band of confidence have a label (1, else 0), from the lowest band to the highest, and last
    the items without a confidence (NaN). The `bands` have about equally many items; equal confidences are in the same
    one, so that there may be fewer."""
    numbers, known = _bands(confidences, bands), floats(labelled)
    found = []
    for number in [*range(int(numbers.max(initial=-1)) + 1), -1]:
        inside = numbers == number
        items, with_label = int(inside.sum()), int(known[inside].sum())
        if items:
            ends = confidences[inside]
            low, high = (None, None) if number < 0 else (float(ends.min()), float(ends.max()))
            found.append(Band(low, high, items, with_label, with_label / items))
    return found


def bounds(correct: Column, missing: int, groups: Groups | None = None, tail: float = TAIL) -> Estimate:
    """The share of right answers among the judged items, from `correct` (1 or 0), with the ends that hold whatever the
    `missing` outcomes are: the lower one if all were wrong, the upper one if all were right. Both are Wilson's, of the
    effective number of items where the judged ones come in groups, and then at least as wide as those of
    `estimates.share`. `n` is the number of judged items.

    Source: Manski (1989), Journal of Human Resources 24:343; Horowitz and Manski (2000), JASA 95:77.
    """
    judged, right = len(correct), float(floats(correct).sum())
    n, method, alone = judged + missing, "no-assumption bounds, Wilson ends", share(correct, groups, tail)
    size = n if groups is None or not judged else judged / (alone.design_effect or 1)
    if not n:
        return Estimate(None, None, None, 0, method)
    low, high = wilson(right / n * size, size, tail)[0], wilson((right + missing) / n * size, size, tail)[1]
    if groups is not None and judged:
        method = f"{method} of an effective n of {size:.4g}, {alone.groups:,} groups"
        low = min(low or 0.0, (alone.low or 0.0) * judged / n)
        high = max(ceiling(high), (ceiling(alone.high) * judged + missing) / n)
    return Estimate(alone.value, low, high, judged, method, too_few=alone.too_few)


def ceiling(end: float | None) -> float:
    """The upper end of a share, which 1 bounds where nothing else does."""
    return 1.0 if end is None else end


def weighted(
    correct: Column,
    probabilities: Column,
    missing: Column = (),
    groups: Groups | None = None,
    tail: float = TAIL,
) -> Estimate:
    """The share of right answers among all items, from those that were chosen for a label at random, each with its
    recorded probability in (0, 1]: 1 where all of its kind are judged, 0.05 for an audit of one in 20.

    `correct` and `probabilities` are of the chosen items with a label. `missing` are the probabilities of chosen items
    that got none: the lower end takes all of them as wrong and the upper end as right, so they never raise the lower
    one. Items that were not chosen are no input, and change nothing. `n` is the number of labels.

    Source: Hajek (1971), in Foundations of Statistical Inference, for the ratio; its linearised variance as Saerndal,
    Swensson and Wretman (1992), Model Assisted Survey Sampling, section 5.7, gives the effective n of Wilson's interval
    (Korn and Graubard 1998); where all are right, or all wrong, it is Kish's (1965). A few heavy items that are all
    right have no variance and prove little all the same, so the ends reach at least as far as those of the sum of the
    shares of each probability: Zou, Huang and Zhang (2009), Computational Statistics and Data Analysis 53:1080.
    """
    right, factors, lost = floats(correct), 1 / floats(probabilities), fsum(1 / floats(missing))
    n, method = len(right), "Hajek inverse-probability weights, linearised, Wilson ends"
    if n == 0:
        return Estimate(None, None, None, 0, method)
    total = fsum(factors)
    value = min(1.0, fsum(factors * right) / total)
    numbers = np.arange(n) if groups is None else codes(groups)
    each = totals(factors, numbers)
    many = len(each)
    if 0 < value < 1 and many > 1:
        variance = fsum(totals(factors * (right - value), numbers) ** 2) / total**2 * many / (many - 1)
        size = min(float(n), value * (1 - value) / variance) if variance > 0 else float(many)
    else:
        size = total**2 / fsum(each**2)
    if 1 < many < n:
        size *= few_groups(n, many)
    low = wilson(value * total / (total + lost) * size, size, tail)[0] or 0.0
    high = wilson((value * total + lost) / (total + lost) * size, size, tail)[1]
    below, above = _reach(right, factors, tail)
    low = max(0.0, min(low, (value - below) * total / (total + lost)))
    high = min(1.0, max(ceiling(high), ((value + above) * total + lost) / (total + lost)))
    if groups is None:
        return Estimate(value, low, high, n, method)
    return Estimate(value, low, high, n, f"{method}, by groups", too_few=too_few_groups(many))


def _reach(right: Floats, factors: Floats, tail: float) -> tuple[float, float]:
    """How far the weighted share reaches down and up where the items of each weight are a sample of their own."""
    kinds, places = np.unique(factors, return_inverse=True)
    if len(kinds) == 1:
        return 0.0, 0.0
    items, hits = np.bincount(places), np.bincount(places, weights=right)
    parts, shares = kinds * items / (kinds * items).sum(), hits / items
    ends = [wilson(int(hit), int(many), tail) for hit, many in zip(hits, items, strict=True)]
    below = [part * (share - (low or 0.0)) for part, share, (low, _) in zip(parts, shares, ends, strict=True)]
    above = [part * ((high or 0.0) - share) for part, share, (_, high) in zip(parts, shares, ends, strict=True)]
    return fsum(np.square(below)) ** 0.5, fsum(np.square(above)) ** 0.5


def _bands(confidences: Floats, bands: int) -> Integers:
    """The band of each item, from 0 on; -1 without a confidence."""
    known = ~np.isnan(confidences)
    found = np.full(len(confidences), -1, dtype=np.int64)
    if known.any():
        edges = np.unique(np.quantile(confidences[known], np.arange(1, bands) / bands, method="inverted_cdf"))
        places = np.searchsorted(edges, confidences[known], side="left")
        found[known] = np.unique(places, return_inverse=True)[1]
    return found
