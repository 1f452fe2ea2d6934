"""Memory stays flat under each limit: what is refused leaves nothing behind in the server's process."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from conftest import Server, ServerMaker

MEGABYTES = 2**20
# What the process may grow by, in megabytes. Most abuses send many times as much.
FLAT = 12.0


def resident(server: Server, what: str = "VmRSS") -> float:
    """The resident memory of the server now (VmRSS), or its peak (VmHWM) since the last reset, in megabytes."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith(f"{what}:")]
    return int(kilobytes) / 1024


Statuses = set[int | None]


def peak(server: Server, abuse: Callable[[Server], Statuses]) -> tuple[float, Statuses]:
    """By how many megabytes the memory of a server that has worked grows at most while it is abused, and what callers
    get."""
    for number in range(50):
        assert server.post(f"item {number}").status_code == 202
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    before = resident(server)
    told = abuse(server)
    return resident(server, "VmHWM") - before, told


def _post(server: Server, content: bytes | Iterator[bytes], who: str = "shop") -> int | None:
    """The status; None where the server hangs up before all is sent."""
    headers = {**server.headers(who), "content-type": "application/json"}
    with contextlib.suppress(httpx.TransportError):
        return httpx.post(f"{server.url}/v1/predictions", content=content, headers=headers, timeout=60).status_code
    return None


def declared(server: Server) -> Statuses:
    """Bodies that say how long they are."""
    return {_post(server, b'{"item":{"text":"' + b"a" * 20 * MEGABYTES) for _ in range(8)}


def in_pieces(server: Server) -> Statuses:
    """Bodies that do not, and go on."""

    def pieces() -> Iterator[bytes]:
        for _ in range(320):
            yield b"a" * 65536

    return {_post(server, pieces()) for _ in range(8)}


def deep(server: Server) -> Statuses:
    """Bodies as deep as they are long."""
    return {_post(server, b'{"item":' + b"[" * 200_000) for _ in range(100)}


def heads(server: Server) -> Statuses:
    """Heads of many megabytes, and connections whose heads do not end."""
    port = int(server.url.rsplit(":", 1)[1])
    for _ in range(8):
        with socket.create_connection(("127.0.0.1", port)) as client, contextlib.suppress(OSError):
            client.sendall(b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 20 * MEGABYTES)
    with contextlib.ExitStack() as opened:
        for _ in range(200):
            client = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 30_000)
        return {httpx.get(f"{server.url}/healthz", timeout=30).status_code}


def crowd(server: Server) -> Statuses:
    """More callers at once than wait in the queue."""
    body = b'{"item":{"text":"' + b"a" * 4000 + b'"}}'
    with ThreadPoolExecutor(60) as pool:
        return set(pool.map(lambda _: _post(server, body), range(300)))


def guesses(server: Server) -> Statuses:
    """Keys that are guessed, each another one."""
    with httpx.Client(timeout=30) as client:
        return {
            client.post(
                f"{server.url}/v1/predictions",
                content=b"a" * 100_000,
                headers={"authorization": f"Bearer pilot_{number:05}_{'a' * 200}"},
            ).status_code
            for number in range(500)
        }


def beyond_the_rate(server: Server) -> Statuses:
    """A caller that is over its rate, and does not wait."""
    body = b'{"item":{"text":"' + b"a" * 4000 + b'"}}'
    with httpx.Client(timeout=30, headers={**server.headers(), "content-type": "application/json"}) as client:
        return {client.post(f"{server.url}/v1/predictions", content=body).status_code for _ in range(500)}


@pytest.mark.parametrize(
    ("abuse", "statuses", "settings"),
    [
        (declared, {413, None}, {}),
        (in_pieces, {413, None}, {}),
        (deep, {400, 422}, {}),
        (heads, {200}, {}),
        (crowd, {202, 503}, {"PILOT_MAX_WAITING": "8"}),
        (guesses, {401, 429}, {}),
        (beyond_the_rate, {202, 429}, {"PILOT_CALLER_RATE": "60"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_memory_is_flat_under_each_limit(
    abuse: Callable[[Server], Statuses], statuses: Statuses, settings: dict[str, str], make_server: ServerMaker
) -> None:
    server = make_server(**settings)
    server.start()
    grew, told = peak(server, abuse)
    print(f"{abuse.__name__}: {grew:.1f} MB, {told}")
    assert told <= statuses
    assert told - {202}, "no limit was hit"
    assert grew < FLAT


@pytest.mark.parametrize("abuse", [declared, in_pieces], ids=lambda value: value.__name__)
def test_without_the_limit_of_bodies_it_is_not(abuse: Callable[[Server], Statuses], make_server: ServerMaker) -> None:
    server = make_server(PILOT_MAX_BODY=str(50 * MEGABYTES))
    server.start()
    assert peak(server, abuse)[0] > FLAT
