"""Predicting: whatever a model does becomes an answer or a failure with a reason of the list."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import AppMaker
from example_team import _GARBAGE, Calls, Item, Local, Prediction, Remote, make_team

from pilot.contract import Answer, Failure, ModelUnavailable, PilotError, Team
from pilot.records.database import now
from pilot.records.tables import answers
from pilot.serving import inference
from pilot.settings import load_settings

GOOD = Answer(Prediction(label="refund"), 0.5, 0.25, 7)


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls(tmp_path / "calls")


def test_a_good_answer_passes_unchanged() -> None:
    assert inference.checked(GOOD, Prediction) == GOOD
    limited = Answer.failed(Failure.RATE_LIMITED, cost=0.5, tokens=3)
    assert inference.checked(limited, Prediction) == limited


@pytest.mark.parametrize("answer", _GARBAGE)
def test_garbage_is_invalid_output(answer: Any) -> None:
    assert inference.checked(answer, Prediction).failure == "invalid_output"


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_clock_that_jumps_leaves_the_durations_of_answers_right(
    jump: timedelta, make_app: AppMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app("right", "assist")
    clock = {"jumped": timedelta()}
    monkeypatch.setattr(inference, "now", lambda: now() + clock["jumped"])
    right = app.model.predict

    def predict(items: Any) -> Any:
        clock["jumped"] += jump
        return right(items)

    monkeypatch.setattr(app.model, "predict", predict)
    assert app.post("money").json()["source"] == "model"
    took = [(row.ended_at - row.begun_at).total_seconds() for row in app.rows(answers)]
    assert len(took) == 2
    assert all(0 <= seconds < 60 for seconds in took)


def test_invalid_output_keeps_what_it_cost() -> None:
    found = inference.checked(Answer(cost=0.5, tokens=3), Prediction)
    assert (found.failure, found.cost, found.tokens) == ("invalid_output", 0.5, 3)


def test_a_reason_that_is_not_of_the_list_is_an_error() -> None:
    assert inference.checked(Answer(failure="Jane Canary"), Prediction).failure == "error"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_answers_is_nobodys(count: int) -> None:
    class Miscounting:
        version = "1"

        def predict(self, items: Any) -> list[Answer]:
            return [GOOD] * count

    found = inference.predict(Miscounting(), [Item(text="a"), Item(text="b")], Prediction)
    assert [one.failure for one in found] == ["invalid_output"] * 2


def test_a_failed_batch_is_tried_item_by_item(calls: Calls) -> None:
    texts = ["a", "poison", "b"]
    found = inference.predict(Local("poisoned", calls), [Item(text=text) for text in texts], Prediction)
    assert [one.failure for one in found] == [None, "error", None]
    assert calls.all() == [*texts, *texts]


def test_a_model_that_exits_does_not_end_the_service() -> None:
    class Exiting:
        version = "1"

        def predict(self, items: Any) -> list[Answer]:
            raise SystemExit(3)

        async def predict_one(self, item: Any) -> Answer:
            raise SystemExit(3)

    assert inference.predict(Exiting(), [Item(text="a")], Prediction)[0].failure == "error"
    assert asyncio.run(inference.predict_one(Exiting(), Item(text="a"), Prediction, 5)).failure == "error"


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [("right", None), ("dead", "error"), ("garbage", "invalid_output"), ("hanging", "timeout")],
)
def test_a_remote_model_answers_or_fails_within_the_deadline(behaviour: str, failure: str | None, calls: Calls) -> None:
    deadline = 0.1 if behaviour == "hanging" else 30
    answer = asyncio.run(inference.predict_one(Remote(behaviour, calls), Item(text="a"), Prediction, deadline))
    assert answer.failure == failure


def test_without_a_model_every_item_goes_to_people(tmp_path: Path) -> None:
    def missing(_: Any) -> Any:
        raise ModelUnavailable("train one")

    team = Team(Item, Prediction, missing, lambda: Local("right", Calls(tmp_path)))
    model = inference.load_model(team, load_settings(root=tmp_path))
    assert isinstance(model, inference.NoModel)
    assert model.why == "train one"
    assert [one.failure for one in model.predict([1, 2])] == ["unavailable"] * 2


def test_rules_abstain_from_labels_that_the_model_does_not_know() -> None:
    found = inference.within([GOOD, Answer(Prediction(label="x"))], ("refund",), Prediction)
    assert [one.failure for one in found] == [None, "abstained"]
    assert inference.within([GOOD], (), Prediction) == [GOOD]


def test_the_hash_follows_the_settings_that_shape_answers(tmp_path: Path) -> None:
    one, same, other = (load_settings(root=tmp_path, **c) for c in ({}, {"port": 9}, {"threshold": 0.5}))
    assert inference.config_hash(one) == inference.config_hash(same) != inference.config_hash(other)


def test_a_loader_that_fails_is_a_message_that_names_the_place(tmp_path: Path) -> None:
    def load(_: Any) -> Any:
        raise KeyError("secret content")

    team = dataclasses.replace(make_team("right", tmp_path / "calls"), model=load)
    with pytest.raises(PilotError, match=rf"KeyError in {re.escape(__file__)}, line \d+") as caught:
        inference.load_model(team, load_settings(root=tmp_path))
    assert "secret content" not in str(caught.value)
