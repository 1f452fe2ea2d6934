"""Each request has its id, its headers, its count and one line."""

from __future__ import annotations

import re

import pytest
from conftest import App, AppMaker

from pilot.serving.service import Service


@pytest.fixture
def app(make_app: AppMaker) -> App:
    return make_app()


@pytest.mark.parametrize("given", ["abc-1.2_3", "x" * 64])
def test_a_plain_request_id_is_kept(given: str, app: App) -> None:
    assert app.client.get("/healthz", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, 'a"b', "é".encode(), "jane@example.com"])
def test_an_odd_request_id_is_replaced(given: str | bytes, app: App) -> None:
    found = app.client.get("/healthz", headers={"x-request-id": given}).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", found)


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/v1/predictions", "/login"])
def test_every_response_has_the_safe_headers_once(path: str, app: App) -> None:
    headers = app.client.get(path).headers
    for name, value in (("x-content-type-options", "nosniff"), ("cache-control", "no-store")):
        assert headers.get_list(name) == [value]
    assert len(headers.get_list("referrer-policy")) == 1


def test_an_unexpected_error_is_a_500_with_its_id_and_without_its_words(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise KeyError("Jane Canary")

    monkeypatch.setattr(Service, "decide", fail)
    reply = app.post("money")
    assert (reply.status_code, reply.headers["content-type"]) == (500, "application/problem+json")
    assert reply.json()["request_id"] == reply.headers["x-request-id"]
    assert "Canary" not in reply.text
    assert reply.headers["x-content-type-options"] == "nosniff"
    metrics = app.get("/metrics", "olga").text
    assert 'pilot_requests_total{method="POST",route="/v1/predictions",status="500"} 1.0' in metrics


def test_cost_and_tokens_are_summed(make_app: AppMaker) -> None:
    app = make_app("remote", "assist")
    for _ in range(3):
        app.post()
    metrics = app.get("/metrics", "olga").text
    assert "pilot_cost_total 1.5" in metrics
    assert "pilot_tokens_total 300.0" in metrics
