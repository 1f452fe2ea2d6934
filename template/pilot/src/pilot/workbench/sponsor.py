"""The pages for the sponsor: the brief before the decision, and the progress of the pilot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilot.charter import Charter
from pilot.contract import PilotError
from pilot.records import rollout
from pilot.workbench import decision, pages, phrases, statistics
from pilot.workbench.checks import PHASES, broken
from pilot.workbench.conditions import conditions, problem
from pilot.workbench.evidence import Entry
from pilot.workbench.pilot import Pilot, Watched
from pilot.workbench.results import Results

if TYPE_CHECKING:
    from pilot.workbench.production import Production


def brief(pilot: Pilot) -> str:
    """The page about the pilot, as HTML. What is not known yet is marked so. Raises PilotError where the charter
    cannot be read."""
    charter = pilot.charter
    found = pilot.results
    costed = pilot.costs
    listed = pilot.gaps
    needed = conditions(pilot)
    decided = decision.in_force(pilot.chain)
    due = decision.due(pilot.chain)
    begins = decided.date if decided and decided.facts["decision"] == "go" else max(due or pilot.today, pilot.today)
    return pages.render(
        "brief.html",
        name=charter.pilot or "The pilot",
        today=pilot.today,
        problem=problem(pilot),
        target=phrases.charter_target(charter),
        users=phrases.users(pilot.interviews.summary),
        volume=charter.volume_production,
        shown=_results_of(found, charter),
        remarks=() if isinstance(found, str) else found.remarks,
        currency=costed.currency,
        costs=costed.projection,
        unknown=costed.issues,
        gaps=[phrases.gap(gap) for gap in listed.rows if gap.open],
        effort=listed.effort,
        missing=[condition for condition in needed if not condition.holds],
        decided=decided.facts if decided else None,
        decided_on=decided.date if decided else None,
        because=phrases.ended(decided.facts["because"]) if decided else None,
        due=due,
        begins=begins,
        hardened=begins + phrases.HARDENING,
        receiver=charter.receiving_owner.name or "nobody yet",
        budget=phrases.budget(charter),
        money=phrases.money,
    )


def _results_of(found: Results | str, charter: Charter) -> list[str]:
    if isinstance(found, str):
        return [found]
    return phrases.lead(found.evaluation, charter.currency or "", found.contaminated)


WEEKS = {1: "weeks 1 and 2", 2: "weeks 3 to 8", 3: "weeks 9 and 10", 4: "weeks 11 to 14", 5: "from week 15 on"}
MEANING = {
    1: "Pick one problem that is valuable, feasible and owned, and say what success would be.",
    2: "Measure today's process, then let the AI work beside it on real items and record everything.",
    3: "Compare the results with the target, and decide: go, or no-go.",
    4: "Make it run at scale, securely, and without the people who built it.",
    5: "Roll it out step by step, watch it, and keep improving it.",
}
_SAID = {"passed": "passed", "current": "under way", "ahead": "to come", "closed": "ended by a no-go"}


def write_status(file: Path, pilot: Pilot, found: dict[str, Any], watched: Watched | None = None) -> None:
    """Writes the page about the pilot, of what `pilot status` found and Prometheus `watched`, to `file`.

    Raises PilotError where the file cannot be written.
    """
    try:
        charter = pilot.charter
    except PilotError:
        charter = Charter()
    decided = decision.in_force(pilot.chain)
    live = found.get("origins", {}).get("live")
    facts = {
        "name": charter.pilot or "The pilot",
        "today": pilot.today,
        "lead": _lead(charter, found, live, decided),
        "target": phrases.charter_target(charter) if charter.target is not None else None,
        "decided": decided is not None and decided.facts["decision"] != "extend",
        "broken": broken(pilot),
        "production": _production(pilot, watched),
        "weeks": WEEKS,
        "meaning": MEANING,
        "said": {**_SAID, "ahead": "not reached"} if _ended(found) else _SAID,
        "scratch": False,
        "share": lambda value: "not known" if value is None else f"{value:.0%}",
    }
    shown = {"live": None if found.get("scratch") else live}
    pages.write(file, pages.render("status.html", **{**facts, **found, **shown}))


def _production(pilot: Pilot, watched: Watched | None) -> Production | None:
    """The answers about production, once a stage of the rollout was opened; None before, and without a target."""
    if pilot.engine is None or isinstance(pilot.live, str):
        return None
    with pilot.engine.connect() as connection:
        if rollout.read(connection) is None or pilot.charter.target is None:
            return None
        with statistics():
            from pilot.workbench import production

            return production.look(pilot, connection, watched=watched)


def _lead(charter: Charter, found: dict[str, Any], live: dict[str, Any] | None, decided: Entry | None) -> str:
    current = next((phase for phase in found["phases"] if phase["state"] in ("current", "closed")), None)
    if current is not None and current["state"] == "closed":
        said = [f"The pilot has ended in phase {current['phase']}, {current['name']}."]
    elif current is None:
        said = ["All five phases are passed."]
    else:
        said = [f"The pilot is in phase {current['phase']} of {len(PHASES)}, {current['name']}."]
    if decided is not None:
        said.append(_decided(decided))
    by, left = found["decision_by"], found["days_left"]
    if by is None:
        said.append("It has no date of decision yet, because its charter is not signed.")
    elif left is not None and left > 0:
        said.append(f"It is decided by {by}: {phrases.days(left)} {'is' if left == 1 else 'are'} left.")
    elif left == 0:
        said.append(f"It is decided by {by}, which is today.")
    elif left is not None:
        said.append(f"It was to be decided by {by}, {phrases.days(-left)} ago, and is not.")
    if charter.owner.name:
        said.append(f"{charter.owner.name} owns it.")
    if live:
        said.append(f"{live['items']} items of real work are recorded, and people have decided {live['outcomes']}.")
    return " ".join(said)


def _ended(found: dict[str, Any]) -> bool:
    return any(phase["state"] == "closed" for phase in found["phases"])


def _decided(decided: Entry) -> str:
    facts = decided.facts
    reason = f"The reason: “{phrases.ended(facts['because'])}”"
    name = facts["name"].partition(" <")[0]
    if facts["decision"] == "extend":
        return f"It was extended on {decided.date}. {reason}"
    return f"It was decided on {decided.date} by {name}: {facts['decision']}. {reason}"
