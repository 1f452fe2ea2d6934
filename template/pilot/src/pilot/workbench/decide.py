"""What keeps gate 3 shut: the evaluation, what users say, the costs, the gaps, and the decision."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from pilot.charter import Charter
from pilot.contract import PilotError
from pilot.frontmatter import Issue
from pilot.workbench import conditions, decisions, evidence, signatures
from pilot.workbench.documents import costs, gaps, interviews
from pilot.workbench.rules import DATABASE, Rule
from pilot.workbench.verdict import Verdict
from pilot.workbench.view import View

_EVIDENCE = evidence.EVIDENCE.as_posix()


def problems(view: View) -> Iterator[Issue]:
    """All that phase 3 lacks."""
    if view.chain.passed(2) is None:
        mend = "`pilot gate 2` lists what is missing."
        yield Issue(_EVIDENCE, None, "holds no evidence that gate 2 has passed.", mend, "gate-2-passed")
    yield from _evaluated(view)
    yield from _heard(view)
    yield from _papers(view)
    yield from _decided(view)


def _evaluated(view: View) -> Iterator[Issue]:
    decided = decisions.final(view.chain)
    if decided and decided.says.get("verdict") not in (None, Verdict.PROGRESS.value):
        return
    found = conditions.results(view)
    if isinstance(found, str):
        yield Issue(DATABASE, None, "cannot be evaluated.", found, "evaluated")
    elif found.evaluation.verdict is Verdict.PROGRESS:
        mend = "`pilot evaluate` shows the progress until then."
        yield Issue(DATABASE, None, found.evaluation.reasons[0], mend, "evaluated")


def _heard(view: View) -> Iterator[Issue]:
    least = (signatures.signed_charter(view.chain) or Charter()).least_interviews
    found = interviews.read(view.root, view.today)
    if found.count < least:
        what = f"holds {found.count} conversations that count, and the charter asks for {least}."
        mend = "Talk to users and run `pilot interview add`. A score of a survey is no conversation."
        yield Issue(interviews.INTERVIEWS.as_posix(), None, what, mend, "interviews-held")
        yield from (Issue(one.file, one.line, one.what, one.fix, "interviews-held") for one in found.issues)


def _papers(view: View) -> Iterator[Issue]:
    try:
        yield from conditions.costs_of(view).issues
    except PilotError as error:
        yield Issue(costs.COSTS.as_posix(), None, "cannot be projected.", str(error), "costs-projected")
    try:
        yield from gaps.read(view.root, view).issues
    except PilotError as error:
        yield Issue(gaps.GAPS.as_posix(), None, "cannot be read.", str(error), "gaps-listed")


def _decided(view: View) -> Iterator[Issue]:
    decided = decisions.final(view.chain)
    if decided is None:
        latest = decisions.in_force(view.chain)
        what = (
            "holds no decision." if latest is None else f"holds an extension until {latest.says['until']}, no decision."
        )
        yield Issue(_EVIDENCE, None, what, 'Decide: `pilot decide go --because "..."`, or no-go.', "decision-made")
        return
    paper = decided.says["paper"]
    by = date.fromisoformat(decided.says["due"]) if decided.says.get("due") else None
    if by is None or decided.date > by:
        what = f"was decided on {decided.date}, and due on {by or 'no day'}."
        yield Issue(paper, None, what, "That cannot be mended; the record says why.", "decision-in-time")
    signed = [role for signed_paper, role in signatures.latest(view.chain) if signed_paper == paper]
    if not decided.says.get("shared_with") and not [role for role in signed if role != signatures.OWNER]:
        mend = f"Have them sign it: {signatures.command(paper, 'sponsor', {})}"
        yield Issue(paper, None, "names nobody with whom it was shared.", mend, "decision-shared")
    if decided.says["decision"] != "go":
        mend = "`pilot close` ends the pilot; a reversal is a new decision."
        yield Issue(paper, None, "is a no-go.", mend, "decision-go")


def seen(view: View, rule: Rule) -> str:
    """What shows that a rule holds."""
    decided = decisions.final(view.chain)
    says = decided.says if decided else {}
    passed = view.chain.passed(2)
    shown = {
        "gate-2-passed": passed.file.name if passed else "",
        "evaluated": f"{says.get('verdict') or 'as of today'}, {says.get('estimate') or '`pilot evaluate` shows it'}",
        "interviews-held": f"{interviews.read(view.root, view.today).count} conversations",
        "costs-projected": costs.COSTS.as_posix(),
        "gaps-listed": gaps.GAPS.as_posix(),
        "decision-made": f"{says.get('decision')}, {decided.date}, {says.get('paper')}" if decided else "",
        "decision-in-time": f"due on {says.get('due')}",
        "decision-shared": ", ".join(says.get("shared_with") or ["signed by another than the owner"]),
        "decision-go": f"{says.get('paper')}",
    }
    return shown[rule.id]
