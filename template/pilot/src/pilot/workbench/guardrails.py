"""What must not get worse while the target is pursued. What is not shown to hold does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pilot.charter import Guardrail
from pilot.metrics import GUARDRAILS, OF_THE_MODEL, UNITS
from pilot.workbench import figures
from pilot.workbench.baselines import Beside
from pilot.workbench.columns import Columns
from pilot.workbench.stats import comparisons, estimates
from pilot.workbench.stats.comparisons import Comparison
from pilot.workbench.stats.data import Estimate


@dataclass(frozen=True)
class Guarded:
    """A guardrail, the figure that speaks about it, whether it is shown to hold, and whether harm is proven."""

    metric: str
    margin: float
    holds: bool
    harmed: bool
    said: str


def guarded(columns: Columns, rail: Guardrail, beside: Mapping[str, Beside | None]) -> Guarded:
    """Whether the guardrail holds: a metric of the charter against the baseline, by non-inferiority within the margin;
    failures and latency against the margin itself. Harm is proven where the interval lies wholly on the worse side of
    no difference and does not stay within the margin, or wholly above the margin."""
    if rail.metric in OF_THE_MODEL:
        return _of_the_model(columns, rail)
    if rail.metric not in UNITS:
        return _unshown(rail, f"not known; name one of {', '.join(GUARDRAILS)}")
    found = beside[rail.metric]
    if found is None:
        return _unshown(rail, "nothing to compare: it needs values of the baseline, and of the pilot beyond shadow")
    comparison = found.comparison
    holds = comparisons.non_inferior(comparison, rail.margin, rail.direction)
    worse = comparison.high if rail.direction == "up" else comparison.low
    harmed = worse is not None and (worse < 0 if rail.direction == "up" else worse > 0) and not holds
    return Guarded(rail.metric, rail.margin, holds, harmed, f"pilot less baseline {_shown(comparison)}")


def _of_the_model(columns: Columns, rail: Guardrail) -> Guarded:
    answered = ~np.isnan(columns.answer_seconds)
    if rail.metric == "failures":
        found = estimates.share(columns.failed[answered], figures.codes(columns.group, answered))
    else:
        answered &= ~columns.failed
        found = estimates.quantile(columns.answer_seconds[answered], 0.95, figures.codes(columns.group, answered))
    holds = found.high is not None and found.high <= rail.margin
    harmed = found.low is not None and found.low > rail.margin
    what = "share of failed answers" if rail.metric == "failures" else "95th percentile of seconds"
    return Guarded(rail.metric, rail.margin, holds, harmed, f"{what} {_shown(found)}")


def _unshown(rail: Guardrail, why: str) -> Guarded:
    return Guarded(rail.metric, rail.margin, False, False, why)


def _shown(found: Estimate | Comparison) -> str:
    value = found.value if isinstance(found, Estimate) else found.difference
    ends = ["open" if end is None else f"{end:.4g}" for end in (found.low, found.high)]
    return f"{'-' if value is None else f'{value:.4g}'} [{ends[0]}, {ends[1]}], n {found.n}, {found.method}"
