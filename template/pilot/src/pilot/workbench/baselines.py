"""The pilot beside the process before it: a metric of both, with what is missing and what is grouped in the pilot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pilot.workbench import metrics
from pilot.workbench.columns import Columns
from pilot.workbench.documents.baseline import MEASURES, Measurement
from pilot.workbench.figures import Figure
from pilot.workbench.stats import comparisons, estimates, survival
from pilot.workbench.stats.comparisons import Comparison
from pilot.workbench.stats.data import Estimate

Baseline = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Beside:
    """The baseline's estimate of a metric, and the pilot's less it."""

    other: Estimate
    comparison: Comparison


@dataclass(frozen=True)
class Measure:
    """One measure of the baseline: `n` known values, how many are `missing`, and its statistics by name."""

    n: int
    missing: int
    statistics: dict[str, Estimate]


def measures(rows: Sequence[Measurement]) -> dict[str, Measure]:
    """The measures by name, in seconds, as a share, in the charter's currency, and in actions."""
    found = {}
    for name in MEASURES:
        values = [float(value) for row in rows if (value := getattr(row, name)) is not None]
        statistics = {}
        if values and name == "correct":
            statistics["share"] = estimates.share(values)
        elif values:
            statistics["median"], statistics["p90"] = (estimates.quantile(values, q) for q in (0.5, 0.9))
            statistics["mean"] = estimates.mean(values)
        found[name] = Measure(len(values), len(rows) - len(values), statistics)
    return found


def against(
    columns: Columns, figure: Figure, baseline: Baseline, until: float, cost_of_hour: float | None
) -> Beside | None:
    """The figure of the pilot against the known values of the baseline; None where one of the two has no value.

    Where all items have a value and none a group, as `comparisons.independent_shares` and `independent_means`. Else the
    corrected figure against the baseline, as `comparisons.between`; a censored one against the baseline's mean within
    the same horizon.
    """
    before = baseline.get(figure.metric, ())
    if not len(before) or figure.naive.value is None:
        return None
    share = figure.metric == "accuracy"
    other = estimates.share(before) if share else estimates.mean(before)
    if figure.corrected or figure.groups is not None:
        if figure.horizon is not None:
            other = survival.restricted_mean(before, [1] * len(before), figure.horizon)
        return Beside(other, comparisons.between(figure.estimate, other, figure.bounds))
    sample = metrics.sample(columns, figure.metric, cost_of_hour)
    compare = comparisons.independent_shares if share else comparisons.independent_means
    return Beside(other, compare(sample.values, before))
