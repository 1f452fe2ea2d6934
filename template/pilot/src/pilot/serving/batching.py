"""Batching without a timer: what arrives while the worker is busy forms the next batch."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

# A batch of so many tells how long each more takes; of fewer, what every batch costs outweighs it.
TELLS = 8
T = TypeVar("T")
R = TypeVar("R")


class Stuck(Exception):
    """The worker did not finish in time and is still busy."""


class Batcher(Generic[T, R]):
    """Runs `work` on batches, one after the other, in a thread of its own.

    `work` gets a list and returns as many results; a result that is an exception is raised to its one waiter, an
    exception that `work` raises to all of the batch. After `deadline` seconds the waiters get TimeoutError, and whoever
    comes before the worker is free again gets Stuck. `settle` turns results of `work` that came in time into those that
    the waiters get; once it has begun, the deadline is over and the waiters wait for it.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[T]], Sequence[Any]],
        most: int,
        deadline: float | None = None,
        settle: Callable[[list[T], Sequence[Any]], Sequence[Any]] | None = None,
    ) -> None:
        self._work = work
        self._settle = settle
        self._most = most
        self._deadline = deadline
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon: work that never ends must not keep the process from ending.
        self._thread = Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._busy = False
        self._stuck = False
        self._took = 0.0
        # Of a batch that is large enough to tell: the seconds that one of it took, and how many are worked on now.
        self._pace, self._running = 0.0, 0

    @property
    def expected_wait(self) -> float:
        """The seconds until whoever comes now has a result, but for those of a batch of its own, by how long the last
        batches took."""
        batches = math.ceil(len(self._waiting) / self._most) + self._busy
        return max(batches * self._took, (len(self._waiting) + self._running) * self._pace)

    async def submit(self, one: T) -> R:
        """The result for `one`, as part of some batch."""
        if self._stuck:
            raise Stuck
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((one, future))
        if not self._busy:
            self._busy = True
            # At the end of this pass of the event loop, so that requests that came together go together.
            loop.call_soon(self._start, loop)
        return await future

    def close(self, patience: float = 10.0) -> None:
        """Waits up to `patience` seconds for the worker to finish what it has."""
        self._orders.put(None)
        self._thread.join(0 if self._stuck else patience)

    def _serve(self) -> None:
        while (order := self._orders.get()) is not None:
            order()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = list(islice(self._waiting, self._most))
        for _ in batch:
            self._waiting.popleft()
        settled, begun, self._running = Lock(), time.monotonic(), len(batch)
        expiry = loop.call_later(self._deadline, self._expire, batch, settled) if self._deadline else None

        def order() -> None:
            results: Sequence[R | Exception]
            ones = [one for one, _ in batch]
            try:
                results = self._work(ones)
                if self._settle and settled.acquire(blocking=False):
                    results = self._settle(ones, results)
            except Exception as error:
                results = [error] * len(batch)
            with suppress(RuntimeError):  # the loop was closed in the meantime
                loop.call_soon_threadsafe(self._finish, loop, batch, results, expiry, begun)

        self._orders.put(order)

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[T, asyncio.Future[R]]],
        results: Sequence[R | Exception],
        expiry: asyncio.TimerHandle | None,
        begun: float,
    ) -> None:
        if expiry:
            expiry.cancel()
        took = time.monotonic() - begun
        self._took = (self._took + took) / 2
        if len(batch) >= TELLS:
            self._pace = took / len(batch)
        self._running = 0
        self._stuck = False
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
        if self._waiting:
            self._start(loop)
        else:
            self._busy = False

    def _expire(self, batch: list[tuple[T, asyncio.Future[R]]], settled: Lock) -> None:
        if not settled.acquire(blocking=False):
            return
        self._stuck = True
        for _, future in batch:
            if not future.done():
                future.set_exception(TimeoutError())
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(Stuck())
        self._waiting.clear()
