"""The sentences of reports, the brief and the command line about an evaluation and the documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from math import floor, log10

from pilot.charter import Charter
from pilot.workbench.documents.gaps import Gap
from pilot.workbench.documents.interviews import Summary
from pilot.workbench.evaluation import Evaluation, Figure, Guarded, Verdict, Versus
from pilot.workbench.report import Series
from pilot.workbench.stats.comparisons import Comparison
from pilot.workbench.stats.data import Estimate
from pilot.workbench.stats.missing import Band
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
    Verdict.MET: "The target is met: with 95 % confidence the true figure is on its good side.",
    Verdict.MISSED: "The target is missed: with 95 % confidence the true figure falls short of it.",
    Verdict.NOT_PROVEN: "The target is not proven: the records allow for both, that it is met and that it is not, or "
    "too few items have an outcome to say.",
    Verdict.PROGRESS: "No verdict yet. These are the figures so far; looking early and stopping when they please would "
    "prove nothing.",
}


_SHORT = {
    Verdict.MET: "The pilot has met its target.",
    Verdict.MISSED: "The pilot has missed its target.",
    Verdict.NOT_PROVEN: "It is not proven that the pilot meets its target.",
    Verdict.PROGRESS: "The pilot is under way, and there is no verdict yet.",
}


def target(found: Evaluation, currency: str) -> str:
    """The target in one phrase."""
    word = "at least" if found.direction == "up" else "at most"
    return f"{word} {amount(found.metric, found.target, currency)}"


def lead(found: Evaluation, currency: str, contaminated: bool = False) -> list[str]:
    """What the pilot has shown about errors, time and cost, sentence by sentence. A baseline that is `contaminated` may
    show what the AI did, so nothing is claimed from it."""
    return [
        _SHORT[found.verdict],
        *_primary(found, currency),
        *_beaten(found, currency, contaminated),
        *_guarded(found),
        *_rest(found, currency, contaminated),
    ]


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


def _primary(found: Evaluation, currency: str) -> Iterator[str]:
    figure = found.figure
    estimate = figure.estimate
    if estimate.value is None:
        yield "Nothing is measured yet that the target could be compared with."
        return
    what = {
        "accuracy": "The AI decides {} as people do",
        "cycle_time": "An item takes {} from its arrival to the final outcome",
        "manual_touches": "An item takes people {}",
        "cost_per_item": "An item costs {}, people's time included",
    }[found.metric]
    shown = f"{what.format(_value(figure, currency))}{_between(found.metric, estimate)}"
    yield f"{shown}; the charter asks for {target(found, currency)}."
    if figure.horizon is not None:
        left = figure.items - figure.known
        is_open = f"{left} of {figure.items} items are still open" if left > 1 else "One item is still open"
        yield f"{is_open}, and {'count' if left > 1 else 'counts'} with the time that passed so far."
    if figure.bounds is not None:
        lost, has = figure.items - figure.known, "known cost" if found.metric == "cost_per_item" else "outcome"
        yield f"That is a range because {lost} of {figure.items} items have no {has}."


def _value(figure: Figure, currency: str) -> str:
    """The figure, or the range in which it lies whatever is missing."""
    if figure.bounds is None:
        return amount(figure.metric, figure.estimate.value, currency)
    low, high = (amount(figure.metric, end, currency) for end in figure.bounds)
    return high if low == high else f"{low.split()[0]} to {high}"


def _between(metric: str, found: Estimate) -> str:
    if found.low is None or found.high is None:
        return ""
    low, high = (f"{end * 100:.3g}" if metric == "accuracy" else f"{end:.3g}" for end in (found.low, found.high))
    return f" (with 95 % confidence between {low} and {high})"


def _beaten(found: Evaluation, currency: str, contaminated: bool) -> Iterator[str]:
    """Whether the AI beats what is done today: it must stand on page one where it does not."""
    base, rules = found.baseline, found.rules
    if base is None:
        yield "There is no measured baseline to compare that with."
    elif contaminated or found.early:
        before = amount(found.metric, base.other.value, currency)
        why = "that may show what the AI did" if contaminated else "whether that differs is said on the day of decision"
        yield f"Before the pilot it was {before}: {why}."
    elif base.better:
        yield f"That is better than today's process{_gain(found.metric, base, currency)}."
    elif base.worse:
        yield f"The AI does not beat today's process: it is worse{_gain(found.metric, base, currency)}."
    else:
        gain = _gain(found.metric, base, currency)
        yield f"It is not shown that the AI beats today's process{gain}; the difference may be chance."
    if rules is not None and not rules.better and not found.early:
        word = "does worse than" if rules.worse else "is not shown to beat"
        yield f"On the same items the AI {word} the simple rules that stand for today's process."


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


def _guarded(found: Evaluation) -> Iterator[str]:
    """What must not get worse, and is not shown to hold: it stands in the way of a go."""
    harmed = [RAILS[rail.metric] for rail in found.guardrails if rail.harmed and rail.metric in RAILS]
    open_ = [RAILS.get(rail.metric, rail.metric) for rail in found.guardrails if not rail.holds and not rail.harmed]
    if harmed:
        yield f"It did harm where none was allowed: {', '.join(harmed)} got worse."
    if open_ and not found.early:
        yield f"The charter asks for proof that nothing else got worse, and there is none for {', '.join(open_)}."


def _rest(found: Evaluation, currency: str, contaminated: bool) -> Iterator[str]:
    """Errors, time and cost, as far as the target was not about them: saved, or not, or not known."""
    measured = {other.figure.metric: other for other in found.others}
    for metric, other in measured.items():
        versus, now = other.baseline, _value(other.figure, currency)
        before = None if versus is None else amount(metric, versus.other.value, currency)
        if versus is None:
            said = f"{METRICS[metric]}: {now}; what it was before the pilot is not known"
        elif contaminated or found.early:
            said = f"{METRICS[metric]}: {now}, before the pilot {before}"
        elif versus.better or versus.worse:
            said = f"{METRICS[metric]} {'improved' if versus.better else 'got worse'}: {now}, before the pilot {before}"
        else:
            said = f"{METRICS[metric]}: {now}, before the pilot {before}, which may be chance"
        yield f"{said}."
    known = {found.metric, *measured}
    if not {"cycle_time", "cost_per_item"} & known:
        yield "Nothing is said about time and cost: while the AI works unseen, it can change neither."
    elif "cost_per_item" not in known:
        yield "What an item costs is not known: that needs the time that people take, and what an hour of it costs."
    elif "cycle_time" not in known:
        yield "How long an item takes is not known: none is finished."


def band(found: Band) -> str:
    """A band of confidence, in short."""
    if found.low is None or found.high is None:
        return "none"
    low, high = f"{found.low:.2f}", f"{found.high:.2f}"
    return low if low == high else f"{low} to {high}"


def coverage(bands: Sequence[Band]) -> str:
    """What the picture of the coverage shows."""
    if not bands:
        return "No item is recorded."
    parts = [f"confidence {band(one)}: {one.labelled} of {one.items}" for one in bands]
    return f"Items with an outcome, of all that wait for one. {'; '.join(parts)}."


def progress(days: Series, found: Evaluation) -> str:
    """What the picture of the progress shows."""
    if not days.days:
        return "No item has an outcome yet."
    return (
        f"From {days.days[0]} to {days.days[-1]} the figure went from {days.values[0]:.3g} to {days.values[-1]:.3g}; "
        f"the target is {found.target:g}. {COUNTED[found.figure.horizon is not None]}"
    )


def cycle(found: Evaluation) -> str:
    """What the picture of the cycle time shows."""
    figures: list[Figure] = [found.figure, *(other.figure for other in found.others)]
    versus = [found.baseline, *(other.baseline for other in found.others)]
    for figure, beside in zip(figures, versus, strict=True):
        if figure.metric == "cycle_time" and beside is not None:
            pilot, before = figure.estimate.value or 0, beside.other.value or 0
            return f"On average {pilot:.3g} hours in the pilot, {before:.3g} before."
    return "The share of items that was finished within a time."


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


def lines(found: Evaluation) -> Iterator[str]:
    """The evaluation line by line, each with a name and what it says."""
    figure = found.figure
    better = "at least" if found.direction == "up" else "at most"
    yield f"verdict       {found.verdict}"
    for reason in found.reasons:
        yield f"  {reason}"
    counted = "" if found.counted_until == found.as_of else f", records of up to {found.counted_until}"
    yield f"as of         {found.as_of}{counted}; the decision is due on {found.due or 'no day yet'}"
    yield f"target        {found.metric} {better} {found.target:g} {found.unit}"
    yield f"estimate      {number(figure.estimate)}"
    if figure.bounds is not None:
        yield f"bounds        {bounds(found)}"
    yield f"method        {figure.estimate.method}, 95 % confidence"
    yield f"n             {figure.known} of {figure.items} items have {value(found)}, {_planned(found)}"
    yield f"coverage      {share(figure.coverage)}, the charter asks for {share(found.floor)}"
    if figure.corrected:
        yield f"uncorrected   {number(figure.naive)}, which takes the items with {value(found)} for all"
    if figure.groups is not None:
        yield f"groups        {figure.groups}, design effect {figure.design_effect or 1:.2f}"
    yield f"baseline      {versus(found.baseline, found.early)}"
    yield f"today's rules {versus(found.rules, found.early)}"
    for rail in found.guardrails:
        yield f"guardrail     {rail.metric}, margin {rail.margin:g}: {state(rail, found.early)}; {rail.said}"
    for other in found.others:
        yield f"also          {other.figure.metric} {number(other.figure.estimate)}, {other.figure.estimate.method}"
        yield f"  {other.figure.known} of {other.figure.items} items; baseline {versus(other.baseline, found.early)}"
    for band in found.bands:
        ends = "no confidence" if band.low is None else f"confidence {band.low:.2f} to {band.high:.2f}"
        yield f"judged        {ends}: {band.labelled} of {band.items} items"
    for dimension, members in found.slices.items():
        for part in parts(members):
            yield f"slice         {dimension} {part}"
    yield f"calibration   {found.calibration}"


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
    if found.metric == "accuracy":
        return f"{low:.4f} to {high:.4f}, whatever the items without an outcome turn out to be"
    return f"{_number(low)} to {_number(high)}, with the least and the greatest known value for the unknown ones"


def value(found: Evaluation) -> str:
    """What an item has that counts for the metric."""
    return "a known cost" if found.metric == "cost_per_item" else "an outcome"


def share(value: float | None) -> str:
    """A share in percent."""
    return "-" if value is None else f"{value:.1%}"


def versus(found: Versus | None, early: bool = False) -> str:
    """A comparison: the other's figure, the difference and what it proves, which an early look does not say."""
    if found is None:
        return "none to compare with"
    proven = "better" if found.better else "WORSE" if found.worse else "not proven to differ"
    p = "" if found.comparison.p is None or early else f", p {found.comparison.p:.3g}"
    return (
        f"{number(found.other)} of {found.other.n}; difference {_number(found.comparison.difference)} "
        f"{interval(found.comparison)}{p}: {'no verdict yet' if early else proven} ({found.comparison.method})"
    )


def state(rail: Guarded, early: bool = False) -> str:
    """Whether a guardrail holds. Harm is said whenever it is seen."""
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


def _planned(found: Evaluation) -> str:
    return "no number was planned" if found.planned is None else f"{found.planned} were planned"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"
