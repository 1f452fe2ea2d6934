"""Clients that keep what was acknowledged to them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx

from pilot.records import controls
from pilot.records.controls import Mode
from pilot.records.database import open_database, writing

if TYPE_CHECKING:
    from conftest import Server


class Load:
    """Clients that send items and keep every id that was acknowledged, by idempotency key."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.acknowledged: dict[str, str] = {}
        self.unsure: dict[str, str] = {}
        self.numbers = iter(range(10**9))
        self.failures: list[Any] = []
        self._lock = threading.Lock()

    def run_until(self, stop: threading.Event, url: str) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not stop.is_set():
                with self._lock:
                    key = f"k{next(self.numbers)}"
                self.send(client, key, stop)

    def send(self, client: httpx.Client, key: str, stop: threading.Event | None = None) -> None:
        try:
            reply = client.post(
                "/v1/predictions",
                json={"item": {"text": f"item {key}"}},
                headers=self.server.headers("shop", idempotency_key=key),
            )
        except httpx.TransportError:
            self.unsure[key] = key
            return
        if reply.status_code in (200, 202):
            first = self.acknowledged.setdefault(key, reply.json()["id"])
            if first != reply.json()["id"]:
                self.failures.append((key, first, reply.json()["id"]))
            self.unsure.pop(key, None)
        elif reply.status_code == 409:
            self.unsure[key] = key
        else:
            self.failures.append((key, reply.status_code, reply.text))


def set_mode(settings: Any, mode: str) -> None:
    engine = open_database(settings)
    with writing(engine) as connection:
        controls.set_mode(connection, Mode(mode), "test")
    engine.dispose()
