"""One writer for the process: everything that waits is committed together, then acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar, overload

from sqlalchemy import Connection, Engine, Row
from sqlalchemy.exc import SQLAlchemyError

from pilot.records.database import writing
from pilot.records.writer import Attempt, Complete, Insert, Writer
from pilot.serving.batching import Batcher

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Call:
    """Any other change. What it raises is its caller's alone, and nothing of it is written then."""

    run: Callable[[Connection], Any]


Change = Insert | Attempt | Complete | Call


class Committer:
    """Group commit: `submit` and `call` return when the change is durable, or raise what the database raised."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer
        self._turn = Lock()
        self._batcher: Batcher[Change, Any] = Batcher("committer", self.commit, most=256)

    @overload
    async def submit(self, change: Insert) -> Row[Any] | None: ...
    @overload
    async def submit(self, change: Attempt | Complete) -> bool: ...
    @overload
    async def submit(self, change: Insert | Complete) -> Row[Any] | bool | None: ...
    async def submit(self, change: Change) -> Any:
        """What the writer's method returns for this change."""
        return await self._batcher.submit(change)

    async def call(self, run: Callable[[Connection], R]) -> R:
        """What `run` returns, as a change of its own among those that are committed together."""
        result: R = await self._batcher.submit(Call(run))
        return result

    def close(self) -> None:
        """Commits what was asked for."""
        self._batcher.close()

    def commit(self, changes: Sequence[Change]) -> list[Any]:
        """Commits a batch at once, for a thread that has it already, and returns the results in its order."""
        results: list[Any] = [None] * len(changes)
        # An item comes before the attempt on it, an attempt before its answer.
        kinds: tuple[tuple[type, Callable[[Connection, list[Any]], Sequence[Any]]], ...] = (
            (Insert, self._writer.insert),
            (Attempt, self._writer.attempt),
            (Complete, self._writer.complete),
            (Call, _run),
        )
        with self._turn, writing(self._engine) as connection:
            for kind, write in kinds:
                places = [n for n, change in enumerate(changes) if isinstance(change, kind)]
                if places:
                    for n, result in zip(places, write(connection, [changes[n] for n in places]), strict=True):
                        results[n] = result
        return results


def _run(connection: Connection, calls: list[Call]) -> list[Any]:
    results: list[Any] = []
    for call in calls:
        try:
            with connection.begin_nested():
                results.append(call.run(connection))
        except SQLAlchemyError:
            raise
        except Exception as error:
            results.append(error)
    return results
