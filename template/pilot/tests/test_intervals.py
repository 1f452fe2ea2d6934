"""Intervals of one sample, against published values and against their own laws."""

from __future__ import annotations

from math import comb
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.workbench.stats import intervals

SKEWED = [10, 12, 12.5, 12.5, 13.9, 15, 21, 22, 23, 34, 50, 81, 89, 121, 134, 213]
SLEEP = [-1.2, -2.4, -1.3, -1.3, 0.0, -1.0, -1.8, -0.8, -4.6, -1.4]
values = st.lists(st.floats(0, 1e6), min_size=2, max_size=60)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_of_newcombe_1998(successes: int, trials: int, low: float, high: float) -> None:
    assert intervals.wilson(successes, trials) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


# Exact shares of samples whose interval holds the truth. Wilson's is 95 % on average over the truth, not at each one:
# for 0.85 in 100 it is 93.3 %, which no seed of a simulation changes.
COVERED = {
    (0.02, 20): 0.940,
    (0.02, 100): 0.949,
    (0.02, 400): 0.954,
    (0.5, 20): 0.959,
    (0.5, 100): 0.943,
    (0.5, 400): 0.949,
    (0.85, 20): 0.978,
    (0.85, 100): 0.933,
    (0.85, 400): 0.942,
    (0.97, 20): 0.979,
    (0.97, 100): 0.969,
    (0.97, 400): 0.946,
}


@pytest.mark.parametrize(("true", "trials"), COVERED)
def test_wilson_covers_the_truth(true: float, trials: int) -> None:
    inside = [low <= true <= high for low, high in (_ends(successes, trials) for successes in range(trials + 1))]
    chances = [
        comb(trials, successes) * true**successes * (1 - true) ** (trials - successes)
        for successes in range(trials + 1)
    ]
    exact = sum(chance for chance, holds in zip(chances, inside, strict=True) if holds)
    assert exact == pytest.approx(COVERED[true, trials], abs=6e-4)
    simulated = Random(7).choices(inside, chances, k=2_000)
    assert sum(simulated) / 2_000 == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 2_000) ** 0.5)
    if (true, trials) != (0.85, 100):
        assert exact >= 0.935


def _ends(successes: int, trials: int) -> tuple[float, float]:
    low, high = intervals.wilson(successes, trials)
    assert low is not None
    assert high is not None
    return low, high


def test_wilson_of_an_effective_number_is_wilson_of_a_whole_one() -> None:
    for successes in (0, 1, 17, 20):
        found = intervals.wilson_of_effective(successes / 20, 20)
        assert found == pytest.approx(intervals.wilson(successes, 20), abs=1e-12)
    low, high = intervals.wilson_of_effective(0.5, 6.5)
    assert intervals.wilson(3, 6)[0] < low < intervals.wilson(4, 8)[0]
    assert high == pytest.approx(1 - low)
    assert intervals.wilson_of_effective(1.0, 7.3)[1] == 1
    assert intervals.wilson_of_effective(0.0, 7.3)[0] == 0
    assert intervals.wilson_of_effective(0.0, 0) == (None, None)


def test_a_mean_of_few_values_has_a_t_interval() -> None:
    low, high = intervals.mean(SLEEP)
    assert low == pytest.approx(-2.4598858, abs=5e-8)
    assert high == pytest.approx(-0.7001142, abs=5e-8)


@pytest.mark.parametrize(
    ("method", "low", "high"), [("BCa", 32.31, 91.43), ("percentile", 28.86, 84.21), ("basic", 23.77, 79.12)]
)
def test_the_bootstrap_is_that_of_r(monkeypatch: pytest.MonkeyPatch, method: str, low: float, high: float) -> None:
    monkeypatch.setattr(intervals, "RESAMPLES", 1_000_000)
    found = intervals.bootstrap((np.array(SKEWED),), np.mean, method=method)
    assert found == (pytest.approx(low, rel=0.005), pytest.approx(high, rel=0.005))


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


@settings(max_examples=15, deadline=None)
@given(values)
def test_values_of_the_other_sign_have_the_mirror_image(found: list[float]) -> None:
    low, high = intervals.mean(found)
    mirrored = intervals.mean([-value for value in found])
    assert mirrored == (None if high is None else -high, None if low is None else -low)


def test_values_that_are_their_own_mirror_image_have_an_interval_that_is_so_too() -> None:
    low, high = intervals.mean([*range(-25, 26)])
    assert low is not None
    assert low == -high
