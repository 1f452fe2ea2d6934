"""Items that this process holds: acknowledged or begun, and not answered yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection, Row
from sqlalchemy.exc import SQLAlchemyError

from pilot.contract import Item, PilotError
from pilot.records.crypto import Vault
from pilot.records.writer import Record, Writer
from pilot.serving.commits import Committer
from pilot.serving.live_settings import InForce

log = structlog.get_logger("pilot.leases")
SWEEP = 1.0
RENEW = 8.0
CHUNK = 256
Answer = Callable[[Record, bool], Coroutine[Any, Any, None]]


class Holding:
    """The held items and the work on them behind the scenes; `answer(record, interrupted)` is that work."""

    def __init__(
        self, item: type[Item], vault: Vault, writer: Writer, committer: Committer, in_force: InForce, most: int
    ) -> None:
        self._item, self._vault, self._most = item, vault, most
        self._writer, self._committer, self._in_force = writer, committer, in_force
        self._held: set[str] = set()
        self._unreadable: set[str] = set()
        self._behind: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        return len(self._held)

    @property
    def room(self) -> int:
        """How many more this process is willing to hold. What it does not hold, the sweep comes back to."""
        return self._most - len(self._held)

    def start(self, answer: Answer) -> None:
        """Begins to renew leases and to take over what is left."""
        self._tasks = [asyncio.create_task(self._sweep(answer)), asyncio.create_task(self._renew())]

    @contextmanager
    def hold(self, record: Record) -> Iterator[Callable[[Coroutine[Any, Any, None]], None]]:
        """Keeps the sweep off a record in this block; the function that it gives hands it on to work behind the scenes,
        which holds it to its end."""
        handed = False

        def hand_on(work: Coroutine[Any, Any, None]) -> None:
            nonlocal handed
            handed = True
            self._spawn(record, work)

        self._held.add(record.id)
        try:
            yield hand_on
        finally:
            if not handed:
                self._held.discard(record.id)

    async def drain(self) -> None:
        """Waits until all work behind the scenes is done."""
        while self._behind:
            await asyncio.wait(set(self._behind))

    async def stop(self, patience: float) -> None:
        """Gives the work `patience` seconds, then leaves the rest to whoever comes next."""
        if self._behind:
            await asyncio.wait(set(self._behind), timeout=patience)
        ended = (*self._tasks, *self._behind)
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        with suppress(SQLAlchemyError):
            await self._committer.call(self._writer.release)

    def _spawn(self, record: Record, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._behind.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._behind.discard(task)
            self._held.discard(record.id)
            if not task.cancelled() and (error := task.exception()):
                log.error("answer_failed", item=record.id, request_id=record.request_id, exc_info=error)

        task.add_done_callback(done)

    async def _sweep(self, answer: Answer) -> None:
        while True:
            if self.room > 0 and self._in_force.reachable:
                with _logged("sweep_failed"):
                    claim = partial(self._claim, most=min(self.room, CHUNK), shadow=not self._in_force.off)
                    for row, interrupted in await self._committer.call(claim):
                        self._resume(row, interrupted, answer)
            await asyncio.sleep(SWEEP)

    def _claim(self, connection: Connection, *, most: int, shadow: bool) -> list[tuple[Row[Any], bool]]:
        rows = self._writer.claim(connection, most, (*self._held, *self._unreadable), shadow=shadow)
        begun = self._writer.attempted(connection, [row.id for row in rows]) if rows else set()
        return [(row, row.id in begun) for row in rows]

    def _resume(self, row: Row[Any], interrupted: bool, answer: Answer) -> None:
        try:
            record = self._resumed(row)
        except (PilotError, ValueError) as error:  # its key is gone, or the team's schema has changed
            self._unreadable.add(row.id)
            log.error("item_unreadable", item=row.id, request_id=row.request_id, exc_info=error)
            return
        with self.hold(record) as hand_on:
            hand_on(answer(record, interrupted))

    def _resumed(self, row: Row[Any]) -> Record:
        content = self._vault.open(row.content)
        return Record(
            caller=row.caller,
            origin=row.origin,
            mode=row.mode,
            item=self._item.model_validate_json(content),
            content=content,
            fingerprint=row.fingerprint,
            request_id=row.request_id,
            arrived_at=row.arrived_at,
            received_at=row.received_at,
            id=row.id,
            review=row.review,
            status=row.status,
            reason=row.reason,
            response=self._vault.open(row.response) if row.response else None,
        )

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW)
            with _logged("renewal_failed"):
                await self._committer.call(self._writer.renew)


@contextmanager
def _logged(event: str) -> Iterator[None]:
    """For work that goes on for ever: an error of one round is logged, the next round comes."""
    try:
        yield
    except Exception as error:
        log.warning(event, exc_info=error)
