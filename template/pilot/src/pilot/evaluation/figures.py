"""One metric of the pilot in one figure: the interval that may decide on a target, and the naive one beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pilot.evaluation import censored, clusters, estimates, metrics, missing, sequences
from pilot.evaluation.columns import UNKNOWN
from pilot.evaluation.extra import library
from pilot.evaluation.intervals import Estimate

if TYPE_CHECKING:
    from pilot.evaluation.arrays import Floats
    from pilot.evaluation.columns import Columns
    from pilot.evaluation.metrics import Sample

NO_SEQUENCE = "no always-valid interval: it is for items that are independent, all judged, and closed"


@dataclass(frozen=True)
class Figure:
    """A metric over `items`, of which `known` have a value. `estimate` is corrected for those that have none, or
    bounded by them, and may decide; `naive` takes the known ones for all. `corrected` says whether the two differ by
    method. `bounds` are the shares if all items without a value were wrong, and if all were right. `groups` is how many
    groups the items come in, and `design_effect` what that costs; None without groups."""

    metric: str
    items: int
    known: int
    estimate: Estimate
    naive: Estimate
    corrected: bool
    bounds: tuple[float, float] | None = None
    design_effect: float | None = None
    groups: int | None = None

    @property
    def coverage(self) -> float | None:
        """The share of the items whose value is known."""
        return metrics.share(self.known, self.items)


def figure(
    columns: Columns, metric: str, *, until: float, cost_of_hour: float | None = None, planned: int | None = None
) -> Figure:
    """The metric of these items at the moment `until`, in seconds since 1970: accuracy as a share, others as a mean.

    With `planned` items the interval holds at every look; without, at one. Source: as the functions of `estimates`,
    `clusters`, `missing`, `censored` and `sequences` that its method names.
    """
    sample = metrics.sample(columns, metric, cost_of_hour)
    known = sample.known
    values, groups = sample.values[known], _groups(sample)
    naive: Estimate
    if metric == "accuracy":
        naive = estimates.share(values) if groups is None else clusters.share(values, _of(groups, known))
        estimate = _accuracy(sample, naive, planned)
    else:
        naive = estimates.mean(values) if groups is None else clusters.mean(values, _of(groups, known))
        ages = (until - columns.arrived_at[sample.rows]) / metrics.HOUR if metric == "cycle_time" else None
        estimate = _mean(sample, naive, ages, planned)
    lost = len(sample) - int(known.sum())
    right = int((values == 1).sum())
    return Figure(
        metric=metric,
        items=len(sample),
        known=int(known.sum()),
        estimate=estimate,
        naive=naive,
        corrected=estimate.method != naive.method,
        bounds=(right / len(sample), (right + lost) / len(sample)) if metric == "accuracy" and lost else None,
        design_effect=getattr(naive, "design_effect", None),
        groups=getattr(naive, "clusters", None),
    )


def _accuracy(sample: Sample, naive: Estimate, planned: int | None) -> Estimate:
    known = sample.known
    correct, n = int((sample.values[known] == 1).sum()), len(sample)
    lost = n - int(known.sum())
    weighted = bool((sample.probability != 1).any())
    groups = _groups(sample)
    if planned is not None:
        if weighted or groups is not None:
            return Estimate(naive.value, None, None, naive.n, NO_SEQUENCE)
        low, high = (sequences.share_of_counts(right, n) for right in (correct, correct + lost))
        return Estimate(naive.value, low.low, high.high, naive.n, low.method)
    if weighted or (lost and groups is not None):
        chosen = None if groups is None else _of(groups, known)
        return missing.weighted(sample.values[known], sample.probability[known], sample.probability[~known], chosen)
    if lost:
        found = missing.bounds(correct, n - lost, lost)
        return Estimate(naive.value, found.low, found.high, naive.n, found.method)
    return naive


def _mean(sample: Sample, naive: Estimate, ages: Floats | None, planned: int | None) -> Estimate:
    known = sample.known
    if planned is not None:
        if not known.all() or _groups(sample) is not None:
            return Estimate(naive.value, None, None, naive.n, NO_SEQUENCE)
        return sequences.mean(sample.values, planned)
    if ages is None or known.all() or not known.any():
        return naive
    numpy = library("numpy")
    times = numpy.where(known, sample.values, numpy.maximum(ages, 0))
    return censored.restricted_mean(times, known, float(times.max()))


def _groups(sample: Sample) -> list[Any] | None:
    """The group of each item, None for one without; None where no item has one."""
    if not len(sample) or (sample.group == UNKNOWN).all():
        return None
    return [None if code == UNKNOWN else code for code in sample.group.tolist()]


def _of(groups: list[Any], which: Any) -> list[Any]:
    return [group for group, wanted in zip(groups, which.tolist(), strict=True) if wanted]
