"""From an item to its answer: the one way that requests, files, shadow and resumed items take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, cast

import structlog
from sqlalchemy import Connection, Engine, QueuePool, Row
from sqlalchemy.exc import SQLAlchemyError

from pilot.charter import Charter, read_charter, read_objectives
from pilot.contract import Model, PilotError, RemoteModel, Team, is_remote, labels
from pilot.models.store import at_version
from pilot.records import controls, privacy
from pilot.records.controls import Mode
from pilot.records.crypto import Vault, keyed_hash
from pilot.records.database import fault, open_database, writing
from pilot.records.writer import AnswerRecord, Attempt, Complete, Insert, Record, Response, Writer
from pilot.serving.commits import Committer
from pilot.serving.inference import Inference, check_thresholds, load_model
from pilot.serving.leases import Leases
from pilot.serving.live_settings import LiveSettings
from pilot.serving.metrics import Metrics
from pilot.serving.rates import Rates
from pilot.serving.responses import respond
from pilot.serving.spending import Spending
from pilot.serving.watch import Watch
from pilot.settings import Settings, changed_secrets, data_keys

log = structlog.get_logger("pilot.service")
T = TypeVar("T")
# The reason that callers get once the pilot has ended.
CLOSED = "closed"
# How often, in seconds, and how many times an answer that cost money is offered to a database that is away.
AGAIN, TRIES = 2.0, 60


# A request that is expected to wait longer for the model, in seconds, is refused at once: its caller would give up.
LONGEST_WAIT = 3.0


class Overloaded(Exception):
    """More requests wait than the service is willing to hold. `seconds` is when to try again."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to an item; none where it is not answered yet.

    `repeated` where an item with its key or source id was recorded before, `differs` where that one had another body.
    """

    body: bytes | None = None
    status: str | None = None
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
        privacy.check_retention(settings.retention_days, bool(charter.regulated))
        check_thresholds(settings, team.prediction)
        self.engine: Engine = open_database(settings)
        self.vault = Vault(settings.data_keys)
        model = load_model(team, settings)
        self.spending = Spending(settings.daily_cost, settings.caller_daily_cost)
        self.live = LiveSettings(self.engine, self.spending.read)
        self.rates = Rates(settings.caller_rate)
        self.metrics = Metrics()
        self.metrics.in_force(model.version, type(model).__name__, labels(model))
        self.metrics.promises(read_objectives(settings.root), charter)
        # The versions that were asked for last and do not load.
        self._refused: set[str] = set()
        self.writer = Writer(self.vault, team.prediction)
        self.committer = Committer(self.engine, self.writer)
        self.audit_share = charter.audited
        self._inference = self._infers(model)
        # The challenger has threads of its own, so that a slow one delays its own items alone.
        self._challenging: Inference | None = None
        self._challenger: str | None = None
        self._leases = Leases(team.item, self.vault, self.writer, self.committer, self.live, settings.max_waiting)
        self.metrics.behind.set_function(lambda: len(self._leases))
        self.metrics.reach.set_function(lambda: self.live.reach.share)
        self.metrics.settings_age.set_function(lambda: self.live.age)
        self.metrics.cost_share.set_function(lambda: self.spending.share)
        self.metrics.breaker_open.set_function(lambda: self._inference.breaker.open)
        self.metrics.connections.set_function(lambda: cast("QueuePool", self.engine.pool).checkedout())
        self._calls = asyncio.Semaphore(settings.max_calls)
        self._following: asyncio.Task[None] | None = None
        self._watch = Watch(self)
        self._now = 0
        self.pepper = b""

    @property
    def model(self) -> Model:
        """The model that answers."""
        return self._inference.model

    async def start(self) -> None:
        """Reads what is in force and begins to follow it. The database must be migrated."""
        self.unlock()
        self.live.read()
        await self.obey_model()
        self._following = asyncio.create_task(self.live.follow())
        self._leases.start(self._resume)

    def watch(self) -> None:
        """Begins to look after itself: figures for Prometheus, the model in force, known items."""
        self._watch.start()

    async def obey_model(self) -> None:
        """Loads the model in force, and its challenger, where others answer. One that does not load leaves the last
        good one there; in place of a challenger that is the model in force."""
        wanted, stage, refused = self.live.model, self.live.challenger, set[str]()
        if wanted is not None and wanted != self.model.version and (model := await self._load(wanted, refused)):
            self._inference.model = model
            self.metrics.in_force(model.version, type(model).__name__, labels(model))
            log.info("model_in_force", version=model.version)
        challenger = stage.model if stage else None
        if challenger != self._challenger:
            self._challenger = None
            if self._challenging:
                self._challenging.model = self.model
            if challenger and (model := await self._load(challenger, refused)):
                self._challenging = self._challenging or self._infers(model)
                self._challenging.model, self._challenger = model, challenger
                log.info("challenger_loaded", version=model.version)
        self._refused = refused
        self.metrics.model_refused.set(bool(refused))

    async def _load(self, version: str, refused: set[str]) -> Model | None:
        def load() -> Model:
            with at_version(self.settings, version) as chosen:
                return self.team.model(chosen)

        try:
            return await asyncio.to_thread(load)
        except PilotError as error:
            refused.add(version)
            if version not in self._refused:
                log.error("model_refused", version=version, reason=str(error))
            return None

    def _infers(self, model: Model) -> Inference:
        return Inference(self.team, self.settings, model, self.committer, self.metrics, self.spending)

    def _asked(self, record: Record) -> Inference:
        """The model in force, or the challenger for its share of the live items."""
        challenger = self.live.challenges(record.subject or record.fingerprint) if record.origin == "live" else None
        ready = challenger is not None and challenger == self._challenger
        return self._challenging if ready and self._challenging else self._inference

    async def renew_secrets(self) -> None:
        """Takes secrets whose files have changed, so that none is rotated by a restart. What cannot be used leaves the
        present ones in force.

        Raises PilotError where a file cannot be used.
        """
        changed = await asyncio.to_thread(changed_secrets, self.settings)
        if "data_key" in changed:
            # Raises where the new keys do not open what is sealed.
            await self.read(partial(controls.pepper, vault=Vault(data_keys(changed["data_key"]))))
        for name, value in changed.items():
            setattr(self.settings, name, value)
            log.info("secret_renewed", name=name)
        if "data_key" in changed:
            self.vault.renew(self.settings.data_keys)

    def unlock(self) -> None:
        """Reads the database's own secret.

        Raises PilotError when the data key that seals it is not set.
        """
        with self.engine.connect() as connection:
            found = controls.kept_pepper(connection, self.vault)
        if found is None:
            with writing(self.engine) as connection:
                found = controls.pepper(connection, self.vault)
        self.pepper = found

    async def read(self, query: Callable[[Connection], T]) -> T:
        """What a query of the database returns, run beside the event loop. Raises SQLAlchemyError."""

        def run() -> T:
            with self.engine.connect() as connection:
                return query(connection)

        return await asyncio.to_thread(run)

    async def drain(self) -> None:
        """Waits until everything that was acknowledged is answered."""
        await self._leases.drain()

    async def stop(self, patience: float = 10.0) -> None:
        """Waits up to `patience` seconds for the background work; another process takes over the rest."""
        await self._watch.stop()
        await self._leases.stop(patience)
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        self.committer.close()
        self._inference.close()
        if self._challenging:
            self._challenging.close()
        self.engine.dispose()

    def fingerprint(self, content: bytes) -> str:
        """A keyed hash of what was sent."""
        return keyed_hash(self.pepper, content)

    async def decide(self, record: Record, *, patient: bool = False) -> Reply:
        """Records an item and answers it in the mode in force. The reply is given when the record is durable. One that
        is `patient` waits for the model however long that takes.

        Raises Overloaded when too many wait, SQLAlchemyError when the database does not take the record.
        """
        with self._admitted(record, patient=patient or record.mode == Mode.SHADOW):
            if self.live.closed:
                record = replace(record, mode=Mode.OFF)
            if record.mode == Mode.SHADOW:
                return await self._acknowledge(record)
            return await self._answer(record)

    async def _acknowledge(self, record: Record) -> Reply:
        """Shadow: the caller hears the same for every item, before the model is asked."""
        change = Insert(record, self._respond(record), pending=True)
        if self._leases.room <= 0:  # the sweep comes back to it
            return self._committed(change, await self.committer.submit(change))
        with self._leases.hold(record):
            found = await self.committer.submit(change)
            if found is None:
                self._leases.spawn(record, self._resume(record))
        return self._committed(change, found)

    async def _resume(self, record: Record, interrupted: bool = False) -> None:
        """Answers an item that is pending in the database. Whatever goes wrong here, the sweep comes back to it."""
        try:
            if interrupted or not self.live.off:
                await self._answer(record, pending=True, interrupted=interrupted)
        except SQLAlchemyError as error:
            _delayed(record, error)

    async def _answer(self, record: Record, *, pending: bool = False, interrupted: bool = False) -> Reply:
        """Infers, responds and commits. An item that is `pending` is completed, any other inserted."""
        inference = self._asked(record)
        model = inference.model
        if record.mode == Mode.OFF or interrupted or not is_remote(model):
            cut_off = (inference.interrupted(record.received_at),) if interrupted else ()

            def change(answers: tuple[AnswerRecord, ...]) -> Insert | Complete:
                answers = (*cut_off, *answers)
                return (Complete if pending else Insert)(record, self._respond(record, answers), answers)

            ask_model = record.mode != Mode.OFF and not interrupted
            made, result = await inference.local(record.item, change, ask_model=ask_model)
            return self._committed(made, result)
        if pending:
            return await self._call(inference, model, record, pending=True)
        with self._leases.hold(record):
            return await self._call(inference, model, record, pending=False)

    async def _call(self, inference: Inference, model: RemoteModel, record: Record, *, pending: bool) -> Reply:
        """The way through a remote model: the attempt is committed before the call, and its answer is never lost."""
        async with self._calls:
            attempt = inference.attempt()
            if self.live.off:
                if pending:  # until the AI is on again
                    return Reply()
                return await self._answer(replace(record, mode=Mode.OFF))
            if pending:
                if not await self.committer.submit(Attempt(record, attempt)):
                    return Reply()
            else:
                insert = Insert(record, answers=(attempt,), pending=True)
                if (found := await self.committer.submit(insert)) is not None:
                    return self._committed(insert, found)
            answers = await inference.remote(model, record, attempt)
        change = Complete(record, self._respond(record, answers), answers)
        if pending:
            return await self._insist(change)
        try:
            return self._committed(change, await self.committer.submit(change))
        except SQLAlchemyError:
            self._leases.spawn(record, self._insist(change))
            raise

    async def _insist(self, change: Complete) -> Reply:
        """Commits an answer that was paid for, again and again while the database is away."""
        for _ in range(TRIES):
            try:
                return self._committed(change, await self.committer.submit(change))
            except SQLAlchemyError as error:
                record = change.record
                _delayed(record, error)
                await asyncio.sleep(AGAIN)
        return Reply()

    def _respond(self, record: Record, answers: tuple[AnswerRecord, ...] = ()) -> Response:
        off = CLOSED if self.live.closed else "off"
        threshold, thresholds = self.settings.threshold, self.settings.thresholds
        return respond(
            record, answers, threshold=threshold, thresholds=thresholds, audit_share=self.audit_share, off=off
        )

    def _committed(self, change: Insert | Complete, result: Row[Any] | bool | None) -> Reply:
        """The reply to a change, by what the committer returned for it. Answers that were written are counted."""
        record = change.record
        if isinstance(result, Row):
            body = self.vault.open(result.response) if result.response else None
            differs = result.fingerprint != record.fingerprint
            return Reply(body, result.status, repeated=True, differs=differs, id=result.id)
        if result is not False and not (isinstance(change, Insert) and change.pending):
            self.metrics.answered(change)
            for made in change.answers:
                if made.role == "primary" and made.answer and made.answer.failure:
                    log.warning("item_failed", item=record.id, request_id=record.request_id, reason=made.answer.failure)
        response = change.response
        return Reply(response.body, response.status, id=record.id) if response else Reply(id=record.id)

    @contextmanager
    def _admitted(self, record: Record, *, patient: bool) -> Iterator[None]:
        wait = self._asked(record).expected_wait(self._now, self.settings.max_calls)
        if self._now >= self.settings.max_waiting or (wait > LONGEST_WAIT and not patient):
            raise Overloaded(wait)
        self._now += 1
        try:
            yield
        finally:
            self._now -= 1


def _delayed(record: Record, error: SQLAlchemyError) -> None:
    reason = fault(error).kind
    log.warning("answer_delayed", item=record.id, request_id=record.request_id, reason=reason, exc_info=error)
