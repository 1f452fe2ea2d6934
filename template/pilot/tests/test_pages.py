"""The pages: what they show, what they hide, and whom they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from pydantic import Field
from sqlalchemy import create_engine, select
from starlette.testclient import TestClient

import pilot
from pilot.contract import Answer, Failure, Team
from pilot.records import controls, keys
from pilot.records.controls import Mode
from pilot.records.database import migrate, open_database, writing
from pilot.records.tables import outcomes, sessions
from pilot.serving import auth as signing
from pilot.serving import review
from pilot.serving import review as module
from pilot.serving.app import create_app
from pilot.settings import load_settings

HERE = "http://127.0.0.1:8000"
SECRETS = ("zebra-by-the-model", "0.8731", "87 %", "model-version-9", "yak-by-the-rules", "rules-version-9")


class Item(pilot.Item):
    text: str
    urgent: bool = False


class Prediction(pilot.Prediction):
    label: str = Field(description="Who shall handle it.")


class Model:
    version = "model-version-9"

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels

    def predict(self, items: Sequence[Item]) -> list[Answer]:
        return [
            Answer.failed(Failure.ABSTAINED)
            if "strange" in item.text
            else Answer(Prediction(label="zebra-by-the-model"), 0.8731)
            for item in items
        ]


class Rules:
    version = "rules-version-9"

    def predict(self, items: Sequence[Item]) -> list[Answer]:
        return [Answer(Prediction(label="yak-by-the-rules")) for _ in items]


class Pages:
    """An application, and the keys of those who use it."""

    def __init__(self, client: TestClient, people: dict[str, str]) -> None:
        self.client, self.people = client, people
        self.service: Any = client.app.state.service  # type: ignore[attr-defined]

    def item(self, text: str = "My card was charged twice", mode: str = "shadow") -> str:
        with writing(self.service.engine) as connection:
            controls.set_mode(connection, Mode(mode), "test")
        self.service.live.read()
        headers = {"authorization": f"Bearer {self.people['shop']}"}
        response = self.client.post("/v1/predictions", json={"item": {"text": text}}, headers=headers)
        self.client.portal.call(self.service.drain)  # type: ignore[union-attr]
        identity: str = response.json()["id"]
        return identity

    def audited(self) -> str:
        """An item that auto answered and that drew the lot of an audit."""
        self.service.audit_share = 1.0
        return self.item(mode="auto")

    def person(self, name: str = "rita", host: str = HERE) -> Person:
        person = Person(self, host)
        assert person.send("/login", key=self.people[name]).status_code == 303
        return person

    def outcomes(self, item: str) -> list[Any]:
        wanted = select(outcomes).where(outcomes.c.item_id == item).order_by(outcomes.c.version)
        with self.service.engine.connect() as connection:
            return list(connection.execute(wanted))


class Person:
    """A browser of one's own, without scripts."""

    def __init__(self, pages: Pages, host: str = HERE) -> None:
        self.client = TestClient(pages.client.app, host, raise_server_exceptions=False, follow_redirects=False)
        self.client.portal = pages.client.portal  # the application runs once, for all of them

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def send(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        """Sends a form as a browser does, or with these headers."""
        own = {"origin": str(self.client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
        fields = {"final-label" if name == "label" else name: value for name, value in fields.items()}
        return self.client.post(path, data=fields, headers=own if headers is None else headers)

    def form(self, item: str) -> dict[str, str]:
        """What the form of an item holds from the start."""
        return hidden(self.get(f"/review/{item}").text, f"/review/{item}")

    def decide(self, item: str, **fields: str) -> httpx.Response:
        return self.send(f"/review/{item}", **{**self.form(item), **fields})


def hidden(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that goes to `action`."""
    form = page.split(f'action="{action}"', 1)[1].split("</form>")[0]
    found = re.findall(r'<input type="hidden" name="(\w+)" value="(.*?)">', form)
    return {name: unescape(value) for name, value in found}


def words(page: str) -> str:
    """What a person reads."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


Maker = Callable[..., Pages]


@pytest.fixture
def make_pages(tmp_path: Path) -> Iterator[Maker]:
    """`make_pages(labels, prediction, **settings)`: the application of such a team."""
    opened: list[TestClient] = []

    def make(
        labels: tuple[str, ...] = ("access", "billing"),
        prediction: type[pilot.Prediction] = Prediction,
        **settings: Any,
    ) -> Pages:
        read = load_settings(root=tmp_path, **settings)
        engine = open_database(read)
        migrate(engine)
        people = (("caller", "shop"), ("operator", "olga"), ("reviewer", "rita"), ("reviewer", "ravi"))
        with writing(engine) as connection:
            made = {name: keys.create(connection, role, name, "live", "test") for role, name in people}
        engine.dispose()
        team = Team(item=Item, prediction=prediction, model=lambda _: Model(labels), rules=Rules)
        client = TestClient(create_app(team, read), HERE, raise_server_exceptions=False)
        opened.append(client.__enter__())
        return Pages(client, made)

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def pages(make_pages: Maker) -> Pages:
    return make_pages()


def test_a_reviewers_key_opens_the_queue(pages: Pages) -> None:
    person = Person(pages)
    assert person.get("/").headers["location"] == "/review"
    assert person.get("/review").status_code == 401
    response = person.send("/login", key=f" {pages.people['rita']}\n")
    assert (response.status_code, response.headers["location"]) == (303, "/review")
    assert "Signed in as rita" in words(person.get("/review").text)


def test_signing_in_leads_on_to_an_item_and_nowhere_else(pages: Pages) -> None:
    item, person = pages.item(), Person(pages)
    asked = hidden(person.get(f"/review/{item}").text, "/login")["onward"]
    assert asked == f"/review/{item}"
    elsewhere = ("https://evil.example/", "//evil.example", "/review/../v1", f"{asked}/../..", "/review/\nx: y")
    for onward, location in ((asked, asked), *((place, "/review") for place in elsewhere)):
        response = person.send("/login", key=pages.people["rita"], onward=onward)
        assert response.headers["location"] == location


@pytest.mark.parametrize("wrong", ["", "x", "pilot_00000000_nonsense", "clé", "a" * 5000])
def test_wrong_keys_are_answered_alike(pages: Pages, wrong: str) -> None:
    response = Person(pages).send("/login", key=wrong)
    assert response.status_code == 401
    assert "set-cookie" not in response.headers
    assert "This key is not in force." in response.text
    assert response.text == Person(pages).send("/login", key="another").text


@pytest.mark.parametrize(("name", "role"), [("shop", "caller"), ("olga", "operator")])
def test_other_roles_are_told_that_they_need_a_reviewers_key(pages: Pages, name: str, role: str) -> None:
    response = Person(pages).send("/login", key=pages.people[name])
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert f"This key has the role {role}." in words(response.text)
    assert pages.people[name] not in response.text


@pytest.mark.parametrize(
    ("host", "secure"),
    [
        ("http://127.0.0.1:8000", False),
        ("http://localhost:8000", False),
        ("http://[::1]:8000", False),
        ("https://pilot.example", True),
        ("https://127.0.0.1.evil.example", True),
    ],
)
def test_the_cookie_is_for_this_host_and_no_script(pages: Pages, host: str, secure: bool) -> None:
    cookie = Person(pages, host).send("/login", key=pages.people["rita"]).headers["set-cookie"].lower()
    attributes = {part.strip() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= attributes
    assert ("secure" in attributes) == secure
    assert not any(part.startswith("domain") for part in attributes)


def test_the_cookie_holds_a_secret_that_the_database_does_not(pages: Pages) -> None:
    secret = pages.person().client.cookies[signing.COOKIE]
    with pages.service.engine.connect() as connection:
        row = connection.execute(select(sessions)).one()
    assert len(secret) >= 43
    assert row.hash == keys.hash_of(secret)
    assert secret not in str(row)


def test_signing_out_ends_the_session_and_not_only_its_cookie(pages: Pages) -> None:
    person = pages.person()
    cookie = person.client.cookies[signing.COOKIE]
    assert person.send("/logout", **hidden(person.get("/review").text, "/logout")).status_code == 303
    assert signing.COOKIE not in person.client.cookies
    person.client.cookies.set(signing.COOKIE, cookie)
    assert person.get("/review").status_code == 401


def test_a_revoked_key_ends_its_sessions(pages: Pages) -> None:
    item, person = pages.item(), pages.person()
    form = person.form(item)
    with writing(pages.service.engine) as connection:
        keys.revoke(connection, pages.people["rita"].split("_")[1], "test")
    assert person.get("/review").status_code == 401
    response = person.send(f"/review/{item}", **form, label="access", comment="a long thought")
    assert response.status_code == 401
    assert "a long thought" in words(response.text)
    assert pages.outcomes(item) == []


def test_nothing_is_shown_or_done_for_strangers(pages: Pages) -> None:
    item, stranger = pages.item("private words"), Person(pages)
    for response in (
        stranger.get("/review"),
        stranger.get(f"/review/{item}"),
        stranger.send(f"/review/{item}", label="access"),
        stranger.send("/logout"),
    ):
        assert response.status_code == 401
        assert "private words" not in response.text
    assert pages.outcomes(item) == []


FORGERIES: dict[str, tuple[str, dict[str, str] | None]] = {
    "no token": ("none", None),
    "an empty token": ("", None),
    "a wrong token": ("é" * 64, None),
    "another session's token": ("other", None),
    "another site": ("own", {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}),
    "a sister site": ("own", {"origin": HERE, "sec-fetch-site": "same-site"}),
    "an older browser on another site": ("own", {"origin": "https://evil.example"}),
    "an older browser that hides the site": ("own", {"origin": "null"}),
}


def _forge(pages: Pages, kind: str, item: str) -> httpx.Response:
    """Sends what an attacker could make the browser of somebody who is signed in send."""
    token, headers = FORGERIES[kind]
    person = pages.person()
    form = person.form(item)
    match token:
        case "none":
            del form["token"]
        case "other":
            form["token"] = pages.person("ravi").form(item)["token"]
        case "own":
            pass
        case _:
            form["token"] = token
    return person.send(f"/review/{item}", headers, **form, label="access")


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_forged_form_decides_nothing(pages: Pages, kind: str) -> None:
    item = pages.item()
    response = _forge(pages, kind, item)
    assert response.status_code == 403
    assert response.headers["content-type"].startswith("text/html")
    assert pages.outcomes(item) == []


@pytest.mark.parametrize("kind", FORGERIES)
def test_without_the_check_the_forged_form_would_decide(
    pages: Pages, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "check_token" if "token" in kind else "check_origin", lambda *_: None)
    item = pages.item()
    assert _forge(pages, kind, item).status_code == 303
    assert len(pages.outcomes(item)) == 1


def test_another_site_can_neither_sign_in_nor_out(pages: Pages) -> None:
    evil = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    response = Person(pages).send("/login", evil, key=pages.people["rita"])
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert pages.people["rita"] not in response.text
    person = pages.person()
    assert person.send("/logout", evil, **hidden(person.get("/review").text, "/logout")).status_code == 403
    assert person.send("/logout").status_code == 403
    assert person.get("/review").status_code == 200


def test_plain_http_from_afar_is_told_why_it_cannot_sign_in(pages: Pages) -> None:
    response = Person(pages, "http://pilot.example").send("/login", key=pages.people["rita"])
    assert response.status_code == 403
    assert "over https" in words(response.text)


def test_headers_forbid_scripts_frames_and_leaks(pages: Pages) -> None:
    item, person = pages.item(), pages.person()
    paths = ("/", "/login", "/review", f"/review/{item}", "/review/nothing", "/static/pilot.css", "/static/nothing")
    for path in paths:
        headers = person.get(path).headers
        policy = {part.split()[0]: part.split()[1:] for part in headers["content-security-policy"].split(";")}
        assert policy.pop("style-src") == policy.pop("img-src") == policy.pop("form-action") == ["'self'"], path
        assert policy == {"default-src": ["'none'"], "base-uri": ["'none'"], "frame-ancestors": ["'none'"]}, path
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        # With no-referrer a browser would send `Origin: null`, and no form would come through.
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == ("public, max-age=300" if path.endswith(".css") else "no-store")


def test_pages_hold_no_script_no_inline_style_and_nothing_from_elsewhere(pages: Pages) -> None:
    item, person = pages.item(mode="assist"), pages.person()
    for path in ("/login", "/review", f"/review/{item}", "/review/nothing"):
        page = person.get(path).text.lower()
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:|https?://|src=\"//", page), path


def test_the_text_of_an_item_stays_text(pages: Pages) -> None:
    text = """</textarea><script>alert(1)</script><img src=x onerror=alert(1)>"' {{ 7 * 7 }}"""
    item, person = pages.item(text, mode="assist"), pages.person()
    found = [person.get("/review"), person.get(f"/review/{item}")]
    found.append(person.decide(item, action="changed", comment=text, flag=text, **{"final-label": text + "\x00"}))
    person.decide(item, action="rejected", comment=text)
    found.append(person.get(f"/review/{item}"))
    for response in found:
        assert "<script>" not in response.text
        assert "<img src=x" not in response.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in response.text
        assert "{{ 7 * 7 }}" in response.text


def test_without_escaping_that_text_would_run(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    item, person = pages.item("<script>alert(1)</script>"), pages.person()
    monkeypatch.setattr(review, "templates", review.templates.overlay(autoescape=False))
    assert "<script>" in person.get(f"/review/{item}").text


@pytest.mark.parametrize("kind", ["shadow", "audit"])
def test_a_blind_review_shows_no_trace_of_any_answer(pages: Pages, kind: str) -> None:
    item = pages.item() if kind == "shadow" else pages.audited()
    person = pages.person()
    for response in (
        person.get("/review"),
        person.get(f"/review/{item}"),
        person.decide(item, label=""),
        person.decide(item, label="access"),
        person.get(f"/review/{item}"),
        pages.person("ravi").get(f"/review/{item}"),
    ):
        seen = response.text + str(response.headers.raw)
        assert [secret for secret in SECRETS if secret in seen] == []
        assert "audit" not in seen.lower()


def test_a_review_that_were_not_blind_would_show_it(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    item, person = pages.audited(), pages.person()
    monkeypatch.setattr(module, "BLIND", ())
    monkeypatch.setattr(module, "_kind", lambda _: "assist")
    page = person.get(f"/review/{item}").text
    assert [secret for secret in SECRETS if secret in page] == list(SECRETS[:1] + SECRETS[1:4])


def test_assist_says_whose_answer_it_is_how_sure_and_what_it_cannot_do(pages: Pages) -> None:
    item = pages.item(mode="assist")
    page = words(pages.person().get(f"/review/{item}").text)
    for said in ("The AI's answer", "zebra-by-the-model", "87 %", "medium", "can be wrong", "Model model-version-9"):
        assert said in page
    assert "yak-by-the-rules" not in page


def test_manual_says_why_and_shows_the_rules_as_todays_process(make_pages: Maker) -> None:
    pages = make_pages(("access", "yak-by-the-rules"))
    item = pages.item("a strange one", mode="assist")
    page = words(pages.person().get(f"/review/{item}").text)
    assert "There is no AI answer The AI gave no answer to this item." in page
    assert "Suggestion of today's process Label yak-by-the-rules" in page
    assert "zebra" not in page


def test_every_reason_has_words(pages: Pages) -> None:
    assert {*Failure, "off", "closed", "low_confidence"} == set(review.REASONS)


def test_an_unsure_answer_of_auto_stays_hidden(make_pages: Maker) -> None:
    pages = make_pages(threshold=0.99)
    page = words(pages.person().get(f"/review/{pages.item(mode='auto')}").text)
    assert "not sure enough" in page
    assert "zebra" not in page


def test_confidence_is_never_rounded_up_to_certainty() -> None:
    assert [review.percent(given) for given in (0.0, 0.8731, 0.9999, 1.0)] == ["0 %", "87 %", "99 %", "100 %"]
    assert [review.band(given) for given in (0.69, 0.7, 0.9)] == ["low", "medium", "high"]


def test_the_queue_is_oldest_first_and_says_what_each_needs(pages: Pages) -> None:
    pages.item("the first", mode="assist")
    pages.item("the strange second", mode="assist")
    pages.item("the third")
    page = words(pages.person().get("/review").text)
    assert "3 items wait for you" in page
    order = [page.index(said) for said in ("the first Check the AI", "the strange second By hand", "the third Blind")]
    assert order == sorted(order)


def test_an_empty_queue_says_so_and_what_to_do(pages: Pages) -> None:
    page = pages.person().get("/review").text
    assert "Nothing waits for you" in page
    assert "Look again" in page


@pytest.mark.parametrize(("number", "kind"), [(2, "radio"), (10, "radio"), (11, "select"), (77, "select")])
def test_labels_are_choices(make_pages: Maker, number: int, kind: str) -> None:
    labels = tuple(f"label {n}" for n in range(number))
    pages = make_pages(labels)
    person, item = pages.person(), pages.item()
    page = person.get(f"/review/{item}").text
    pattern = r'<input type="radio" name="final-label" value="(.*?)"' if kind == "radio" else r"<option>(.*?)</option>"
    assert tuple(re.findall(pattern, page)) == labels
    assert person.decide(item, label="label 1").status_code == 303


def test_without_labels_the_values_of_the_schema_are_the_choices(make_pages: Maker) -> None:
    class Size(pilot.Prediction):
        size: Literal[1, 2]

    pages = make_pages((), Size)
    item, person = pages.item(), pages.person()
    assert '<input type="radio" name="final-size" value="2"' in person.get(f"/review/{item}").text
    assert person.decide(item, **{"final-size": "2"}).status_code == 303
    assert pages.service.vault.open(pages.outcomes(item)[0].final) == b'{"size":2}'


def test_without_choices_the_decision_is_typed_and_checked(make_pages: Maker) -> None:
    class Amount(pilot.Prediction):
        number: int
        unit: str

    pages = make_pages(("access",), Amount)
    item, person = pages.item(), pages.person()
    response = person.decide(item, **{"final-number": "many", "final-unit": "boxes"})
    assert response.status_code == 422
    assert '<a href="#final-number">' in response.text
    assert 'id="final-number-error"' in response.text
    assert 'value="boxes"' in response.text
    assert person.decide(item, **{"final-number": "3", "final-unit": "boxes"}).status_code == 303


def test_a_blind_decision_is_recorded_with_its_work_and_without_an_action(pages: Pages) -> None:
    item, person = pages.item(), pages.person()
    response = person.decide(item, label="access", comment="first line\r\nsecond", flag="edge_case")
    assert (response.status_code, response.headers["location"]) == (303, f"/review?saved={item}")
    (outcome,) = pages.outcomes(item)
    assert (outcome.made_by, outcome.action, outcome.flag, outcome.agreement) == ("rita", None, "edge_case", False)
    assert pages.service.vault.open(outcome.final) == b'{"label":"access"}'
    assert pages.service.vault.open(outcome.comment) == b'"first line\\nsecond"'
    assert 0 <= outcome.seconds < 60


def test_an_audit_has_no_action_although_the_caller_saw_the_answer(pages: Pages) -> None:
    item = pages.audited()
    assert pages.person().decide(item, label="zebra-by-the-model").status_code == 303
    (outcome,) = pages.outcomes(item)
    assert (outcome.action, outcome.agreement) == (None, True)


@pytest.mark.parametrize(
    ("fields", "final", "agreement"),
    [
        ({"action": "accepted"}, b'{"label":"zebra-by-the-model"}', True),
        ({"action": "changed", "label": "access"}, b'{"label":"access"}', False),
        ({"action": "rejected"}, None, False),
        ({"action": "rejected", "label": "access"}, b'{"label":"access"}', False),
    ],
)
def test_an_answer_is_accepted_changed_or_rejected(
    pages: Pages, fields: dict[str, str], final: bytes | None, agreement: bool
) -> None:
    item = pages.item(mode="assist")
    assert pages.person().decide(item, **fields).status_code == 303
    (outcome,) = pages.outcomes(item)
    assert (outcome.action, outcome.agreement) == (fields["action"], agreement)
    assert (outcome.final and pages.service.vault.open(outcome.final)) == final


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, "action"),
        ({"label": "access"}, "action"),
        ({"action": "maybe"}, "action"),
        ({"action": "accepted", "label": "access"}, "action"),
        ({"action": "changed"}, "final-label"),
        ({"action": "changed", "label": "zebra-by-the-model"}, "final-label"),
        ({"action": "rejected", "comment": "x" * 2001}, "comment"),
        ({"action": "rejected", "flag": "nonsense"}, "flag"),
    ],
)
def test_what_does_not_fit_is_said_where_it_is_and_nothing_is_lost(
    pages: Pages, fields: dict[str, str], place: str
) -> None:
    item = pages.item(mode="assist")
    response = pages.person().decide(item, **{"comment": "a long thought", **fields})
    assert response.status_code == 422
    assert f'<a href="#{place}">' in response.text
    assert f'id="{place}"' in response.text
    assert f'id="{place}-error"' in response.text
    assert fields.get("comment", "a long thought") in response.text
    assert "<title>Error: " in response.text
    assert pages.outcomes(item) == []


def test_without_an_answer_of_the_ai_there_is_nothing_to_accept(pages: Pages) -> None:
    item = pages.item("a strange one", mode="assist")
    assert pages.person().decide(item, action="accepted", label="access").status_code == 303
    assert pages.outcomes(item)[0].action is None


def test_saving_leads_to_the_next_item_and_back_to_what_was_saved(pages: Pages) -> None:
    first, second, third = (pages.item(text) for text in ("one", "two", "three"))
    person = pages.person()
    response = person.decide(second, label="access")
    assert response.headers["location"] == f"/review/{third}?saved={second}"
    page = person.get(response.headers["location"]).text
    assert "Saved." in page
    assert f'href="/review/{second}"' in page
    assert person.decide(third, label="access").headers["location"] == f"/review/{first}?saved={third}"
    assert person.decide(first, label="access").headers["location"] == f"/review?saved={first}"


def test_people_may_change_their_own_decision_as_a_new_version(pages: Pages) -> None:
    item, person = pages.item(), pages.person()
    person.decide(item, label="access", comment="first")
    page = person.get(f"/review/{item}").text
    assert "version 1" in page
    assert 'value="access" checked' in page
    assert ">first</textarea>" in page
    assert person.decide(item, label="billing").status_code == 303
    assert [row.version for row in pages.outcomes(item)] == [1, 2]


@pytest.mark.parametrize("version", ["", "1"])
def test_a_decision_of_another_person_stands_and_what_was_typed_is_kept(pages: Pages, version: str) -> None:
    item, rita, ravi = pages.item(), pages.person(), pages.person("ravi")
    form = {**rita.form(item), "version": version}
    ravi.decide(item, label="billing")
    response = rita.send(f"/review/{item}", **form, label="access", comment="a long thought")
    assert response.status_code == 409
    page = words(response.text)
    assert "Not saved: this item was decided meanwhile ravi decided it" in page
    assert "Label access Comment a long thought" in page
    assert [(row.made_by, row.version) for row in pages.outcomes(item)] == [("ravi", 1)]


def test_a_decision_that_came_between_look_and_save_stands(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    item, rita, ravi = pages.item(), pages.person(), pages.person("ravi")
    stale = module._read(pages.service, item)
    form = rita.form(item)
    ravi.decide(item, label="billing")
    looks = iter([stale])
    read = module._read
    monkeypatch.setattr(module, "_read", lambda *given: next(looks, None) or read(*given))
    response = rita.send(f"/review/{item}", **form, label="access", comment="a long thought")
    assert response.status_code == 409
    assert "a long thought" in words(response.text)
    assert [row.made_by for row in pages.outcomes(item)] == ["ravi"]


def test_a_conflict_with_oneself_keeps_the_form_for_another_try(pages: Pages) -> None:
    item, person = pages.item(), pages.person()
    stale = person.form(item)
    person.decide(item, label="billing")
    response = person.send(f"/review/{item}", **stale, label="access", comment="a long thought")
    assert response.status_code == 409
    assert 'value="access" checked' in response.text
    again = hidden(response.text, f"/review/{item}")
    assert again["version"] == "1"
    assert person.send(f"/review/{item}", **again, label="access").status_code == 303


def test_a_button_pressed_twice_saves_once(pages: Pages) -> None:
    item, person = pages.item(), pages.person()
    form = {**person.form(item), "label": "access", "comment": "once"}
    assert [person.send(f"/review/{item}", **form).status_code for _ in range(2)] == [303, 303]
    assert len(pages.outcomes(item)) == 1


@pytest.mark.parametrize("stamp", ["", "0", "1-x", "nan-", f"1.0-{'0' * 64}"])
def test_seconds_of_work_are_the_servers_own(pages: Pages, stamp: str) -> None:
    item, person = pages.item(), pages.person()
    form = {**person.form(item), "stamp": stamp} if stamp else {**person.form(pages.item()), "version": ""}
    assert person.send(f"/review/{item}", **form, label="access").status_code == 303
    assert pages.outcomes(item)[0].seconds is None


@pytest.mark.parametrize(("later", "seconds"), [(90, 90), (3700, None)])
def test_seconds_of_work_run_from_the_first_look_and_mean_nothing_after_an_hour(
    pages: Pages, monkeypatch: pytest.MonkeyPatch, later: int, seconds: int | None
) -> None:
    item, person = pages.item(), pages.person()
    form = person.form(item)
    clock = signing.time.time
    monkeypatch.setattr(signing.time, "time", lambda: clock() + later)
    form = hidden(person.send(f"/review/{item}", **form).text, f"/review/{item}")
    person.send(f"/review/{item}", **form, label="access")
    assert pages.outcomes(item)[0].seconds == (seconds and pytest.approx(seconds, abs=20))


@pytest.mark.parametrize("name", ["nothing", "00000000-0000-0000-0000-000000000000", "%00", "a" * 3000])
def test_an_unknown_item_is_a_page_that_leads_on(pages: Pages, name: str) -> None:
    response = pages.person().get(f"/review/{name}")
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "Go to the queue" in response.text


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b'{"key": ""}', 401),
        ("multipart/form-data; boundary=x", b"--x--", 401),
        ("application/x-www-form-urlencoded", b"key=%ff", 400),
        ("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 500), 400),
        ("application/x-www-form-urlencoded", b"key=" + b"x" * 300_000, 413),
    ],
)
def test_a_body_that_is_no_form_is_refused(pages: Pages, kind: str, body: bytes, status: int) -> None:
    response = pages.person().client.post("/login", content=body, headers={"content-type": kind})
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")


def test_a_lost_database_is_a_page_that_keeps_what_was_typed(pages: Pages, tmp_path: Path) -> None:
    item, person = pages.item(), pages.person()
    form = {**person.form(item), "label": "access", "comment": "a long thought"}
    whole, pages.service.engine = pages.service.engine, create_engine(f"sqlite:///{tmp_path}/no/such/folder.db")
    try:
        assert person.get("/review").status_code == 503
        response = person.send(f"/review/{item}", **form)
    finally:
        pages.service.engine = whole
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert "a long thought" in words(response.text)
    assert person.send(f"/review/{item}", **form).status_code == 303


def test_an_error_of_the_code_is_a_page_without_its_words(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("words of the inside")

    monkeypatch.setattr(module, "_queue", fail)
    response = pages.person().get("/review")
    assert response.status_code == 500
    assert response.headers["content-type"].startswith("text/html")
    assert "words of the inside" not in response.text
    assert response.headers["x-request-id"] in response.text
