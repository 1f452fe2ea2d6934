"""Items whose outcome nobody recorded. Those that people look at are not a random sample of all, so their share of
right answers is not that of all: how many are missing where, and what can be said in spite of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pilot.workbench.stats import clusters, intervals
from pilot.workbench.stats.arrays import finite, flags, numbered, paired
from pilot.workbench.stats.estimates import exact_sum
from pilot.workbench.stats.extra import library
from pilot.workbench.stats.intervals import CONFIDENCE, Estimate

if TYPE_CHECKING:
    from pilot.workbench.stats.arrays import Floats, Groups, Integers, Numbers

    Confidences = Sequence[float | None] | Floats


@dataclass(frozen=True)
class Band:
    """Items with confidences from `low` to `high` (None: the items without a confidence), how many of them are
    `labelled`, which is their `coverage` in [0, 1]."""

    low: float | None
    high: float | None
    items: int
    labelled: int
    coverage: float


@dataclass(frozen=True)
class Bounds:
    """Where the share of right answers lies without any assumption about the `missing` ones of `n` items: from `lower`
    to `upper` in this sample, and with 95 % confidence from `low` to `high`. None without items."""

    lower: float | None
    upper: float | None
    low: float | None
    high: float | None
    n: int
    missing: int
    method: str


def band_numbers(confidences: Confidences, bands: int = 10) -> Integers:
    """The band of each item, from 0 on: about equally many items in each, equal confidences in the same, so that there
    may be fewer than `bands`; -1 without a confidence (None or NaN).

    Raises ValueError for a confidence outside [0, 1].
    """
    numpy = library("numpy")
    if bands < 1:
        raise ValueError("bands must be at least 1")
    column = numpy.asarray(confidences, dtype=float)
    known = ~numpy.isnan(column)
    wrong = numpy.flatnonzero(known & ~((column >= 0) & (column <= 1)))
    if wrong.size:
        raise ValueError(f"confidences: row {wrong[0]} is {column[wrong[0]]}, and must be in [0, 1]")
    found: Integers = numpy.full(len(column), -1, dtype=numpy.int64)
    if known.any():
        inner = numpy.arange(1, bands) / bands
        edges = numpy.unique(numpy.quantile(column[known], inner, method="inverted_cdf"))
        places = numpy.searchsorted(edges, column[known], side="left")
        found[known] = numpy.unique(places, return_inverse=True)[1]
    return found


def coverage(confidences: Confidences, labelled: Numbers, bands: int = 10) -> list[Band]:
    """How many items of each band of confidence have a label, from the lowest band to the highest, and last the items
    without a confidence."""
    numpy = library("numpy")
    numbers, known = band_numbers(confidences, bands), flags("labelled", labelled)
    paired("confidences", numbers, "labelled", known)
    column = numpy.asarray(confidences, dtype=float)
    found = []
    for number in [*range(int(numbers.max(initial=-1)) + 1), -1]:
        inside = numbers == number
        items, with_label = int(inside.sum()), int(known[inside].sum())
        if not items:
            continue
        low, high = (None, None) if number < 0 else (float(column[inside].min()), float(column[inside].max()))
        found.append(Band(low, high, items, with_label, with_label / items))
    return found


def bounds(correct: int, judged: int, missing: int) -> Bounds:
    """The share of right answers if all missing outcomes were wrong, and if all were right. More missing items widen it
    on both sides; the outer ends are Wilson's.

    Source: Manski (1989), Journal of Human Resources 24:343; Horowitz and Manski (2000), JASA 95:77.
    """
    if not 0 <= correct <= judged or missing < 0:
        raise ValueError(f"{correct} correct of {judged} judged and {missing} missing items are no counts")
    n, method = judged + missing, "no-assumption bounds, Wilson ends"
    if n == 0:
        return Bounds(None, None, None, None, 0, 0, method)
    low, high = intervals.wilson(correct, n)[0], intervals.wilson(correct + missing, n)[1]
    return Bounds(correct / n, (correct + missing) / n, low, high, n, missing, method)


def weighted(correct: Numbers, probabilities: Numbers, missing: Numbers = (), groups: Groups | None = None) -> Estimate:
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
    numpy, stats = library("numpy"), library("scipy.stats")
    right = flags("correct", correct).astype(float)
    factors = weights("probabilities", probabilities)
    paired("correct", right, "probabilities", factors)
    lost = exact_sum(weights("missing", missing))
    n, method = len(right), "Hajek inverse-probability weights, linearised, Wilson ends"
    if n == 0:
        return Estimate(None, None, None, 0, method)
    total = exact_sum(factors)
    value = min(1.0, exact_sum(factors * right) / total)
    codes = numpy.arange(n) if groups is None else numbered(groups, n)
    each = clusters.totals(factors, codes)
    many = len(each)
    if 0 < value < 1 and many > 1:
        variance = exact_sum(clusters.totals(factors * (right - value), codes) ** 2) / total**2 * many / (many - 1)
        size = min(float(n), value * (1 - value) / variance) if variance > 0 else float(many)
    else:
        size = total**2 / exact_sum(each**2)
    if 1 < many < n:
        size *= float(stats.t.isf((1 - CONFIDENCE) / 2, n - 1) / stats.t.isf((1 - CONFIDENCE) / 2, many - 1)) ** 2
    low = intervals.wilson_of_effective(value * total / (total + lost), size)[0] or 0.0
    high = intervals.wilson_of_effective((value * total + lost) / (total + lost), size)[1]
    below, above = _reach(right, factors)
    low = max(0.0, min(low, (value - below) * total / (total + lost)))
    high = min(1.0, max(1.0 if high is None else high, ((value + above) * total + lost) / (total + lost)))
    return Estimate(value, low, high, n, method if groups is None else f"{method}, by groups")


def _reach(right: Floats, factors: Floats) -> tuple[float, float]:
    """How far the weighted share reaches down and up where the items of each weight are a sample of their own."""
    numpy = library("numpy")
    kinds, places = numpy.unique(factors, return_inverse=True)
    if len(kinds) == 1:
        return 0.0, 0.0
    items, hits = numpy.bincount(places), numpy.bincount(places, weights=right)
    parts, shares = kinds * items / (kinds * items).sum(), hits / items
    ends = [intervals.wilson(int(hit), int(many)) for hit, many in zip(hits, items, strict=True)]
    below = [part * (share - (low or 0.0)) for part, share, (low, _) in zip(parts, shares, ends, strict=True)]
    above = [part * ((high or 0.0) - share) for part, share, (_, high) in zip(parts, shares, ends, strict=True)]
    return exact_sum(numpy.square(below)) ** 0.5, exact_sum(numpy.square(above)) ** 0.5


def begg_greenes(labelled: Numbers, correct: Numbers, bands: Numbers) -> Estimate:
    """The share of right answers among all items, if within a band those without a label are as often right as those
    with one. The columns are of all items; `correct` is not read where there is no label. Items of a band without any
    label are beyond that: the lower end takes them as wrong, the upper one as right.

    It believes the bands, so an unlabelled item of a good band raises all of it. Do not report its lower end as what is
    proven: that is `bounds`, or `weighted` where the choice was random.

    Source: Begg and Greenes (1983), Biometrics 39:207, of which this is the share itself; the linearised variance adds
    that of the bands' sizes, and draws the share of each band towards a half (Laplace), for bands with few labels.
    """
    numpy = library("numpy")
    known = flags("labelled", labelled).astype(bool)
    places = numpy.unique(finite("bands", bands), return_inverse=True)[1]
    answers = numpy.asarray(correct, dtype=object)
    if not len(known) == len(places) == len(answers):
        raise ValueError(f"labelled, correct and bands have {len(known)}, {len(answers)} and {len(places)} rows")
    right = flags("correct", answers[known].astype(float))
    n, method = int(known.sum()), "Begg-Greenes by band, linearised, Wilson ends"
    if n == 0:
        return Estimate(None, None, None, 0, method)
    items = numpy.bincount(places).astype(float)
    labels = numpy.bincount(places[known], minlength=len(items)).astype(float)
    hits = numpy.bincount(places[known], weights=right, minlength=len(items))
    held = labels > 0
    supported = float(items[held].sum())
    parts, labels, hits = items[held] / supported, labels[held], hits[held]
    value = min(1.0, exact_sum(parts * (hits / labels)))
    drawn = (hits + 1) / (labels + 2)
    variance = exact_sum(parts**2 * drawn * (1 - drawn) / labels)
    variance += exact_sum(parts * (hits / labels - value) ** 2) / supported
    size = min(float(n), value * (1 - value) / variance) if 0 < value < 1 else 1 / exact_sum(parts**2 / labels)
    low, high = intervals.wilson_of_effective(value, size)
    reach = supported / len(known)
    low, high = (low or 0.0) * reach, 1 - (1 - (1.0 if high is None else high)) * reach
    return Estimate(value, low, high, n, method)


def weights(name: str, probabilities: Numbers) -> Floats:
    """One over the probability of each item's choice. Raises ValueError for one that is not above 0, and at most 1."""
    column = finite(name, probabilities)
    wrong = library("numpy").flatnonzero((column <= 0) | (column > 1))
    if wrong.size:
        raise ValueError(f"{name}: row {wrong[0]} is {column[wrong[0]]}; a probability of choice is above 0, at most 1")
    found: Floats = 1 / column
    return found
