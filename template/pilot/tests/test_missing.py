"""Outcomes that nobody recorded: what is missing where, and that it never helps a pilot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.workbench.stats import estimates, missing

counts = st.integers(0, 300)
labels = st.lists(st.tuples(st.booleans(), st.sampled_from([1.0, 0.5, 0.05])), min_size=1, max_size=60)
chances = st.lists(st.sampled_from([1.0, 0.5, 0.05]), max_size=30)


def judged(right: int, wrong: int) -> list[int]:
    return [1] * right + [0] * wrong


def test_sixty_of_eighty_in_a_hundred() -> None:
    found = missing.bounds(judged(60, 20), 20)
    assert (found.value, found.n) == (0.75, 80)
    assert (found.low, found.high) == (estimates.wilson(60, 100)[0], estimates.wilson(80, 100)[1])


def test_without_missing_items_the_bounds_are_the_estimate() -> None:
    found, share = missing.bounds(judged(60, 20), 0), estimates.share(judged(60, 20))
    assert (found.value, found.interval) == (share.value, share.interval)
    assert missing.bounds([], 0).interval == (None, None)
    assert missing.bounds([], 5).interval == (0, 1)


@settings(max_examples=100, deadline=None)
@given(counts, counts, counts, counts)
def test_more_missing_items_widen_the_bounds(right: int, wrong: int, few: int, more: int) -> None:
    if right + wrong + few == 0:
        return
    before, after = missing.bounds(judged(right, wrong), few), missing.bounds(judged(right, wrong), few + more)
    assert after.low <= before.low
    assert after.high >= before.high
    assert before.value is None or before.low <= before.value <= before.high


def test_bounds_of_items_in_groups_are_of_the_effective_number() -> None:
    right, groups = judged(60, 20), [row % 8 for row in range(80)]
    size = estimates.share(right, groups)
    assert missing.bounds(right, 0, groups).interval == pytest.approx(size.interval)
    assert missing.bounds(right, 20, groups).low < size.low
    assert missing.bounds(right, 20, groups).method.startswith("no-assumption bounds, Wilson ends of an effective n of")
    assert missing.bounds(right, 20, groups).too_few == "8 groups are too few for a verdict, which needs 10"


def test_bands_hold_about_equally_many_items_and_never_split_equal_ones() -> None:
    random = np.random.default_rng(2)
    found = missing.coverage(random.random(1_000), np.ones(1_000))
    assert [band.items for band in found] == pytest.approx([100] * 10, abs=1)
    tied = missing.coverage(np.array([0.9] * 50 + [0.1] * 10), np.ones(60))
    assert [(band.low, band.items) for band in tied] == [(0.1, 10), (0.9, 50)]


def test_coverage_is_by_band_and_without_confidence_last() -> None:
    found = missing.coverage(np.array([0.2, 0.4, 0.6, 0.8, np.nan, np.nan]), [1, 1, 0, 1, 0, 1], bands=2)
    assert found == [
        missing.Band(0.2, 0.4, 2, 2, 1.0),
        missing.Band(0.6, 0.8, 2, 1, 0.5),
        missing.Band(None, None, 2, 1, 0.5),
    ]
    assert missing.coverage(np.array([]), []) == []


def test_equal_probabilities_give_the_plain_share() -> None:
    right = [1] * 17 + [0] * 3
    found, plain = missing.weighted(right, [0.05] * 20), estimates.share(right)
    assert found.value == pytest.approx(plain.value)
    assert found.low <= plain.low
    assert found.interval == pytest.approx(plain.interval, abs=0.02)
    assert missing.weighted([1] * 20, [0.05] * 20).interval == pytest.approx(estimates.wilson(20, 20))
    assert missing.weighted([], []).value is None


def test_a_rare_audit_counts_for_those_it_stands_for() -> None:
    """100 sure items of which five were audited, one wrong; 20 unsure ones all judged, half wrong."""
    found = missing.weighted([1, 1, 1, 1, 0] + [1] * 10 + [0] * 10, [0.05] * 5 + [1.0] * 20)
    assert found.value == pytest.approx((80 + 10) / 120)
    assert found.low < 0.45


@settings(max_examples=100, deadline=None)
@given(labels, chances, chances)
def test_chosen_items_without_a_label_never_raise_the_lower_end(
    chosen: list[tuple[bool, float]], lost: list[float], more: list[float]
) -> None:
    right, probabilities = [value for value, _ in chosen], [chance for _, chance in chosen]
    none, some = missing.weighted(right, probabilities), missing.weighted(right, probabilities, lost)
    many = missing.weighted(right, probabilities, lost + more)
    assert none.value == some.value == many.value
    assert many.low <= some.low + 1e-12 <= none.low + 2e-12
    assert many.high >= some.high - 1e-12
    assert many.low <= many.value <= many.high


def test_chosen_items_without_a_label_are_wrong_at_the_lower_end_and_right_at_the_upper() -> None:
    found = missing.weighted([1] * 60 + [0] * 20, [0.2] * 80, [0.2] * 20)
    assert found.value == pytest.approx(0.75)
    size = 79  # 80 less the one that the variance costs
    assert found.low == pytest.approx(estimates.wilson(0.6 * size, size)[0])
    assert found.high == pytest.approx(estimates.wilson(0.8 * size, size)[1])


def test_groups_widen_it_and_copies_in_them_never_narrow_it() -> None:
    random = np.random.default_rng(3)
    right = (random.random((20, 1)) < np.full((20, 10), 0.7)).ravel()
    groups = np.repeat(np.arange(20), 10)
    chance = np.full(200, 0.2)
    plain, grouped = missing.weighted(right, chance), missing.weighted(right, chance, groups=groups)
    assert grouped.high - grouped.low > 2 * (plain.high - plain.low)
    copied = missing.weighted(*(np.repeat(column, 5) for column in (right, chance)), groups=np.repeat(groups, 5))
    assert copied.low <= grouped.low + 1e-9
    assert copied.high >= grouped.high - 1e-9


def test_the_correction_covers_the_truth_and_the_naive_share_does_not() -> None:
    """Items below a confidence of 0.7 are all judged, one in ten of the others is audited."""
    random = np.random.default_rng(4)
    truth = 0.75  # items are right as often as their confidence, uniform on [0.5, 1], says
    inside = {"weighted": 0, "naive": 0}
    for _ in range(1_000):
        confidence = random.uniform(0.5, 1, 1_000)
        right = random.random(1_000) < confidence
        chance = np.where(confidence < 0.7, 1.0, 0.1)
        labelled = random.random(1_000) < chance
        found = {
            "weighted": missing.weighted(right[labelled], chance[labelled]),
            "naive": estimates.share(right[labelled]),
        }
        for name, estimate in found.items():
            inside[name] += estimate.low <= truth <= estimate.high
    assert inside["weighted"] >= 0.935 * 1_000
    assert inside["naive"] < 0.5 * 1_000
