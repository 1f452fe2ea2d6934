"""What is in force: mode, rollout, model and keys, read from the database every second, so that every replica obeys."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

import structlog
from sqlalchemy import Connection, Engine

from pilot.records import controls, keys, rollout
from pilot.records.controls import Mode
from pilot.records.keys import Key

log = structlog.get_logger("pilot.live_settings")
INTERVAL = 1.0
# What was last read holds for so many seconds while the database does not answer; then nobody sees an answer.
SAFE_AFTER = 60.0


class LiveSettings:
    """The mode, the model's version and the keys as last read, at most seconds ago while the database answers."""

    def __init__(self, engine: Engine, also: Callable[[Connection], None] = lambda _: None) -> None:
        """`also` is read at the same look."""
        self._engine, self._also = engine, also
        self.mode = Mode.SHADOW
        self.closed = False
        self.stage: rollout.Stage | None = None
        self.model: str | None = None
        self.challenger: rollout.Stage | None = None
        self.keys: dict[str, Key] = {}
        self.reachable = False
        self._read_at = 0.0
        self._known_at = -math.inf
        self._asking = asyncio.Lock()

    @property
    def off(self) -> bool:
        """Whether the model must not be called."""
        return self.closed or self.mode == Mode.OFF

    @property
    def age(self) -> float:
        """How old what is in force here is, in seconds."""
        return time.monotonic() - self._known_at

    @property
    def reach(self) -> rollout.Reach:
        """Who gets the AI's answers here, where the mode shows them to anybody."""
        if self.age > SAFE_AFTER:
            return rollout.Reach()
        return self.stage.reach if self.stage else rollout.Reach(1.0)

    def admit(self, subject: str, *teams: str | None) -> tuple[Mode, int | None]:
        """The mode of an item and the version of the rollout: shadow for whoever is not in its stage."""
        stage, mode = self.stage, self.mode
        reached = self.age <= SAFE_AFTER and (stage is None or stage.includes(subject, *teams))
        return mode if reached or mode == Mode.OFF else Mode.SHADOW, stage.version if stage else None

    def challenges(self, subject: str) -> str | None:
        """The version that answers this subject in place of the model in force; none where that one answers."""
        stage = self.challenger
        return stage.model if stage and self.age <= SAFE_AFTER and stage.includes(subject) else None

    def read(self) -> None:
        """Reads the database now. Raises SQLAlchemyError when it does not answer."""
        begun = time.monotonic()
        with self._engine.connect() as connection:
            mode, closed, found = controls.mode(connection), controls.closed(connection), keys.in_force(connection)
            self.model, stage = controls.model(connection), rollout.read(connection)
            challenger = rollout.challenger(connection)
            self._also(connection)
        if (mode, closed) != (self.mode, self.closed):
            log.info("mode_in_force", mode=mode.value, closed=closed)
        if stage != self.stage and stage:
            log.info("rollout_in_force", version=str(stage.version), share=stage.reach.share)
        if challenger != self.challenger:
            share = challenger.reach.share if challenger else 0.0
            log.info("challenger_in_force", version=challenger and challenger.model, share=share)
        self.challenger = challenger
        self.mode, self.closed, self.stage, self.keys, self.reachable = mode, closed, stage, found, True
        self._read_at = self._known_at = begun

    def known(self, secret: str) -> Key | None:
        """The key with this secret, if it was in force at the last look."""
        return self.keys.get(keys.hash_of(secret))

    async def key(self, secret: str) -> Key | None:
        """The key with this secret. One that is not known waits for a look at the database, of which there are a few
        a second at most, so that a key holds as soon as it is made."""
        hashed = keys.hash_of(secret)
        if hashed not in self.keys:
            asked = time.monotonic()
            async with self._asking:
                if self._read_at < asked:
                    await asyncio.sleep(max(0.0, self._read_at + INTERVAL / 4 - time.monotonic()))
                    await self.refresh()
        return self.keys.get(hashed)

    async def refresh(self) -> None:
        """Looks without blocking the event loop. What was last seen stays while the database does not answer."""
        try:
            await asyncio.to_thread(self.read)
        except Exception as error:
            # Whatever it is, the next look must come: without it no key is revoked and no AI switched off.
            if self.reachable:
                log.warning("database_unavailable", exc_info=error)
            self.reachable = False
            self._read_at = time.monotonic()

    async def follow(self) -> None:
        """Looks again every second, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.refresh()
