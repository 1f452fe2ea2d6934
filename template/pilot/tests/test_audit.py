"""The audit trail: a chain from its first row, in the transaction of each change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, delete, select, update

from pilot.contract import PilotError
from pilot.records import audit
from pilot.records.database import writing
from pilot.records.tables import audit as table
from pilot.records.tables import settings_in_force


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


def test_a_lost_entry_is_named(trail: Engine) -> None:
    with trail.begin() as connection:
        connection.execute(delete(table).where(table.c.seq == 2))
    assert _flaw(trail) == audit.Flaw(2, "is missing, and 3 follows")


def _flaw(engine: Engine, anchors: dict[str, str] | None = None) -> audit.Flaw | None:
    with engine.connect() as connection:
        return audit.verify(connection, anchors)


def test_a_tail_that_was_cut_is_named_by_the_checkpoint(trail: Engine) -> None:
    with trail.begin() as connection:
        connection.execute(delete(table).where(table.c.seq >= 4))
    found = _flaw(trail)
    assert found is not None
    assert found.seq == 4
    assert "the checkpoint counts 5 entries" in found.what


def test_a_tail_cut_with_its_checkpoint_is_named_by_a_head_kept_elsewhere(trail: Engine) -> None:
    with trail.connect() as connection:
        head = audit.head(connection)
    with trail.begin() as connection:
        connection.execute(delete(table).where(table.c.seq >= 4))
        connection.execute(delete(settings_in_force).where(settings_in_force.c.name == audit.CHECKPOINT))
    assert _flaw(trail) is None, "what is left is a whole chain"
    found = _flaw(trail, {head: "0001-gate-1.json"})
    assert found is not None
    assert (found.seq, "0001-gate-1.json" in found.what) == (4, True)
    assert _flaw(trail, {audit.GENESIS: "a gate that passed before anything was recorded"}) is None


def test_two_entries_that_changed_places_are_named(trail: Engine) -> None:
    with trail.begin() as connection:
        for seq, other in ((2, 20), (4, 2), (20, 4)):
            connection.execute(update(table).where(table.c.seq == seq).values(seq=other))
    assert _flaw(trail) == audit.Flaw(2, "stands in another's place: it was entry 4")


def test_a_tail_that_was_rewritten_is_not_the_one_of_the_checkpoint(trail: Engine) -> None:
    with trail.begin() as connection:
        last = dict(connection.execute(select(table).where(table.c.seq == 5)).mappings().one())
        last["actor"] = "nobody"
        connection.execute(update(table).where(table.c.seq == 5).values(actor="nobody", hash=audit.entry_hash(last)))
    assert _flaw(trail) == audit.Flaw(5, "is not the one that the checkpoint names")


def test_entries_of_older_code_behind_the_checkpoint_hold(trail: Engine) -> None:
    with trail.connect() as connection:
        mark = connection.execute(select(settings_in_force).where(settings_in_force.c.name == audit.CHECKPOINT)).one()
    with writing(trail) as connection:
        audit.append(connection, "old", "event", {})
        connection.execute(
            update(settings_in_force).where(settings_in_force.c.name == mark.name).values(value=mark.value)
        )
    assert _flaw(trail) is None


def test_a_trail_in_a_file_is_checked_without_the_database(trail: Engine, tmp_path: Path) -> None:
    with trail.connect() as connection:
        entries = audit.entries(connection, 0, 100)
        _, head = audit.last(connection)
    file = tmp_path / "trail.jsonl"
    file.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in entries))
    read = audit.read_entries(file)
    assert audit.flaw(read, {head: "a log"}) is None
    assert audit.end(read) == (5, head)
    assert audit.flaw(read[:3], {head: "a log"}) is not None
    assert audit.flaw([*read[:2], read[3], read[2], read[4]], {}) is not None
    file.write_text("{}\n")
    with pytest.raises(PilotError, match="line 1 is no entry"):
        audit.read_entries(file)


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
