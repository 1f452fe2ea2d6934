"""The team that each process of a replay loads."""

from __future__ import annotations

from typing import Any

from example_team import Item, Prediction, Rules

from pilot.contract import Team
from pilot.models.onnx import OnnxTextClassifier


def _text(item: Any) -> str:
    return str(item.text)


def _load(settings: Any) -> OnnxTextClassifier:
    return OnnxTextClassifier.load(settings, text=_text, prediction=lambda label: Prediction(label=label))


def team() -> Team:
    """A team whose model was trained, and nothing of which needs a test."""
    return Team(item=Item, prediction=Prediction, model=_load, rules=Rules)
