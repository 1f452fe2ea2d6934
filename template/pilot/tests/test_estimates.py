"""Estimates of one sample and of items in groups: published values, the order of rows, the mirror, and coverage."""

from __future__ import annotations

from collections.abc import Callable
from math import comb, exp
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.api import OLS

from pilot.workbench.evaluation import STRICT
from pilot.workbench.stats import estimates
from pilot.workbench.stats.data import TAIL, Estimate, Interval, codes

FIGURES: dict[str, Callable[[Any], Estimate]] = {
    "share": estimates.share,
    "mean": estimates.mean,
    "quantile": lambda values: estimates.quantile(values, 0.5),
}
bits = st.lists(st.booleans(), max_size=60)
numbers = st.lists(st.floats(-1e6, 1e6), max_size=60)
SLEEP = [-1.2, -2.4, -1.3, -1.3, 0.0, -1.0, -1.8, -0.8, -4.6, -1.4]
values = st.lists(st.floats(0, 1e6), min_size=2, max_size=60)
Figure = Callable[[Any, Any], Estimate]
GROUPED: dict[str, Figure] = {
    "share": estimates.share,
    "mean": estimates.mean,
    "quantile": lambda values, groups: estimates.quantile(values, 0.5, groups),
}
group_rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=80)
many_groups = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 60)), min_size=60, max_size=150)


def _mean(found: list[float]) -> Interval:
    return estimates.mean(found).interval


def _quantile(found: list[float], q: float) -> Interval:
    return estimates.quantile(found, q).interval


def grouped(random: np.random.Generator, groups: int, each: int, share: float, alike: float) -> tuple[Any, Any]:
    """Right or wrong, of a share that differs between groups with the intraclass correlation `alike`."""
    strength = (1 - alike) / alike
    shares = random.beta(share * strength, (1 - share) * strength, groups)
    return random.random((groups, each)) < shares[:, None], np.repeat(np.arange(groups), each)


def test_a_share_is_wilson() -> None:
    found = estimates.share([True] * 17 + [False] * 3)
    assert found == Estimate(0.85, *estimates.wilson(17, 20), 20, "Wilson")
    assert found.low == pytest.approx(0.640, abs=5e-4)
    assert found.high == pytest.approx(0.948, abs=5e-4)


@pytest.mark.parametrize(
    ("items", "method"),
    [(10, "Student's t"), (29, "Student's t"), (30, "Hall's transformed t"), (5_001, "Hall's transformed t")],
)
def test_a_mean_names_its_method(items: int, method: str) -> None:
    found = estimates.mean(np.arange(items))
    assert (found.method, found.too_few is not None) == (method, items < 30)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_a_quantile_is_one_of_the_values_inside_its_interval(q: float) -> None:
    found = estimates.quantile(np.random.default_rng(3).exponential(size=300), q)
    assert found.method == "order statistics"
    assert found.low < found.value < found.high


@pytest.mark.parametrize("figure", FIGURES)
def test_nothing_gives_nothing(figure: str) -> None:
    found = FIGURES[figure]([])
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 0)


def test_one_row_has_a_value_and_what_its_interval_can_say() -> None:
    assert estimates.share([True]).interval == estimates.wilson(1, 1)
    assert estimates.mean([3.0]).interval == estimates.quantile([3.0], 0.5).interval == (None, None)
    assert estimates.mean([3.0]).value == estimates.quantile([3.0], 0.5).value == 3


def test_ties_work() -> None:
    tied = estimates.quantile([1.0] * 40 + [2.0] * 40, 0.25)
    assert (tied.value, tied.low, tied.high) == (1, 1, 1)
    equal = estimates.mean([0.1] * 50)
    assert (equal.value, equal.interval, equal.method) == (0.1, (None, None), estimates.NO_INTERVAL)


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
    before = estimates.mean(found), estimates.quantile(found, 0.5)
    random.shuffle(found)
    assert (estimates.mean(found), estimates.quantile(found, 0.5)) == before


MEANS: dict[str, tuple[Any, float]] = {
    "normal": (lambda random, n: random.normal(5, 1, n), 5.0),
    "exponential": (lambda random, n: random.exponential(1, n), 1.0),
    "lognormal 0.8": (lambda random, n: random.lognormal(0, 0.8, n), exp(0.32)),
    "lognormal 1.2": (lambda random, n: random.lognormal(0, 1.2, n), exp(0.72)),
    "lognormal 1.5": (lambda random, n: random.lognormal(0, 1.5, n), exp(1.125)),
}


@pytest.mark.parametrize("n", [50, 100, 300])
@pytest.mark.parametrize("values", MEANS)
def test_the_mean_of_skewed_values_is_covered_or_said_to_be_of_too_few(values: str, n: int) -> None:
    """V9: with BCa 82, 89 and 91 % of 50, 100 and 300 lognormal values of sigma 1.5. benchmarks/intervals.py has
    the whole table, of more pilots than the 400 here. A mean of exactly the target is MET by its upper end."""
    draw, truth = MEANS[values]
    random, wrong, met, usable, pilots = np.random.default_rng(6), 0, 0, 0, 400
    for _ in range(pilots):
        made = draw(random, n)
        found = estimates.mean(made)
        if found.too_few is None:
            usable += 1
            wrong += not found.low <= truth <= found.high
            met += estimates.mean(made, tail=STRICT * TAIL).high < truth
    assert wrong <= 0.07 * pilots + 2 * (0.07 * pilots) ** 0.5
    assert met <= 0.025 * pilots + 2 * (0.025 * pilots) ** 0.5
    least, most = {"normal": (0.98, 1.0), "lognormal 1.5": (0.0, 0.1)}.get(values, (0.01, 1.0))
    assert least * pilots <= usable <= most * pilots


@pytest.mark.parametrize(("groups", "each"), [(10, 40), (20, 10), (50, 10)])
@pytest.mark.parametrize("share", [0.7, 0.85, 0.95])
def test_a_share_in_few_groups_is_covered_or_said_to_be_of_too_few(share: float, groups: int, each: int) -> None:
    """V9: an intraclass correlation of 0.2."""
    random, wrong, met, pilots = np.random.default_rng(7), 0, 0, 300
    for _ in range(pilots):
        values, names = grouped(random, groups, each, share, 0.2)
        found = estimates.share(values.ravel(), names)
        if found.too_few is None:
            wrong += not found.low <= share <= found.high
            met += estimates.share(values.ravel(), names, STRICT * TAIL).low > share
    assert wrong <= 0.07 * pilots + 2 * (0.07 * pilots) ** 0.5
    assert met <= 0.025 * pilots + 2 * (0.025 * pilots) ** 0.5
    assert estimates.share([1, 0] * 45, [row % 9 for row in range(90)]).too_few == (
        "9 groups are too few for a verdict, which needs 10"
    )


def test_the_interval_of_hall_by_hand() -> None:
    """Hall (1992), written out for 40 squares."""
    many = np.arange(40.0) ** 2
    n, middle, deviation = 40, many.mean(), many.std(ddof=1)
    skew = ((many - middle) ** 3).mean() / many.std() ** 3
    t = 2.0226909200 / n**0.5
    ends = [middle - deviation * 3 / skew * ((1 + skew * (s * t - skew / (6 * n))) ** (1 / 3) - 1) for s in (1, -1)]
    assert _mean(list(many)) == pytest.approx(tuple(ends), rel=1e-9)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_of_newcombe_1998(successes: int, trials: int, low: float, high: float) -> None:
    assert estimates.wilson(successes, trials) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


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
    low, high = estimates.wilson(successes, trials)
    assert low is not None
    assert high is not None
    return low, high


def test_wilson_of_an_effective_number_is_wilson_of_a_whole_one() -> None:
    for successes in (0, 1, 17, 20):
        found = stats.binomtest(successes, 20).proportion_ci(0.95, method="wilson")
        assert estimates.wilson(successes, 20) == pytest.approx((found.low, found.high), abs=1e-12)
    low, high = estimates.wilson(0.5 * 6.5, 6.5)
    assert estimates.wilson(3, 6)[0] < low < estimates.wilson(4, 8)[0]
    assert high == pytest.approx(1 - low)
    assert estimates.wilson(1.0 * 7.3, 7.3)[1] == 1
    assert estimates.wilson(0.0 * 7.3, 7.3)[0] == 0
    assert estimates.wilson(0.0 * 0, 0) == (None, None)


def test_a_mean_of_few_values_has_a_t_interval() -> None:
    low, high = _mean(SLEEP)
    assert low == pytest.approx(-2.4598858, abs=5e-8)
    assert high == pytest.approx(-0.7001142, abs=5e-8)


def test_from_thirty_values_on_the_mean_leans_to_the_long_tail() -> None:
    many = [float(value) ** 2 for value in range(40)]
    low, high = _mean(many)
    middle = sum(many) / len(many)
    assert high - middle > (middle - low) * 1.02


def test_the_interval_of_a_median_of_ten_is_from_the_second_to_the_ninth() -> None:
    assert _quantile([float(value) for value in range(1, 11)], 0.5) == (2, 9)


def test_few_values_leave_the_upper_end_of_a_high_quantile_open() -> None:
    low, high = _quantile([float(value) for value in range(10)], 0.9)
    assert low is not None
    assert high is None


def test_nothing_bounds_nothing() -> None:
    assert estimates.wilson(0, 0) == _quantile([], 0.5) == _mean([]) == (None, None)
    assert _mean([3.0]) == _mean([3.0] * 50) == (None, None)


@settings(max_examples=15, deadline=None)
@given(values)
def test_values_of_the_other_sign_have_the_mirror_image(found: list[float]) -> None:
    low, high = _mean(found)
    mirrored = _mean([-value for value in found])
    assert mirrored == (high if high is None else pytest.approx(-high), low if low is None else pytest.approx(-low))


def test_values_that_are_their_own_mirror_image_have_an_interval_that_is_so_too() -> None:
    low, high = _mean([*range(-25, 26)])
    assert low == pytest.approx(-high)


@pytest.mark.parametrize("figure", GROUPED)
@settings(max_examples=12, deadline=None)
@given(found=st.one_of(group_rows, many_groups))
def test_five_copies_of_each_row_never_narrow_an_interval(figure: str, found: list[tuple[int, int]]) -> None:
    values, groups = np.array(found).T
    once = GROUPED[figure](values, groups)
    copied = GROUPED[figure](np.repeat(values, 5), np.repeat(groups, 5))
    assert copied.value == pytest.approx(once.value)
    assert copied.groups == once.groups
    for before, after, side in ((once.low, copied.low, 1), (once.high, copied.high, -1)):
        assert after is None or (before is not None and side * (after - before) <= 1e-9)


def test_without_groups_copies_do_narrow_it() -> None:
    values = np.random.default_rng(1).integers(0, 2, 100)
    once, copied = estimates.share(values), estimates.share(np.repeat(values, 5))
    assert copied.high - copied.low < (once.high - once.low) / 2


@pytest.mark.parametrize("figure", GROUPED)
@settings(max_examples=12, deadline=None)
@given(found=st.one_of(group_rows, many_groups), random=st.randoms(use_true_random=False))
def test_order_and_names_change_nothing(figure: str, found: list[tuple[int, int]], random: Random) -> None:
    before = GROUPED[figure](*np.array(found).T)
    names = [f"reviewer {name}" for name in range(61)]
    random.shuffle(names)
    random.shuffle(found)
    assert GROUPED[figure]([value for value, _ in found], [names[group] for _, group in found]) == before


def test_a_group_for_each_item_is_as_good_as_none() -> None:
    values = np.random.default_rng(2).random(400) < 0.85
    alone, plain = estimates.share(values, range(400)), estimates.share(values)
    assert alone.groups == 400
    assert 1 <= alone.design_effect < 1.05
    assert alone.low <= plain.low
    assert alone.high >= plain.high
    assert alone.interval == pytest.approx(plain.interval, abs=2e-3)
    assert estimates.share(values, [None] * 400) == alone


def test_a_mean_with_a_group_for_each_item_is_the_plain_one() -> None:
    values = np.random.default_rng(3).exponential(size=300)
    alone, plain = estimates.mean(values, range(300)), estimates.mean(values)
    assert alone.interval == pytest.approx(plain.interval, rel=1e-9)
    assert alone.method == "Hall's transformed t of 300 groups"
    assert alone.value == plain.value


def test_the_variance_in_groups_is_that_of_a_cluster_robust_regression() -> None:
    random = np.random.default_rng(9)
    values, names = random.exponential(size=200), random.integers(0, 25, 200)
    found = OLS(values, np.ones(200)).fit(cov_type="cluster", cov_kwds={"groups": names}, use_t=True)
    spread = estimates.linearised(values, codes(names))
    assert spread.mean() == pytest.approx(found.params[0])
    assert stats.sem(spread) == pytest.approx(found.bse[0])


def test_the_design_effect_is_that_of_the_formula() -> None:
    """1 + (m - 1) rho: 1.95 for 20 items a group with a correlation of 0.05."""
    values, groups = grouped(np.random.default_rng(4), 3_000, 20, 0.7, 0.05)
    assert estimates.share(values.ravel(), groups).design_effect == pytest.approx(1.95, rel=0.06)
    assert estimates.mean(values.ravel(), groups).design_effect == pytest.approx(1.95, rel=0.06)


@pytest.mark.parametrize(("value", "ends"), [(1, estimates.wilson(8, 8)), (0, estimates.wilson(0, 8))])
def test_all_right_or_all_wrong_counts_groups(value: int, ends: Interval) -> None:
    found = estimates.share([value] * 400, [row % 8 for row in range(400)])
    assert found.interval == pytest.approx(ends)
    assert found.design_effect == 50


def test_one_group_counts_as_one_item() -> None:
    assert estimates.share([1, 1, 0, 1], [7] * 4).interval == pytest.approx(estimates.wilson(0.75, 1))
    found = estimates.mean([1.0, 2.0, 3.0], ["a"] * 3)
    assert (found.interval, found.groups, found.design_effect) == ((None, None), 1, 3)


@pytest.mark.parametrize("figure", GROUPED)
def test_nothing_in_groups_gives_nothing(figure: str) -> None:
    found = GROUPED[figure]([], [])
    assert (found.value, found.low, found.high, found.n, found.groups) == (None, None, None, 0, 0)


def test_groups_are_told_apart_by_value() -> None:
    assert codes(["a", None, "b", "a", None]).tolist() == [0, 1, 2, 0, 3]
    assert codes(np.array([5, 5, 2])).tolist() == [0, 0, 1]


# 2,000 simulations of each cover 95.5, 94.9 and 93.3 % (plain Wilson 76, 78 and 79 %), but take a minute: here are 400.
@pytest.mark.parametrize(("share", "groups"), [(0.5, 30), (0.85, 30), (0.97, 60)])
def test_a_share_of_alike_items_is_covered_and_by_plain_wilson_is_not(share: float, groups: int) -> None:
    random = np.random.default_rng(8)
    inside = plain = 0
    for _ in range(400):
        values, names = grouped(random, groups, 10, share, 0.2)
        low, high = estimates.share(values.ravel(), names).interval
        inside += low <= share <= high
        low, high = estimates.share(values.ravel()).interval
        plain += low <= share <= high
    assert inside >= 0.92 * 400
    assert plain < 0.85 * 400
