"""The gaps that checks find by themselves: each sees one thing that a pilot may live with and production may not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pilot.charter import Charter
from pilot.frontmatter import Issue
from pilot.records.queries import Live, ServiceHealth, service_health
from pilot.workbench.checks import broken
from pilot.workbench.documents import gaps as documents
from pilot.workbench.documents.gaps import Gap, Gaps
from pilot.workbench.pilot import Pilot

OfCheckout = Callable[[Pilot], Iterator[Gap]]
OfRecords = Callable[[Live, ServiceHealth, Pilot, Charter], Iterator[Gap]]
OF_CHECKOUT: list[OfCheckout] = []
OF_RECORDS: list[OfRecords] = []


def gaps(pilot: Pilot) -> Gaps:
    """The gaps of the pilot: the rows of the table, joined with what the checks find. Raises PilotError when the
    charter cannot be read."""
    if pilot.engine is None:
        return joined(pilot, None)
    with pilot.engine.connect() as connection:
        return joined(pilot, service_health(connection))


def joined(pilot: Pilot, service: ServiceHealth | None) -> Gaps:
    """As `gaps`, with the health of the service; None where it was not looked at."""
    charter, live = pilot.charter, pilot.live
    listed = documents.listed_in(pilot.root, pilot.today)
    found = [gap for check in OF_CHECKOUT for gap in check(pilot)]
    if service is None:
        why = live if isinstance(live, str) else "Run `pilot gaps` where the records are."
        what = "cannot be joined with the gaps that the records show."
        listed.issues.append(Issue(documents.GAPS.as_posix(), None, what, why))
    elif live is not None and not isinstance(live, str):
        found += [gap for check in OF_RECORDS for gap in check(live, service, pilot, charter)]
    return documents.joined(listed, found)


def _of_checkout(check: OfCheckout) -> OfCheckout:
    OF_CHECKOUT.append(check)
    return check


def _of_records(check: OfRecords) -> OfRecords:
    OF_RECORDS.append(check)
    return check


@_of_checkout
def _evidence(pilot: Pilot) -> Iterator[Gap]:
    if pilot.chain.problems:
        yield Gap(f"{pilot.chain.problems[0]}", "audit log", "blocker", id="evidence-altered")


@_of_checkout
def _promises(pilot: Pilot) -> Iterator[Gap]:
    # Altered evidence is a gap of its own, and a decision that is late is fixed by deciding.
    found = [issue for issue in broken(pilot) if issue.rule != "decision-in-time"]
    found = [issue for issue in found if issue not in pilot.chain.problems]
    if found:
        more = f" And {len(found) - 1} more: `pilot check`." if len(found) > 1 else ""
        yield Gap(f"{found[0]}{more}", "compliance", "blocker", id="promise-broken")


@_of_records
def _audit(live: Live, service: ServiceHealth, pilot: Pilot, charter: Charter) -> Iterator[Gap]:
    if service.audit_break is not None:
        what = f"The audit trail does not hold from its entry {service.audit_break} on."
        yield Gap(what, "audit log", "blocker", id="audit-broken")


@_of_records
def _scratch(live: Live, service: ServiceHealth, pilot: Pilot, charter: Charter) -> Iterator[Gap]:
    if live.scratch:
        what = "The records are in a scratch database, which counts for nothing."
        yield Gap(what, "audit log", "blocker", id="scratch-database")


@_of_records
def _embedded(live: Live, service: ServiceHealth, pilot: Pilot, charter: Charter) -> Iterator[Gap]:
    if service.embedded and charter.volume_production:
        what = (
            f"The records are in SQLite, on one machine, and the charter plans {charter.volume_production:g} items a "
            "day: without the machine there is no service and no record."
        )
        yield Gap(what, "failover", "major", id="embedded-database")


@_of_records
def _in_clear(live: Live, service: ServiceHealth, pilot: Pilot, charter: Charter) -> Iterator[Gap]:
    if service.in_clear and (charter.personal_data or charter.regulated):
        why = "that items hold personal data" if charter.personal_data else "that the process is regulated"
        what = f"{service.in_clear} of {live.items} live items are kept without encryption, and the charter says {why}."
        severity = "blocker" if charter.regulated else "major"
        yield Gap(f"{what} Set PILOT_DATA_KEY.", "compliance", severity, id="contents-in-clear")


@_of_records
def _mode(live: Live, service: ServiceHealth, pilot: Pilot, charter: Charter) -> Iterator[Gap]:
    if service.mode in ("assist", "auto") and not live.scratch and pilot.chain.passed(1) is None:
        what = f"The mode is {service.mode}, and gate 1 has not passed: nobody answers for what people see."
        yield Gap(what, "compliance", "blocker", id="mode-without-gate")


@_of_records
def _incomplete(live: Live, service: ServiceHealth, pilot: Pilot, charter: Charter) -> Iterator[Gap]:
    if live.incomplete_items:
        what = f"The record of {live.incomplete_items} live items is missing a part: {', '.join(live.incomplete)}."
        yield Gap(what, "error handling", "major", id="records-incomplete")


@_of_records
def _keys(live: Live, service: ServiceHealth, pilot: Pilot, charter: Charter) -> Iterator[Gap]:
    if live.items and service.keyless_roles:
        roles = " and no ".join(service.keyless_roles)
        what = f"No {roles} has a key in force, so nobody can sign in as one. `pilot keys create` makes one."
        yield Gap(what, "authentication", "major", id="keys-missing")


@_of_records
def _single_reviewer(live: Live, service: ServiceHealth, pilot: Pilot, charter: Charter) -> Iterator[Gap]:
    if service.single_reviewer:
        what = f"One person made all decisions on {live.judged} live items: nobody has checked them, or can stand in."
        yield Gap(what, "people", "major", id="single-reviewer")
