"""The checks of gate 5: whether the service is with its users, is watched, and goes on to improve."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pilot.charter import read_objectives
from pilot.workbench.checks import (
    CHECKS,
    DATABASE,
    DAYS_WITHOUT_OUTCOME,
    Failed,
    Found,
    after,
    check,
    complete,
    connected,
    live_of,
    records,
)
from pilot.workbench.evidence import EVIDENCE
from pilot.workbench.pilot import Pilot

# A look for drift counts for a week, and a day until the next one.
DRIFT_COUNTS = timedelta(days=8)


after(4, "Does it run at scale without its builders (gate 4)?")
records(5, "live-records-there")


@check(
    "rolled-out",
    5,
    "Do the answers reach users, by a stage of the rollout?",
    DATABASE,
    "`pilot rollout to 10%` opens the first stage; `pilot mode assist` shows the answers.",
    "live-records-there",
)
def _rolled_out(pilot: Pilot) -> Found:
    from pilot.records import controls, rollout

    with connected(pilot) as connection:
        stage, mode = rollout.read(connection), controls.mode(connection)
        closed = controls.closed(connection)
    fix = "`pilot rollout to 10%` opens the first stage."
    if stage is None or stage.reach == rollout.Reach():
        return Failed("has no stage of a rollout that reaches anybody.", fix)
    if closed or mode not in (controls.Mode.ASSIST, controls.Mode.AUTO):
        what = f"reaches {stage.reach}, and mode {'closed' if closed else mode} shows nobody an answer."
        return Failed(what, "`pilot mode assist` shows the answers to the users in a stage.")
    return f"{stage.reach}, in mode {mode}, since {stage.at:%Y-%m-%d}, by {stage.by}"


@check(
    "watched",
    5,
    "Was the runbook drilled in the last half year?",
    EVIDENCE,
    "`pilot drill --all` follows its pages on a scratch copy.",
)
def _watched(pilot: Pilot) -> Found:
    return CHECKS["runbook-drilled"].run(pilot)


@check(
    "feedback-coming-in",
    5,
    "Do people still decide and flag, and does somebody look at it?",
    DATABASE,
    "Have people decide what waits on the page /review; `pilot feedback list` names what was flagged.",
    "live-records-there",
)
def _feedback_coming_in(pilot: Pilot) -> Found:
    from pilot.records import feedback

    last = live_of(pilot).last_outcome_at
    if last is None or (pilot.today - last.date()).days > DAYS_WITHOUT_OUTCOME:
        what = f"has had its last outcome on {last.date()}." if last else "has no outcome."
        return Failed(what, "Have people decide what waits on the page /review.")
    with connected(pilot) as connection:
        waiting = [at for at in feedback.oldest(connection).values() if at]
    since, days = min(waiting, default=None), read_objectives(pilot.root).judged_within_days
    if since and (pilot.today - since.date()).days > days:
        what = f"holds a flag of {since.date()} that nobody has looked at."
        fix = "`pilot feedback list` names it; adopt or dismiss it."
        return Failed(what, fix)
    flags = f"a flag waits since {since.date()}" if since else "no flag waits"
    return f"the last outcome on {last.date()}, {flags}"


@check(
    "drift-looked-for",
    5,
    "Is it known whether what comes in has changed since the pilot was judged?",
    DATABASE,
    "`pilot drift` looks for it; run it daily.",
    "live-records-there",
)
def _drift_looked_for(pilot: Pilot) -> Found:
    from pilot.records import controls

    with connected(pilot) as connection:
        looked = controls.drift(connection)
    today = datetime.combine(pilot.today, datetime.max.time(), UTC)
    if looked is None or today - looked[0] > DRIFT_COUNTS + timedelta(days=1):
        when = f" since {looked[0].date()}" if looked else ""
        fix = "Run `pilot drift`, and put it on a schedule."
        return Failed(f"holds no look for drift{when}.", fix)
    at, sizes = looked
    changed = ", ".join(f"{field}: {what}" for field, what, size in sizes if size)
    return f"on {at.date()}: {changed or 'nothing changed' if sizes else 'not enough data'}"


complete(5, "user-guide", "Do users know what it does, what it does not, and when to override it?")
complete(
    5, "next-iteration", "Is the next iteration scoped, with what production showed, and what would end the service?"
)
