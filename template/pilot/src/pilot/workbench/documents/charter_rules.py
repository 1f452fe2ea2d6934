"""What the charter must state before a pilot begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from math import isfinite
from pathlib import Path

from pilot.charter import CHARTER, Charter, Person
from pilot.contract import PilotError, Prediction
from pilot.fields import Draft, Within, fields_of
from pilot.frontmatter import Document, Fault, Issue, parse, read_text
from pilot.metrics import better, metric_of
from pilot.workbench.documents.model import is_placeholder, wrong_mail, wrong_name
from pilot.workbench.documents.page import Form, InWords, Part, filled
from pilot.workbench.documents.page import issues as page_issues

WEEKS = range(4, 9)
DAYS_TO_DECIDE = 14
LOG_DAYS = 183
_FORM = Form(
    # These tell of today's process and of people, which have numbers of their own. Anywhere else a number is a fact.
    {
        "Problem": Part(),
        "Target": Part(("target",), numbers=False),
        "Baseline": Part(),
        "Timeline": Part(("weeks", "decision_by"), numbers=False),
        "Team": Part(("owner", "receiving_owner")),
        "Risks": Part(("risks",)),
        "When we stop": Part(("kill_criteria", "decision_by"), numbers=False),
    },
    too_long="Cut it: if it does not fit, the scope is not tight.",
)


Faults = Callable[[Charter, date], Iterator[Fault]]


@dataclass(frozen=True)
class Rule:
    """What the charter must state, were it signed on a day: the question, what makes it hold, and what is at fault.
    `attested` is what only a person can say; `needs` is the rule that must hold first."""

    id: str
    question: str
    fix: str
    faults: Faults
    attested: bool
    needs: str


RULES: list[Rule] = []


def rule(
    id: str, question: str, fix: str, attested: bool = False, needs: str = "charter-readable"
) -> Callable[[Faults], Faults]:
    """Registers a rule of the charter."""

    def register(faults: Faults) -> Faults:
        RULES.append(Rule(id, question, fix, faults, attested, needs))
        return faults

    return register


def read(root: Path) -> Document[Charter]:
    """The charter of the pilot in `root`. Raises PilotError where it is missing or cannot be read."""
    text = read_text(root / CHARTER)
    if text is None:
        raise PilotError(f"{CHARTER}: is not there. Run this in a pilot, or bring the file back from git.")
    return parse(Charter, text, CHARTER)


def page(charter: Document[Charter]) -> str:
    """The page of the charter, with the facts in place."""
    return filled(charter.prose, in_words(charter.facts))


def issues(charter: Document[Charter], start: date) -> list[Issue]:
    """All that keeps the charter from holding, were it signed on the day `start`; empty when it holds."""
    found = [charter.issue(fault, rule.id) for rule in RULES for fault in rule.faults(charter.facts, start)]
    page = page_issues(_FORM, charter, in_words(charter.facts))
    return [*found, *(replace(issue, rule=f"charter-{issue.rule}") for issue in page)]


def unknown_fields(charter: Document[Charter], prediction: type[Prediction]) -> list[Issue]:
    """The metrics that are about a field which the Prediction does not have, or which its type does not allow."""
    places = {"metric": charter.facts.metric or ""}
    places |= {f"guardrails.{number}.metric": rail.metric for number, rail in enumerate(charter.facts.guardrails)}
    found, known = [], fields_of(prediction)
    for place, name in places.items():
        kind, _, field = name.partition(":")
        what = None
        if field and field not in known:
            what = f"there is no field {field}. The fields of {prediction.__name__} are: {', '.join(known)}."
        elif kind == "absolute_error" and field and not known[field].number:
            what = f"{field} is no number, so it has no size of an error."
        elif kind == "within" and field and not isinstance(known[field].comparison, Within):
            what = f"nothing says how near {field} must be."
        elif name in ("edit_similarity", "accepted_unchanged") and not any(
            isinstance(one.comparison, Draft) for one in known.values()
        ):
            what = f"{name} is about drafts, and no field is one."
        if what:
            fix = "Name another metric, or annotate the field in schema.py: Within(absolute=…), Draft()."
            found.append(charter.issue(Fault(place, what, fix), "charter-target"))
    return found


def end(start: date, weeks: int) -> date:
    """The day on which a pilot that began on `start` ends."""
    return start + timedelta(weeks=weeks)


def _person(place: str, person: Person) -> Iterator[Fault]:
    """Why somebody is not one person."""
    for part, wrong in (("name", wrong_name(person.name)), ("email", wrong_mail(person.email))):
        if wrong:
            yield Fault(f"{place}.{part}", *wrong)


@rule("charter-owner", "Is the owner one person?", "Name one person with an address of their own.")
def _owner(facts: Charter, start: date) -> Iterator[Fault]:
    yield from _person("owner", facts.owner)


@rule(
    "charter-authority",
    "Does the owner have authority over the technical and the operational side?",
    "Give the owner both, and write `yes`.",
    attested=True,
)
def _authority(facts: Charter, start: date) -> Iterator[Fault]:
    for side in ("technical_authority", "operational_authority"):
        if not getattr(facts.owner, side):
            yield Fault(f"owner.{side}", "is not stated, or no.", "Give the owner both, and write `yes`.")


@rule("charter-receiver", "Is it named who runs it after a go?", "Name one person other than the owner.")
def _receiver(facts: Charter, start: date) -> Iterator[Fault]:
    yield from _person("receiving_owner", facts.receiving_owner)
    for part in ("name", "email"):
        pair = (facts.owner, facts.receiving_owner)
        ours, theirs = (" ".join(str(getattr(one, part) or "").split()).casefold() for one in pair)
        if ours and ours == theirs:
            name = getattr(facts.receiving_owner, part)
            what = f"{name!r} is the owner's too, and nobody hands over to themselves."
            fix = "Name the person who runs it once those who built it are gone."
            yield Fault(f"receiving_owner.{part}", what, fix)
            break


@rule("charter-budget", "Is it stated what pays for production?", "Fill budget.")
def _budget(facts: Charter, start: date) -> Iterator[Fault]:
    if is_placeholder(None if facts.budget is None else str(facts.budget)) or facts.budget == 0:
        yield Fault("budget", "is empty.", "Write the amount for production, or where it is decided.")


@rule(
    "charter-target",
    "Is the target a metric with unit, direction and number?",
    "Fill metric, unit, direction and target.",
)
def _target(facts: Charter, start: date) -> Iterator[Fault]:
    for place in ("metric", "unit", "direction", "target"):
        if getattr(facts, place) is None:
            yield Fault(place, "is empty.", "State it as the comments beside it say.")
    unit = facts.unit and ((facts.metric and metric_of(facts.metric).unit) or facts.unit)
    if facts.unit is not None and facts.unit not in (unit, facts.currency if unit == "currency" else unit):
        yield Fault("unit", f"the unit of {facts.metric} is {unit}.", f"Write `unit: {unit}`.")
    if unit == "currency" and is_placeholder(facts.currency):
        yield Fault("currency", "is empty.", "Write the currency of the target, such as EUR.")
    if facts.metric and facts.direction:
        yield from _contradiction("direction", facts.metric, facts.direction)
    for number, rail in enumerate(facts.guardrails):
        with suppress(PilotError):  # a metric that the records do not know
            yield from _contradiction(f"guardrails.{number}.direction", rail.metric, rail.direction)
    if facts.interval == "always_valid" and not (facts.metric and metric_of(facts.metric).yes_or_no):
        what = f"an always-valid interval is for a share, and {facts.metric or 'the metric'} is none."
        fix = "Leave it empty: times and costs are skewed, and no interval of their means holds at every look."
        yield Fault("interval", what, fix)
    if facts.target is not None and not _reachable(facts.target, facts.metric):
        what = f"{facts.target} is not a number that {facts.metric or 'a metric'} can reach."
        yield Fault("target", what, "A share is above 0 and up to 1, other metrics are 0 or more.")


def _contradiction(place: str, metric: str, direction: str) -> Iterator[Fault]:
    way = better(metric)
    if direction != way:
        yield Fault(place, f"{metric} gets better when it goes {way}.", f"Write `direction: {way}`.")


def _reachable(target: float, metric: str | None) -> bool:
    return isfinite(target) and (0 < target <= 1 if metric and metric_of(metric).bounded else target >= 0)


@rule(
    "charter-measurement",
    "Is it said of which items, from where, when and on how many judged ones the target is measured?",
    "Fill population, data_source, window and judged_items.",
)
def _measurement(facts: Charter, start: date) -> Iterator[Fault]:
    for place in ("population", "data_source", "window"):
        if is_placeholder(getattr(facts, place)):
            yield Fault(place, "is empty or a placeholder.", "Say it so that two people would count the same items.")
    begins = facts.measured_from
    if begins is not None and not start <= begins < end(start, facts.weeks or WEEKS[-1]):
        what = f"{begins} is not in the pilot's weeks, which begin with the signature, on {start}."
        yield Fault("measured_from", what, "Name a day of the pilot, or leave it empty: then it is the signature's.")
    if not facts.judged_items:
        yield Fault("judged_items", "is empty or nothing.", "Write how many items people will judge.")


@rule("charter-weeks", "Does the pilot take 4 to 8 weeks?", "Set weeks.")
def _weeks(facts: Charter, start: date) -> Iterator[Fault]:
    if facts.weeks not in WEEKS:
        what = "is empty." if facts.weeks is None else f"{facts.weeks} is not from {WEEKS[0]} to {WEEKS[-1]}."
        yield Fault("weeks", what, "A pilot that shows nothing by then has the wrong problem.")


@rule(
    "charter-decision-date",
    "Is the decision 0 to 14 days after the pilot's end, counted from the signature?",
    "Set decision_by.",
)
def _decision_date(facts: Charter, start: date) -> Iterator[Fault]:
    if facts.decision_by is None:
        yield Fault("decision_by", "is empty.", "Write the date of go or no-go.")
    elif facts.weeks is not None and facts.weeks in WEEKS:
        first = end(start, facts.weeks)
        last = first + timedelta(days=DAYS_TO_DECIDE)
        if not first <= facts.decision_by <= last:
            what = f"{facts.decision_by} is not from {first} to {last}: signed on {start}, the pilot ends on {first}."
            yield Fault("decision_by", what, f"Decide 0 to {DAYS_TO_DECIDE} days after the end.")


def _sentences(facts: Charter, place: str) -> Iterator[Fault]:
    entries: list[str] = getattr(facts, place)
    if not entries or any(is_placeholder(entry, 3) for entry in entries):
        yield Fault(place, "is empty, or an entry is no sentence.", "Write each as a sentence of three words or more.")


@rule("charter-risks", "Are the risks named?", "Fill risks with sentences.")
def _risks(facts: Charter, start: date) -> Iterator[Fault]:
    yield from _sentences(facts, "risks")


@rule("charter-kill-criteria", "Is it said what ends the pilot early?", "Fill kill_criteria with sentences.")
def _kill_criteria(facts: Charter, start: date) -> Iterator[Fault]:
    yield from _sentences(facts, "kill_criteria")


@rule(
    "charter-alternatives",
    "Is it said what could solve the problem without AI, and why it is not enough?",
    "Fill alternatives.",
)
def _alternatives(facts: Charter, start: date) -> Iterator[Fault]:
    others = facts.alternatives
    if not others or any(is_placeholder(other.option) or is_placeholder(other.why_not, 3) for other in others):
        fix = "Write {option: ..., why_not: ...} for a rule, a changed form, a search or a purchase."
        yield Fault("alternatives", "is empty, or an entry does not say why it is not enough.", fix)


@rule("charter-build-or-buy", "Is it answered whether to build or to buy?", "Fill build_or_buy.")
def _build_or_buy(facts: Charter, start: date) -> Iterator[Fault]:
    if facts.build_or_buy is None:
        yield Fault("build_or_buy", "is empty.", "Write `build` or `buy`.")


@rule(
    "charter-risk-questions",
    "Are the questions about what is at stake answered?",
    "Answer people_affected, regulated, personal_data, automated_decision and use.",
    attested=True,
)
def _risk_questions(facts: Charter, start: date) -> Iterator[Fault]:
    for place in ("people_affected", "regulated", "personal_data", "automated_decision"):
        if getattr(facts, place) is None:
            yield Fault(place, "is not answered.", "Write `yes` or `no`.")
    if facts.use is None:
        fix = "Write `ordinary`, `high_risk` or `prohibited`, with the person who knows the law that applies."
        yield Fault("use", "is not answered.", fix)


@rule(
    "charter-use",
    "Is the use neither prohibited nor of high risk?",
    "Choose another problem.",
    attested=True,
    needs="charter-risk-questions",
)
def _use(facts: Charter, start: date) -> Iterator[Fault]:
    """This is no legal advice, and what holds here may still be unlawful."""
    if facts.use not in (None, "ordinary"):
        fix = "Stop here and choose another problem; a lawyer may see it otherwise, this check cannot."
        yield Fault("use", f"a use that is {str(facts.use).replace('_', ' ')} is not one for a pilot.", fix)


@rule(
    "charter-safeguards",
    "Where people are affected: oversight, an impact note, and records kept long enough?",
    "Fill oversight, log_days and impact_note.",
    attested=True,
    needs="charter-risk-questions",
)
def _safeguards(facts: Charter, start: date) -> Iterator[Fault]:
    """Asks for more where more is at stake."""
    if (facts.people_affected or facts.automated_decision) and is_placeholder(facts.oversight, 3):
        fix = "Write who can stop or override an answer, and how."
        yield Fault("oversight", "is empty, and people are affected.", fix)
    if (facts.regulated or facts.automated_decision) and (facts.log_days or 0) < LOG_DAYS:
        what = "is too short for a regulated process or an automated decision."
        yield Fault("log_days", what, f"Keep the records {LOG_DAYS} days or longer.")
    if (facts.people_affected or facts.personal_data) and is_placeholder(facts.impact_note, 3):
        fix = "Write what a wrong answer does to a person, and how it is put right."
        yield Fault("impact_note", "is empty, and people are affected.", fix)


def in_words(facts: Charter) -> InWords:
    """The facts of a charter in the words of its page."""
    return InWords({name: _said(facts, name) for name in Charter.model_fields})


def _said(facts: Charter, name: str) -> str:
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
        value = [f"{other.option} ({other.why_not})" for other in facts.alternatives]
    if name == "guardrails":
        value = [f"{other.metric} {other.direction}, margin {other.margin}" for other in facts.guardrails]
    return "; ".join(value) or "?" if isinstance(value, list) else _known(value)


def _known(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "?" if value is None else str(value)
