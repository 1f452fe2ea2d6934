"""The review of answers with many fields: filled in, edited, and blind where it has to be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from html import unescape
from html.parser import HTMLParser
from typing import Annotated, Any

import httpx
import pytest
from conftest import App, AppMaker
from pydantic import BaseModel, Field

import pilot
from pilot.contract import Answer, Failure, Team
from pilot.fields import Draft
from pilot.records import keys, queries, tables
from pilot.records.database import writing
from pilot.serving import review

HOST = "http://127.0.0.1:8000"
TEXT = "Zebra Ltd. bills 87.31 by 7.11.2026: 2 of ink\n"


class Item(pilot.Item):
    text: str = ""
    mails: list[dict[str, str]] = Field([])


class Line(BaseModel):
    what: str
    count: int = Field(gt=0)


class Prediction(pilot.Prediction):
    seller: str
    total: float
    due: date | None = None
    lines: list[Line] = Field([])
    reply: Annotated[str | None, Draft()] = None


ANSWER = Prediction(
    seller="Zebra Ltd.",
    total=87.31,
    due=date(2026, 11, 7),
    lines=[Line(what="ink", count=2), Line(what="pens", count=3)],
    reply="\nDear customer,\r\n\r\nwe pay soon.  \n",
)


class Model:
    version = "model-version-9"

    def predict(self, items: Sequence[Item]) -> list[Answer]:
        strange = Answer.failed(Failure.ABSTAINED)
        return [strange if "strange" in item.text else Answer(ANSWER, 0.9) for item in items]


TEAM = Team(item=Item, prediction=Prediction, model=lambda _: Model(), rules=lambda: Model())


class Browser(HTMLParser):
    """What a browser without scripts sends from the form of a decision, and what has the focus on it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.focus: str | None = None
        self._inside: str | None = None
        self._text: str | None = None
        self.feed(page.split('<form class="card"', 1)[-1].split("</form>")[0].partition(">")[2])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name"), given.get("value") or ""
        if "autofocus" in given:
            self.focus = given.get("id") or name or tag
        if tag == "input" and name and (given.get("type") not in ("radio", "checkbox") or "checked" in given):
            self.fields[name] = value
        elif tag in ("textarea", "select") and name:
            self._inside, self.fields[name] = name, ""
            self._text = "" if tag == "textarea" else None
        elif tag == "option" and self._inside and "selected" in given:
            self._text = ""

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("textarea", "option") and self._inside and self._text is not None:
            # A browser drops the first line end of a textarea, and sends the others as CR LF.
            self.fields[self._inside] = re.sub(r"\r?\n", "\r\n", self._text.removeprefix("\n"))
            self._text = None


class Desk:
    """A person at the pages of an application."""

    def __init__(self, app: App, name: str = "Rita Reed") -> None:
        self.app = app
        self.client = type(app.client)(app.client.app, HOST, raise_server_exceptions=False, follow_redirects=False)
        self.client.portal = app.client.portal
        with writing(app.service.engine) as connection:
            key = keys.create(connection, "reviewer", name, "live", "test")
        assert self._send("/login", {"key": key}).status_code == 303

    def item(self, text: str = TEXT, mode: str = "assist", **fields: Any) -> str:
        self.app.set_mode(mode)
        body = {"item": {"text": text, **fields}}
        identity: str = self.app.client.post("/v1/predictions", json=body, headers=self.app.headers()).json()["id"]
        self.app.drained()
        return identity

    def get(self, item: str) -> httpx.Response:
        return self.client.get(f"/review/{item}")

    def save(self, item: str, page: httpx.Response | None = None, **changes: str) -> httpx.Response:
        """Sends the form of the page as it is, but for the changes."""
        form = Browser((page or self.get(item)).text).fields
        return self._send(f"/review/{item}", {**form, **{n.replace("__", "-"): v for n, v in changes.items()}})

    def _send(self, path: str, fields: dict[str, str]) -> httpx.Response:
        return self.client.post(path, data=fields, headers={"origin": HOST, "sec-fetch-site": "same-origin"})

    def outcomes(self, item: str) -> list[dict[str, Any]]:
        with self.app.service.engine.connect() as connection:
            return queries.outcomes_of(connection, self.app.service.vault, item)


@pytest.fixture
def desk(make_app: AppMaker) -> Desk:
    return Desk(make_app(team=TEAM))


def words(page: str) -> str:
    """What a person reads."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_an_answer_sent_back_as_it_was_filled_in_is_accepted_to_the_letter(desk: Desk) -> None:
    item = desk.item()
    assert desk.save(item).status_code == 303
    (outcome,) = desk.outcomes(item)
    assert (outcome["action"], outcome["agreement"]) == ("accepted", True)
    assert Prediction.model_validate(outcome["final"]) == ANSWER
    assert 0 <= outcome["seconds"] < 60


def test_an_edited_field_is_a_change_which_is_shown_again(desk: Desk) -> None:
    item = desk.item()
    assert desk.save(item, final__total="88,40").status_code == 303
    (outcome,) = desk.outcomes(item)
    assert (outcome["action"], outcome["agreement"]) == ("changed", False)
    assert Prediction.model_validate(outcome["final"]) == ANSWER.model_copy(update={"total": 88.4})
    page = desk.get(item)
    assert Browser(page.text).fields["final-total"] == "88.4"
    assert "The AI answered: 87.31" in words(page.text)
    assert '<p class="hint was changed" id="final-total-was">' in page.text
    assert '<p class="hint was" id="final-seller-was">' in page.text


def test_a_rejected_answer_has_no_decision_unless_one_was_entered(desk: Desk) -> None:
    first, second = desk.item(), desk.item()
    assert desk.save(first, action="rejected").status_code == 303
    assert (desk.outcomes(first)[0]["action"], desk.outcomes(first)[0]["final"]) == ("rejected", None)
    assert "You rejected the answer." in words(desk.get(first).text)
    assert desk.save(second, action="rejected", final__seller="Yak").status_code == 303
    assert desk.outcomes(second)[0]["final"]["seller"] == "Yak"


def test_a_button_pressed_twice_saves_once(desk: Desk) -> None:
    item = desk.item()
    page = desk.get(item)
    assert [desk.save(item, page, final__seller="Yak").status_code for _ in range(2)] == [303, 303]
    assert len(desk.outcomes(item)) == 1


def test_the_difference_of_a_draft_is_shown_once_before_it_is_saved(desk: Desk) -> None:
    item = desk.item()
    page = desk.save(item, final__reply="Dear customer,\n\nwe pay today.")
    assert (page.status_code, desk.outcomes(item)) == (200, [])
    assert [words(out) for out in re.findall(r"<del>.*?</del>", page.text, re.DOTALL)][-1] == "taken out: soon."
    assert [words(new) for new in re.findall(r"<ins>.*?</ins>", page.text, re.DOTALL)][-1] == "put in: today."
    assert Browser(page.text).focus == "button"
    again = desk.save(item, page, final__reply="Dear customer,\n\nwe pay now.")
    assert (again.status_code, desk.outcomes(item)) == (200, [])
    assert desk.save(item, again).status_code == 303
    assert desk.outcomes(item)[0]["final"]["reply"] == "Dear customer,\n\nwe pay now."


def test_blanks_that_nobody_sees_are_no_difference_of_a_draft(desk: Desk) -> None:
    item = desk.item()
    assert desk.save(item, final__reply="Dear customer,\n\nwe pay soon.").status_code == 303
    assert desk.outcomes(item)[0]["action"] == "accepted"


def test_without_the_step_a_draft_would_be_saved_unseen(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review.forms, "drafts", lambda *_: [])
    item = desk.item()
    assert desk.save(item, final__reply="Dear customer,\n\nwe pay today.").status_code == 303


def test_more_rows_are_added_and_one_is_removed_and_nothing_is_lost(desk: Desk) -> None:
    item = desk.item()
    page = desk.save(item, final__total="88,40", comment="a long thought", more="final-lines")
    form = Browser(page.text)
    assert (page.status_code, form.focus, desk.outcomes(item)) == (200, "final-lines-3-what", [])
    assert (form.fields["final-total"], form.fields["comment"]) == ("88,40", "a long thought")
    page = desk.save(item, page, final__lines__5__what="paper", final__lines__5__count="9", remove="final-lines-0")
    assert (page.status_code, desk.outcomes(item)) == (200, [])
    assert desk.save(item, page).status_code == 303
    final = desk.outcomes(item)[0]["final"]
    assert final["lines"] == [{"what": "pens", "count": 3}, {"what": "paper", "count": 9}]
    assert final["total"] == 88.4


def test_buttons_that_save_nothing_demand_nothing(desk: Desk) -> None:
    page = desk.get(desk.item()).text
    for name in ("more", "remove", "action"):
        found = re.findall(rf'<button[^>]* name="{name}"[^>]*>|<button name="{name}"[^>]*>', page)
        assert found
        assert all("formnovalidate" in button for button in found)


def test_a_long_list_is_sent_whole(desk: Desk) -> None:
    item = desk.item()
    rows = {f"final__lines__{n}__{name}": value for n in range(300) for name, value in (("what", "x"), ("count", "1"))}
    assert desk.save(item, **rows).status_code == 303
    assert len(desk.outcomes(item)[0]["final"]["lines"]) == 300


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"final__total": "a lot"}, "final-total"),
        ({"final__seller": ""}, "final-seller"),
        ({"final__lines__1__count": "0"}, "final-lines-1-count"),
        ({"final__lines__2__what": "new"}, "final-lines-2-count"),
        ({"comment": "x" * 2001}, "comment"),
    ],
)
def test_what_does_not_fit_is_said_where_it_is_and_nothing_is_lost(
    desk: Desk, changes: dict[str, str], place: str
) -> None:
    item = desk.item()
    response = desk.save(item, **{"comment": "a long thought", **changes})
    assert (response.status_code, desk.outcomes(item)) == (422, [])
    assert f'<a href="#{place}">' in response.text
    assert f'id="{place}"' in response.text
    assert f'id="{place}-error"' in response.text
    sent = Browser(response.text).fields
    assert {name.replace("__", "-"): value for name, value in changes.items()}.items() <= sent.items()


def test_doubtful_fields_stand_out_and_the_first_has_the_focus(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = queries.answers_of

    def answers_of(*given: Any) -> list[dict[str, Any]]:
        return [{**answer, "confidences": {"due": 0.4, "lines": 0.79}} for answer in recorded(*given)]

    monkeypatch.setattr(queries, "answers_of", answers_of)
    page = desk.get(desk.item()).text
    assert Browser(page).focus == "final-due"
    assert re.findall(r'id="(\S+)-check"', page) == ["final-due", "final-lines"]
    assert "Check this: the AI is only 40 % confident." in words(page)
    service = desk.app.service
    stricter = service.settings.model_copy(update={"threshold": 0.0, "thresholds": {"total": 0.95}})
    monkeypatch.setattr(service, "settings", stricter)
    assert Browser(desk.get(desk.item()).text).focus == "final-total"


def test_the_places_of_the_answer_are_marked_in_the_item(desk: Desk) -> None:
    page = desk.get(desk.item(mails=[{"from": "Zebra Ltd.", "to": "us"}])).text
    marked = [words(mark) for mark in re.findall(r"<mark>.*?</mark>", page)]
    assert marked == [
        "Zebra Ltd. Seller",
        "87.31 Total",
        "7.11.2026 Due",
        "2 Count 1",
        "ink What 1",
        "Zebra Ltd. Seller",
    ]


SECRETS = ("<mark", "model-version-9", "Dear customer", "pens", "The AI answered", "confident")


@pytest.mark.parametrize("kind", ["shadow", "audit"])
def test_a_blind_review_shows_no_trace_of_any_answer(desk: Desk, kind: str) -> None:
    if kind == "audit":
        desk.app.service.audit_share = 1.0
    item = desk.item(mode="shadow" if kind == "shadow" else "auto")
    for response in (
        desk.get(item),
        desk.save(item, final__total="?"),
        desk.save(item, final__seller="Yak", more="final-lines"),
        desk.save(item, final__seller="Yak", final__total="1"),
        desk.get(item),
        Desk(desk.app, "Ravi Roy").get(item),
    ):
        assert [secret for secret in SECRETS if secret in response.text] == []
    (outcome,) = desk.outcomes(item)
    assert (outcome["action"], outcome["final"]["seller"]) == (None, "Yak")


def test_a_review_that_were_not_blind_would_show_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.app.service.audit_share = 1.0
    item = desk.item(mode="auto")
    monkeypatch.setattr(review, "BLIND", ())
    monkeypatch.setattr(review, "_kind", lambda _: "assist")
    page = desk.get(item).text
    assert [secret for secret in SECRETS if secret in page] == list(SECRETS)


def test_by_hand_the_form_is_empty(desk: Desk) -> None:
    item = desk.item("strange")
    fields = Browser(desk.get(item).text).fields
    assert {value for name, value in fields.items() if name.startswith("final-")} == {""}
    assert desk.save(item, final__seller="Yak", final__total="1", action="accepted").status_code == 303
    assert desk.outcomes(item)[0]["action"] is None


def test_another_persons_decision_stands_and_what_was_typed_is_kept(desk: Desk) -> None:
    item = desk.item()
    page = desk.get(item)
    assert Desk(desk.app, "Ravi Roy").save(item).status_code == 303
    response = desk.save(item, page, final__lines__1__what="yaks")
    assert response.status_code == 409
    assert "Lines 2 what yaks" in words(response.text)


def test_an_item_without_text_at_its_top_is_called_by_a_text_within(desk: Desk) -> None:
    desk.item("", mails=[{"from": "the first words"}])
    assert "the first words" in words(desk.client.get("/review").text)
    assert len(desk.app.rows(tables.items)) == 1
