"""The verdict on a target: decided by an interval, never by the estimate alone."""

from __future__ import annotations

from enum import StrEnum

from pilot.workbench.stats.data import Interval


class Verdict(StrEnum):
    """What can be said about a target. PROGRESS is what an early look gives: figures, and no verdict."""

    MET = "MET"
    MISSED = "MISSED"
    NOT_PROVEN = "NOT PROVEN"
    PROGRESS = "PROGRESS"

    @property
    def exit_code(self) -> int:
        """What `pilot evaluate` ends with."""
        return {"MET": 0, "MISSED": 10, "NOT PROVEN": 11, "PROGRESS": 12}[self.value]


def verdict(interval: Interval, target: float, direction: str) -> Verdict:
    """MET where the whole interval is at the target or on its good side (`up`: above, `down`: below), MISSED where the
    whole of it is on the other, NOT PROVEN where the target lies within. An end that is None proves nothing."""
    low, high = interval
    if direction == "down":
        low, high, target = _mirrored(high), _mirrored(low), -target
    if low is not None and low >= target:
        return Verdict.MET
    if high is not None and high < target:
        return Verdict.MISSED
    return Verdict.NOT_PROVEN


def _mirrored(end: float | None) -> float | None:
    return None if end is None else -end
