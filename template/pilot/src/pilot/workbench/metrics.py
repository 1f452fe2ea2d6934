"""The pilot's metrics, by one definition for pilot, production and dashboards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pilot.contract import PilotError
from pilot.fields import Match
from pilot.metrics import HOUR, Metric, metric_of
from pilot.workbench.columns import MATCHES, UNKNOWN, Codes, Columns, Flags, Floats, OfField


@dataclass(frozen=True)
class Sample:
    """One metric of the items that it is about, in its unit. `rows` are their places in the columns; a value that is
    not known is NaN. `probability` and `group` as in the columns. `weights` are how much of a value each item has, such
    as the fields that it holds: 1 where it is not said, and NaN where the value is not known."""

    rows: NDArray[np.intp]
    values: Floats
    probability: Floats
    group: Codes
    weights: Floats | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def known(self) -> Flags:
        """The items whose value is known."""
        found: Flags = ~np.isnan(self.values)
        return found


def accuracy(columns: Columns, values: Floats | None = None, weights: Floats | None = None) -> Sample:
    """1 where the AI's answer agrees with the final decision, else 0: a failure, an abstention and an answer of the
    rules count as 0. Of the items that a person is to decide, those excepted that came while the AI was off.

    Answers that were used without a person are spoken for by those of the same probability that were drawn for an
    audit. Where none was, they are in the sample themselves, each for itself and with no value: nobody looks at them.
    With `values` and `weights`, of all items, these take the place of 1 and 0.
    """
    off = np.isin(columns.mode, [code for code, name in enumerate(columns.modes) if name == "off"])
    unseen = _unseen(columns)
    found = np.where(columns.agrees != UNKNOWN, columns.agrees, np.nan) if values is None else values
    chosen = _sample(columns, (columns.asked & ~off) | unseen, np.where(unseen, np.nan, found))
    return replace(
        chosen,
        probability=np.where(unseen[chosen.rows], 1.0, chosen.probability),
        weights=None if weights is None else weights[chosen.rows],
    )


def of_fields(columns: Columns, metric: Metric, role: Mapping[str, OfField] | None = None) -> Sample:
    """A metric of the fields of the AI's answers (or of those of `role`), of the items that `accuracy` is of. A field
    that neither answer nor decision has is right where all fields are asked for, and does not count elsewhere.

    Raises PilotError where the contents were not read, or the field does not allow the metric.
    """
    found = columns.ai if role is None else role
    if not found:
        raise PilotError(f"{metric.name} needs the contents of the records, which cannot be read here.")
    if metric.field is not None and metric.field not in found:
        raise PilotError(f"{metric.name}: there is no field {metric.field}. The fields are: {', '.join(found)}.")
    values, weights = _values(metric, found, columns)
    sample = accuracy(columns, values, weights)
    kept = ~(sample.weights == 0)
    known = None if sample.weights is None else sample.weights[kept]
    return Sample(sample.rows[kept], sample.values[kept], sample.probability[kept], sample.group[kept], known)


def _values(metric: Metric, found: Mapping[str, OfField], columns: Columns) -> tuple[Floats, Floats]:
    """The value of each item and its weight, NaN where it is not known."""
    if metric.kind == "field_accuracy":
        right = np.sum([_is(one, Match.RIGHT) for one in found.values()], axis=0)
        wrong = np.sum([_is(one, Match.WRONG, Match.MISSING, Match.SPURIOUS) for one in found.values()], axis=0)
        counted = right + wrong
        # An item that holds nothing, as it should, weighs nothing and has no wrong field.
        return np.where(counted == 0, 1.0, right / np.maximum(counted, 1)), counted
    if metric.kind == "edit_similarity":
        drafts = [one.score for one in found.values() if one.draft]
        if not drafts:
            raise PilotError("edit_similarity is of drafts, and no field of the Prediction is annotated with Draft().")
        return np.mean(drafts, axis=0), np.ones(len(columns))
    one = found[metric.field or ""]
    if metric.kind == "f1":
        return np.where(one.counted == 0, 1.0, one.hits / np.maximum(one.counted, 1)), one.counted
    if metric.kind == "absolute_error":
        # Where the AI gave no number, people have that of today's rules.
        other = columns.rules.get(metric.field or "")
        gave_none = _is(one, Match.MISSING) == 1
        error = np.where(gave_none & (other is not None), one.error if other is None else other.error, one.error)
        held = _is(one, Match.RIGHT, Match.WRONG, Match.MISSING)
        return error, np.where(held == 0, 0.0, np.where(np.isnan(error), np.nan, held))
    right = _is(one, Match.RIGHT, Match.EMPTY)
    held = _is(one, Match.RIGHT, Match.WRONG, Match.MISSING, Match.SPURIOUS)
    return right, held if metric.kind == "within" else np.where(np.isnan(right), np.nan, 1.0)


def _is(column: OfField, *matches: Match) -> Floats:
    """1 where the field compares like this, else 0; NaN where it is not known."""
    found = np.isin(column.match, [MATCHES.index(match) for match in matches]).astype(float)
    return np.where(column.match == UNKNOWN, np.nan, found)


def accepted_unchanged(columns: Columns) -> Sample:
    """1 where a person took the answer that was shown as it was, else 0: a failure counts as 0. Of the items that a
    person decides with the answer in view."""
    shown = columns.influenced & columns.asked & ~columns.audited
    return _sample(columns, shown, np.where(columns.judged, (columns.agrees == 1) & columns.shown, np.nan))


def straight_through(columns: Columns) -> Sample:
    """1 where the AI's answer was used without an action of a person, an audit apart, else 0. Of the items that the AI
    could influence; NaN where it has not answered yet."""
    alone = (~columns.asked | columns.audited) & ~columns.failed
    return _sample(columns, columns.influenced, np.where(np.isnan(columns.answer_seconds), np.nan, alone))


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


def work_time(columns: Columns) -> Sample:
    """Minutes that people worked on an item, of the items that the AI could influence; NaN while open, and where the
    time that a person took is not known."""
    work = np.where(columns.touches == 0, 0.0, columns.work_seconds / 60)
    return _sample(columns, columns.influenced, np.where(_open(columns), np.nan, work))


def without_ai(columns: Columns) -> Floats:
    """The known minutes that people worked on the items that the AI could not influence, each of which they decided."""
    alone = ~columns.influenced & (columns.touches > 0) & ~np.isnan(columns.work_seconds)
    return columns.work_seconds[alone] / 60


def cost_per_item(columns: Columns, cost_of_hour: float) -> Sample:
    """The model's cost and that of people's time, in the charter's currency, of the items that the AI could influence;
    NaN while open, and where the time that a person took is not known."""
    # Without the cost of an hour, what took nobody time still has a known cost.
    work = np.where(columns.touches == 0, 0.0, columns.work_seconds / HOUR * cost_of_hour)
    values = np.nan_to_num(columns.cost) + work
    return _sample(columns, columns.influenced, np.where(_open(columns), np.nan, values))


def sample(columns: Columns, metric: str, cost_of_hour: float | None) -> Sample:
    """The metric of that name. Where an hour's cost is not known, neither is that of an item that took people time."""
    named = metric_of(metric)
    if named.of_fields:
        return of_fields(columns, named)
    if metric == "cost_per_item":
        return cost_per_item(columns, float("nan") if cost_of_hour is None else cost_of_hour)
    found: dict[str, Callable[[Columns], Sample]] = {
        "accuracy": accuracy,
        "accepted_unchanged": accepted_unchanged,
        "cycle_time": cycle_time,
        "manual_touches": manual_touches,
        "work_time": work_time,
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
