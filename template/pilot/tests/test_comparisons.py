"""Two arms: published values, the mirror, and coverage."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pilot.workbench.stats import comparisons, estimates
from pilot.workbench.stats.comparisons import Comparison, last_gain

# Hours of extra sleep under two drugs, Student (1908).
SLEEP = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
OTHER_SLEEP = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
GROUPS = [row % 7 for row in range(60)]
COMPARISONS: dict[str, Callable[[Any, Any], Comparison]] = {
    "paired shares": comparisons.paired_shares,
    "paired shares in groups": lambda one, other: comparisons.paired_shares(one, other, GROUPS[: len(one)]),
    "independent shares": comparisons.independent_shares,
    "paired means": comparisons.paired_means,
    "paired means in groups": lambda one, other: comparisons.paired_means(one, other, GROUPS[: len(one)]),
    "independent means": comparisons.independent_means,
}
pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), max_size=60)


def test_tango_of_fagerland_2014() -> None:
    assert comparisons.tango(1, 7, 21) == (pytest.approx(-0.517, abs=5e-4), pytest.approx(-0.026, abs=5e-4))


def test_tango_of_r_propcis() -> None:
    """scoreci.mp(25, 28, 618) is of the second less the first."""
    assert comparisons.tango(28, 25, 618, 0.9) == (pytest.approx(-0.0148, abs=5e-5), pytest.approx(0.0247, abs=5e-5))


def test_tango_at_its_limits() -> None:
    z2 = 1.959964**2
    assert comparisons.tango(0, 0, 20) == pytest.approx((-z2 / (20 + z2), z2 / (20 + z2)))
    assert comparisons.tango(20, 0, 20) == (pytest.approx((20 - z2) / (20 + z2)), 1)
    assert comparisons.tango(0, 20, 20) == (-1, pytest.approx(-(20 - z2) / (20 + z2)))


def test_the_score_test_of_agresti() -> None:
    """McNemar's chi-squared without correction is the square of the score: 17.3559, p = 3.099e-5."""
    found = comparisons.weighted_shares([1] * 150 + [0] * 1450, [0] * 150 + [1] * 86 + [0] * 1364, [1.0] * 1600)
    assert found.p == pytest.approx(3.099e-5, rel=0.05)


def test_paired_shares_count_the_discordant_pairs() -> None:
    first, second = [1] * 1 + [0] * 7 + [1] * 13, [0] * 1 + [1] * 7 + [1] * 13
    found = comparisons.paired_shares(first, second)
    assert found.difference == pytest.approx(-6 / 21)
    assert (found.low, found.high) == comparisons.tango(1, 7, 21)
    assert found.p == pytest.approx(2 * stats.norm.sf(6 / 8**0.5))  # McNemar's score, 6 of 8 discordant pairs
    assert (found.n, found.method) == (21, "Tango score")


@pytest.mark.parametrize(("first", "second"), [(5, 0), (4, 0), (6, 1), (9, 3), (0, 0)])
def test_the_interval_and_the_test_of_pairs_never_contradict_each_other(first: int, second: int) -> None:
    """V12: of 5 to 0 among 20 pairs Tango's interval was above 0, and the exact test of McNemar said 0.0625."""
    rest = 20 - first - second
    found = comparisons.paired_shares([1] * first + [0] * second + [1] * rest, [0] * first + [1] * second + [1] * rest)
    assert (found.p < 0.05) == (found.low > 0)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 1), st.floats(0, 1))
def test_the_interval_and_the_test_of_two_samples_never_contradict_each_other(
    one: int, other: int, first: float, second: float
) -> None:
    found = _of_counts(round(one * first), one, round(other * second), other)
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1),
    ],
)
def test_newcombe_1998(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    found = _of_counts(*counts)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert found.p is not None
    assert (found.p < 0.05) == (low > 0)


def test_sleep_paired() -> None:
    found = comparisons.paired_means(SLEEP, OTHER_SLEEP)
    assert found.p == pytest.approx(0.002833, abs=5e-7)
    assert (found.low, found.high) == (pytest.approx(-2.4598858, abs=5e-8), pytest.approx(-0.7001142, abs=5e-8))
    assert found.method == "Student's t"


def test_sleep_of_two_groups() -> None:
    found = comparisons.independent_means(SLEEP, OTHER_SLEEP)
    assert found.p == pytest.approx(0.07939, abs=5e-6)
    assert (found.low, found.high) == (pytest.approx(-3.3654832, abs=5e-8), pytest.approx(0.2054832, abs=5e-8))
    assert found.method == "Welch's t"


@pytest.mark.parametrize("sigma", [0.8, 1.5])
def test_differences_of_skewed_means_are_covered(sigma: float) -> None:
    """V9: BCa had 86 to 92 %."""
    random, inside = np.random.default_rng(8), 0
    for _ in range(600):
        found = comparisons.independent_means(random.lognormal(0, sigma, 100), random.lognormal(0, sigma, 60))
        inside += found.low <= 0 <= found.high
    assert inside >= 0.93 * 600


def test_many_questions_are_adjusted() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005]
    assert comparisons.holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert comparisons.holm([]) == []


def test_not_worse_is_proven_by_the_interval_alone() -> None:
    found = Comparison(-0.01, -0.04, 0.02, 0.6, 400, "")
    assert comparisons.non_inferior(found, 0.05, "up")
    assert not comparisons.non_inferior(found, 0.04, "up")  # p is above 0.05 here too: no difference proves nothing
    assert comparisons.non_inferior(found, 0.03, "down")
    assert not comparisons.non_inferior(found, 0.02, "down")
    open_ended = Comparison(0.0, None, None, None, 1, "")
    assert not any(comparisons.non_inferior(open_ended, 100, way) for way in ("up", "down"))


@pytest.mark.parametrize("name", COMPARISONS)
@settings(max_examples=25, deadline=None)
@given(found=pairs)
def test_swapping_the_arms_mirrors_the_interval(name: str, found: list[tuple[int, int]]) -> None:
    first, second = [one for one, _ in found], [other for _, other in found]
    there, back = COMPARISONS[name](first, second), COMPARISONS[name](second, first)
    for ours, theirs in ((there.low, back.high), (there.high, back.low), (there.difference, back.difference)):
        assert ours == (None if theirs is None else pytest.approx(-theirs, rel=1e-9, abs=1e-12))
    assert there.p == (None if back.p is None else pytest.approx(back.p))
    assert (there.n, there.method) == (back.n, back.method)
    if there.low is not None and there.high is not None:
        assert there.low <= there.difference <= there.high


@pytest.mark.parametrize("name", COMPARISONS)
def test_skewed_arms_are_mirrored_too(name: str) -> None:
    random = np.random.default_rng(2)
    first, second = random.exponential(size=60), random.exponential(size=60)
    if "shares" in name:
        first, second = first > 0.3, second > 0.6
    there, back = COMPARISONS[name](first, second), COMPARISONS[name](second, first)
    assert (there.low, there.high) == (pytest.approx(-back.high), pytest.approx(-back.low))


@pytest.mark.parametrize("name", COMPARISONS)
@settings(max_examples=15, deadline=None)
@given(found=pairs, random=st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_changes_nothing(name: str, found: list[tuple[int, int]], random: Random) -> None:
    rows = list(zip(found, GROUPS, strict=False))
    before = COMPARISONS[name]([one for one, _ in found], [other for _, other in found])
    random.shuffle(rows)
    first, second, groups = [r[0][0] for r in rows], [r[0][1] for r in rows], [r[1] for r in rows]
    grouped = {"paired shares in groups": comparisons.paired_shares, "paired means in groups": comparisons.paired_means}
    after = grouped[name](first, second, groups) if name in grouped else COMPARISONS[name](first, second)
    assert (after.difference, after.low, after.high) == (before.difference, before.low, before.high)


@pytest.mark.parametrize("name", ["paired shares in groups", "paired means in groups"])
def test_copies_within_groups_never_narrow_it(name: str) -> None:
    random = np.random.default_rng(3)
    compare = comparisons.paired_shares if "shares" in name else comparisons.paired_means
    for _ in range(20):
        first, second = random.integers(0, 2, 60), random.integers(0, 2, 60)
        groups = random.integers(0, 40, 60)
        once = compare(first, second, groups)
        copied = compare(*(np.repeat(column, 5) for column in (first, second, groups)))
        assert copied.low <= once.low + 1e-9
        assert copied.high >= once.high - 1e-9


def test_pairs_in_groups_say_less() -> None:
    random = np.random.default_rng(4)
    groups = np.repeat(np.arange(30), 20)
    liking = np.repeat(random.random((30, 2)), 20, axis=0)
    first, second = (random.random((600, 2)) < liking).T
    plain, grouped = comparisons.paired_shares(first, second), comparisons.paired_shares(first, second, groups)
    assert grouped.high - grouped.low > 1.5 * (plain.high - plain.low)
    assert grouped.p > plain.p
    assert (grouped.p < 0.05) == (grouped.low > 0 or grouped.high < 0)


@pytest.mark.parametrize("name", COMPARISONS)
def test_nothing_and_one_pair(name: str) -> None:
    nothing = COMPARISONS[name]([], [])
    assert (nothing.difference, nothing.low, nothing.high, nothing.p, nothing.n) == (None, None, None, None, 0)
    one = COMPARISONS[name]([1], [0])
    assert one.difference == 1
    assert one.low is None or one.low < 0


@pytest.mark.parametrize(("discordant", "difference", "n"), [(0.2, 0.05, 200), (0.1, 0.0, 100), (0.3, 0.1, 400)])
def test_tango_covers_the_truth(discordant: float, difference: float, n: int) -> None:
    random = np.random.default_rng(5)
    only = (discordant + difference) / 2, (discordant - difference) / 2
    counts = random.multinomial(n, [*only, 1 - discordant], size=2_000)
    known = {(b, c): comparisons.tango(b, c, n) for b, c in {(int(b), int(c)) for b, c, _ in counts}}
    inside = sum(known[b, c][0] <= difference <= known[b, c][1] for b, c, _ in counts.tolist())
    assert inside >= 0.935 * 2_000


@pytest.mark.parametrize(("one", "other", "n"), [(0.85, 0.8, 100), (0.97, 0.9, 60), (0.5, 0.5, 400)])
def test_newcombe_covers_the_truth(one: float, other: float, n: int) -> None:
    random = np.random.default_rng(6)
    inside = 0
    for k, m in zip(random.binomial(n, one, 2_000).tolist(), random.binomial(n, other, 2_000).tolist(), strict=True):
        found = Comparison(None, *comparisons.newcombe(k, n, m, n), None, n, "")
        inside += found.low <= one - other <= found.high
    assert inside >= 0.935 * 2_000


def test_the_groups_mean_is_that_of_clusters() -> None:
    values = np.random.default_rng(7).exponential(size=60)
    found = comparisons.paired_means(values, np.zeros(60), GROUPS)
    assert (found.low, found.high) == pytest.approx(estimates.mean(values, GROUPS).interval)
    assert (found.p < 0.001, found.method) == (True, "Student's t of 7 groups")


def _of_counts(right: int, items: int, other_right: int, other_items: int) -> Comparison:
    return comparisons.independent_shares(
        [1] * right + [0] * (items - right), [1] * other_right + [0] * (other_items - other_right)
    )


def test_the_interval_is_that_of_newcombe() -> None:
    # Newcombe (1998), table II, method 10: 56/70 less 48/80 is +0.20 (0.0524 to 0.3339); here with equal samples, from
    # his 9/10 less 3/10: +0.60 (0.1705 to 0.8090).
    found = last_gain([(25, 0.1), (50, 0.3), (100, 0.9)], judged=10)
    assert found is not None
    assert (found.before, found.after, found.gain) == (50, 100, pytest.approx(0.6))
    assert found.interval == (pytest.approx(0.1705, abs=5e-5), pytest.approx(0.8090, abs=5e-5))
    assert found.helping is True
    assert str(found) == (
        "More examples have been helping: from 50 to 100 rows the accuracy changed by +0.600 (+0.171 to +0.809)."
    )


def test_a_gain_of_few_rows_or_a_loss_is_not_called_helping() -> None:
    few, loss = last_gain([(50, 0.8), (100, 0.85)], judged=100), last_gain([(50, 0.9), (100, 0.5)], judged=100)
    many = last_gain([(50, 0.8), (100, 0.85)], judged=10_000)
    assert few is not None
    assert loss is not None
    assert many is not None
    assert (few.helping, loss.helping, many.helping) == (False, False, True)
    assert str(few).startswith("It is not shown that more examples have been helping: from 50 to 100 rows")


def test_a_curve_of_one_step_or_none_says_nothing() -> None:
    assert last_gain([], judged=10) is None
    assert last_gain([(100, 0.9)], judged=10) is None


@given(st.integers(1, 5_000), st.floats(0, 1), st.floats(0, 1))
def test_swapping_the_accuracies_mirrors_the_interval(judged: int, one: float, other: float) -> None:
    here, there = last_gain([(1, one), (2, other)], judged), last_gain([(1, other), (2, one)], judged)
    assert here is not None
    assert there is not None
    assert None not in here.interval
    assert here.interval == pytest.approx((-there.interval[1], -there.interval[0]))  # type: ignore[operator]
    assert not (here.helping and there.helping)
