"""The sentences of reports, the brief and the command line about an evaluation and the documents; `templates/` has the
longer ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from math import floor, log10

from pilot.charter import Charter
from pilot.workbench import pages
from pilot.workbench.documents.gaps import Gap
from pilot.workbench.documents.interviews import Summary
from pilot.workbench.evaluation import Evaluation, Figure, Guarded, Verdict, Versus
from pilot.workbench.stats.comparisons import Comparison
from pilot.workbench.stats.data import Estimate
from pilot.workbench.stats.slices import Slice

METRICS = {
    "accuracy": "Share of items that the AI decides as people do",
    "cycle_time": "Hours from an item's arrival to its final outcome",
    "manual_touches": "Actions of people for each item",
    "cost_per_item": "Cost of an item, people's time included",
}
# Which items the picture of the progress is of: whether open ones count.
COUNTED = {False: "Of the items with an outcome alone.", True: "Open items count with the time that passed so far."}
JUDGED = (
    "This is of the items that were judged, as they are: those that the AI was unsure of all are, and of the others "
    "only those that were drawn for an audit."
)
# What must not get worse, in a sentence.
RAILS = {
    "accuracy": "the share of right decisions",
    "cycle_time": "the time that an item takes",
    "manual_touches": "people's actions",
    "cost_per_item": "the cost of an item",
    "failures": "the share of failed answers",
    "latency": "the AI's speed",
}
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


def lead(found: Evaluation, currency: str, contaminated: bool = False) -> list[str]:
    """What the pilot has shown about errors, time and cost, sentence by sentence. A baseline that is `contaminated` may
    show what the AI did, so nothing is claimed from it."""
    said = pages.render(
        "lead.txt",
        found=found,
        currency=currency,
        contaminated=contaminated,
        target=target(found, currency),
        harmed=[RAILS[rail.metric] for rail in found.guardrails if rail.harmed and rail.metric in RAILS],
        unproven=[
            RAILS.get(rail.metric, rail.metric) for rail in found.guardrails if not rail.holds and not rail.harmed
        ],
        METRICS=METRICS,
        amount=amount,
        measured=_measured,
        between=_between,
        gain=_gain,
    )
    return said.splitlines()


def amount(metric: str, value: float | None, currency: str) -> str:
    """A value of the metric with its unit."""
    if value is None:
        return "unknown"
    if metric == "accuracy":
        return f"{value * 100:.3g} of 100 items"
    shown = f"{value:.3g}"
    if shown == "1" and metric != "cost_per_item":
        return "1 hour" if metric == "cycle_time" else "1 action"
    unit = {"cycle_time": "hours", "manual_touches": "actions", "cost_per_item": currency}[metric]
    return f"{shown} {unit}"


def _measured(figure: Figure, currency: str) -> str:
    """The figure, or the range in which it lies whatever is missing."""
    if figure.bounds is None:
        return amount(figure.metric, figure.estimate.value, currency)
    least, most = figure.bounds
    if most is None:
        return f"at least {amount(figure.metric, least, currency)}"
    low, high = (amount(figure.metric, end, currency) for end in (least, most))
    return high if low == high else f"{low.split()[0]} to {high}"


def _between(found: Evaluation) -> str:
    of = found.figure.estimate
    if of.low is None or of.high is None:
        return ""
    low, high = (f"{end * 100:.3g}" if found.metric == "accuracy" else f"{end:.3g}" for end in (of.low, of.high))
    return f" (with {confidence(found)} confidence between {low} and {high})"


def _gain(metric: str, versus: Versus, currency: str) -> str:
    before, difference = versus.other.value, versus.comparison.difference
    if before is None or difference is None:
        return ""
    if difference == 0:
        return f", which was the same: {amount(metric, before, currency)}"
    if metric == "accuracy":
        word = "fewer" if difference > 0 else "more"
        errors = abs(difference) * 100
        return f", which decides {before * 100:.3g} of 100 rightly: about {errors:.2g} errors {word} in 100 items"
    word = "less" if difference < 0 else "more"
    less = amount(metric, abs(difference), currency)
    return f", {less} {word} than the {amount(metric, before, currency)} before"


# The phase after a go: from its day on, the service is made fit to run without those who built it.
HARDENING = timedelta(weeks=4)
_WHAT = {
    "accuracy": "are decided by the AI as people decide them",
    "cycle_time": "from an item's arrival to its final outcome",
    "manual_touches": "of people for each item",
    "cost_per_item": "for each item, people's time included",
}


def charter_target(charter: Charter) -> str:
    """The target of the charter in one sentence without its full stop, or that there is none."""
    if charter.target is None or charter.metric is None:
        return "not named yet"
    word = "at least" if charter.direction == "up" else "at most"
    measure = amount(charter.metric, charter.target, charter.currency or "of the currency")
    parts = [f"{word} {measure} {_WHAT[charter.metric]}"]
    for said, fact in (("of", charter.population), ("taken from", charter.data_source), ("during", charter.window)):
        if fact:
            parts.append(f"{said} {fact}")
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
    fixes = f"{found.owner} fixes it" if found.owner else "nobody fixes it yet"
    by = f" by {found.mended_by}" if found.mended_by else ""
    return f"{found.what.rstrip('. ')} ({fixes}{by}{blocks})."


def ended(reason: str) -> str:
    """A reason with its full stop."""
    return reason if reason.rstrip()[-1:] in (".", "!", "?") else f"{reason.rstrip()}."


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
        confidence=confidence,
    )
    return said.splitlines()


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
    return "a known cost" if found.metric == "cost_per_item" else "an outcome"


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


def parts(found: Sequence[Slice]) -> list[str]:
    """The slices of one dimension, those with the lowest figure first where there are many; none where there is one."""
    if len(found) < 2:
        return []
    shown = sorted((part for part in found if not part.too_few), key=lambda part: (not part.worse, part.value or 0))
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
