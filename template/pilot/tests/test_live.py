"""What gates look at in the records: live items alone, each with all parts of its record."""

from __future__ import annotations

from datetime import timedelta

import pytest
from conftest import AppMaker
from sqlalchemy import Engine, delete, update

from pilot.contract import PilotError
from pilot.records import audit, controls
from pilot.records.database import now, writing
from pilot.records.queries import GRACE, live
from pilot.records.tables import answers, items

LONG_AGO = GRACE + timedelta(minutes=1)


def test_an_empty_database_has_nothing_live(engine: Engine) -> None:
    with engine.connect() as connection:
        found = live(connection)
    assert (found.items, found.first_item_at, found.first_answer_at, found.asked, found.judged) == (0, None, None, 0, 0)
    assert (found.incomplete_items, found.last_outcome_at, found.head, found.scratch) == (0, None, audit.GENESIS, False)


def test_only_live_items_count(make_app: AppMaker, database: dict[str, str]) -> None:
    app = make_app(**database)
    asked = [app.post(f"live {number}").json()["id"] for number in range(3)]
    app.drained()
    app.judge(asked[0], final={"label": "refund"})
    with app.service.engine.connect() as connection:
        found = live(connection)
    assert (found.items, found.asked, found.judged, found.incomplete_items) == (3, 3, 1, 0)
    assert found.first_item_at is not None
    assert found.first_answer_at is not None
    assert found.first_item_at <= found.first_answer_at <= now()
    assert found.head != audit.GENESIS
    with writing(app.service.engine) as connection:
        connection.execute(update(items).values(origin="backtest"))
    with app.service.engine.connect() as connection:
        assert live(connection).items == 0


@pytest.mark.parametrize("part", ["rules", "primary", "response", "state"])
def test_a_record_that_lacks_a_part_is_seen_once_it_is_no_longer_new(part: str, make_app: AppMaker) -> None:
    app = make_app()
    lacking, whole = (app.post(text).json()["id"] for text in ("one", "two"))
    app.drained()
    with writing(app.service.engine) as connection:
        if part in ("rules", "primary"):
            connection.execute(delete(answers).where(answers.c.item_id == lacking, answers.c.role == part))
        else:
            values = {"response": None} if part == "response" else {"state": "pending"}
            connection.execute(update(items).where(items.c.id == lacking).values(**values))
        assert live(connection).incomplete_items == 0
        connection.execute(update(items).values(received_at=now() - LONG_AGO))
        found = live(connection)
    assert (found.incomplete_items, found.incomplete) == (1, (lacking,))
    assert whole not in found.incomplete


def test_an_item_that_came_while_the_ai_was_off_needs_no_answer_of_it(make_app: AppMaker) -> None:
    app = make_app(mode="off")
    app.post("one")
    with writing(app.service.engine) as connection:
        connection.execute(update(items).values(received_at=now() - LONG_AGO))
        found = live(connection)
    assert (found.items, found.incomplete_items, found.first_answer_at) == (1, 0, None)


def test_a_database_becomes_scratch_only_while_it_holds_nothing_live(make_app: AppMaker, engine: Engine) -> None:
    with writing(engine) as connection:
        controls.mark_scratch(connection, "olga")
        controls.mark_scratch(connection, "olga")
        assert live(connection).scratch
        assert audit.first_break(connection) is None
    app = make_app()
    app.post("one")
    with writing(app.service.engine) as connection, pytest.raises(PilotError, match="holds live items"):
        controls.mark_scratch(connection, "olga")
