"""Gate 5: a pilot that passes it, and the gate closed by each single thing that is missing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from example_papers import edit
from example_short import write_short
from sqlalchemy import update
from test_gates_harden import TODAY, Work
from test_gates_harden import pilot as hardened

from pilot.records import controls, rollout
from pilot.records.controls import Mode
from pilot.records.database import writing
from pilot.records.rollout import Reach
from pilot.records.tables import outcomes, settings_in_force
from pilot.workbench import evidence, gates
from pilot.workbench.documents import operations
from pilot.workbench.pilot import Pilot

_ = hardened


@pytest.fixture
def live(hardened: Work) -> Work:
    """A pilot that passed gate 4 and went on: a stage, decisions, a look for drift, and the papers."""
    hardened.passes(4)
    answered = hardened.app.post().json()
    assert hardened.app.judge(answered["id"], final={"label": "refund"}).status_code == 201
    with writing(hardened.app.service.engine) as connection:
        controls.set_mode(connection, Mode.ASSIST, "olga")
        rollout.change(connection, Reach(0.1, ("north",)), 0, "olga")
        controls.note_drift(connection, "olga", True, [("text", "shares", 0.0), ("answer", "confidence", -0.4)])
    dated(hardened, outcome=TODAY, drift=TODAY)
    for name in ("user-guide", "next-iteration"):
        write_short(hardened.root, name)
    return hardened


def at(day: object) -> datetime:
    return datetime.fromisoformat(f"{day}T09:00:00").replace(tzinfo=UTC)


def dated(pilot: Work, **days: object) -> None:
    with writing(pilot.app.service.engine) as connection:
        if "outcome" in days:
            connection.execute(update(outcomes).values(at=at(days["outcome"])))
        if "drift" in days:
            moment = at(days["drift"])
            connection.execute(update(settings_in_force).where(settings_in_force.c.name == "drift").values(at=moment))


def missing(pilot: Work) -> set[str]:
    return {item.check.id for item in gates.inspect(pilot.on(), 5).items if item.state == "missing"}


def test_a_pilot_that_is_live_passes_and_leaves_evidence(live: Work) -> None:
    found, written = gates.attempt(live.on(), 5)
    assert {item.check.id: [str(issue) for issue in item.issues] for item in found.items if item.issues} == {}
    assert found.passes
    assert written is not None
    said = {item.check.id: item.evidence for item in found.items}
    assert said["rolled-out"].startswith("10% and team north, in mode assist, since ")
    assert said["feedback-coming-in"] == "the last outcome on 2027-04-12, no flag waits"
    assert said["drift-looked-for"] == "on 2027-04-12: answer: confidence"
    assert {item.check.by for item in found.items} == {"evidence"}
    assert evidence.read(live.root).passed(5) is not None
    assert gates.progress(live.on())["phases"][4]["state"] == "passed"


def in_database(change: Callable[[object], object]) -> Callable[[Work], None]:
    def harm(pilot: Work) -> None:
        with writing(pilot.app.service.engine) as connection:
            change(connection)

    return harm


def flagged_long_ago(pilot: Work) -> None:
    with writing(pilot.app.service.engine) as connection:
        connection.execute(update(outcomes).values(flag="idea"))
    answered = pilot.app.post(who="bank").json()
    pilot.app.judge(answered["id"], final={"label": "refund"})
    with writing(pilot.app.service.engine) as connection:
        connection.execute(update(outcomes).values(at=at(TODAY)))
        connection.execute(
            update(outcomes).where(outcomes.c.flag.is_not(None)).values(at=at(TODAY - timedelta(days=8)))
        )


HARMS: dict[str, tuple[Callable[[Work], None], str]] = {
    "no gate 4": (lambda pilot: pilot.without("gate-4"), "gate-4-passed"),
    "a rollback": (in_database(lambda connection: rollout.change(connection, Reach(), 1, "olga")), "rolled-out"),
    "shadow": (in_database(lambda connection: controls.set_mode(connection, Mode.SHADOW, "olga")), "rolled-out"),
    "a closed pilot": (in_database(lambda connection: controls.close(connection, "olga", "no-go")), "rolled-out"),
    "a page that was never drilled": (lambda pilot: pilot.without("drill-garbage"), "watched"),
    "no decision for more than a week": (
        lambda pilot: dated(pilot, outcome=TODAY - timedelta(days=8)),
        "feedback-coming-in",
    ),
    "a flag that nobody looks at": (flagged_long_ago, "feedback-coming-in"),
    "no look for drift for nine days": (
        lambda pilot: dated(pilot, drift=TODAY - timedelta(days=10)),
        "drift-looked-for",
    ),
    "a guide without limits": (
        lambda pilot: edit(pilot.root, "does_not:", "does_not: []\nwas:", operations.DOCUMENTS["user-guide"].file),
        "user-guide-complete",
    ),
    "no next iteration": (
        lambda pilot: (pilot.root / "phases/5-live/next-iteration.md").unlink(),
        "next-iteration-complete",
    ),
}


@pytest.mark.parametrize("harm", HARMS)
def test_each_single_thing_that_is_missing_shuts_the_gate(harm: str, live: Work) -> None:
    harms, id = HARMS[harm]
    harms(live)
    assert missing(live) == {id}
    assert not gates.attempt(live.on(), 5)[0].passes
    assert evidence.read(live.root).passed(5) is None


def test_without_the_records_it_says_so(live: Work) -> None:
    found = gates.inspect(Pilot(live.root, TODAY, "The database does not answer."), 5)
    states = {item.check.id: item.state for item in found.items}
    assert states["live-records-there"] == "missing"
    assert {states[id] for id in ("rolled-out", "feedback-coming-in", "drift-looked-for")} == {"waits"}
