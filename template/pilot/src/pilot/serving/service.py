"""From an item to its answer: the one way that requests, files and demonstrations take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Engine, Row
from sqlalchemy.exc import SQLAlchemyError

from pilot.charter import Charter, read_charter, read_objectives
from pilot.contract import PilotError, RemoteModel, Team, is_remote
from pilot.records import controls
from pilot.records.controls import Mode
from pilot.records.crypto import Vault, keyed_hash
from pilot.records.database import open_database, writing
from pilot.records.writer import Record, Writer
from pilot.serving import inference
from pilot.serving.commits import Committer
from pilot.serving.inference import Answering
from pilot.serving.leases import Holding
from pilot.serving.live_settings import InForce
from pilot.serving.metrics import Metrics
from pilot.serving.responses import acknowledge
from pilot.settings import Settings

log = structlog.get_logger("pilot.service")
# The reason that callers get once the pilot has ended.
CLOSED = "closed"
# How often, in seconds, and how many times an answer that cost money is offered to a database that is away.
AGAIN, TRIES = 2.0, 60


class Overloaded(Exception):
    """More requests wait than the service is willing to hold."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered the first time; whether this repeats it, and whether that was for another body."""

    body: bytes | None
    status: str | None
    repeated: bool = False
    differs: bool = False
    id: str = ""


class Service:
    """The model, the rules and the record behind one process. `start` before use, `stop` after."""

    def __init__(self, team: Team, settings: Settings) -> None:
        self.team, self.settings = team, settings
        charter = read_charter(settings.root) or Charter()
        self.name = charter.pilot or "Pilot"
        if charter.regulated and not settings.data_keys:
            raise PilotError(
                "The charter says that this pilot is regulated, so PILOT_DATA_KEY must be set. "
                "`pilot secrets init` makes one; in production mount it as a file."
            )
        self.engine: Engine = open_database(settings)
        self.vault = Vault(settings.data_keys)
        self.model = inference.load_model(team, settings)
        self.in_force = InForce(self.engine)
        self.metrics = Metrics(self.model.version, type(self.model).__name__)
        self.metrics.objectives(read_objectives(settings.root))
        self.writer = Writer(self.vault, team.prediction)
        self.committer = Committer(self.engine, self.writer)
        self._answering = Answering(team, settings, self.model, self.committer, self.metrics, charter.audited)
        self._holding = Holding(team.item, self.vault, self.writer, self.committer, self.in_force, settings.max_waiting)
        self.metrics.behind.set_function(lambda: len(self._holding))
        self._calls = asyncio.Semaphore(settings.max_calls)
        self._following: asyncio.Task[None] | None = None
        self._now = 0
        self.pepper = b""

    async def start(self) -> None:
        """Reads what is in force and begins to follow it. The database must be migrated."""
        self.unlock()
        self.in_force.look()
        self._following = asyncio.create_task(self.in_force.follow())
        self._holding.start(self._answer_behind)

    def unlock(self) -> None:
        """Reads the database's own secret.

        Raises PilotError when the data key that seals it is not set.
        """
        with writing(self.engine) as connection:
            self.pepper = controls.pepper(connection, self.vault)

    async def drain(self) -> None:
        """Waits until everything that was acknowledged is answered."""
        await self._holding.drain()

    async def stop(self, patience: float = 10.0) -> None:
        """Gives the work behind the scenes `patience` seconds; what is left resumes elsewhere."""
        await self._holding.stop(patience)
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        self.committer.close()
        self._answering.close()
        self.engine.dispose()

    def fingerprint(self, content: bytes) -> str:
        """A keyed hash of what was sent."""
        return keyed_hash(self.pepper, content)

    async def decide(self, record: Record) -> Reply:
        """Records an item and answers it in the mode in force. The reply is given when the record is durable.

        Raises Overloaded when too many wait, SQLAlchemyError when the database does not take the record.
        """
        with self._admitted():
            if self.in_force.closed:
                return await self._unasked(record)
            if record.mode == Mode.SHADOW:
                return await self._shadow(record)
            if record.mode != Mode.OFF and is_remote(self.model):
                return await self._remote(self.model, record)
            return await self._at_once(record)

    async def _at_once(self, record: Record) -> Reply:
        asked = record.mode != Mode.OFF
        return self._reply(record, await self._answering.locally("record", record, ask_model=asked))

    async def _unasked(self, record: Record) -> Reply:
        """An item that came while the AI was on and is answered when it is off, or when the pilot has ended."""
        record.mode, record.reason = Mode.OFF, CLOSED if self.in_force.closed else None
        return await self._at_once(record)

    async def _shadow(self, record: Record) -> Reply:
        acknowledge(record)
        if self._holding.room <= 0:
            return self._reply(record, await self.committer.pending(record))
        with self._holding.hold(record) as hand_on:
            found = await self.committer.pending(record)
            if found is None:
                hand_on(self._answer_behind(record))
        return self._reply(record, found)

    async def _remote(self, model: RemoteModel, record: Record) -> Reply:
        with self._holding.hold(record) as hand_on:
            async with self._calls:
                if self.in_force.off:
                    return await self._unasked(record)
                self._answering.begin(record)
                found = await self.committer.pending(record)
                if found is not None:
                    return self._reply(record, found)
                await self._answering.remotely(model, record)
            try:
                await self.committer.answer(record)
            except SQLAlchemyError:
                hand_on(self._insist(record))
                raise
            return self._reply(record, None)

    async def _answer_behind(self, record: Record, interrupted: bool = False) -> None:
        """Answers an item that was acknowledged. Whatever goes wrong here, the sweep comes back to it."""
        try:
            if interrupted:
                self._answering.interrupted(record)
                held = await self._answering.locally("answer", record, ask_model=False)
            elif self.in_force.off:
                return
            elif is_remote(self.model):
                async with self._calls:
                    self._answering.begin(record)
                    if self.in_force.off or not await self.committer.attempt(record):
                        return
                    await self._answering.remotely(self.model, record)
                await self._insist(record)
                return
            else:
                held = await self._answering.locally("answer", record, ask_model=True)
            if held:
                self._count(record)
        except SQLAlchemyError as error:
            log.warning("answer_delayed", item=record.id, request_id=record.request_id, exc_info=error)

    async def _insist(self, record: Record) -> None:
        """Commits an answer that was paid for, again and again while the database is away."""
        for _ in range(TRIES):
            try:
                if await self.committer.answer(record):
                    self._count(record)
                return
            except SQLAlchemyError as error:
                log.warning("answer_delayed", item=record.id, request_id=record.request_id, exc_info=error)
                await asyncio.sleep(AGAIN)

    def _reply(self, record: Record, found: Row[Any] | None) -> Reply:
        if found is None:
            if record.mode != Mode.SHADOW:
                self._count(record)
            return Reply(record.response, record.status, id=record.id)
        body = self.vault.open(found.response) if found.response else None
        return Reply(body, found.status, repeated=True, differs=found.fingerprint != record.fingerprint, id=found.id)

    def _count(self, record: Record) -> None:
        self.metrics.answered(record)
        for made in record.answers:
            if made.role == "primary" and made.answer and made.answer.failure:
                log.warning("item_failed", item=record.id, request_id=record.request_id, reason=made.answer.failure)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._now >= self.settings.max_waiting:
            raise Overloaded
        self._now += 1
        try:
            yield
        finally:
            self._now -= 1
