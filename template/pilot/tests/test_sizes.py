"""What a charter's target needs, and whether its volume gives it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.charter import Charter, Guardrail
from pilot.workbench import sizes
from pilot.workbench.stats import power

FILLED: dict[str, Any] = {
    "metric": "accuracy",
    "direction": "up",
    "target": 0.85,
    "volume_now": 50,
    "weeks": 6,
    "coverage_floor": 0.2,
    "judged_items": 300,
}


def plan(**changes: Any) -> sizes.Plan:
    found = sizes.plan(Charter(**{**FILLED, **changes}))
    assert found is not None
    return found


def test_a_plan_says_what_the_target_needs_and_what_the_volume_gives() -> None:
    target = plan().target
    assert (target.needs, target.will_have, target.reachable) == (363, 300, False)
    assert str(target) == (
        "proving 0.85 when the truth is 0.9 needs 363 judged items, you will have 300: detectable effect is 5.5 points"
    )
    assert plan(volume_now=80).target.reachable is True


def test_the_same_items_prove_a_gain_sooner_than_an_earlier_period() -> None:
    paired, earlier = plan().others
    assert (paired.needs, earlier.needs) == (626, 906)
    assert "needs 626 judged items, you will have 300: detectable effect is 7.2 points" in str(paired)
    assert sizes.judged(50, 7, 0.2) == 350
    assert power.detectable(lambda difference: power.paired(0.2, difference), 350, 0.2) == pytest.approx(
        0.0667, abs=5e-5
    )


def test_a_guardrail_that_the_records_do_not_know_is_said_to_be_one() -> None:
    found = plan(guardrails=[Guardrail(metric="mood", direction="up", margin=1)])
    assert "guardrail mood: the records know nothing of it, so it can never be shown to hold; name one of acc" in str(
        found
    )
    assert "may be as much as 0.02" in str(
        plan(guardrails=[Guardrail(metric="failures", direction="down", margin=0.02)])
    )


def test_a_guardrail_on_a_share_needs_its_margin_and_one_on_time_waits_for_the_baseline() -> None:
    share, time = plan(
        guardrails=[
            Guardrail(metric="accuracy", direction="up", margin=0.05),
            Guardrail(metric="cycle_time", direction="down", margin=0.5),
        ]
    ).others[2:]
    assert share.needs == 801
    assert (time.needs, time.reachable) == (None, None)
    assert "the spread of a measured baseline" in str(time)


def test_a_target_without_a_number_has_no_plan_and_one_of_time_says_what_is_missing() -> None:
    assert sizes.plan(Charter(metric="accuracy")) is None
    assert sizes.plan(Charter(target=0.9)) is None
    found = plan(metric="cycle_time", target=4, direction="down")
    assert found.target.needs is None
    assert "the spread of cycle_time is not known before the baseline is measured" in str(found)


@pytest.mark.parametrize("fact", ["volume_now", "weeks", "coverage_floor"])
def test_without_a_volume_the_plan_says_what_to_fill(fact: str) -> None:
    target = plan(**{fact: None}).target
    assert (target.needs, target.will_have, target.reachable) == (363, None, None)
    assert "fill volume_now, weeks and coverage_floor" in str(target)


def test_a_plan_names_too_few_planned_items_and_more_than_the_volume_gives() -> None:
    assert "judged_items: 300 are planned, and the target needs 363." in plan().notes
    assert "judged_items: 500 are planned, and the volume gives 300." in plan(judged_items=500).notes
    assert not any("planned" in note for note in plan(judged_items=400, volume_now=80).notes)


def test_an_always_valid_interval_is_said_to_need_more() -> None:
    assert any("always-valid" in note for note in plan(interval="always_valid").notes)
    assert not any("always-valid" in note for note in plan(interval="fixed").notes)


@pytest.mark.parametrize("target", [85, 1, 0, -0.5])
def test_an_accuracy_that_is_no_share_can_never_be_proven(target: float) -> None:
    found = plan(target=target)
    assert (found.target.needs, found.target.reachable, found.others) == (None, None, ())
    assert "no number of items can prove it; accuracy is a share above 0 and below 1, such as 0.85" in str(found)


@pytest.mark.parametrize("margin", [0, 5])
def test_a_margin_that_is_no_share_is_told_with_an_example(margin: float) -> None:
    found = plan(guardrails=[Guardrail(metric="accuracy", direction="up", margin=margin)])
    assert found.others[-1].needs is None
    assert "above 0 and below 1, such as 0.02" in str(found)


def test_a_measured_spread_gives_a_mean_its_size() -> None:
    time = {"metric": "cycle_time", "direction": "down", "target": 4, "unit": "hours"}
    guardrail = Guardrail(metric="cost_per_item", direction="down", margin=0.5)
    found = sizes.plan(Charter(**{**FILLED, **time, "guardrails": [guardrail]}), {"cycle_time": 3, "cost_per_item": 2})
    assert found is not None
    assert found.target.needs == 444
    assert found.target.detectable == pytest.approx(0.487, abs=1e-3)
    assert "proving a mean cycle_time of 4 when the truth is 3.6 needs 444 judged items" in str(found)
    assert "detectable effect is 0.487 hours" in str(found)
    (cost,) = found.others
    assert cost.needs == 253
    assert "it needs a margin above 0" in str(
        plan(guardrails=[Guardrail(metric="cost_per_item", direction="down", margin=0)])
    )


def test_without_items_nothing_is_detectable() -> None:
    assert "you will have 0: detectable effect is none" in str(plan(volume_now=0).target)


@given(st.floats(0.02, 0.98), st.sampled_from(["up", "down"]), st.integers(1, 5000), st.integers(1, 4))
def test_more_volume_never_hides_an_effect(target: float, direction: str, volume: int, factor: int) -> None:
    less = plan(target=target, direction=direction, volume_now=volume).target
    more = plan(target=target, direction=direction, volume_now=volume * factor).target
    assert less.needs == more.needs
    assert less.reachable is not True or more.reachable is True
    if less.detectable is not None:
        assert more.detectable is not None
        assert more.detectable <= less.detectable + 1e-6
        assert less.effect is not None
        assert less.reachable == (less.detectable <= less.effect + 1e-6)
