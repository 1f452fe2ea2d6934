"""Tests that stand beside the intervals, and what several of them say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pilot.workbench.stats.arrays import finite, paired
from pilot.workbench.stats.extra import library

if TYPE_CHECKING:
    from pilot.workbench.stats.arrays import Numbers

# A split of items that is as odd as this is a fault of the assignment, and no verdict is given.
ODD_SPLIT = 0.001


@dataclass(frozen=True)
class Test:
    """A two-sided test of `n` items by a `method` in plain words. Without items, the statistic and p are None."""

    statistic: float | None
    p: float | None
    n: int
    method: str


def mcnemar(first_only: int, second_only: int, exact: bool = True, correction: bool = False) -> Test:
    """Whether two answers to the same items are right equally often, from the items where one alone is: the exact
    binomial test, or the chi-squared one with or without continuity correction.

    Source: McNemar (1947), Psychometrika 12:153; Edwards (1948) for the correction; through statsmodels.
    """
    method = "exact McNemar" if exact else f"McNemar's chi-squared, {'' if correction else 'not '}corrected"
    n = first_only + second_only
    if n == 0:
        return Test(None, 1.0, 0, method)
    table = [[0, int(first_only)], [int(second_only), 0]]
    test = library("statsmodels.stats.contingency_tables").mcnemar
    found = test(table, exact=exact, correction=correction)
    return Test(float(found.statistic), float(found.pvalue), n, method)


def wilcoxon(first: Numbers, second: Numbers) -> Test:
    """Whether the paired differences `first` - `second` lie around zero, by signed ranks; the statistic is the smaller
    sum of ranks. Below 50 pairs without ties or zeros it is exact. Else it is normal with continuity correction, zeros
    are left out, and the method says so: R's rule, where scipy's own would call ranks with a zero exact.

    Source: Wilcoxon (1945), Biometrics Bulletin 1:80, through scipy.
    """
    numpy, stats = library("numpy"), library("scipy.stats")
    one, other = paired("first", first, "second", second)
    differences = one - other
    if differences.any():
        # Or differences that are equal in decimal, such as 0.8 - 0.7 and 0.3 - 0.2, would be untied by their last bit.
        differences = numpy.round(differences / numpy.abs(differences).max(), 12)
    sizes = numpy.abs(differences)
    exact = len(sizes) < 50 and (sizes > 0).all() and len(numpy.unique(sizes)) == len(sizes)
    method = "Wilcoxon signed rank, " + ("exact" if exact else "normal with continuity correction, zeros left out")
    if not (sizes > 0).any():
        return Test(None, 1.0 if len(sizes) else None, len(sizes), method)
    found = stats.wilcoxon(
        differences, zero_method="wilcox", correction=not exact, method="exact" if exact else "asymptotic"
    )
    return Test(float(found.statistic), float(found.pvalue), len(sizes), method)


def assignment(counts: Sequence[int], shares: Sequence[float] | None = None) -> Test:
    """Whether items were split as planned, equally or in proportion to `shares`. A p below `ODD_SPLIT` is a fault of
    the assignment: give no verdict before it is understood.

    Source: Pearson (1900), through scipy; Fabijan et al. (2019), KDD, for its use as a check of sample ratios.
    """
    numpy = library("numpy")
    found = finite("counts", counts)
    parts = numpy.ones(len(found)) if shares is None else finite("shares", shares)
    if len(parts) != len(found) or len(found) < 2 or (found < 0).any() or (parts <= 0).any():
        raise ValueError("counts must be two or more, none negative, each with a share above 0")
    method = "chi-squared of the split"
    n = int(found.sum())
    if n == 0:
        return Test(None, None, 0, method)
    test = library("scipy.stats").chisquare(found, parts / parts.sum() * n)
    return Test(float(test.statistic), float(test.pvalue), n, method)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several secondary questions, adjusted so that all together err at most as often as one.

    Source: Holm (1979), Scandinavian Journal of Statistics 6:65, through statsmodels.
    """
    return _adjusted(p_values, "holm")


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """The p-values of an exploration, such as of slices, adjusted so that of those below 0.05 one in 20 is expected to
    be false.

    Source: Benjamini and Hochberg (1995), JRSS B 57:289, through statsmodels.
    """
    return _adjusted(p_values, "fdr_bh")


def _adjusted(p_values: Sequence[float], method: str) -> list[float]:
    column = finite("p_values", p_values)
    if ((column < 0) | (column > 1)).any():
        raise ValueError("p_values must be in [0, 1]")
    if not len(column):
        return []
    multipletests = library("statsmodels.stats.multitest").multipletests
    return [float(value) for value in multipletests(column, method=method)[1]]
