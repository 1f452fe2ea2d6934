"""Signing in by an identity provider: a real one, and one that lies."""

from __future__ import annotations

import base64
import contextlib
import html
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import orjson
import pytest
from conftest import App, AppMaker, free_port, wait_until
from identity_provider import CLIENT, PASSWORD, SECRET
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from pilot.contract import PilotError
from pilot.records import keys
from pilot.records.database import writing
from pilot.records.tables import audit
from pilot.serving import oidc
from pilot.settings import load_settings

OURS = "http://localhost"


def with_provider(make_app: AppMaker, issuer: str, **changes: Any) -> App:
    """The application, whose reviewers sign in there too."""
    app = make_app(
        "right",
        "assist",
        public_url=OURS,
        oidc_issuer=issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
        **changes,
    )
    app.client.base_url = OURS  # type: ignore[assignment]
    return app


def add(app: App, role: str, name: str) -> None:
    with writing(app.service.engine) as connection:
        keys.create(connection, role, name, "live", "test")


def events(app: App, event: str) -> list[Any]:
    return [(row.actor, orjson.loads(row.detail)) for row in app.rows(audit) if row.event == event]


@pytest.fixture(scope="module")
def canaille(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The issuer of a real provider."""
    port, log = free_port(), tmp_path_factory.mktemp("canaille") / "log"
    with log.open("w") as lines:
        process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("identity_provider.py"), str(port), f"{OURS}{oidc.BACK}"],
            stdout=lines,
            stderr=lines,
        )
    issuer = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{issuer}/.well-known/openid-configuration").status_code == 200
        return False

    wait_until(answers, 60)
    yield issuer
    process.terminate()
    process.wait(30)


def as_person(address: str, name: str) -> str:
    """Goes through the provider's own pages as a browser without scripts does; gives the address that leads back."""
    with httpx.Client(follow_redirects=False, timeout=30) as browser:
        reply = browser.get(address)
        for _ in range(20):
            if reply.is_redirect:
                onward = urljoin(str(reply.url), reply.headers["location"])
                if onward.startswith(OURS):
                    return onward
                reply = browser.get(onward)
                continue
            fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', reply.text))
            fields |= {name: html.unescape(value) for name, value in fields.items()}
            for field, value in (("login", name), ("password", PASSWORD)):
                if f'name="{field}"' in reply.text:
                    fields[field] = value
            if 'name="answer"' in reply.text:
                fields["answer"] = "accept"
            action = re.search(r'<form[^>]*action="([^"]*)"', reply.text)
            target = urljoin(str(reply.url), html.unescape(action[1])) if action and action[1] else str(reply.url)
            reply = browser.post(target, data=fields)
        raise AssertionError(reply.text[:2000])


def back(app: App, address: str) -> httpx.Response:
    parts = urlsplit(address)
    return app.client.get(f"{parts.path}?{parts.query}", follow_redirects=False)


def test_a_reviewer_signs_in_at_a_real_provider(make_app: AppMaker, canaille: str) -> None:
    app = with_provider(make_app, canaille, oidc_claim="sub")
    add(app, "reviewer", "ann")
    item = app.post("money").json()["id"]
    page = app.client.get(f"/review/{item}")
    assert page.status_code == 401
    assert f'href="/login/provider?onward=/review/{item}"' in page.text
    away = app.client.get(f"/login/provider?onward=/review/{item}", follow_redirects=False)
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [f"{OURS}{oidc.BACK}"]
    signed_in = back(app, as_person(away.headers["location"], "ann"))
    assert signed_in.status_code == 200, signed_in.text
    assert f'content="0; url=/review/{item}"' in signed_in.text
    assert "Signed in as <strong>ann</strong>" in app.client.get(f"/review/{item}").text
    assert events(app, "session.opened") == [("ann", {"by": "provider", "key": key_of(app, "ann")})]


def key_of(app: App, name: str) -> str:
    with app.service.engine.connect() as connection:
        found = keys.of_person(connection, name, "reviewer", exact=True)
    assert found is not None
    return found.id


def test_somebody_who_is_no_reviewer_is_refused_with_one_trace(make_app: AppMaker, canaille: str) -> None:
    app = with_provider(make_app, canaille, oidc_claim="sub")
    add(app, "caller", "bob")
    for _ in range(2):
        away = app.client.get("/login/provider", follow_redirects=False)
        refused = back(app, as_person(away.headers["location"], "bob"))
        assert refused.status_code == 403
        assert "You are bob at the identity provider, and no reviewer here." in html.unescape(refused.text)
    assert [who for who, _ in events(app, "sign_in.refused")] == ["bob"]
    assert app.client.get("/review").status_code == 401


def test_an_address_that_the_provider_does_not_call_verified_is_nobodys(make_app: AppMaker, canaille: str) -> None:
    app = with_provider(make_app, canaille)
    add(app, "reviewer", "ann@example.com")
    away = app.client.get("/login/provider", follow_redirects=False)
    refused = back(app, as_person(away.headers["location"], "ann"))
    assert refused.status_code == 403
    assert "verified" in refused.text


def test_another_browsers_sign_in_and_a_second_use_are_refused(make_app: AppMaker, canaille: str) -> None:
    app = with_provider(make_app, canaille, oidc_claim="sub")
    add(app, "reviewer", "ann")
    away = app.client.get("/login/provider", follow_redirects=False)
    came = as_person(away.headers["location"], "ann")
    mine = app.client.cookies[oidc.COOKIE]
    app.client.cookies.clear()
    assert back(app, came).status_code == 401
    other = app.client.get("/login/provider", follow_redirects=False)
    assert other.status_code == 302
    assert back(app, came).status_code == 401
    app.client.cookies.clear()
    app.client.cookies.set(oidc.COOKIE, mine, domain="localhost.local", path=oidc.BACK)
    assert back(app, came).status_code == 200
    app.client.cookies.set(oidc.COOKIE, mine, domain="localhost.local", path=oidc.BACK)
    assert back(app, came).status_code == 401


class Liar:
    """A provider whose tokens say what a test wants, signed as it wants."""

    def __init__(self) -> None:
        self.key, self.other = (RSAKey.generate_key(2048, auto_kid=True) for _ in range(2))
        self.claims: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.asked: list[dict[str, list[str]]] = []
        self.status = 200
        liar = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(
                    {"keys": [liar.key.as_dict(private=False)]} if self.path == "/keys" else liar.metadata, liar.status
                )

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                liar.asked.append(parse_qs(body))
                self.answer({"access_token": "a", "token_type": "Bearer", "id_token": liar.sign(liar.claims)}, 200)

            def answer(self, content: Any, status: int) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(orjson.dumps(content))

            def log_message(self, *_: Any) -> None:
                """Keeps quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self.metadata: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["none", "HS256", "RS256"],
        }
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)

    def forged(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.other)

    def by_secret(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))

    def unsigned(self, claims: dict[str, Any]) -> str:
        parts = (
            base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode() for part in ({"alg": "none"}, claims)
        )
        return f"{'.'.join(parts)}."


@pytest.fixture
def liar() -> Iterator[Liar]:
    provider = Liar()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


def signed_in_by(app: App, liar: Liar, **lies: Any) -> httpx.Response:
    """Begins, and comes back with a code for which the provider tells of ann, with these lies."""
    away = app.client.get("/login/provider", follow_redirects=False)
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    now = int(time.time())
    liar.claims = {
        "iss": liar.issuer,
        "aud": CLIENT,
        "sub": "1",
        "exp": now + 300,
        "iat": now,
        "nonce": asked["nonce"][0],
        "email": "Ann@Example.com",
        "email_verified": True,
        **lies,
    }
    return app.client.get(f"{oidc.BACK}?code=c&state={asked['state'][0]}", follow_redirects=False)


@pytest.fixture
def lied_to(make_app: AppMaker, liar: Liar) -> App:
    app = with_provider(make_app, liar.issuer)
    add(app, "reviewer", "ann@example.com")
    return app


def test_a_verified_address_is_a_reviewers_whatever_its_capitals(lied_to: App, liar: Liar) -> None:
    assert signed_in_by(lied_to, liar).status_code == 200
    assert len(liar.asked[0]["code_verifier"][0]) >= 43
    assert "Signed in as <strong>ann@example.com</strong>" in lied_to.client.get("/review").text


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": "another"},
        {"aud": "another"},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"iss": "http://127.0.0.1:1"},
        {"exp": 1_700_000_000},
        {"sub": None},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_a_token_that_does_not_hold_is_refused(lie: dict[str, Any], lied_to: App, liar: Liar) -> None:
    refused = signed_in_by(lied_to, liar, **lie)
    assert refused.status_code == 401
    assert "did not end as it began" in refused.text
    assert lied_to.client.get("/review").status_code == 401


@pytest.mark.parametrize("way", ["forged", "by_secret", "unsigned"])
def test_a_token_that_the_provider_did_not_sign_is_refused(way: str, lied_to: App, liar: Liar) -> None:
    liar.sign = getattr(liar, way)
    assert signed_in_by(lied_to, liar).status_code == 401
    assert lied_to.client.get("/review").status_code == 401


def test_without_its_list_of_signatures_an_unsigned_token_would_be_believed(
    lied_to: App, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "SIGNATURES", ("none",))
    liar.sign = liar.unsigned
    assert signed_in_by(lied_to, liar).status_code == 200


def test_the_audience_and_the_issuer_are_those_of_the_settings(
    lied_to: App, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lied_to.service.settings, "oidc_client_id", "another")
    assert signed_in_by(lied_to, liar, aud=["another"]).status_code == 200
    assert signed_in_by(lied_to, liar).status_code == 401
    liar.metadata["issuer"] = "http://127.0.0.1:1"
    assert signed_in_by(lied_to, liar, aud="another", iss="http://127.0.0.1:1").status_code == 401


@pytest.mark.parametrize("claims", [{"email_verified": False}, {"email_verified": "true"}, {"email": None}])
def test_an_address_that_is_not_verified_is_refused(claims: dict[str, Any], lied_to: App, liar: Liar) -> None:
    assert signed_in_by(lied_to, liar, **claims).status_code == 403


def test_a_revoked_key_ends_who_signed_in_by_the_provider(lied_to: App, liar: Liar) -> None:
    assert signed_in_by(lied_to, liar).status_code == 200
    with writing(lied_to.service.engine) as connection:
        keys.revoke(connection, key_of(lied_to, "ann@example.com"), "test")
    assert lied_to.client.get("/review").status_code == 401
    assert signed_in_by(lied_to, liar).status_code == 403


def test_sign_ins_that_fail_meet_the_limit_of_wrong_keys(lied_to: App, liar: Liar) -> None:
    found = [lied_to.client.get(f"{oidc.BACK}?code=c&state=s", follow_redirects=False) for _ in range(32)]
    assert [reply.status_code for reply in found] == [401] * 30 + [429] * 2
    assert signed_in_by_refused(lied_to)
    assert liar.asked == []
    assert len(events(lied_to, "keys.refused")) == 1


def signed_in_by_refused(app: App) -> bool:
    return app.client.get("/login/provider", follow_redirects=False).status_code == 429


@pytest.mark.parametrize("flaw", ["gone", "broken", "empty"])
def test_a_provider_that_does_not_answer_leaves_the_keys(flaw: str, lied_to: App, liar: Liar) -> None:
    if flaw == "gone":
        liar.server.shutdown()
        liar.server.server_close()
    liar.status, liar.metadata = (500, liar.metadata) if flaw == "broken" else (200, {})
    reply = lied_to.client.get("/login/provider", follow_redirects=False)
    assert reply.status_code == 503
    assert "sign in with a reviewer key" in reply.text
    assert lied_to.client.post("/login", data={"key": lied_to.keys["rita"]}, follow_redirects=False).status_code == 303
    if flaw == "gone":
        liar.server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        threading.Thread(target=liar.server.serve_forever, daemon=True).start()


def test_without_a_provider_nothing_shows_of_it(make_app: AppMaker) -> None:
    app = make_app()
    assert "/login/provider" not in app.client.get("/login").text
    for path in ("/login/provider", oidc.BACK):
        assert app.client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"oidc_issuer": "https://id.example"}, "needs PILOT_OIDC_CLIENT_ID and PILOT_PUBLIC_URL too"),
        ({"oidc_client_id": "a", "public_url": "https://a.example"}, "needs PILOT_OIDC_ISSUER too"),
        (
            {"oidc_issuer": "http://id.example", "oidc_client_id": "a", "public_url": "https://a.example"},
            "PILOT_OIDC_ISSUER must begin with https://",
        ),
        (
            {"oidc_issuer": "https://id.example", "oidc_client_id": "a", "public_url": "a.example"},
            "PILOT_PUBLIC_URL must look like https://HOST",
        ),
    ],
)
def test_half_of_the_settings_stop_the_start(changes: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(PilotError) as refused:
        load_settings(root=tmp_path, **changes)
    assert said in str(refused.value)
