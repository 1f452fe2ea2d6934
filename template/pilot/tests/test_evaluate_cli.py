"""`pilot evaluate` and `pilot report`, as a user types them, on records that came through the service."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import App
from example_papers import edit
from example_team import make_team
from small_data import LABELS, TEXTS, train
from sqlalchemy import Engine, func, insert, select, update
from test_results import TODAY, PilotMaker, make_pilot
from typer.testing import CliRunner, Result

from pilot import contract
from pilot.cli import app as command
from pilot.contract import LocalModel, PilotError, Team
from pilot.models import store
from pilot.models.onnx import OnnxTextClassifier
from pilot.records import audit, controls
from pilot.records.database import writing
from pilot.records.tables import answers, items, outcomes
from pilot.records.tables import audit as trail

__all__ = ["make_pilot"]
RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands run in the pilot's folder, with the team of the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contract, "load_team", lambda: make_team(calls=tmp_path / "calls"))


def pilot(*words: str) -> Result:
    return RUNNER.invoke(command, words)


def copied(app: App, to: int, right: int) -> None:
    """Copies the first item that came through the service, with its answers and its outcome, until there are `to`, and
    lets `right` of them agree."""
    with writing(app.service.engine) as connection:
        first = connection.execute(select(items)).mappings().first()
        assert first is not None
        present = connection.execute(select(func.count()).select_from(items)).scalar_one()
        names = [f"copy-{n}" for n in range(present, to)]
        row = {name: value for name, value in first.items() if name not in ("seq", "source_id", "idempotency_key")}
        connection.execute(insert(items), [row | {"id": name} for name in names])
        for table in (answers, outcomes):
            for found in connection.execute(select(table).where(table.c.item_id == first["id"])).mappings().all():
                row = {name: value for name, value in found.items() if name != "id"}
                connection.execute(insert(table), [row | {"item_id": name} for name in names])
        connection.execute(update(outcomes).values(agreement=False))
        of = select(items.c.id).where(items.c.seq <= right)
        connection.execute(update(outcomes).where(outcomes.c.item_id.in_(of)).values(agreement=True))


def looks(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        found = connection.execute(select(trail).where(trail.c.event == "evaluation.looked").order_by(trail.c.seq))
        return [json.loads(row.detail) for row in found]


@pytest.mark.parametrize(
    ("right", "of", "target", "code", "said"),
    [
        (17, 20, 0.80, 11, "NOT PROVEN"),
        (850, 1000, 0.80, 0, "MET"),
        (850, 1000, 0.90, 10, "MISSED"),
    ],
)
def test_each_verdict_has_its_exit_code(
    right: int, of: int, target: float, code: int, said: str, make_pilot: PilotMaker
) -> None:
    made = make_pilot(target=target)
    made.items(5)
    copied(made.app, to=of, right=right)
    found = pilot("evaluate", "--as-of", str(TODAY))
    assert (found.exit_code, found.stdout.splitlines()[0]) == (code, f"verdict       {said}")
    assert f"n             {of} of {of} items have an outcome, 300 were planned" in found.stdout
    assert "method        Wilson, 95 % confidence" in found.stdout
    assert "baseline      none to compare with" in found.stdout
    assert "note          There is no frozen baseline" in found.stdout


def test_before_the_decision_date_it_is_progress(make_pilot: PilotMaker) -> None:
    made = make_pilot()
    made.items(5)
    copied(made.app, to=1000, right=990)
    early = pilot("evaluate", "--as-of", str(TODAY - timedelta(days=1)))
    assert (early.exit_code, early.stdout.splitlines()[0]) == (12, "verdict       PROGRESS")
    assert f"There is no verdict before the items of the whole pilot are there: from {TODAY} on." in early.stdout
    assert pilot("evaluate", "--as-of", str(TODAY)).exit_code == 0


def test_an_interval_for_every_look_gives_a_verdict_early(make_pilot: PilotMaker) -> None:
    made = make_pilot(facts="interval: always_valid\n")
    made.items(5)
    copied(made.app, to=1000, right=900)
    early = pilot("evaluate", "--as-of", str(TODAY - timedelta(days=1)))
    assert (early.exit_code, "always valid: Robbins' beta-binomial mixture" in early.stdout) == (0, True)


def test_there_is_no_verdict_on_a_day_to_come(make_pilot: PilotMaker) -> None:
    """V4: given the day of the decision 12 days early, it had one, and ended with 0."""
    made = make_pilot(decision_by=TODAY + timedelta(days=12))
    made.items(5)
    copied(made.app, to=1000, right=990)
    found = pilot("evaluate", "--as-of", str(TODAY + timedelta(days=12)))
    assert (found.exit_code, found.stdout.splitlines()[0]) == (12, "verdict       PROGRESS")
    assert f"{TODAY + timedelta(days=12)} is still to come" in found.stdout
    assert pilot("evaluate").exit_code == 0


def test_each_look_is_on_record_that_of_the_report_too(make_pilot: PilotMaker) -> None:
    made = make_pilot()
    made.items(5)
    assert looks(made.app.service.engine) == []
    soon = str(TODAY - timedelta(days=1))
    for words in (
        ["evaluate"],
        ["evaluate", "--as-of", soon],
        ["report", "--as-of", soon],
        ["report", "--out", "r.md"],
    ):
        pilot(*words)
    found = looks(made.app.service.engine)
    assert [(look["by"], look["verdict"]) for look in found] == [
        ("evaluate", "NOT PROVEN"),
        ("evaluate", "PROGRESS"),
        ("report", "PROGRESS"),
        ("report", "NOT PROVEN"),
    ]
    with made.app.service.engine.connect() as connection:
        assert audit.first_break(connection) is None


def test_missing_outcomes_bound_what_is_shown(make_pilot: PilotMaker) -> None:
    made = make_pilot(target=0.7)
    made.items(6, 2, 2)
    found = pilot("evaluate", "--as-of", str(TODAY))
    assert found.exit_code == 11
    assert "bounds        0.6000 to 0.8000" in found.stdout
    assert "uncorrected   0.7500" in found.stdout
    assert "judged        confidence 0.90 to 0.90: 8 of 10 items" in found.stdout


def test_a_scratch_database_and_an_empty_one(make_pilot: PilotMaker) -> None:
    made = make_pilot()
    empty = pilot("evaluate", "--as-of", str(TODAY))
    assert (empty.exit_code, "No live item counts" in empty.stdout) == (11, True)
    assert pilot("report", "--out", "empty.html").exit_code == 0
    with writing(made.app.service.engine) as connection:
        controls.mark_scratch(connection, "test")
    for words in (["evaluate"], ["report"]):
        refused = pilot(*words)
        assert isinstance(refused.exception, PilotError)
        assert "scratch database" in str(refused.exception)


def test_a_charter_without_a_target_is_a_message(make_pilot: PilotMaker) -> None:
    made = make_pilot(signed=False)
    edit(made.root, "target: 0.8\n", "target:\n")
    said = pilot("evaluate")
    assert isinstance(said.exception, PilotError)
    assert "The charter has no target" in str(said.exception)


def test_two_recorded_versions_are_compared_on_the_same_items(make_pilot: PilotMaker) -> None:
    made = make_pilot()
    made.items(30, 10)
    said = pilot("evaluate", "--compare", "local-1", "rules-1").stdout
    assert "local-1           0.7500" in said
    assert "40 recorded answers" in said
    assert "local-1 less rules-1 on the same 40 items" in said
    assert "better (Tango score)" in said
    assert looks(made.app.service.engine) == []
    for words, what in (
        (("local-1", "local-1"), "compared with itself"),
        (("local-1", "gone-9"), "No judged live item has an answer of both local-1 and gone-9"),
    ):
        refused = pilot("evaluate", "--compare", *words)
        assert isinstance(refused.exception, PilotError)
        assert what in str(refused.exception)


def test_numbers_of_the_same_items_are_compared_in_pairs(make_pilot: PilotMaker) -> None:
    """Student's sleep data (1908) as costs: p = 0.002833 in pairs, and 0.07939 as two separate samples."""
    sleep = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    other = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    made = make_pilot()
    made.items(10)
    with writing(made.app.service.engine) as connection:
        ids = connection.execute(select(items.c.id).order_by(items.c.seq)).scalars().all()
        for version, hours in (("local-1", sleep), ("rules-1", other)):
            for item, hour in zip(ids, hours, strict=True):
                of = (answers.c.item_id == item) & (answers.c.model_version == version)
                connection.execute(update(answers).where(of).values(cost=hour + 2))
    said = pilot("evaluate", "--compare", "local-1", "rules-1").stdout
    (line,) = (line for line in said.splitlines() if line.startswith("cost of an answer, on the same 10 items"))
    assert "difference -1.5800 [-2.4599, -0.7001], p 0.00283: better (Student's t)" in line
    assert "seconds of an answer, on the same 10 items" in said


def test_without_the_data_key_nothing_is_compared(make_pilot: PilotMaker) -> None:
    made = make_pilot(data_key="x" * 43 + "=")
    made.items(3)
    refused = pilot("evaluate", "--compare", "local-1", "rules-1")
    assert isinstance(refused.exception, PilotError)
    assert "PILOT_DATA_KEY" in str(refused.exception)


def test_versions_of_the_model_store_answer_anew(make_pilot: PilotMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_pilot()
    settings, whole = train(made.root)
    _, part = train(made.root, TEXTS[:12], LABELS[:12])
    example = make_team(calls=made.root / "calls")

    def words(item: Any) -> str:
        return str(item.text)

    def labelled(label: str) -> Any:
        return example.prediction.model_validate({"label": label})

    def load(settings: Any) -> LocalModel:
        return OnnxTextClassifier.load(settings, text=words, prediction=labelled)

    team = Team(item=example.item, prediction=example.prediction, model=load, rules=example.rules)
    monkeypatch.setattr(contract, "load_team", lambda: team)
    for text, label in zip(TEXTS, LABELS, strict=True):
        made.item(text, label)
    before = store.ModelStore(settings.models).active()
    refused = pilot("evaluate", "--compare", whole.version, part.version)
    assert isinstance(refused.exception, PilotError)
    assert "had learned from each of the 18 items" in str(refused.exception), "V1: it was better, with p = 7e-9"
    for thing, label in (("password", "access"), ("invoice", "billing"), ("printer", "hardware")):
        made.item(f"Nobody told me about the {thing}", label)
    said = pilot("evaluate", "--compare", whole.version, part.version)
    assert said.exit_code == 0, said.exception
    assert "0 recorded answers, 21 given now" in said.stdout
    assert "left out          18 items from which one of the two had learned" in said.stdout
    assert "on the same 3 items" in said.stdout
    assert store.ModelStore(settings.models).active() == before
    with made.app.service.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(answers)).scalar_one() == 2 * (len(TEXTS) + 3)
    mixed = pilot("evaluate", "--compare", "local-1", whole.version).stdout
    assert "21 recorded answers" in mixed


def test_the_report_is_written_where_it_is_asked_for_and_nowhere_else(make_pilot: PilotMaker) -> None:
    made = make_pilot()
    made.items(3)
    assert pilot("report").stdout.strip() == f"wrote {made.root / 'var' / 'report.html'}"
    for name, what in (("report.txt", "neither .html nor .md"), ("missing/report.md", "cannot be written")):
        refused = pilot("report", "--out", name)
        assert isinstance(refused.exception, PilotError)
        assert what in str(refused.exception)
    first = (made.root / "var" / "report.html").read_bytes()
    pilot("report", "--out", "again.html")
    assert (made.root / "again.html").read_bytes() == first
