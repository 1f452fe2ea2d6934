"""Slices: no number for few items, and no alarm for what is chance among many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from pilot.metrics import metric_of
from pilot.workbench.stats.comparisons import between, independent_shares
from pilot.workbench.stats.estimates import mean, ratio, share, weighed, wilson
from pilot.workbench.stats.slices import Slice, slices

rows = st.lists(st.tuples(st.sampled_from(["north", "south", "west"]), st.booleans()), max_size=120)


def of_counts(*counts: tuple[str, int, int]) -> tuple[list[str], list[bool]]:
    """Names and flags of slices that are given as name, good and items."""
    names = [name for name, _, items in counts for _ in range(items)]
    return names, [row < good for _, good, items in counts for row in range(items)]


def test_a_slice_below_the_minimum_has_no_number() -> None:
    few, enough = slices(*of_counts(("a", 0, 29), ("b", 20, 30)), baseline=[1] * 900 + [0] * 100)
    assert few == Slice("a", 29)
    assert (few.too_few, few.value, few.interval, few.p, few.worse) == (True, None, (None, None), None, False)
    assert str(few) == "a: too few (29)"
    assert (enough.too_few, enough.value, enough.interval) == (False, 20 / 30, wilson(20, 30))


def test_a_slice_that_is_credibly_worse_is_named_and_marked_exploratory() -> None:
    good, bad = slices(
        *of_counts(("new customers", 60, 100), ("known customers", 92, 100)), baseline=[1] * 900 + [0] * 100
    )
    assert (good.name, bad.name) == ("known customers", "new customers")
    assert (good.worse, bad.worse) == (False, True)
    assert all(found.exploratory for found in (good, bad))
    assert str(bad).startswith("new customers: 0.60 (0.50 to 0.69, n = 100), worse (adjusted p = ")
    assert "exploratory" in str(bad)


def test_a_better_slice_is_never_worse() -> None:
    (found,) = slices(*of_counts(("a", 100, 100)), baseline=[1, 0] * 500)
    assert found.p < 1e-9
    assert found.worse is False


def test_without_a_baseline_there_is_no_p() -> None:
    (found,) = slices(*of_counts(("a", 1, 100)))
    assert (found.p, found.worse, found.value) == (None, False, 0.01)


def test_the_p_are_those_of_holm_and_few_items_take_no_part() -> None:
    counts = [("a", 70, 100), ("b", 75, 100), ("c", 80, 100), ("d", 85, 100)]
    before = [1] * 170 + [0] * 30
    found = slices(*of_counts(*counts, ("few", 0, 10)), baseline=before)
    raw = [independent_shares([1] * good + [0] * (items - good), before).p for _, good, items in counts]
    assert [line.p for line in found[:4]] == pytest.approx(multipletests(raw, method="holm")[1])
    assert found[4].too_few


ERROR, FIELDS = metric_of("absolute_error:hours"), metric_of("field_accuracy")


def test_errors_have_their_mean_and_a_larger_one_is_worse() -> None:
    draw = np.random.default_rng(1)
    errors = np.concatenate([draw.exponential(2.0, 100), draw.exponential(5.0, 100)])
    before = draw.exponential(2.0, 400)
    known, new = slices(["known"] * 100 + ["new"] * 100, errors, ERROR, baseline=before)
    assert (known.value, known.interval) == (pytest.approx(errors[:100].mean()), mean(errors[:100]).interval)
    raw = between(mean(errors[100:]), mean(before)).p
    assert new.p == pytest.approx(min(1.0, 2 * raw))
    assert (known.worse, new.worse) == (False, True)
    smaller = slices(["new"] * 100, errors[100:] / 10, ERROR, baseline=before)
    assert smaller[0].p < 1e-9
    assert not smaller[0].worse, "a smaller error is better"


def test_an_item_of_many_fields_weighs_as_many_in_its_slice() -> None:
    values, weights = np.array([1.0, 0.5] * 30), np.array([1.0, 4.0] * 30)
    (found,) = slices(["a"] * 60, values, FIELDS, weights=weights)
    assert (found.value, found.weight) == (pytest.approx(0.6), 150)
    assert found.interval == ratio(values, weights).interval


@pytest.mark.parametrize("metric", [metric_of("accuracy"), ERROR, FIELDS])
def test_items_of_a_group_say_less_than_as_many_of_different_ones(metric: object) -> None:
    values = np.repeat(np.random.default_rng(2).integers(0, 2, 20), 10).astype(float)
    groups = np.repeat(np.arange(20), 10).tolist()
    before = [1.0, 0.0] * 50
    (alone,), (grouped,) = (slices(["a"] * 200, values, metric, groups=one, baseline=before) for one in (None, groups))
    assert grouped.value == alone.value
    assert grouped.interval[1] - grouped.interval[0] > 2 * (alone.interval[1] - alone.interval[0])
    assert grouped.p > alone.p
    if metric is ERROR:
        assert grouped.interval == mean(weighed(values, np.ones(200)), groups).interval
    if metric.yes_or_no:  # type: ignore[attr-defined]
        assert grouped.interval == share(values, groups).interval


def test_values_that_are_all_the_same_have_a_figure_without_an_interval() -> None:
    same, other = slices(["a"] * 40 + ["b"] * 40, [3.0] * 40 + [0.0, 250.0] * 20, ERROR, baseline=[1.0, 2.0] * 30)
    assert (str(same), same.p, same.worse) == ("a: 3.00 (n = 40)", None, False)
    assert str(other).startswith("b: 125 (84.5 to 165, n = 40), worse")
    assert other.worse, "one without an interval takes no p from the others"


def test_errors_with_a_long_tail_raise_no_false_alarm() -> None:
    draw, alarms = np.random.default_rng(11), 0
    names = np.repeat([f"slice {number:02}" for number in range(10)], 40)
    for _ in range(200):
        errors, before = draw.lognormal(0, 1.2, len(names)), draw.lognormal(0, 1.2, 100)
        alarms += any(line.worse for line in slices(names, errors, ERROR, baseline=before))
    assert alarms / 200 < 0.05


def test_what_is_chance_among_many_slices_raises_no_alarm_whatever_the_size_of_the_baseline() -> None:
    """V12: a baseline of 30 items is as uncertain as a slice; taken as known it named a slice worse in 28 of 100."""
    random, adjusted, known = np.random.default_rng(7), 0, 0
    names = np.repeat([f"slice {number:02}" for number in range(10)], 100)
    for _ in range(100):
        good, before = random.random(len(names)) < 0.85, random.random(30) < 0.85
        adjusted += any(line.worse for line in slices(names, good, baseline=before))
        counts = good.reshape(10, 100).sum(axis=1)
        known += any(binomtest(int(k), 100, before.mean(), alternative="less").pvalue < 0.0025 for k in counts)
    assert adjusted <= 6  # 2.5 % of 100, and two standard errors
    assert known > 15


@settings(max_examples=15, deadline=None)
@given(rows, st.lists(st.booleans(), min_size=1), st.integers(1, 40), st.randoms(use_true_random=False))
def test_whatever_the_rows_each_slice_has_its_share_or_no_number(
    found: list[tuple[str, bool]], before: list[bool], minimum: int, random: object
) -> None:
    first = slices([name for name, _ in found], [good for _, good in found], baseline=before, minimum=minimum)
    random.shuffle(found)  # type: ignore[attr-defined]
    assert first == slices([name for name, _ in found], [good for _, good in found], baseline=before, minimum=minimum)
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
            assert not line.worse or line.value < sum(before) / len(before)  # type: ignore[operator]
