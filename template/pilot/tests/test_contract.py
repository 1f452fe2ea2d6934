"""What the team's code offers, and what is said when it does not."""

from __future__ import annotations

from decimal import Decimal
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from example_team import Calls, Item, Local, Prediction, Remote, Rules
from pydantic import BaseModel, ValidationError

import pilot
from pilot import contract
from pilot.contract import LocalModel, PilotError


def _offer(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    entries = [EntryPoint(name, value, "pilot") for name, value in values.items()]
    monkeypatch.setattr(contract, "entry_points", lambda group: entries if group == "pilot" else [])


WHOLE = {
    "item": "example_team:Item",
    "prediction": "example_team:Prediction",
    "model": "example_team:make_team",
    "rules": "example_team:Rules",
}


def test_a_team_is_what_its_entry_points_name(monkeypatch: pytest.MonkeyPatch) -> None:
    _offer(monkeypatch, **WHOLE)
    team = contract.load_team()
    assert (team.item.__name__, team.rules.__name__, team.train) == ("Item", "Rules", None)


def test_missing_entry_points_are_named_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _offer(monkeypatch, item=WHOLE["item"])
    with pytest.raises(PilotError, match="for: model, prediction, rules"):
        contract.load_team()


@pytest.mark.parametrize("value", ["nowhere:x", "example_team:nothing", "example_team:Item.x"])
def test_an_entry_point_that_does_not_load_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _offer(monkeypatch, **{**WHOLE, "model": value})
    with pytest.raises(PilotError, match="'model'"):
        contract.load_team()


def test_a_model_is_local_or_remote_by_what_it_offers(tmp_path: Path) -> None:
    local, remote = Local("right", Calls(tmp_path)), Remote("right", Calls(tmp_path))
    assert (contract.is_remote(local), contract.is_remote(remote)) == (False, True)
    assert isinstance(Rules(), LocalModel)
    assert contract.labels(local) == ("refund", "other", "by-rule")
    assert contract.labels(remote) == ()


def test_an_item_refuses_fields_that_it_does_not_name() -> None:
    with pytest.raises(ValidationError):
        Item(text="a", mode="auto")  # type: ignore[call-arg]


class Position(BaseModel):
    price: float


class Invoice(contract.Prediction):
    total: float | None = None
    tax: Decimal = Decimal(0)
    positions: tuple[Position, ...] = ()


@pytest.mark.parametrize(
    "given",
    [
        '{"total": Infinity}',
        '{"total": 1e999}',
        '{"total": NaN}',
        '{"tax": "Infinity"}',
        '{"positions": [{"price": 1}, {"price": -Infinity}]}',
    ],
)
def test_a_number_that_json_cannot_hold_is_refused_at_any_depth(given: str) -> None:
    with pytest.raises(ValidationError):
        Invoice.model_validate_json(given)


def test_every_other_number_is_read_again_as_it_was_recorded() -> None:
    made = Invoice(total=-0.5, tax=Decimal("1.10"), positions=(Position(price=1e308),))
    assert Invoice.model_validate_json(made.model_dump_json()) == made


def test_a_prediction_agrees_with_its_equal_unless_the_team_says_otherwise() -> None:
    class Close(pilot.Prediction):
        label: str

        def agrees(self, final: Any) -> bool:
            return self.label.lower() == final.label.lower()

    assert Prediction(label="a").agrees(Prediction(label="a"))
    assert not Prediction(label="a").agrees(Prediction(label="A"))
    assert Close(label="a").agrees(Close(label="A"))


def test_a_column_fills_the_one_required_field() -> None:
    class Two(pilot.Item):
        one: str
        two: str
        three: str = ""

    assert contract.only_field(Item) == "text"
    with pytest.raises(PilotError, match=r"2 required fields \(one, two\)"):
        contract.only_field(Two)
