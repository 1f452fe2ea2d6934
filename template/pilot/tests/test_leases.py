"""What was acknowledged or paid for is answered in the end: after a fault, a restart, or an hour with the AI off."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from conftest import AppMaker, wait_until
from sqlalchemy import insert, update
from sqlalchemy.exc import OperationalError

from pilot.records.database import now, writing
from pilot.records.tables import answers, items
from pilot.serving import service as serving


def primary(app: Any) -> Any:
    return next(row for row in app.rows(answers) if row.role == "primary")


@pytest.mark.parametrize("mode", ["shadow", "assist"])
def test_a_paid_answer_is_kept_while_the_database_is_away_and_the_call_not_repeated(
    make_app: AppMaker, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(serving, "AGAIN", 0.05)
    app = make_app("remote", mode)
    answer, away = app.service.writer.complete, iter([True] * 3)

    def lost(*given: Any) -> Any:
        if next(away, False):
            raise OperationalError("COMMIT", {}, Exception())
        return answer(*given)

    monkeypatch.setattr(app.service.writer, "complete", lost)
    first = app.post(key="one")
    assert first.status_code == (202 if mode == "shadow" else 503)
    app.drained()
    assert (primary(app).failure, primary(app).cost) == (None, 0.5)
    assert len(app.calls.all()) == 1
    if mode == "assist":
        assert app.post(key="one").json()["prediction"] == {"label": "refund"}
        assert len(app.calls.all()) == 1


def test_with_the_ai_off_a_call_that_was_cut_off_goes_to_people_and_shadow_waits(
    make_app: AppMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app("remote", "assist")
    cut_off = app.post().json()["id"]
    app.set_mode("shadow")
    shadow = app.post().json()["id"]
    app.drained()
    app.set_mode("off")
    ago = now() - timedelta(minutes=1)
    left_behind = {"state": "pending", "lease_owner": "gone", "lease_until": ago}
    with writing(app.service.engine) as connection:
        connection.execute(update(items).values(**left_behind))
        connection.execute(update(items).where(items.c.id == cut_off).values(response=None, status=None))
        connection.execute(answers.delete().where(answers.c.role == "rules"))
        connection.execute(answers.delete().where(answers.c.item_id == shadow))
        connection.execute(update(answers).values(ended_at=None, prediction=None))
    wait_until(lambda: {row.id: row.state for row in app.rows(items)}[cut_off] == "done")
    reply = app.get(f"/v1/predictions/{cut_off}").json()
    assert (reply["status"], reply["reason"]) == ("needs_human", "interrupted")
    assert {row.id: row.state for row in app.rows(items)}[shadow] == "pending"
    asked = len(app.calls.all())
    app.set_mode("shadow")
    app.drained()
    assert len(app.calls.all()) == asked + 1


def test_an_item_that_cannot_be_read_any_more_is_passed_over_and_the_others_are_answered(make_app: AppMaker) -> None:
    app = make_app()
    app.post("first")
    app.drained()
    left = {**app.rows(items)[0]._mapping, "state": "pending", "lease_owner": "gone", "lease_until": now()}
    del left["seq"]
    with writing(app.service.engine) as connection:
        for number, content in (("1", b'{"renamed":"x"}'), ("2", b'{"text":"second"}')):
            connection.execute(insert(items), {**left, "id": f"item-{number}", "content": content})
    wait_until(lambda: [row.state for row in app.rows(items)] == ["done", "pending", "done"])
