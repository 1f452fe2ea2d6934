"""What OpenAI-compatible servers answer, as their users reported it: which of it is an answer, and which failure."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from email.utils import formatdate
from time import time
from typing import Any

import pytest
from small_data import prediction
from stub_llm import INPUT_TOKENS, OUTPUT_TOKENS, Reply, StubLlm
from test_models_llm import ask_stub, model_for, settings_for, short_pauses

from pilot.models import llm

__all__ = ["short_pauses"]
ANSWER = {"label": "billing", "confidence": 0.9}
TEXT = json.dumps(ANSWER)
COUNTED = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}
OMIT = object()
Given = Callable[[dict[str, Any], int], Reply]


def call(arguments: Any = TEXT, **changes: Any) -> dict[str, Any]:
    """A message that calls the output tool; a change that is OMIT leaves that part of the call out."""
    made = {"id": "call_1", "type": "function", "function": {"name": "final_result", "arguments": arguments}, **changes}
    return {"role": "assistant", "content": None, "tool_calls": [_present(made)]}


def _present(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not OMIT}


def reply(message: Any, *, status: int = 200, headers: dict[str, str] | None = None, **changes: Any) -> Reply:
    """A chat completion with that message; a change that is OMIT leaves that part out."""
    choice = {"index": 0, "message": message, "finish_reason": changes.pop("finish", "tool_calls")}
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": COUNTED}
    return Reply(json.dumps(_present({**body, **changes})).encode(), status, headers or {})


def text(content: Any, finish: str = "stop", **more: Any) -> Reply:
    return reply({"role": "assistant", "content": content, **more}, finish=finish)


def error(status: int, message: str = "no", *, headers: dict[str, str] | None = None, **fields: Any) -> Reply:
    return Reply(json.dumps({"error": {"message": message, **fields}}).encode(), status, headers or {})


def always(given: Reply) -> Given:
    return lambda body, times: given


def once(given: Reply) -> Given:
    """An error, and a good answer from the second call on."""
    return lambda body, times: given if times == 1 else reply(call())


def unless(parameter: str, given: Reply) -> Given:
    """An error for as long as the request has the parameter."""
    return lambda body, times: given if parameter in body else reply(call())


def dated() -> Given:
    return once(error(429, headers={"Retry-After": formatdate(time() + 1, usegmt=True)}))


def without_tools(body: dict[str, Any], times: int) -> Reply:
    if body.get("tools"):
        return error(400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')
    assert "JSON Schema" in body["messages"][-1]["content"]
    return text(TEXT)


def without_required(body: dict[str, Any], times: int) -> Reply:
    required = body.get("tool_choice") == "required"
    return error(400, "tool_choice required is not supported") if required else reply(call())


def without_strict(body: dict[str, Any], times: int) -> Reply:
    strict = any("strict" in tool["function"] for tool in body["tools"])
    return error(400, "strict is not supported") if strict else reply(call())


def raw(body: bytes, content_type: str = "application/json") -> Given:
    return always(Reply(body, content_type=content_type))


TEMPERATURE = "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default is supported."
MAX_TOKENS = "Unsupported parameter: 'max_tokens' is not supported here. Use 'max_completion_tokens' instead."
GOOD = reply(call()).body
UNPAID = {
    "no usage": always(reply(call(), usage=OMIT)),
    "usage null": always(reply(call(), usage=None)),
    "a count null": always(reply(call(), usage={**COUNTED, "completion_tokens": None})),
    "a count missing": always(reply(call(), usage={"prompt_tokens": 50})),
    "a count negative": always(reply(call(), usage={**COUNTED, "prompt_tokens": -1})),
    "a count beyond belief": always(reply(call(), usage={**COUNTED, "prompt_tokens": 3_000_000_000})),
    "a count in words": always(reply(call(), usage={**COUNTED, "prompt_tokens": "many"})),
}
FIRST = {
    "a tool call": always(reply(call())),
    "counts as floats": always(reply(call(), usage={name: float(n) for name, n in COUNTED.items()})),
    "counts as texts": always(reply(call(), usage={name: str(n) for name, n in COUNTED.items()})),
    "details that are a list": always(reply(call(), usage={**COUNTED, "completion_tokens_details": []})),
    "details null": always(reply(call(), usage={**COUNTED, "prompt_tokens_details": None})),
    "more in usage": always(reply(call(), usage={**COUNTED, "queue_time": 0.3, "cost": 0.1})),
    "plain JSON": always(text(TEXT)),
    "JSON in a fence": always(text(f"```json\n{TEXT}\n```")),
    "parts of content": always(text([{"type": "text", "text": TEXT}])),
    "thoughts before the call": always(reply({**call(), "content": "<think>hm</think>"})),
    "reasoning beside the call": always(reply({**call(), "reasoning_content": "the user says"})),
    "parts of content beside the call": always(reply({**call(), "content": [{"type": "text", "text": "so"}]})),
    "half a character beside the call": always(reply({**call(), "content": "\ud83d"})),
    "arguments as an object": always(reply(call(ANSWER))),
    "arguments as JSON in JSON": always(reply(call(json.dumps(TEXT)))),
    "arguments with blanks": always(reply(call(f"{TEXT}\n\n"))),
    "arguments closed twice": always(reply(call(f"{TEXT}}}"))),
    "arguments in a fence": always(reply(call(f"```json\n{TEXT}\n```"))),
    "arguments with more in them": always(reply(call(json.dumps({**ANSWER, "reason": "an invoice"})))),
    "finish stop": always(reply(call(), finish="stop")),
    "finish null": always(reply(call(), finish=None)),
    "finish of its own": always(reply(call(), finish="eos")),
    "no id, date or model": always(reply(call(), id=OMIT, object=OMIT, created=OMIT, model=OMIT)),
    "id, date and model null": always(reply(call(), id=None, object="", created=None, model=None)),
    "a date in parts of a second": always(reply(call(), created=1732000000.123)),
    "a date in milliseconds": always(reply(call(), created=1732000000123000)),
    "a date in words": always(reply(call(), created="2026-01-01T00:00:00Z")),
    "a call without id": always(reply(call(id=OMIT))),
    "a call with an empty id": always(reply(call(id=""))),
    "a call without type": always(reply(call(type=OMIT))),
    "a call with an index": always(reply(call(index=0))),
    "a call of another name": always(reply(call(function={"name": "Classification", "arguments": TEXT}))),
    "two calls": always(reply({**call(), "tool_calls": [*call()["tool_calls"], *call(id="call_2")["tool_calls"]]})),
    "blank lines before": raw(b"\n\n\n" + GOOD),
    "a byte order mark": raw(b"\xef\xbb\xbf" + GOOD),
    "Latin-1": raw(GOOD.replace(b'"m"', '"modèle"'.encode("latin-1")), "application/json; charset=iso-8859-1"),
    "confidence as a text": always(reply(call(json.dumps({**ANSWER, "confidence": "0.9"})))),
    "a label in capitals": always(reply(call(json.dumps({**ANSWER, "label": "BILLING "})))),
}
SECOND = {
    "too many requests": once(error(429)),
    "too many, a second": once(error(429, headers={"Retry-After": "0.2"})),
    "too many, until a date": dated(),
    "too many, milliseconds": once(error(429, headers={"Retry-After-Ms": "100"})),
    "too many, in words": once(error(429, headers={"Retry-After": "soon"})),
    "too many, before now": once(error(429, headers={"Retry-After": "-5"})),
    "too many, no number": once(error(429, headers={"Retry-After": "nan"})),
    "too many, for ever": once(error(429, headers={"Retry-After": "inf"})),
    "an error of 429 with status 200": once(error(200, code=429)),
    "an error of 502 with status 200": once(error(200, code=502)),
    "an error in the choice": once(
        reply(
            None, choices=[{"index": 0, "message": {"content": ""}, "error": {"code": 502}, "finish_reason": "error"}]
        )
    ),
    "a choice that ended in an error": once(text("", "error")),
    "overloaded": once(error(529)),
    "a page with status 503": once(Reply(b"<html>503</html>", 503, content_type="text/html")),
    "request timeout": once(error(408)),
    "conflict": once(error(409)),
    "too early": once(error(425)),
    "no temperature": unless("temperature", error(400, TEMPERATURE, param="temperature", code="unsupported_value")),
    "no temperature, in words": unless("temperature", error(422, "temperature: extra fields not permitted")),
    "no max_completion_tokens": unless("max_completion_tokens", error(400, "extra_forbidden max_completion_tokens")),
    "no tools": without_tools,
    "no tool that is required": without_required,
}
FAILED: dict[str, tuple[Given, str, int]] = {
    "content null": (always(text(None)), "invalid_output", 2),
    "content empty": (always(text("")), "invalid_output", 2),
    "the answer among the thoughts": (always(text(None, reasoning_content=TEXT)), "invalid_output", 2),
    "cut off while it thought": (always(text("<think>so the ticket", "length")), "invalid_output", 1),
    "cut off in the call": (always(reply(call('{"label": "bil'), finish="length")), "invalid_output", 2),
    "no choices": (always(reply(None, choices=[])), "invalid_output", 2),
    "choices null": (always(reply(None, choices=None)), "invalid_output", 2),
    "refused by the model": (always(text(None, refusal="I cannot help")), "invalid_output", 1),
    "filtered": (always(text(None, "content_filter")), "invalid_output", 1),
    "a stream of events": (raw(b'data: {"choices": []}\n\ndata: [DONE]\n\n', "text/event-stream"), "invalid_output", 1),
    "a page to sign in": (raw(b"<html>sign in</html>", "text/html"), "invalid_output", 1),
    "an empty body": (raw(b""), "invalid_output", 1),
    "confidence in percent": (always(reply(call(json.dumps({**ANSWER, "confidence": 90})))), "invalid_output", 2),
    "confidence NaN": (always(reply(call('{"label": "billing", "confidence": NaN}'))), "invalid_output", 2),
    "429 for good": (always(error(429)), "rate_limited", 3),
    "an error of 429 for good": (always(error(200, code=429)), "rate_limited", 3),
    "an error of 502 for good": (always(error(200, code=502)), "provider_error", 3),
    "no quota left": (always(error(429, code="insufficient_quota", type="insufficient_quota")), "rate_limited", 1),
    "no credit left": (always(error(402)), "rate_limited", 1),
    "too long": (always(error(400, code="context_length_exceeded")), "provider_error", 1),
    "filtered before": (always(error(400, code="content_filter")), "provider_error", 1),
    "wrong key": (always(error(401)), "credential_rejected", 1),
    "forbidden": (always(error(403)), "credential_rejected", 1),
    "no such model": (always(error(404)), "provider_error", 1),
    "sent elsewhere": (always(error(307, headers={"Location": "/elsewhere/v1/chat/completions"})), "provider_error", 1),
    "a parameter that must be": (always(error(400, "messages: bad", param="messages")), "provider_error", 1),
}


def answered(given: Given, **changes: Any) -> tuple[Any, list[dict[str, Any]]]:
    with StubLlm(lambda item: reply(call())) as stub:
        stub.given = given
        return ask_stub(stub, llm_price_input=1.0, llm_price_output=1.0, **changes), stub.requests


@pytest.mark.parametrize("name", [*FIRST, *UNPAID])
def test_a_good_answer_is_taken_whatever_its_form(name: str) -> None:
    """I6: a good call was dropped where a count was null, or an id missing."""
    answer, requests = answered({**FIRST, **UNPAID}[name])
    assert (answer.prediction, answer.confidence, answer.failure) == (prediction("billing"), 0.9, None)
    tokens = None if name in UNPAID else INPUT_TOKENS + OUTPUT_TOKENS
    assert (answer.tokens, answer.cost is None, len(requests)) == (tokens, name in UNPAID, 1)


@pytest.mark.parametrize("name", SECOND)
def test_what_passes_or_what_a_provider_does_not_take_is_outlived(name: str) -> None:
    """I6: errors in a body with status 200, 408 and 409 were not repeated, and a temperature failed each item."""
    answer, requests = answered(SECOND[name])
    assert (answer.prediction, answer.failure, len(requests)) == (prediction("billing"), None, 2)


@pytest.mark.parametrize("name", FAILED)
def test_what_is_no_answer_fails_with_its_reason_after_so_many_calls(name: str) -> None:
    given, failure, calls = FAILED[name]
    answer, requests = answered(given)
    assert (answer.prediction, answer.failure, len(requests)) == (None, failure, calls)


def test_what_was_refused_once_is_left_out_from_then_on() -> None:
    refusals = {"temperature": error(400, TEMPERATURE, param="temperature"), "max_tokens": error(400, MAX_TOKENS)}
    with StubLlm(lambda item: reply(call())) as stub:
        stub.given = lambda body, times: next(
            (refusal for name, refusal in refusals.items() if name in body), reply(call())
        )
        model = model_for(settings_for(stub.url))

        async def thrice() -> list[Any]:
            return [(await model.predict_one("My invoice is wrong")).prediction for _ in range(3)]

        assert asyncio.run(thrice()) == [prediction("billing")] * 3
        assert ["temperature" in request for request in stub.requests] == [True, False, False, False]


def test_strict_schemas_are_left_out_where_they_are_refused() -> None:
    answer, _ = answered(without_strict)
    assert answer.prediction == prediction("billing")


def test_parameters_are_settings() -> None:
    _, [asked] = answered(FIRST["a tool call"], llm_temperature=0.3, llm_max_tokens=500)
    assert (asked["temperature"], asked["max_completion_tokens"]) == (0.3, 500)
    _, [asked] = answered(FIRST["a tool call"], llm_temperature="")
    assert "temperature" not in asked


def test_an_error_leaves_its_status_code_and_request_id_and_no_text(caplog: pytest.LogCaptureFixture) -> None:
    """I6: every item was `provider_error`, and no log said why."""
    caplog.set_level(logging.INFO)
    secret = "the customer Ada wrote this"
    headers = {"x-request-id": "req_42", "x-other": secret}
    answer, _ = answered(always(error(400, secret, code="content_filter", headers=headers)))
    assert answer.provider is not None
    assert (answer.provider.status, answer.provider.code, answer.provider.request_id) == (
        *(400, "content_filter", "req_42"),
    )
    answer, _ = answered(always(error(400, secret, code=secret, headers={"x-request-id": secret})))
    assert answer.provider is not None
    assert (answer.provider.status, answer.provider.code, answer.provider.request_id) == (400, None, None)
    assert secret not in caplog.text + repr(answer)


def test_an_error_that_was_overcome_is_no_reason_of_a_later_failure() -> None:
    def given(body: dict[str, Any], times: int) -> Reply:
        return error(503, code="overloaded") if times == 1 else text("")

    answer, _ = answered(given)
    assert (answer.failure, answer.provider) == ("invalid_output", None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:1080/"),
        ("HTTPS_PROXY", "ftp://127.0.0.1"),
        ("SSL_CERT_FILE", "/no/such.pem"),
    ],
)
def test_a_proxy_or_certificate_that_cannot_be_used_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I8, 07: the service did not start."""
    for other in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(other, raising=False)
        monkeypatch.delenv(other.lower(), raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(llm.ModelUnavailable, match=name):
        model_for(settings_for())


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:1080", "http://127.0.0.1:3128"])
def test_proxies_of_the_usual_kinds_can_be_used(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    monkeypatch.setenv("NO_PROXY", "localhost,::1/128,127.0.0.1")
    assert answered(FIRST["a tool call"])[0].prediction == prediction("billing")
