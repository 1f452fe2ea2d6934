"""Outcomes that nobody recorded: what is missing where, and that it never helps a pilot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.workbench.stats import estimates, intervals, missing

counts = st.integers(0, 300)
labels = st.lists(st.tuples(st.booleans(), st.sampled_from([1.0, 0.5, 0.05])), min_size=1, max_size=60)
chances = st.lists(st.sampled_from([1.0, 0.5, 0.05]), max_size=30)


def test_sixty_of_eighty_in_a_hundred() -> None:
    found = missing.bounds(60, 80, 20)
    assert (found.lower, found.upper) == (0.6, 0.8)
    assert (found.low, found.high) == (intervals.wilson(60, 100)[0], intervals.wilson(80, 100)[1])
    assert (found.n, found.missing) == (100, 20)


def test_without_missing_items_the_bounds_are_the_estimate() -> None:
    found, share = missing.bounds(60, 80, 0), estimates.share([1] * 60 + [0] * 20)
    assert (found.lower, found.upper, found.low, found.high) == (share.value, share.value, share.low, share.high)
    assert missing.bounds(0, 0, 0).low is None
    assert (missing.bounds(0, 0, 5).lower, missing.bounds(0, 0, 5).upper) == (0, 1)


@settings(max_examples=100, deadline=None)
@given(counts, counts, counts, counts)
def test_more_missing_items_widen_the_bounds(right: int, wrong: int, few: int, more: int) -> None:
    if right + wrong + few == 0:
        return
    before, after = missing.bounds(right, right + wrong, few), missing.bounds(right, right + wrong, few + more)
    assert after.lower <= before.lower <= before.upper <= after.upper
    assert after.low <= before.low <= before.lower
    assert after.high >= before.high >= before.upper


def test_counts_that_are_none_are_refused() -> None:
    for wrong in ((5, 4, 0), (-1, 4, 0), (1, 4, -1)):
        with pytest.raises(ValueError, match="are no counts"):
            missing.bounds(*wrong)


def test_the_hepatic_scans_of_begg_and_greenes() -> None:
    """Drum and Christacopoulos (1972): 429 abnormal and 221 normal scans, of which 263 and 81 were verified. Of those,
    sensitivity and specificity are 0.895 and 0.628; corrected 0.836 and 0.738."""
    bands = [1] * 429 + [0] * 221
    labelled = [1] * 263 + [0] * 166 + [1] * 81 + [0] * 140
    diseased = [1] * 231 + [0] * 32 + [None] * 166 + [1] * 27 + [0] * 54 + [None] * 140
    both = [value if band else (0 if value is not None else None) for value, band in zip(diseased, bands, strict=True)]
    neither = [
        None if value is None else int(not value and not band) for value, band in zip(diseased, bands, strict=True)
    ]
    share = missing.begg_greenes(labelled, diseased, bands).value
    assert missing.begg_greenes(labelled, both, bands).value / share == pytest.approx(0.836, abs=5e-4)
    assert missing.begg_greenes(labelled, neither, bands).value / (1 - share) == pytest.approx(0.738, abs=5e-4)


def test_begg_greenes_with_all_labels_is_the_share() -> None:
    random = np.random.default_rng(1)
    right, bands = random.random(500) < 0.8, random.integers(0, 5, 500)
    found, plain = missing.begg_greenes(np.ones(500), right, bands), estimates.share(right)
    assert found.value == pytest.approx(plain.value)
    assert found.interval == pytest.approx(plain.interval, abs=4e-3)


def test_a_band_without_labels_counts_for_nothing() -> None:
    with_labels = missing.begg_greenes([1] * 80, [1, 0, 1, 1] * 20, [0] * 80)
    found = missing.begg_greenes([1] * 80 + [0] * 20, [1, 0, 1, 1] * 20 + [None] * 20, [0] * 80 + [1] * 20)
    assert found.value == 0.75
    assert found.low == pytest.approx(0.8 * with_labels.low)
    assert found.high == pytest.approx(1 - 0.8 * (1 - with_labels.high))
    assert missing.begg_greenes([0, 0], [None, None], [0, 1]).value is None


def test_bands_hold_about_equally_many_items_and_never_split_equal_ones() -> None:
    random = np.random.default_rng(2)
    numbers = missing.band_numbers(random.random(1_000), 10)
    assert np.bincount(numbers).tolist() == pytest.approx([100] * 10, abs=1)
    tied = missing.band_numbers([0.9] * 50 + [0.1] * 10, 10)
    assert tied.tolist() == [1] * 50 + [0] * 10
    assert missing.band_numbers([None, float("nan"), 0.5], 3).tolist() == [-1, -1, 0]
    assert missing.band_numbers([], 3).tolist() == []
    with pytest.raises(ValueError, match=r"confidences: row 1 is 1\.5"):
        missing.band_numbers([0.5, 1.5])


def test_coverage_is_by_band_and_without_confidence_last() -> None:
    found = missing.coverage([0.2, 0.4, 0.6, 0.8, None, None], [1, 1, 0, 1, 0, 1], bands=2)
    assert found == [
        missing.Band(0.2, 0.4, 2, 2, 1.0),
        missing.Band(0.6, 0.8, 2, 1, 0.5),
        missing.Band(None, None, 2, 1, 0.5),
    ]
    assert missing.coverage([], []) == []
    with pytest.raises(ValueError, match="confidences has 1 rows and labelled 2"):
        missing.coverage([0.5], [1, 1])


def test_equal_probabilities_give_the_plain_share() -> None:
    right = [1] * 17 + [0] * 3
    found, plain = missing.weighted(right, [0.05] * 20), estimates.share(right)
    assert found.value == pytest.approx(plain.value)
    assert found.low <= plain.low
    assert found.interval == pytest.approx(plain.interval, abs=0.02)
    assert missing.weighted([1] * 20, [0.05] * 20).interval == pytest.approx(intervals.wilson(20, 20))
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
    assert found.low == pytest.approx(intervals.wilson_of_effective(0.6, size)[0])
    assert found.high == pytest.approx(intervals.wilson_of_effective(0.8, size)[1])


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


def test_a_choice_that_was_impossible_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="probabilities: row 1 is 0"):
        missing.weighted([1, 1], [0.5, 0.0])
    with pytest.raises(ValueError, match="missing: row 0 is 2"):
        missing.weighted([1], [0.5], [2.0])
    with pytest.raises(ValueError, match="correct: row 0 is nan"):
        missing.weighted([float("nan")], [0.5])
    with pytest.raises(ValueError, match="labelled, correct and bands have 2, 1 and 2 rows"):
        missing.begg_greenes([1, 0], [1], [0, 0])


def test_the_corrections_cover_the_truth_and_the_naive_share_does_not() -> None:
    """Items below a confidence of 0.7 are all judged, one in ten of the others is audited."""
    random = np.random.default_rng(4)
    truth = 0.75  # items are right as often as their confidence, uniform on [0.5, 1], says
    inside = {"weighted": 0, "banded": 0, "naive": 0}
    for _ in range(1_000):
        confidence = random.uniform(0.5, 1, 1_000)
        right = random.random(1_000) < confidence
        chance = np.where(confidence < 0.7, 1.0, 0.1)
        labelled = random.random(1_000) < chance
        found = {
            "weighted": missing.weighted(right[labelled], chance[labelled]),
            "banded": missing.begg_greenes(labelled, right, missing.band_numbers(confidence)),
            "naive": estimates.share(right[labelled]),
        }
        for name, estimate in found.items():
            inside[name] += estimate.low <= truth <= estimate.high
    assert inside["weighted"] >= 0.935 * 1_000
    assert inside["banded"] >= 0.935 * 1_000
    assert inside["naive"] < 0.5 * 1_000
