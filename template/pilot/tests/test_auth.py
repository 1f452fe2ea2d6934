"""Access: every route wants a key, each role has its routes, and nobody learns of another's items."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid

import orjson
import pytest
from conftest import App, AppMaker, wait_until
from fastapi.routing import APIRoute
from limits import RateLimitItemPerMinute
from sqlalchemy.exc import OperationalError
from starlette.routing import Mount, Route

from pilot.records import keys
from pilot.records.database import writing
from pilot.records.tables import audit
from pilot.records.tables import keys as table
from pilot.serving import rates
from pilot.serving.auth import ACCESS, OPEN

NOBODY = str(uuid.UUID(int=0))


@pytest.fixture
def app(make_app: AppMaker) -> App:
    return make_app()


def _routes(app: App) -> list[tuple[str, str]]:
    found, waiting = [], list(app.client.app.routes)  # type: ignore[attr-defined]
    while waiting:
        route = waiting.pop()
        inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
        if inner and not isinstance(route, Mount):
            waiting.extend(inner)
        elif isinstance(route, Route | APIRoute):
            found += [(method, route.path) for method in sorted(route.methods or ())]
    return found


@pytest.mark.parametrize(
    "header",
    [None, "Bearer wrong", "Bearer", "Bearer ", "Basic {}", "Token {}", "{}", "Bearer {} x", "bearer\t{}", "Bearer é"],
)
def test_every_route_but_the_open_ones_is_401_without_a_key_in_force(header: str | None, app: App) -> None:
    routes = [route for route in _routes(app) if route not in OPEN and route != ("POST", "/login")]
    assert {("POST", "/v1/predictions"), ("GET", "/metrics"), ("GET", "/openapi.json")} <= set(routes)
    assert len(routes) >= 6
    key = app.keys["olga"]
    headers = {} if header is None else {"authorization": header.format(key).encode()}
    if header not in (None, "Bearer wrong"):
        routes = [(method, path) for method, path in routes if path.startswith("/v1") or path == "/metrics"][:4]
    for method, path in routes:
        reply = app.client.request(method, path.replace("{item_id}", NOBODY), headers=headers, follow_redirects=False)
        assert reply.status_code == 401, (method, path)
        assert reply.headers["www-authenticate"] == "Bearer"


def test_every_route_is_in_the_table_of_roles_or_open(app: App) -> None:
    assert set(_routes(app)) - {("HEAD", path) for _, path in OPEN} == {*ACCESS, *OPEN}


PAGES = {("POST", "/login"), ("POST", "/logout")}
PAGES |= {(method, path) for method, path in ACCESS if path.startswith(("/review", "/guide"))}
WHO = {"caller": "shop", "reviewer": "rita", "operator": "olga", "auditor": "anna"}


@pytest.mark.parametrize(("method", "path"), sorted(ACCESS.keys() - PAGES))
def test_a_role_gets_its_routes_and_403_elsewhere(method: str, path: str, app: App) -> None:
    for role, who in WHO.items():
        address = path.replace("{item_id}", NOBODY)
        status = app.client.request(method, address, headers=app.headers(who)).status_code
        assert (status == 403) == (role not in ACCESS[method, path]), role
        assert status not in (401, 429)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/review"), ("GET", "/review/{item_id}"), ("POST", "/review/{item_id}")]
)
def test_a_page_follows_the_table_too(
    method: str, path: str, make_app: AppMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app("right", "assist")
    item = app.post("money").json()["id"]
    app.client.base_url = "http://localhost"  # type: ignore[assignment]
    assert app.client.post("/login", data={"key": app.keys["rita"]}, follow_redirects=False).status_code == 303
    monkeypatch.setitem(ACCESS, (method, path), ("auditor",))
    for one, address in (("GET", "/review"), ("GET", "/review/{item_id}"), ("POST", "/review/{item_id}")):
        status = app.client.request(one, address.replace("{item_id}", item)).status_code
        assert (status == 401) == ((one, address) == (method, path))


def test_a_route_that_is_not_in_the_table_is_nobodys(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ACCESS, ("GET", "/metrics"))
    assert {app.get("/metrics", who).status_code for who in WHO.values()} == {403}


def test_a_key_that_tries_another_roles_function_leaves_one_trace_a_minute(app: App) -> None:
    for _ in range(5):
        assert app.get("/metrics", "shop").status_code == 403
    assert app.post("a", "rita").status_code == 403
    left = [(row.actor, orjson.loads(row.detail)["route"]) for row in app.rows(audit) if row.event == "role.refused"]
    assert left == [("shop", "GET /metrics"), ("rita", "POST /v1/predictions")]


def test_too_many_wrong_keys_are_refused_and_leave_one_trace(app: App) -> None:
    app.keys["wrong"] = "pilot_0_0"
    replies = [app.get("/metrics", "wrong") for _ in range(rates.GUESSES.amount + 5)]
    assert [reply.status_code for reply in replies[:30]] == [401] * 30
    assert {reply.status_code for reply in replies[30:]} == {429}
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 90
    assert [row.event for row in app.rows(audit)].count("keys.refused") == 1
    assert app.post("a").status_code == 202, "a key in force is never held up"
    page = app.client.post("/login", data={"key": "wrong"})
    assert page.status_code == 429
    assert 'name="key"' in page.text or "Too many" in page.text


def test_without_the_limit_keys_can_be_guessed_for_ever(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "GUESSES", RateLimitItemPerMinute(10**9))
    app.keys["wrong"] = "pilot_0_0"
    assert {app.get("/metrics", "wrong").status_code for _ in range(40)} == {401}


def test_a_refusal_stands_where_it_cannot_be_noted(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: object) -> None:
        raise OperationalError("", None, Exception("disk is full"))

    monkeypatch.setattr(app.service.committer, "call", away)
    assert app.get("/metrics", "shop").status_code == 403


def test_another_callers_item_is_as_unknown_as_none(app: App) -> None:
    identity = app.post("a").json()["id"]
    assert app.get(f"/v1/predictions/{identity}", "shop").status_code == 200

    def told(method: str, path: str) -> tuple[int, dict[str, object]]:
        reply = app.client.request(method, path, headers=app.headers("bank"), json={"final": {"label": "x"}})
        return reply.status_code, {n: v for n, v in reply.json().items() if n != "request_id"}

    for method, ending in (("GET", ""), ("POST", "/outcome")):
        theirs, nobodys = (told(method, f"/v1/predictions/{one}{ending}") for one in (identity, NOBODY))
        assert theirs == nobodys
        assert theirs[0] == 404
    assert app.get("/v1/predictions", "bank").json()["items"] == []
    assert len(app.get("/v1/predictions", "olga").json()["items"]) == 1


@pytest.mark.parametrize("identity", ["x", "..", NOBODY.upper(), "%00", "🙂", "1' OR '1'='1", "a" * 5000])
def test_an_odd_id_is_unknown(identity: str, app: App) -> None:
    assert app.get(f"/v1/predictions/{identity}").status_code == 404


def test_a_new_key_holds_at_once_and_a_revoked_one_ends_within_seconds(app: App) -> None:
    for _ in range(3):
        with writing(app.service.engine) as connection:
            app.keys["new"] = keys.create(connection, "caller", "new", "test", "olga")
        app.service.live._read_at = time.monotonic()
        assert app.post("a", who="new").status_code == 202
    with writing(app.service.engine) as connection:
        keys.revoke(connection, app.keys["new"].split("_")[1], "olga")
    wait_until(lambda: app.post("a", who="new").status_code == 401, 10)
    assert [row.actor for row in app.rows(audit) if row.event == "key.revoked"] == ["olga"]


def test_a_flood_of_wrong_keys_looks_a_few_times_a_second(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = app.service.live.read
    monkeypatch.setattr(app.service.live, "read", lambda: looks.append(1) or look())

    async def flood() -> None:
        in_force = app.service.live
        in_force._asking = asyncio.Lock()
        assert set(await asyncio.gather(*(in_force.key(f"wrong {n}") for n in range(200)))) == {None}

    asyncio.run(flood())
    assert len(looks) <= 4


def test_an_unknown_key_is_503_while_the_database_cannot_be_asked(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError

    monkeypatch.setattr(app.service.live, "read", fail)
    app.keys["new"] = "pilot_x_y"
    reply = app.post("a", who="new")
    assert reply.status_code == 503
    assert reply.headers["retry-after"]
    assert app.post("a").status_code == 202, "known keys go on"


def test_keys_are_kept_as_hashes_alone(app: App) -> None:
    with app.service.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = (app.settings.root / "var" / "pilot.db").read_bytes()
    for secret in app.keys.values():
        assert secret.encode() not in raw
        assert secret.split("_", 2)[2].encode() not in raw
    assert sqlite3.connect(app.settings.root / "var" / "pilot.db").execute("SELECT count(*) FROM keys").fetchone() == (
        5,
    )
    assert {len(row.hash) for row in app.rows(table)} == {64}
