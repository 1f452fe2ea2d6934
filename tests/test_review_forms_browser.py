"""The review pages of answers with many fields, of drafts and of numbers, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pilot
import pytest
from browsers import violations
from pilot.contract import Answer, Failure, Team
from pilot.fields import Draft, SameSet, SameText, Within
from playwright.sync_api import Page
from pydantic import BaseModel, Field
from review_site import Opener, Site, SiteMaker, press, press_access, sign_in, tab_to

pytestmark = pytest.mark.browser
INVOICE = """Kestrel Paper Ltd., 4 Mill Lane, Leeds

Invoice KP-20417 of 3 November 2026

  Copy paper A4, 80 g        40   3.20     128.00
  Envelopes C5, window      500   0.045     22.50

Total EUR 1,150.50, due by 17.11.2026 without deduction. Please quote the number of the invoice.
"""
LETTER = "Hello,\n\nmy parcel 88213 has not moved since Friday. Where is it, and when will it come?\n\nThanks\nM. Lind"
REPLY = (
    "Dear M. Lind,\n\nI am sorry that your parcel is late. The carrier has it in its depot since Friday, and will "
    "deliver it on Tuesday.\n\nIf it has not come by then, please write to us again.\n\nKind regards\nThe help desk"
)
TICKET = "As a user I want to export my report as PDF, so that I can send it to my manager."


class Line(BaseModel):
    what: str = Field(title="Article")
    quantity: int
    price: Decimal | None = None


class Seller(BaseModel):
    name: Annotated[str, SameText()]
    city: str | None = None


class Invoice(pilot.Item):
    text: str


class Fields(pilot.Prediction):
    seller: Seller
    number: str = Field(description="As it is printed, with its letters.")
    total: Annotated[Decimal, Within(absolute=0.005)]
    currency: Literal["EUR", "GBP", "USD"]
    due: date | None = None
    reverse_charge: bool | None = None
    topics: Annotated[list[Literal["office", "travel", "services"]], SameSet()] = Field([])
    references: list[str] = Field([])
    lines: list[Line] = Field([])
    remark: str | None = Field(None, max_length=1000)


class Ask(pilot.Item):
    text: str


class Reply(pilot.Prediction):
    reply: Annotated[str, Draft()]


class Points(pilot.Prediction):
    points: Annotated[float, Within(absolute=1)] = Field(description="Story points.")


ANSWERS: dict[type[pilot.Prediction], Answer] = {
    Fields: Answer(
        Fields(
            seller=Seller(name="Kestrel Paper Ltd.", city="Leeds"),
            number="KP-20417",
            total=Decimal("1150.50"),
            currency="EUR",
            due=date(2026, 11, 7),
            topics=["office"],
            references=[],
            remark=None,
            lines=[
                Line(what="Copy paper A4, 80 g", quantity=40, price=Decimal("3.20")),
                Line(what="Envelopes C5, window", quantity=500, price=Decimal("0.045")),
            ],
        ),
        0.93,
        confidences={"due": 0.54},
    ),
    Reply: Answer(Reply(reply=REPLY), 0.9),
    Points: Answer(Points(points=5), 0.62),
}


class Model:
    version = "7f3a91c2d0b4"

    def __init__(self, kind: type[pilot.Prediction]) -> None:
        self.kind = kind

    def predict(self, items: Sequence[Any]) -> list[Answer]:
        strange = Answer.failed(Failure.ABSTAINED)
        return [strange if item.text.startswith("?") else ANSWERS[self.kind] for item in items]


class Rules(Model):
    version = "expressions-1"

    def predict(self, items: Sequence[Any]) -> list[Answer]:
        return [ANSWERS[self.kind] for _ in items]


TASKS: dict[str, tuple[type[pilot.Item], type[pilot.Prediction], str]] = {
    "extract": (Invoice, Fields, INVOICE),
    "draft": (Ask, Reply, LETTER),
    "score": (Ask, Points, TICKET),
}


@pytest.fixture
def site(request: pytest.FixtureRequest, make_site: SiteMaker) -> Site:
    """A site of the task that the test names."""
    item, prediction, text = TASKS[request.param]
    team = Team(item=item, prediction=prediction, model=lambda _: Model(prediction), rules=lambda: Rules(prediction))
    items = {
        "assist": ({"text": text}, "assist"),
        "second": ({"text": text}, "assist"),
        "manual": ({"text": f"?{text}"}, "assist"),
        "blind": ({"text": text}, "shadow"),
    }
    return make_site(team, items)


def of(task: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("site", [task], indirect=True)


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id || document.activeElement.innerText"))


@pytest.mark.parametrize("site", list(TASKS), indirect=True)
def test_accept_is_one_key(site: Site, open_page: Opener) -> None:
    page = open_page(java_script_enabled=False)
    sign_in(page, site)
    page.goto(f"{site.url}/review/{site.items['assist']}")
    press_access(page, "a")
    (outcome,) = site.outcomes(site.items["assist"])
    assert outcome["action"] == "accepted"
    assert outcome["agreement"] is True
    assert outcome["final"] is not None
    assert page.get_by_role("status").inner_text().startswith("Saved.")


@of("extract")
def test_a_doubtful_field_has_the_focus_and_is_corrected_by_keyboard_alone(site: Site, open_page: Opener) -> None:
    page = open_page(java_script_enabled=False)
    sign_in(page, site)
    page.goto(f"{site.url}/review/{site.items['assist']}")
    assert focused(page) == "final-due"
    assert page.locator(".check").all_inner_texts() == ["Check this: the AI is only 54 % confident."]
    was = page.locator("#final-due-was")
    assert not was.is_visible()
    page.keyboard.type("11172026")
    tab_to(page, "#final-lines-0-what")
    assert was.is_visible()
    assert page.get_by_role("button", name="Save your changes").is_visible()
    tab_to(page, "#final-lines-1-quantity")
    page.keyboard.type("50")
    tab_to(page, "button[name=more]")
    press(page, "Enter")
    assert focused(page) == "final-lines-3-what"
    page.keyboard.type("Postage")
    tab_to(page, "#final-lines-3-quantity")
    page.keyboard.type("1")
    press(page, "Enter")
    (outcome,) = site.outcomes(site.items["assist"])
    assert (outcome["action"], outcome["agreement"]) == ("changed", False)
    assert outcome["final"]["due"] == "2026-11-17"
    lines = [(line["what"], line["quantity"], line["price"]) for line in outcome["final"]["lines"]]
    assert lines == [("Copy paper A4, 80 g", 40, "3.20"), ("Envelopes C5, window", 50, "0.045"), ("Postage", 1, None)]
    assert 0 < outcome["seconds"] < 120


@of("draft")
def test_the_difference_is_shown_before_a_draft_is_sent(site: Site, open_page: Opener) -> None:
    page = open_page(java_script_enabled=False)
    sign_in(page, site)
    page.goto(f"{site.url}/review/{site.items['assist']}")
    tab_to(page, "#final-reply")
    page.keyboard.press("Control+End")
    page.keyboard.type(", Anna")
    press_access(page, "a")
    assert site.outcomes(site.items["assist"]) == []
    assert page.locator("del").all_text_contents() == ["taken out: desk"]
    assert page.locator("ins").all_text_contents() == ["put in: desk, Anna"]
    assert focused(page) == "Send this"
    press(page, "Enter")
    (outcome,) = site.outcomes(site.items["assist"])
    assert (outcome["action"], outcome["final"]["reply"]) == ("changed", f"{REPLY}, Anna")


@of("draft")
def test_a_draft_that_is_changed_again_is_shown_again(site: Site, open_page: Opener) -> None:
    page = open_page(java_script_enabled=False)
    sign_in(page, site)
    page.goto(f"{site.url}/review/{site.items['assist']}")
    for text in ("A first try.", "A second try."):
        page.locator("#final-reply").fill(text)
        press_access(page, "a")
        assert site.outcomes(site.items["assist"]) == []
    press_access(page, "a")
    assert site.outcomes(site.items["assist"])[0]["final"] == {"reply": "A second try."}


@of("extract")
def test_the_fields_are_marked_in_the_item_and_named(site: Site, open_page: Opener) -> None:
    page = open_page()
    sign_in(page, site)
    page.goto(f"{site.url}/review/{site.items['assist']}")
    marked = [mark.replace("\xa0", " ") for mark in page.locator(".item mark").all_inner_texts()]
    assert {"1,150.50 Total", "KP-20417 Number", "40 Quantity 1", "Leeds Seller: City"} <= set(marked)
    for kind in ("blind", "manual"):
        page.goto(f"{site.url}/review/{site.items[kind]}")
        assert page.locator("mark").count() == 0


def visit(page: Page, site: Site) -> Iterator[str]:
    """Brings the pages of a task into each of their states, and gives its name."""
    first = page.locator("#final-reply, #final-number, #final-points")
    page.goto(f"{site.url}/review/{site.items['assist']}")
    yield "assist"
    first.fill("12,50")
    first.blur()
    yield "edited"
    for more in page.locator("button[name=more]").all():
        with page.expect_navigation():
            more.click()
    first.fill("")
    page.evaluate("for (const one of document.querySelectorAll('[required]')) one.required = false")
    press_access(page, "a")
    yield "error"
    first.fill("12,50")
    press_access(page, "a")
    yield "next"
    for kind in ("manual", "blind"):
        page.goto(f"{site.url}/review/{site.items[kind]}")
        yield kind
    page.evaluate("for (const one of document.querySelectorAll('[required]')) one.required = false")
    with page.expect_navigation():
        page.get_by_role("button", name="Save").click()
    yield "blind-error"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (320, "dark")])
@pytest.mark.parametrize("site", list(TASKS), indirect=True)
def test_axe_finds_nothing_and_nothing_is_cut_off(
    site: Site, open_page: Opener, pictures: Path, width: int, scheme: str, request: pytest.FixtureRequest
) -> None:
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    task = next(name for name in TASKS if f"[{name}-" in request.node.name)
    sign_in(page, site)
    for name in visit(page, site):
        assert page.locator("form.card").count() == 1, name
        page.screenshot(path=pictures / f"{task}-{name}-{scheme}-{width}.png", full_page=True)
        assert violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
