"""The audit trail: a chain from its first row, in the transaction of each change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select, update

from pilot.records import audit
from pilot.records.database import writing
from pilot.records.tables import audit as table


@pytest.fixture
def trail(engine: Engine) -> Engine:
    for number in range(5):
        with writing(engine) as connection:
            audit.append(connection, "rita", "event", {"number": number, "text": "é🙂"})
    return engine


def _break(engine: Engine) -> int | None:
    with engine.connect() as connection:
        return audit.first_break(connection)


def test_an_untouched_chain_holds(trail: Engine) -> None:
    assert _break(trail) is None
    with trail.connect() as connection:
        rows = connection.execute(select(table).order_by(table.c.seq)).all()
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0].previous == audit.GENESIS


def test_an_empty_chain_holds(engine: Engine) -> None:
    assert _break(engine) is None


@pytest.mark.parametrize("column", ["actor", "event", "detail", "hash", "previous"])
def test_a_changed_entry_breaks_the_chain_there(column: str, trail: Engine) -> None:
    with trail.begin() as connection:
        connection.execute(update(table).where(table.c.seq == 3).values({column: "x"}))
    assert _break(trail) == 3


def test_a_moved_moment_breaks_the_chain(trail: Engine) -> None:
    from datetime import timedelta

    with trail.begin() as connection:
        at = connection.execute(select(table.c.at).where(table.c.seq == 2)).scalar_one()
        connection.execute(update(table).where(table.c.seq == 2).values(at=at + timedelta(microseconds=1)))
    assert _break(trail) == 2


def test_a_lost_entry_breaks_the_chain_behind_it(trail: Engine) -> None:
    with trail.begin() as connection:
        connection.execute(delete(table).where(table.c.seq == 2))
    assert _break(trail) == 3


def test_a_forged_entry_breaks_its_successor(trail: Engine) -> None:
    with trail.begin() as connection:
        row: dict[str, Any] = dict(connection.execute(select(table).where(table.c.seq == 2)).mappings().one())
        row["detail"] = "{}"
        row["hash"] = audit.entry_hash(row)
        connection.execute(update(table).where(table.c.seq == 2).values(row))
    assert _break(trail) == 3


def test_writers_at_once_make_one_chain(engine: Engine) -> None:
    def write(number: int) -> None:
        with writing(engine) as connection:
            audit.append(connection, f"writer {number}", "event", {})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert _break(engine) is None
    with engine.connect() as connection:
        assert len(connection.execute(select(table.c.seq)).all()) == 40
