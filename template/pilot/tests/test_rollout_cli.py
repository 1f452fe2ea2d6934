"""`pilot rollout` and `pilot rollback`: what they ask for, what they tell before a stage opens, and what they do."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import pytest
from example_papers import edit, sign, write
from example_team import Prediction
from sqlalchemy import Engine
from test_backtest import recorded
from test_backtest import write as insert
from test_canary import fill
from typer.testing import CliRunner, Result

from pilot.cli import app as command
from pilot.contract import Answer, Failure, PilotError
from pilot.records import controls, rollout
from pilot.records.controls import Mode
from pilot.records.database import migrate, now, open_database, writing
from pilot.records.rollout import Reach, Stage
from pilot.records.tables import audit, settings_in_force
from pilot.settings import load_settings
from pilot.workbench import evidence, gates

TODAY = date(2027, 4, 12)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path)
    edit(tmp_path, "judged_items: 300", "judged_items: 300\nvolume_production: 500")
    sign(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def engine(root: Path) -> Engine:
    engine = open_database(load_settings(root=root))
    migrate(engine)
    with writing(engine) as connection:
        controls.mark_scratch(connection, "olga")
        controls.set_mode(connection, Mode.ASSIST, "olga")
    return engine


def pilot(*words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(command, list(words), input=answer)


def refused(*words: str) -> str:
    found = pilot(*words)
    assert isinstance(found.exception, PilotError), found.output
    return str(found.exception)


def stage(engine: Engine) -> Stage | None:
    with engine.connect() as connection:
        return rollout.read(connection)


def passes(root: Path, decision: str = "go", *gates_passed: int) -> None:
    facts = {"because": "it helps", "name": "Ada", "paper": "p", "sha256": "", "conditions": [], "override": None}
    evidence.append(root, "decision", f"decision-{decision}", TODAY, {"decision": decision, **facts})
    for gate in gates_passed:
        evidence.append(root, "gate", f"gate-{gate}", TODAY, {"gate": gate, "begun": "2027-01-11", "decision_by": None})


@pytest.mark.parametrize(
    ("decision", "passed", "missing"),
    [
        (None, (), "a decision, and a go"),
        ("no-go", (4,), "a decision, and a go"),
        ("go", (), "gate 4"),
        ("go", (4,), None),
    ],
)
def test_a_rollout_needs_a_go_and_gate_4(
    decision: str | None, passed: tuple[int, ...], missing: str | None, root: Path
) -> None:
    if decision:
        passes(root, decision, *passed)
    if missing:
        assert f"A rollout needs {missing}" in refused("rollout", "to", "10%", "--yes")
    else:
        assert "10% (version 1)" in pilot("rollout", "to", "10%", "--yes").output
    engine = open_database(load_settings(root=root))
    assert (stage(engine) is None) == bool(missing)


def test_a_closed_pilot_is_not_rolled_out(engine: Engine) -> None:
    with writing(engine) as connection:
        controls.close(connection, "olga", "no-go")
    assert "The pilot was closed" in refused("rollout", "to", "10%", "--yes")


@pytest.mark.parametrize(
    ("words", "reach"),
    [
        (("10%",), Reach(0.1, ("south",))),
        (("2.5%",), Reach(0.025, ("south",))),
        (("all",), Reach(1.0, ("south",))),
        (("team", "north"), Reach(0.05, ("south", "north"))),
        (("team", "south"), Reach(0.05, ("south",))),
    ],
)
def test_a_stage_is_a_share_one_more_team_or_all(words: tuple[str, ...], reach: Reach, engine: Engine) -> None:
    with writing(engine) as connection:
        rollout.change(connection, Reach(0.0), 0, "olga")
        rollout.change(connection, Reach(0.05, ("south",)), 1, "olga")
    gates_open(engine)
    pilot("rollout", "to", *words, "--yes")
    found = stage(engine)
    assert found is not None
    assert found.reach == reach


def gates_open(engine: Engine) -> None:
    """The stage is a day old, and was compared."""
    found = stage(engine)
    assert found is not None
    fill(engine, found)
    older(engine, timedelta(days=1))


def older(engine: Engine, by: timedelta, name: str = rollout.NAME) -> None:
    table = settings_in_force
    with writing(engine) as connection:
        row = connection.execute(table.select().where(table.c.name == name)).one()
        connection.execute(table.update().where(table.c.name == name).values(at=row.at - by))


@pytest.mark.parametrize("words", [("10",), ("ten%",), ("%",), ("north",), ("team",), ("10%", "20%"), ("all", "north")])
def test_what_is_no_stage_is_refused_with_what_is_one(words: tuple[str, ...], engine: Engine) -> None:
    assert "Write 10%, or team NAME, or all" in refused("rollout", "to", *words, "--yes")


@pytest.mark.parametrize("words", [("200%",), ("-5%",), ("nan%",), ("inf%",)])
def test_a_share_beyond_all_is_refused(words: tuple[str, ...], engine: Engine) -> None:
    assert "A share is between 0 and 1" in refused("rollout", "to", "--yes", "--", *words)


def test_a_wider_stage_waits_and_says_for_what(engine: Engine) -> None:
    pilot("rollout", "to", "10%", "--yes")
    assert refused("rollout", "to", "25%", "--yes").startswith(
        "A wider stage waits for a day, and it was opened 0 hours ago; 50 items of the users in it, each with one of "
        "the rest, and has 0."
    )
    found = stage(engine)
    assert found is not None
    assert found.reach == Reach(0.1)
    assert "5% (version 2)" in pilot("rollout", "to", "5%", "--yes").output, "a narrower one never waits"
    gates_open(engine)
    assert "25% (version 3)" in pilot("rollout", "to", "25%", "--yes").output


def test_a_stage_that_does_harm_is_not_widened(engine: Engine) -> None:
    pilot("rollout", "to", "10%", "--yes")
    found = stage(engine)
    assert found is not None
    fill(engine, found, failing="assist")
    older(engine, timedelta(days=1))
    assert "an end of the harm" in refused("rollout", "to", "25%", "--yes")
    said = pilot("rollout").stdout
    assert "50% of those reached, 0% of the rest, in 60 pairs; evidence of harm" in said


def test_the_forecast_comes_before_the_question_and_no_leaves_all_as_it_was(engine: Engine) -> None:
    said = pilot("rollout", "to", "10%", answer="n\n").output
    assert stage(engine) is None
    assert said.index("50 items a day that it reaches and 450 of the rest") < said.index("Open it?")
    assert "30% more of the items fail: half of the stages step back within" in said
    assert pilot("rollout", "to", "10%", answer="y\n").exit_code == 0
    assert stage(engine) is not None


def test_the_forecast_counts_the_live_items_by_the_rule_that_will_assign_them(engine: Engine) -> None:
    draw, moment = random.Random(1), now() - timedelta(days=20)
    answers = [Answer(Prediction(label="refund"), 0.9), Answer.failed(Failure.ERROR)]
    rows = [
        recorded(moment + timedelta(hours=2 * n), "money", draw.choice(answers), fingerprint=f"f{n}", group="ab"[n % 2])
        for n in range(240)
    ]
    insert(engine, rows)
    said = pilot("rollout", "to", "team", "a", answer="n\n").output
    assert "at 6 items a day that it reaches and 6 of the rest" in said
    assert "30% more of the items fail: half of the stages step back within" in said
    said = pilot("rollout", "to", "team", "c", answer="n\n").output
    assert "It can see no harm by comparison: it reaches nobody who sent an item lately." in said
    assert "there is no rest" in pilot("rollout", "to", "all", answer="n\n").output


def test_fewer_items_take_longer(engine: Engine, root: Path) -> None:
    def hours(volume: int) -> float:
        edit(root, "volume_production: 500", f"volume_production: {volume}")
        said = pilot("rollout", "to", "10%", answer="n\n").output
        edit(root, f"volume_production: {volume}", "volume_production: 500")
        number, unit = said.split("30% more of the items fail: half of the stages step back within ")[1].split()[:2]
        return float(number) * (24 if unit.startswith("days") else 1)

    assert hours(500) < 24 < 60 < hours(50) < 160


def test_the_stage_is_shown_with_what_it_waits_for(engine: Engine) -> None:
    assert pilot("rollout").stdout == "No rollout: whoever sends is answered in the mode in force, assist.\n"
    pilot("rollout", "to", "10%", "--yes")
    said = pilot("rollout").stdout
    assert said.startswith("10%, in mode assist, since ")
    assert "A wider stage waits for a day" in said
    found = stage(engine)
    assert found is not None
    fill(engine, found)
    older(engine, timedelta(days=1))
    assert "A wider stage may follow: `pilot rollout to`." in pilot("rollout").output
    pilot("rollout", "to", "all", "--yes")
    assert "There is no wider stage, and no rest to compare with." in pilot("rollout").output


def test_a_stage_that_stepped_back_tells_so_and_names_its_page(engine: Engine) -> None:
    pilot("rollout", "to", "10%", "--yes")
    assert "stepped back" not in pilot("rollout").stdout.split("It can see")[0]
    with writing(engine) as connection:
        rollout.step_back(connection, 1, rollout.BY_ITSELF, {"pairs": 60})
    said = pilot("rollout").stdout
    assert said.startswith("Nobody, in mode assist, since ")
    assert "It stepped back by itself, because those in the stage before fared worse" in said
    assert "runbook/stepped-back.md" in said


def test_in_shadow_it_says_that_nobody_sees_an_answer(engine: Engine) -> None:
    with writing(engine) as connection:
        controls.set_mode(connection, Mode.SHADOW, "olga")
    assert "In mode shadow nobody sees an answer: `pilot mode assist`" in pilot("rollout", "to", "10%", "--yes").output


def test_a_rollback_needs_neither_gate_nor_question(root: Path) -> None:
    engine = open_database(load_settings(root=root))
    migrate(engine)
    assert pilot("rollback").stdout.startswith("nobody (version 1)")
    passes(root, "go", 4)
    pilot("rollout", "to", "all", "--yes")
    pilot("rollback")
    found = stage(engine)
    assert found is not None
    assert (found.reach, found.version) == (Reach(), 3)
    with engine.connect() as connection:
        assert [row.event for row in connection.execute(audit.select())].count("rollout.changed") == 3


def test_who_was_slower_is_told_and_put_on_record(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    pilot("rollout", "to", "10%", "--yes")
    read = rollout.read
    looked: list[int] = []

    def between(connection: object, name: str = rollout.NAME) -> Stage | None:
        found = read(connection, name)  # type: ignore[arg-type]
        looked.append(1)
        if len(looked) == 1:
            with writing(engine) as other:
                rollout.change(other, Reach(0.02), 1, "oscar")
        return found

    monkeypatch.setattr(rollout, "read", between)
    said = refused("rollout", "to", "5%", "--yes")
    assert "The rollout has changed since version 1: it is version 2, 2%, by oscar." in said
    with engine.connect() as connection:
        events = [row.event for row in connection.execute(audit.select().order_by(audit.c.seq))]
    assert events[-2:] == ["rollout.changed", "rollout.refused"]
    monkeypatch.undo()


def test_a_rollback_is_never_too_late(engine: Engine) -> None:
    pilot("rollout", "to", "10%", "--yes")
    with ThreadPoolExecutor(4) as many:
        list(many.map(lambda share: _narrowed(engine, share), (0.09, 0.08, 0.07)))
        assert pilot("rollback").exit_code == 0
    found = stage(engine)
    assert found is not None
    assert found.reach == Reach()


def _narrowed(engine: Engine, share: float) -> None:
    with writing(engine) as connection:
        present = rollout.read(connection)
        assert present is not None
        rollout.change(connection, Reach(share), present.version, "oscar")


def test_a_team_is_shown_as_it_is_written(engine: Engine) -> None:
    pilot("rollout", "to", "team", "North Sea", "--yes")
    assert pilot("rollout").stdout.startswith("Team North Sea, in mode assist")


def test_a_no_go_after_a_go_ends_the_rollout(root: Path) -> None:
    passes(root, "go", 4)
    gates.may_roll_out(root)
    passes(root, "no-go")
    with pytest.raises(PilotError, match="a decision, and a go"):
        gates.may_roll_out(root)
