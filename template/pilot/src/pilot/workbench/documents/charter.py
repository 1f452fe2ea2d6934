"""The charter: what it must say before a pilot begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from math import isfinite
from pathlib import Path

from pilot.charter import CHARTER, Charter, Person, read_charter
from pilot.contract import PilotError
from pilot.frontmatter import line_of, read_text, split
from pilot.metrics import UNITS
from pilot.workbench.documents import people, prose
from pilot.workbench.documents.model import Issue, is_placeholder

WEEKS = range(4, 9)
DAYS_TO_DECIDE = 14
LOG_DAYS = 183
_FORM = prose.Form(
    CHARTER,
    # These tell of today's process and of people, which have numbers of their own. Anywhere else a number is a fact.
    {
        "Problem": prose.Part(),
        "Target": prose.Part(("target",), numbers=False),
        "Baseline": prose.Part(),
        "Timeline": prose.Part(("weeks", "decision_by"), numbers=False),
        "Team": prose.Part(("owner", "receiving_owner")),
        "Risks": prose.Part(("risks",)),
        "When we stop": prose.Part(("kill_criteria", "decision_by"), numbers=False),
    },
    sections_id="charter-sections",
    agreement_id="charter-agreement",
    page_id="charter-page",
    too_long="Cut it: if it does not fit, the scope is not tight.",
)


@dataclass(frozen=True)
class Paper:
    """The charter as it stands: its facts, the lines that hold them, and the lines of its prose."""

    facts: Charter
    fact_lines: list[str]
    prose_lines: list[str]

    @property
    def page(self) -> str:
        """The prose as people read it, with the facts in place."""
        return prose.filled("\n".join(self.prose_lines), in_words(self.facts)).strip()


def read(root: Path) -> Paper:
    """The charter of the pilot in `root`. Raises PilotError where it is missing or cannot be read."""
    facts, text = read_charter(root), read_text(root / CHARTER)
    if facts is None or text is None:
        raise PilotError(f"{CHARTER}: is not there. Run this in a pilot, or bring the file back from git.")
    return Paper(facts, *split(text, CHARTER))


def problems(paper: Paper, start: date) -> list[Issue]:
    """All that keeps the charter from holding, were it signed on the day `start`; empty when it holds."""
    facts = [problem for check in _CHECKS for problem in check(paper, start)]
    page = prose.problems(_FORM, paper.prose_lines, len(paper.fact_lines) + 2, in_words(paper.facts))
    return [*facts, *page]


def in_words(facts: Charter) -> prose.Facts:
    """The facts of a charter as its prose tells them."""
    return prose.Facts({name: _said(facts, name) for name in Charter.model_fields})


def end(start: date, weeks: int) -> date:
    """The day on which a pilot that began on `start` ends."""
    return start + timedelta(weeks=weeks)


def _problem(paper: Paper, id: str, place: str, what: str, fix: str) -> Issue:
    return Issue(CHARTER.as_posix(), line_of(paper.fact_lines, place.split(".")), f"{place}: {what}", fix, id)


def _owner(paper: Paper, start: date) -> Iterator[Issue]:
    yield from _person(paper, "charter-owner", "owner", paper.facts.owner)
    for side in ("technical_authority", "operational_authority"):
        if not getattr(paper.facts.owner, side):
            what = "is not stated, or no."
            yield _problem(paper, "charter-authority", f"owner.{side}", what, "Give the owner both, and write `yes`.")


def _receiver(paper: Paper, start: date) -> Iterator[Issue]:
    receiver, owner = paper.facts.receiving_owner, paper.facts.owner
    yield from _person(paper, "charter-receiver", "receiving_owner", receiver)
    for part in ("name", "email"):
        ours, theirs = (" ".join(str(getattr(one, part) or "").split()).casefold() for one in (owner, receiver))
        if ours and ours == theirs:
            what = f"{getattr(receiver, part)!r} is the owner's too, and nobody hands over to themselves."
            fix = "Name the person who runs it once those who built it are gone."
            yield _problem(paper, "charter-receiver", f"receiving_owner.{part}", what, fix)
            break
    budget = paper.facts.budget
    if is_placeholder(str(budget) if budget is not None else None) or budget == 0:
        yield _problem(
            paper, "charter-budget", "budget", "is empty.", "Write the amount for production, or where it is decided."
        )


def _person(paper: Paper, id: str, place: str, person: Person) -> Iterator[Issue]:
    for part, fault in (("name", people.name_fault(person.name)), ("email", people.mail_fault(person.email))):
        if fault:
            yield _problem(paper, id, f"{place}.{part}", *fault)


def _target(paper: Paper, start: date) -> Iterator[Issue]:
    facts, id = paper.facts, "charter-target"
    for place in ("metric", "unit", "direction", "target"):
        if getattr(facts, place) is None:
            yield _problem(paper, id, place, "is empty.", "State it as the comments beside it say.")
    unit = facts.unit and UNITS.get(facts.metric or "", facts.unit)
    if facts.unit is not None and facts.unit not in (unit, facts.currency if unit == "currency" else unit):
        yield _problem(paper, id, "unit", f"the unit of {facts.metric} is {unit}.", f"Write `unit: {unit}`.")
    if unit == "currency" and is_placeholder(facts.currency):
        yield _problem(paper, id, "currency", "is empty.", "Write the currency of the target, such as EUR.")
    better = "up" if facts.metric == "accuracy" else "down"
    if facts.metric and facts.direction and facts.direction != better:
        what = f"{facts.metric} gets better when it goes {better}."
        yield _problem(paper, id, "direction", what, f"Write `direction: {better}`.")
    if facts.target is not None and not _reachable(facts.target, facts.metric):
        what = f"{facts.target} is not a number that {facts.metric or 'a metric'} can reach."
        yield _problem(paper, id, "target", what, "Accuracy is a share above 0 and up to 1, the others are 0 or more.")


def _reachable(target: float, metric: str | None) -> bool:
    return isfinite(target) and (0 < target <= 1 if metric == "accuracy" else target >= 0)


def _measurement(paper: Paper, start: date) -> Iterator[Issue]:
    fix = "Say it so that two people would count the same items."
    for place in ("population", "data_source", "window"):
        if is_placeholder(getattr(paper.facts, place)):
            yield _problem(paper, "charter-measurement", place, "is empty or a placeholder.", fix)
    if not paper.facts.judged_items:
        what = "is empty or nothing."
        yield _problem(paper, "charter-measurement", "judged_items", what, "Write how many items people will judge.")


def _dates(paper: Paper, start: date) -> Iterator[Issue]:
    weeks, decision = paper.facts.weeks, paper.facts.decision_by
    if weeks not in WEEKS:
        what = "is empty." if weeks is None else f"{weeks} is not from {WEEKS[0]} to {WEEKS[-1]}."
        yield _problem(
            paper, "charter-weeks", "weeks", what, "A pilot that shows nothing by then has the wrong problem."
        )
    if decision is None:
        what = "is empty."
        yield _problem(paper, "charter-decision-date", "decision_by", what, "Write the date of go or no-go.")
    elif weeks is not None and weeks in WEEKS:
        first = end(start, weeks)
        last = first + timedelta(days=DAYS_TO_DECIDE)
        if not first <= decision <= last:
            what = f"{decision} is not from {first} to {last}: signed on {start}, the pilot ends on {first}."
            fix = f"Decide 0 to {DAYS_TO_DECIDE} days after the end."
            yield _problem(paper, "charter-decision-date", "decision_by", what, fix)


def _lists(paper: Paper, start: date) -> Iterator[Issue]:
    for id, place, items in (
        ("charter-risks", "risks", paper.facts.risks),
        ("charter-kill-criteria", "kill_criteria", paper.facts.kill_criteria),
    ):
        if not items or any(is_placeholder(item, 3) for item in items):
            what = "is empty, or an entry is no sentence."
            yield _problem(paper, id, place, what, "Write each as a sentence of three words or more.")
    others = paper.facts.alternatives
    if not others or any(is_placeholder(other.option) or is_placeholder(other.why_not, 3) for other in others):
        what = "is empty, or an entry does not say why it is not enough."
        fix = "Write {option: ..., why_not: ...} for a rule, a changed form, a search or a purchase."
        yield _problem(paper, "charter-alternatives", "alternatives", what, fix)
    if paper.facts.build_or_buy is None:
        yield _problem(paper, "charter-build-or-buy", "build_or_buy", "is empty.", "Write `build` or `buy`.")


def _risk_questions(paper: Paper, start: date) -> Iterator[Issue]:
    """Asks for more where more is at stake. This is no legal advice, and what holds here may still be unlawful."""
    facts = paper.facts
    for place in ("people_affected", "regulated", "personal_data", "automated_decision"):
        if getattr(facts, place) is None:
            yield _problem(paper, "charter-risk-questions", place, "is not answered.", "Write `yes` or `no`.")
    if facts.use is None:
        fix = "Write `ordinary`, `high_risk` or `prohibited`, with the person who knows the law that applies."
        yield _problem(paper, "charter-risk-questions", "use", "is not answered.", fix)
    elif facts.use != "ordinary":
        what = f"a use that is {facts.use.replace('_', ' ')} is not one for a pilot."
        fix = "Stop here and choose another problem; a lawyer may see it otherwise, this check cannot."
        yield _problem(paper, "charter-use", "use", what, fix)
    if (facts.people_affected or facts.automated_decision) and is_placeholder(facts.oversight, 3):
        fix = "Write who can stop or override an answer, and how."
        yield _problem(paper, "charter-safeguards", "oversight", "is empty, and people are affected.", fix)
    if (facts.regulated or facts.automated_decision) and (facts.log_days or 0) < LOG_DAYS:
        what = "is too short for a regulated process or an automated decision."
        yield _problem(paper, "charter-safeguards", "log_days", what, f"Keep the records {LOG_DAYS} days or longer.")
    if (facts.people_affected or facts.personal_data) and is_placeholder(facts.impact_note, 3):
        fix = "Write what a wrong answer does to a person, and how it is put right."
        yield _problem(paper, "charter-safeguards", "impact_note", "is empty, and people are affected.", fix)


_CHECKS: tuple[Callable[[Paper, date], Iterator[Issue]], ...] = (
    _owner,
    _receiver,
    _target,
    _measurement,
    _dates,
    _lists,
    _risk_questions,
)


def _said(facts: Charter, name: str) -> str:
    """A fact in words."""
    if name == "target":
        return (
            f"{(facts.metric or '?').replace('_', ' ')} goes {facts.direction or '?'} to {_known(facts.target)} "
            f"{_known(facts.unit)} for {_known(facts.population)}, measured from {_known(facts.data_source)} "
            f"during {_known(facts.window)}, over at least {_known(facts.judged_items)} judged items"
        )
    value = getattr(facts, name)
    if isinstance(value, Person):
        return f"{_known(value.name)} <{_known(value.email)}>"
    if name == "alternatives":
        return "; ".join(f"{other.option} ({other.why_not})" for other in facts.alternatives) or "?"
    if name == "guardrails":
        return (
            "; ".join(f"{other.metric} {other.direction}, margin {other.margin}" for other in facts.guardrails) or "?"
        )
    return "; ".join(value) or "?" if isinstance(value, list) else _known(value)


def _known(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "?" if value is None else str(value)
