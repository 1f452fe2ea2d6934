"""The pictures: the same bytes for the same rows, at home inside any page, and told in words too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilot.workbench import charts

DAYS = [date(2026, 11, 2) + timedelta(days=7 * week) for week in range(5)]
TEXTS = {"title": "Accuracy", "description": "It rises."}


def target(name: str = "target", **more: Any) -> str:
    given = {"days": DAYS, "values": [0.7, 0.8, 0.82, 0.84, 0.85], "lows": [None, 0.7, 0.75, 0.79, 0.81]}
    given |= {"highs": [None, 0.88, 0.87, 0.88, 0.88], "target": 0.8, **TEXTS, **more}
    return charts.target_over_time(name=name, **given)


def reliability(name: str = "reliability", **more: Any) -> str:
    given = {"confidences": [0.6, 0.9], "shares": [0.5, 0.8], "lows": [0.4, 0.7], "highs": [0.6, 0.85]}
    return charts.reliability(name=name, **{**given, **TEXTS, **more})


def cycle_time(name: str = "cycle", **more: Any) -> str:
    given = {"before": charts.cumulative([5, 8, 13, 40]), "after": charts.cumulative([1, 2, 2, 9])}
    return charts.cycle_time(name=name, **{**given, **TEXTS, **more})


def confusion(name: str = "confusion", **more: Any) -> str:
    return charts.confusion(name=name, **{"labels": ["yes", "no"], "table": [[8, 1], [2, 9]], **TEXTS, **more})


def coverage(name: str = "coverage", **more: Any) -> str:
    given = {"bands": ["high", "low"], "judged": [3, 9], "items": [30, 10], "floor": 0.6}
    return charts.coverage(name=name, **{**given, **TEXTS, **more})


ALL = [target, reliability, cycle_time, confusion, coverage]
EMPTY: dict[Callable[..., str], dict[str, Any]] = {
    target: {"days": [], "values": [], "lows": [], "highs": []},
    reliability: {"confidences": [], "shares": [], "lows": [], "highs": []},
    cycle_time: {"before": ([], []), "after": ([], [])},
    confusion: {"labels": [], "table": []},
    coverage: {"bands": [], "judged": [], "items": []},
}


def words(picture: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("picture", ALL)
def test_a_picture_is_one_image_with_a_text_alternative(picture: Callable[..., str]) -> None:
    drawn = picture("here", title="Cost < time", description="Both & more.")
    root = ElementTree.fromstring(drawn)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "here-title here-description"
    title, description = root[0], root[1]
    assert (title.tag[-5:], title.get("id"), title.text) == ("title", "here-title", "Cost < time")
    assert (description.tag[-4:], description.get("id"), description.text) == (
        "desc",
        "here-description",
        "Both & more.",
    )


@pytest.mark.parametrize("picture", ALL)
def test_a_picture_fits_the_narrowest_screen_in_letters_that_can_be_read(picture: Callable[..., str]) -> None:
    root = ElementTree.fromstring(picture())
    assert re.fullmatch(r"0 0 320 \d+", root.attrib["viewBox"])
    assert (root.get("width"), root.get("height")) == ("100%", None)
    texts = list(root.iter("{http://www.w3.org/2000/svg}text"))
    assert texts
    for text in texts:
        assert text.attrib["font-size"] == "11px"
        x = float(text.get("x") or re.findall(r"[-\d.]+", text.attrib["transform"])[0])
        assert 0 <= x <= 320


@pytest.mark.parametrize("picture", ALL)
def test_a_picture_leaves_its_page_alone(picture: Callable[..., str]) -> None:
    drawn = picture()
    for foreign in ("<style", "<?xml", "<!DOCTYPE", "<metadata", "xlink", "DejaVu", "http://purl", "pyplot"):
        assert foreign not in drawn
    assert drawn.count(" style=") == 1  # the width on a wide page


def test_ids_are_unique_within_a_page_and_each_reference_has_its_own() -> None:
    drawn = [picture(f"{use}-{place}") for use in ("first", "second") for place, picture in enumerate(ALL)]
    found = [identity for picture in drawn for identity in re.findall(r' id="([^"]+)"', picture)]
    assert len(found) == len(set(found))
    for picture in drawn:
        own = set(re.findall(r' id="([^"]+)"', picture))
        used = set(re.findall(r'(?:url\(|href=")#([^")]+)', picture))
        assert used <= own
        assert len(own) == len(used) + 2
    assert any("url(#" in picture for picture in drawn)
    assert any('href="#' in picture for picture in drawn)


def test_a_picture_is_the_same_in_another_process_whatever_its_matplotlibrc(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(
        "svg.fonttype: path\naxes.facecolor: red\nfont.size: 30\nlines.linewidth: 9\nsvg.hashsalt: other\n"
    )
    code = (
        "import sys, test_charts as t\n"
        "sys.stdout.reconfigure(encoding='utf-8', newline='')\n"
        "sys.stdout.write(''.join(picture() for picture in t.ALL))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "PYTHONPATH": str(Path(__file__).parent)}
    there = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=120
    )
    assert there.stdout.decode() == "".join(picture() for picture in ALL)


def test_nothing_global_stays_changed() -> None:
    before = dict(matplotlib.rcParams)
    for picture in ALL:
        picture()
    assert dict(matplotlib.rcParams) == before


def test_the_target_the_medians_and_the_counts_are_written_out() -> None:
    assert {"target 80%", "share, with 95% interval", "2 Nov", "30 Nov"} <= set(words(target()))
    assert {"target 24", "hours, with 95% interval"} <= set(
        words(target(values=[30, 28, 25, 22, 20], lows=[None] * 5, highs=[None] * 5, target=24, unit="hours"))
    )
    assert {"before, median 8", "pilot, median 2"} <= set(words(cycle_time()))
    assert {"3 of 30", "9 of 10", "floor 60%", "high", "low"} <= set(words(coverage()))
    assert {"8", "1", "2", "9", "yes 1", "no 2"} <= set(words(confusion()))


def test_what_is_coloured_differs_in_shape_too() -> None:
    drawn = cycle_time()
    dashes = re.findall(rf'<path[^>]*stroke="{charts.LIGHT}"[^>]*>', drawn)
    assert dashes
    assert any("stroke-dasharray" in path for path in dashes)
    solid = re.findall(rf'<path[^>]*stroke="{charts.DARK}"[^>]*>', drawn)
    assert solid
    assert not any("stroke-dasharray" in path for path in solid)
    assert "url(#" in coverage()  # hatched


def test_a_curve_whose_items_are_still_open_says_that_half_are_not_finished() -> None:
    assert "pilot, median not reached" in words(cycle_time(after=([1.0, 2.0], [0.2, 0.4])))


def test_many_days_have_a_band_and_few_have_bars() -> None:
    days = [DAYS[0] + timedelta(days=day) for day in range(60)]
    many = target(days=days, values=[0.8] * 60, lows=[0.7] * 60, highs=[0.9] * 60)
    assert charts.PALE in many
    assert charts.PALE not in target()
    assert len(many) < 12_000


def test_a_million_items_are_drawn_with_a_few_hundred_points() -> None:
    hours = np.random.default_rng(1).lognormal(2, 1, 1_000_000)
    drawn = cycle_time(before=charts.cumulative(hours), after=charts.cumulative(hours / 2))
    assert len(drawn) < 40_000
    assert f"before, median {np.sort(hours)[499_999]:.3g}" in words(drawn)


def test_more_labels_than_fit_are_added_up_so_that_the_sum_stays() -> None:
    table = np.random.default_rng(2).poisson(3, (30, 30))
    drawn = words(confusion(labels=[f"label {number}" for number in range(30)], table=table))
    assert "24 others 7" in drawn
    cells = [int(word) for word in drawn if word.isdigit()]
    assert sum(cells) == table.sum() + sum(range(1, 8))  # the cells, and the numbers of the columns


def test_labels_may_hold_anything() -> None:
    labels = ['<b> & "c"', "a $x$ \x00\x1b\n tab\t東京"]
    drawn = words(confusion(labels=labels))
    assert '<b> & "c" 1' in drawn
    assert "a $x$ \ufffd\ufffd tab… 2" in drawn


@pytest.mark.parametrize("picture", ALL)
def test_without_rows_a_picture_says_so(picture: Callable[..., str]) -> None:
    assert words(picture(**EMPTY[picture])) == ["nothing to show yet"]


def test_one_row_and_ties_are_drawn() -> None:
    assert "<path" in target(days=DAYS[:1], values=[1.0], lows=[1.0], highs=[1.0], target=1.0)
    assert "<path" in target(days=[DAYS[0]] * 5)
    assert "<path" in reliability(confidences=[1], shares=[1], lows=[1], highs=[1])
    assert "<path" in cycle_time(before=charts.cumulative([0]), after=charts.cumulative([]))
    assert "<path" in cycle_time(before=charts.cumulative([3, 3, 3]), after=charts.cumulative([3, 3, 3]))
    assert "<path" in confusion(labels=["only"], table=[[5]])
    assert "<path" in coverage(bands=["all"], judged=[0], items=[0], floor=None)


shares = st.floats(0, 1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(shares, shares, shares), max_size=40), shares, st.lists(st.floats(0, 1e5), max_size=30))
def test_whatever_the_rows_the_picture_is_sound(
    rows: list[tuple[float, float, float]], goal: float, hours: list[float]
) -> None:
    ordered = [sorted(row) for row in rows]
    low, middle, high = ([row[part] for row in ordered] for part in range(3))
    days = [DAYS[0] + timedelta(days=day) for day in range(len(rows))]
    for drawn in (
        target(days=days, values=middle, lows=low, highs=high, target=goal),
        reliability(confidences=middle, shares=middle, lows=low, highs=high),
        cycle_time(before=charts.cumulative(hours), after=charts.cumulative([2.0])),
    ):
        ElementTree.fromstring(drawn)
        assert not re.search(r"\b(nan|inf)\b", drawn)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: confusion(top=0), "top must be 1 or more"),
        (lambda: coverage("Not an id"), "the name of a picture"),
        (lambda: coverage(title=" "), "needs a title and a description"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(draw: Callable[[], str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()
