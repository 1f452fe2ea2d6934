"""Sends requests at times that were drawn beforehand and wait for no answer: `python -m pilot.operations.arrivals`.

A process of its own, because locust replaces the sockets of the one that it is imported in. It reads a plan as JSON
from standard input (`url`, `key`, `bodies`, `timeout` in seconds, and `due`, the seconds at which each is due), and
writes for each one a line of JSON: when it was due, sent and answered, the status (0: none), whether a time to wait was
named, and its id.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from collections import deque
from functools import cache
from typing import Any

import gevent
from gevent.event import AsyncResult
from locust import FastHttpUser, task
from locust.env import Environment
from locust.exception import StopUser

# So many requests are open at once; those beyond wait, and their time counts.
MOST_OPEN = 800


class Caller(FastHttpUser):
    """Sends whatever is due next. All callers share the arrivals, so that a slow answer holds up nothing else."""

    insecure = False
    ssl_context_factory = staticmethod(cache(ssl.create_default_context))
    key: str
    bodies: list[Any]
    arrivals: deque[tuple[int, float]]
    begin: AsyncResult
    answered = 0

    @task
    def predict(self) -> None:
        """One request, at its time."""
        if not self.arrivals:
            raise StopUser
        number, due = self.arrivals.popleft()
        begin = self.begin.get()
        gevent.sleep(max(0.0, begin + due - time.perf_counter()))
        sent = time.perf_counter() - begin
        with self.client.post(
            "/v1/predictions",
            json=self.bodies[number % len(self.bodies)],
            headers={"Authorization": f"Bearer {self.key}"},
            catch_response=True,
        ) as response:
            ended = time.perf_counter() - begin
            response.success()
            try:
                id = response.json()["id"] if response.status_code in (200, 202) else None
            except (KeyError, TypeError, ValueError):
                id = None
            named = "retry-after" in {name.lower() for name in response.headers or ()}
            print(json.dumps([due, sent, ended, response.status_code or 0, named, id]), flush=True)
            Caller.answered += 1


def main() -> None:
    """Sends what the plan says, and ends once each request was answered or has waited too long."""
    plan = json.load(sys.stdin)
    Caller.network_timeout = Caller.connection_timeout = plan["timeout"]
    Caller.host, Caller.key, Caller.bodies = plan["url"], plan["key"], plan["bodies"]
    Caller.arrivals, Caller.begin = deque(enumerate(plan["due"])), AsyncResult()
    runner = Environment(user_classes=[Caller]).create_local_runner()
    open_at_once = min(len(plan["due"]), MOST_OPEN)
    runner.start(open_at_once, spawn_rate=open_at_once, wait=True)
    Caller.begin.set(time.perf_counter())
    end = time.perf_counter() + plan["due"][-1] + 3 * plan["timeout"]
    while Caller.answered < len(plan["due"]) and time.perf_counter() < end:
        gevent.sleep(0.05)
    runner.quit()


if __name__ == "__main__":
    main()
