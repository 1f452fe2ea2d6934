"""Whether more examples have been helping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.workbench.stats.learning import last_gain


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


@pytest.mark.parametrize(
    ("curve", "judged"),
    [
        ([(100, 0.5), (50, 0.6)], 10),
        ([(50, 0.5), (50, 0.6)], 10),
        ([(50, 1.5), (100, 0.6)], 10),
        ([(50, float("nan")), (100, 0.6)], 10),
        ([(50, 0.5), (100, 0.6)], 0),
    ],
)
def test_what_is_no_curve_is_refused(curve: list[tuple[int, float]], judged: int) -> None:
    with pytest.raises(ValueError, match="a learning curve has ascending rows"):
        last_gain(curve, judged)
