"""The pilot's metrics, by one definition for pilot, production and dashboards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pilot.metrics import HOUR
from pilot.workbench.columns import UNKNOWN
from pilot.workbench.stats.extra import library

if TYPE_CHECKING:
    from pilot.workbench.columns import Codes, Columns, Flags, Floats


@dataclass(frozen=True)
class Sample:
    """One metric of the items that it is about, in its unit. `rows` are their places in the columns; a value that is
    not known is NaN. `probability` and `group` as in the columns."""

    rows: Codes
    values: Floats
    probability: Floats
    group: Codes

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def known(self) -> Flags:
        """The items whose value is known."""
        found: Flags = ~library("numpy").isnan(self.values)
        return found


def accuracy(columns: Columns) -> Sample:
    """1 where the AI's answer agrees with the final decision, else 0: a failure, an abstention and an answer of the
    rules count as 0. Of the items that a person is to decide, those excepted that came while the AI was off.

    Answers that were used without a person are spoken for by those of the same probability that were drawn for an
    audit. Where none was, they are in the sample themselves, each for itself and with no value: nobody looks at them.
    """
    numpy = library("numpy")
    off = numpy.isin(columns.mode, [code for code, name in enumerate(columns.modes) if name == "off"])
    unseen = _unseen(columns)
    values = numpy.where((columns.agrees != UNKNOWN) & ~unseen, columns.agrees, numpy.nan)
    chosen = _sample(columns, (columns.asked & ~off) | unseen, values)
    return replace(chosen, probability=numpy.where(unseen[chosen.rows], 1.0, chosen.probability))


def cycle_time(columns: Columns) -> Sample:
    """Hours from an item's arrival to its final outcome, of the items that the AI could influence; NaN while open. 0
    where clocks disagree so that the outcome stands before the arrival."""
    hours = (columns.ended_at - columns.arrived_at) / HOUR
    return _sample(columns, columns.influenced, library("numpy").maximum(hours, 0.0))


def manual_touches(columns: Columns) -> Sample:
    """Actions of persons on an item, an audit among them, of the items that the AI could influence; NaN while open."""
    return _sample(columns, columns.influenced, library("numpy").where(_open(columns), float("nan"), columns.touches))


def cost_per_item(columns: Columns, cost_of_hour: float) -> Sample:
    """The model's cost and that of people's time, in the charter's currency, of the items that the AI could influence;
    NaN while open, and where the time that a person took is not known."""
    numpy = library("numpy")
    work = numpy.where(columns.touches == 0, 0.0, columns.work_seconds / HOUR * cost_of_hour)
    values = numpy.nan_to_num(columns.cost) + work
    return _sample(columns, columns.influenced, numpy.where(_open(columns), numpy.nan, values))


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
    numpy = library("numpy")
    unseen: Flags = columns.influenced & ~columns.asked & ~numpy.isnan(columns.answer_seconds)
    for probability in numpy.unique(columns.probability[columns.audited]):
        unseen &= columns.probability != probability
    return unseen


def _open(columns: Columns) -> Flags:
    """Items on which a person has still to act, or the AI."""
    numpy = library("numpy")
    found: Flags = numpy.isnan(columns.ended_at) | (columns.audited & ~columns.judged)
    return found


def _sample(columns: Columns, which: Flags, values: Floats) -> Sample:
    rows = library("numpy").flatnonzero(which)
    return Sample(rows, values[rows], columns.probability[rows], columns.group[rows])
