"""Feedback: what people flag waits until somebody looks at it, and becomes a known item that names nobody."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from conftest import App, AppMaker, wait_until
from example_papers import sign, write
from example_team import make_team
from sqlalchemy import update
from test_watch import value as metric
from typer.testing import CliRunner, Result

from pilot import contract
from pilot.cli import app as command
from pilot.contract import PilotError
from pilot.models.examples import read_examples
from pilot.records import privacy
from pilot.records.crypto import Vault
from pilot.records.database import now, writing
from pilot.records.tables import audit, outcomes
from pilot.serving import watch

KNOWN = "text,label\nhello,other\n"
PRIVATE = "Call +1 650 253 0000 or mail ann@example.org about 4111 1111 1111 1111, please."


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_app: AppMaker) -> App:
    write(tmp_path)
    sign(tmp_path)
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data/known.csv").write_text(KNOWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contract, "load_team", lambda: make_team("right", tmp_path / "calls"))
    monkeypatch.setattr(watch, "FIGURES", 0.1)
    return make_app(mode="assist", known_interval=0)


def pilot(*words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(command, ["feedback", *words], input=answer)


def refused(*words: str) -> str:
    found = pilot(*words)
    assert isinstance(found.exception, PilotError), found.output
    return str(found.exception)


def flagged(app: App, flag: str = "wrong", text: str = "where is my money", label: str = "other", **more: str) -> int:
    """The id of feedback on a new item."""
    answered = app.post(text, who="shop").json()
    given = app.judge(answered["id"], final={"label": label}, flag=flag, **more)
    assert given.status_code == 201, given.text
    return max(row.id for row in app.rows(outcomes))


def test_what_is_flagged_is_listed_the_unsafe_first(app: App) -> None:
    idea, unsafe = flagged(app, "idea", comment="Ask\nfor the date."), flagged(app, "unsafe")
    app.judge(app.post("fine").json()["id"], final={"label": "other"})
    said = pilot("list").stdout.splitlines()
    assert [line.split()[:2] for line in said] == [[str(unsafe), "unsafe"], [str(idea), "idea"]]
    assert said[1].endswith("Ask for the date.")


def test_adopted_feedback_is_a_known_item_that_names_nobody_and_says_where_it_comes_from(
    app: App, tmp_path: Path
) -> None:
    id = flagged(app, text=PRIVATE)
    said = pilot("adopt", str(id), answer="y\n")
    assert said.exit_code == 0, said.output
    with (tmp_path / "data/known.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"text": "hello", "label": "other", "source": ""}
    assert rows[1]["text"] == "Call [PHONE] or mail [EMAIL] about [CARD], please."
    assert rows[1]["label"] == "other"
    assert rows[1]["source"].startswith(f"feedback {id} of ")
    examples, bad = read_examples(app.service.team, tmp_path / "data/known.csv", None, None)
    assert (len(examples), bad) == (2, []), "the service asks for it"
    assert pilot("list").stdout == ""
    (entry,) = [row for row in app.rows(audit) if row.event == "feedback.adopted"]
    assert orjson.loads(entry.detail)["feedback"] == [id]


def test_the_texts_are_shown_before_the_question_and_no_leaves_all_as_it_was(app: App, tmp_path: Path) -> None:
    id = flagged(app, text="Ann Smith waits for her money")
    said = pilot("adopt", str(id), answer="n\n").output
    assert said.index("text: Ann Smith waits") < said.index("Do they name nobody?")
    assert (tmp_path / "data/known.csv").read_text() == KNOWN
    assert pilot("list").stdout != ""


def test_a_row_that_is_there_already_is_not_added_again(app: App, tmp_path: Path) -> None:
    pilot("adopt", str(flagged(app)), "--yes")
    assert "0 added, 1 there before" in pilot("adopt", str(flagged(app)), "--yes").stdout
    assert len((tmp_path / "data/known.csv").read_text().splitlines()) == 3


def test_dismissed_feedback_is_gone_from_the_list_with_its_reason_on_record(app: App) -> None:
    id = flagged(app)
    assert "Say why" in refused("dismiss", str(id), "--because", " ")
    assert pilot("dismiss", str(id), "--because", "It was a test.").exit_code == 0
    assert pilot("list").stdout == ""
    (entry,) = [row for row in app.rows(audit) if row.event == "feedback.dismissed"]
    assert orjson.loads(entry.detail) == {"feedback": [id], "why": "It was a test."}
    assert f"No feedback waits under {id}" in refused("adopt", str(id), "--yes")


def test_feedback_without_a_right_answer_or_contents_is_not_adopted(app: App) -> None:
    answered = app.post(subject="ann").json()
    app.judge(answered["id"], action="rejected", flag="wrong")
    id = str(max(row.id for row in app.rows(outcomes)))
    assert "its outcome names no right answer" in refused("adopt", id, "--yes")
    privacy.erase(app.service.engine, Vault(()), "ann", "olga")
    assert "the contents of its item were erased" in refused("adopt", id, "--yes")
    assert pilot("list").stdout != "", "and may be dismissed"


def test_of_several_one_that_cannot_be_adopted_leaves_all_as_they_were(app: App, tmp_path: Path) -> None:
    ids = [str(flagged(app)), "999"]
    assert "No feedback waits under 999" in refused("adopt", *ids, "--yes")
    assert (tmp_path / "data/known.csv").read_text() == KNOWN


def test_the_age_of_the_oldest_flag_is_a_metric_by_its_kind(app: App) -> None:
    name = 'pilot_oldest_feedback_seconds{flag="slow"}'
    assert metric(app, name) == 0
    id = flagged(app, "slow")
    with writing(app.service.engine) as connection:
        connection.execute(update(outcomes).values(at=now() - timedelta(days=2)))
    wait_until(lambda: metric(app, name) > 172_000)
    assert metric(app, 'pilot_oldest_feedback_seconds{flag="idea"}') == 0
    pilot("dismiss", str(id), "--because", "A busy day.")
    wait_until(lambda: metric(app, name) == 0)
