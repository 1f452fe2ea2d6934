"""Live records as columns: the same figures as the status has, and nothing of the contents."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import numpy as np
from conftest import App, AppMaker
from sqlalchemy import update

from pilot.contract import Prediction
from pilot.fields import Draft
from pilot.records import queries
from pilot.records.database import now, writing
from pilot.records.queries import summary
from pilot.records.tables import answers, items
from pilot.workbench import columns
from pilot.workbench.columns import UNKNOWN, Columns


def read(app: App, **options: Any) -> Columns:
    with app.service.engine.connect() as connection:
        return columns.read(connection, **options)


def test_nothing_recorded_is_columns_without_rows(make_app: AppMaker) -> None:
    found = read(make_app())
    assert len(found) == 0
    assert (found.versions, found.groups, found.influenced.tolist()) == ((), (), [])


def test_each_live_item_is_a_row_with_what_became_of_it(make_app: AppMaker, database: dict[str, str]) -> None:
    app = make_app(**database)
    right, wrong, open_ = (
        app.post(text, group=group).json()["id"]
        for text, group in (("where is my money", "bank"), ("hello", "bank"), ("hello again", "shop"))
    )
    app.drained()
    app.judge(right, final={"label": "refund"}, seconds=30)
    app.judge(right, final={"label": "refund"}, seconds=12, version=1)
    app.judge(wrong, final={"label": "refund"})
    found = read(app)
    assert found.judged.tolist() == [True, True, False]
    assert found.agrees.tolist() == [1, 0, UNKNOWN]
    assert found.rules_agree.tolist() == [0, 0, UNKNOWN]
    assert found.touches.tolist() == [2, 1, 0]
    assert found.work_seconds[0] == 42
    assert np.isnan(found.work_seconds[1:]).all()
    assert found.asked.all()
    assert found.probability.tolist() == [1, 1, 1]
    assert found.confidence.tolist() == [0.9, 0.9, 0.9]
    assert (found.groups, found.group.tolist()) == (("bank", "shop"), [0, 0, 1])
    assert (found.versions, found.modes) == (("local-1",), ("shadow",))
    assert (found.ended_at[:2] >= found.arrived_at[:2]).all()
    assert np.isnan(found.ended_at[2])
    assert not found.influenced.any()
    with app.service.engine.connect() as connection:
        live = summary(connection)["origins"]["live"]
    assert live["agreement"] == (found.agrees == 1).sum() / (found.agrees != UNKNOWN).sum()
    assert (open_, live["outcomes"]) == (open_, found.judged.sum())


def test_only_live_items_of_before_the_moment_count_with_the_outcomes_of_before(make_app: AppMaker) -> None:
    app = make_app()
    first, second = (app.post(text).json()["id"] for text in ("where is my money", "hello"))
    app.drained()
    with writing(app.service.engine) as connection:
        connection.execute(update(items).where(items.c.id == first).values(received_at=now() - timedelta(days=2)))
    app.judge(first, final={"label": "refund"})
    yesterday = read(app, until=now() - timedelta(days=1))
    assert (len(yesterday), yesterday.judged.tolist()) == (1, [False])
    with writing(app.service.engine) as connection:
        connection.execute(update(items).where(items.c.id == second).values(origin="test"))
    assert len(read(app)) == 1


def test_an_answer_that_was_used_without_a_person_ends_its_item(make_app: AppMaker) -> None:
    app = make_app(mode="auto")
    for number in range(120):
        app.post(f"where is my money {number}")
    found = read(app)
    audited = found.asked
    assert found.influenced.all()
    assert np.allclose(found.probability, 0.05)
    assert found.audited.tolist() == audited.tolist()
    assert (found.ended_at >= found.arrived_at).all()
    assert (found.touches == 0).all()
    with app.service.engine.connect() as connection:
        (queued, *_) = queries.queue(connection, 1)
    app.judge(queued.id, final={"label": "other"}, seconds=40)
    after = read(app)
    assert (after.ended_at == found.ended_at).all(), "an audit holds nobody up"
    assert (after.judged.sum(), after.touches.sum(), np.nansum(after.work_seconds)) == (1, 1, 40)


def test_an_answer_that_came_after_the_moment_is_none_yet(make_app: AppMaker) -> None:
    app = make_app(mode="auto")
    app.post("where is my money")
    with writing(app.service.engine) as connection:
        connection.execute(update(answers).values(ended_at=now() + timedelta(hours=2)))
    assert np.isnan(read(app, until=now() + timedelta(hours=1)).ended_at).all()
    assert not np.isnan(read(app, until=now() + timedelta(hours=3)).ended_at).any()


def test_a_failure_is_no_answer(make_app: AppMaker) -> None:
    app = make_app("dead")
    judged = app.post("where is my money").json()["id"]
    app.drained()
    app.judge(judged, final={"label": "refund"})
    found = read(app)
    assert (found.failed.tolist(), found.agrees.tolist()) == ([True], [0])
    assert np.isnan(found.confidence).all()


def test_a_draft_is_no_label() -> None:
    class Named(Prediction):
        queue: str

    class Written(Prediction):
        reply: Annotated[str, Draft()]

    assert columns.label(Named(queue="delivery")) == "delivery"
    assert columns.label(Written(reply="Dear M. Lind")) is None
    assert columns.label(None) == columns.FAILED
