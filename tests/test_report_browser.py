"""The report in a real browser: under axe, at every width, without JavaScript, and printed on A4."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from browsers import violations
from helpers import ROOT, run
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
KINDS = ("missed", "met", "auto", "open", "empty", "early")
MADE = """
import sys
from datetime import timedelta
from pathlib import Path
from test_report import DUE, HOSTILE, Facts, Rail, audited, columns, html, report, share, whole

before = {"accuracy": share(150, 200), "cycle_time": [6.0 + k % 5 for k in range(100)]}
took = [3 + k % 5 for k in range(90)]
facts = Facts(metric="cycle_time", target=9, cost_of_hour=40, guardrails=[Rail("accuracy", "up", 0.03)])
kinds = {
    "missed": whole(name="A" * 90 + " " + HOSTILE, remarks=("x" * 200,)),
    "met": report(columns(share(950, 1000), groups=[f"customer {k // 50}" for k in range(1000)]), baseline=before),
    "auto": report(audited(used=1000, drawn=50, wrong=1, manual=200, right=120), baseline=before),
    "open": report(columns([1] * 80 + [None] * 10, mode="assist", hours=took), facts, before),
    "empty": report(columns([])),
    "early": report(columns(share(40, 50)), baseline=before, as_of=DUE - timedelta(days=9)),
}
for name, one in kinds.items():
    Path(sys.argv[1], f"{name}.html").write_text(html(one), encoding="utf-8")
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report of each kind."""
    folder = tmp_path_factory.mktemp("reports")
    run(sys.executable, "-c", MADE, folder, cwd=ROOT / "template" / "pilot" / "tests")
    return folder


@pytest.mark.parametrize("width", [900, 320])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    browser: Browser, reports: Path, pictures: Path, kind: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((reports / f"{kind}.html").as_uri())
    page.screenshot(path=pictures / f"report-{kind}-{width}.png", full_page=True)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("summary").click()
    assert violations(page) == [], "with its details too"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = page.evaluate(
        """() => [...document.querySelectorAll(".scroll")].filter(one => one.scrollWidth > one.clientWidth + 1)
            .map(one => one.innerText.slice(0, 80))"""
    )
    assert cut == [], "a table that must be pushed sideways to be read"
    page.close()


def test_axe_would_find_a_picture_without_its_text(browser: Browser, reports: Path) -> None:
    page = browser.new_page()
    page.goto((reports / "missed.html").as_uri())
    page.evaluate("document.querySelector('svg').removeAttribute('aria-labelledby')")
    page.evaluate("document.querySelector('svg title').remove()")
    assert any(found.startswith("svg-img-alt (serious)") for found in violations(page))
    page.close()


def test_it_asks_for_no_other_file_and_needs_no_script(browser: Browser, reports: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((reports / "missed.html").as_uri())
    assert len(asked) == 1
    assert page.get_by_text("The pilot has missed its target.").is_visible()
    assert page.locator("svg").count() == 6
    assert page.locator("svg").first.is_visible()
    assert not page.get_by_text("How sure, and how right").is_visible()
    page.locator("summary").click()
    assert page.get_by_text("How sure, and how right").is_visible()
    context.close()


@pytest.mark.parametrize("kind", KINDS)
def test_printed_on_a4_the_verdict_stands_on_page_one(
    browser: Browser, reports: Path, tmp_path: Path, kind: str
) -> None:
    page = browser.new_page()
    page.goto((reports / f"{kind}.html").as_uri())
    file = tmp_path / "report.pdf"
    page.pdf(path=file, prefer_css_page_size=True)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 673, "height": 1000})  # A4 less its margins, at 96 pixels an inch
    bottom = page.locator("h2").first.evaluate("one => one.getBoundingClientRect().bottom")
    assert bottom < 1000
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", file.read_bytes())
    assert {(round(float(wide)), round(float(high))) for wide, high in boxes} == {(595, 842)}
    assert len(re.findall(rb"/Type\s*/Page[^s]", file.read_bytes())) <= 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 673
    page.close()
