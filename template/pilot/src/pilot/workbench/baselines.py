"""The pilot beside the process before it: a metric of both, with what is missing and what is grouped in the pilot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pilot.workbench import metrics
from pilot.workbench.figures import Figure
from pilot.workbench.stats import censored, comparisons, differences, estimates
from pilot.workbench.stats.comparisons import Comparison
from pilot.workbench.stats.intervals import Estimate

if TYPE_CHECKING:
    from pilot.workbench.columns import Columns

Baseline = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Beside:
    """The baseline's estimate of a metric, and the pilot's less it."""

    other: Estimate
    comparison: Comparison


def against(
    columns: Columns, figure: Figure, baseline: Baseline, until: float, cost_of_hour: float | None
) -> Beside | None:
    """The figure of the pilot against the known values of the baseline; None where one of the two has no value.

    Where all items have a value and none a group, as `comparisons.independent_shares` and `independent_means`. Else the
    corrected figure against the baseline, as `differences.between`; a censored one against the baseline's mean within
    the same horizon.
    """
    before = baseline.get(figure.metric, ())
    if not len(before) or figure.naive.value is None:
        return None
    share = figure.metric == "accuracy"
    other = estimates.share(before) if share else estimates.mean(before)
    if figure.corrected or figure.groups is not None:
        if figure.horizon is not None:
            other = censored.restricted_mean(before, [1] * len(before), figure.horizon)
        return Beside(other, differences.between(figure.estimate, other, figure.bounds))
    sample = metrics.sample(columns, figure.metric, cost_of_hour)
    compare = comparisons.independent_shares if share else comparisons.independent_means
    return Beside(other, compare(sample.values, before))
