"""The sponsor's brief, printed: one page of A4, with much to say and with little."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from banking import CHARTER, COSTS, DUE, GAPS
from helpers import Render
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


def pages(browser: Browser, file: Path) -> int:
    """How many pages it takes on paper."""
    page = browser.new_page()
    page.goto(file.as_uri())
    printed = page.pdf(prefer_css_page_size=True)
    page.close()
    return printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ")


@pytest.fixture(scope="module")
def pilot(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("brief") / "pilot")


def brief(pilot: Path) -> Path:
    command = [sys.executable, "-m", "pilot.cli", "brief"]
    subprocess.run(command, cwd=pilot, check=True, capture_output=True, timeout=60)
    return pilot / "var" / "brief.html"


def test_an_untouched_pilot_lacks_everything_and_says_so_on_one_page(browser: Browser, pilot: Path) -> None:
    page = brief(pilot)
    assert page.read_text(encoding="utf-8").count("Not yet.") > 6
    assert pages(browser, page) == 1


def test_a_pilot_with_many_gaps_says_so_on_one_page_and_a_long_page_is_seen(
    browser: Browser, pilot: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(pilot, tmp_path / "pilot")
    (copy / "phases/1-scope/charter.md").write_text(CHARTER.format(target=0.9, due=DUE), encoding="utf-8")
    ranges = "minutes_today = [1, 2, 3]\nfailed_share = [0, 0.01, 0.02]\n"
    (copy / "phases/3-decide/costs.toml").write_text(COSTS + ranges, encoding="utf-8")
    more = "".join(
        f"the restore of backup number {n} was never tried by anybody,failover,major,2,Grace Hopper,open,2027-04-30,\n"
        for n in range(9)
    )
    (copy / "phases/3-decide/gaps.csv").write_text(GAPS + more, encoding="utf-8")
    page = brief(copy)
    text = page.read_text(encoding="utf-8")
    assert "What today's process costs" in text.replace("&#39;", "'")
    assert "more</li>" in text
    assert pages(browser, page) == 1
    page.write_text(text.replace("</ul>", f"{'<li>one more gap</li>' * 60}</ul>"), encoding="utf-8")
    assert pages(browser, page) > 1
