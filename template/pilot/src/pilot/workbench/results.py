"""The results of the pilot: its live records against the charter that was signed and the baseline that was frozen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from pilot.charter import CHARTER, Charter, parse_charter, read_charter
from pilot.contract import PilotError
from pilot.fields import fields_of, one_label
from pilot.frontmatter import midnight
from pilot.metrics import OF_ALL_FIELDS, metric_of
from pilot.records.crypto import Contents
from pilot.records.database import now
from pilot.records.outcomes import of_live
from pilot.records.queries import live
from pilot.records.tables import items
from pilot.workbench import columns as reading
from pilot.workbench import drafts, metrics, signatures, window
from pilot.workbench.columns import UNKNOWN, Columns
from pilot.workbench.evaluation import (
    UNPLANNED,
    Baseline,
    Evaluation,
    counted_until,
    error,
    evaluate,
    moment,
)
from pilot.workbench.evidence import Entry
from pilot.workbench.phrases import begun
from pilot.workbench.pilot import Pilot
from pilot.workbench.window import Window

# What a verdict depends on beside the target.
_TERMS = (
    *("guardrails", "coverage_floor", "audit_share", "interval", "judged_items", "cost_of_hour", "decision_by"),
    *("weeks", "measured_from", "looks", "blind"),
)


@dataclass(frozen=True)
class Results:
    """An evaluation, with what it was made of. `remarks` are what a reader must know of the baseline, the charter and
    the items; `contaminated` is whether the baseline may show what the AI did; `measured` has its known values by
    metric. `moved` is how the charter in force differs from the one that counts, which was signed before the first live
    item; `shown` is how many decisions were made with the AI's answer in view. `window` is None before a signature."""

    charter: Charter
    evaluation: Evaluation
    columns: Columns
    measured: Baseline
    contaminated: bool
    remarks: tuple[str, ...]
    moved: tuple[str, ...] = ()
    shown: int = 0
    window: Window | None = None


def results(pilot: Pilot, connection: Connection) -> Results:
    """The pilot at the end of its day, by the records behind the connection. Their contents are read where the pilot
    has what that needs, and the answers are more than one label.

    Raises PilotError when the charter has no target, when a document cannot be read, or when the database is for
    scratch.
    """
    chain = pilot.chain
    records = live(connection)
    if records.scratch:
        raise PilotError("This is a scratch database, which counts for nothing. Name another in PILOT_DATABASE_URL.")
    signed = signatures.of_owner(chain)
    terms = window.in_force(signed, records.first_item_at)
    charter = parse_charter(terms.facts["text"]) if terms else read_charter(pilot.root)
    if charter is None:
        raise PilotError(f"{CHARTER}: is not there. Bring it back from git.")
    counted = window.window(chain, charter, terms) if terms else None
    remarks = [] if terms else ["The charter is not signed, so its target may still change."]
    if pilot.charter_changes:
        remarks.append(f"{CHARTER.name} was changed after it was signed. What counts here is the text that was signed.")
    remarks += [f"The evidence was altered, so do not rely on this: {problem}" for problem in chain.problems]
    frozen = pilot.frozen
    measured: Baseline = pilot.baseline_values
    contaminated = False
    if frozen is None:
        remarks.append("There is no frozen baseline, so nothing says whether this is better than today's process.")
    elif pilot.baseline_changes:
        remarks.append(f"The baseline was changed after it was frozen on {frozen.on}, so it is left out.")
    else:
        contaminated = bool(records.first_answer_at and not frozen.precedes(records.first_answer_at.date()))
        if contaminated:
            remarks.append(
                f"The baseline ends on {frozen.ends}, after the AI's first live answer: it is contaminated, and what "
                "is compared with it may show what the AI did."
            )
    moved = tuple(_moved(terms, signed, charter)) if terms else ()
    until = moment(counted_until(pilot.today, counted.due if counted else None))
    contents = readable(pilot.contents, charter)
    columns, left_out = _columns(connection, until, counted, contents, charter.blind is not False)
    of_answers = charter.metric is not None and metric_of(charter.metric).of_answers
    shown = int((columns.shown & (columns.agrees != UNKNOWN)).sum()) if of_answers else 0
    remarks += [*moved, *left_out, *_of_decisions(columns, charter, shown), *_of_look(charter, counted)]
    if contents is not None:
        remarks += drafts.remarks(connection, contents, until, bounds(counted))
    if charter.blind is False:
        columns = replace(columns, agrees=columns.agrees_at_last)
    found = evaluate(columns, charter, measured, as_of=pilot.today, window=counted, now=now())
    return Results(charter, found, columns, measured, contaminated, tuple(remarks), moved, shown, counted)


def bounds(counted: Window | None) -> tuple[datetime | None, datetime | None]:
    """The moments from which and before which items count."""
    if counted is None:
        return None, None
    return counted.begins, midnight(counted.ends)


def readable(contents: Contents | None, charter: Charter) -> Contents | None:
    """What is needed to read the contents, where fields of answers or items say more than accuracy does."""
    asked = [charter.metric or "accuracy", *(rail.metric for rail in charter.guardrails)]
    by_field = any(name in OF_ALL_FIELDS or ":" in name for name in asked)
    if contents is None:
        return None
    number = any(field.number for field in fields_of(contents.prediction).values())
    alone = one_label(contents.prediction) and not number and len(contents.item.model_fields) == 1
    return None if alone and not by_field else contents


def read(connection: Connection, contents: Contents | None, until: datetime, **which: Any) -> tuple[Columns, list[str]]:
    """The columns, with their fields where the contents can be opened; and why not, where they cannot."""
    try:
        return reading.read(connection, until, contents=contents, **which), []
    except PilotError as error:
        return reading.read(connection, until, **which), [f"There are no figures by field: {error}"]


def _columns(
    connection: Connection, until: datetime, counted: Window | None, contents: Contents | None, first: bool
) -> tuple[Columns, list[str]]:
    """The items that count, and how many do not, for which reason."""
    begins, ends = bounds(counted)
    columns, left_out = read(connection, contents, until, begins=begins, ends=ends, first_counts=first)
    outside = connection.execute(of_live(select(func.count()).select_from(items), until)).scalar_one() - len(columns)
    if outside and counted:
        left_out.append(
            f"Not counted: {outside} live items, which did not arrive from {counted.begins:%Y-%m-%d %H:%M} UTC to the "
            f"day before {counted.ends}, when the charter measures."
        )
    learned = columns.trained == 1
    if learned.any():
        left_out.append(
            f"Not counted: {int(learned.sum())} items from which the version that answered them had learned. Its "
            "answers to these prove nothing."
        )
    columns = columns.of(~learned)
    misdated = int((metrics.misdated(columns) & columns.influenced).sum())
    if misdated:
        left_out.append(
            f"Without a time: {misdated} items, whose outcome is dated before their arrival. Set the clocks right."
        )
    return columns, left_out


def _of_decisions(columns: Columns, charter: Charter, shown: int) -> Iterator[str]:
    """How the decisions were made that accuracy is measured by, `shown` of them with the answer in view."""
    judged = columns.agrees != UNKNOWN
    unknown = int((judged & (columns.trained == UNKNOWN) & ~columns.failed).sum())
    if unknown and charter.build_or_buy == "build":
        yield (
            f"Of {unknown} items nobody knows whether the version that answered them had learned from them: its model "
            "keeps no record of that. One that is trained anew does."
        )
    if charter.metric is None or not metric_of(charter.metric).of_answers or not judged.any():
        return
    revised = int((judged & (columns.touches > 1)).sum())
    if shown or revised:
        changed = int((judged & (columns.agrees != columns.agrees_at_last)).sum())
        yield (
            f"Of {int(judged.sum())} decisions {int(judged.sum()) - shown} were made blind and {shown} with the AI's "
            f"answer in view; {revised} were revised later, {changed} of them so that the AI counts differently. "
            f"{begun(charter.metric)} is decided by the {'last' if charter.blind is False else 'first'} decision on "
            "each item."
        )
    if shown:
        yield f"People who see an answer tend to follow it, so this {charter.metric} may be too high."


def _of_look(charter: Charter, counted: Window | None) -> Iterator[str]:
    """What a second look costs."""
    if error(charter, counted) == UNPLANNED:
        yield (
            f"This is a second look, after an extension that the charter did not plan (looks: 2), so each end of the "
            f"interval may miss with {UNPLANNED:.1%} in place of 2.5%."
        )


def _moved(terms: Entry, signed: list[Entry], charter: Charter) -> Iterator[str]:
    """Where the owner signed another target later, or other terms: both, for page one."""
    latest = signed[-1]
    after = parse_charter(latest.facts["text"])
    if (after.metric, after.target, after.direction) != (charter.metric, charter.target, charter.direction):
        yield (
            f"The target was changed after it was signed: on {terms.date} it was {charter.metric} {charter.target}, "
            f"which counts here, and since {latest.date} it is {after.metric} {after.target}."
        )
    other = [name for name in _TERMS if getattr(after, name) != getattr(charter, name)]
    if other:
        told = "; ".join(f"{name} from {_told(charter, name)} to {_told(after, name)}" for name in other)
        yield f"What a verdict depends on was changed after it was signed on {terms.date}, and does not count: {told}."


def _told(charter: Charter, name: str) -> str:
    value = getattr(charter, name)
    if name == "guardrails":
        return ", ".join(f"{rail.metric} {rail.direction} {rail.margin:g}" for rail in value) or "none"
    return "nothing" if value is None else str(value)
