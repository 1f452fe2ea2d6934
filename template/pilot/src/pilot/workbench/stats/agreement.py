"""How far the AI and people agree on the same items, with kappa never on its own.

Kappa falls when one label is common, however well the two agree (Feinstein and Cicchetti 1990, Journal of Clinical
Epidemiology 43:543), so the raw share, PABAK and the table of confusions always come with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import cohens_kappa

from pilot.workbench.stats.data import Column, Interval
from pilot.workbench.stats.estimates import wilson

# With more labels there is no table and no kappa: each is the square of them, and nobody reads it.
MOST_LABELS = 1_000


@dataclass(frozen=True)
class Confusion:
    """`items` for which the AI said `ai` and the person `human`."""

    ai: str
    human: str
    items: int


@dataclass(frozen=True)
class Direction:
    """Whether the AI and people disagree about two labels to one side. Of the items on which one said `first` and the
    other `second`, the AI said `first` in `ai_first` and people in `human_first`.

    `p` is of the exact two-sided McNemar test, None where there is no such item; `statistic` is McNemar's chi-squared
    without correction. `one_sided` is p < 0.05.
    """

    first: str
    second: str
    ai_first: int
    human_first: int
    statistic: float | None
    p: float | None

    @property
    def one_sided(self) -> bool:
        return self.p is not None and self.p < 0.05

    def __str__(self) -> str:
        one, other = _times(self.ai_first), _times(self.human_first)
        counts = f"AI {self.first!r} and person {self.second!r} {one}, the reverse {other}"
        if self.p is None:
            return f"{self.first!r} and {self.second!r} were never confused"
        return f"{counts}: {'to one side' if self.one_sided else 'no side is shown'} (McNemar p = {self.p:.3g})"


@dataclass(frozen=True)
class Agreement:
    """Agreement on `items`, of which `agreeing` have the same label: `share` with its Wilson `interval`, Cohen's
    `kappa` with its large-sample `kappa_interval`, and `pabak`.

    `table[i][j]` counts items that the AI called `labels[i]` and the person `labels[j]`; None with more than 1,000
    labels. `confusions` ranks the disagreements, most frequent first, ties by name. `direction` is there for exactly
    two labels; `direction_of` computes it for any two.
    Kappa is None where it is not defined: without items, with a single label, or with more than 1,000 labels. Its
    interval has no end where the labels leave it no width, as in perfect agreement: read the one of the share.
    """

    items: int
    agreeing: int
    share: float | None
    interval: Interval
    kappa: float | None
    kappa_interval: Interval
    pabak: float | None
    labels: tuple[str, ...]
    table: tuple[tuple[int, ...], ...] | None
    confusions: tuple[Confusion, ...]
    direction: Direction | None

    def __str__(self) -> str:
        if self.share is None or self.pabak is None:
            return "No item has both an answer of the AI and a label of a person."
        kappa = "not defined" if self.kappa is None else f"{self.kappa:.2f}{_between(self.kappa_interval)}"
        return (
            f"{self.agreeing} of {self.items} items have the same label: {self.share:.2f}{_between(self.interval)}; "
            f"Cohen's kappa {kappa}, PABAK {self.pabak:.2f}."
        )


def agreement(counts: Mapping[tuple[str, str], int]) -> Agreement:
    """Agreement from how many items have each pair of the AI's label and the person's.

    Source: Cohen (1960), Educational and Psychological Measurement 20:37, with the interval of Fleiss, Cohen and
    Everitt (1969), Psychological Bulletin 72:323, through statsmodels; PABAK = 2 p - 1 of the agreeing share p, Byrt,
    Bishop and Carlin (1993), Journal of Clinical Epidemiology 46:423.
    """
    items = sum(counts.values())
    labels = tuple(sorted({label for pair in counts for label in pair}))
    agreeing = sum(count for (one, other), count in counts.items() if one == other)
    table = _table(counts, labels) if len(labels) <= MOST_LABELS else None
    kappa, kappa_interval = _kappa(table) if table is not None else (None, (None, None))
    share = agreeing / items if items else None
    return Agreement(
        items=items,
        agreeing=agreeing,
        share=share,
        interval=wilson(agreeing, items),
        kappa=kappa,
        kappa_interval=kappa_interval,
        pabak=None if share is None else 2 * share - 1,
        labels=labels,
        table=table,
        confusions=tuple(
            Confusion(one, other, count)
            for (one, other), count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
            if one != other
        ),
        direction=_direction(counts, *labels) if len(labels) == 2 else None,
    )


def direction_of(found: Agreement, first: str, second: str) -> Direction:
    """The direction of the disagreement about two labels. Raises ValueError when both are the same label.

    Source: McNemar (1947), Psychometrika 12:153, exact on the discordant items, through statsmodels.
    """
    if first == second:
        raise ValueError(f"{first!r} cannot be confused with itself")
    return _direction({(line.ai, line.human): line.items for line in found.confusions}, first, second)


def most_confused(labels: Sequence[str], table: Sequence[Column], top: int) -> tuple[list[str], list[list[float]]]:
    """The table for the `top` labels with the most disagreements, in their old order, and the others added up as one
    last label. A table of that size or less stays as it is, so the sum is always the same. Raises ValueError below 1.
    """
    if top < 1:
        raise ValueError(f"top must be 1 or more, not {top}")
    places = range(len(labels))
    if len(labels) <= top + 1:
        return list(labels), [list(line) for line in table]
    columns = [sum(line) for line in zip(*table, strict=True)]
    confused = [columns[k] + sum(table[k]) - 2 * table[k][k] for k in places]
    kept = sorted(sorted(places, key=lambda k: (-confused[k], labels[k]))[:top])
    groups = [[k] for k in kept] + [[k for k in places if k not in set(kept)]]
    return (
        [*(labels[k] for k in kept), f"{len(groups[-1])} others"],
        [[sum(table[i][j] for i in rows_ for j in columns_) for columns_ in groups] for rows_ in groups],
    )


def _direction(counts: Mapping[tuple[str, str], int], first: str, second: str) -> Direction:
    ours, theirs = counts.get((first, second), 0), counts.get((second, first), 0)
    if ours + theirs == 0:
        return Direction(first, second, 0, 0, None, None)
    table = [[0, ours], [theirs, 0]]
    return Direction(
        first,
        second,
        ours,
        theirs,
        statistic=float(mcnemar(table, exact=False, correction=False).statistic),
        p=float(mcnemar(table, exact=True).pvalue),
    )


def _table(counts: Mapping[tuple[str, str], int], labels: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(counts.get((one, other), 0) for other in labels) for one in labels)


def _kappa(table: Sequence[Sequence[int]]) -> tuple[float | None, Interval]:
    if len(table) < 2:  # no label, or one: the agreement expected by chance is 1, and kappa 0/0
        return None, (None, None)
    with np.errstate(invalid="ignore"):  # the variance may be 0, or rounded to below it
        found = cohens_kappa(table)
    low, high = float(found.kappa_low), float(found.kappa_upp)
    if not high - low > 1e-6:  # nothing, NaN, or an error of rounding
        return float(found.kappa), (None, None)
    return float(found.kappa), (max(-1.0, low), min(1.0, high))


def _between(interval: Interval) -> str:
    low, high = interval
    return "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
