"""What the papers say, as people say it who pay for a pilot and know nothing else of it."""

from __future__ import annotations

from datetime import timedelta
from math import floor, log10

from pilot.charter import Charter
from pilot.workbench import plain
from pilot.workbench.documents.gaps import Gap
from pilot.workbench.documents.interviews import Summary

# The phase after a go: from its day on, the service is made fit to run without those who built it.
HARDENING = timedelta(weeks=4)
_WHAT = {
    "accuracy": "are decided by the AI as people decide them",
    "cycle_time": "from an item's arrival to its final outcome",
    "manual_touches": "of people for each item",
    "cost_per_item": "for each item, people's time included",
}


def target(charter: Charter) -> str:
    """The target of the charter in one sentence without its full stop, or that there is none."""
    if charter.target is None or charter.metric is None:
        return "not named yet"
    word = "at least" if charter.direction == "up" else "at most"
    measure = plain.amount(charter.metric, charter.target, charter.currency or "of the currency")
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
    """A gap, who mends it and by when, in one sentence."""
    blocks = "; blocks production" if found.severity == "blocker" else ""
    mends = f"{found.owner} mends it" if found.owner else "nobody mends it yet"
    by = f" by {found.mended_by}" if found.mended_by else ""
    return f"{found.what.rstrip('. ')} ({mends}{by}{blocks})."


def ended(reason: str) -> str:
    """A reason with its full stop."""
    return reason if reason.rstrip()[-1:] in (".", "!", "?") else f"{reason.rstrip()}."


def days(count: int) -> str:
    """A number of days."""
    return "1 day" if count == 1 else f"{count} days"
