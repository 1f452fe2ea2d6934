"""Always-valid intervals: the values of confseq's own tests, and a pilot that is looked at every day."""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.workbench.stats import estimates, sequential

DAYS, ITEMS = 30, 50


def test_the_normal_boundary_is_that_of_confseq() -> None:
    assert sequential.boundary(100, 100) == pytest.approx(30.35209, abs=5e-6)


def test_at_the_planned_number_it_is_about_half_as_wide_again() -> None:
    assert sequential.boundary(400, 400) / (1.959964 * 20) == pytest.approx(1.55, abs=5e-3)
    widths = [sequential.boundary(400, planned) for planned in (100, 200, 400, 800, 1_600)]
    assert min(widths) == widths[2]


def test_the_shares_ends_solve_robbins_equation() -> None:
    for k, n in ((17, 20), (3, 40), (0, 30), (30, 30)):
        found = sequential.share(k, n)
        for end in (found.low, found.high):
            if end not in (0, 1):
                # B(1+k, 1+n-k) = 1 / ((n+1) C(n, k))
                mixture = 1 / ((n + 1) * comb(n, k) * end**k * (1 - end) ** (n - k))
                assert mixture == pytest.approx(20, rel=1e-6)
    assert sequential.share(0, 30).low == 0
    assert sequential.share(30, 30).high == 1


def test_it_holds_the_one_of_a_single_look() -> None:
    for k, n in ((17, 20), (340, 400), (850_000, 1_000_000)):
        low, high = estimates.wilson(k, n)
        found = sequential.share(k, n)
        assert found.low < low < high < found.high


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2_000), st.integers(0, 2_000))
def test_a_share_lies_inside_and_is_mirrored(right: int, wrong: int) -> None:
    found, mirror = sequential.share(right, right + wrong), sequential.share(wrong, right + wrong)
    if right + wrong == 0:
        assert (found.value, found.low, found.high) == (None, None, None)
        return
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low == pytest.approx(1 - mirror.high)


def test_before_thirty_values_a_mean_is_open() -> None:
    values = list(range(30))
    assert sequential.mean(values[:29], 100).interval == (None, None)
    assert sequential.mean(values, 100).low < 14.5 < sequential.mean(values, 100).high
    assert sequential.mean([0.1] * 50, 100).interval == (None, None)
    assert sequential.mean([], 100).value is None


@pytest.mark.parametrize("share", [0.5, 0.85, 0.97])
def test_a_null_pilot_looked_at_daily_is_rarely_wrong(share: float) -> None:
    """The target is the truth, so MET and MISSED are both false. With the interval of one look they are frequent."""
    pilots = np.random.default_rng(2).binomial(ITEMS, share, size=(4_000, DAYS)).cumsum(axis=1).tolist()
    always, once = lru_cache(None)(sequential.share), lru_cache(None)(estimates.wilson)

    def misses(ends: tuple[float, float]) -> bool:
        return not ends[0] <= share <= ends[1]

    days = [(day + 1) * ITEMS for day in range(DAYS)]
    false = sum(any(misses(always(k, n).interval) for k, n in zip(pilot, days, strict=True)) for pilot in pilots)
    peeked = sum(any(misses(once(k, n)) for k, n in zip(pilot, days, strict=True)) for pilot in pilots)
    assert false <= 0.05 * 4_000
    assert peeked >= 0.2 * 4_000


@pytest.mark.parametrize("values", ["paired shares", "exponential"])
def test_a_null_difference_looked_at_daily_is_rarely_wrong(values: str) -> None:
    random = np.random.default_rng(3)
    shape = (600, DAYS * ITEMS)
    if values == "exponential":
        columns = random.exponential(size=shape) - 1
    else:
        columns = random.choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=shape)
    false = 0
    for column in columns:
        looks = (sequential.mean(column[: (day + 1) * ITEMS], DAYS * ITEMS) for day in range(DAYS))
        false += any(not look.low <= 0 <= look.high for look in looks if look.low is not None)
    assert false <= 0.05 * 600


@pytest.mark.parametrize(("looks", "published"), [(2, 0.083), (5, 0.142), (10, 0.193), (20, 0.248)])
def test_the_interval_of_one_look_misses_as_often_as_armitage_found(looks: int, published: float) -> None:
    """Equally spaced looks at a normal mean: why the sequence is there."""
    sums = np.random.default_rng(4).standard_normal((40_000, looks)).cumsum(axis=1)
    ever = (np.abs(sums) > 1.959964 * np.sqrt(np.arange(1, looks + 1))).any(axis=1).mean()
    assert ever == pytest.approx(published, abs=0.006)
    reach = np.array([sequential.boundary(look, looks) for look in range(1, looks + 1)])
    assert (np.abs(sums) > reach).any(axis=1).mean() <= 0.05
