"""The site of docs/ in a real browser: under axe, light and dark, wide and narrow, and by keyboard."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from browsers import violations
from helpers import ROOT
from playwright.sync_api import Browser, Page
from test_docs import DOCS, PAGES, build

pytestmark = pytest.mark.browser
# What axe may find, and why it stays.
KNOWN = {"landmark-unique": "the theme puts a nav without a name around each copy button; WCAG does not ask for names"}

OF_EACH_KIND = (
    "index.md",
    "tutorial.md",
    "how-to/live-traffic.md",
    "reference/commands.md",
    "explanation/framework.md",
)
PUSHED = """() => [...document.querySelectorAll(".md-typeset__scrollwrap")]
    .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerText.slice(0, 80))"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing of requests."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site, as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", folder)
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder / "site"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(30)


def found_by_axe(page: Page) -> list[str]:
    """What axe finds and is not known, once nothing moves."""
    page.evaluate("Promise.all(document.getAnimations().map(one => one.finished))")
    return violations(page, KNOWN)


def ready(page: Page, address: str) -> None:
    """Opens a page, and waits until the theme's script has chosen the scheme and wrapped the tables."""
    page.goto(address)
    page.wait_for_function(
        """() => document.body.dataset.mdColorScheme
            && [...document.querySelectorAll("article table")].every(one => one.closest(".md-typeset__scrollwrap"))"""
    )


def address(page: Path) -> str:
    """Where a page of docs/ is below the address of the site."""
    name = page.relative_to(DOCS).with_suffix("").as_posix()
    return "" if name == "index" else f"{name}/"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_axe_finds_nothing(browser: Browser, site: str, pictures: Path, width: int, scheme: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    for file in OF_EACH_KIND:
        ready(page, f"{site}/{address(DOCS / file)}")
        assert page.get_attribute("body", "data-md-color-scheme") == {"light": "default", "dark": "slate"}[scheme]
        page.screenshot(path=pictures / f"docs-{Path(file).stem}-{scheme}-{width}.png", full_page=True)
        assert found_by_axe(page) == [], file
    page.close()


def test_no_page_and_no_table_must_be_pushed_sideways(browser: Browser, site: str) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 900})
    for file in PAGES:
        ready(page, f"{site}/{address(file)}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, file.name
        assert page.evaluate(PUSHED) == [], file.name
    ready(page, f"{site}/explanation/framework/")
    page.evaluate("document.querySelector('link[href*=extra]').remove()")
    assert page.evaluate(PUSHED) != [], "without our own style a table is too wide, and it would be seen"
    page.close()


DEFECTS = {
    "image-alt (critical)": "document.querySelector('article img').removeAttribute('alt')",
    "color-contrast (serious)": "document.querySelector('article p').style.color = '#aaa'",
    "color-contrast (serious): ['<span class": "document.querySelector('link[href*=extra]').remove()",
}


@pytest.mark.parametrize("found", DEFECTS)
def test_axe_would_find_a_defect(browser: Browser, site: str, found: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    ready(page, site)
    assert found_by_axe(page) == []
    page.evaluate(DEFECTS[found])
    assert any(one.startswith(found) for one in found_by_axe(page))
    page.close()


def test_by_keyboard_each_stop_can_be_seen_and_the_first_skips_the_navigation(browser: Browser, site: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    ready(page, f"{site}/tutorial/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText.trim()") == "Skip to content"
    assert page.locator(f"article {page.evaluate('document.activeElement.hash')}").count() == 1
    for _ in range(30):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            """() => {
                const one = document.activeElement, box = one.getBoundingClientRect();
                return box.width > 0 && getComputedStyle(one).outlineStyle !== "none";
            }"""
        )
        assert seen, page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
    page.close()


def test_the_navigation_works_without_javascript(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(site)
    page.locator("nav").get_by_role("link", name="Settings").click()
    assert page.locator("h1").inner_text().startswith("Settings")
    context.close()
