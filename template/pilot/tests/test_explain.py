"""One answer, rebuilt from the records and given again by the model of then."""

from __future__ import annotations

import pytest
from conftest import App, AppMaker
from sqlalchemy import update

from pilot.contract import PilotError
from pilot.operations import explain as explaining
from pilot.operations.explain import Explanation, explain
from pilot.records import privacy
from pilot.records.database import writing
from pilot.records.tables import answers


def _explained(app: App, item: str) -> Explanation:
    with app.service.engine.connect() as connection:
        return explain(app.service.team, app.settings, connection, app.service.vault, item)


def test_an_answer_is_told_from_input_to_outcome(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app("right", "assist")
    reply = app.post("where is my money")
    item = reply.json()["id"]
    app.judge(item, final={"label": "other"}, flag="wrong")
    monkeypatch.setattr(explaining, "store_of", lambda *_: object())
    monkeypatch.setattr(explaining, "replayed", lambda team, settings, version, rows: app.service.model.predict(rows))
    found = _explained(app, item)
    text = "\n".join(found.lines)
    assert found.same is True
    assert found.lines[0].startswith('answer     {"label":"refund"}')
    assert found.lines[1].startswith('decided    {"label":"other"} by rita, not as the answer')
    for word in (
        reply.headers["x-request-id"],
        "by shop",
        "mode assist",
        "local-1",
        "where is my money",
        "flagged wrong",
    ):
        assert word in text
    assert [line.split("  ")[-1] for line in found.lines if line.startswith("audit")] == [
        "items.recorded by service",
        "outcome.recorded by rita",
    ]


def test_a_model_that_answers_otherwise_today_is_told(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app("right", "assist")
    item = app.post("where is my money").json()["id"]
    with writing(app.service.engine) as connection:
        connection.execute(update(answers).where(answers.c.role == "primary").values(confidence=0.123))
    monkeypatch.setattr(explaining, "store_of", lambda *_: object())
    monkeypatch.setattr(explaining, "replayed", lambda team, settings, version, rows: app.service.model.predict(rows))
    found = _explained(app, item)
    assert found.same is False
    assert "ANOTHER answer" in found.lines[2]


def test_what_cannot_be_given_again_is_said(make_app: AppMaker) -> None:
    app = make_app("right", "assist")
    item = app.post("where is my money", subject="anna").json()["id"]
    found = _explained(app, item)
    assert (found.same, "not in the model store" in found.lines[2]) == (None, True)
    privacy.erase(app.service.engine, app.service.vault, "anna", "olga")
    found = _explained(app, item)
    assert found.lines[3].startswith("input      erased at ")
    assert found.same is None
    with pytest.raises(PilotError, match="There is no item"):
        _explained(app, "nothing")


@pytest.mark.parametrize(("behaviour", "mode"), [("right", "off"), ("failing", "assist"), ("remote", "assist")])
def test_items_without_an_answer_to_give_again_are_told(behaviour: str, mode: str, make_app: AppMaker) -> None:
    app = make_app(behaviour, mode)
    found = _explained(app, app.post("money").json()["id"])
    assert found.same is None
    assert found.lines[0].startswith("answer     ")
