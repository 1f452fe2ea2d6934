"""Whether a confidence can be taken at its word: of the answers with confidence 0.8, are 80 % right?

Every figure here is of the *top label*: the confidence of the answer that was given, against whether it was right. The
probabilities of the labels that were not given play no part, so that the figures are the same for two labels and for
seventy. Arrays are one row for each answer: confidences in [0, 1], and `right`, which is 1 or 0. Of answers of many
fields they are one row for each field, in `groups` of one answer.

What is not right or wrong has figures of its own: a number its interval (`Coverage`), a draft what stays (`Kept`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pilot.workbench.stats.data import Estimate, Floats, Integers, Interval, totals
from pilot.workbench.stats.estimates import graded, share, wilson

EQUAL_COUNT_BINS = 10
KEPT_BINS = 4
EQUAL_WIDTH_BINS = 15
_SIMULATIONS = 1_000
_SEED = 20_261_123
# Cells of one bin in which the band takes all confidences for their mean. A cell is then narrower than 0.001, which
# moves the variance of a sum by less than a thousandth.
_CELLS = 100


@dataclass(frozen=True)
class Bin:
    """Answers of like confidence: from `low` to `high`, both among them, `confidence` on average. `share` of them were
    right, with its `interval`: Wilson's, of fields as `estimates.share` has it for groups."""

    low: float
    high: float
    items: int
    right: int
    confidence: float
    share: float
    interval: Interval


@dataclass(frozen=True)
class Band:
    """The ECE that perfectly calibrated models with the same confidences would show: on `average`, and `high` is what
    95 in 100 of them stay at or below."""

    average: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """How the confidences of `items` answers, or of as many fields, stand to what came true. Without answers every
    figure is None.

    `miscalibrated` is whether `ece` is above the band; None without answers. Its text is one sentence.
    """

    items: int
    confidence: float | None
    share: float | None
    brier: float | None
    log_loss: float | None
    ece: float | None
    rmsce: float | None
    mce: float | None
    band: Band | None
    miscalibrated: bool | None
    table: tuple[Bin, ...]
    of: str = "answers"

    def __str__(self) -> str:
        if self.ece is None or self.band is None or self.share is None or self.confidence is None:
            return "No answer with a confidence was judged, so calibration is not known."
        found = (
            f"confidence and share of right {self.of} differ by {self.ece:.3f} on average "
            f"(ECE, {self.items} {self.of}), and a perfectly calibrated model would show {self.band.average:.3f}, "
            f"or up to {self.band.high:.3f} by chance."
        )
        if not self.miscalibrated:
            return f"No sign of miscalibration: {found}"
        return (
            f"Miscalibrated: {found} The model is {self.confidence:.1%} sure on average, and {self.share:.1%} of its "
            f"{self.of} are right."
        )


@dataclass(frozen=True)
class Coverage:
    """The `share` of numbers that people decided which lie in the interval that the answer gave, which promises that a
    share of `level` does."""

    level: float
    share: Estimate

    def __str__(self) -> str:
        low, high = self.share.interval
        if self.share.value is None or low is None or high is None:
            return "No answer with an interval was judged, so it is not known whether the intervals hold."
        found = (
            f"{self.share.value:.1%} of {self.share.n} numbers that people decided lie in the interval of the answer "
            f"({low:.1%} to {high:.1%}), which promises {self.level:.0%}."
        )
        if high < self.level:
            return f"The intervals are too narrow: {found}"
        return f"The intervals are wider than they need be: {found}" if low > self.level else found


@dataclass(frozen=True)
class Kept:
    """How much of a draft stays, by the confidence of the answer: for each band its ends, and the mean edit similarity
    in [0, 1]."""

    table: tuple[tuple[float, float, Estimate], ...]

    def __str__(self) -> str:
        if not self.table:
            return "No draft with a confidence was judged, so it is not known what the confidence is worth."
        shown = (
            f"{found.value or 0:.0%} ({_percent(found.low)} to {_percent(found.high)}, n = {found.n}) at confidence "
            f"{low:.2f} to {high:.2f}"
            for low, high, found in self.table
        )
        return (
            "An edited draft is neither right nor wrong, so its confidence is held against how much of it stays: "
            f"{'; '.join(shown)}."
        )


def _percent(end: float | None) -> str:
    return "open" if end is None else f"{end:.0%}"


def kept(confidences: Floats, similarities: Floats) -> Kept:
    """The drafts in up to KEPT_BINS bands of about the same count, in ascending confidence."""
    place, tops = _equal_counts(confidences, KEPT_BINS)
    bands = []
    for number in range(len(tops)):
        sure, similar = confidences[place == number], similarities[place == number]
        bands.append((float(sure.min()), float(sure.max()), graded(similar, np.ones(len(similar)), bounded=True)))
    return Kept(tuple(bands))


def calibration(confidences: Floats, right: Floats, groups: Integers | None = None) -> Calibration:
    """Everything about the confidences of answers that were judged; of fields, where these come in `groups`."""
    p, y = confidences, right
    what = "answers" if groups is None else "fields"
    if not len(p):
        return Calibration(0, None, None, None, None, None, None, None, None, None, (), what)
    found, band = calibration_error(p, y), null_band(p)
    if groups is not None:
        wider = within_groups(p, y, groups) ** 0.5
        band = Band(wider * band.average, wider * band.high)
    return Calibration(
        items=len(p),
        confidence=float(p.mean()),
        share=float(y.mean()),
        brier=brier(p, y),
        log_loss=log_loss(p, y),
        ece=found,
        rmsce=calibration_error(p, y, norm="l2"),
        mce=calibration_error(p, y, norm="max"),
        band=band,
        # An error of rounding alone is none.
        miscalibrated=found > band.high + 1e-9,
        table=reliability(p, y, groups=groups),
        of=what,
    )


def reliability(
    confidences: Floats, right: Floats, bins: int = EQUAL_COUNT_BINS, groups: Integers | None = None
) -> tuple[Bin, ...]:
    """The reliability table, in ascending confidence: up to `bins` bins of about the same count. Equal confidences
    stand in the same bin, so the order of the rows changes nothing, and many ties make fewer bins.

    Source: Niculescu-Mizil and Caruana (2005), ICML; the bin k is (q[k-1], q[k]] between the quantiles k/bins.
    """
    p, y = confidences, right
    if not len(p):
        return ()
    place, tops = _equal_counts(p, bins)
    counts, hits = np.bincount(place), np.bincount(place, weights=y)
    means = np.bincount(place, weights=p) / counts
    starts = np.sort(p)[np.concatenate([[0], np.cumsum(counts)[:-1]])]
    return tuple(
        Bin(
            low=float(starts[k]),
            high=float(tops[k]),
            items=int(counts[k]),
            right=int(hits[k]),
            confidence=float(means[k]),
            share=float(hits[k] / counts[k]),
            interval=wilson(int(hits[k]), int(counts[k]))
            if groups is None
            else share(y[place == k], groups[place == k]).interval,
        )
        for k in range(len(tops))
    )


def brier(confidences: Floats, right: Floats) -> float:
    """The mean squared distance of confidence and outcome, in [0, 1], less is better.

    Source: Brier (1950), Monthly Weather Review 78:1, for one event: mean((p - y)^2), half of his sum over two classes.
    """
    return float(((confidences - right) ** 2).mean())


def log_loss(confidences: Floats, right: Floats) -> float:
    """The mean of -ln of the probability that was given to what came true, less is better.

    A probability of 0 counts as 2.2e-16, the spacing of floats at 1, as in scikit-learn.
    Source: Good (1952), JRSS B 14:107: -mean(y ln p + (1 - y) ln(1 - p)).
    """
    given = np.where(right == 1, confidences, 1 - confidences)
    return float(-np.log(np.maximum(given, np.finfo(float).eps)).mean())


def calibration_error(
    confidences: Floats, right: Floats, bins: int = EQUAL_WIDTH_BINS, norm: Literal["l1", "l2", "max"] = "l1"
) -> float:
    """The distance of mean confidence and share right in bins of equal width, in [0, 1].

    The bins are [0, 1/bins], (1/bins, 2/bins] and so on: a confidence on an edge belongs to the bin below. `norm` is
    "l1" for ECE (distances weighted by count), "l2" for RMSCE (the root of the weighted squares), "max" for MCE.
    Source: Naeini, Cooper and Hauskrecht (2015), AAAI, ECE and MCE; Kumar, Liang and Ma (2019), NeurIPS, the l2 norm;
    edges of Guo et al. (2017), ICML, equation 3.
    """
    place = _place(confidences, bins)
    counts = np.bincount(place, minlength=bins)
    gaps = np.abs(np.bincount(place, weights=confidences - right, minlength=bins))  # times the count
    if norm == "l1":
        return float(gaps.sum() / len(confidences))
    filled = counts > 0
    gaps = gaps[filled] / counts[filled]
    return float(gaps.max()) if norm == "max" else float((counts[filled] / len(confidences) * gaps**2).sum() ** 0.5)


def null_band(confidences: Floats, bins: int = EQUAL_WIDTH_BINS) -> Band:
    """The ECE of 1,000 models that are right exactly as often as these confidences say, by a fixed seed.

    Source: consistency resampling, Broecker and Smith (2007), Weather and Forecasting 22:651, of the ECE instead of the
    diagram. Confidences within 1/(100 bins) of each other are drawn together, so the time does not grow with the rows.
    """
    p = confidences
    cells = _place(p, bins * _CELLS)
    counts = np.bincount(cells, minlength=bins * _CELLS)
    sums = np.bincount(cells, weights=p, minlength=bins * _CELLS)
    filled = np.flatnonzero(counts)
    counts, sums = counts[filled], sums[filled]
    drawn = np.random.default_rng(_SEED).binomial(
        counts, np.clip(sums / counts, 0, 1), size=(_SIMULATIONS, len(counts))
    )
    # `bins` times `_CELLS` divides into whole bins, and a cell has the edges of its bin.
    first = np.flatnonzero(np.diff(filled // _CELLS, prepend=-1))
    errors = np.abs(np.add.reduceat(drawn - sums, first, axis=1)).sum(axis=1) / len(p)
    return Band(float(errors.mean()), float(np.quantile(errors, 0.95, method="inverted_cdf")))


def within_groups(confidences: Floats, right: Floats, groups: Integers, bins: int = EQUAL_WIDTH_BINS) -> float:
    """By which factor, at least 1, the variance of a bin's sum of errors is larger than that of independent rows,
    because the fields of an answer tend to be right or wrong together.

    Source: the design effect of Kish (1965), Survey Sampling, of the errors less the mean of their bin.
    """
    place = _place(confidences, bins)
    errors = right - confidences
    means = np.bincount(place, weights=errors) / np.maximum(np.bincount(place), 1)
    apart = errors - means[place]
    together = totals(apart, np.unique(np.stack([groups, place]), axis=1, return_inverse=True)[1].ravel())
    spread, rows, many, means_taken = float((apart**2).sum()), len(apart), len(together), len(np.unique(place))
    if not spread or many <= means_taken:
        return 1.0
    # Each mean takes one from what is free to vary.
    free = (1 - means_taken / rows) / (1 - means_taken / many)
    return max(1.0, float((together**2).sum()) / spread * free)


def _equal_counts(p: Floats, bins: int) -> tuple[Integers, Floats]:
    """The bin of each confidence, from 0 on, among up to `bins` of about the same count, and the highest in each."""
    ordered = np.sort(p)
    tops = np.unique(ordered[-(-np.arange(1, bins + 1) * len(p) // bins) - 1]) if len(p) else ordered
    return np.searchsorted(tops, p, side="left"), tops


def _place(p: Floats, bins: int) -> Integers:
    """The bin of each confidence, from 0 on, among `bins` of equal width that own their upper edge."""
    return np.searchsorted(np.arange(1, bins) / bins, p, side="left")
