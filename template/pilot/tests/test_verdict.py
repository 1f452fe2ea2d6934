"""The verdict on an interval: exactly one of three, and an exit code for each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.workbench.evaluation import Verdict, verdict

ENDS = st.one_of(st.none(), st.floats(-1e6, 1e6))


@pytest.mark.parametrize(
    ("low", "high", "direction", "said"),
    [
        (0.80, 0.9, "up", "MET"),
        (0.79, 0.9, "up", "NOT PROVEN"),
        (0.5, 0.80, "up", "NOT PROVEN"),
        (0.5, 0.79, "up", "MISSED"),
        (0.7, 0.80, "down", "MET"),
        (0.7, 0.81, "down", "NOT PROVEN"),
        (0.80, 0.9, "down", "NOT PROVEN"),
        (0.81, 0.9, "down", "MISSED"),
        (None, 0.79, "up", "MISSED"),
        (0.8, None, "up", "MET"),
        (None, 0.9, "up", "NOT PROVEN"),
        (None, 0.8, "down", "MET"),
        (0.81, None, "down", "MISSED"),
        (None, None, "down", "NOT PROVEN"),
    ],
)
def test_the_whole_interval_decides(low: float | None, high: float | None, direction: str, said: str) -> None:
    assert verdict((low, high), 0.8, direction) == said


def test_each_has_its_exit_code() -> None:
    assert {one.value: one.exit_code for one in Verdict} == {"MET": 0, "MISSED": 10, "NOT PROVEN": 11, "PROGRESS": 12}


@given(ENDS, ENDS, st.floats(-1e6, 1e6))
def test_the_two_directions_mirror_each_other(low: float | None, high: float | None, target: float) -> None:
    if low is not None and high is not None and low > high:
        low, high = high, low
    mirrored = (None if high is None else -high, None if low is None else -low)
    assert verdict((low, high), target, "up") == verdict(mirrored, -target, "down")


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_an_interval_that_holds_the_target_and_more_proves_nothing(one: float, other: float, target: float) -> None:
    low, high = min(one, other), max(one, other)
    if low < target <= high:
        assert verdict((low, high), target, "up") is Verdict.NOT_PROVEN
