"""The always-valid interval of a share, and a pilot that is looked at every day."""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.workbench.stats import estimates

DAYS, ITEMS = 30, 50


def test_the_shares_ends_solve_robbins_equation() -> None:
    for k, n in ((17, 20), (3, 40), (0, 30), (30, 30)):
        found = estimates.always_valid(k, n)
        for end in (found.low, found.high):
            if end not in (0, 1):
                # B(1+k, 1+n-k) = 1 / ((n+1) C(n, k))
                mixture = 1 / ((n + 1) * comb(n, k) * end**k * (1 - end) ** (n - k))
                assert mixture == pytest.approx(20, rel=1e-6)
    assert estimates.always_valid(0, 30).low == 0
    assert estimates.always_valid(30, 30).high == 1


def test_it_holds_the_one_of_a_single_look() -> None:
    for k, n in ((17, 20), (340, 400), (850_000, 1_000_000)):
        low, high = estimates.wilson(k, n)
        found = estimates.always_valid(k, n)
        assert found.low < low < high < found.high


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2_000), st.integers(0, 2_000))
def test_a_share_lies_inside_and_is_mirrored(right: int, wrong: int) -> None:
    found, mirror = estimates.always_valid(right, right + wrong), estimates.always_valid(wrong, right + wrong)
    if right + wrong == 0:
        assert (found.value, found.low, found.high) == (None, None, None)
        return
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low == pytest.approx(1 - mirror.high)


@pytest.mark.parametrize("share", [0.5, 0.85, 0.97])
def test_a_null_pilot_looked_at_daily_is_rarely_wrong(share: float) -> None:
    """The target is the truth, so MET and MISSED are both false. With the interval of one look they are frequent."""
    pilots = np.random.default_rng(2).binomial(ITEMS, share, size=(4_000, DAYS)).cumsum(axis=1).tolist()
    always, once = lru_cache(None)(estimates.always_valid), lru_cache(None)(estimates.wilson)

    def misses(ends: tuple[float, float]) -> bool:
        return not ends[0] <= share <= ends[1]

    days = [(day + 1) * ITEMS for day in range(DAYS)]
    false = sum(any(misses(always(k, n).interval) for k, n in zip(pilot, days, strict=True)) for pilot in pilots)
    peeked = sum(any(misses(once(k, n)) for k, n in zip(pilot, days, strict=True)) for pilot in pilots)
    assert false <= 0.05 * 4_000
    assert peeked >= 0.2 * 4_000


@pytest.mark.parametrize(("looks", "published"), [(2, 0.083), (5, 0.142), (10, 0.193), (20, 0.248)])
def test_the_interval_of_one_look_misses_as_often_as_armitage_found(looks: int, published: float) -> None:
    """Equally spaced looks at a normal mean: why the sequence is there."""
    sums = np.random.default_rng(4).standard_normal((40_000, looks)).cumsum(axis=1)
    ever = (np.abs(sums) > 1.959964 * np.sqrt(np.arange(1, looks + 1))).any(axis=1).mean()
    assert ever == pytest.approx(published, abs=0.006)
