"""Connections: a head or a body that does not come, or is too large, holds nobody up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from conftest import App, AppMaker, Server, ServerMaker, free_port, wait_until
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pilot.serving import protocol
from pilot.serving.protocol import Protocol

HEAD = b"POST /v1/predictions HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture
def app(make_app: AppMaker) -> App:
    return make_app()


class Listening:
    """The application behind a real socket, with the protocol that is given."""

    def __init__(self, app: App, kind: Any) -> None:
        self.port = free_port()
        self.server = uvicorn.Server(
            uvicorn.Config(app.client.app, port=self.port, http=kind, lifespan="off", log_config=None, ws="none")  # type: ignore[arg-type]
        )
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        wait_until(lambda: self.server.started)

    def close(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(30)

    def send(self, data: bytes) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port))
        client.settimeout(20)
        client.sendall(data)
        return client


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.6)


@pytest.fixture
def listening(app: App, short: None) -> Iterator[Listening]:
    made = Listening(app, Protocol)
    yield made
    made.close()


@pytest.fixture
def unbounded(app: App, short: None) -> Iterator[Listening]:
    made = Listening(app, HttpToolsProtocol)
    yield made
    made.close()


def _told(client: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    told = b""
    try:
        while piece := client.recv(65536):
            told += piece
    except ConnectionResetError:
        pass
    return told


SLOW = [b"", b"GET /healthz HTTP/1.1\r\n", HEAD + b"x-a: b\r\n"]


@pytest.mark.parametrize("sent", SLOW)
def test_a_head_that_does_not_come_is_cut(sent: bytes, listening: Listening) -> None:
    begun = time.monotonic()
    assert _told(listening.send(sent)).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("sent", SLOW)
def test_without_the_bound_it_stays_open(sent: bytes, unbounded: Listening) -> None:
    client = unbounded.send(sent)
    client.settimeout(2)
    with pytest.raises(TimeoutError):
        client.recv(1)


def test_a_head_that_trickles_is_cut_as_well(listening: Listening) -> None:
    client = listening.send(HEAD)

    def trickle() -> None:
        for _ in range(200):
            client.sendall(b"x-a: b\r\n")
            time.sleep(0.05)

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        trickle()


def test_a_body_that_does_not_come_is_cut(listening: Listening, app: App) -> None:
    key = app.keys["shop"].encode()
    head = HEAD + b"authorization: Bearer " + key + b"\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{"
    client = listening.send(head)
    _told(client)
    wait_until(lambda: not listening.server.server_state.connections)


def test_without_the_bounds_a_body_and_a_large_head_are_waited_for(unbounded: Listening, app: App) -> None:
    key = app.keys["shop"].encode()
    head = HEAD + b"authorization: Bearer " + key + b"\r\ncontent-type: application/json\r\n"
    for sent in (head + b"content-length: 90\r\n\r\n{", HEAD + b"x-a: " + b"b" * 4 * protocol.LARGEST_HEAD):
        client = unbounded.send(sent)
        client.settimeout(2)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_second_request_of_a_kept_connection_has_the_same_time(listening: Listening) -> None:
    client = listening.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    client.sendall(b"GET /heal")
    assert b"408" in _told(client)


def test_a_head_that_is_too_large_is_refused(listening: Listening) -> None:
    client = listening.send(HEAD + b"x-a: ")
    told = b""
    try:
        for _ in range(100):
            client.sendall(b"b" * 1024)
    except (BrokenPipeError, ConnectionResetError):
        pass
    else:
        told = _told(client)
        assert told.startswith(b"HTTP/1.1 431 ")
    assert httpx.get(f"http://127.0.0.1:{listening.port}/healthz").status_code == 200


def test_a_small_head_and_a_large_body_in_one_piece_pass(listening: Listening, app: App) -> None:
    body = b'{"item":{"text":"' + b"a" * 3000 + b'"}}' + b" " * 100_000
    reply = httpx.post(
        f"http://127.0.0.1:{listening.port}/v1/predictions",
        content=body,
        headers={**app.headers(), "content-type": "application/json"},
        timeout=30,
    )
    assert reply.status_code == 202


@pytest.fixture
def server(make_server: ServerMaker) -> Server:
    made = make_server()
    made.start()
    return made


def _address(server: Server) -> tuple[str, int]:
    return "127.0.0.1", int(server.url.rsplit(":", 1)[1])


def test_hundreds_of_unfinished_heads_are_cut_and_others_are_served(server: Server) -> None:
    clients = [socket.create_connection(_address(server)) for _ in range(200)]
    for client in clients:
        client.sendall(HEAD)
    assert server.post("a").status_code == 202
    until = time.monotonic() + 3 * protocol.HEAD_SECONDS
    for client in clients:
        client.settimeout(max(0.1, until - time.monotonic()))
        assert _told(client).startswith(b"HTTP/1.1 408 ")
    assert server.post("b").status_code == 202


def test_a_header_of_24_megabytes_is_cut_early(server: Server) -> None:
    client = socket.create_connection(_address(server))
    client.settimeout(20)
    client.sendall(HEAD + b"x-a: ")

    def flood() -> None:
        for _ in range(24 * 16):
            client.sendall(b"a" * 65536)

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        flood()
    assert server.post("a").status_code == 202
