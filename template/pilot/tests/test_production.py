"""The page for operations and sponsors: five answers about production, each with what it stands on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from conftest import wait_until
from sqlalchemy import select, update
from test_evaluate_cli import copied
from test_results import TODAY, PilotMaker, Work, make_pilot
from test_watch import value as metric
from typer.testing import CliRunner

from pilot import contract
from pilot.cli import app as command
from pilot.contract import Failure, PilotError
from pilot.operations.prometheus import RULES, Prometheus
from pilot.records import controls, rollout
from pilot.records.database import now, writing
from pilot.records.rollout import Reach
from pilot.records.tables import answers, audit, items, outcomes
from pilot.serving import watch
from pilot.workbench import production
from pilot.workbench.pilot import Pilot, Watched
from pilot.workbench.production import Answer

__all__ = ["make_pilot"]


@pytest.fixture(autouse=True)
def _at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rolled_out(made: Work, share: float = 0.5) -> Work:
    with writing(made.app.service.engine) as connection:
        rollout.change(connection, Reach(share), 0, "olga")
    return made


def answered(made: Work, today: date = TODAY) -> dict[str, Answer]:
    with made.app.service.engine.connect() as connection:
        found = production.look(Pilot(made.root, today, made.app.service.engine), connection)
    return {one.question: one for one in found.answers}


@pytest.mark.parametrize(("right", "said", "good"), [(960, "Yes", True), (700, "No", False), (805, "Not proven", None)])
def test_it_works_when_the_interval_is_on_the_good_side_of_the_target(
    right: int, said: str, good: bool | None, make_pilot: PilotMaker
) -> None:
    made = make_pilot(target=0.8)
    made.items(1)
    copied(made.app, 1000, right)
    found = answered(made)["Does it work?"]
    assert (found.said, found.good) == (said, good)
    assert "on 1000 of 1000 items." in found.lines[0]
    assert found.lines[1] == "The target is at least 80 of 100 items."


def test_a_target_that_is_better_lower_is_read_so(make_pilot: PilotMaker) -> None:
    made = make_pilot("assist", metric="cycle_time", target=40)
    made.items(20)
    assert answered(made)["Does it work?"].said == "Yes"
    made = make_pilot("assist", metric="cycle_time", target=0.00001, database_url="sqlite:///other.db")
    made.items(20)
    assert answered(made)["Does it work?"].said == "No"


def test_without_decisions_for_a_week_the_quality_is_not_known_whatever_the_figure(make_pilot: PilotMaker) -> None:
    made = make_pilot()
    made.items(1)
    copied(made.app, 1000, 990)
    with writing(made.app.service.engine) as connection:
        connection.execute(update(outcomes).values(at=now() - timedelta(days=9)))
        old = now() - timedelta(days=10)
        connection.execute(update(items).values(arrived_at=old, received_at=old))
    found = answered(made)
    assert found["Does it work?"].said == "Not known"
    assert f"People last decided on {(now() - timedelta(days=9)).date()}" in found["Does it work?"].lines[0]
    assert found["Is it safe?"].lines[0] == "0.0% of the answers failed.", "what needs no decision is told on its own"


def test_what_it_is_worth_is_against_the_baseline_and_at_least_where_figures_are_missing(
    make_pilot: PilotMaker,
) -> None:
    made = make_pilot(mode="assist", facts="cost_of_hour: 60\ncurrency: EUR\n")
    assert "neither cost nor time nor actions" in answered(made)["What is it worth?"].lines[0]
    made.freezes(40, 60)
    made.items(30)
    found = answered(made)["What is it worth?"]
    assert (found.said, found.good) == ("117 EUR saved", True)


def test_a_service_that_costs_more_than_the_process_before_is_to_be_decided_anew(make_pilot: PilotMaker) -> None:
    made = make_pilot(mode="assist", facts="cost_of_hour: 6000\ncurrency: EUR\n")
    made.freezes(40, 60)
    made.items(30)
    pilot = Pilot(made.root, TODAY, made.app.service.engine)
    with made.app.service.engine.connect() as connection:
        works, worth = production.grounds(pilot, connection)
    assert (works.good, worth.good) == (True, False)
    opened = production.new_decision(pilot, (works, worth))
    assert f"## What is it worth? {worth.said}" in opened
    assert worth.said.endswith("EUR lost")


def test_who_uses_it_tells_reach_and_what_people_did(make_pilot: PilotMaker) -> None:
    made = rolled_out(make_pilot("assist"), 1.0)
    made.app.service.live.read()
    for number in range(10):
        item = made.app.post(f"where is my money {number}").json()["id"]
        made.app.judge(item, action="accepted" if number < 7 else "rejected")
    found = answered(made)["Who uses it?"]
    assert found.said == "10 items"
    assert "Of 10 answers that people checked: 70.0% accepted, 0.0% changed, 30.0% rejected." in found.lines
    assert answered(make_pilot(database_url="sqlite:///new.db"))["Who uses it?"].said == "Nobody yet"


def test_an_unsafe_flag_comes_before_drift_and_drift_before_calm(make_pilot: PilotMaker) -> None:
    made = rolled_out(make_pilot())
    made.items(4)
    assert answered(made)["Is it safe?"].said == "Not known"
    with writing(made.app.service.engine) as connection:
        controls.note_drift(connection, "olga", True, [("answer", "confidence", 0.0)])
    assert answered(made)["Is it safe?"].said == "Nothing says otherwise"
    with writing(made.app.service.engine) as connection:
        controls.note_drift(connection, "olga", True, [("answer", "confidence", 0.5)])
        connection.execute(update(answers).where(answers.c.id == 1).values(failure=Failure.ERROR))
    found = answered(made)["Is it safe?"]
    assert (found.said, found.good) == ("Something has changed", None)
    with writing(made.app.service.engine) as connection:
        first = select(outcomes.c.id).limit(1).scalar_subquery()
        connection.execute(update(outcomes).where(outcomes.c.id == first).values(flag="unsafe"))
    found = answered(made)["Is it safe?"]
    assert (found.said, found.good) == ("An answer was flagged as unsafe", False)
    assert any(line.startswith("Drift, looked for on") and "answer: confidence" in line for line in found.lines)


WATCHED = Watched((("A person flagged it.", now() - timedelta(days=3), 12, False),), 10_000.0, 25.0)


def safe(made: Work, watched: Watched | None) -> Answer:
    with made.app.service.engine.connect() as connection:
        found = production.look(Pilot(made.root, TODAY, made.app.service.engine), connection, watched=watched)
    return next(one for one in found.answers if one.question == "Is it safe?")


def test_it_is_told_which_alerts_fired_and_how_much_of_the_error_budget_is_spent(make_pilot: PilotMaker) -> None:
    made = make_pilot()
    made.items(1)
    with writing(made.app.service.engine) as connection:
        controls.note_drift(connection, "olga", True, [])
    found = safe(made, WATCHED)
    day = WATCHED.alerts[0][1].date()
    assert found.lines[-2:] == (
        f"An alert fired last on {day}, for 12 min in all: A person flagged it.",
        "25 of 10,000 requests failed in 28 days: 25.0% of the errors that slo.toml allows.",
    )
    assert (found.said, found.good) == ("Nothing says otherwise", None)
    assert safe(made, replace(WATCHED, failed=101.0)).said == "Too many requests failed"
    assert safe(made, replace(WATCHED, failed=99.0)).good is None
    firing = safe(made, replace(WATCHED, alerts=((*WATCHED.alerts[0][:3], True),)))
    assert (firing.said, firing.good) == ("An alert is firing", False)
    assert "fired now, and for 12 min in all" in firing.lines[-2]
    quiet = safe(made, Watched((), 0.0, 0.0)).lines
    assert quiet[-1] == "No alert fired in the last 28 days."
    assert "Prometheus did not answer" in safe(made, None).lines[-1]


def test_a_prometheus_that_knows_nothing_of_the_service_is_none_that_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rules = tmp_path / RULES
    rules.mkdir(parents=True)
    rule = "{alert: Down, expr: up == 0, labels: {severity: page}, annotations: {summary: It is down.}}"
    (rules / "own.yml").write_text(f"groups: [{{name: a, rules: [{rule}]}}]\n")

    def asked(_: Prometheus, path: str, query: str) -> dict[str, object]:
        value = "1700000000" if "timestamp" in query else "2" if "5.." in query else "7"
        known = "pilot_requests_total" not in query or counts
        return {"result": [{"metric": {"alertname": "Down"}, "value": [0, value]}] if known else []}

    monkeypatch.setattr(Prometheus, "ask", asked)
    counts = True
    at = datetime.fromtimestamp(1700000000, UTC)
    assert Prometheus("http://here").watched(tmp_path) == Watched((("It is down.", at, 7, True),), 7.0, 2.0)
    counts = False
    with pytest.raises(PilotError, match="has no metrics of this service"):
        Prometheus("http://here").watched(tmp_path)


def test_what_comes_next_names_the_stage_and_what_it_waits_for(make_pilot: PilotMaker) -> None:
    made = make_pilot()
    assert answered(made)["What comes next?"].said == "No stage of the rollout yet"
    found = answered(rolled_out(made, 0.1))["What comes next?"]
    assert found.said == "The rollout reaches 10%"
    assert any(line.startswith("A wider stage waits for a day") for line in found.lines)
    assert "The runbook was never drilled." in found.lines


def test_the_page_has_the_answers_once_there_is_a_stage(make_pilot: PilotMaker) -> None:
    made = make_pilot()
    made.items(12, 2)

    def page() -> str:
        assert CliRunner().invoke(command, ["status", "--html", "status.html"]).exit_code == 0
        return Path("status.html").read_text(encoding="utf-8")

    assert "Does it work?" not in page()
    rolled_out(made)
    text = page()
    places = [text.index(f"<h2>{one}") for one in answered(made)]
    assert places == sorted(places)
    assert text.count("<svg") == 1


def test_a_target_that_production_misses_is_a_metric_and_an_entry_until_it_is_kept_again(
    make_pilot: PilotMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "FIGURES", 0.1)
    made = make_pilot(target=0.8)
    monkeypatch.setattr(contract, "load_team", lambda: made.app.service.team)
    made.items(1)
    assert metric(made.app, "pilot_target_missed") == 0

    def looked(right: int, of: int) -> str:
        copied(made.app, of, right)
        return CliRunner().invoke(command, ["drift"]).stdout

    said = looked(300, 1000)
    assert said.startswith("Does it work? No. Share of items that the AI decides as people do: 30")
    assert "wrote var/new-decision.md" in said
    opened = Path("var/new-decision.md").read_text(encoding="utf-8")
    assert "## Does it work? No\n\n- Share of items that the AI decides as people do: 30" in opened
    assert f"- We stop early when {Pilot(made.root, TODAY).charter.kill_criteria[0]}." in opened
    assert "pilot decide no-go" in opened
    Path("var/new-decision.md").unlink()
    wait_until(lambda: metric(made.app, "pilot_target_missed") == 1)
    assert looked(990, 1001).startswith("Does it work? Yes.")
    wait_until(lambda: metric(made.app, "pilot_target_missed") == 0)
    events = [row.event for row in made.app.rows(audit) if row.event.startswith("target.")]
    assert events == ["target.missed", "target.kept"]
    assert not Path("var/new-decision.md").exists()
