"""Items that this process holds: acknowledged or begun, and not answered yet.

Each is leased to one process in the database. A process renews its leases. What a process that is gone left behind is
taken over, and so is what this one could not answer while the database was away.
"""

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
from pilot.serving.live_settings import LiveSettings

log = structlog.get_logger("pilot.leases")
SWEEP = 1.0
RENEW = 8.0
CHUNK = 256
Resume = Callable[[Record, bool], Coroutine[Any, Any, None]]


class Leases:
    """The items that are held, and the background work on them."""

    def __init__(
        self, item: type[Item], vault: Vault, writer: Writer, committer: Committer, live: LiveSettings, most: int
    ) -> None:
        self._item, self._vault, self._most = item, vault, most
        self._writer, self._committer, self._live = writer, committer, live
        self._held: set[str] = set()
        self._behind: dict[asyncio.Task[Any], str] = {}
        self._unreadable: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        return len(self._held) + len(self._behind)

    @property
    def room(self) -> int:
        """How many more this process is willing to hold. What it does not hold, the sweep comes back to."""
        return self._most - len(self)

    def start(self, resume: Resume) -> None:
        """Begins to renew leases and to take over what is left, with `resume(record, interrupted)`."""
        self._tasks = [asyncio.create_task(self._sweep(resume)), asyncio.create_task(self._renew())]

    @contextmanager
    def hold(self, record: Record) -> Iterator[None]:
        """Keeps the sweep off an item that a request waits for."""
        self._held.add(record.id)
        try:
            yield
        finally:
            self._held.discard(record.id)

    def spawn(self, record: Record, work: Coroutine[Any, Any, Any]) -> None:
        """Works on an item in the background, and holds it until that is done."""
        task = asyncio.create_task(work)
        self._behind[task] = record.id

        def done(task: asyncio.Task[Any]) -> None:
            del self._behind[task]
            if not task.cancelled() and (error := task.exception()):
                log.error("answer_failed", item=record.id, request_id=record.request_id, exc_info=error)

        task.add_done_callback(done)

    async def drain(self) -> None:
        """Waits until all background work is done."""
        while self._behind:
            await asyncio.wait(set(self._behind))

    async def stop(self, patience: float) -> None:
        """Waits up to `patience` seconds for the work; another process takes over the rest."""
        if self._behind:
            await asyncio.wait(set(self._behind), timeout=patience)
        ended = (*self._tasks, *self._behind)
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        with suppress(SQLAlchemyError):
            await self._committer.call(self._writer.release)

    async def _sweep(self, resume: Resume) -> None:
        while True:
            if self.room > 0 and self._live.reachable:
                with _logged("sweep_failed"):
                    claim = partial(self._claim, most=min(self.room, CHUNK), shadow=not self._live.off)
                    for row, interrupted in await self._committer.call(claim):
                        self._take_over(row, interrupted, resume)
            await asyncio.sleep(SWEEP)

    def _claim(self, connection: Connection, *, most: int, shadow: bool) -> list[tuple[Row[Any], bool]]:
        rows = self._writer.claim(
            connection, most, (*self._held, *self._behind.values(), *self._unreadable), shadow=shadow
        )
        begun = self._writer.attempted(connection, [row.id for row in rows]) if rows else set()
        return [(row, row.id in begun) for row in rows]

    def _take_over(self, row: Row[Any], interrupted: bool, resume: Resume) -> None:
        try:
            content = self._vault.open(row.content)
            item = self._item.model_validate_json(content)
        except (PilotError, ValueError) as error:  # its key is gone, or the team's schema has changed
            self._unreadable.add(row.id)
            log.error("item_unreadable", item=row.id, request_id=row.request_id, exc_info=error)
            return
        record = Record(
            caller=row.caller,
            origin=row.origin,
            mode=row.mode,
            item=item,
            content=content,
            fingerprint=row.fingerprint,
            request_id=row.request_id,
            arrived_at=row.arrived_at,
            received_at=row.received_at,
            id=row.id,
        )
        self.spawn(record, resume(record, interrupted))

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
