"""One page for the sponsor: what the pilot showed, what production costs and brings, the plan, the price of waiting."""

from __future__ import annotations

from pilot.charter import Charter
from pilot.workbench import decision, phrases, sheet
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
        target=phrases.charter_target(charter),
        users=phrases.users(pilot.interviews.summary),
        volume=charter.volume_production,
        shown=_shown(found, charter),
        remarks=() if isinstance(found, str) else found.remarks,
        currency=costed.currency,
        costs=costed.projection,
        unknown=costed.issues,
        gaps=[phrases.gap(gap) for gap in listed.rows if gap.open],
        effort=listed.effort,
        missing=[condition for condition in needed if not condition.holds],
        decided=decided.says if decided else None,
        decided_on=decided.date if decided else None,
        because=phrases.ended(decided.says["because"]) if decided else None,
        due=due,
        begins=begins,
        hardened=begins + phrases.HARDENING,
        receiver=charter.receiving_owner.name or "nobody yet",
        budget=phrases.budget(charter),
        money=phrases.money,
    )


def _shown(found: Results | str, charter: Charter) -> list[str]:
    if isinstance(found, str):
        return [found]
    return phrases.lead(found.evaluation, charter.currency or "", found.contaminated)
