"""A month of production: what comes out follows from what goes in, and the spread is never hidden."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot.workbench import projection
from pilot.workbench.projection import DRAWS, FIXED, Range, Spread, draw, project


def exactly(value: float) -> Range:
    return Range(value, value, value)


# A service at 5,000 items a day of which 15 % are reviewed, at 2 to 3 minutes, with an LLM at 5 for a million tokens.
TOY = {
    "items_per_day": Range(3000, 5000, 7000),
    "working_days": exactly(21),
    "reviewed_share": exactly(0.15),
    "review_minutes": Range(2, 2.5, 3),
    "cost_of_hour": exactly(40),
    "minutes_today": Range(3, 4, 6),
    "tokens_per_item": exactly(1500),
    "price_per_million_tokens": exactly(5),
    "retries_share": exactly(0.05),
    **{name: exactly(1000) for name in FIXED},
}
CERTAIN = {name: exactly(of.likely) for name, of in TOY.items()}


def test_in_the_toy_97_percent_of_the_variable_cost_is_people() -> None:
    """Acceptance, C.8: tokens are 3 % and human review 97 % of the variable cost at 5,000 items a day."""
    found = project(TOY)
    assert round(found.people, 2) == 0.97
    assert found.drivers[0].name in ("minutes_today", "items_per_day")
    assert found.cost.p90 / found.cost.p10 > 1.3


def test_a_month_without_doubt_is_the_sum_by_hand() -> None:
    found = project(CERTAIN)
    items = 5000 * 21
    review, model = 0.15 * 2.5 / 60 * 40, 1.05 * 1500 / 1e6 * 5
    assert found.variable.p10 == found.variable.p90 == pytest.approx(items * (review + model))
    assert found.fixed == Spread(5000, 5000, 5000)
    assert found.per_item.p50 == pytest.approx(review + model)
    assert found.today.p50 == pytest.approx(items * 4 / 60 * 40)
    assert found.net.p50 == pytest.approx(items * (4 / 60 * 40 - review - model) - 5000)
    assert (found.chance, found.drivers) == (1.0, ())
    assert found.break_even.p50 == pytest.approx(5000 / (21 * (4 / 60 * 40 - review - model)))


def test_audits_overrides_failures_and_machine_time_cost_what_they_are_said_to() -> None:
    more = {
        "audit_share": exactly(0.1),
        "override_share": exactly(0.2),
        "failed_share": exactly(0.05),
        "seconds_per_item": exactly(1.8),
        "price_per_machine_hour": exactly(2),
    }
    hour = 40 / 60
    judged = 0.8 * 2.5 * hour + 0.2 * (2.5 + 4) * hour
    people = 0.95 * (0.15 + 0.85 * 0.1) * judged + 0.05 * 4 * hour
    model = 1.05 * 1500 / 1e6 * 5 + 1.8 / 3600 * 2
    assert project({**CERTAIN, **more}).per_item.p50 == pytest.approx(people + model)
    shorter = project({**CERTAIN, **more, "override_minutes": exactly(3)})
    judged = 0.8 * 2.5 * hour + 0.2 * 3 * hour
    assert shorter.parts["review"] == pytest.approx(5000 * 21 * 0.95 * 0.15 * judged)
    assert shorter.parts["fallback"] == pytest.approx(5000 * 21 * 0.05 * 4 * hour)


def test_more_overrides_never_cost_less() -> None:
    costs = [project({**CERTAIN, "override_share": exactly(share)}).cost.p50 for share in (0, 0.1, 0.5, 1)]
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


def test_what_an_item_costs_today_stands_for_its_minutes() -> None:
    without = {name: of for name, of in CERTAIN.items() if name != "minutes_today"}
    assert project({**without, "cost_today": exactly(4 / 60 * 40)}) == project(CERTAIN)


def test_the_same_inputs_give_the_same_projection_in_whatever_order() -> None:
    assert project(TOY) == project(dict(reversed(TOY.items())))


def test_one_input_does_not_change_the_draws_of_another() -> None:
    assert project(TOY).today == project({**TOY, "licences": Range(0, 1000, 5000)}).today


def test_the_drivers_are_ranked_by_how_far_they_move_the_net_benefit() -> None:
    found = project(TOY)
    swings = [driver.swing for driver in found.drivers]
    assert swings == sorted(swings, reverse=True)
    assert {driver.name for driver in found.drivers} == {"items_per_day", "review_minutes", "minutes_today"}
    [minutes] = [driver for driver in found.drivers if driver.name == "review_minutes"]
    assert minutes.cost_high - minutes.cost_low == pytest.approx(5000 * 21 * 0.15 * 1 / 60 * 40)
    assert minutes.net_low - minutes.net_high == pytest.approx(minutes.cost_high - minutes.cost_low)


def test_at_the_break_even_volume_and_at_the_zero_review_rate_nothing_is_left() -> None:
    found = project({**CERTAIN, "audit_share": exactly(0.05), "failed_share": exactly(0.02)})
    more = {**CERTAIN, "audit_share": exactly(0.05), "failed_share": exactly(0.02)}
    at = project({**more, "items_per_day": exactly(found.break_even.p50)})
    assert at.net.p50 == pytest.approx(0, abs=1e-6)
    few = {**more, "minutes_today": exactly(1)}
    at = project({**few, "reviewed_share": exactly(project(few).zero_review.p50)})
    assert at.net.p50 == pytest.approx(0, abs=1e-6)


def test_where_an_item_costs_more_than_today_no_volume_pays() -> None:
    found = project({**CERTAIN, "minutes_today": exactly(0.05)})
    assert found.break_even == Spread(math.inf, math.inf, math.inf)
    assert found.zero_review.p50 < 0
    assert (found.net.p50 < 0, found.chance) == (True, 0.0)
    subsidised = project({**CERTAIN, "minutes_today": exactly(0.1), "other_benefit": exactly(6000)})
    assert subsidised.break_even.p50 == math.inf


def test_reviews_that_cost_nothing_may_be_of_all_items_or_do_not_help() -> None:
    free = {**CERTAIN, "review_minutes": exactly(0)}
    assert project(free).zero_review.p50 == math.inf
    assert project({**free, "items_per_day": exactly(1)}).zero_review.p50 == -math.inf
    assert project({**CERTAIN, "audit_share": exactly(1)}).zero_review.p50 == math.inf


def test_a_change_of_the_models_prices_changes_nothing_else() -> None:
    found = project(CERTAIN, price_change=2)
    assert found.changed is not None
    cost, net = found.changed
    model = 5000 * 21 * 1.05 * 1500 / 1e6 * 5
    assert cost.p50 - found.cost.p50 == pytest.approx(model)
    assert found.net.p50 - net.p50 == pytest.approx(model)
    assert project(CERTAIN).changed is None


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({**TOY, "magic": exactly(1)}, "not known: magic"),
        ({name: of for name, of in TOY.items() if name != "on_call"}, "missing: on_call"),
        ({name: of for name, of in TOY.items() if name != "minutes_today"}, "missing: minutes_today"),
    ],
)
def test_an_input_that_is_missing_or_unknown_is_named(inputs: dict[str, Range], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        project(inputs)


@pytest.mark.parametrize("wrong", [(2, 1, 3), (1, 3, 2), (1, float("nan"), 2)])
def test_a_range_ascends(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="do not ascend"):
        Range(*wrong)


amounts = st.floats(0, 1e4).map(lambda value: round(value, 3))
ranges = st.lists(amounts, min_size=3, max_size=3).map(lambda three: Range(*sorted(three)))


@given(ranges)
@settings(max_examples=50, deadline=None)
def test_a_pert_stays_within_its_ends_and_has_its_mean(of: Range) -> None:
    """Malcolm et al. (1959): the mean is (low + 4 likely + high) / 6."""
    found = draw("any", of)
    width = of.high - of.low
    assert len(found) == DRAWS
    assert found.min() >= of.low - 1e-9 * width
    assert found.max() <= of.high + 1e-9 * width
    assert found.mean() == pytest.approx((of.low + 4 * of.likely + of.high) / 6, abs=0.01 * width + 1e-9)


@given(st.sampled_from(sorted(TOY)), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_the_spread_is_in_order_and_the_sum_is_whole(name: str, low: float, high: float) -> None:
    of = TOY[name]
    moved = Range(of.low * (1 - low), of.likely, of.high * (1 + high) if name != "reviewed_share" else of.high)
    found = project({**TOY, name: moved}, price_change=1)
    for spread in (found.cost, found.fixed, found.variable, found.today, found.net, found.break_even):
        assert spread.p10 <= spread.p50 <= spread.p90
    assert 0 <= found.people <= 1
    assert found.changed == (found.cost, found.net)


@given(st.floats(0.01, 100))
@settings(max_examples=20, deadline=None)
def test_another_currency_changes_amounts_alone(rate: float) -> None:
    money = ("cost_of_hour", "price_per_million_tokens", *FIXED)

    def exchanged(of: Range) -> Range:
        return Range(of.low * rate, of.likely * rate, of.high * rate)

    ours = project(TOY)
    theirs = project({name: exchanged(of) if name in money else of for name, of in TOY.items()})
    assert theirs.net.p50 == pytest.approx(ours.net.p50 * rate)
    assert theirs.break_even.p50 == pytest.approx(ours.break_even.p50)
    assert (theirs.people, theirs.chance) == (pytest.approx(ours.people), pytest.approx(ours.chance))
    assert [driver.name for driver in theirs.drivers] == [driver.name for driver in ours.drivers]


def test_a_doubt_that_is_left_out_narrows_the_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The draws are what makes the spread: with each at its most likely value, nothing of it is left."""
    assert project(TOY).net.p10 < project(TOY).net.p90

    def likely(name: str, of: Range) -> Any:
        return np.full(DRAWS, of.likely)

    monkeypatch.setattr(projection, "draw", likely)
    assert project(TOY).net.p10 == project(TOY).net.p90
