"""Sizes of samples, against published values and against their own laws."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats import power as reference
from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

from pilot.workbench.stats import power

shares = st.floats(0.02, 0.98)
powers = st.floats(0.5, 0.95)


@pytest.mark.parametrize(
    ("first", "second", "items"),
    [(0.8, 0.85, 906), (0.8, 0.9, 199), (0.85, 0.9, 686), (0.9, 0.95, 435), (0.7, 0.8, 294), (0.5, 0.6, 388)],
)
def test_two_arms_of_the_table(first: float, second: float, items: int) -> None:
    assert ceil(power.two_arms(first, second)) == items


@pytest.mark.parametrize(
    ("discordant", "difference", "pairs"), [(0.2, 0.1, 155), (0.2, 0.05, 626), (0.3, 0.1, 234), (0.1, 0.05, 312)]
)
def test_pairs_of_the_table(discordant: float, difference: float, pairs: int) -> None:
    assert ceil(power.paired(discordant, difference)) == pairs


@pytest.mark.parametrize(("share", "margin", "items"), [(0.9, 0.05, 566), (0.9, 0.1, 142), (0.85, 0.05, 801)])
def test_non_inferiority_of_the_table(share: float, margin: float, items: int) -> None:
    assert ceil(power.non_inferiority(share, share, margin)) == items


def test_the_cases_of_r_and_of_the_textbook() -> None:
    assert power.two_arms(0.5, 0.75, power=0.9) == pytest.approx(76.7, abs=0.05)
    assert power.two_arms(0.5, 0.75, power=0.7401659) == pytest.approx(50, abs=5e-5)
    assert power.two_means(1, 1, power=0.9) == pytest.approx(
        22.02110, abs=2e-5
    )  # R stops its search before the last digit
    assert ceil(power.non_inferiority(0.95, 0.95, 0.03)) == 829


@given(shares, shares, powers)
def test_the_normal_sizes_are_those_of_statsmodels(first: float, second: float, wanted: float) -> None:
    if abs(first - second) < 0.01:
        return
    theirs = samplesize_proportions_2indep_onetail(first - second, second, wanted, alpha=0.05)
    assert power.two_arms(first, second, wanted) == pytest.approx(theirs, rel=1e-6)


DESIGNS: list[Callable[..., float]] = [
    lambda effect, **more: power.one_proportion(0.6, 0.6 + 0.39 * effect, **more),
    lambda effect, **more: power.one_proportion(0.1, 0.1 + 0.89 * effect, **more),
    lambda effect, **more: power.paired(0.4, 0.4 * effect, **more),
    lambda effect, **more: power.two_arms(0.7 - 0.69 * effect, 0.7, **more),
    lambda effect, **more: power.non_inferiority(0.9, 0.9, effect, **more),
    lambda effect, **more: power.one_mean(2 * effect, 1, **more),
    lambda effect, **more: power.two_means(2 * effect, 1, **more),
]


@pytest.mark.parametrize("size", DESIGNS)
@given(st.floats(0.05, 0.95), st.floats(1.01, 3), powers)
def test_a_larger_effect_never_needs_more(
    size: Callable[..., float], effect: float, factor: float, wanted: float
) -> None:
    assert size(min(effect * factor, 0.99), power=wanted) <= size(effect, power=wanted) * (1 + 1e-6)


@pytest.mark.parametrize("size", DESIGNS)
@given(st.floats(0.05, 0.9), st.floats(0.5, 0.9), st.floats(0.01, 0.09))
def test_more_power_never_needs_less(size: Callable[..., float], effect: float, wanted: float, more: float) -> None:
    assert size(effect, power=wanted + more) >= size(effect, power=wanted) * (1 - 1e-6)


@given(shares, shares)
def test_swapping_the_arms_changes_nothing(first: float, second: float) -> None:
    assert power.two_arms(first, second) == pytest.approx(power.two_arms(second, first))


@given(st.integers(1, 100_000))
def test_what_is_detectable_needs_just_the_items_at_hand(items: int) -> None:
    found = power.detectable(lambda difference: power.paired(0.2, difference), items, 0.2)
    if found is None:
        assert power.paired(0.2, 0.2) > items
    else:
        assert power.paired(0.2, found) <= items < power.paired(0.2, found * 0.999)


def test_a_huge_effect_needs_three_items_at_most() -> None:
    for effect in (4, 5, 9, 20, 1e6):
        assert 2 <= power.two_means(effect, 1) <= power.one_mean(effect, 1) <= 3


@given(st.floats(0.05, 2), powers)
def test_the_sizes_for_means_are_those_of_statsmodels(effect: float, wanted: float) -> None:
    for ours, theirs, name in (
        (power.one_mean, reference.TTestPower(), "nobs"),
        (power.two_means, reference.TTestIndPower(), "nobs1"),
    ):
        found = ours(effect, 1, power=wanted)
        if found > 4:  # below, theirs finds no root, or counts the wrong side
            solved = theirs.solve_power(effect, power=wanted, alpha=0.05, **{name: None})
            assert found == pytest.approx(solved, rel=1e-3)


def test_no_difference_needs_no_end_of_items() -> None:
    assert power.two_arms(0.5, 0.5) == inf
    assert power.one_mean(0, 1) == inf
