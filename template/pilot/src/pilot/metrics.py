"""The names, units and directions of the pilot's metrics, and how a share and a quantile are computed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pilot.contract import PilotError

# The metrics that hold for every task.
UNITS = {
    "accuracy": "share",
    "cycle_time": "hours",
    "manual_touches": "actions",
    "cost_per_item": "currency",
    "work_time": "minutes",
}
# What the records know beside them: the share of answers that failed, and the 95th percentile of the AI's seconds.
OF_THE_MODEL = ("failures", "latency")
# What else can be measured of the fields of an answer: of all of them together, and of the one that is named.
OF_ALL_FIELDS = ("field_accuracy", "accepted_unchanged", "edit_similarity")
OF_A_FIELD = ("accuracy", "f1", "absolute_error", "within")
HOUR = 3600.0
_NAME = re.compile(rf"({'|'.join(OF_A_FIELD)}):([A-Za-z_][A-Za-z0-9_]*)")
NAMES = f"{', '.join((*UNITS, *OF_ALL_FIELDS))}, or {', '.join(f'{kind}:FIELD' for kind in OF_A_FIELD)}"


@dataclass(frozen=True)
class Metric:
    """A metric by its name: the `field` that it is about, if it is about one; its unit, None for that of the field; and
    which way is better."""

    name: str
    kind: str
    field: str | None
    unit: str | None
    better: Literal["up", "down"]

    @property
    def of_answers(self) -> bool:
        """Whether people's decisions show it whatever the mode, so that shadow proves it."""
        return self.kind in ("accuracy", *OF_A_FIELD, "field_accuracy", "edit_similarity")

    @property
    def yes_or_no(self) -> bool:
        """Whether each item has it or not, so that the figure is a share of items."""
        return self.kind in ("accuracy", "within", "accepted_unchanged")

    @property
    def bounded(self) -> bool:
        """Whether it lies in [0, 1]."""
        return self.unit == "share"

    @property
    def of_fields(self) -> bool:
        """Whether the contents of the records have to be read for it."""
        return self.field is not None or self.kind in ("field_accuracy", "edit_similarity")


def metric_of(name: str) -> Metric:
    """The metric of that name. Raises PilotError where there is none."""
    found = _NAME.fullmatch(name)
    if found is None and name not in (*UNITS, *OF_ALL_FIELDS, *OF_THE_MODEL):
        raise PilotError(f"There is no metric {name}. Name one of {NAMES}.")
    kind, field = found.groups() if found else (name, None)
    if name in UNITS or name in OF_THE_MODEL:
        return Metric(name, kind, None, UNITS.get(name), "up" if name == "accuracy" else "down")
    return Metric(name, kind, field, *((None, "down") if kind == "absolute_error" else ("share", "up")))


def better(name: str) -> Literal["up", "down"]:
    """Which way is better, where the charter does not say. Raises PilotError where there is no such metric."""
    return metric_of(name).better


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
