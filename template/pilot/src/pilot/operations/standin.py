"""A stand-in for the provider of a bought model, on this machine: for drills and load tests, which cost nothing so."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pilot.contract import Item, Prediction, only_field

NAME = "openai:stand-in"
KEY = "sk-stand-in"


class Provider:
    """Answers each known item rightly and any other with the first label. `wrong` gives another label, `status` an
    error to each call, `refuses` to each so-manieth one the error 429, and `delay` seconds pass before each answer."""

    def __init__(self, known: list[tuple[Item, Prediction]]) -> None:
        self.wrong, self.status, self.refuses, self.delay = False, 200, 0, 0.0
        self._calls = 0
        self._known = [
            ([str(value) for _, value in item if value], str(getattr(final, only_field(type(final)))))
            for item, final in known
        ]

    def answer(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and the body of the answer to a request for a completion."""
        self._calls += 1
        time.sleep(self.delay)
        if self.status != 200 or (self.refuses and self._calls % self.refuses == 0):
            return self.status if self.status != 200 else 429, {"error": {"message": "the stand-in refuses"}}
        asked = request["messages"][-1]["content"]
        tool = request["tools"][0]["function"]
        labels = _enum(tool["parameters"]) or [""]
        label = next((right for texts, right in self._known if all(_inside(text, asked) for text in texts)), labels[0])
        if self.wrong:
            label = labels[(labels.index(label) + 1) % len(labels)]
        made = {"name": tool["name"], "arguments": json.dumps({"label": label, "confidence": 0.9})}
        message = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": made}]}
        choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        facts = {"id": "1", "object": "chat.completion", "created": 1, "model": "stand-in"}
        return 200, {**facts, "choices": [choice], "usage": usage}


@contextmanager
def provider(known: list[tuple[Item, Prediction]]) -> Iterator[tuple[Provider, dict[str, str]]]:
    """A stand-in that listens on loopback, and the settings of a service that calls it."""
    stand_in = Provider(known)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            status, body = stand_in.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        free = {"PILOT_LLM_PRICE_INPUT": "0", "PILOT_LLM_PRICE_OUTPUT": "0"}
        yield stand_in, {"PILOT_LLM_MODEL": NAME, "PILOT_LLM_BASE_URL": url, "PILOT_LLM_API_KEY": KEY, **free}
    finally:
        server.shutdown()
        server.server_close()


def _inside(text: str, asked: str) -> bool:
    """Whether a text of an item stands in the message, which holds it as JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1] in asked


def _enum(schema: Any) -> list[str]:
    """The labels of the tool's schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("enum"), list):
            return [str(label) for label in schema["enum"]]
        return next((found for part in schema.values() if (found := _enum(part))), [])
    return []
