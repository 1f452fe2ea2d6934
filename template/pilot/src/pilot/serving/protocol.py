"""Bounds of a connection that no framework sets: how long a head and a body may take, and how large a head may be."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_SECONDS, BODY_SECONDS = 10.0, 30.0
LARGEST_HEAD = 64 * 1024


class Protocol(HttpToolsProtocol):
    """Ends connections whose request does not come: 408 for a slow one, 431 for a head that is too large."""

    _clock: asyncio.TimerHandle | None = None
    _head = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection begins with a head that is awaited."""
        super().connection_made(transport)
        self._await(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._await(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts what belongs to an unfinished head, and starts the clock where a kept connection begins another."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head += len(data)
            # A head that is complete within these bytes may be followed by a body, so its end is looked for first.
            if self._head > LARGEST_HEAD and self._too_large(data):
                self._refuse(431)
                return
            if self._clock is None:
                self._await(HEAD_SECONDS)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is complete; a body has its own time."""
        self._in_head, self._head = False, 0
        self._await(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is complete: from here on the service is the slow one."""
        self._in_head = True
        self._await(None)
        super().on_message_complete()

    def _too_large(self, data: bytes) -> bool:
        end = data.find(b"\r\n\r\n")
        return end < 0 or self._head - len(data) + end > LARGEST_HEAD

    def _await(self, seconds: float | None) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._clock = self.loop.call_later(seconds, self._late) if seconds is not None else None

    def _late(self) -> None:
        self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Answers, where no response was begun, and hangs up."""
        self._await(None)
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()
