"""The review page in a real browser: by keyboard alone, without JavaScript, at every width, under axe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pilot
import pytest
from browsers import violations
from pilot.contract import Answer, Failure, Team
from pilot.serving.guide import Guide
from playwright.sync_api import Page
from pydantic import Field
from review_site import Opener, Site, SiteMaker, click, press, sign_in, tab_to

pytestmark = pytest.mark.browser
CHARGED = (
    "Hello,\n\nI was charged twice for my October subscription: 14.90 on the 3rd and again on the 5th. My bank shows "
    "both payments as completed, so this is not a reservation.\n\nCould you please refund one of them, and tell me "
    "whether November will be fine?\n\nMany thanks\nM. Lind, customer 204-118"
)
PARCEL = "The parcel was meant to come on Tuesday, and its tracking has not moved since Friday. Where is it?"
STRANGE = "since the update, stripes?? only stripes"
CLOSE = "Please close my account at the end of the month and delete my data. I have moved to another provider."


class Item(pilot.Item):
    text: str


class Prediction(pilot.Prediction):
    label: str = Field(description="The queue that shall handle the ticket.")


class Model:
    version = "7f3a91c2d0b4"
    labels = ("account", "billing", "cancellation", "delivery", "fault", "return")

    def predict(self, items: Sequence[Item]) -> list[Answer]:
        return [
            Answer.failed(Failure.ABSTAINED)
            if item.text == STRANGE
            else Answer(Prediction(label="delivery"), 0.64)
            if item.text == PARCEL
            else Answer(Prediction(label="billing"), 0.93)
            for item in items
        ]


class Rules:
    version = "keywords-1"

    def predict(self, items: Sequence[Item]) -> list[Answer]:
        return [Answer(Prediction(label="fault")) for _ in items]


TEAM = Team(item=Item, prediction=Prediction, model=lambda _: Model(), rules=Rules)
ITEMS = {
    "assist": ({"text": CHARGED}, "assist"),
    "unsure": ({"text": PARCEL}, "assist"),
    "manual": ({"text": STRANGE}, "assist"),
    "blind": ({"text": CLOSE}, "shadow"),
}


@pytest.fixture
def site(make_site: SiteMaker) -> Site:
    """A site with an item of each kind in its queue."""
    return make_site(TEAM, ITEMS)


def test_a_person_decides_by_keyboard_alone_and_without_javascript(site: Site, open_page: Opener) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(site.url)
    tab_to(page, "#key")
    page.keyboard.type(site.reviewer)
    press(page, "Enter")

    assert page.locator("h1").inner_text() == "4 items wait for you"
    tab_to(page, ".headline a")
    press(page, "Enter")

    assert page.locator("h1").inner_text() == "Check the AI's answer"
    tab_to(page, "[name=action]")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    assert page.locator("[name=action]:checked").get_attribute("value") == "changed"
    tab_to(page, "[name=final-label]")
    page.keyboard.press("Space")
    tab_to(page, "#comment")
    page.keyboard.type("It is about the account, not the money.")
    tab_to(page, "#flag")
    page.keyboard.type("Unu")
    tab_to(page, "form.card button")
    press(page, "Enter")

    (outcome,) = site.outcomes(site.items["assist"])
    assert (outcome["action"], outcome["final"], outcome["flag"]) == ("changed", {"label": "account"}, "edge_case")
    assert outcome["comment"] == "It is about the account, not the money."
    assert 0 < outcome["seconds"] < 60
    assert page.url == f"{site.url}/review/{site.items['unsure']}?saved={site.items['assist']}"
    assert page.get_by_role("status").inner_text().startswith("Saved.")

    tab_to(page, "[name=action]")
    page.keyboard.press("Space")
    press(page, "Enter")
    assert site.outcomes(site.items["unsure"])[0]["action"] == "accepted"


def test_another_decision_is_asked_for_when_it_is_needed(site: Site, open_page: Opener) -> None:
    page = open_page()
    sign_in(page, site)
    page.goto(f"{site.url}/review/{site.items['assist']}")
    other = page.locator("#final-label")
    assert not other.is_visible()
    for action, visible in (("accepted", False), ("changed", True), ("rejected", True), ("accepted", False)):
        page.locator(f"[name=action][value={action}]").check()
        assert other.is_visible() == visible
    page.locator("[name=action][value=changed]").check()
    page.get_by_label("delivery").check()
    page.locator("[name=action][value=accepted]").check()
    assert other.is_visible(), "a choice that contradicts the acceptance must not hide"


def test_nothing_is_decided_before_a_person_decides(site: Site, open_page: Opener) -> None:
    page = open_page()
    sign_in(page, site)
    for item in site.items.values():
        page.goto(f"{site.url}/review/{item}")
        assert page.locator("input:checked").count() == 0
        page.get_by_role("button", name="Save").click()
        assert page.url.endswith(item)
        assert site.outcomes(item) == []


def visit(page: Page, site: Site) -> Iterator[str]:
    """Opens every page in each of its states, and gives its name."""
    page.goto(f"{site.url}/login")
    yield "login"
    page.get_by_label("Reviewer key").fill("nonsense")
    click(page, "Sign in")
    yield "login-refused"
    sign_in(page, site)
    yield "queue"
    for kind, item in site.items.items():
        page.goto(f"{site.url}/review/{item}")
        yield kind
    page.goto(f"{site.url}/review/{site.items['assist']}")
    page.locator("[name=action][value=changed]").check()
    yield "assist-change"
    click(page, "Save")
    yield "assist-error"
    page.goto(f"{site.url}/review/nothing")
    yield "unknown"
    other = page.context.new_page()
    for one, label in ((page, "cancellation"), (other, "account")):
        one.goto(f"{site.url}/review/{site.items['blind']}")
        one.get_by_label(label).check()
    for one in (other, page):
        click(one, "Save")
    other.close()
    yield "conflict"
    click(page, "Save")
    yield "saved"
    page.goto(f"{site.url}/review/{site.items['blind']}")
    yield "again"
    for kind in ("assist", "unsure", "manual"):
        page.goto(f"{site.url}/review/{site.items[kind]}")
        chosen = page.get_by_label("fault") if kind == "manual" else page.locator("[value=accepted]")
        chosen.check()
        click(page, "Save")
    yield "empty"


# 640 pixels are what a window of 1280 shows at a zoom of 200 %.
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (640, "light"), (320, "dark")])
def test_axe_finds_nothing_and_nothing_is_cut_off(
    site: Site, open_page: Opener, pictures: Path, width: int, scheme: str
) -> None:
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    seen = []
    for name in visit(page, site):
        page.screenshot(path=pictures / f"{name}-{scheme}-{width}.png", full_page=True)
        assert violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        seen.append(name)
    assert len(seen) == 14


def test_axe_would_find_a_field_without_a_label(site: Site, open_page: Opener) -> None:
    page = open_page(bypass_csp=True)
    page.goto(f"{site.url}/login")
    page.evaluate("document.querySelector('label').remove()")
    assert any(found.startswith("label (critical)") for found in violations(page))


@pytest.mark.parametrize("bypass", [False, True])
def test_the_policy_stops_a_script_that_got_in(site: Site, open_page: Opener, bypass: bool) -> None:
    page = open_page(bypass_csp=bypass)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    sign_in(page, site)
    for item in site.items.values():
        page.goto(f"{site.url}/review/{item}")
    assert errors == [], "the page itself keeps to its policy"
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
    }""")
    assert page.evaluate("window.ran === true") is bypass


def test_a_page_of_another_origin_cannot_use_the_session(site: Site, open_page: Opener) -> None:
    page = open_page()
    sign_in(page, site)
    page.goto(f"data:text/html,<form method=post action='{site.url}/logout'><button>Win a prize</button></form>")
    with page.expect_navigation() as navigation:
        page.get_by_role("button").click()
    assert navigation.value.status == 403
    page.goto(f"{site.url}/review")
    assert page.get_by_text("Signed in as Anna Keller").is_visible()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (320, "dark")])
def test_the_user_guide_is_read_by_keyboard_before_the_first_decision(
    width: int, scheme: str, site: Site, open_page: Opener, pictures: Path
) -> None:
    does, does_not = "- proposes a queue for each ticket\n- says how sure it is", "- reads no attachments"
    text = f"# Triage\n\n## What it does\n\n{does}\n\n## What it does not do\n\n{does_not}\n\nA program answers.\n"
    site.app.state.guide = Guide(text)
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(f"{site.url}/login")
    page.get_by_label("Reviewer key").fill(site.reviewer)
    click(page, "Sign in")
    assert page.url == f"{site.url}/guide"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    page.screenshot(path=pictures / f"guide-{scheme}-{width}.png", full_page=True)
    tab_to(page, "main button")
    press(page, "Enter")
    assert page.url == f"{site.url}/review"
    assert page.get_by_role("link", name="User guide").is_visible()
