"""The names, units and directions of the pilot's metrics, and how a share and a quantile are computed."""

from __future__ import annotations

from collections.abc import Sequence

UNITS = {"accuracy": "share", "cycle_time": "hours", "manual_touches": "actions", "cost_per_item": "currency"}
# Which way is better where the charter does not say.
BETTER = {
    "accuracy": "up",
    **dict.fromkeys(("cycle_time", "manual_touches", "cost_per_item", "failures", "latency"), "down"),
}
# What the records know beside them: the share of answers that failed, and the 95th percentile of the AI's seconds.
OF_THE_MODEL = ("failures", "latency")
GUARDRAILS = (*UNITS, *OF_THE_MODEL)
HOUR = 3600.0


def share(part: float, whole: float) -> float | None:
    """`part` of `whole` in [0, 1]; none where there is nothing to divide."""
    return part / whole if whole else None


def quantile(values: Sequence[float], q: float) -> float | None:
    """The smallest value with at least a share `q` of the values at or below it; none where there are none.

    Source: the inverse of the empirical distribution function, Hyndman and Fan (1996), definition 1.
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -int(-q * len(ordered) // 1) - 1)]
