"""Times of which some are still running: the trial of Freireich et al. (1963), and simple laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.workbench.stats import estimates, survival

# Weeks of remission, 6-mercaptopurine and placebo (Freireich et al. 1963, Blood 21:699); R's survival and MASS::gehan.
TREATED = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
ALL = [1] * 21


def test_the_curve_of_freireich() -> None:
    times, shares = survival.curve(TREATED, RELAPSED)
    assert times[shares >= 0.5][0] == 23
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {time: 1 - shares[times == time][0] for time in published} == pytest.approx(published, abs=6e-4)


def test_nothing_one_row_and_all_open() -> None:
    assert survival.restricted_mean([], [], 1).value is None
    assert survival.restricted_mean([3.0, 4.0], [0, 0], 2).value == 2
    assert [len(part) for part in survival.curve([3.0, 4.0], [0, 0])] == [0, 0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.booleans()), max_size=40))
def test_an_item_that_stays_open_never_makes_it_quicker(rows: list[tuple[int, bool]]) -> None:
    times, closed = [*(time for time, _ in rows), 20], [*(done for _, done in rows), False]
    before = survival.restricted_mean(times, closed, 20).value
    after = survival.restricted_mean([*times, 30], [*closed, False], 20).value
    assert after >= before - 1e-9


def test_leaving_open_items_out_would_look_quicker() -> None:
    closed = [time for time, done in zip(TREATED, RELAPSED, strict=True) if done]
    assert estimates.mean(closed).value < survival.restricted_mean(TREATED, RELAPSED, 35).value


def test_a_restricted_mean_without_open_items_is_a_mean_of_capped_times() -> None:
    found = survival.restricted_mean(PLACEBO, ALL, 10)
    capped = np.minimum(PLACEBO, 10)
    assert found.value == pytest.approx(capped.mean())
    whole = survival.restricted_mean(PLACEBO, ALL, 100)
    error = np.std(PLACEBO, ddof=1) / 21**0.5
    assert whole.value == pytest.approx(np.mean(PLACEBO))
    assert whole.interval == pytest.approx(estimates.mean(PLACEBO).interval)
    assert whole.high - whole.value == pytest.approx(2.0859634 * error), "Student's t of 21 values"


def test_the_curve_with_open_items_is_as_sure_as_greenwood_says() -> None:
    """Klein and Moeschberger (2003), section 4.5: the mean of the treated within 35 weeks is 23.29, its error 2.83."""
    found = survival.restricted_mean(TREATED, RELAPSED, 35)
    assert found.value == pytest.approx(23.29, abs=0.005)
    reach = (found.high - found.low) / 2 / 2.0859634
    assert reach == pytest.approx(2.83, rel=0.03)


def test_a_horizon_beyond_what_is_known_is_refused() -> None:
    with pytest.raises(ValueError, match="the horizon 36 is beyond the longest time"):
        survival.restricted_mean(TREATED, RELAPSED, 36)


def test_the_restricted_mean_is_covered() -> None:
    random = np.random.default_rng(2)
    means = 0
    for _ in range(1_000):
        times, ends = random.exponential(size=100), random.uniform(0.5, 3, 100)
        mean = survival.restricted_mean(np.minimum(times, ends), times <= ends, 1.5)
        means += mean.low <= 1 - np.exp(-1.5) <= mean.high
    assert means >= 0.935 * 1_000
