"""The HTTP interface: repeats, pages of items, and what an item looks like."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import App, AppMaker, wait_until

from pilot.records.tables import items
from pilot.serving import api


@pytest.fixture
def app(make_app: AppMaker) -> App:
    return make_app("right", "assist")


def test_a_record_holds_what_the_envelope_promises(make_app: AppMaker) -> None:
    app = make_app("remote", "auto")
    reply = app.post("money", key="k", source_id="s", subject="jane", group="g", arrived_at="2024-01-02T03:04:05Z")
    row = app.rows(items)[0]
    assert row.id == reply.json()["id"]
    assert (row.caller, row.origin, row.mode, row.idempotency_key, row.source_id, row.group) == (
        "shop", "live", "auto", "k", "s", "g",
    )  # fmt: skip
    assert row.request_id == reply.headers["x-request-id"]
    assert row.arrived_at.isoformat() == "2024-01-02T03:04:05+00:00"
    assert row.subject not in (None, "jane")
    assert row.response == reply.content
    assert (row.status, row.state) == ("answered", "done")


def test_as_many_records_as_accepted_requests(app: App) -> None:
    bodies = [b'{"item":{"text":"%d"}}' % n if n % 3 else b'{"item":{}}' for n in range(60)]
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda body: app.raw(body).status_code, bodies))
    assert statuses.count(200) == 40
    assert statuses.count(422) == 20
    assert len(app.rows(items)) == 40
    metrics = app.get("/metrics", "olga").text
    assert 'pilot_requests_total{method="POST",route="/v1/predictions",status="200"} 40.0' in metrics
    assert 'pilot_refused_total{reason="schema"} 20.0' in metrics


@pytest.mark.parametrize("mode", ["off", "shadow", "assist", "auto"])
@pytest.mark.parametrize("by", ["key", "source_id"])
def test_a_repeat_gets_the_first_response_also_in_another_mode(mode: str, by: str, make_app: AppMaker) -> None:
    app = make_app("right", mode)
    first = app.post("money", **{by: "k"})
    app.drained()
    app.set_mode("off" if mode != "off" else "auto")
    calls = len(app.calls.all())
    again = app.post("money", **{by: "k"})
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert len(app.rows(items)) == 1
    if by == "key" and mode == "auto":
        assert len(app.calls.all()) == calls


def test_the_same_key_with_another_body_is_422_and_names_the_first(app: App) -> None:
    first = app.post("money", key="k").json()["id"]
    for changed in (
        app.post("other", key="k"),
        app.post("money", key="k", group="g"),
        app.post("money", key="k", subject="s"),
    ):
        assert (changed.status_code, changed.json()["id"]) == (422, first)
    assert len(app.rows(items)) == 1


def test_a_source_id_with_another_body_is_422(app: App) -> None:
    app.post("money", source_id="s")
    assert app.post("other", source_id="s").status_code == 422


def test_keys_and_source_ids_are_each_callers_own(app: App) -> None:
    ids = {app.post("money", who, key="k", source_id="s").json()["id"] for who in ("shop", "bank")}
    assert len(ids) == 2


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 201, "a\tb"])
def test_an_odd_idempotency_key_is_400(key: str, app: App) -> None:
    headers = {**app.headers(), "idempotency-key": key.encode()}
    assert app.client.post("/v1/predictions", json={"item": {"text": "a"}}, headers=headers).status_code == 400


def test_while_the_first_is_being_answered_a_repeat_is_409_and_the_item_pending(make_app: AppMaker) -> None:
    app = make_app("remote", "assist", {"seconds": 1.5})
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(app.post, "money", key="k")
        row = wait_until(lambda: app.rows(items))[0]
        repeat = app.post("money", key="k")
        assert (repeat.status_code, repeat.headers["retry-after"], repeat.json()["id"]) == (409, "1", row.id)
        assert app.post("other", key="k").status_code == 422
        shown = app.get(f"/v1/predictions/{row.id}")
        assert (shown.status_code, shown.json()["status"], shown.json()["prediction"]) == (200, "pending", None)
        assert [one["status"] for one in app.get("/v1/predictions").json()["items"]] == ["pending"]
        assert app.judge(row.id, final={"label": "refund"}).status_code == 201
        assert first.result().json()["status"] == "answered"
    assert app.post("money", key="k").content == first.result().content
    assert len(app.calls.all()) == 1


def test_pages_hold_each_item_once_newest_first(app: App) -> None:
    made = [app.post(str(n), "bank" if n % 4 == 0 else "shop").json()["id"] for n in range(12)]
    mine = [one for n, one in enumerate(made) if n % 4][::-1]
    seen: list[Any] = []
    path: str | None = "/v1/predictions?limit=4"
    pages = 0
    while path:
        page = app.get(path).json()
        pages += 1
        assert len(page["items"]) <= 4
        seen += [one["id"] for one in page["items"]]
        path = f"/v1/predictions?limit=4&before={page['next']}" if page["next"] else None
    assert seen == mine
    assert pages == 3
    assert [one["id"] for one in app.get("/v1/predictions?limit=500", "olga").json()["items"]] == made[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "before=0", f"before={2**54}", "limit=1e3"])
def test_an_odd_page_is_422(query: str, app: App) -> None:
    reply = app.get(f"/v1/predictions?{query}")
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize(("method", "path", "status"), [("DELETE", "/v1/predictions", 405), ("GET", "/nothing", 404)])
def test_what_is_not_there_is_a_problem_too(method: str, path: str, status: int, app: App) -> None:
    reply = app.client.request(method, path, headers=app.headers())
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")


def test_the_shortcut_of_the_hot_route_changes_no_answer(make_app: AppMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(name: str) -> list[tuple[int, Any, str | None]]:
        app = make_app("right", "assist", database_url=f"sqlite:///{name}.db")
        found = [
            app.post("where is my money"),
            app.post(),
            app.post(who="rita"),
            app.raw(b"{"),
            app.raw(b'{"item": {"text": 1}}'),
            app.raw(b"{}", content_type="text/plain"),
            app.client.post("/v1/predictions"),
            app.client.put("/v1/predictions"),
            app.client.post("/v1/predictions/"),
        ]
        changing = {"id", "request_id"}
        return [
            (
                one.status_code,
                {field: value for field, value in one.json().items() if field not in changing} if one.content else None,
                one.headers.get("content-type"),
            )
            for one in found
        ]

    with_it = answers("with")
    monkeypatch.setattr(api.Shortcut, "__call__", lambda self, *given: self._app(*given))
    assert with_it == answers("without")
    assert [status for status, *_ in with_it[:6]] == [200, 200, 403, 400, 422, 415]
