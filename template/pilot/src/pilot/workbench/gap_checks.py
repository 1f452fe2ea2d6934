"""The gaps that checks find by themselves: each sees one thing that a pilot may live with and production may not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pilot.charter import Charter, read_charter
from pilot.frontmatter import Issue
from pilot.records.queries import Live, ServiceHealth, service_health
from pilot.workbench import promises, signatures
from pilot.workbench.documents import gaps as documents
from pilot.workbench.documents.gaps import Gap, Gaps
from pilot.workbench.view import Records, View

Check = Callable[[View, Charter], Iterator[Gap]]
OfRecords = Callable[[Live, ServiceHealth, View, Charter], Iterator[Gap]]
CHECKS: list[Check] = []
CHECKS_OF_RECORDS: list[OfRecords] = []


def gaps(view: View) -> Gaps:
    """The gaps of the pilot: the rows of the table, joined with what the checks find. Raises PilotError when the
    charter cannot be read."""
    if not isinstance(view.records, Records):
        return joined(view, None)
    with view.records.engine.connect() as connection:
        return joined(view, service_health(connection))


def joined(view: View, service: ServiceHealth | None) -> Gaps:
    """As `gaps`, with the health of the service; None where it was not looked at."""
    charter = signatures.signed_charter(view.chain) or read_charter(view.root) or Charter()
    listed = documents.listed_in(view.root, view.today)
    if service is None:
        why = view.live if isinstance(view.live, str) else "Run `pilot gaps` where the records are."
        what = "cannot be joined with the gaps that the records show."
        listed.issues.append(Issue(documents.GAPS.as_posix(), None, what, why))
    return documents.joined(listed, find(view, charter, service))


def find(view: View, charter: Charter, standing: ServiceHealth | None) -> list[Gap]:
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
def _evidence(view: View, charter: Charter) -> Iterator[Gap]:
    if view.chain.problems:
        yield Gap(f"{view.chain.problems[0]}", "audit log", "blocker", id="evidence-altered")


@_check
def _promises(view: View, charter: Charter) -> Iterator[Gap]:
    # Altered evidence is a gap of its own, and a decision that is late is mended by deciding.
    broken = [problem for problem in promises.broken(view.root, view.today) if problem.rule != "decision-in-time"]
    broken = [problem for problem in broken if problem not in view.chain.problems]
    if broken:
        more = f" And {len(broken) - 1} more: `pilot check`." if len(broken) > 1 else ""
        yield Gap(f"{broken[0]}{more}", "compliance", "blocker", id="promise-broken")


@_of_records
def _audit(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Gap]:
    if standing.audit_break is not None:
        what = f"The audit trail does not hold from its entry {standing.audit_break} on."
        yield Gap(what, "audit log", "blocker", id="audit-broken")


@_of_records
def _scratch(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Gap]:
    if live.scratch:
        what = "The records are in a scratch database, which counts for nothing."
        yield Gap(what, "audit log", "blocker", id="scratch-database")


@_of_records
def _embedded(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Gap]:
    if standing.embedded and charter.volume_production:
        what = (
            f"The records are in SQLite, on one machine, and the charter plans {charter.volume_production:g} items a "
            "day: without the machine there is no service and no record."
        )
        yield Gap(what, "failover", "major", id="embedded-database")


@_of_records
def _in_clear(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Gap]:
    if standing.in_clear and (charter.personal_data or charter.regulated):
        why = "that items hold personal data" if charter.personal_data else "that the process is regulated"
        what = (
            f"{standing.in_clear} of {live.items} live items are kept without encryption, and the charter says {why}."
        )
        severity = "blocker" if charter.regulated else "major"
        yield Gap(f"{what} Set PILOT_DATA_KEY.", "compliance", severity, id="contents-in-clear")


@_of_records
def _mode(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Gap]:
    if standing.mode in ("assist", "auto") and not live.scratch and view.chain.passed(1) is None:
        what = f"The mode is {standing.mode}, and gate 1 has not passed: nobody answers for what people see."
        yield Gap(what, "compliance", "blocker", id="mode-without-gate")


@_of_records
def _incomplete(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Gap]:
    if live.incomplete_items:
        what = f"The record of {live.incomplete_items} live items lacks a part: {', '.join(live.incomplete)}."
        yield Gap(what, "error handling", "major", id="records-incomplete")


@_of_records
def _keys(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Gap]:
    if live.items and standing.keyless_roles:
        roles = " and no ".join(standing.keyless_roles)
        what = f"No {roles} has a key in force, so nobody can sign in as one. `pilot keys create` makes one."
        yield Gap(what, "authentication", "major", id="keys-missing")


@_of_records
def _single_reviewer(live: Live, standing: ServiceHealth, view: View, charter: Charter) -> Iterator[Gap]:
    if standing.single_reviewer:
        what = f"One person made all decisions on {live.judged} live items: nobody has checked them, or can stand in."
        yield Gap(what, "people", "major", id="single-reviewer")
