"""What a go needs: each condition by itself, so that the one that fails is seen."""

from __future__ import annotations

from collections.abc import Iterator

from pilot.charter import CHARTER, Charter
from pilot.contract import PilotError
from pilot.workbench import decisions, plain, plainly, signatures
from pilot.workbench.decisions import Condition
from pilot.workbench.documents import costs, gaps, interviews
from pilot.workbench.documents.costs import Costed
from pilot.workbench.documents.gaps import Gap
from pilot.workbench.results import Results
from pilot.workbench.verdict import Verdict
from pilot.workbench.view import Records, View


def results(view: View) -> Results | str:
    """The results as of the view's day, or why there are none."""
    if not isinstance(view.records, Records):
        return view.records or "The records were not looked at."
    try:
        return view.records.results(view.today)
    except PilotError as error:
        return str(error)


def conditions(view: View, found: Results | str) -> list[Condition]:
    """The conditions of a go, by the papers and by the results."""
    return [*_of_papers(view), *_of_results(found), *_of_case(view)]


def _of_papers(view: View) -> Iterator[Condition]:
    passed = view.chain.passed(2)
    yield Condition(
        "gate-2-passed",
        "Is the AI measured on real work, beside today's process (gate 2)?",
        passed is not None,
        f"passed on {passed.date}" if passed else "`pilot gate 2` says what lacks.",
    )
    signed = signatures.latest(view.chain).get((CHARTER.as_posix(), signatures.OWNER))
    changed = signatures.changes(view.root, signed) if signed else []
    said = "as it was signed" if signed else "It is not signed."
    yield Condition(
        "charter-unchanged",
        "Is the charter as its owner signed it?",
        signed is not None and not changed,
        str(changed[0]) if changed else said,
    )
    by = decisions.due(view.chain)
    in_time = by is not None and view.today <= by
    yield Condition("in-time", "Is it decided in time?", in_time, f"due on {by or 'no day: gate 1 has not passed'}")


def _of_results(found: Results | str) -> Iterator[Condition]:
    if isinstance(found, str):
        yield Condition("target-met", "Is the target met?", False, found)
        return
    evaluation = found.evaluation
    met = evaluation.verdict is Verdict.MET
    said = f"{evaluation.verdict}. {' '.join(evaluation.reasons) or plain.MEANING[evaluation.verdict]}"
    yield Condition("target-met", "Is the target met?", met, said)
    planned, known = evaluation.planned, evaluation.figure.known
    yield Condition(
        "items-as-planned",
        "Are as many items judged as were planned?",
        planned is not None and known >= planned,
        f"{known} are judged, {planned or 'an unknown number'} were planned",
    )
    usable = bool(found.measured) and not found.contaminated
    yield Condition(
        "baseline-usable",
        "Was today's process measured before the AI came, and left as it was measured (the baseline)?",
        usable,
        "measured and unchanged" if usable else " ".join(found.remarks) or "Measure it first.",
    )
    rails = evaluation.guardrails
    failing = [f"{plain.RAILS.get(rail.metric, rail.metric)}: {rail.said}" for rail in rails if not rail.holds]
    named = ", ".join(plain.RAILS.get(rail.metric, rail.metric) for rail in rails)
    yield Condition(
        "guardrails-hold",
        "Is it shown that nothing else got worse?",
        not failing,
        "; ".join(failing) or (f"shown for {named}" if named else "the charter names nothing that must not"),
    )


def _of_case(view: View) -> Iterator[Condition]:
    """What users say, what production costs and brings, and what it lacks."""
    signed = signatures.signed_charter(view.chain) or Charter()
    talks = interviews.read(view.root, view.today)
    yield Condition(
        "interviews-held",
        "Have enough users been heard?",
        talks.count >= signed.least_interviews,
        f"{talks.count} conversations, and the charter asks for {signed.least_interviews}",
    )
    costed = costs_of(view)
    yield Condition("costs-pay", "Does a month of production bring more than it costs?", costed.pays, _said(costed))
    listed = gaps.read(view.root, view)
    yield Condition(
        "no-open-blocker",
        "Is nothing open that blocks production?",
        not listed.issues and len(listed.conditions) == len(listed.blockers),
        "; ".join(_blocking(gap) for gap in listed.blockers)
        or ("`pilot gaps` says what it lacks" if listed.issues else "none is open"),
    )


def _blocking(gap: Gap) -> str:
    """A blocker; one with an owner and a day makes a go conditional."""
    return f"{gap.what}, {gap.owner} by {gap.mended_by}" if gap.owner and gap.mended_by else gap.what


def costs_of(view: View) -> Costed:
    """The projection of production, with what the records know where they are at hand."""
    measured = {}
    if isinstance(view.records, Records):
        with view.records.engine.connect() as connection:
            measured = costs.measured(view.root, connection, view.today)
    return costs.projection(view.root, measured)


def _said(costed: Costed) -> str:
    if costed.projection is None:
        return str(costed.issues[0]) if costed.issues else "It is not known."
    net = costed.projection.net
    low, middle, high = (plainly.money(value) for value in (net.p10, net.p50, net.p90))
    return f"{middle} {costed.currency} are left of it; one month in ten less than {low}, one in ten more than {high}"
