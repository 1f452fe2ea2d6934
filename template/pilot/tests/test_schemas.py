"""Bodies: what is broken is refused with the right status, what is valid comes through unchanged."""

from __future__ import annotations

import contextlib
import http.client
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from conftest import App, AppMaker, ServerMaker

from pilot.records.tables import items


@pytest.fixture
def app(make_app: AppMaker) -> App:
    return make_app()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b'{"item": {"text": "\\ud800"}}', 400),
        (b'{"item": {"text": "\xed\xa0\x80"}}', 400),
        (b'{"item": {"text": "\xff"}}', 400),
        (b'{"item": {"text": "a\x00b"}}', 400),
        (b'\xef\xbb\xbf{"item": {"text": "a"}}', 400),
        (b'{"item": {"text": 1e999}}', 422),
        (b'{"item": {"text": "a"}, "arrived_at": 1e999}', 422),
        (b'{"item": {"text": "a"}, "arrived_at": NaN}', 422),
        (b'{"item": {"text": "a"}, "arrived_at": 9223372036854775808}', 422),
        (b'{"item": {"text": -0}}', 422),
        (b'{"item": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, 400),
        (b'{"item": {"text": "a"}} trailing', 400),
        (b'{"item": {"text": ""}}', 422),
        (b'{"item": {"text": "%s"}}' % (b"a" * 10_001), 422),
        (b'{"item": {"text": ["a"]}}', 422),
        (b'{"item": {}}', 422),
        (b"{}", 422),
        (b'{"item": {"text": "a"}, "source_id": "a\\u0000b"}', 422),
        (b'{"item": {"text": "a"}, "group": ""}', 422),
    ],
)
def test_a_broken_body_is_a_problem_and_no_record(body: bytes, status: int, app: App) -> None:
    reply = app.raw(body)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert problem["status"] == status
    assert problem["request_id"] == reply.headers["x-request-id"]
    if status == 422:
        assert all(error["pointer"][:1] in ("", "/") and error["detail"] for error in problem["errors"])
    assert app.rows(items) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "auto"},
        {"model_version": "x"},
        {"status": "answered"},
        {"origin": "live"},
        {"caller": "bank"},
        {"id": "x"},
    ],
)
def test_a_caller_cannot_set_what_is_not_its_own(fields: dict[str, str], app: App) -> None:
    reply = app.post("a", **fields)
    assert reply.status_code == 422
    assert f"/{next(iter(fields))}" in reply.json()["detail"]


def test_an_unknown_field_of_the_item_is_named(app: App) -> None:
    reply = app.client.post("/v1/predictions", json={"item": {"text": "a", "approved": True}}, headers=app.headers())
    assert [error["pointer"] for error in reply.json()["errors"]] == ["/item/approved"]


def test_a_pointer_is_escaped_and_bounded(app: App) -> None:
    names = {"a/b~c": 1, "x" * 100_000: 1}
    reply = app.client.post("/v1/predictions", json={"item": {"text": "a", **names}}, headers=app.headers())
    assert reply.json()["errors"][0]["pointer"] == "/item/a~1b~0c"
    assert len(reply.content) < 5000


def test_a_problem_does_not_repeat_the_values(app: App) -> None:
    reply = app.raw(orjson.dumps({"item": {"text": ["Jane Canary"]}, "arrived_at": "Jane Canary", "source_id": 17}))
    assert reply.status_code == 422
    assert "Canary" not in reply.text


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"])
def test_another_type_of_content_is_415(content_type: str, app: App) -> None:
    assert app.raw(b'{"item": {"text": "a"}}', content_type=content_type).status_code == 415


def test_json_with_a_charset_is_json(app: App) -> None:
    assert app.raw(b'{"item": {"text": "a"}}', content_type="Application/JSON; charset=utf-8").status_code == 202


@pytest.mark.parametrize(
    "text",
    [
        "🙂👩‍👩‍👧‍👦",
        "שלום \u202eabc",
        "e\u0301 é \u0301",
        "a\u0000b",
        "\u2028\u2029\ufeff\ufffd",
        "𝔘\U0010ffff",
        " \t\r\n ",
        '"\\/\x7f',
    ],
)
def test_valid_text_comes_through_unchanged(text: str, app: App) -> None:
    assert app.post(text).status_code == 202
    assert orjson.loads(app.service.vault.open(app.rows(items)[0].content)) == {"text": text}


@pytest.mark.parametrize(
    ("moment", "status"),
    [
        ("2024-02-29T12:00:00Z", 202),
        ("2024-02-29T12:00:00+14:00", 202),
        ("2024-02-29T12:00:00", 422),
        ("2023-02-29T12:00:00Z", 422),
        ("0001-01-01T00:00:00+14:00", 422),
        ("9999-12-31T23:59:59-14:00", 422),
        pytest.param((datetime.now(UTC) + timedelta(days=1)).isoformat(), 422, id="tomorrow"),
    ],
)
def test_an_arrival_is_a_moment_that_was(moment: str, status: int, app: App) -> None:
    assert app.post("a", arrived_at=moment).status_code == status


def test_an_arrival_keeps_its_moment(app: App) -> None:
    identity = app.post("a", arrived_at="2024-02-29T12:00:00+02:00").json()["id"]
    assert app.get(f"/v1/predictions/{identity}").json()["arrived_at"] == "2024-02-29T10:00:00Z"


def test_a_body_of_the_largest_size_is_read_and_one_byte_more_refused(make_app: AppMaker) -> None:
    app = make_app(max_body=2048)
    frame = len(b'{"item": {"text": ""}}')
    for size, status in ((2048, 202), (2049, 413)):
        assert app.raw(b'{"item": {"text": "%s"}}' % (b"a" * (size - frame))).status_code == status


def test_a_real_server_stops_reading_what_is_too_large(make_server: ServerMaker) -> None:
    server = make_server()
    server.start()
    for chunked in (False, True):
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
        connection.putrequest("POST", "/v1/predictions")
        head = {**server.headers(), "content-type": "application/json"}
        head |= {"transfer-encoding": "chunked"} if chunked else {"content-length": str(10**12)}
        for name, value in head.items():
            connection.putheader(name, value)
        connection.endheaders()
        if chunked:
            chunk = b"a" * 65_536
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # The server may have hung up by now.
                for _ in range(8):
                    connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        reply: Any = connection.getresponse()
        assert reply.status == 413, chunked
        connection.close()
    assert server.post("still here").status_code == 202
