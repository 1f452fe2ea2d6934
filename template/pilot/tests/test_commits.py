"""Group commit: one transaction for all who wait, and nobody's mistake is another's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from example_team import Prediction
from sqlalchemy import Connection, Engine, event, select, text
from sqlalchemy.exc import SQLAlchemyError

from pilot.contract import PilotError
from pilot.records import audit
from pilot.records.crypto import Vault
from pilot.records.tables import audit as trail
from pilot.records.writer import Writer
from pilot.serving.commits import Committer


def _note(name: str, error: Exception | None = None) -> Any:
    def change(connection: Connection) -> str:
        audit.append(connection, "test", name, {})
        if error:
            raise error
        return name

    return change


def _together(engine: Engine, *changes: Any) -> list[Any]:
    async def scene() -> list[Any]:
        committer = Committer(engine, Writer(Vault(()), Prediction))
        found = await asyncio.gather(*(committer.call(change) for change in changes), return_exceptions=True)
        committer.close()
        return found

    return asyncio.run(scene())


def _events(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        assert audit.first_break(connection) is None
        return list(connection.execute(select(trail.c.event).order_by(trail.c.seq)).scalars())


def test_what_waits_together_is_one_commit(engine: Engine) -> None:
    commits = []
    event.listen(engine, "commit", lambda _: commits.append(1))
    assert _together(engine, *(_note(f"n{n}") for n in range(10))) == [f"n{n}" for n in range(10)]
    assert len(commits) == 1
    assert _events(engine) == [f"n{n}" for n in range(10)]


@pytest.mark.parametrize("error", [PilotError("no"), ValueError("no"), KeyError("no")])
def test_a_change_that_fails_leaves_nothing_and_fails_alone(error: Exception, engine: Engine) -> None:
    assert _together(engine, _note("one"), _note("two", error), _note("three")) == ["one", error, "three"]
    assert _events(engine) == ["one", "three"]


def test_an_error_of_the_database_reaches_all_and_nothing_is_written(engine: Engine) -> None:
    found = _together(engine, _note("one"), lambda connection: connection.execute(text("SELECT * FROM nowhere")))
    assert all(isinstance(one, SQLAlchemyError) for one in found)
    assert _events(engine) == []
