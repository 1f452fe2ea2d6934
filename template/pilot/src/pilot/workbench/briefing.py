"""One page for the sponsor: what the pilot showed, what production costs and brings, the plan, the price of waiting."""

from __future__ import annotations

from pilot.charter import Charter, read_charter
from pilot.workbench import decisions, plain, plainly, sheet, signatures
from pilot.workbench.conditions import conditions, costs_of, results
from pilot.workbench.deciding import problem
from pilot.workbench.documents import gaps, interviews
from pilot.workbench.results import Results
from pilot.workbench.view import View


def html(view: View) -> str:
    """The page about the pilot, as HTML. What is not known yet is said to be so. Raises PilotError where the charter
    cannot be read."""
    charter = signatures.signed_charter(view.chain) or read_charter(view.root) or Charter()
    found = results(view)
    costed = costs_of(view)
    listed = gaps.read(view.root, view)
    needed = conditions(view, found)
    decided = decisions.in_force(view.chain)
    due = decisions.due(view.chain)
    begins = decided.date if decided and decided.says["decision"] == "go" else max(due or view.today, view.today)
    return sheet.render(
        "brief.html",
        name=charter.pilot or "The pilot",
        today=view.today,
        problem=problem(view),
        target=plainly.target(charter),
        users=plainly.users(interviews.read(view.root, view.today).summary),
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
