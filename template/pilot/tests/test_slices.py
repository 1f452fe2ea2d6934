"""Slices: no number for few items, and no alarm for what is chance among many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control

from pilot.workbench.stats.estimates import wilson
from pilot.workbench.stats.slices import Slice, slices

rows = st.lists(st.tuples(st.sampled_from(["north", "south", "west"]), st.booleans()), max_size=120)


def of_counts(*counts: tuple[str, int, int]) -> tuple[list[str], list[bool]]:
    """Names and flags of slices that are given as name, good and items."""
    names = [name for name, _, items in counts for _ in range(items)]
    return names, [row < good for _, good, items in counts for row in range(items)]


def test_a_slice_below_the_minimum_has_no_number() -> None:
    few, enough = slices(*of_counts(("a", 0, 29), ("b", 20, 30)), reference=0.9)
    assert few == Slice("a", 29)
    assert (few.too_few, few.value, few.interval, few.p, few.worse) == (True, None, (None, None), None, False)
    assert str(few) == "a: too few (29)"
    assert (enough.too_few, enough.value, enough.interval) == (False, 20 / 30, wilson(20, 30))


def test_a_slice_that_is_credibly_worse_is_named_and_marked_exploratory() -> None:
    good, bad = slices(*of_counts(("new customers", 60, 100), ("known customers", 92, 100)), reference=0.9)
    assert (good.name, bad.name) == ("known customers", "new customers")
    assert (good.worse, bad.worse) == (False, True)
    assert all(found.exploratory for found in (good, bad))
    assert str(bad).startswith("new customers: 0.60 (0.50 to 0.69, n = 100), worse (adjusted p = ")
    assert "exploratory" in str(bad)


def test_a_better_slice_is_never_worse() -> None:
    (found,) = slices(*of_counts(("a", 100, 100)), reference=0.5)
    assert found.p == 1.0
    assert found.worse is False


def test_without_a_reference_there_is_no_p() -> None:
    (found,) = slices(*of_counts(("a", 1, 100)))
    assert (found.p, found.worse, found.value) == (None, False, 0.01)


def test_the_p_are_those_of_benjamini_and_hochberg_and_few_items_take_no_part() -> None:
    counts = [("a", 70, 100), ("b", 75, 100), ("c", 80, 100), ("d", 85, 100)]
    found = slices(*of_counts(*counts, ("few", 0, 10)), reference=0.85)
    raw = [binomtest(good, items, 0.85, alternative="less").pvalue for _, good, items in counts]
    assert [line.p for line in found[:4]] == pytest.approx(list(false_discovery_control(raw, method="bh")))
    assert found[4].too_few


def test_what_is_chance_among_many_slices_raises_no_alarm_without_the_adjustment_it_would() -> None:
    random, adjusted, single = np.random.default_rng(7), 0, 0
    names = np.repeat([f"slice {number:02}" for number in range(20)], 100)
    for _ in range(60):
        good = random.random(len(names)) < 0.85
        adjusted += any(line.worse for line in slices(names, good, reference=0.85))
        counts = good.reshape(20, 100).sum(axis=1)
        single += any(binomtest(int(k), 100, 0.85, alternative="less").pvalue < 0.025 for k in counts)
    assert adjusted <= 4  # 2.5 % of 60, and two standard errors
    assert single > 10


@settings(deadline=None)
@given(rows, st.floats(0, 1), st.integers(1, 40), st.randoms(use_true_random=False))
def test_whatever_the_rows_each_slice_has_its_share_or_no_number(
    found: list[tuple[str, bool]], reference: float, minimum: int, random: object
) -> None:
    first = slices([name for name, _ in found], [good for _, good in found], reference=reference, minimum=minimum)
    random.shuffle(found)  # type: ignore[attr-defined]
    assert first == slices(
        [name for name, _ in found], [good for _, good in found], reference=reference, minimum=minimum
    )
    assert [line.name for line in first] == sorted({name for name, _ in found})
    for line in first:
        own = [good for name, good in found if name == line.name]
        assert line.items == len(own)
        assert line.too_few == (len(own) < minimum)
        if not line.too_few:
            assert line.value == pytest.approx(sum(own) / len(own))
            assert line.interval == wilson(sum(own), len(own))
            assert line.p is not None
            assert 0 <= line.p <= 1
            assert not line.worse or line.value < reference  # type: ignore[operator]
