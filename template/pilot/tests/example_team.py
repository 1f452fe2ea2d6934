"""A team for the tests: a text comes in, a label goes out, and models that behave well or badly."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

import pilot
from pilot.contract import Answer, Failure, ModelUnavailable, Team


class Item(pilot.Item):
    text: str = Field(min_length=1, max_length=10_000)


class Prediction(pilot.Prediction):
    label: str = Field(min_length=1, max_length=200)


def truth(item: Item) -> str:
    """The right label."""
    return "refund" if "money" in item.text else "other"


class Rules:
    """Today's process."""

    version = "rules-1"

    def predict(self, items: Sequence[Item]) -> list[Answer]:
        return [Answer(Prediction(label="by-rule"), confidence=1.0) for _ in items]


class Calls:
    """What a model was asked, by the text of the item, in a file that outlives a killed process."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def note(self, item: Item) -> None:
        handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, (item.text.replace("\n", " ") + "\n").encode())
        os.close(handle)

    def all(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []


class Local:
    """A model in this process that is right, or has the fault that `behaviour` names."""

    version = "local-1"
    labels = ("refund", "other", "by-rule")

    def __init__(self, behaviour: str, calls: Calls) -> None:
        self.behaviour, self.calls = behaviour, calls
        self.seconds = 0.0
        self.confidence = 0.9
        self.release = threading.Event()
        self.begun = threading.Event()
        self.ended: list[float] = []

    def predict(self, items: Sequence[Item]) -> Any:
        for item in items:
            self.calls.note(item)
        self.begun.set()
        time.sleep(self.seconds)
        if self.behaviour == "hanging":
            self.release.wait()
        if self.behaviour == "dead":
            raise RuntimeError(f"cannot read {items[0].text}")
        self.ended.append(time.monotonic())
        return [self.answer(item) for item in items]

    def answer(self, item: Item) -> Any:
        if self.behaviour == "garbage":
            return _GARBAGE[len(item.text) % len(_GARBAGE)]
        if self.behaviour == "poisoned" and "poison" in item.text:
            raise RuntimeError(f"cannot read {item.text}")
        label = truth(item) if self.behaviour != "wrong" else "nonsense"
        return Answer(Prediction(label=label), confidence=self.confidence, trained=False)


_GARBAGE: list[Any] = [
    None,
    "refund",
    Answer(),
    Answer(Prediction(label="x"), confidence=float("nan")),
    Answer(Prediction(label="x"), confidence=7.0),
    Answer(Prediction(label="x"), failure="error"),
    Answer({"label": "x"}),  # type: ignore[arg-type]
    Answer(Prediction.model_construct(label=None)),
    Answer(Prediction.model_construct(label="\ud800")),
    Answer(Prediction(label="x"), cost=float("inf")),
    Answer(Prediction(label="x"), tokens=-1),
]


class Remote:
    """A model behind a pretended API."""

    version = "remote-1"

    def __init__(self, behaviour: str, calls: Calls) -> None:
        self.behaviour, self.calls = behaviour, calls
        self.seconds = 0.0
        self.confidence: float | None = 0.9
        self.running = 0
        self.most = 0

    async def predict_one(self, item: Item) -> Any:
        self.calls.note(item)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds)
            if self.behaviour == "hanging":
                await asyncio.Event().wait()
        finally:
            self.running -= 1
        if self.behaviour == "dead":
            raise RuntimeError(f"cannot read {item.text}")
        if self.behaviour == "limited":
            return Answer.failed(Failure.RATE_LIMITED, cost=0.25, tokens=10)
        if self.behaviour == "garbage":
            return _GARBAGE[len(item.text) % len(_GARBAGE)]
        return Answer(Prediction(label=truth(item)), confidence=self.confidence, cost=0.5, tokens=100)


def make_team(behaviour: str = "right", calls: Path = Path("calls"), **attributes: Any) -> Team:
    """A team whose model is local, `remote` or `remote-BEHAVIOUR`, or `none`; its attributes may be changed."""
    kind = Remote if behaviour.startswith("remote") else Local
    model: Any = kind(behaviour.removeprefix("remote").removeprefix("-") or "right", Calls(calls))
    for name, value in attributes.items():
        setattr(model, name, value)

    def load(_: Any) -> Any:
        if behaviour == "none":
            raise ModelUnavailable("No model was trained yet. Run `pilot model train`.")
        return model

    return Team(item=Item, prediction=Prediction, model=load, rules=Rules)
