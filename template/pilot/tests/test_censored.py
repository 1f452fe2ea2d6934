"""Times of which some are still running: the trial of Freireich et al. (1963), and simple laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight

from pilot.workbench.stats import censored, estimates

# Weeks of remission, 6-mercaptopurine and placebo (Freireich et al. 1963, Blood 21:699); R's survival and MASS::gehan.
TREATED = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
ALL = [1] * 21


def test_the_median_of_freireich() -> None:
    found = censored.quantile(TREATED, RELAPSED, 0.5)
    assert (found.value, found.low, found.high, found.n) == (23, 13, None, 21)
    assert found.method == "Kaplan-Meier, log-log Greenwood"


def test_the_log_rank_test_of_freireich() -> None:
    found = censored.log_rank(PLACEBO, ALL, TREATED, RELAPSED)
    assert found.statistic**2 == pytest.approx(16.79, abs=5e-3)
    assert found.p == pytest.approx(4.17e-5, rel=5e-3)
    assert found.statistic > 0  # placebo relapses earlier
    back = censored.log_rank(TREATED, RELAPSED, PLACEBO, ALL)
    assert back.statistic == pytest.approx(-found.statistic)


def test_without_open_items_a_quantile_is_the_plain_one() -> None:
    assert censored.quantile(PLACEBO, ALL, 0.5) == estimates.quantile(PLACEBO, 0.5)
    assert (censored.quantile(PLACEBO, ALL, 0.5).low, censored.quantile(PLACEBO, ALL, 0.5).high) == (4, 12)


def test_leaving_open_items_out_would_look_quicker() -> None:
    closed = [time for time, done in zip(TREATED, RELAPSED, strict=True) if done]
    assert estimates.quantile(closed, 0.5).value < censored.quantile(TREATED, RELAPSED, 0.5).value
    assert estimates.mean(closed).value < censored.restricted_mean(TREATED, RELAPSED, 35).value


def test_the_quantiles_are_those_of_statsmodels() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        times, ends = random.exponential(size=(2, 150))
        column, done = np.minimum(times, ends * 2), times <= ends * 2
        curve = SurvfuncRight(column, done.astype(int))
        for q in (0.25, 0.5):
            found = censored.quantile(column, done, q)
            with np.errstate(all="ignore"):
                low, high = curve.quantile_ci(q, method="cloglog")
            assert found.value == curve.quantile(q)
            assert (found.low, found.high) == (low, None if np.isinf(high) else high)


def test_a_share_that_is_reached_exactly_counts_as_reached() -> None:
    """The definition of `metrics.quantile`, which rounding of 1 - 1/3 - 1/3 must not move."""
    for n in (3, 6, 7, 10, 30):
        times = [*range(1, n + 1), n + 1]
        for k in range(1, n + 1):
            assert censored.quantile(times, [1] * n + [0], k / (n + 1)).value == k


def test_a_restricted_mean_without_open_items_is_a_mean_of_capped_times() -> None:
    found = censored.restricted_mean(PLACEBO, ALL, 10)
    capped = np.minimum(PLACEBO, 10)
    assert found.value == pytest.approx(capped.mean())
    whole = censored.restricted_mean(PLACEBO, ALL, 100)
    error = np.std(PLACEBO, ddof=1) / 21**0.5
    assert whole.value == pytest.approx(np.mean(PLACEBO))
    assert whole.high - whole.value == pytest.approx(1.959964 * error)


def test_restricted_means_are_compared_and_mirrored() -> None:
    there = censored.restricted_means(PLACEBO, ALL, TREATED, RELAPSED, 20)
    back = censored.restricted_means(TREATED, RELAPSED, PLACEBO, ALL, 20)
    assert (there.low, there.high, there.p) == (-back.high, -back.low, back.p)
    assert there.high < 0
    assert there.p < 0.001


def test_a_horizon_beyond_what_is_known_is_refused() -> None:
    with pytest.raises(ValueError, match="the horizon 36 is beyond the longest time"):
        censored.restricted_mean(TREATED, RELAPSED, 36)
    with pytest.raises(ValueError, match="must be above 0"):
        censored.restricted_mean(TREATED, RELAPSED, 0)


def test_nothing_one_row_all_open_and_ties() -> None:
    assert censored.quantile([], [], 0.5).value is None
    assert censored.restricted_mean([], [], 1).value is None
    assert censored.restricted_means([], [], [1.0], [1], 1).difference is None
    assert censored.log_rank([], [], [1.0], [1]).p is None
    assert censored.log_rank([1.0], [0], [1.0], [0]).p is None
    one = censored.quantile([3.0], [1], 0.5)
    assert (one.value, one.low, one.high) == (3, None, None)
    still = censored.quantile([3.0, 4.0], [0, 0], 0.5)
    assert (still.value, still.low, still.high) == (None, None, None)
    assert censored.restricted_mean([3.0, 4.0], [0, 0], 2).value == 2
    tied = censored.quantile([5.0] * 40 + [6.0], [1] * 40 + [0], 0.5)
    assert (tied.value, tied.low, tied.high) == (5, 5, 5)


def test_wrong_columns_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="times: row 0 is nan"):
        censored.quantile([float("nan")], [1], 0.5)
    with pytest.raises(ValueError, match="closed: row 0 is 2"):
        censored.quantile([1.0], [2], 0.5)
    with pytest.raises(ValueError, match="times has 1 rows and closed 2"):
        censored.quantile([1.0], [1, 1], 0.5)
    with pytest.raises(ValueError, match="before its item's arrival"):
        censored.restricted_mean([-1.0], [1], 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=40), st.sampled_from([0.1, 0.5, 0.9]))
def test_an_item_that_stays_open_never_makes_it_quicker(rows: list[tuple[int, bool]], q: float) -> None:
    times, closed = [time for time, _ in rows], [done for _, done in rows]
    before, after = censored.quantile(times, closed, q), censored.quantile([*times, 30], [*closed, False], q)
    assert after.value is None or (before.value is not None and after.value >= before.value)
    if before.value is not None:
        assert before.low is None or before.low <= before.value
        assert before.high is None or before.high >= before.value


def test_the_median_and_the_restricted_mean_are_covered() -> None:
    random = np.random.default_rng(2)
    medians = means = 0
    for _ in range(1_000):
        times, ends = random.exponential(size=100), random.uniform(0.5, 3, 100)
        column, done = np.minimum(times, ends), times <= ends
        median, mean = censored.quantile(column, done, 0.5), censored.restricted_mean(column, done, 1.5)
        medians += median.low <= np.log(2) and (median.high is None or np.log(2) <= median.high)
        means += mean.low <= 1 - np.exp(-1.5) <= mean.high
    assert medians >= 0.935 * 1_000
    assert means >= 0.935 * 1_000
