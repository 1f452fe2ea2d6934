"""What keeps gate 2 shut: the baseline, and the live records."""

from __future__ import annotations

from collections.abc import Iterator

from pilot.charter import Charter
from pilot.frontmatter import Issue
from pilot.records.queries import GRACE, Live
from pilot.workbench import signatures
from pilot.workbench.documents import baseline
from pilot.workbench.rules import DATABASE, Rule
from pilot.workbench.view import View

# Outcomes that stopped for longer than a working week no longer come in.
DAYS_WITHOUT_OUTCOME = 7


def problems(view: View) -> Iterator[Issue]:
    """All that phase 2 lacks."""
    if view.chain.passed(1) is None:
        mend = "`pilot gate 1` lists what is missing."
        yield Issue("phases/evidence", None, "holds no evidence that gate 1 has passed.", mend, "gate-1-passed")
    frozen = baseline.frozen(view.root)
    if frozen is None:
        mend = "Measure today's process, `pilot baseline import FILE`, then `pilot baseline freeze`."
        yield Issue(baseline.BASELINE.as_posix(), None, "is not frozen.", mend, baseline.RULE)
    yield from baseline.changes(view.root)
    if not isinstance(view.live, Live):
        why = "was not looked at." if view.live is None else "cannot be read."
        mend = view.live or "Run `pilot gate 2` where the records are."
        yield Issue(DATABASE, None, why, mend, "records-readable")
        return
    if view.live.scratch:
        mend = "Name the pilot's own database in PILOT_DATABASE_URL."
        yield _of_records("records-readable", view.live, "is a scratch database, which counts for no gate.", mend)
    if frozen and view.live.first_answer_at and not frozen.precedes(view.live.first_answer_at.date()):
        what = f"its period ends on {frozen.ends}, and the AI first answered a live item on {_day(view.live)}."
        mend = (
            "Keep the rows of before that day and freeze again: later ones may show what the AI did, not the process."
        )
        yield Issue(baseline.BASELINE.as_posix(), None, what, mend, "baseline-before-ai")
    yield from _of_live(view.live, signatures.signed_charter(view.chain) or Charter(), view)


def _of_live(live: Live, charter: Charter, view: View) -> Iterator[Issue]:
    planned = charter.judged_items or 1
    if live.items < planned:
        what = f"holds {live.items} live items, and the charter plans {planned}."
        yield _of_records("live-items", live, what, "Send real items with a live key, or `pilot ingest FILE`.")
    if not live.items:
        yield _of_records("records-complete", live, "holds no live record.", "Send real items with a live key.")
    if live.incomplete_items:
        what = f"lacks a part of the record of {live.incomplete_items} items older than {GRACE.seconds // 60} minutes: "
        mend = "`pilot serve` takes up again what is pending, unless the AI is off; its log says what fails."
        yield _of_records("records-complete", live, f"{what}{', '.join(live.incomplete)}.", mend)
    asked = "Have people decide what waits on the page /review, or send outcomes from the system where they do."
    if live.judged < charter.least_coverage * live.asked or not live.judged:
        what = (
            f"has outcomes for {live.judged} of the {live.asked} live items that wait for a person's decision, and the "
            f"charter asks for {charter.least_coverage:.0%}."
        )
        yield _of_records("outcomes-coming-in", live, what, asked)
    elif live.last_outcome_at and (view.today - live.last_outcome_at.date()).days > DAYS_WITHOUT_OUTCOME:
        what = f"has had no new outcome since {live.last_outcome_at.date()}."
        yield _of_records("outcomes-coming-in", live, what, asked)


def seen(view: View, rule: Rule) -> str:
    """What shows that a rule holds."""
    live, frozen = view.live, baseline.frozen(view.root)
    if rule.id == "gate-1-passed":
        passed = view.chain.passed(1)
        return passed.file.name if passed else ""
    if rule.id == baseline.RULE and frozen:
        return f"{frozen.n} items of {frozen.begins} to {frozen.ends}, {frozen.file.name}"
    if not isinstance(live, Live):
        return ""
    return {
        "baseline-before-ai": f"ends {frozen and frozen.ends}, first live answer {_day(live)}",
        "records-readable": f"{live.database}, audit trail up to {live.head[:12]}",
        "live-items": f"{live.items} live items",
        "records-complete": f"{live.items} records",
        "outcomes-coming-in": f"{live.judged} of {live.asked} decided, the last {_last(live)}",
    }[rule.id]


def _day(live: Live) -> str:
    return str(live.first_answer_at.date()) if live.first_answer_at else "none"


def _last(live: Live) -> str:
    return str(live.last_outcome_at.date()) if live.last_outcome_at else "none"


def _of_records(id: str, live: Live, what: str, mend: str) -> Issue:
    return Issue(f"{DATABASE} {live.database}", None, what, mend, id)
