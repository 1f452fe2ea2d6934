"""A stand-in for the provider of a bought model, on this machine: for drills and load tests, which cost nothing so."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import ceil, floor, inf
from typing import Any

from pydantic import BaseModel

from pilot.contract import Item, Prediction, only_field

NAME = "openai:stand-in"
KEY = "sk-stand-in"
CONFIDENCE = 0.9
_DATES = {"date": "2000-01-01", "date-time": "2000-01-01T00:00:00Z", "time": "00:00:00Z", "duration": "PT0S"}


class Provider:
    """Answers each known item rightly, and any other with the first label, or with the least that its schema allows.
    `wrong` gives another answer, `status` an error to each call, `refuses` to each so-manieth one the error 429, and
    `delay` seconds pass before each answer."""

    def __init__(self, known: list[tuple[Item, Prediction]]) -> None:
        self.wrong, self.status, self.refuses, self.delay = False, 200, 0, 0.0
        self._calls = 0
        self._known = [(sorted(_texts(item), key=len), final) for item, final in known]

    def answer(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and the body of the answer to a request for a completion."""
        self._calls += 1
        time.sleep(self.delay)
        if self.status != 200 or (self.refuses and self._calls % self.refuses == 0):
            return self.status if self.status != 200 else 429, {"error": {"message": "the stand-in refuses"}}
        tool = request["tools"][0]["function"]
        schema, right = tool["parameters"], self._right(request["messages"][-1]["content"])
        given = self._filled if "prediction" in schema.get("properties", {}) else self._labelled
        made = {"name": tool["name"], "arguments": json.dumps(given(schema, right))}
        message = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": made}]}
        choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        facts = {"id": "1", "object": "chat.completion", "created": 1, "model": "stand-in"}
        return 200, {**facts, "choices": [choice], "usage": usage}

    def _right(self, asked: str) -> Prediction | None:
        """What was decided on the known item whose longest text, and most of its others, stand in the message."""
        found = [
            (sum(len(text) for text in texts if _inside(text, asked)), final)
            for texts, final in self._known
            if texts and _inside(texts[-1], asked)
        ]
        return max(found, key=lambda one: one[0], default=(0, None))[1]

    def _labelled(self, schema: dict[str, Any], right: Prediction | None) -> dict[str, Any]:
        labels = _enum(schema) or [""]
        label = labels[0] if right is None else str(getattr(right, only_field(type(right))))
        if self.wrong:
            label = labels[(labels.index(label) + 1) % len(labels)]
        return {"label": label, "confidence": CONFIDENCE}

    def _filled(self, schema: dict[str, Any], right: Prediction | None) -> dict[str, Any]:
        """A whole prediction; a wrong one is what was decided on another known item, or the least."""
        made = {name: least(part, schema.get("$defs", {})) for name, part in schema["properties"].items()}
        if self.wrong:
            others = (final for _, final in self._known if right is None or not right.agrees(final))
            right = next(others, None)
        if right is not None:
            made["prediction"] = right.model_dump(mode="json", by_alias=True)
        if "confidences" in made:
            return {**made, "confidences": dict.fromkeys(made["confidences"], CONFIDENCE)}
        return {**made, "confidence": CONFIDENCE}


def least(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """The least value that a JSON Schema allows: null, the first choice, the smallest number, an empty text or list,
    and of an object what is required. A pattern is not looked at."""
    if "$ref" in schema:
        return least(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "const" in schema or "enum" in schema:
        return schema.get("const", next(iter(schema.get("enum", ())), None))
    ways = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if ways:
        return None if {"type": "null"} in ways else least(ways[0], definitions)
    match schema.get("type"):
        case "object":
            parts = schema.get("properties", {})
            return {name: least(parts[name], definitions) for name in schema.get("required", ())}
        case "array":
            tuples = schema.get("prefixItems") or [schema.get("items", {})] * schema.get("minItems", 0)
            return [least(part, definitions) for part in tuples]
        case "boolean":
            return False
        case "integer" | "number":
            return _least_number(schema)
        case "string":
            return _DATES.get(schema.get("format", ""), "x" * schema.get("minLength", 0))
    return None


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


def _least_number(schema: dict[str, Any]) -> float:
    """The minimum; without one, zero or the next whole number that the bounds allow, or what is between them."""
    high: float = min(schema.get("maximum", inf), schema.get("exclusiveMaximum", inf))
    above: float = schema.get("exclusiveMinimum", -inf)
    least: float = schema.get("minimum", 0 if above < 0 else floor(above) + 1)
    if least < high or least == schema.get("maximum"):
        return least
    return ceil(high) - 1 if above == -inf else (above + high) / 2


def _texts(value: Any) -> list[str]:
    """What a message may repeat of an item: the texts in it, or whatever else it holds where it has none."""
    held = list(_held(value))
    return [one for one in held if isinstance(one, str)] or [str(one) for one in held]


def _held(value: Any) -> Iterator[Any]:
    if isinstance(value, BaseModel):
        value = [part for _, part in value]
    if isinstance(value, list | tuple):
        for part in value:
            yield from _held(part)
    elif value:
        yield value


def _inside(text: str, asked: str) -> bool:
    """Whether a text of an item stands in the message, which holds it as JSON, perhaps without blanks at its ends."""
    return json.dumps(text.strip(), ensure_ascii=False)[1:-1] in asked


def _enum(schema: Any) -> list[str]:
    """The labels of the tool's schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("enum"), list):
            return [str(label) for label in schema["enum"]]
        return next((found for part in schema.values() if (found := _enum(part))), [])
    return []
