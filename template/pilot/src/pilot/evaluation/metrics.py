"""The pilot's metrics, by one definition for pilot, production and dashboards."""

from __future__ import annotations

from collections.abc import Sequence


def share(part: int, whole: int) -> float | None:
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
