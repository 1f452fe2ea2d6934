"""Intervals of numbers: checked, recorded, sealed, returned, and shown where the answer may be seen."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conftest import App, AppMaker
from cryptography.fernet import Fernet
from example_columns import DUE, Facts
from example_team import Item
from pydantic import Field
from sqlalchemy import update
from test_confidences import database_of_before
from test_review_forms import Browser, Desk, words

import pilot
from pilot.contract import INTERVAL, Answer, Failure, Team
from pilot.records import privacy, queries
from pilot.records.crypto import Contents, Vault
from pilot.records.database import migrate, open_database, writing
from pilot.records.tables import answers
from pilot.serving import inference
from pilot.settings import load_settings
from pilot.workbench import columns as reading
from pilot.workbench.evaluation import evaluate
from pilot.workbench.stats.calibration import Coverage

__all__ = ["database_of_before"]


class Effort(pilot.Prediction):
    hours: float
    team: str = "blue"
    due: date | None = None
    parts: list[int] = Field(default_factory=list)


EFFORT, RANGE = Effort(hours=4.5), {"hours": (2.25, 8000.0)}


class Estimator:
    version = "estimator-1"

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def predict(self, items: Sequence[Any]) -> list[Answer]:
        return [self.answer] * len(items)


def team(answer: Answer) -> Team:
    model, rules = Estimator(answer), Estimator(Answer(EFFORT, 1.0))
    return Team(item=Item, prediction=Effort, model=lambda _: model, rules=lambda: rules)


@pytest.mark.parametrize("given", [RANGE, {"hours": [2.25, 8000]}, {"hours": (3, 3)}])
def test_intervals_pass_as_plain_numbers(given: Any) -> None:
    found = inference.checked(Answer(EFFORT, 0.5, intervals=given), Effort)
    assert (found.failure, found.intervals) == (None, {name: tuple(ends) for name, ends in given.items()})
    assert {type(end) for ends in (found.intervals or {}).values() for end in ends} == {float}


@pytest.mark.parametrize(
    "given",
    [
        {"days": (1, 2)},
        {"team": (1, 2)},
        {"due": (1, 2)},
        {"parts": (1, 2)},
        {"hours": (8, 2)},
        {"hours": (0, math.inf)},
        {"hours": (math.nan, 3)},
        {"hours": (1, 2, 3)},
        {"hours": 4},
        {"hours": ("low", "high")},
        {"hours": None},
        ["hours"],
        0.9,
    ],
)
def test_intervals_that_are_none_are_invalid_output_and_keep_their_cost(given: Any) -> None:
    found = inference.checked(Answer(EFFORT, 0.9, 0.5, 3, intervals=given), Effort)
    assert (found.failure, found.prediction, found.cost, found.tokens) == ("invalid_output", None, 0.5, 3)


def test_no_intervals_are_none() -> None:
    assert inference.checked(Answer(EFFORT, 0.9, intervals={}), Effort).intervals is None
    assert inference.checked(Answer(failure="timeout", intervals=RANGE), Effort) == Answer.failed(Failure.TIMEOUT)


def test_from_the_answer_to_the_record_and_back_sealed(make_app: AppMaker, database: dict[str, str]) -> None:
    key, newer = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    app = make_app(mode="assist", team=team(Answer(EFFORT, 0.6, intervals=RANGE)), data_key=key, **database)
    reply = app.post("a ticket", subject="anna").json()
    assert reply["intervals"] == {"hours": [2.25, 8000.0]}
    assert app.get(f"/v1/predictions/{reply['id']}").json()["intervals"] == reply["intervals"]

    def stored() -> dict[str, Any]:
        return {row.role: row.intervals for row in app.rows(answers)}

    assert b"8000" not in stored()["primary"]
    assert stored()["rules"] is None
    exported = privacy.export(app.service.engine, app.service.vault, "anna", "olga")[0]["answers"]
    assert {one["role"]: one["intervals"] for one in exported} == {"primary": reply["intervals"], "rules": None}
    before, both = stored()["primary"], Vault((newer, key))
    list(privacy.rotate(app.service.engine, both, "olga"))
    assert stored()["primary"] != before
    assert Vault((newer,)).open(stored()["primary"]) == both.open(before)
    app.service.vault.renew((newer, key))
    assert privacy.erase(app.service.engine, app.service.vault, "anna", "olga") == 1
    assert stored() == {"primary": None, "rules": None}
    assert app.get(f"/v1/predictions/{reply['id']}").json()["intervals"] is None


def test_where_the_answer_is_not_given_its_interval_is_not_either(make_app: AppMaker) -> None:
    app = make_app(mode="shadow", team=team(Answer(EFFORT, 0.6, intervals=RANGE)), threshold=0.9)
    assert app.post("a ticket").json()["intervals"] is None
    app.drained()
    assert [row.intervals for row in app.rows(answers) if row.role == "primary"] == [b'{"hours":[2.25,8000.0]}']
    app.set_mode("auto")
    reply = app.post("a ticket").json()
    assert (reply["reason"], reply["intervals"]) == ("low_confidence", None)


def test_records_of_before_have_none(database_of_before: dict[str, str], tmp_path: Path) -> None:
    engine = open_database(load_settings(root=tmp_path, **database_of_before))
    migrate(engine)
    with engine.connect() as connection:
        assert [one["intervals"] for one in queries.answers_of(connection, Vault(()), "a")] == [None]
    engine.dispose()


@pytest.fixture
def desk(make_app: AppMaker) -> Desk:
    return Desk(make_app(mode="assist", team=team(Answer(EFFORT, 0.95, intervals=RANGE))))


SAID = "The AI expects it between 2.25 and 8000, in 90 of 100 cases."


def test_the_interval_stands_beside_the_number_where_the_answer_is_shown(desk: Desk) -> None:
    page = desk.get(desk.app.post("a ticket").json()["id"]).text
    assert INTERVAL == 0.9
    assert words(page).count(SAID) == 1
    (entry,) = re.findall(r'<input id="final-hours"[^>]*>', page)
    assert 'aria-describedby="final-hours-range"' in entry
    assert Browser(page).fields["final-hours"] == "4.5"


@pytest.mark.parametrize("kind", ["shadow", "audit", "manual"])
def test_a_review_without_the_answer_shows_no_interval(desk: Desk, kind: str) -> None:
    desk.app.service.audit_share = 1.0
    if kind == "manual":
        desk.app.service.model.answer = Answer(EFFORT, 0.1, intervals=RANGE)  # type: ignore[attr-defined]
    desk.app.set_mode({"shadow": "shadow"}.get(kind, "auto"))
    item = desk.app.post("a ticket").json()["id"]
    desk.app.drained()
    page = desk.get(item)
    assert page.status_code == 200
    assert "final-hours" in page.text
    assert "8000" not in page.text
    assert "range" not in page.text


def recorded(app: App, finals: Sequence[float | None], kind: type[pilot.Prediction] = Effort) -> reading.Columns:
    for hours in finals:
        item = app.post("a ticket").json()["id"]
        judged = {"action": "rejected"} if hours is None else {"final": {"hours": hours}}
        assert app.judge(item, **judged).status_code == 201
    with app.service.engine.connect() as connection:
        return reading.read(connection, contents=Contents(Item, kind, app.service.vault))


def test_the_evaluation_counts_how_many_numbers_lie_in_their_interval(make_app: AppMaker) -> None:
    answer = Answer(EFFORT, 0.6, intervals={"hours": (2.0, 8.0)})
    app = make_app(mode="assist", team=team(answer), data_key=Fernet.generate_key().decode())
    found = recorded(app, [2.0, 8.0, 5.0, 8.1, None])
    assert found.ai["hours"].inside is not None
    assert found.ai["hours"].inside[:4].tolist() == [1, 1, 1, 0]
    assert math.isnan(found.ai["hours"].inside[4]), "nothing was decided that could lie in it"
    made = evaluate(found, Facts(metric="absolute_error:hours", target=2.0), {}, as_of=DUE, window=None).calibration
    assert isinstance(made, Coverage)
    assert (made.level, made.share.value, made.share.n) == (0.9, 0.75, 4)
    assert "75.0% of 4 numbers that people decided lie in the interval of the answer" in str(made)


def test_intervals_of_a_field_that_is_gone_are_left_out(make_app: AppMaker) -> None:
    class Other(pilot.Prediction):
        hours: float
        team: str = "blue"
        due: date | None = None
        parts: list[int] = Field(default_factory=list)

    app = make_app(mode="assist", team=team(Answer(EFFORT, 0.6, intervals=RANGE)))
    recorded(app, [3.0])
    with writing(app.service.engine) as connection:
        connection.execute(update(answers).values(intervals=b'{"days":[1,2]}'))
    found = recorded(app, [], Other)
    assert found.ai["hours"].inside is not None
    assert math.isnan(found.ai["hours"].inside[0])
