"""Shifts where days differ: seldom found where there is none, nearly always where there is one that matters."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from pilot.workbench.stats import shift
from pilot.workbench.stats.comparisons import holm
from pilot.workbench.stats.shift import ALPHA, Shift, Window, of_means, of_shares

# How much days differ: the mix of a day is drawn around the usual one, and its mean lies off by so many deviations.
DAYS: dict[str, dict[str, Any]] = {
    "as usual": {"alike": 150.0, "off": 0.15, "items": 45, "labels": 6},
    "busy": {"alike": 60.0, "off": 0.15, "items": 150, "labels": 6},
    "many labels": {"alike": 150.0, "off": 0.15, "items": 60, "labels": 20},
    "no day differs": {"alike": 1e6, "off": 0.0, "items": 45, "labels": 3},
}


def drawn(
    draw: np.random.Generator, days: int, alike: float, off: float, items: int, mix: Any, by: float = 0.0
) -> tuple[list[str], Window]:
    """Labels and confidences of so many days; five busy ones and two quiet ones a week."""
    labels: list[str] = []
    values: list[float] = []
    when: list[int] = []
    for day in range(days):
        count = max(1, int(draw.poisson(items * (0.3 if day % 7 >= 5 else 1.28))))
        labels += [str(number) for number in draw.choice(len(mix), count, p=draw.dirichlet(np.asarray(mix) * alike))]
        values += list(draw.normal(by + draw.normal(0, off), 1, count))
        when += [day] * count
    return labels, Window(np.array(values), np.array(when))


def looked(seed: int, days: dict[str, Any], points: float = 0.0, deviations: float = 0.0) -> list[Shift | None]:
    """The shifts between six weeks and one in which the commonest label lost so many points, and the values moved."""
    draw = np.random.default_rng(seed)
    mix = np.sort(draw.dirichlet(np.full(days["labels"], 3.0)) * 0.75)
    mix[-1] += 0.25
    moved = mix.copy()
    moved[-1] -= points
    moved[0] += points
    amounts = {name: days[name] for name in ("alike", "off", "items")}
    labels, values = drawn(draw, 42, mix=mix, **amounts)
    its_labels, its_values = drawn(draw, 7, mix=moved, by=deviations, **amounts)
    return [
        of_shares((labels, list(values.days)), (its_labels, list(its_values.days))),
        of_means(values, its_values),
    ]


def alarms(found: list[Shift | None]) -> list[bool]:
    """Of each, whether it is an alarm beside the others."""
    shifts = [one for one in found if one is not None]
    return [p < ALPHA and one.matters for one, p in zip(shifts, holm([one.p for one in shifts]), strict=True)]


SOME = ["as usual", "many labels"]


@pytest.mark.parametrize("name", DAYS if os.environ.get("PILOT_TEST_FULL") else SOME)
def test_of_two_hundred_weeks_without_a_shift_one_in_twenty_is_an_alarm_at_most(name: str) -> None:
    assert sum(any(alarms(looked(seed, DAYS[name]))) for seed in range(200)) <= 10


@pytest.mark.parametrize("name", SOME)
def test_a_shift_that_matters_is_found(name: str) -> None:
    assert sum(alarms(looked(seed, DAYS[name], deviations=0.5))[1] for seed in range(60)) >= 54
    assert sum(alarms(looked(seed, DAYS[name], points=0.15))[0] for seed in range(60)) >= 54


def test_taken_for_independent_the_items_of_a_day_give_false_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "_alike", lambda *_: 0.0)
    monkeypatch.setattr(shift, "POINTS", 0.0)
    found = [looked(seed, DAYS["busy"])[0] for seed in range(100)]
    assert sum(one is not None and one.p < ALPHA for one in found) > 20


def test_a_shift_says_what_moved_and_by_how_much() -> None:
    days = [number % 10 for number in range(1000)]
    before, now = ["a"] * 500 + ["b"] * 500, ["a"] * 300 + ["b"] * 700
    found = of_shares((before, days), (now, days))
    assert found is not None
    assert (found.label, found.before, found.now, found.size) in (
        ("a", 0.5, 0.3, pytest.approx(-0.2)),
        ("b", 0.5, 0.7, pytest.approx(0.2)),
    )
    assert found.p < 0.001


def test_rare_labels_are_counted_together_and_one_label_alone_is_no_mix() -> None:
    days = [number % 10 for number in range(300)]
    rare = [f"rare {number}" if number < 30 else "common" for number in range(300)]
    found = of_shares((rare, days), (["common"] * 300, days))
    assert found is not None
    assert found.label in ("common", shift.REST)
    assert of_shares((["a"] * 300, days), (["a"] * 300, days)) is None


def test_values_that_are_all_the_same_have_not_moved() -> None:
    window = Window(np.full(300, 0.5), np.arange(300) % 10)
    assert of_means(window, window).p == 1
    assert of_means(window, Window(np.full(300, 0.6), np.arange(300) % 10)).p == 0
