"""Health, metrics and the OpenAPI document."""

from __future__ import annotations

import pytest
from conftest import App, AppMaker, wait_until
from sqlalchemy.exc import OperationalError

from pilot.records import controls
from pilot.serving import app as server


@pytest.fixture
def app(make_app: AppMaker) -> App:
    return make_app()


def test_liveness_and_readiness_need_no_key(app: App) -> None:
    assert app.client.get("/healthz").json() == {"status": "alive"}
    assert app.client.get("/readyz").json() == {"status": "ready", "model": "loaded"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/login", "/static/pilot.css", "/nowhere"])
def test_head_is_get_without_the_body(path: str, app: App) -> None:
    """I8, 14: what a load balancer asks."""
    head, get = app.client.head(path), app.client.get(path)
    assert (head.status_code, head.headers["content-type"]) == (get.status_code, get.headers["content-type"])
    assert head.content == b""


def test_a_slash_too_many_is_no_redirect_to_wherever_the_host_says(app: App) -> None:
    """I8, 13."""
    response = app.client.post("/v1/predictions/", headers={"host": "elsewhere.example.org"}, follow_redirects=False)
    assert (response.status_code, "location" in response.headers) == (404, False)


def test_without_a_model_the_service_is_ready_for_people(make_app: AppMaker) -> None:
    assert make_app("none").client.get("/readyz").json() == {"status": "ready", "model": "unavailable"}


def test_a_database_that_takes_no_write_makes_it_unready_and_not_dead(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OperationalError("INSERT", None, Exception("database or disk is full"))

    monkeypatch.setattr(controls, "put", full)
    assert app.client.get("/healthz").status_code == 200
    assert app.client.get("/readyz").status_code == 503
    monkeypatch.undo()
    wait_until(lambda: app.client.get("/readyz").status_code == 200)


def test_the_document_shows_every_route_with_bodies_problems_and_security(app: App) -> None:
    document = app.get("/openapi.json").json()
    operation = document["paths"]["/v1/predictions"]["post"]
    assert {"200", "202", "400", "401", "403", "409", "413", "415", "422", "503"} <= set(operation["responses"])
    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/PredictionRequest")
    assert [one["name"] for one in operation["parameters"]] == ["Idempotency-Key"]
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    for path in ("/v1/predictions", "/v1/predictions/{item_id}"):
        assert document["paths"][path]["get"]["security"] == [{"key": []}]
    assert operation["security"] == [{"key": []}]


def test_every_reference_of_the_document_leads_somewhere(app: App) -> None:
    document = app.get("/openapi.json").json()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    found, waiting = set(), [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found |= {one["$ref"]} if isinstance(one.get("$ref"), str) else set()
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    assert found <= known


def test_metrics_carry_codes_and_never_contents(app: App) -> None:
    identity = app.post("canary", source_id="canary", subject="canary", group="canary", key="canary").json()["id"]
    app.client.get("/canary", headers={"x-request-id": "canary"})
    app.drained()
    text = app.get("/metrics", "olga").text
    assert "canary" not in text
    assert identity not in text
    assert 'pilot_answers_total{mode="shadow",reason="",status="recorded"} 1.0' in text
    assert 'route="unknown",status="404"' in text


@pytest.mark.parametrize(("holds", "most"), [(60.0, 1), (0.0, 30)])
def test_readiness_asks_the_database_once_while_its_answer_holds(
    holds: float, most: int, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may ask, and each question is a write. Where no answer holds, each of them is one."""
    asked: list[object] = []
    probe = controls.probe
    monkeypatch.setattr(controls, "probe", lambda connection: asked.append(1) or probe(connection))
    monkeypatch.setattr(server, "PROBED", holds)
    assert {app.client.get("/readyz").status_code for _ in range(30)} == {200}
    assert len(asked) <= most
    assert holds or len(asked) == most
