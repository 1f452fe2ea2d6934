"""Batching: what arrives while the worker is busy goes together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from conftest import wait_until

from pilot.serving.batching import Batcher, Stuck


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


def test_results_come_back_to_those_who_asked() -> None:
    async def scene() -> None:
        batcher = Batcher("double", lambda batch: [2 * n for n in batch], 8)
        assert await asyncio.gather(*(batcher.submit(n) for n in range(50))) == [2 * n for n in range(50)]
        batcher.close()

    run(scene())


def test_what_comes_together_or_while_busy_is_one_batch_up_to_the_most() -> None:
    batches: list[list[int]] = []
    gate = threading.Event()

    def work(batch: list[int]) -> list[int]:
        batches.append(batch)
        gate.wait(30)
        return batch

    async def scene() -> None:
        batcher = Batcher("work", work, 4)
        first = [asyncio.create_task(batcher.submit(n)) for n in range(3)]
        await asyncio.to_thread(wait_until, lambda: batches)
        later = [asyncio.create_task(batcher.submit(n)) for n in range(3, 10)]
        await asyncio.sleep(0.05)
        gate.set()
        await asyncio.gather(*first, *later)
        batcher.close()

    run(scene())
    assert batches == [[0, 1, 2], [3, 4, 5, 6], [7, 8, 9]]


def test_a_result_that_is_an_error_reaches_its_waiter_alone() -> None:
    async def scene() -> None:
        batcher: Batcher[int, int] = Batcher("odd", lambda batch: [ValueError() if n % 2 else n for n in batch], 8)
        results = await asyncio.gather(*(batcher.submit(n) for n in range(4)), return_exceptions=True)
        assert [type(result) for result in results] == [int, ValueError, int, ValueError]
        batcher.close()

    run(scene())


def test_an_error_of_the_work_reaches_all_and_the_next_batch_runs() -> None:
    fails = iter([True])

    def work(batch: list[int]) -> list[int]:
        if next(fails, False):
            raise ValueError
        return batch

    async def scene() -> None:
        batcher = Batcher("work", work, 8)
        results = await asyncio.gather(*(batcher.submit(n) for n in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [ValueError] * 3
        assert await batcher.submit(1) == 1
        batcher.close()

    run(scene())


def test_after_the_deadline_waiters_time_out_and_others_are_told_that_it_is_stuck() -> None:
    gate = threading.Event()

    def work(batch: list[int]) -> list[int]:
        gate.wait(30)
        return batch

    async def scene() -> None:
        batcher = Batcher("work", work, 1, deadline=0.3)
        results = await asyncio.gather(*(batcher.submit(n) for n in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [TimeoutError, Stuck, Stuck]
        with pytest.raises(Stuck):
            await batcher.submit(9)
        gate.set()

        async def served() -> bool:
            try:
                return await batcher.submit(7) == 7
            except Stuck:
                return False

        while not await served():
            await asyncio.sleep(0.01)
        batcher.close()

    run(scene())


def test_a_waiter_that_gives_up_does_not_disturb_the_others() -> None:
    gate = threading.Event()

    def work(batch: list[int]) -> list[int]:
        gate.wait(30)
        return batch

    async def scene() -> None:
        batcher = Batcher("work", work, 8)
        one, other = (asyncio.create_task(batcher.submit(n)) for n in range(2))
        await asyncio.sleep(0.05)
        one.cancel()
        gate.set()
        assert await other == 1
        batcher.close()

    run(scene())


def test_closing_waits_for_work_that_ends_and_not_for_work_that_hangs() -> None:
    done = []

    async def scene() -> None:
        gate = threading.Event()
        quick = Batcher("quick", lambda batch: [gate.wait(30), done.append(1)] and batch, 8)
        waiting = asyncio.create_task(quick.submit(1))
        await asyncio.sleep(0.05)
        gate.set()
        quick.close()
        assert done == [1]
        await waiting
        hanging = Batcher("hanging", lambda batch: threading.Event().wait() and batch, 8)
        task = asyncio.create_task(hanging.submit(1))
        await asyncio.sleep(0.05)
        hanging.close(patience=0.1)
        task.cancel()

    run(scene())
