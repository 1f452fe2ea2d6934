"""Calibration, against published values, and against models that are calibrated by construction."""

from __future__ import annotations

import tracemalloc
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as their_log_loss

from pilot.workbench.stats import calibration as c
from pilot.workbench.stats.estimates import ratio, share, wilson

rows = st.lists(st.tuples(st.floats(0, 1) | st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]), st.booleans()), max_size=60)


def columns(found: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p for p, _ in found], float), np.array([y for _, y in found], float)


def honest(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidences from Beta(8, 2), and outcomes that come true as often as they say."""
    random = np.random.default_rng(seed)
    p = random.beta(8, 2, n)
    return p, random.random(n) < p


def test_the_example_of_torchmetrics_with_two_bins() -> None:
    p, y = np.array([0.25, 0.25, 0.55, 0.75, 0.75]), np.array([0, 0, 1, 1, 1])
    found = [c.calibration_error(p, y, bins=2, norm=norm) for norm in ("l1", "l2", "max")]
    assert [f"{value:.4f}" for value in found] == ["0.2900", "0.2918", "0.3167"]


def test_the_example_of_scikit_learn() -> None:
    assert f"{c.brier(np.array([0.1, 0.9, 0.8, 0.3]), np.array([0, 1, 1, 0])):.4f}" == "0.0375"


@given(rows)
def test_brier_and_log_loss_are_those_of_scikit_learn(found: list[tuple[float, bool]]) -> None:
    p, y = columns(found)
    if len(p):
        assert c.brier(p, y) == pytest.approx(brier_score_loss(y, p, pos_label=True))
        assert c.log_loss(p, y) == pytest.approx(their_log_loss(y, p, labels=[False, True]))


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    # Bins [0, .5] and (.5, 1]: together the two rows of 0.5 are off by nothing.
    assert c.calibration_error(np.array([0.5, 0.5, 0.9]), np.array([1, 0, 1]), bins=2) == pytest.approx(0.1 / 3)
    assert c.calibration_error(np.array([0.2, 0.25]), np.array([1, 0]), bins=5, norm="max") == pytest.approx(0.8)
    assert c.calibration_error(np.array([0.0, 1.0]), np.array([0, 1])) == 0


@pytest.mark.parametrize(
    ("n", "mean"), [(50, 0.120), (100, 0.086), (200, 0.061), (500, 0.039), (1_000, 0.028), (10_000, 0.009)]
)
def test_a_perfectly_calibrated_model_shows_the_published_error(n: int, mean: float) -> None:
    bands = [c.null_band(honest(n, seed)[0]) for seed in range(8)]
    assert np.mean([band.average for band in bands]) == pytest.approx(mean, rel=0.04)
    if n == 100:
        assert np.mean([band.high for band in bands]) == pytest.approx(0.124, abs=0.004)


def test_the_band_is_that_of_drawing_every_row_on_its_own() -> None:
    p, _ = honest(3_000, 1)
    random = np.random.default_rng(5)
    errors = [c.calibration_error(p, random.random(len(p)) < p) for _ in range(2_000)]
    band = c.null_band(p)
    assert band.average == pytest.approx(np.mean(errors), rel=0.03)
    assert band.high == pytest.approx(np.quantile(errors, 0.95), rel=0.05)


@pytest.mark.parametrize("n", [20, 100, 400])
def test_calibrated_models_are_seldom_called_miscalibrated(n: int) -> None:
    alarms = sum(bool(c.calibration(*honest(n, seed)).miscalibrated) for seed in range(200))
    assert alarms / 200 <= 0.09  # 5 % by design: 99 of 100 such samples stay at or below 9 %


def test_calibrated_at_a_hundred_items_is_not_called_miscalibrated() -> None:
    found = c.calibration(*honest(100, 4))
    assert found.ece is not None
    assert found.ece > 0.05  # which looks bad without the band
    assert found.miscalibrated is False
    assert str(found).startswith("No sign of miscalibration: ")


def test_a_model_that_is_too_sure_is_called_so_with_the_figures() -> None:
    p = np.full(300, 0.95)
    y = np.arange(300) < 240
    found = c.calibration(p, y)
    assert found.miscalibrated is True
    assert found.ece == found.rmsce == found.mce == pytest.approx(0.15)
    assert str(found).startswith("Miscalibrated: ")
    assert str(found).endswith("The model is 95.0% sure on average, and 80.0% of its answers are right.")


def test_the_table_has_bins_of_equal_count_with_wilson_bars() -> None:
    p, y = honest(1_000, 2)
    table = c.reliability(p, y)
    assert [line.items for line in table] == [100] * 10
    assert sum(line.right for line in table) == y.sum()
    for line in table:
        inside = (p >= line.low) & (p <= line.high)
        assert (inside.sum(), y[inside].sum()) == (line.items, line.right)
        assert line.confidence == pytest.approx(p[inside].mean())
        assert line.interval == wilson(line.right, line.items)


def test_equal_confidences_share_a_bin() -> None:
    table = c.reliability(np.array([0.9] * 50 + [0.4] * 10), np.array([True] * 60))
    assert [(line.low, line.high, line.items) for line in table] == [(0.4, 0.4, 10), (0.9, 0.9, 50)]


@settings(max_examples=60, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_whatever_the_rows_the_figures_are_finite_and_their_order_changes_nothing(
    found: list[tuple[float, bool]], random: object
) -> None:
    first = c.calibration(*columns(found))
    random.shuffle(found)  # type: ignore[attr-defined]
    second = c.calibration(*columns(found))
    assert first.items == len(found) == sum(line.items for line in first.table)
    assert first.miscalibrated == second.miscalibrated
    assert [(line.low, line.high, line.items, line.right) for line in first.table] == [
        (line.low, line.high, line.items, line.right) for line in second.table
    ]
    for name in ("confidence", "share", "brier", "log_loss", "ece", "rmsce", "mce"):
        mine = getattr(first, name)
        if not found:
            assert mine is None
        else:
            assert mine == pytest.approx(getattr(second, name))
            assert 0 <= mine <= (40 if name == "log_loss" else 1 + 1e-9)
    if found:
        assert first.ece <= first.rmsce + 1e-9 <= first.mce + 2e-9  # type: ignore[operator]


def test_nothing_one_row_all_right_and_all_wrong() -> None:
    nothing = c.calibration(np.array([]), np.array([]))
    assert (nothing.items, nothing.ece, nothing.miscalibrated, nothing.table) == (0, None, None, ())
    assert "not known" in str(nothing)
    one = c.calibration(np.array([0.7]), np.array([True]))
    assert (one.ece, one.miscalibrated) == (pytest.approx(0.3), False)
    sure = c.calibration(np.array([1.0] * 30), np.array([True] * 30))
    assert (sure.ece, sure.brier, sure.log_loss, sure.miscalibrated) == (0, 0, 0, False)
    wrong = c.calibration(np.array([1.0] * 30), np.array([False] * 30))
    assert (wrong.ece, wrong.brier, wrong.miscalibrated) == (1, 1, True)
    assert wrong.log_loss == pytest.approx(-log(2**-52))


def fields(answers: int, seed: int, together: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidences that are honest for each of six fields, of which a part shares its luck with its whole answer."""
    draw = np.random.default_rng(seed)
    p = np.repeat(draw.uniform(0.5, 0.99, answers), 6)
    luck = np.where(draw.random((answers, 6)) < together, draw.random((answers, 1)), draw.random((answers, 6)))
    return p, (luck.ravel() < p).astype(float), np.repeat(np.arange(answers), 6)


def test_fields_that_are_right_or_wrong_together_are_no_false_alarm() -> None:
    alarms = naive = 0
    for seed in range(150):
        p, y, groups = fields(150, seed, 0.6)
        alarms += c.calibration(p, y, groups).miscalibrated is True
        naive += c.calibration(p, y).miscalibrated is True
    assert alarms / 150 < 0.1
    assert naive / 150 > 0.3


def test_fields_that_are_too_sure_are_found_and_called_fields() -> None:
    p, y, groups = fields(300, 1, 0.5)
    found = c.calibration(np.sqrt(p), y, groups)
    assert found.miscalibrated
    assert str(found).startswith("Miscalibrated: confidence and share of right fields differ by")
    assert "(ECE, 1800 fields)" in str(found)
    assert f"{found.share:.1%} of its fields are right" in str(found)
    first = found.table[0]
    inside = (np.sqrt(p) >= first.low) & (np.sqrt(p) <= first.high)
    assert first.interval == share(y[inside], groups[inside]).interval
    low, high = wilson(first.right, first.items)
    assert first.interval[1] - first.interval[0] > high - low


def test_the_variance_of_copies_is_as_many_times_larger_and_of_independent_fields_it_is_not() -> None:
    p, y, _ = fields(500, 2, 0.0)
    assert c.within_groups(p, y, np.arange(len(p))) == pytest.approx(1.0)
    copies = c.within_groups(np.repeat(p, 3), np.repeat(y, 3), np.repeat(np.arange(len(p)), 3))
    assert copies == pytest.approx(3.0, rel=0.05)
    biased = c.within_groups(np.full(600, 0.99), (np.arange(600) % 2).astype(float), np.repeat(np.arange(300), 2))
    assert biased == 1.0, "an error that all share is no luck of single answers"


@pytest.mark.parametrize(
    ("inside", "of", "said"),
    [
        (180, 200, "90.0% of 200 numbers that people decided lie in the interval of the answer (85.1% to 93.4%)"),
        (150, 200, "The intervals are too narrow: 75.0% of 200"),
        (198, 200, "The intervals are wider than they need be: 99.0% of 200"),
    ],
)
def test_whether_intervals_hold_what_they_promise(inside: int, of: int, said: str) -> None:
    found = c.Coverage(0.9, share([1.0] * inside + [0.0] * (of - inside)))
    assert found.share.interval == wilson(inside, of)
    assert str(found).startswith(said)
    assert str(found).endswith("which promises 90%.")
    assert "not known" in str(c.Coverage(0.9, share([])))


def test_what_stays_of_drafts_is_told_by_confidence() -> None:
    draw = np.random.default_rng(6)
    sure = draw.random(200)
    similar = np.clip(sure * draw.uniform(0.6, 1.0, 200), 0, 1)
    found = c.kept(sure, similar)
    assert [one.n for _, _, one in found.table] == [50] * 4
    means = [one.value for _, _, one in found.table]
    assert means == sorted(means)
    low, high, first = found.table[0]
    inside = (sure >= low) & (sure <= high)
    assert first.value == pytest.approx(similar[inside].mean())
    assert first.interval == ratio(similar[inside], np.ones(50)).interval
    assert f"{first.value:.0%} ({first.low:.0%} to {first.high:.0%}, n = 50) at confidence {low:.2f} to" in str(found)
    assert "not known" in str(c.kept(np.array([]), np.array([])))
    assert len(c.kept(np.full(9, 0.4), np.linspace(0, 1, 9)).table) == 1


def test_memory_stays_linear_at_a_million_rows() -> None:
    p, y = honest(1_000_000, 3)
    tracemalloc.start()
    found = c.calibration(p, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.miscalibrated is False
    assert peak < 15 * p.nbytes
