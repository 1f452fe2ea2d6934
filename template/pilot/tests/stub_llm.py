"""An OpenAI-compatible server on loopback that answers as a test says, and counts what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

INPUT_TOKENS = 120
OUTPUT_TOKENS = 8


@dataclass(frozen=True)
class Reply:
    """What the server sends, after `delay` seconds."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay: float = 0.0


def completion(message: dict[str, Any], finish: str = "stop") -> bytes:
    """A chat completion with that message."""
    usage = {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": OUTPUT_TOKENS,
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    }
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    return json.dumps(
        {"id": "c1", "object": "chat.completion", "created": 1, "model": "stub", "choices": [choice], "usage": usage}
    ).encode()


def said(arguments: str, finish: str = "tool_calls") -> Reply:
    """A call of the output tool with these arguments, as the model wrote them."""
    function = {"name": "final_result", "arguments": arguments}
    calls = [{"id": "t1", "type": "function", "function": function}]
    return Reply(completion({"content": None, "tool_calls": calls}, finish))


def good(label: str, confidence: float = 0.9) -> Reply:
    """A valid answer."""
    return said(json.dumps({"label": label, "confidence": confidence}))


def failing(status: int, **headers: str) -> Reply:
    """An error of the provider; `Retry_After="1"` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(b'{"error": {"message": "stub"}}', status, named)


class StubLlm:
    """Serves while it is entered. `queue` holds the next replies; once it is empty, `answer(text)` gives them.

    `given(body, times)`, where it is set, gives all of them, by the body and the number of the call.
    `url` is the base URL; `requests` holds the body of each call so far, `keys` its Authorization header.
    """

    def __init__(self, answer: Callable[[str], Reply], *queue: Reply) -> None:
        self.answer = answer
        self.queue = deque(queue)
        self.given: Callable[[dict[str, Any], int], Reply] | None = None
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reply = stub.reply(request, self.headers["Authorization"])
                time.sleep(reply.delay)
                try:
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Type", reply.content_type)
                    self.send_header("Content-Length", str(len(reply.body)))
                    self.end_headers()
                    self.wfile.write(reply.body)
                except OSError:
                    self.close_connection = True  # The caller did not wait.

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def reply(self, request: dict[str, Any], key: str | None) -> Reply:
        self.requests.append(request)
        self.keys.append(key)
        if self.given is not None:
            return self.given(request, len(self.requests))
        if self.queue:
            return self.queue.popleft()
        return self.answer(item_of(request))

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def item_of(request: dict[str, Any]) -> str:
    """The text of the item that a request asks about."""
    message = next(message["content"] for message in request["messages"] if message["role"] == "user")
    text = json.loads(message)["item"]
    assert isinstance(text, str)
    return text
