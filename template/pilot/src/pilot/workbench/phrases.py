"""The sentences of reports, the brief and the command line about an evaluation and the documents; `templates/` has the
longer ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from math import floor, log10
from typing import NamedTuple

from pilot.charter import Charter
from pilot.fields import Match
from pilot.metrics import better, metric_of
from pilot.workbench import pages
from pilot.workbench.documents.gaps import Gap
from pilot.workbench.documents.interviews import Summary
from pilot.workbench.evaluation import Evaluation, FieldFigures, Figure, Guarded, Saved, Verdict, Versus
from pilot.workbench.stats.comparisons import Comparison
from pilot.workbench.stats.data import Estimate
from pilot.workbench.stats.slices import Slice


class Words(NamedTuple):
    """How a metric is said: as a title, as what must not get worse, in a sentence about its figure, and in one about
    its target. FIELD is the field that it is about."""

    title: str
    rail: str
    sentence: str
    target: str


_WORDS = {
    "accuracy": Words(
        "Share of items that the AI decides as people do",
        "the share of right decisions",
        "The AI decides %s as people do",
        "are decided by the AI as people decide them",
    ),
    "cycle_time": Words(
        "Time from an item's arrival to its final outcome",
        "the time that an item takes",
        "An item takes %s from its arrival to the final outcome",
        "from an item's arrival to its final outcome",
    ),
    "manual_touches": Words(
        "Actions of people for each item",
        "people's actions",
        "An item takes people %s",
        "of people for each item",
    ),
    "cost_per_item": Words(
        "Cost of an item, people's time included",
        "the cost of an item",
        "An item costs %s, people's time included",
        "for each item, people's time included",
    ),
    "work_time": Words(
        "Work of people on an item",
        "people's work on an item",
        "An item takes people %s of work",
        "of people's work on an item",
    ),
    "failures": Words("Share of failed answers", "the share of failed answers", "%s of the answers fail", ""),
    "latency": Words("The AI's speed", "the AI's speed", "The AI takes %s", ""),
    "field_accuracy": Words(
        "Share of fields that the AI gets right",
        "the share of right fields",
        "The AI gets %s right",
        "are right in the AI's answers",
    ),
    "accuracy:": Words(
        "Share of items whose FIELD the AI gets right",
        "the share of items with the right FIELD",
        "The AI gets the FIELD of %s right",
        "have the right FIELD in the AI's answers",
    ),
    "f1:": Words("F1 of FIELD", "the F1 of FIELD", "The AI finds FIELD with an F1 of %s", "as the F1 of FIELD"),
    "absolute_error:": Words(
        "Error of FIELD, on average",
        "the error of FIELD",
        "The AI's answer for FIELD is off by %s on average",
        "of error in FIELD, on average",
    ),
    "within:": Words(
        "Share of items whose FIELD is near enough",
        "the share of items whose FIELD is near enough",
        "The AI's answer for FIELD is near enough for %s",
        "have a FIELD in the AI's answers that is near enough",
    ),
    "accepted_unchanged": Words(
        "Share of drafts that people send as they are",
        "the share of drafts that are sent as they are",
        "People send %s as they are",
        "are sent as they are",
    ),
    "edit_similarity": Words(
        "How much of a draft stays when people edit it",
        "how much of a draft stays",
        "Of a draft %s stays when people edit it",
        "of a draft stays when people edit it",
    ),
}


def _words(metric: str) -> Words | None:
    """How the metric is said; None where there is none of that name."""
    kind, colon, field = metric.partition(":")
    found = _WORDS.get(kind + colon)
    return found and Words(*(said.replace("FIELD", field.replace("_", " ")) for said in found))


def title(metric: str) -> str:
    """What the metric is called."""
    found = _words(metric)
    return found.title if found else metric


def rail(metric: str) -> str:
    """What must not get worse, in a sentence."""
    found = _words(metric)
    return found.rail if found else metric


def sentence(metric: str) -> str:
    """A sentence about the metric's figure, which stands for %s."""
    found = _words(metric)
    return found.sentence if found else f"{metric} is %s"


# Which items the picture of the progress is of: whether open ones count.
COUNTED = {False: "Of the items with an outcome alone.", True: "Open items count with the time that passed so far."}
JUDGED = (
    "This is of the items that were judged, as they are: those that the AI was unsure of all are, and of the others "
    "only those that were drawn for an audit."
)
MEANING = {
    Verdict.MET: "The target is met: with {confidence} confidence the true figure is on its good side.",
    Verdict.MISSED: "The target is missed: with {confidence} confidence the true figure falls short of it.",
    Verdict.NOT_PROVEN: "The target is not proven: the records allow for both, that it is met and that it is not, or "
    "too few items have an outcome to say.",
    Verdict.PROGRESS: "No verdict yet. These are the figures so far; looking early and stopping when they please would "
    "prove nothing.",
}


def meaning(found: Evaluation) -> str:
    """What the verdict means, in a sentence."""
    return MEANING[found.verdict].format(confidence=confidence(found))


def confidence(found: Evaluation) -> str:
    """The confidence of the interval that decides."""
    return f"{found.confidence * 100:.3g} %"


def target(found: Evaluation, currency: str) -> str:
    """The target in one phrase."""
    word = "at least" if found.direction == "up" else "at most"
    return f"{word} {amount(found.metric, found.target, currency)}"


def reached(figure: Figure, currency: str) -> str:
    """A figure with its interval, and on how many items it stands."""
    estimate, name = figure.estimate, title(figure.metric)
    if not figure.known:
        return f"{name}: not known, of {figure.items} items none has it"
    between = ""
    if estimate.low is not None and estimate.high is not None:
        between = f" ({_range(figure.metric, estimate.low, estimate.high, currency, reach_of(estimate))})"
    return f"{name}: {_measured(figure, currency)}{between}, on {figure.known} of {figure.items} items"


def lead(found: Evaluation, currency: str, contaminated: bool = False) -> list[str]:
    """What the pilot has shown about errors, time and cost, sentence by sentence. A baseline that is `contaminated` may
    show what the AI did, so nothing is claimed from it."""
    return [said for _, said in _sentences(found, currency, contaminated)]


def parts_of_lead(found: Evaluation, currency: str, contaminated: bool = False) -> dict[str, list[str]]:
    """The same by the part of the report that each sentence belongs to: `verdict`, `worth` and `open`."""
    sentences = list(_sentences(found, currency, contaminated))
    return {part: [said for name, said in sentences if name == part] for part in ("verdict", "worth", "open")}


def _sentences(found: Evaluation, currency: str, contaminated: bool) -> Iterator[tuple[str, str]]:
    text = pages.render(
        "lead.txt",
        found=found,
        currency=currency,
        contaminated=contaminated,
        target=target(found, currency),
        harmed=[rail(one.metric) for one in found.guardrails if one.harmed],
        unproven=[rail(one.metric) for one in found.guardrails if not one.holds and not one.harmed],
        title=title,
        sentence=sentence,
        amount=amount,
        measured=_measured,
        between=_between,
        gain=_gain,
        saved=lambda one: begun(saved(one)),
        value=value,
    )
    for line in text.splitlines():
        part, _, said = line.partition("|")
        yield part, said


def amount(metric: str, value: float | None, currency: str, reach: float | None = None) -> str:
    """A value of the metric in the unit that people use for its size, with as many digits as its uncertainty `reach`,
    half of an interval, allows; three where that is not known."""
    if value is None:
        return "unknown"
    factor, unit = unit_of(metric, value, currency)
    shown = digits(value * factor, None if reach is None else reach * factor)
    return f"{shown} {unit[:-1] if shown == '1' and unit in ('hours', 'days', 'actions') else unit}".rstrip()


def unit_of(metric: str, value: float, currency: str) -> tuple[float, str]:
    """What a value of about this size is multiplied by, to be said in the unit that people use."""
    if metric in ("cycle_time", "work_time"):
        hour = 1.0 if metric == "cycle_time" else 60.0
        sizes = ((2 / 60, 3600.0, "s"), (1.0, 60.0, "min"), (72.0, 1.0, "hours"))
        factor, unit = next(((by, unit) for most, by, unit in sizes if abs(value) < most * hour), (1 / 24, "days"))
        return factor / hour, unit
    if metric in ("manual_touches", "cost_per_item"):
        return 1.0, "actions" if metric == "manual_touches" else currency
    named = metric_of(metric)
    if named.yes_or_no:
        return 100.0, "of 100 drafts" if metric == "accepted_unchanged" else "of 100 items"
    units = {"field_accuracy": (100.0, "of 100 fields"), "edit_similarity": (100.0, "%"), "latency": (1.0, "s")}
    return units.get(named.kind, (100.0, "%") if metric == "failures" else (1.0, ""))


def digits(value: float, reach: float | None = None) -> str:
    """A number with no more digits than its uncertainty allows: the last one is of the order of half of
    `reach`."""
    if reach is None or not reach > 0:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    places = min(4, -floor(log10(reach / 2)))
    shown = f"{round(value, places):,.{max(0, places)}f}"
    return "0" if float(shown.replace(",", "")) == 0 else shown


def reach_of(found: Estimate | Comparison) -> float | None:
    """Half of an interval; None where an end is open."""
    return None if found.low is None or found.high is None else (found.high - found.low) / 2


def _measured(figure: Figure, currency: str) -> str:
    """The figure, or the range in which it lies whatever is missing."""
    reach = reach_of(figure.estimate)
    if figure.bounds is None:
        return amount(figure.metric, figure.estimate.value, currency, reach)
    least, most = figure.bounds
    if most is None:
        return f"at least {amount(figure.metric, least, currency, reach_of(figure.naive))}"
    return _range(figure.metric, least, most, currency, reach)


def _range(metric: str, low: float, high: float, currency: str, reach: float | None) -> str:
    """From one value to another, the unit once where both have the same."""
    first, second = (amount(metric, end, currency, reach) for end in (low, high))
    if first == second:
        return second
    number, _, unit = first.partition(" ")
    return f"{number if second.endswith(f' {unit}') else first} to {second}"


def _between(found: Evaluation) -> str:
    of = found.figure.estimate
    if of.low is None or of.high is None:
        return ""
    unit = unit_of(found.metric, of.high, "")[1] if metric_of(found.metric).bounded else ""
    ends = _range(found.metric, of.low, of.high, "", reach_of(of)).removesuffix(f" {unit}").replace(" to ", " and ")
    return f" (with {confidence(found)} confidence between {ends.strip()})"


def saved(found: Saved, early: bool = False) -> str:
    """The work that the AI saves people on an item and in a month, and whether that is proven."""
    said = f"an item takes people {_less(found.minutes, 'min')} than {found.beside}"
    if found.hours is not None:
        said += f"; in a month of {found.items:g} items a working day that is {_less(found.hours, 'hours')}"
    proven = "proven" if found.versus.better or found.versus.worse else "not proven to differ"
    return f"{said}: {'no verdict yet' if early else proven}"


def _less(found: Estimate, unit: str) -> str:
    """How much less work it is, or how much more, with the ends of the interval."""
    reach, value = reach_of(found), found.value or 0.0
    known = zip(("at least", "at most"), found.interval, strict=True)
    ends = " and ".join(f"{word} {digits(end, reach)}" for word, end in known if end is not None)
    less = f"{digits(abs(value), reach)} {unit} {'less' if value >= 0 else 'more'}"
    return f"{less} ({ends} {unit} less)" if ends else less


def _gain(metric: str, versus: Versus, currency: str) -> str:
    before, difference = versus.other.value, versus.comparison.difference
    if before is None or difference is None:
        return ""
    reach = reach_of(versus.comparison)
    if difference == 0:
        return f", which was the same: {amount(metric, before, currency, reach_of(versus.other))}"
    if metric_of(metric).yes_or_no:
        word = "fewer" if difference > 0 else "more"
        errors = digits(abs(difference) * 100, None if reach is None else reach * 100)
        rightly = amount(metric, before, currency, reach_of(versus.other)).split()[0]
        return f", which decides {rightly} of 100 rightly: about {errors} errors {word} in 100 items"
    word = "less" if difference < 0 else "more"
    less = amount(metric, abs(difference), currency, reach)
    return f", {less} {word} than the {amount(metric, before, currency, reach_of(versus.other))} before"


# The phase after a go: from its day on, the service is made fit to run without those who built it.
HARDENING = timedelta(weeks=4)


def charter_target(charter: Charter) -> str:
    """The target of the charter in one sentence without its full stop, or that there is none."""
    if charter.target is None or charter.metric is None:
        return "not named yet"
    word = "at least" if charter.direction == "up" else "at most"
    measure = amount(charter.metric, charter.target, charter.currency or "of the currency")
    found = _words(charter.metric)
    parts = [f"{word} {measure} {found.target if found else charter.metric}"]
    for said, fact in (("of", charter.population), ("taken from", charter.data_source), ("during", charter.window)):
        if fact:
            parts.append(f"{said} “{fact}”")
    if charter.judged_items:
        parts.append(f"judged by people for {charter.judged_items} items or more")
    return ", ".join(parts)


def budget(charter: Charter) -> str:
    """What pays for production."""
    if isinstance(charter.budget, float):
        return f"{charter.budget:,.0f} {charter.currency or ''}".strip()
    return charter.budget or "not named"


def money(value: float) -> str:
    """An amount to three figures, which is more than a projection knows."""
    if abs(value) < 100:
        return f"{value:.2f}"
    return f"{round(value, 2 - floor(log10(abs(value)))):,.0f}"


def users(said: Summary) -> str:
    """What the conversations with users came to, in one sentence without its full stop."""
    if not said.count:
        return "No user was heard"
    heard = "1 user was heard" if said.count == 1 else f"{said.count} users were heard"
    answers = {"yes": "helped", "partly": "partly helped", "no": "did not help"}
    helped = ", ".join(f"{answers[word]} {said.helped[word]}" for word in answers if said.helped[word])
    return f"{heard}: it {helped}; {said.again['yes']} would use it again"


def gap(found: Gap) -> str:
    """A gap, who fixes it and by when, in one sentence."""
    blocks = "; blocks production" if found.severity == "blocker" else ""
    fixes = f"who fixes it: {found.owner}" if found.owner else "nobody fixes it yet"
    by = f", by {found.mended_by}" if found.mended_by else ""
    return f"{found.what.rstrip('. ')} ({fixes}{by}{blocks})."


def ended(reason: str) -> str:
    """A reason with its full stop."""
    return reason if reason.rstrip()[-1:] in (".", "!", "?") else f"{reason.rstrip()}."


def begun(text: str) -> str:
    """A text that begins with a capital letter."""
    return text[:1].upper() + text[1:]


def days(count: int) -> str:
    """A number of days."""
    return "1 day" if count == 1 else f"{count} days"


MOST_PARTS = 12


def lines(found: Evaluation) -> list[str]:
    """The evaluation line by line, each a name and a value."""
    said = pages.render(
        "evaluation.txt",
        found=found,
        number=number,
        bounds=bounds,
        value=value,
        share=share,
        versus=versus,
        state=state,
        parts=parts,
        saved=saved,
        confidence=confidence,
        matched=matched,
    )
    return said.splitlines()


def matched(found: FieldFigures) -> str:
    """How a field compares with what people decided, in numbers of items."""
    return ", ".join(f"{found.matches[one]} {one}" for one in Match if found.matches[one]) or "not known"


def number(found: Estimate) -> str:
    """A value with its 95 % interval, as plain numbers."""
    return f"{_number(found.value)} {interval(found)}"


def interval(found: Estimate | Comparison) -> str:
    """The ends of an interval."""
    low, high = ("open" if end is None else _number(end) for end in (found.low, found.high))
    return f"[{low}, {high}]"


def bounds(found: Evaluation) -> str:
    """The bounds of a figure whose items do not all have a value."""
    low, high = found.figure.bounds or (0.0, 0.0)
    if high is None:
        return (
            f"{_number(low)} or more: {(found.figure.unbounded or '')[:1].lower()}{(found.figure.unbounded or '')[1:]}"
        )
    return f"{low:.4f} to {high:.4f}, whatever the items without an outcome turn out to be"


def value(found: Evaluation) -> str:
    """What an item has that counts for the metric."""
    return {"cost_per_item": "a known cost", "work_time": "a known time of work"}.get(found.metric, "an outcome")


def share(value: float | None) -> str:
    """A share in percent."""
    return "-" if value is None else f"{value:.1%}"


def versus(found: Versus | None, early: bool = False) -> str:
    """A comparison: the other's figure, the difference and what it proves, which an early look leaves out."""
    if found is None:
        return "none to compare with"
    proven = "better" if found.better else "WORSE" if found.worse else "not proven to differ"
    p = "" if found.comparison.p is None or early else f", p {found.comparison.p:.3g}"
    return (
        f"{number(found.other)} of {found.other.n}; difference {_number(found.comparison.difference)} "
        f"{interval(found.comparison)}{p}: {'no verdict yet' if early else proven} ({found.comparison.method})"
    )


def state(rail: Guarded, early: bool = False) -> str:
    """The state of a guardrail. Harm is reported even by an early look."""
    if rail.harmed:
        return "HARMED"
    return f"{'holds' if rail.holds else 'not shown'}{' so far' if early else ''}"


def parts(found: Sequence[Slice], metric: str) -> list[str]:
    """The slices of one dimension, those with the worst figure first where there are many; none where there is one."""
    if len(found) < 2:
        return []
    sign = 1 if better(metric) == "up" else -1
    shown = sorted((one for one in found if not one.too_few), key=lambda one: (not one.worse, sign * (one.value or 0)))
    if len(found) <= MOST_PARTS:
        return [str(part) for part in found]
    few = sum(part.too_few for part in found)
    rest = len(shown) - MOST_PARTS
    more = [f"and {rest} others with a better figure"] if rest > 0 else []
    return [
        *(str(part) for part in shown[:MOST_PARTS]),
        *more,
        *([f"and {few} others with too few items for a figure"] if few else []),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"
