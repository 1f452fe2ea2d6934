"""One page for the sponsor: what the pilot showed, what production costs and brings, the plan, the price of waiting."""

from __future__ import annotations

from pilot.evaluation import plain, sheet
from pilot.gates import decisions, gaps, signatures
from pilot.gates.charter import in_words
from pilot.gates.conditions import conditions, costs_of, results
from pilot.gates.deciding import problem
from pilot.gates.papers import Charter, read_charter
from pilot.gates.view import View


def html(view: View) -> str:
    """The page about the pilot, as HTML. What is not known yet is said to be so. Raises PilotError where the charter
    cannot be read."""
    charter = signatures.signed_charter(view.chain) or read_charter(view.root) or Charter()
    found = results(view)
    costed = costs_of(view)
    listed = gaps.read(view.root, view)
    needed = conditions(view, found)
    decided = decisions.in_force(view.chain)
    return sheet.render(
        "pilot.gates",
        "brief.html",
        name=charter.pilot or "The pilot",
        today=view.today,
        problem=problem(view),
        target=in_words(charter).words["target"],
        shown=plain.lead(found.evaluation, charter.currency or "") if not isinstance(found, str) else [found],
        remarks=() if isinstance(found, str) else found.remarks,
        currency=costed.currency,
        costs=costed.projection,
        unknown=costed.problems,
        gaps=[gap for gap in listed.rows if gap.open],
        effort=listed.effort,
        missing=[condition for condition in needed if not condition.holds],
        decided=decided.says if decided else None,
        decided_on=decided.date if decided else None,
        due=decisions.due(view.chain),
        receiver=charter.receiving_owner.name or "nobody yet",
        budget=charter.budget or "not named",
        money=_money,
    )


def _money(value: float) -> str:
    """An amount to two figures or more, as a person says it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
