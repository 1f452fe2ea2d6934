"""Figures of independent items, and the shapes they come in."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.workbench.stats import estimates, intervals
from pilot.workbench.stats.intervals import Estimate

FIGURES: dict[str, Callable[[Any], Estimate]] = {
    "share": estimates.share,
    "mean": estimates.mean,
    "quantile": lambda values: estimates.quantile(values, 0.5),
    "ratio": lambda values: estimates.ratio(values, [1] * len(values)),
}
bits = st.lists(st.booleans(), max_size=60)
numbers = st.lists(st.floats(-1e6, 1e6), max_size=60)


def test_a_share_is_wilson() -> None:
    found = estimates.share([True] * 17 + [False] * 3)
    assert found == Estimate(0.85, *intervals.wilson(17, 20), 20, "Wilson")
    assert found.low == pytest.approx(0.640, abs=5e-4)
    assert found.high == pytest.approx(0.948, abs=5e-4)


@pytest.mark.parametrize(
    ("items", "method"),
    [(10, "Student's t"), (30, "BCa bootstrap, 9,999 resamples"), (5_001, "Student's t")],
)
def test_a_mean_names_its_method(items: int, method: str) -> None:
    assert estimates.mean(np.arange(items)).method == method


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_a_quantile_is_one_of_the_values_inside_its_interval(q: float) -> None:
    found = estimates.quantile(np.random.default_rng(3).exponential(size=300), q)
    assert found.method == "order statistics"
    assert found.low < found.value < found.high


def test_a_ratio_of_sums_is_no_mean_of_ratios() -> None:
    cost = [2.0, 4.0] * 50
    correct = [True, False] * 50
    found = estimates.ratio(cost, correct)
    assert found.value == 6
    assert found.low < 6 < found.high
    assert found.method == "BCa bootstrap, 9,999 resamples"


def test_a_ratio_of_few_correct_items_has_no_upper_end() -> None:
    found = estimates.ratio([1.0] * 40, [True] + [False] * 39)
    assert found.value == 40
    assert 0 < found.low < 40
    assert found.high is None
    assert estimates.ratio([1.0] * 40, [False] * 40).value is None


def test_a_ratio_of_items_of_the_same_size_is_their_mean() -> None:
    values = np.random.default_rng(4).exponential(size=200)
    mean, ratio = estimates.mean(values), estimates.ratio(values, np.full(200, 2.0))
    assert ratio.value == pytest.approx(mean.value / 2)
    assert ratio.interval == pytest.approx((mean.low / 2, mean.high / 2))


def test_many_ratios_have_the_linearised_interval_that_a_bootstrap_would_give() -> None:
    random = np.random.default_rng(5)
    cost, correct = random.exponential(size=5_001), random.random(5_001) < 0.8
    many, fewer = estimates.ratio(cost, correct), estimates.ratio(cost[:5_000], correct[:5_000])
    assert many.method == "Student's t of the linearised ratio"
    assert many.interval == pytest.approx(fewer.interval, rel=0.002)


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, None])
def test_what_is_no_finite_number_is_refused_by_name(figure: str, wrong: float | None) -> None:
    with pytest.raises(ValueError, match=r"^(successes|values|numerators): row 2 is (nan|inf|-inf)"):
        FIGURES[figure]([1, 0, wrong, 1])


def test_other_shapes_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="successes: row 1 is 2"):
        estimates.share([1, 2])
    with pytest.raises(ValueError, match="values must be one column"):
        estimates.mean(np.ones((2, 2)))
    with pytest.raises(ValueError, match="values must be a column of numbers"):
        estimates.mean(["a", "b"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="numerators has 2 rows and denominators 1"):
        estimates.ratio([1, 2], [1])
    with pytest.raises(ValueError, match="denominators must not be negative"):
        estimates.ratio([1, 2], [1, -1])
    with pytest.raises(ValueError, match="q must be above 0"):
        estimates.quantile([1, 2], 1.0)


@pytest.mark.parametrize("figure", FIGURES)
def test_nothing_gives_nothing(figure: str) -> None:
    found = FIGURES[figure]([])
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 0)


def test_one_row_has_a_value_and_what_its_interval_can_say() -> None:
    assert estimates.share([True]).interval == intervals.wilson(1, 1)
    assert estimates.mean([3.0]).interval == estimates.quantile([3.0], 0.5).interval == (None, None)
    assert estimates.mean([3.0]).value == estimates.quantile([3.0], 0.5).value == estimates.ratio([3.0], [1]).value == 3


def test_ties_work() -> None:
    tied = estimates.quantile([1.0] * 40 + [2.0] * 40, 0.25)
    assert (tied.value, tied.low, tied.high) == (1, 1, 1)
    equal = estimates.mean([0.1] * 50)
    assert (equal.value, equal.interval, equal.method) == (0.1, (None, None), intervals.NO_INTERVAL)


@settings(max_examples=30, deadline=None)
@given(bits, st.randoms(use_true_random=False))
def test_a_share_lies_in_its_interval_whatever_the_order(found: list[bool], random: Random) -> None:
    share = estimates.share(found)
    random.shuffle(found)
    assert estimates.share(found) == share
    if found:
        assert 0 <= share.low <= share.value <= share.high <= 1


@settings(max_examples=20, deadline=None)
@given(numbers, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(found: list[float], random: Random) -> None:
    rows = [(value, random.randint(0, 3)) for value in found]
    before = estimates.mean(found), estimates.quantile(found, 0.5), _ratio(rows)
    random.shuffle(rows)
    found = [value for value, _ in rows]
    assert (estimates.mean(found), estimates.quantile(found, 0.5), _ratio(rows)) == before


def _ratio(rows: list[tuple[float, int]]) -> Estimate:
    return estimates.ratio([value for value, _ in rows], [size for _, size in rows])


def test_the_mean_of_skewed_values_is_covered() -> None:
    random = np.random.default_rng(6)
    inside = 0
    for _ in range(300):
        low, high = estimates.mean(random.exponential(size=100)).interval
        inside += low <= 1 <= high
    assert inside >= 0.92 * 300  # 94 % expected of BCa at 100 skewed values
