"""One page for the sponsor: what the pilot showed, what production costs and brings, the plan, the price of waiting."""

from __future__ import annotations

from pilot.charter import Charter
from pilot.workbench import decision, plain, plainly, sheet
from pilot.workbench.conditions import conditions, problem
from pilot.workbench.pilot import Pilot
from pilot.workbench.results import Results


def html(pilot: Pilot) -> str:
    """The page about the pilot, as HTML. What is not known yet is said to be so. Raises PilotError where the charter
    cannot be read."""
    charter = pilot.charter
    found = pilot.results
    costed = pilot.costs
    listed = pilot.gaps
    needed = conditions(pilot)
    decided = decision.in_force(pilot.chain)
    due = decision.due(pilot.chain)
    begins = decided.date if decided and decided.says["decision"] == "go" else max(due or pilot.today, pilot.today)
    return sheet.render(
        "brief.html",
        name=charter.pilot or "The pilot",
        today=pilot.today,
        problem=problem(pilot),
        target=plainly.target(charter),
        users=plainly.users(pilot.interviews.summary),
        volume=charter.volume_production,
        shown=_shown(found, charter),
        remarks=() if isinstance(found, str) else found.remarks,
        currency=costed.currency,
        costs=costed.projection,
        unknown=costed.issues,
        gaps=[plainly.gap(gap) for gap in listed.rows if gap.open],
        effort=listed.effort,
        missing=[condition for condition in needed if not condition.holds],
        decided=decided.says if decided else None,
        decided_on=decided.date if decided else None,
        because=plainly.ended(decided.says["because"]) if decided else None,
        due=due,
        begins=begins,
        hardened=begins + plainly.HARDENING,
        receiver=charter.receiving_owner.name or "nobody yet",
        budget=plainly.budget(charter),
        money=plainly.money,
    )


def _shown(found: Results | str, charter: Charter) -> list[str]:
    if isinstance(found, str):
        return [found]
    return plain.lead(found.evaluation, charter.currency or "", found.contaminated)
