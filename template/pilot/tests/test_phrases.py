"""What a sponsor reads: the facts of the papers without the words of the trade."""

from __future__ import annotations

import pytest

from pilot.charter import Charter
from pilot.workbench import phrases
from pilot.workbench.documents.gaps import Gap
from pilot.workbench.documents.interviews import Summary


@pytest.mark.parametrize(
    ("metric", "direction", "value", "said"),
    [
        ("accuracy", "up", 0.85, "at least 85 of 100 items are decided by the AI as people decide them"),
        ("cycle_time", "down", 9, "at most 9 hours from an item's arrival to its final outcome"),
        ("manual_touches", "down", 1.5, "at most 1.5 actions of people for each item"),
        ("cost_per_item", "down", 2, "at most 2 EUR for each item, people's time included"),
    ],
)
def test_a_target_is_a_sentence(metric: str, direction: str, value: float, said: str) -> None:
    facts = {"metric": metric, "direction": direction, "target": value, "currency": "EUR", "judged_items": 300}
    charter = Charter.model_validate({**facts, "population": "all tickets", "window": "weeks 2 to 6"})
    end = ", of “all tickets”, during “weeks 2 to 6”, judged by people for 300 items or more"
    assert phrases.charter_target(charter) == said + end


def test_what_is_not_named_is_said_to_be_so() -> None:
    assert phrases.charter_target(Charter()) == "not named yet"
    assert phrases.budget(Charter()) == "not named"
    assert phrases.budget(Charter(budget="the board decides in May")) == "the board decides in May"
    assert phrases.budget(Charter(budget=40000, currency="EUR")) == "40,000 EUR"


@pytest.mark.parametrize(
    ("value", "said"),
    [(6183.4, "6,180"), (-6183.4, "-6,180"), (1234567, "1,230,000"), (99.994, "99.99"), (0, "0.00"), (100, "100")],
)
def test_amounts_say_no_more_than_is_known(value: float, said: str) -> None:
    assert phrases.money(value) == said


@pytest.mark.parametrize(
    ("helped", "again", "said"),
    [
        ((0, 0, 0), 0, "No user was heard"),
        ((1, 0, 0), 1, "1 user was heard: it helped 1; 1 would use it again"),
        ((2, 1, 1), 3, "4 users were heard: it helped 2, partly helped 1, did not help 1; 3 would use it again"),
    ],
)
def test_what_users_said_is_a_sentence(helped: tuple[int, int, int], again: int, said: str) -> None:
    counts = dict(zip(("yes", "partly", "no"), helped, strict=True))
    assert phrases.users(Summary(sum(helped), counts, {"yes": again, "no": sum(helped) - again}, ())) == said


@pytest.mark.parametrize(
    ("severity", "owner", "said"),
    [
        ("major", "Tom Reed", "No backup (who fixes it: Tom Reed)."),
        ("blocker", "", "No backup (nobody fixes it yet; blocks production)."),
    ],
)
def test_a_gap_names_who_mends_it(severity: str, owner: str, said: str) -> None:
    assert phrases.gap(Gap("No backup.", "failover", severity, 3, owner, True, None, "", 2)) == said


def test_a_reason_ends_and_days_are_counted() -> None:
    assert [phrases.ended(reason) for reason in ("it pays", "it pays.", "why not? ")] == [
        "it pays.",
        "it pays.",
        "why not? ",
    ]
    assert (phrases.days(1), phrases.days(2)) == ("1 day", "2 days")


@pytest.mark.parametrize(
    ("metric", "value", "reach", "said"),
    [
        ("cycle_time", 0.0113, 0.0012, "41 s"),
        ("cycle_time", 0.0113, None, "40.7 s"),
        ("cycle_time", 0.5, 0.02, "30.0 min"),
        ("cycle_time", 1, None, "1 hour"),
        ("cycle_time", 2.3456, 0.3, "2.3 hours"),
        ("cycle_time", 130, 20, "5.4 days"),
        ("accuracy", 0.85123, 0.04, "85 of 100 items"),
        ("accuracy", 0.85123, 0.004, "85.1 of 100 items"),
        ("manual_touches", 1.2345, 0.07, "1.23 actions"),
        ("manual_touches", 1, None, "1 action"),
        ("cost_per_item", 12345.678, 900, "12,300 EUR"),
        ("cost_per_item", 0.66666, 0.02, "0.67 EUR"),
        ("cost_per_item", -0.001, 0.02, "0 EUR"),
        ("cycle_time", None, None, "unknown"),
    ],
)
def test_an_amount_is_in_the_unit_that_people_use_with_the_digits_that_are_known(
    metric: str, value: float | None, reach: float | None, said: str
) -> None:
    assert phrases.amount(metric, value, "EUR", reach) == said
