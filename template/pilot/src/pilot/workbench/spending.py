"""What live items took: the AI's seconds, tokens and cost, and people's seconds. No content is read."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, select

from pilot.records import controls
from pilot.records.outcomes import is_final, latest, of_live
from pilot.records.tables import answers, items, outcomes
from pilot.workbench.evaluation import counted_until, moment
from pilot.workbench.projection import LEAST, Measured, Range
from pilot.workbench.stats import estimates
from pilot.workbench.stats.data import Column, Floats

_CHUNK = 20_000
_WORDS = {
    "minutes_today": "decisions made without the AI",
    "review_minutes": "accepted answers",
    "override_minutes": "overridden answers",
}


@dataclass(frozen=True)
class Spending:
    """Columns of live items, each of those where the value is known. Of the AI's answers: `seconds`, `tokens`, `cost`
    in its currency, and `failed`, 1 or 0. Of people's decisions: seconds of those made `blind`, without the AI's
    answer, of those that `accepted` it, and of those that were `overridden`; `overrides` is 1 where a decision differs
    from the AI's answer, else 0, failures left out."""

    seconds: Floats
    tokens: Floats
    cost: Floats
    failed: Floats
    blind: Floats
    accepted: Floats
    overridden: Floats
    overrides: Floats


def read(connection: Connection, until: datetime | None = None) -> Spending:
    """The live items that were received before `until`, with their outcomes of before that moment; all if None."""
    kept = {name: array("d") for name in Spending.__dataclass_fields__}
    rows = connection.execution_options(yield_per=_CHUNK)
    for begun, ended, tokens, cost, failure in rows.execute(_answers(until)):
        kept["failed"].append(failure is not None)
        for name, value in (("tokens", tokens), ("cost", cost), ("seconds", (ended - begun).total_seconds())):
            if value is not None:
                kept[name].append(value)
    for seconds, action, agreement, failure in rows.execute(_outcomes(until)):
        if agreement is not None and failure is None:
            kept["overrides"].append(not agreement)
        if seconds is not None:
            kept["blind" if action is None else "accepted" if action == "accepted" else "overridden"].append(seconds)
    return Spending(**{name: np.frombuffer(values) if values else np.empty(0) for name, values in kept.items()})


def measured_live(connection: Connection, as_of: date, due: date | None) -> dict[str, Measured]:
    """What the live records of up to the end of the day know about the inputs, those after `due`, the day of the
    decision, left out; nothing where the database is for scratch."""
    if controls.scratch(connection):
        return {}
    return measured(read(connection, moment(counted_until(as_of, due))))


def measured(of: Spending) -> dict[str, Measured]:
    """The inputs of a projection that the columns measure, by their names there, in its units; only what at least
    LEAST values measure."""
    minutes = {"minutes_today": of.blind, "review_minutes": of.accepted, "override_minutes": of.overridden}
    said = {
        **{name: (seconds / 60, _WORDS[name]) for name, seconds in minutes.items()},
        "seconds_per_item": (of.seconds, "answers"),
        "tokens_per_item": (of.tokens, "answers with tokens"),
        "price_per_call": (of.cost, "answers with a cost"),
        "failed_share": (of.failed, "answers"),
        "override_share": (of.overrides, "decisions beside an answer"),
    }
    found = {}
    for name, (values, what) in said.items():
        if len(values) >= LEAST:
            found[name] = Measured(_share(values) if name.endswith("_share") else mean(values), len(values), what)
    return found


def mean(values: Column) -> Range:
    """The mean of values of 0 or more, with the ends of its 95 % interval; where the values bound none, as when all are
    the same, it is certain."""
    middle = sum(values) / len(values)
    low, high = estimates.mean(values).interval
    if low is None or high is None:
        return Range(middle, middle, middle)
    return Range(max(0.0, min(low, middle)), middle, max(high, middle))


def _share(values: Floats) -> Range:
    share = float(values.mean())
    low, high = estimates.wilson(int(values.sum()), len(values))
    return Range(min(low or 0.0, share), share, 1.0 if high is None else max(high, share))


def _answers(until: datetime | None) -> Any:
    wanted = (
        select(answers.c.begun_at, answers.c.ended_at, answers.c.tokens, answers.c.cost, answers.c.failure)
        .join(items, items.c.id == answers.c.item_id)
        .where(answers.c.role == "primary", answers.c.ended_at.is_not(None))
        .order_by(items.c.seq)
    )
    return of_live(wanted, until)


def _outcomes(until: datetime | None) -> Any:
    """The last outcome of each item, with the seconds of all actions on it where each is known."""
    last = latest(until)
    wanted = (
        select(last.c.work, outcomes.c.action, outcomes.c.agreement, answers.c.failure)
        .select_from(items)
        .join(last, last.c.item_id == items.c.id)
        .join(outcomes, is_final(last))
        .outerjoin(answers, and_(answers.c.item_id == items.c.id, answers.c.role == "primary"))
        .order_by(items.c.seq)
    )
    return of_live(wanted, until)
