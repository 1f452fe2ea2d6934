"""Feedback: what people flag waits until somebody looks at it, and becomes a known item that names nobody."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

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
from pilot.records.tables import audit, outcomes, reports
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


def report(app: App, item: str, flag: str = "unsafe", who: str = "shop", **more: Any) -> Any:
    body = {"flag": flag, **more}
    return app.client.post(f"/v1/predictions/{item}/feedback", json=body, headers=app.headers(who))


def counted(app: App, flag: str) -> float:
    return metric(app, f'pilot_flagged_total{{flag="{flag}"}}')


def test_a_report_needs_no_decision_and_is_seen_at_once(app: App) -> None:
    item = app.post("where is my money", who="shop").json()["id"]
    before = metric(app, 'pilot_oldest_feedback_seconds{flag="unsafe"}')
    said = report(app, item, comment="It told\nhim to pay twice.")
    assert said.status_code == 201, said.text
    assert said.json() == {"id": item, "feedback": "r1"}
    assert (before, counted(app, "unsafe")) == (0, 1)
    wait_until(lambda: metric(app, 'pilot_oldest_feedback_seconds{flag="unsafe"}') > 0, 10)
    assert not app.rows(outcomes)
    line = pilot("list").stdout.splitlines()[0]
    assert line.split()[:2] == ["r1", "unsafe"]
    assert line.endswith(f"shop, item {item}  It told him to pay twice.")
    assert "report r1  unsafe by shop" in CliRunner().invoke(command, ["explain", item]).stdout


def test_reports_and_flags_wait_in_one_list_and_go_by_their_own_names(app: App) -> None:
    first = flagged(app, "idea")
    item = app.post("other money", who="shop").json()["id"]
    assert report(app, item, "wrong").json()["feedback"] == "r1"
    assert report(app, item, "wrong", who="rita").json()["feedback"] == "r2"
    assert [line.split()[0] for line in pilot("list").stdout.splitlines()] == [str(first), "r1", "r2"]
    assert "r9" in refused("dismiss", "r9", "--because", "no")
    assert pilot("dismiss", "r1", "--because", "It was right.").exit_code == 0
    assert [line.split()[0] for line in pilot("list").stdout.splitlines()] == [str(first), "r2"]
    assert "its outcome names no right answer" in refused("adopt", "r2")
    app.judge(item, final={"label": "other"})
    assert pilot("adopt", "r2", answer="y\n").exit_code == 0
    assert [line.split()[0] for line in pilot("list").stdout.splitlines()] == [str(first)]


def test_a_report_that_waits_is_not_doubled_and_one_that_was_looked_at_may_come_again(app: App) -> None:
    item = app.post("money", who="shop").json()["id"]
    assert [report(app, item, "slow").json()["feedback"] for _ in range(3)] == ["r1"] * 3
    assert counted(app, "slow") == 1
    pilot("dismiss", "r1", "--because", "It is fast.")
    assert report(app, item, "slow").json()["feedback"] == "r2"


def test_a_caller_reports_on_its_own_items_and_no_more_than_it_may_send(
    app: App, make_app: AppMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = app.post("money", who="shop").json()["id"]
    assert report(app, item, who="bank").status_code == 404
    assert report(app, "0" * 8).status_code == 404
    assert report(app, item, who="olga").status_code == 403
    assert report(app, item, "bad").status_code == 422
    assert report(app, item, comment="x" * 2001).status_code == 422
    few = make_app(mode="assist", known_interval=0, caller_rate=20)
    item = few.post("money").json()["id"]
    flags = ("wrong", "unsafe", "slow", "edge_case", "idea")
    found = [report(few, item, flags[number % 5]).status_code for number in range(100)]
    assert (found.count(201), found.count(429)) == (19, 81)
    assert len(few.rows(reports)) == 5


def test_what_was_reported_goes_with_the_contents_of_its_item(app: App) -> None:
    item = app.post("money", who="shop", subject="ann").json()["id"]
    report(app, item, comment="ann is angry")
    engine, vault = app.service.engine, app.service.vault
    assert privacy.export(engine, vault, "ann", "olga")[0]["reports"][0]["comment"] == "ann is angry"
    privacy.erase(engine, vault, "ann", "olga")
    assert app.rows(reports)[0].comment is None
    assert "erased" in report(app, item, "slow").json()["detail"]


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
