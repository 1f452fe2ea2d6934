"""What the service looks at by itself: figures of the database and the disk, the model in force, and known items."""

from __future__ import annotations

import asyncio
import itertools
import math
import shutil
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from pilot.contract import Item, PilotError, Prediction, is_remote, labels, only_field
from pilot.models.examples import read_examples
from pilot.models.store import stores
from pilot.records import audit, canary, controls, feedback, keys, queries, rollout
from pilot.records.canary import Canary
from pilot.records.database import now
from pilot.records.queries import Spent
from pilot.records.rollout import Stage, Stale
from pilot.records.writer import Record
from pilot.serving.live_settings import INTERVAL
from pilot.serving.spending import midnight

if TYPE_CHECKING:
    from pilot.serving.service import Service

log = structlog.get_logger("pilot.watch")
# How often, in seconds, the figures of database and disk are taken.
FIGURES = 15.0
# How often the head of the audit trail goes to the log, from which a tail that was cut is seen.
ANCHORED = 3600.0
# How often the files of secrets are looked at.
RENEWED = 5.0
# How often a stage of the rollout is compared with the rest.
CANARY = 30.0
KNOWN_FILE = "data/known.csv"


@dataclass(frozen=True)
class _Seen:
    """How many items wait for a person and since when, the entries of the audit trail, when a key ends first, the last
    look for drift, since when flags of each kind wait, and whether production misses the target."""

    waiting: int
    since: datetime | None
    entries: int
    expires: datetime | None
    drift: tuple[datetime, list[tuple[str, str, float]]] | None
    feedback: dict[str, datetime | None]
    target_missed: bool


class Watch:
    """The looks of one service, each at its interval, for as long as it runs."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tasks: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()
        evidence = service.settings.root / "phases" / "evidence"
        service.metrics.burn_in.set(not list(evidence.glob("*-gate-3.json")))
        service.metrics.last_drill.set(last_drill(evidence))

    def start(self) -> None:
        """Begins to look."""
        interval, known = self._service.settings.known_interval, self._read_known()
        looks: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (FIGURES, self.figures),
            (INTERVAL, self._service.obey_model),
            (ANCHORED, self.anchor),
            (RENEWED, self._service.renew_secrets),
            (CANARY, self.canary),
        ]
        if known:
            turns = itertools.cycle(known)
            looks.append((interval, lambda: self.ask(*next(turns))))
        self._tasks = [asyncio.create_task(self._every(seconds, look)) for seconds, look in looks]

    async def stop(self) -> None:
        """Looks no more. A cancellation alone may get lost in a look that ends at that very moment."""
        self._ended.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _every(self, seconds: float, look: Callable[[], Awaitable[None]]) -> None:
        """Looks at once and then at an interval. A look that fails is logged, and the next one comes."""
        while not self._ended.is_set():
            try:
                await look()
            except Exception as error:
                log.warning("look_failed", reason=getattr(look, "__name__", "known_items"), exc_info=error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), seconds)

    async def figures(self) -> None:
        """Takes the figures of the database and the disk. What the database does not tell stays as it was."""
        service, metrics = self._service, self._service.metrics
        writes_to = service.settings.database_file or service.settings.models
        place = next(folder for folder in (writes_to, *writes_to.parents) if folder.exists())
        usage = shutil.disk_usage(place)
        metrics.disk_free.set(usage.free / usage.total)
        held = {version for store in stores(service.settings) for version in store.versions()}
        metrics.model_versions.set(len(held))
        named = getattr(service.model, "provider_model", None)
        try:
            await asyncio.wait_for(service.committer.call(controls.probe), 5)
            seen = await service.read(_seen)
            if named and await service.committer.call(partial(controls.see_provider_model, name=named)):
                metrics.model_changes.inc()
                log.warning("provider_model_changed", version=named)
        except (SQLAlchemyError, TimeoutError):
            metrics.database_up.set(0)
            return
        metrics.database_up.set(1)
        metrics.waiting.set(seen.waiting)
        metrics.oldest.set((now() - seen.since).total_seconds() if seen.since else 0)
        metrics.audit_entries.set(seen.entries)
        metrics.key_expires.set(seen.expires.timestamp() if seen.expires else math.inf)
        metrics.target_missed.set(seen.target_missed)
        for flag, at in seen.feedback.items():
            metrics.feedback.labels(flag).set((now() - at).total_seconds() if at else 0)
        if seen.drift:
            looked, sizes = seen.drift
            metrics.drift_looked.set(looked.timestamp())
            metrics.drift.clear()
            for field, what, size in sizes:
                metrics.drift.labels(field, what).set(size)

    async def canary(self) -> None:
        """Compares the users in the stage of the rollout with the rest, and those whom a challenger answers, and steps
        back where they fare worse."""
        service = self._service
        stages = [one for one in (service.live.stage, service.live.challenger) if one and one.reach.compared]
        found = [await asyncio.to_thread(self._compared, stage) for stage in stages]
        service.metrics.canary.set(max((one.evidence for one in found), default=1))
        for stage, one in zip(stages, found, strict=True):
            if one.harmful:
                await self._step_back(stage, one)

    def _compared(self, stage: Stage) -> Canary:
        with self._service.engine.connect() as connection:
            return canary.look(connection, stage)

    async def _step_back(self, stage: Stage, found: Canary) -> None:
        service, why = self._service, {"failed": asdict(found.failed), "disagreed": asdict(found.disagreed)}
        with suppress(Stale):  # another process or a person was first
            back = partial(rollout.step_back, seen=stage.version, by=rollout.BY_ITSELF, why=why, name=stage.name)
            left = await service.committer.call(back)
            service.metrics.stepped_back.inc()
            log.error(f"{stage.name}_stepped_back", version=left.model or str(left.version), share=left.reach.share)
            await service.live.refresh()

    async def anchor(self) -> None:
        """Tells the log how many entries the audit trail has, and the hash of the last one."""
        count, head = await self._service.read(audit.last)
        log.info("audit_head", count=count, head=head)

    async def ask(self, item: Item, known: Prediction) -> None:
        """Sends an item whose answer is known the way of all others. Its origin is `test`: it counts for nothing."""
        service = self._service
        why = "off" if service.live.off else None if await self._affordable() else "unaffordable"
        if why:
            service.metrics.child(service.metrics.known, why).inc()
            return
        content, moment = item.model_dump_json().encode(), now()
        record = Record(
            caller=queries.KNOWN_ITEMS,
            origin="test",
            mode=service.live.mode,
            item=item,
            content=content,
            fingerprint=service.fingerprint(content),
            request_id=uuid.uuid4().hex,
            arrived_at=moment,
            received_at=moment,
            final=known,
        )
        await service.decide(record, patient=True)

    async def _affordable(self) -> bool:
        """Whether today's known items cost less than they may. Where one had no price, today's cost is not known."""
        if not is_remote(self._service.model):
            return True
        spent = await self._service.read(partial(queries.spent, since=midnight()))
        today = spent.get(queries.KNOWN_ITEMS, Spent())
        return not today.unpriced and today.cost < self._service.settings.known_daily_cost

    def _read_known(self) -> list[tuple[Item, Prediction]]:
        """The rows of the file that fit the schema and the labels of the model. Others are named in the log."""
        service = self._service
        file = service.settings.root / KNOWN_FILE
        if not service.settings.known_interval or not file.is_file():
            return []
        try:
            rows, refused = read_examples(service.team, file, None, None)
            rows, foreign = _answerable(rows, labels(service.model), service.team.prediction)
        except PilotError as error:
            rows, refused, foreign = [], [str(error)], 0
        if refused or foreign:
            log.warning("known_items_left_out", count=len(refused) + foreign, reason=next(iter(refused), "label"))
        service.metrics.known_rows.set(len(rows))
        return rows


def _seen(connection: Connection) -> _Seen:
    oldest = queries.queue(connection, 1)
    since = oldest[0].received_at if oldest else None
    entries, expires = audit.last(connection)[0], keys.first_expiry(connection)
    drift, flags = controls.drift(connection), feedback.oldest(connection)
    missed = controls.target_missed(connection)
    return _Seen(queries.queue_length(connection), since, entries, expires, drift, flags, missed)


def last_drill(evidence: Path) -> float:
    """The day of the last drill in a folder of evidence, in seconds since 1970; 0 where there is none."""
    days = (orjson.loads(file.read_bytes())["date"] for file in evidence.glob("*-drill-*.json"))
    return max((datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() for day in days), default=0.0)


def _answerable(
    rows: list[tuple[Item, Prediction]], known: tuple[str, ...], kind: type[Prediction]
) -> tuple[list[tuple[Item, Prediction]], int]:
    """The rows whose label the model knows, and how many others there are."""
    if not known:
        return rows, 0
    name = only_field(kind)
    kept = [(item, final) for item, final in rows if str(getattr(final, name)) in known]
    return kept, len(rows) - len(kept)
