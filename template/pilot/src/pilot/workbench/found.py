"""The gaps that checks find by themselves: each sees one thing that a pilot may live with and production may not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pilot.charter import Charter
from pilot.records.queries import Live, ServiceHealth
from pilot.workbench import promises
from pilot.workbench.view import View

SEVERITIES = ("blocker", "major", "minor")


@dataclass(frozen=True)
class Found:
    """A gap that a check found; `id` is the same each time that it finds it."""

    id: str
    area: str
    severity: str
    what: str


Check = Callable[[View, Charter], Iterator[Found]]
OfRecords = Callable[[Live, ServiceHealth, View, Charter], Iterator[Found]]
CHECKS: list[Check] = []
CHECKS_OF_RECORDS: list[OfRecords] = []


def find(view: View, charter: Charter, standing: ServiceHealth | None) -> list[Found]:
    """What each check finds. Those of the records find nothing where nobody looked at how the service stands."""
    found = [gap for check in CHECKS for gap in check(view, charter)]
    if isinstance(view.live, Live) and standing is not None:
        found += [gap for check in CHECKS_OF_RECORDS for gap in check(view.live, standing, view, charter)]
    return found


def _check(check: Check) -> Check:
    CHECKS.append(check)
    return check


def _of_records(check: OfRecords) -> OfRecords:
    CHECKS_OF_RECORDS.append(check)
    return check


@_check
def _evidence(view: View, charter: Charter) -> Iterator[Found]:
    if view.chain.problems:
        yield Found("evidence-altered", "audit log", "blocker", f"{view.chain.problems[0]}")


@_check
def _promises(view: View, charter: Charter) -> Iterator[Found]:
    # Altered evidence is a gap of its own, and a decision that is late is mended by deciding.
    broken = [problem for problem in promises.broken(view.root, view.today) if problem.rule != "decision-in-time"]
    broken = [problem for problem in broken if problem not in view.chain.problems]
    if broken:
        more = f" And {len(broken) - 1} more: `pilot check`." if len(broken) > 1 else ""
        yield Found("promise-broken", "compliance", "blocker", f"{broken[0]}{more}")


@_of_records
def _audit(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Found]:
    if standing.audit_break is not None:
        what = f"The audit trail does not hold from its entry {standing.audit_break} on."
        yield Found("audit-broken", "audit log", "blocker", what)


@_of_records
def _scratch(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Found]:
    if live.scratch:
        what = "The records are in a scratch database, which counts for nothing."
        yield Found("scratch-database", "audit log", "blocker", what)


@_of_records
def _embedded(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Found]:
    if standing.embedded and charter.volume_production:
        what = (
            f"The records are in SQLite, on one machine, and the charter plans {charter.volume_production:g} items a "
            "day: without the machine there is no service and no record."
        )
        yield Found("embedded-database", "failover", "major", what)


@_of_records
def _in_clear(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Found]:
    if standing.in_clear and (charter.personal_data or charter.regulated):
        why = "that items hold personal data" if charter.personal_data else "that the process is regulated"
        what = (
            f"{standing.in_clear} of {live.items} live items are kept without encryption, and the charter says {why}."
        )
        severity = "blocker" if charter.regulated else "major"
        yield Found("contents-in-clear", "compliance", severity, f"{what} Set PILOT_DATA_KEY.")


@_of_records
def _mode(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Found]:
    if standing.mode in ("assist", "auto") and not live.scratch and view.chain.passed(1) is None:
        what = f"The mode is {standing.mode}, and gate 1 has not passed: nobody answers for what people see."
        yield Found("mode-without-gate", "compliance", "blocker", what)


@_of_records
def _incomplete(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Found]:
    if live.incomplete_items:
        what = f"The record of {live.incomplete_items} live items lacks a part: {', '.join(live.incomplete)}."
        yield Found("records-incomplete", "error handling", "major", what)


@_of_records
def _keys(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Found]:
    if live.items and standing.keyless_roles:
        roles = " and no ".join(standing.keyless_roles)
        what = f"No {roles} has a key in force, so nobody can sign in as one. `pilot keys create` makes one."
        yield Found("keys-missing", "authentication", "major", what)


@_of_records
def _single_reviewer(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Found]:
    if standing.single_reviewer:
        what = f"One person made all decisions on {live.judged} live items: nobody has checked them, or can stand in."
        yield Found("single-reviewer", "people", "major", what)
