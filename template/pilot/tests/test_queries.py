"""Reading: the queue of reviews, counts and sums."""

from __future__ import annotations

import pytest
from conftest import App, AppMaker
from sqlalchemy import Engine

from pilot.records import queries
from pilot.records.crypto import Vault
from pilot.records.tables import items


@pytest.fixture
def app(make_app: AppMaker, database: dict[str, str]) -> App:
    return make_app("right", "assist", **database)


def test_the_queue_holds_what_waits_for_a_person_oldest_first(app: App) -> None:
    ids = [app.post(f"money {n}").json()["id"] for n in range(3)]
    seqs = [row.seq for row in app.rows(items)]
    with app.service.engine.connect() as connection:
        assert [row.id for row in queries.queue(connection, 2)] == ids[:2]
        assert queries.queue_length(connection) == 3
        after = [queries.next_in_queue(connection, seq) for seq in seqs]
        assert [row and row.id for row in after] == [ids[1], ids[2], ids[0]]
    app.judge(ids[0], final={"label": "refund"})
    with app.service.engine.connect() as connection:
        assert [row.id for row in queries.queue(connection, 9)] == ids[1:]


def test_an_answer_used_in_auto_waits_for_nobody(app: App) -> None:
    app.set_mode("auto")
    for _ in range(3):
        app.post("money")
    with app.service.engine.connect() as connection:
        queued = queries.queue_length(connection)
    assert queued == len([row for row in app.rows(items) if row.review == "audit"])


def test_counts_and_sums_take_the_first_outcome_of_each_item(app: App) -> None:
    ids = [app.post("money").json()["id"] for _ in range(4)]
    app.judge(ids[0], final={"label": "refund"})
    app.judge(ids[1], final={"label": "other"})
    app.judge(ids[1], final={"label": "refund"}, version=1)
    app.judge(ids[2], final={"label": "by-rule"})
    with app.service.engine.connect() as connection:
        found = queries.judged(connection)
        assert (found.items, found.outcomes, found.compared, found.agreeing) == (4, 3, 3, 1), (
            "V10: a revised one may follow the AI"
        )
        assert (found.rules_compared, found.rules_agreeing) == (3, 1)
        assert queries.judged(connection, "demo").items == 0
        counts = queries.counts(connection)
        assert (counts["items"], counts["pending"], counts["waiting_for_review"], counts["quarantined"]) == (4, 0, 1, 0)
        assert counts["by_origin"] == {"live": 4}
        assert counts["by_mode"] == {"assist": 4}
        assert counts["by_status"] == {"answered": 4}
        assert counts["by_model_version"] == {"local-1": 4}
        assert len(queries.answer_seconds(connection)) == 4
        assert all(0 <= seconds < 60 for seconds in queries.answer_seconds(connection))


def test_answers_and_outcomes_are_opened(app: App) -> None:
    identity = app.post("money").json()["id"]
    app.judge(identity, final={"label": "refund"}, comment="é🙂")
    with app.service.engine.connect() as connection:
        made = {one["role"]: one["prediction"] for one in queries.answers_of(connection, app.service.vault, identity)}
        assert made == {"primary": {"label": "refund"}, "rules": {"label": "by-rule"}}
        decided = queries.outcomes_of(connection, app.service.vault, identity)
        assert [(one["final"], one["comment"]) for one in decided] == [({"label": "refund"}, "é🙂")]


def test_an_empty_database_has_nothing_to_show(engine: Engine) -> None:
    with engine.connect() as connection:
        assert queries.queue(connection, 9) == []
        assert queries.next_in_queue(connection, 0) is None
        assert queries.page(connection, Vault(()), caller=None, origin=None, before=None, limit=5) == queries.Page(
            [], None
        )
        assert queries.judged(connection) == queries.Judged(0, 0, 0, 0, 0, 0)
