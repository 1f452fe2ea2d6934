"""Intervals of one sample, against published values and against their own laws."""

from __future__ import annotations

from math import comb
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.evaluation import intervals

SKEWED = [10, 12, 12.5, 12.5, 13.9, 15, 21, 22, 23, 34, 50, 81, 89, 121, 134, 213]
SLEEP = [-1.2, -2.4, -1.3, -1.3, 0.0, -1.0, -1.8, -0.8, -4.6, -1.4]
values = st.lists(st.floats(0, 1e6), min_size=2, max_size=60)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_of_newcombe_1998(successes: int, trials: int, low: float, high: float) -> None:
    assert intervals.wilson(successes, trials) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize("trials", [20, 100, 400])
@pytest.mark.parametrize("true", [0.02, 0.5, 0.85, 0.97])
def test_wilson_covers_the_truth(true: float, trials: int) -> None:
    covered = 0.0
    for successes in range(trials + 1):
        low, high = intervals.wilson(successes, trials)
        assert low is not None
        assert high is not None
        if low <= true <= high:
            covered += comb(trials, successes) * true**successes * (1 - true) ** (trials - successes)
    assert covered >= 0.93  # exact; the smallest of these is 0.933, of 0.85 in 100


def test_a_mean_of_few_values_has_a_t_interval() -> None:
    low, high = intervals.mean(SLEEP)
    assert low == pytest.approx(-2.4598858, abs=5e-8)
    assert high == pytest.approx(-0.7001142, abs=5e-8)


def test_bca_is_that_of_r(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "_BCA", range(2, 100))
    monkeypatch.setattr(intervals, "_RESAMPLES", 200_000)
    low, high = intervals.mean(SKEWED)
    assert low == pytest.approx(32.31, rel=0.01)
    assert high == pytest.approx(91.43, rel=0.01)


def test_from_thirty_values_on_the_mean_is_bootstrapped_and_leans_to_the_long_tail() -> None:
    many = [float(value) ** 2 for value in range(40)]
    low, high = intervals.mean(many)
    assert low is not None
    assert high is not None
    middle = sum(many) / len(many)
    assert high - middle > (middle - low) * 1.02


def test_the_interval_of_a_median_of_ten_is_from_the_second_to_the_ninth() -> None:
    assert intervals.quantile([float(value) for value in range(1, 11)], 0.5) == (2, 9)


def test_few_values_leave_the_upper_end_of_a_high_quantile_open() -> None:
    low, high = intervals.quantile([float(value) for value in range(10)], 0.9)
    assert low is not None
    assert high is None


def test_nothing_bounds_nothing() -> None:
    assert intervals.wilson(0, 0) == intervals.quantile([], 0.5) == intervals.mean([]) == (None, None)
    assert intervals.mean([3.0]) == intervals.mean([3.0] * 50) == (None, None)


@settings(max_examples=15, deadline=None)
@given(values, st.randoms(use_true_random=False))
def test_the_order_of_the_values_changes_nothing(found: list[float], random: Random) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert intervals.mean(found) == intervals.mean(shuffled)
    assert intervals.quantile(found, 0.5) == intervals.quantile(shuffled, 0.5)
