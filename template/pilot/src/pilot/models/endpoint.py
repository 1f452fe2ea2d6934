"""The HTTP client for an LLM's endpoint: its responses are bounded, what a provider refuses is left out from then on,
and the forms in which OpenAI-compatible servers answer become the one that their clients read."""

# A pilot that builds does not install this library, and its type check reads this file all the same.
# mypy: disable-error-code="import-not-found", disallow-subclassing-any=False

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import httpx2

from pilot.contract import ProviderError

# An answer is a label, some fields or a page. Whatever is larger than this is something else.
LARGEST_RESPONSE = 1024 * 1024
CONNECT_SECONDS = 5.0
# The error of the last call that was made for an item, if it was one: a list that whoever asks has put here.
ERRORS: ContextVar[list[ProviderError] | None] = ContextVar("errors", default=None)

_CHAT = "/chat/completions"
# What a request may do without, and the words by which a provider says that it does not take it.
_OPTIONAL = {
    "temperature": r"\btemperature\b",
    "max_completion_tokens": r"\bmax_completion_tokens\b",
    "max_tokens": r"\bmax_tokens\b",
    "tool_choice": r"\btool_choice\b",
    "parallel_tool_calls": r"\bparallel_tool_calls\b",
    "strict": r"\bstrict\b",
    "tools": r"tool[-_ ]call[-_ ]parser|(?:tools|function calling)\b.{0,40}not support|not support.{0,20}\btools?\b",
    "response_format": r"response[_ ]format|json[_ ]schema|structured[_ ]outputs?|\bgrammar\b|\bguided",
}
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_REQUEST_IDS = ("x-request-id", "request-id", "apim-request-id", "x-amzn-requestid", "cf-ray")
_FRAMING = {"content-encoding", "content-length", "transfer-encoding"}


class ResponseTooLarge(Exception):
    """The provider sent more than `LARGEST_RESPONSE` bytes."""


class Endpoint(httpx2.AsyncClient):
    """Reads at most `LARGEST_RESPONSE` bytes of a response, counted after decompression, and cuts the rest off.

    A chat completion that is refused for a parameter is asked for once more without it, and later ones leave it out
    from the start.
    """

    def __init__(self, *, key: Callable[[], tuple[str, str]] = lambda: ("", ""), **options: Any) -> None:
        """`key` gives the provider's key that stands in the headers of requests, and the one to send in its place."""
        super().__init__(**options)
        self._key = key
        self.refused: set[str] = set()

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        old, new = self._key()
        if old and new and old != new:
            for header in list(request.headers):
                request.headers[header] = request.headers[header].replace(old, new)
        asked = _json(request.content) if request.url.path.endswith(_CHAT) else None
        if not isinstance(asked, dict):
            return await self._whole(request, **options)
        while True:
            body = without(asked, self.refused)
            response = readable(await self._whole(_with(request, body), **options), _only_tool(body))
            if (errors := ERRORS.get()) is not None:
                # What a call that succeeds had to overcome is no reason of what fails later.
                errors[:] = [error_of(response)] if response.status_code >= 300 else []
            name = refused_parameter(response, body)
            if name is None:
                return response
            self.refused.add(name)

    async def _whole(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        response = await super().send(request, stream=True, **options)
        body = bytearray()
        try:
            async for part in response.aiter_bytes():
                body += part
                if len(body) > LARGEST_RESPONSE:
                    raise ResponseTooLarge
        finally:
            await response.aclose()
        return _response(response, response.status_code, bytes(body))


def without(body: dict[str, Any], refused: set[str]) -> dict[str, Any]:
    """The body of a chat completion without the parameters that were refused."""
    made = {**body}
    for name, other in (("max_completion_tokens", "max_tokens"), ("max_tokens", "max_completion_tokens")):
        if name in refused and name in made:
            limit = made.pop(name)
            if other not in refused:
                made[other] = limit
    for name in ("temperature", "parallel_tool_calls"):
        if name in refused:
            made.pop(name, None)
    if "tool_choice" in refused and "tool_choice" in made:
        made["tool_choice"] = "auto"
    if "strict" in refused and "tools" in made:
        made["tools"] = [
            {**tool, "function": {name: one for name, one in tool["function"].items() if name != "strict"}}
            for tool in made["tools"]
        ]
    if "tools" in refused and made.get("tools"):
        tool = made["tools"][0]["function"]
        schema = tool["parameters"]
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            made.pop(name, None)
        said = f"Answer with one JSON object and nothing else. It follows this JSON Schema: {json.dumps(schema)}"
        made["messages"] = [*made["messages"], {"role": "system", "content": said}]
        if "response_format" not in refused:
            form = {"name": tool["name"], "schema": schema}
            made["response_format"] = {"type": "json_schema", "json_schema": form}
    return made


def refused_parameter(response: httpx2.Response, body: dict[str, Any]) -> str | None:
    """The parameter of the body for which the provider refused it, if that is one which may be left out."""
    if response.status_code not in (400, 422):
        return None
    error = _error(_json(response.content))
    sent = {name for name in _OPTIONAL if name in body}
    if any("strict" in tool["function"] for tool in body.get("tools", ())):
        sent.add("strict")
    if body.get("tool_choice") == "auto":
        sent.discard("tool_choice")
    if error.get("param") in sent:
        return str(error["param"])
    said = str(error.get("message") or response.text)
    found = {name: match.start() for name in sent if (match := re.search(_OPTIONAL[name], said, re.IGNORECASE))}
    return min(found, key=found.__getitem__) if found else None


def error_of(response: httpx2.Response) -> ProviderError:
    """The status, code and request id of an error, and none of its text."""
    error = _error(_json(response.content))
    code = next((one for name in ("code", "type") if _CODE.fullmatch(one := str(error.get(name) or ""))), None)
    ids = (response.headers.get(name, "") for name in _REQUEST_IDS)
    return ProviderError(response.status_code, code, next((one for one in ids if _CODE.fullmatch(one)), None))


def readable(response: httpx2.Response, tool: str | None = None) -> httpx2.Response:
    """The response to a chat completion as clients read it. An error in a body with status 200 gets the status that it
    names; a redirect, which would take the key elsewhere, is an error; and what servers leave out or write otherwise is
    put right, as long as its meaning is plain: so is the name of a call where `tool` was the only one to call."""
    if 300 <= response.status_code < 400:
        return _response(response, 400, b'{"error": {"code": "redirect"}}')
    payload = _json(response.content, response.charset_encoding)
    if response.status_code != 200 or not isinstance(payload, dict):
        return response
    choices = payload.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    failed = payload.get("error") if choice is None else choice.get("error") or choice.get("finish_reason") == "error"
    if failed:
        error = failed if isinstance(failed, dict) else {}
        code = error.get("code")
        status = code if isinstance(code, int) and 400 <= code < 600 else 502
        return _response(response, status, json.dumps({"error": error}).encode())
    message = choice.get("message") if choice else None
    if not isinstance(message, dict):
        choice, message = {"index": 0, "finish_reason": "stop"}, {"role": "assistant", "content": ""}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        whole = [call for call in calls if isinstance(call, dict)]
        message["tool_calls"] = [_call(number, call, tool) for number, call in enumerate(whole)]
    made = {
        **payload,
        "id": str(payload.get("id") or "unknown"),
        "object": "chat.completion",
        "created": _seconds(payload.get("created")),
        "model": str(payload.get("model") or "unknown"),
        "choices": [{**(choice or {}), "message": message}],
        "usage": _usage(payload.get("usage")),
    }
    return _response(response, 200, json.dumps(made).encode())


def _only_tool(body: dict[str, Any]) -> str | None:
    tools = body.get("tools") or []
    return str(tools[0]["function"]["name"]) if len(tools) == 1 else None


def _call(number: int, call: dict[str, Any], tool: str | None) -> dict[str, Any]:
    given = call.get("function")
    function: dict[str, Any] = given if isinstance(given, dict) else {}
    named = {"name": tool or function.get("name"), "arguments": _arguments(function.get("arguments"))}
    return {**call, "id": call.get("id") or f"call_{number}", "type": "function", "function": {**function, **named}}


def _arguments(given: Any) -> str:
    """The arguments of a call as one JSON text: also where they are an object, JSON in JSON, or closed too often."""
    if not isinstance(given, str):
        return json.dumps(given)
    try:
        found, end = json.JSONDecoder().raw_decode(given.strip())
    except ValueError:
        return given
    if isinstance(found, str):
        return _arguments(found)
    return json.dumps(found) if not given.strip()[end:].strip("}] \n\t`") else given


def _seconds(given: Any) -> int:
    return int(given) if isinstance(given, int | float) and 0 <= given < 2**33 else 0


def _usage(given: Any) -> dict[str, Any] | None:
    """The counts of tokens; None where one of them is no count, because then the cost is not known."""
    if not isinstance(given, dict):
        return None
    counts = {}
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        try:
            count = float(given[name])
        except (KeyError, TypeError, ValueError):
            return None
        if not (count.is_integer() and 0 <= count < 2**31):
            return None
        counts[name] = int(count)
    details = {name: one for name, one in given.items() if name.endswith("_details") and isinstance(one, dict)}
    return {**details, **counts}


def _error(payload: Any) -> dict[str, Any]:
    error = payload.get("error", payload) if isinstance(payload, dict) else {}
    return error if isinstance(error, dict) else {"message": error}


def _json(content: bytes, charset: str | None = None) -> Any:
    """What the JSON text holds; None where it is none."""
    for encoding in ("utf-8-sig", charset):
        try:
            return json.loads(content.decode(encoding)) if encoding else None
        except (LookupError, ValueError):
            continue
    return None


def _with(request: httpx2.Request, body: dict[str, Any]) -> httpx2.Request:
    headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() not in _FRAMING]
    content = json.dumps(body).encode()
    return httpx2.Request(request.method, request.url, headers=headers, content=content, extensions=request.extensions)


def _response(response: httpx2.Response, status: int, content: bytes) -> httpx2.Response:
    headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in _FRAMING]
    made = httpx2.Response(status, headers=headers, content=content, request=response.request)
    made.elapsed = response.elapsed
    return made
