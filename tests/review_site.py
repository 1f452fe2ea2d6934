"""A running service whose pages a browser opens, and what a person does on them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pilot.contract import Team
from pilot.records import controls, keys, queries
from pilot.records.controls import Mode
from pilot.records.database import migrate, open_database, writing
from pilot.serving.app import create_app
from pilot.settings import load_settings
from playwright.sync_api import Browser, BrowserContext, Page


class Site:
    """A running service of a team, with these items in its queue, each sent in a mode."""

    def __init__(self, root: Path, team: Team, items: Mapping[str, tuple[dict[str, Any], str]]) -> None:
        charter = root / "phases" / "1-scope" / "charter.md"
        charter.parent.mkdir(parents=True)
        charter.write_text("---\npilot: Ticket triage\n---\n", encoding="utf-8")
        settings = load_settings(root=root)
        self.engine = open_database(settings)
        migrate(self.engine)
        with writing(self.engine) as connection:
            self.caller = keys.create(connection, "caller", "helpdesk", "live", "test")
            self.reviewer = keys.create(connection, "reviewer", "Anna Keller", "live", "test")
        app = create_app(team, settings)
        self.app, self.service = app, app.state.service
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()
        self.items = {name: self.item(item, mode) for name, (item, mode) in items.items()}

    def item(self, item: dict[str, Any], mode: str) -> str:
        with writing(self.engine) as connection:
            controls.set_mode(connection, Mode(mode), "test")
        while not self._server.started:
            time.sleep(0.05)
        self.service.live.read()
        given = {"json": {"item": item}, "headers": {"authorization": f"Bearer {self.caller}"}}
        response = httpx.post(f"{self.url}/v1/predictions", **given)  # type: ignore[arg-type]
        return str(response.raise_for_status().json()["id"])

    def outcomes(self, item: str) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return queries.outcomes_of(connection, self.service.vault, item)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self.engine.dispose()


SiteMaker = Callable[[Team, Mapping[str, tuple[dict[str, Any], str]]], Site]


@pytest.fixture
def make_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SiteMaker]:
    """`make_site(team, items)`: the running service of such a team."""
    for name in [name for name in os.environ if name.startswith("PILOT_") and not name.startswith("PILOT_TEST_")]:
        monkeypatch.delenv(name)
    made: list[Site] = []

    def make(team: Team, items: Mapping[str, tuple[dict[str, Any], str]]) -> Site:
        made.append(Site(tmp_path / f"site-{len(made)}", team, items))
        return made[-1]

    yield make
    for site in made:
        site.stop()


Opener = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """`open_page(**options)`: a page of a browser that knows nothing yet."""
    opened: list[BrowserContext] = []

    def open_page(**options: Any) -> Page:
        opened.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        return opened[-1].new_page()

    yield open_page
    for context in opened:
        context.close()


def sign_in(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/login")
    page.get_by_label("Reviewer key").fill(site.reviewer)
    click(page, "Sign in")
    assert page.url == f"{site.url}/review"


def tab_to(page: Page, selector: str) -> None:
    """Presses Tab until the element has the focus, and demands that each stop on the way can be seen."""
    for _ in range(40):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            """() => {
                const outlined = (element) => element && getComputedStyle(element).outlineStyle !== "none";
                return outlined(document.activeElement) || outlined(document.activeElement.closest(".choice"));
            }"""
        )
        assert seen, f"the focus cannot be seen on {page.evaluate('document.activeElement.outerHTML')}"
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with Tab")


def click(page: Page, button: str) -> None:
    """Clicks on a button that leads to another page."""
    with page.expect_navigation():
        page.get_by_role("button", name=button).click()


def press(page: Page, key: str) -> None:
    """Presses a key that leads to another page."""
    with page.expect_navigation():
        page.keyboard.press(key)


def press_access(page: Page, key: str) -> None:
    """Presses Alt and an access key that leads to another page. Playwright's own keyboard leaves out the text of the
    key, which Chromium compares."""
    event = {"modifiers": 1, "key": key, "code": f"Key{key.upper()}", "text": key, "unmodifiedText": key}
    keys = page.context.new_cdp_session(page)
    with page.expect_navigation():
        keys.send("Input.dispatchKeyEvent", {"type": "keyDown", "windowsVirtualKeyCode": ord(key.upper()), **event})
