"""Figures of items in groups: copies say nothing, names say nothing, and groups that differ widen the interval."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.workbench.stats import clusters, estimates, intervals
from pilot.workbench.stats.arrays import numbered
from pilot.workbench.stats.clusters import Clustered

Figure = Callable[[Any, Any], Clustered]
FIGURES: dict[str, Figure] = {
    "share": clusters.share,
    "mean": clusters.mean,
    "quantile": lambda values, groups: clusters.quantile(values, 0.5, groups),
    "ratio": lambda values, groups: clusters.ratio(values, np.ones(len(values)), groups),
}
rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=80)
many_groups = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 60)), min_size=60, max_size=150)


def grouped(random: np.random.Generator, groups: int, each: int, share: float, alike: float) -> tuple[Any, Any]:
    """Right or wrong, of a share that differs between groups with the intraclass correlation `alike`."""
    strength = (1 - alike) / alike
    shares = random.beta(share * strength, (1 - share) * strength, groups)
    return random.random((groups, each)) < shares[:, None], np.repeat(np.arange(groups), each)


@pytest.mark.parametrize("figure", FIGURES)
@settings(max_examples=12, deadline=None)
@given(found=st.one_of(rows, many_groups))
def test_five_copies_of_each_row_never_narrow_an_interval(figure: str, found: list[tuple[int, int]]) -> None:
    values, groups = np.array(found).T
    once = FIGURES[figure](values, groups)
    copied = FIGURES[figure](np.repeat(values, 5), np.repeat(groups, 5))
    assert copied.value == pytest.approx(once.value)
    assert copied.clusters == once.clusters
    for before, after, side in ((once.low, copied.low, 1), (once.high, copied.high, -1)):
        assert after is None or (before is not None and side * (after - before) <= 1e-9)


def test_without_groups_copies_do_narrow_it() -> None:
    values = np.random.default_rng(1).integers(0, 2, 100)
    once, copied = estimates.share(values), estimates.share(np.repeat(values, 5))
    assert copied.high - copied.low < (once.high - once.low) / 2


@pytest.mark.parametrize("figure", FIGURES)
@settings(max_examples=12, deadline=None)
@given(found=st.one_of(rows, many_groups), random=st.randoms(use_true_random=False))
def test_order_and_names_change_nothing(figure: str, found: list[tuple[int, int]], random: Random) -> None:
    before = FIGURES[figure](*np.array(found).T)
    names = [f"reviewer {name}" for name in range(61)]
    random.shuffle(names)
    random.shuffle(found)
    assert FIGURES[figure]([value for value, _ in found], [names[group] for _, group in found]) == before


def test_a_group_for_each_item_is_as_good_as_none() -> None:
    values = np.random.default_rng(2).random(400) < 0.85
    alone, plain = clusters.share(values, range(400)), estimates.share(values)
    assert alone.clusters == 400
    assert 1 <= alone.design_effect < 1.05
    assert alone.low <= plain.low
    assert alone.high >= plain.high
    assert alone.interval == pytest.approx(plain.interval, abs=2e-3)
    assert clusters.share(values, [None] * 400) == alone


def test_a_mean_with_a_group_for_each_item_is_the_plain_one() -> None:
    values = np.random.default_rng(3).exponential(size=300)
    alone, plain = clusters.mean(values, range(300)), estimates.mean(values)
    assert alone.interval == pytest.approx(plain.interval, rel=1e-9)
    assert alone.method == "BCa bootstrap, 9,999 resamples, by groups"
    assert alone.value == plain.value


def test_the_design_effect_is_that_of_the_formula() -> None:
    """1 + (m - 1) rho: 1.95 for 20 items a group with a correlation of 0.05."""
    values, groups = grouped(np.random.default_rng(4), 3_000, 20, 0.7, 0.05)
    assert clusters.share(values.ravel(), groups).design_effect == pytest.approx(1.95, rel=0.06)
    assert clusters.mean(values.ravel(), groups).design_effect == pytest.approx(1.95, rel=0.06)


@pytest.mark.parametrize(("value", "ends"), [(1, intervals.wilson(8, 8)), (0, intervals.wilson(0, 8))])
def test_all_right_or_all_wrong_counts_groups(value: int, ends: intervals.Interval) -> None:
    found = clusters.share([value] * 400, [row % 8 for row in range(400)])
    assert found.interval == pytest.approx(ends)
    assert found.design_effect == 50


def test_one_group_counts_as_one_item() -> None:
    assert clusters.share([1, 1, 0, 1], [7] * 4).interval == pytest.approx(intervals.wilson_of_effective(0.75, 1))
    for figure in ("mean", "ratio"):
        found = FIGURES[figure]([1.0, 2.0, 3.0], ["a"] * 3)
        assert (found.interval, found.clusters, found.design_effect) == ((None, None), 1, 3)


@pytest.mark.parametrize("figure", FIGURES)
def test_nothing_gives_nothing(figure: str) -> None:
    found = FIGURES[figure]([], [])
    assert (found.value, found.low, found.high, found.n, found.clusters) == (None, None, None, 0, 0)


@pytest.mark.parametrize("figure", FIGURES)
def test_wrong_columns_are_refused_by_name(figure: str) -> None:
    with pytest.raises(ValueError, match="row 1 is nan"):
        FIGURES[figure]([1.0, float("nan")], ["a", "b"])
    with pytest.raises(ValueError, match="groups has 1 rows, and there are 2 items"):
        FIGURES[figure]([1.0, 0.0], ["a"])
    with pytest.raises(ValueError, match="groups: row 0 is nan"):
        FIGURES[figure]([1.0, 0.0], [float("nan"), "a"])


def test_groups_are_told_apart_by_value() -> None:
    assert numbered(["a", None, "b", "a", None], 5).tolist() == [0, 1, 2, 0, 3]
    assert numbered(np.array([5, 5, 2]), 3).tolist() == [0, 0, 1]


def test_many_groups_are_linearised_to_the_same_interval() -> None:
    values, groups = grouped(np.random.default_rng(5), 5_001, 3, 0.8, 0.2)
    many = clusters.share(values.ravel(), groups)
    fewer = clusters.share(values[:5_000].ravel(), groups[:15_000])
    assert many.method.endswith("linearised over 5,001 groups")
    assert fewer.method.endswith("from 9,999 resamples of 5,000 groups")
    assert many.interval == pytest.approx(fewer.interval, abs=1e-3)


# 2,000 simulations of each cover 95.5, 94.9 and 93.3 % (plain Wilson 76, 78 and 79 %), but take a minute: here are 400.
@pytest.mark.parametrize(("share", "groups"), [(0.5, 30), (0.85, 30), (0.97, 60)])
def test_a_share_of_alike_items_is_covered_and_by_plain_wilson_is_not(share: float, groups: int) -> None:
    random = np.random.default_rng(8)
    inside = plain = 0
    for _ in range(400):
        values, names = grouped(random, groups, 10, share, 0.2)
        low, high = clusters.share(values.ravel(), names).interval
        inside += low <= share <= high
        low, high = estimates.share(values.ravel()).interval
        plain += low <= share <= high
    assert inside >= 0.92 * 400
    assert plain < 0.85 * 400
