"""A real browser, what axe finds on its pages, and where the pictures of them go.

Where PILOT_TEST_SCREENSHOTS names a folder, the pictures go there, to be looked at.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from helpers import chromium
from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The Chromium of this machine."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for screenshots."""
    named = os.environ.get("PILOT_TEST_SCREENSHOTS")
    return Path(named) if named else tmp_path_factory.mktemp("screenshots")


def violations(page: Page, known: Collection[str] = ()) -> list[str]:
    """What axe finds, but for the rules that are known, with the elements."""
    found = [one for one in Axe().run(page).response["violations"] if one["id"] not in known]
    return [f"{one['id']} ({one['impact']}): {[node['html'][:200] for node in one['nodes']]}" for one in found]
