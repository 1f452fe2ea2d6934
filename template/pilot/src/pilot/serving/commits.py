"""One writer for the process: everything that waits is committed together, then acknowledged."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Row
from sqlalchemy.exc import SQLAlchemyError

from pilot.records.database import writing
from pilot.records.writer import Record, Writer
from pilot.serving.batching import Batcher

R = TypeVar("R")
# What a batch does first: an item before the attempt on it, an attempt before its answer.
_ORDER = ("record", "pending", "attempt", "answer", "call")
Order = tuple[str, Any]


class Committer:
    """Group commit: each method returns when its change is durable, or raises what the database raised."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer
        self._turn = Lock()
        self._batcher: Batcher[Order, Any] = Batcher("committer", self.commit, most=256)

    async def record(self, record: Record) -> Row[Any] | None:
        """Records an item with its answers, or gives the row that holds its idempotency key or source id."""
        found: Row[Any] | None = await self._batcher.submit(("record", record))
        return found

    async def pending(self, record: Record) -> Row[Any] | None:
        """Records an item that is leased to this process until `answer`; otherwise as `record`."""
        found: Row[Any] | None = await self._batcher.submit(("pending", record))
        return found

    async def attempt(self, record: Record) -> bool:
        """Notes that the record's answers are begun; false when another process took the item over."""
        free: bool = await self._batcher.submit(("attempt", record))
        return free

    async def answer(self, record: Record) -> bool:
        """Completes a pending item; false when another process took it over."""
        held: bool = await self._batcher.submit(("answer", record))
        return held

    async def call(self, change: Callable[[Connection], R]) -> R:
        """Runs any other change. What it raises is its caller's alone, and nothing of it is written then."""
        result: R = await self._batcher.submit(("call", change))
        return result

    def close(self) -> None:
        """Commits what was asked for."""
        self._batcher.close()

    def commit(self, orders: list[Order]) -> list[Any]:
        """Commits (method, argument) pairs at once, for a thread that has its batch already. Waits for its turn."""
        results: list[Any] = [None] * len(orders)
        numbered = sorted(range(len(orders)), key=lambda n: _ORDER.index(orders[n][0]))
        with self._turn, writing(self._engine) as connection:
            for kind, group in groupby(numbered, key=lambda n: orders[n][0]):
                places = list(group)
                for place, result in zip(
                    places, self._run(connection, kind, [orders[n][1] for n in places]), strict=True
                ):
                    results[place] = result
        return results

    def _run(self, connection: Connection, kind: str, batch: list[Any]) -> list[Any]:
        match kind:
            case "record":
                return self._writer.record(connection, batch, pending=False)
            case "pending":
                return self._writer.record(connection, batch, pending=True)
            case "attempt":
                return list(self._writer.attempt(connection, batch))
            case "answer":
                return list(self._writer.answer(connection, batch))
        return [_own_error(change, connection) for change in batch]


def _own_error(change: Callable[[Connection], Any], connection: Connection) -> Any:
    try:
        with connection.begin_nested():
            return change(connection)
    except SQLAlchemyError:
        raise
    except Exception as error:
        return error
