"""A challenger answers a share of the live items beside the model in force, and ends where it does harm."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import App, AppMaker, wait_until
from example_team import Item, Prediction
from sqlalchemy import Connection, Engine
from test_backtest import recorded
from test_backtest import write as insert
from test_promotion import ADA, TEAM, decided, drawn, fit, load, started
from test_rollout_cli import older
from typer.testing import CliRunner, Result

from pilot.cli import app as command
from pilot.contract import Answer, Failure, PilotError
from pilot.models.store import ModelStore
from pilot.records import canary, controls, rollout
from pilot.records.crypto import Vault
from pilot.records.database import now, writing
from pilot.records.outcomes import Outcome, judge
from pilot.records.rollout import CHALLENGER, Reach, Stage
from pilot.records.tables import answers, audit
from pilot.serving import live_settings, watch

VERSION = "a" * 16
TEXTS = [f"invoice number {number}" for number in range(40)]


@pytest.fixture
def served(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> App:
    return started(make_app, monkeypatch, tmp_path)


def better(app: App) -> str:
    """A candidate that learned more than the version in force."""
    store, rows = ModelStore(app.settings.models), drawn(300, 9)
    before = store.active() or ""
    fit([Item(text=said) for said, _ in rows], [label for _, label in rows], app.settings)
    made = store.active() or ""
    store.activate(before)
    return made


def share(engine: Engine, version: str, wanted: float) -> Stage:
    with writing(engine) as connection:
        stage = rollout.read(connection, CHALLENGER)
        return rollout.change(connection, Reach(wanted), stage.version if stage else 0, "olga", version)


def in_force(engine: Engine) -> Stage | None:
    with engine.connect() as connection:
        return rollout.challenger(connection)


def obeyed(*apps: App, version: str | None) -> None:
    wait_until(lambda: all(app.service._challenger == version for app in apps), 30)
    for app in apps:
        app.service.live.read()


def asked(app: App, who: str = "shop") -> dict[str, str]:
    """The version that answers each text."""
    posted = {app.post(text, who, subject=text).json()["id"]: text for text in TEXTS}
    app.drained()
    return {
        posted[row.item_id]: row.model_version
        for row in app.rows(answers)
        if row.item_id in posted and row.role == "primary"
    }


def pilot(*words: str) -> Result:
    return CliRunner().invoke(command, list(words))


def refused(*words: str) -> str:
    found = pilot(*words)
    assert isinstance(found.exception, PilotError), found.output
    return str(found.exception)


def test_each_process_gives_a_subject_to_the_same_version_and_a_wider_share_keeps_it(
    served: App, make_app: AppMaker
) -> None:
    other, version, champion = make_app(mode="shadow", team=TEAM), better(served), served.service.model.version
    share(served.service.engine, version, 0.4)
    obeyed(served, other, version=version)
    first = asked(served)
    assert set(first.values()) == {version, champion}
    assert asked(other) == first, "in shadow too, and after another process"
    share(served.service.engine, version, 0.8)
    served.service.live.read()
    wider = asked(served)
    assert {text for text, by in first.items() if by == version} < {text for text, by in wider.items() if by == version}
    with writing(served.service.engine) as connection:
        rollout.change(connection, Reach(), 0, "olga")  # `pilot rollback`
    obeyed(served, other, version=None)
    assert set(asked(served).values()) == {champion}
    assert served.service._challenging is not None
    assert served.service._challenging.model is served.service.model, "the memory is free again"
    assert [row.event for row in served.rows(audit) if "challenger" in row.event] == ["challenger.changed"] * 3


def test_only_live_items_are_for_a_challenger(served: App) -> None:
    version = better(served)
    share(served.service.engine, version, 0.999)
    obeyed(served, version=version)
    record = recorded(now(), "x", Answer.failed(Failure.ERROR), subject="ann").record
    assert served.service._asked(record).model.version == version
    for origin in ("test", "backtest", "demo"):
        assert served.service._asked(replace(record, origin=origin)).model.version == served.service.model.version


def test_a_challenger_that_does_not_load_leaves_its_items_to_the_model_in_force(served: App) -> None:
    share(served.service.engine, "0" * 16, 0.9)
    wait_until(lambda: "pilot_model_refused 1.0" in served.get("/metrics", "olga").text, 30)
    assert set(asked(served).values()) == {served.service.model.version}
    share(served.service.engine, "0" * 16, 0.0)
    wait_until(lambda: "pilot_model_refused 0.0" in served.get("/metrics", "olga").text, 30)


def test_a_challenger_that_hangs_delays_its_own_items_alone(served: App, make_app: AppMaker) -> None:
    version, champion = better(served), served.service.model.version

    def slow(settings: Any) -> Any:
        model = load(settings)
        if model.version == version:
            answer = model.predict
            model.predict = lambda given: (time.sleep(2), answer(given))[1]  # type: ignore[method-assign]
        return model

    app = make_app(mode="assist", team=replace(TEAM, model=slow), model_deadline=0.5)
    share(app.service.engine, version, 0.5)
    obeyed(app, version=version)
    asked(app)
    by = {
        name: {row.failure for row in app.rows(answers) if row.role == "primary" and row.model_version == name}
        for name in (version, champion)
    }
    assert by[version] >= {"timeout"}
    assert by[champion] == {None}


def test_while_the_store_is_away_too_long_the_model_in_force_answers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.monotonic()
    monkeypatch.setattr(live_settings.time, "monotonic", lambda: clock)
    share(engine, VERSION, 0.999)
    live = live_settings.LiveSettings(engine)
    live.read()
    assert live.challenges("ann") == VERSION
    clock += live_settings.SAFE_AFTER + 1
    assert live.challenges("ann") is None


def compared(engine: Engine, stage: Stage, failing: str = "", wrong: str = "") -> None:
    """Items of both versions by turns since the stage began, half of which fail or are wrong where that is named."""
    moment = stage.at
    for number in range(60):
        moment += timedelta(seconds=1)
        for arm, version in (("challenger", stage.model or ""), ("champion", "b" * 16)):
            bad = number % 2 == 0
            answer = Answer.failed(Failure.ERROR) if bad and arm in failing else Answer(Prediction(label="refund"), 0.9)
            row = recorded(moment, "money", answer, mode="assist")
            insert(engine, [replace(row, answers=(replace(row.answers[0], model_version=version),))])
            if wrong and answer.failure is None:
                final = Prediction(label="other" if bad and arm in wrong else "refund")
                with writing(engine) as connection:
                    judge(connection, Vault(()), Prediction, row.record.id, Outcome(final=final, made_by="rita"))


@pytest.mark.parametrize(
    ("how", "harmful"),
    [
        ({"failing": "challenger"}, True),
        ({"wrong": "challenger"}, True),
        ({"failing": "challenger champion"}, False),
        ({"wrong": "challenger champion"}, False),
        ({"failing": "champion"}, False),
    ],
)
def test_the_canary_tells_harm_of_the_challenger_and_not_of_both(
    how: dict[str, str], harmful: bool, engine: Engine
) -> None:
    stage = share(engine, VERSION, 0.1)
    compared(engine, stage, **how)
    with engine.connect() as connection:
        found = canary.look(connection, stage)
    assert (found.failed.pairs, found.harmful) == (60, harmful)


@pytest.mark.parametrize("looks", [True, False])
def test_a_harmful_challenger_steps_back_by_itself(
    looks: bool, served: App, make_app: AppMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CANARY", 0.1 if looks else 3600.0)
    app, version = make_app(mode="assist", team=TEAM), better(served)
    engine = app.service.engine
    first = share(engine, version, 0.1)
    wider = share(engine, version, 0.25)
    assert first.salt == wider.salt
    compared(engine, wider, failing="challenger")
    if looks:
        wait_until(lambda: (found := in_force(engine)) and found.reach == Reach(0.1), 20)
        told = next(row for row in app.rows(audit) if row.event == "challenger.stepped_back")
        assert told.actor == "service"
        assert f'"model":"{version}"' in told.detail
        assert app.service.metrics.stepped_back._value.get() == 1
    else:
        app.service.live.read()
        assert app.service.live.challenger == in_force(engine) == wider


def test_a_candidate_that_proved_itself_takes_a_share_then_more_then_all(served: App) -> None:
    engine, champion = served.service.engine, served.service.model.version
    decided(served, drawn(100, 2))
    version = better(served)
    assert "is no part of the items" in refused("model", "promote", version, "--as", ADA, "--share", "100%")
    assert "There is no challenger" in refused("model", "promote", version, "--as", ADA, "--share", "0%")
    opened = pilot("model", "promote", version, "--as", ADA, "--share", "10%")
    assert f"{version} answers 10% of the live items beside {champion}" in opened.stdout, opened.output
    told = next(row for row in served.rows(audit) if row.event == "challenger.changed")
    assert f'"approved_by":"{ADA}"' in told.detail
    shown = pilot("rollout").stdout
    assert f"Challenger: version {version} answers 10% of the live items beside the model in force" in shown
    assert "A wider stage waits for a day" in shown
    assert "It can see by comparison" in shown
    assert f"{version} is the challenger. End it first" in refused(
        "model", "promote", champion, "--as", ADA, "--share", "5%"
    )
    waits = "it waits for a day, and it was opened 0 hours ago; it waits for 50 items"
    for more in (("--share", "20%"), ()):
        assert waits in refused("model", "promote", version, "--as", ADA, *more)
    stage = in_force(engine)
    assert stage
    compared(engine, stage)
    older(engine, timedelta(days=1), CHALLENGER)
    assert pilot("model", "promote", version, "--as", ADA, "--share", "20%").exit_code == 0
    assert (found := in_force(engine))
    assert (found.reach, found.salt) == (Reach(0.2), stage.salt)
    whole = pilot("model", "promote", version, "--as", ADA, "--override", "the sponsor asks for it")
    assert whole.exit_code == 0, whole.output
    assert in_force(engine) is None
    with engine.connect() as connection:
        assert controls.model(connection) == version


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (("rollback",), None),
        (("model", "rollback"), None),
        (("model", "promote", "VERSION", "--as", ADA, "--share", "0%"), None),
        (("rollout",), 0.1),
    ],
)
def test_a_challenger_ends_by_one_command(words: tuple[str, ...], left: float | None, served: App) -> None:
    version = better(served)
    share(served.service.engine, version, 0.1)
    pilot(*(version if word == "VERSION" else word for word in words))
    found = in_force(served.service.engine)
    assert (found and found.reach.share) == left


def test_what_did_not_prove_itself_takes_no_share_but_upon_an_override(served: App) -> None:
    decided(served, drawn(20, 2))
    version = better(served)
    words = ("model", "promote", version, "--as", ADA, "--share", "10%")
    assert "20 judged items can be compared, and 60 are needed" in refused(*words)
    assert in_force(served.service.engine) is None
    assert pilot(*words, "--override", "few items come").exit_code == 0
    assert in_force(served.service.engine)


def test_who_was_slower_is_told_and_put_on_record(served: App, monkeypatch: pytest.MonkeyPatch) -> None:
    version, engine, read = better(served), served.service.engine, rollout.read

    def overtaken(connection: Connection, name: str = rollout.NAME) -> Stage | None:
        found = read(connection, name)
        monkeypatch.setattr(rollout, "read", read)
        share(engine, version, 0.05)
        return found

    monkeypatch.setattr(rollout, "read", overtaken)
    refused("model", "promote", version, "--as", ADA, "--share", "10%", "--override", "now")
    assert (found := in_force(engine))
    assert found.reach == Reach(0.05)
    assert [row.event for row in served.rows(audit)][-2:] == ["challenger.changed", "challenger.refused"]
