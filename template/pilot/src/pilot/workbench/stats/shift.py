"""Whether what comes in, or what is answered, is still what it was, where days differ anyway.

Real traffic varies from day to day, so items of one day are alike and count for less than as many that were drawn on
their own. A test that takes them for independent finds a shift in every second healthy week.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy import stats

# Fewer items in the present window find little: half of the shifts of half a standard deviation at 60.
LEAST_ITEMS, LEAST_DAYS = 200, 5
# A smaller change is none that anybody would act on: in points of a share, and in standard deviations.
POINTS, DEVIATIONS = 0.05, 0.2
ALPHA = 0.05
# A label that is expected less often than this, in either window, is counted among the rest.
_EXPECTED = 5.0
REST = "all others"


@dataclass(frozen=True)
class Shift:
    """What changed between two windows. `before` and `now` are shares of the label that moved most (`label`), or means;
    `size` is the difference, in points of a share or in standard deviations, `p` the chance of one as large by itself.
    """

    before: float
    now: float
    size: float
    p: float
    label: str | None = None

    @property
    def matters(self) -> bool:
        """Whether the change is as large as somebody would act on."""
        return abs(self.size) >= (DEVIATIONS if self.label is None else POINTS)


@dataclass(frozen=True)
class Window:
    """The values of a window's items, and the day of each; the same length."""

    values: npt.NDArray[np.float64]
    days: npt.NDArray[np.int64]

    def mean(self) -> tuple[float, float, float]:
        """The mean, its variance where the items of a day belong together, and how many days it stands on: days of few
        items count for less.

        Source: the ratio estimator of a cluster sample, Cochran (1977), Sampling Techniques, 9A; days as Kish (1965).
        """
        mean, count = float(self.values.mean()), len(self.values)
        _, place, sizes = np.unique(self.days, return_inverse=True, return_counts=True)
        days = float(count**2 / (sizes.astype(float) ** 2).sum())
        off = np.bincount(place, self.values - mean)
        return mean, float(days / (days - 1) * (off**2).sum() / count**2), days


def of_means(reference: Window, present: Window) -> Shift:
    """Welch's test of two means with variances clustered by day, and the difference in the reference's deviations."""
    (before, spread, days), (now, its_spread, its_days) = reference.mean(), present.mean()
    deviation = float(reference.values.std())
    total = spread + its_spread
    if total == 0 or deviation == 0:
        same = before == now
        return Shift(before, now, 0.0 if same else float("inf"), 1.0 if same else 0.0)
    freedom = total**2 / (spread**2 / (days - 1) + its_spread**2 / (its_days - 1))
    p = float(2 * stats.t.sf(abs(now - before) / sqrt(total), freedom))
    return Shift(before, now, (now - before) / deviation, p)


def of_shares(
    reference: tuple[Sequence[str], Sequence[int]], present: tuple[Sequence[str], Sequence[int]]
) -> Shift | None:
    """Rao and Scott's test of the shares of labels, whose design effect is that of the days within both windows; None
    where there is one label alone. `reference` and `present` are the labels of the items and the day of each.

    Source: Rao & Scott (1984), Annals of Statistics 12:46, first-order correction, with F as Thomas & Rao (1987).
    """
    names = _kept(reference[0], present[0])
    if len(names) < 2:
        return None
    windows = [_counted(labels, days, names) for labels, days in (reference, present)]
    sizes = [float(table.sum()) for table in windows]
    shares = [table.sum(axis=0) / size for table, size in zip(windows, sizes, strict=True)]
    pooled = (shares[0] * sizes[0] + shares[1] * sizes[1]) / sum(sizes)
    alike = _alike(windows, shares)
    # How much a window's days inflate the variance of its shares.
    effects = [1 + ((table.sum(axis=1) ** 2).sum() / table.sum() - 1) * alike for table in windows]
    variance = effects[0] / sizes[0] + effects[1] / sizes[1]
    moved = shares[1] - shares[0]
    freedom, days = len(names) - 1, sum(len(table) for table in windows) - 2
    statistic = float((moved**2 / pooled).sum() / variance) / freedom
    p = float(stats.f.sf(statistic, freedom, freedom * days))
    most = int(np.abs(moved).argmax())
    return Shift(float(shares[0][most]), float(shares[1][most]), float(moved[most]), p, names[most])


def _kept(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """The labels that are frequent enough to be counted on their own, and the rest, where there is one."""
    counts, least = Counter([*before, *now]), min(len(before), len(now))
    total = len(before) + len(now)
    kept = sorted(label for label, count in counts.items() if count / total * least >= _EXPECTED)
    return kept if len(kept) == len(counts) else [*kept, REST]


def _counted(labels: Sequence[str], days: Sequence[int], names: list[str]) -> npt.NDArray[np.float64]:
    """How often each label came on each day: shape (days, labels)."""
    place = {name: number for number, name in enumerate(names)}
    rest = place.get(REST, 0)
    _, day = np.unique(np.asarray(days), return_inverse=True)
    table = np.zeros((int(day.max()) + 1, len(names)))
    np.add.at(table, (day, np.array([place.get(label, rest) for label in labels])), 1)
    return table


def _alike(windows: list[npt.NDArray[np.float64]], shares: list[npt.NDArray[np.float64]]) -> float:
    """How alike the labels of one day are, within both windows, in [0, 1]: their intraclass correlation."""
    between = within = 0.0
    for table, share in zip(windows, shares, strict=True):
        sizes = table.sum(axis=1)
        count, days = sizes.sum(), len(sizes)
        spread = (share * (1 - share)).sum()
        squares = (sizes[:, None] * (table / sizes[:, None] - share) ** 2).sum()
        typical = (count - (sizes**2).sum() / count) / (days - 1)
        inside = (count * spread - squares) / (count - days)
        between += squares / (days - 1) - inside
        within += squares / (days - 1) + (typical - 1) * inside
    return float(min(1.0, max(0.0, between / within))) if within > 0 else 0.0
