"""The results of the pilot: its live records against the charter that was signed and the baseline that was frozen."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from pilot.charter import CHARTER, Charter, parse_charter, read_charter
from pilot.contract import PilotError
from pilot.records.database import now
from pilot.records.queries import live
from pilot.workbench import columns as reading
from pilot.workbench import decision, signatures
from pilot.workbench.columns import Columns
from pilot.workbench.evaluation import Baseline, Evaluation, counted_until, evaluate, moment
from pilot.workbench.evidence import Chain
from pilot.workbench.pilot import Pilot

# What a verdict depends on beside the target.
_TERMS = ("guardrails", "coverage_floor", "audit_share", "interval", "judged_items", "cost_of_hour", "decision_by")


@dataclass(frozen=True)
class Results:
    """An evaluation, with what it was made of. `remarks` are what a reader must know of the baseline and the charter;
    `contaminated` is whether the baseline may show what the AI did; `measured` has its known values by metric."""

    charter: Charter
    evaluation: Evaluation
    columns: Columns
    measured: Baseline
    contaminated: bool
    remarks: tuple[str, ...]


def results(pilot: Pilot, connection: Connection) -> Results:
    """The pilot at the end of its day, by the records behind the connection.

    Raises PilotError when the charter has no target, when a document cannot be read, or when the database is for
    scratch.
    """
    chain, charter = pilot.chain, pilot.signed or read_charter(pilot.root)
    if charter is None:
        raise PilotError(f"{CHARTER}: is not there. Bring it back from git.")
    records = live(connection)
    if records.scratch:
        raise PilotError("This is a scratch database, which counts for nothing. Name another in PILOT_DATABASE_URL.")
    due = decision.due(chain)
    columns = reading.read(connection, moment(counted_until(pilot.today, due)))
    remarks = [] if pilot.signed else ["The charter is not signed, so its target may still change."]
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
    remarks += _moved(chain, charter)
    found = evaluate(columns, charter, measured, as_of=pilot.today, due=due, now=now())
    return Results(charter, found, columns, measured, contaminated, tuple(remarks))


def _moved(chain: Chain, charter: Charter) -> list[str]:
    """Where the owner signed another target before, or other terms: the old ones and the new ones, for page one."""
    file = CHARTER.as_posix()
    signed = [entry for entry in chain.entries if entry.kind == "signature" and entry.facts["paper"] == file]
    signed = [entry for entry in signed if entry.facts["role"] == signatures.OWNER]
    found = []
    for entry in signed[:-1]:
        before = parse_charter(entry.facts["text"])
        if (before.metric, before.target, before.direction) != (charter.metric, charter.target, charter.direction):
            found.append(
                f"The target was changed after it was signed: on {entry.date} it was {before.metric} {before.target}, "
                f"and since {signed[-1].date} it is {charter.metric} {charter.target}."
            )
        other = [name for name in _TERMS if getattr(before, name) != getattr(charter, name)]
        if other:
            found.append(
                f"What a verdict depends on was changed after it was signed on {entry.date}: "
                f"{'; '.join(f'{name} from {_told(before, name)} to {_told(charter, name)}' for name in other)}."
            )
    return found


def _told(charter: Charter, name: str) -> str:
    value = getattr(charter, name)
    if name == "guardrails":
        return ", ".join(f"{rail.metric} {rail.direction} {rail.margin:g}" for rail in value) or "none"
    return "nothing" if value is None else str(value)
