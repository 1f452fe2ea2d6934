"""The pilot's metrics, by one definition for pilot, production and dashboards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pilot.metrics import HOUR
from pilot.workbench.columns import UNKNOWN, Codes, Columns, Flags, Floats


@dataclass(frozen=True)
class Sample:
    """One metric of the items that it is about, in its unit. `rows` are their places in the columns; a value that is
    not known is NaN. `probability` and `group` as in the columns."""

    rows: NDArray[np.intp]
    values: Floats
    probability: Floats
    group: Codes

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def known(self) -> Flags:
        """The items whose value is known."""
        found: Flags = ~np.isnan(self.values)
        return found


def accuracy(columns: Columns) -> Sample:
    """1 where the AI's answer agrees with the final decision, else 0: a failure, an abstention and an answer of the
    rules count as 0. Of the items that a person is to decide, those excepted that came while the AI was off.

    Answers that were used without a person are spoken for by those of the same probability that were drawn for an
    audit. Where none was, they are in the sample themselves, each for itself and with no value: nobody looks at them.
    """
    off = np.isin(columns.mode, [code for code, name in enumerate(columns.modes) if name == "off"])
    unseen = _unseen(columns)
    values = np.where((columns.agrees != UNKNOWN) & ~unseen, columns.agrees, np.nan)
    chosen = _sample(columns, (columns.asked & ~off) | unseen, values)
    return replace(chosen, probability=np.where(unseen[chosen.rows], 1.0, chosen.probability))


def cycle_time(columns: Columns) -> Sample:
    """Hours from an item's arrival to its final outcome, of the items that the AI could influence; NaN while open.
    Without those that are `misdated`."""
    return _sample(columns, columns.influenced & ~misdated(columns), (columns.ended_at - columns.arrived_at) / HOUR)


def misdated(columns: Columns) -> Flags:
    """Items whose outcome is dated before their arrival, because clocks disagree: their time is not known."""
    found: Flags = columns.ended_at < columns.arrived_at
    return found


def manual_touches(columns: Columns) -> Sample:
    """Actions of persons on an item, an audit among them, of the items that the AI could influence; NaN while open."""
    return _sample(columns, columns.influenced, np.where(_open(columns), float("nan"), columns.touches))


def cost_per_item(columns: Columns, cost_of_hour: float) -> Sample:
    """The model's cost and that of people's time, in the charter's currency, of the items that the AI could influence;
    NaN while open, and where the time that a person took is not known."""
    work = np.where(columns.touches == 0, 0.0, columns.work_seconds / HOUR * cost_of_hour)
    values = np.nan_to_num(columns.cost) + work
    return _sample(columns, columns.influenced, np.where(_open(columns), np.nan, values))


def sample(columns: Columns, metric: str, cost_of_hour: float | None) -> Sample:
    """The metric of that name. Where an hour's cost is not known, neither is that of an item that took people time."""
    if metric == "cost_per_item":
        return cost_per_item(columns, float("nan") if cost_of_hour is None else cost_of_hour)
    found: dict[str, Callable[[Columns], Sample]] = {
        "accuracy": accuracy,
        "cycle_time": cycle_time,
        "manual_touches": manual_touches,
    }
    return found[metric](columns)


def _unseen(columns: Columns) -> Flags:
    """Answers that were used without a person, where no answer of the same probability was drawn for an audit."""
    unseen: Flags = columns.influenced & ~columns.asked & ~np.isnan(columns.answer_seconds)
    for probability in np.unique(columns.probability[columns.audited]):
        unseen &= columns.probability != probability
    return unseen


def _open(columns: Columns) -> Flags:
    """Items on which a person has still to act, or the AI."""
    found: Flags = np.isnan(columns.ended_at) | (columns.audited & ~columns.judged)
    return found


def _sample(columns: Columns, which: Flags, values: Floats) -> Sample:
    rows = np.flatnonzero(which)
    return Sample(rows, values[rows], columns.probability[rows], columns.group[rows])
