"""The verdict on the charter's target, and why it is none of the clear ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
from scipy import stats

from pilot.charter import Charter
from pilot.metrics import BETTER
from pilot.workbench.columns import Columns
from pilot.workbench.figures import Figure
from pilot.workbench.verdict import Verdict, verdict

# Fewer audits than this chance allows, where the share is kept, are no accident.
TOO_FEW = 0.025


def decided(
    figure: Figure, columns: Columns, charter: Charter, due: date | None, *, early: bool
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict on the figure, and why it is not a clear one. An early look gives none, nor what it would be."""
    barred = tuple(_barred(figure, columns, charter))
    if early:
        when = "the charter is signed and has a date" if due is None else f"the day of the decision, {due}"
        return Verdict.PROGRESS, (f"There is no verdict before {when}.", *barred)
    target, direction = charter.target or 0.0, charter.direction or BETTER[figure.metric]
    found = verdict(figure.estimate.interval, target, direction)
    if barred or found is not Verdict.NOT_PROVEN:
        return (Verdict.NOT_PROVEN, barred) if barred else (found, ())
    reasons = ["The target lies within the interval."]
    lost = figure.items - figure.known
    alone = verdict(figure.naive.interval, target, direction)
    if lost and charter.interval != "always_valid" and alone is not Verdict.NOT_PROVEN:
        reasons.append(f"Leaving out the {lost} items without {_value(figure)} it would be {alone}: judge those.")
    return found, tuple(reasons)


def _barred(figure: Figure, columns: Columns, charter: Charter) -> Iterator[str]:
    """What stands in the way of any verdict."""
    coverage, floor = figure.coverage, charter.least_coverage
    if not figure.items:
        yield (
            "No live item counts for the metric yet."
            if figure.metric == "accuracy"
            else f"Shadow proves accuracy only: {figure.metric} needs items of mode assist or auto, and there are none."
        )
    elif figure.metric == "cost_per_item" and not figure.known and charter.cost_of_hour is None:
        yield "The charter does not say what an hour of people's time costs: cost_of_hour."
    elif not figure.known:
        yield f"No item that counts has {_value(figure)} yet."
    elif figure.estimate.low is None and figure.estimate.high is None:
        yield f"The figure has no interval: {figure.estimate.method.removeprefix('no interval: ')}."
    if coverage is not None and coverage < floor:
        yield (
            f"Of the {figure.items} items that count {coverage:.1%} have {_value(figure)}, and the charter asks for "
            f"{floor:.0%}."
        )
    yield from _unaudited(figure, columns, charter)


def _unaudited(figure: Figure, columns: Columns, charter: Charter) -> Iterator[str]:
    """Whether fewer of the answers that were used without a person were judged than the charter declares."""
    if figure.metric != "accuracy":
        return
    alone = columns.influenced & ~np.isnan(columns.answer_seconds) & (columns.audited | ~columns.asked)
    used, audits = int(alone.sum()), int((alone & columns.audited & columns.judged).sum())
    share = charter.audited
    chance = float(stats.binom.cdf(audits, used, share)) if used else 1.0
    if chance < TOO_FEW:
        yield (
            f"Of {used} answers that were used without a person {audits} were judged by audit, and the charter asks "
            f"for {share:.0%}."
        )


def _value(figure: Figure) -> str:
    return "a known cost" if figure.metric == "cost_per_item" else "an outcome"
