"""What a go needs, each condition by itself, and the making of a decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pilot.charter import CHARTER
from pilot.contract import PilotError
from pilot.frontmatter import read_text
from pilot.metrics import metric_of
from pilot.workbench import checks, decision, evidence, history, pages, phrases
from pilot.workbench.decision import Condition, Outcome, Override
from pilot.workbench.documents import page
from pilot.workbench.documents.baseline import BASELINE
from pilot.workbench.documents.charter_rules import WEEKS
from pilot.workbench.documents.costs import Costed
from pilot.workbench.documents.gaps import Gap
from pilot.workbench.evaluation import Verdict
from pilot.workbench.pilot import Pilot
from pilot.workbench.results import Results

Run = Callable[[Pilot], tuple[bool, str]]
CONDITIONS: dict[str, tuple[str, Run]] = {}


def conditions(pilot: Pilot) -> list[Condition]:
    """The conditions of a go, as they stand. Without results the ones that look at them are not there but for the
    first."""
    without = isinstance(pilot.results, str)
    asked = (id for id in CONDITIONS if not (without and id in _OF_RESULTS))
    return [Condition(id, CONDITIONS[id][0], *CONDITIONS[id][1](pilot)) for id in asked]


def _condition(id: str, question: str) -> Callable[[Run], Run]:
    """Registers a condition: whether it holds, and what shows that or how to fix it."""

    def register(run: Run) -> Run:
        CONDITIONS[id] = (question, run)
        return run

    return register


# What cannot be asked before there are results.
_OF_RESULTS = ("target-kept", "decisions-blind", "items-as-planned", "baseline-usable", "guardrails-hold")


@_condition("gate-2-passed", checks.CHECKS["gate-2-passed"].question)
def _gate_2_passed(pilot: Pilot) -> tuple[bool, str]:
    passed = pilot.chain.passed(2)
    return passed is not None, f"passed on {passed.date}" if passed else "`pilot gate 2` lists what is missing."


@_condition("charter-unchanged", "Is the charter as its owner signed it?")
def _charter_unchanged(pilot: Pilot) -> tuple[bool, str]:
    if pilot.charter_changes:
        return False, str(pilot.charter_changes[0])
    return pilot.signed is not None, "as it was signed" if pilot.signed else "It is not signed."


@_condition("in-time", "Is it decided in time?")
def _in_time(pilot: Pilot) -> tuple[bool, str]:
    by = decision.due(pilot.chain)
    return by is not None and pilot.today <= by, f"due on {by or 'no day: gate 1 has not passed'}"


@_condition("target-met", "Is the target met?")
def _target_met(pilot: Pilot) -> tuple[bool, str]:
    if isinstance(pilot.results, str):
        return False, pilot.results
    found = pilot.results.evaluation
    return found.verdict is Verdict.MET, f"{found.verdict}. {' '.join(found.reasons) or phrases.meaning(found)}"


@_condition("target-kept", "Is the target the one that was signed before the first live item?")
def _target_kept(pilot: Pilot) -> tuple[bool, str]:
    moved = _results(pilot).moved
    return not moved, " ".join(moved) or "unchanged since"


@_condition("decisions-blind", "Did people decide without seeing the AI's answer, where that is the measure?")
def _decisions_blind(pilot: Pilot) -> tuple[bool, str]:
    found = _results(pilot)
    if not metric_of(found.evaluation.metric).of_answers:
        return True, f"the target is about {phrases.rail(found.evaluation.metric)}"
    if not found.shown:
        return True, "all decided blind"
    said = f"{found.shown} of {found.evaluation.figure.known} decided with the answer in view"
    if found.charter.blind is False:
        return True, f"{said}, which the charter allows (blind: no)"
    return False, f"{said}. Let people decide in shadow, or state `blind: no` in the charter before the first item"


@_condition("items-as-planned", "Are as many items judged as were planned?")
def _items_as_planned(pilot: Pilot) -> tuple[bool, str]:
    found = _results(pilot).evaluation
    planned, known = found.planned, found.figure.known
    return (
        planned is not None and known >= planned,
        f"{known} are judged, {planned or 'an unknown number'} were planned",
    )


@_condition(
    "baseline-usable", "Was today's process measured before the AI came, and left as it was measured (the baseline)?"
)
def _baseline_usable(pilot: Pilot) -> tuple[bool, str]:
    found = _results(pilot)
    usable = bool(found.measured) and not found.contaminated
    return usable, "measured and unchanged" if usable else " ".join(found.remarks) or "Measure it first."


@_condition("guardrails-hold", "Is it shown that nothing else got worse?")
def _guardrails_hold(pilot: Pilot) -> tuple[bool, str]:
    rails = _results(pilot).evaluation.guardrails
    failing = [f"{phrases.rail(rail.metric)}: {rail.said}" for rail in rails if not rail.holds]
    named = ", ".join(phrases.rail(rail.metric) for rail in rails)
    shown = f"shown for {named}" if named else "the charter names nothing that must not"
    return not failing, "; ".join(failing) or shown


@_condition("interviews-held", "Have enough users been heard?")
def _interviews_held(pilot: Pilot) -> tuple[bool, str]:
    least = pilot.terms.least_interviews
    said = f"{pilot.interviews.count} conversations, and the charter asks for {least}"
    return not checks.issues(pilot, "interviews-held"), said


@_condition("costs-pay", "Does a month of production bring more than it costs?")
def _costs_pay(pilot: Pilot) -> tuple[bool, str]:
    return pilot.costs.pays, _said(pilot.costs)


@_condition("no-open-blocker", "Is nothing open that blocks production?")
def _no_open_blocker(pilot: Pilot) -> tuple[bool, str]:
    listed = pilot.gaps
    blocking = "; ".join(_blocking(gap) for gap in listed.blockers)
    holds = not listed.issues and len(listed.conditions) == len(listed.blockers)
    return holds, blocking or ("`pilot gaps` lists what is missing" if listed.issues else "none is open")


def _results(pilot: Pilot) -> Results:
    assert not isinstance(pilot.results, str)  # noqa: S101 - `conditions` does not ask without results
    return pilot.results


def _blocking(gap: Gap) -> str:
    """A blocker; one with an owner and a day makes a go conditional."""
    return f"{gap.what}, {gap.owner} by {gap.mended_by}" if gap.owner and gap.mended_by else gap.what


def _said(costed: Costed) -> str:
    if costed.projection is None:
        return str(costed.issues[0]) if costed.issues else "It is not known."
    net = costed.projection.net
    low, middle, high = (phrases.money(value) for value in (net.p10, net.p50, net.p90))
    return f"{middle} {costed.currency} are left of it; one month in ten less than {low}, one in ten more than {high}"


@dataclass(frozen=True)
class Wish:
    """What somebody wants to decide, and how they say so. `weeks` are those of an extension."""

    outcome: Outcome
    because: str
    person: str
    override: Override | None = None
    weeks: int | None = None
    shared_with: Sequence[str] = ()


def decide(pilot: Pilot, wish: Wish, report: str | None = None) -> tuple[Path, Path]:
    """Writes the decision about the pilot and returns its record and its evidence. `report` is the report in Markdown,
    which is kept beside the record.

    Raises PilotError with what prevents the decision.
    """
    signed = pilot.signed
    if signed is None:
        raise PilotError("There is nothing to decide before the charter is signed: `pilot sign charter`.")
    found = pilot.results
    needed = conditions(pilot)
    due = decision.due(pilot.chain)
    until = None
    if wish.outcome == "extend":
        until = decision.extended(pilot.chain, signed.weeks or WEEKS[-1], wish.weeks, pilot.today)
    number = sum(entry.kind == "decision" for entry in pilot.chain.entries) + 1
    papers = {}
    if report is not None:
        paper = decision.FOLDER / f"{number:04}-report.md"
        papers[paper.as_posix()] = evidence.digest(report)
    hashes = _hashes(pilot, papers)
    listed = pilot.gaps
    before = decision.in_force(pilot.chain)
    text = pages.render(
        "decision.md",
        number=f"{number:04}",
        name=signed.pilot or "of this repository",
        outcome=wish.outcome,
        override=wish.override and replace(wish.override, person=_named(wish.override.person)),
        missing=[condition for condition in needed if not condition.holds],
        today=pilot.today,
        person=_named(wish.person),
        due=due,
        supersedes=before.facts["paper"] if before else None,
        until=until,
        problem=problem(pilot),
        target=phrases.charter_target(signed),
        seen=list(_seen(pilot, found, signed.currency or "")),
        budget=phrases.budget(signed),
        owner=signed.owner.name,
        receiver=signed.receiving_owner.name or "nobody yet",
        longest=WEEKS[-1],
        because=phrases.ended(wish.because),
        conditions=needed,
        hardened=pilot.today + phrases.HARDENING,
        on_condition=listed.conditions,
        gaps=[phrases.gap(gap) for gap in listed.rows if gap.open],
        hashes=hashes,
        shared_with=list(wish.shared_with),
    )
    facts: dict[str, Any] = {
        "due": due and due.isoformat(),
        "until": until and until.isoformat(),
        "papers": papers,
        "hashes": hashes,
        "shared_with": list(wish.shared_with),
        **_verdict(found),
    }
    written = decision.record(
        pilot.root, wish.outcome, wish.because, wish.person, pilot.today, text, needed, facts, wish.override
    )
    if report is not None:
        pages.write(pilot.root / next(iter(papers)), report)
    return written


def _named(person: str) -> str:
    """A person in a text: angle brackets are what people leave where they meant to write something."""
    return person.replace("<", "(").replace(">", ")")


def _verdict(found: Results | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"verdict": None, "estimate": None}
    return {"verdict": found.evaluation.verdict.value, "estimate": phrases.number(found.evaluation.figure.estimate)}


def _hashes(pilot: Pilot, papers: dict[str, str]) -> dict[str, str]:
    """What the decision rests on, so that anybody can see later whether it is still the same."""
    frozen = pilot.frozen
    texts = {"charter": CHARTER, "baseline": BASELINE}
    found = {name: evidence.digest(read_text(pilot.root / file) or "") for name, file in texts.items()}
    found["frozen baseline"] = frozen.file.name if frozen else "none"
    if pilot.live is not None and not isinstance(pilot.live, str):
        found["records"] = f"{pilot.live.items} live items, audit trail up to {pilot.live.head}"
    else:
        found["records"] = "not looked at"
    found["commit"] = history.commit(pilot.root) or "unknown"
    return {**found, **{Path(name).name: digest for name, digest in papers.items()}}


def problem(pilot: Pilot) -> str:
    """The section Problem of the charter."""
    text = read_text(pilot.root / CHARTER) or ""
    parts = page.sections(text.split("\n"), 1)
    return next((part.text.strip() for part in parts if part.title == "Problem"), "")


def _seen(pilot: Pilot, found: Results | str, currency: str) -> Iterator[str]:
    if isinstance(found, str):
        yield f"The records were not evaluated: {found}"
    else:
        evaluation = found.evaluation
        shown = " ".join(evaluation.reasons) or phrases.meaning(evaluation)
        yield f"Verdict on the target: {evaluation.verdict}. {shown}"
        # The first sentence repeats the verdict.
        yield from phrases.lead(evaluation, currency, found.contaminated)[1:]
        yield from found.remarks
    said = pilot.interviews.summary
    yield f"{phrases.users(said)}."
    yield from (f"A new problem, says a {role}: {problem}" for problem, role in said.problems)
