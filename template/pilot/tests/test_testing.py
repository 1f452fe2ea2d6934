"""The contract suite passes on a team that keeps the contract, and each of its tests fails on one that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot.testing import TeamContract

pytest_plugins = ["pytester"]

TEAM = """
import pathlib
import pytest
from dataclasses import replace
from pydantic import Field
import pilot
from pilot.contract import Answer, Failure, ModelUnavailable, Team
from pilot.testing import TeamContract

class Item(pilot.Item):
    text: str = Field(min_length=1)

class Prediction(pilot.Prediction):
    label: str

class Rules:
    version = "rules-1"
    labels = ("refund", "other")
    def predict(self, items):
        return [self.answer(item) for item in items]
    def answer(self, item):
        if "money" in item.text:
            return Answer(Prediction(label="refund"))
        return Answer.failed(Failure.ABSTAINED)

class Model(Rules):
    version = "model-1"
    def answer(self, item):
        return Answer(Prediction(label="refund" if "money" in item.text else "other"), confidence=0.9)

TEAM = Team(item=Item, prediction=Prediction, model=lambda settings: Model(), rules=Rules)
{change}

class TestContract(TeamContract):
    @pytest.fixture(scope="class")
    @classmethod
    def team(cls):
        return TEAM

    @pytest.fixture(scope="class")
    @classmethod
    def examples_file(cls):
        return pathlib.Path({examples!r})
"""
EXAMPLES = "text,label\nwhere is my money,refund\nhello there,other\n"


def ran(pytester: pytest.Pytester, change: str = "", examples: str = EXAMPLES, only: str = "") -> dict[str, int]:
    file = pytester.path / "examples.csv"
    file.write_text(examples, encoding="utf-8")
    pytester.makepyfile(TEAM.replace("{change}", change).replace("{examples!r}", repr(str(file))))
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib -p no:cacheprovider")
    chosen = ["-k", only] if only else []
    return pytester.runpytest_inprocess("--quiet", *chosen).parseoutcomes()


def test_a_team_that_keeps_the_contract_passes_all_of_it(pytester: pytest.Pytester) -> None:
    found = ran(pytester)
    assert found["passed"] == len(BROKEN)
    assert not {"failed", "errors", "skipped"} & set(found)


def test_a_team_without_its_key_passes_what_needs_no_answer(pytester: pytest.Pytester) -> None:
    unavailable = "def load(settings):\n    raise ModelUnavailable('no key')\nTEAM = replace(TEAM, model=load)"
    found = ran(pytester, unavailable)
    assert (found["passed"], found["skipped"]) == (8, 3)
    assert not {"failed", "errors"} & set(found)


def test_a_remote_model_is_never_called(pytester: pytest.Pytester, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    remote = f"""
class Remote:
    version = "remote-1"
    async def predict_one(self, item):
        pathlib.Path({str(calls)!r}).touch()
        return Answer(Prediction(label="other"))
def load(settings):
    if settings.llm_api_key is None and settings.llm_model is None:
        raise ModelUnavailable("no key")
    return Remote()
TEAM = replace(TEAM, model=load)
"""
    assert not {"failed", "errors"} & set(ran(pytester, remote))
    assert not calls.exists()


BROKEN = {
    "items_and_predictions_survive_json": (
        "class Item(pilot.Item):\n    text: str = Field(serialization_alias='words')\n"
        "    model_config = {'serialize_by_alias': True}\n"
        "TEAM = replace(TEAM, item=Item)"
    ),
    "unknown_field": "class Item(pilot.Item, extra='ignore'):\n    text: str\nTEAM = replace(TEAM, item=Item)",
    "agrees_with_itself": "Prediction.agrees = lambda self, final: True",
    "the_model_loads": "Model.version = ''",
    "the_model_answers_every_example": "Model.predict = lambda self, items: [self.answer(items[0])]",
    "the_rules_answer_every_example": "Rules.answer = lambda self, item: Answer(confidence=2.0)",
    "alone_and_in_a_batch": (
        "Model.predict = lambda self, items: "
        "[Answer(Prediction(label='refund' if len(items) > 1 else 'other')) for item in items]"
    ),
    "odd_item": (
        "Rules.answer = lambda self, item: "
        "Answer(Prediction(label='other')) if ' ' in item.text else item.no_such_field"
    ),
    "labels_fit": "Model.labels = ('refund',)",
    "served_answer_is_recorded": "Prediction.agrees = lambda self, final: 1 / 0",
    "shadow_answer": ("def load(settings):\n    raise RuntimeError('no such file')\nTEAM = replace(TEAM, model=load)"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_point_is_seen(name: str, pytester: pytest.Pytester) -> None:
    found = ran(pytester, BROKEN[name], only=name)
    assert found.get("passed", 0) == 0
    assert found.get("failed", 0) + found.get("errors", 0) == 1


def test_a_row_that_breaks_the_schema_is_named(pytester: pytest.Pytester) -> None:
    found = ran(pytester, examples=EXAMPLES + ",other\n", only="survive_json")
    assert found == {"errors": 1, "deselected": len(BROKEN) - 1}


def test_every_test_of_the_suite_has_a_broken_team() -> None:
    names = [name for name in dir(TeamContract) if name.startswith("test_")]
    assert [sum(key in name for key in BROKEN) for name in names] == [1] * len(BROKEN)
