"""Calling the model and the rules so that whatever they do becomes an answer or a failure with a reason."""

from __future__ import annotations

import asyncio
import hashlib
import math
import traceback
from collections.abc import Sequence
from typing import Any

import structlog

from pilot.contract import (
    Answer,
    Failure,
    LocalModel,
    Model,
    ModelUnavailable,
    PilotError,
    Prediction,
    RemoteModel,
    Team,
)
from pilot.settings import Settings

log = structlog.get_logger("pilot.predicting")


class NoModel:
    """Stands where a model could not be loaded: every item goes to people."""

    version = "none"

    def __init__(self, why: str) -> None:
        self.why = why

    def predict(self, items: Sequence[Any]) -> list[Answer]:
        """A failure for each item."""
        return [Answer.failed(Failure.UNAVAILABLE)] * len(items)


def load_model(team: Team, settings: Settings) -> Model:
    """The team's model, or `NoModel` where there is none to load.

    Raises PilotError when the team's loader fails in any other way.
    """
    try:
        return team.model(settings)
    except ModelUnavailable as error:
        return NoModel(str(error))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise PilotError(
            f"The model does not load: {type(error).__name__} in {place.filename}, line {place.lineno}. Mend that "
            "code, or let it raise ModelUnavailable where people shall decide until there is a model."
        ) from error


def config_hash(settings: Settings) -> str:
    """A short hash of the settings that shape an answer."""
    names = ("threshold", "model_deadline", "llm_model", "llm_base_url", "llm_retries")
    parts = repr([(name, getattr(settings, name)) for name in names])
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def predict(model: LocalModel, items: Sequence[Any], kind: type[Prediction]) -> list[Answer]:
    """As many answers as items. When a batch fails it is tried item by item, so that one bad item fails alone."""
    try:
        answers = list(model.predict(items))
        if len(answers) != len(items):
            log.warning("model_output_refused", reason="wrong_number", count=len(answers))
            return [Answer.failed(Failure.INVALID_OUTPUT)] * len(items)
        return [checked(answer, kind) for answer in answers]
    except (Exception, SystemExit) as error:
        if len(items) > 1:
            return [predict(model, [item], kind)[0] for item in items]
        log.warning("model_failed", exc_info=error)
        return [Answer.failed(Failure.ERROR)]


def within(answers: list[Answer], known: tuple[str, ...], kind: type[Prediction]) -> list[Answer]:
    """The rules' answers, as abstentions where they name a label that the model of today does not know."""
    fields = list(kind.model_fields)
    if not known or len(fields) != 1:
        return answers
    return [
        Answer.failed(Failure.ABSTAINED)
        if answer.prediction is not None and getattr(answer.prediction, fields[0]) not in known
        else answer
        for answer in answers
    ]


async def predict_one(model: RemoteModel, item: Any, kind: type[Prediction], deadline: float) -> Answer:
    """The remote model's answer, or its failure; after `deadline` seconds, a timeout."""
    try:
        async with asyncio.timeout(deadline):
            return checked(await model.predict_one(item), kind)
    except TimeoutError:
        return Answer.failed(Failure.TIMEOUT)
    except (Exception, SystemExit) as error:
        log.warning("model_failed", exc_info=error)
        return Answer.failed(Failure.ERROR)


def checked(answer: Any, kind: type[Prediction]) -> Answer:
    """The answer, if it is one: the team's prediction, the same when it is read back, with a confidence in [0, 1]; or a
    failure with a reason of the list, since reasons become labels of metrics."""
    if not isinstance(answer, Answer):
        return Answer.failed(Failure.INVALID_OUTPUT)
    confidence, cost = _number(answer.confidence, 1), _number(answer.cost, math.inf)
    tokens = answer.tokens if isinstance(answer.tokens, int) and 0 <= answer.tokens < 2**31 else None
    paid = (cost, tokens) == (answer.cost, answer.tokens)
    whole = (answer.prediction is None) != (answer.failure is None)
    if not whole or not paid or confidence != answer.confidence or not _readable(answer.prediction, kind):
        return Answer.failed(Failure.INVALID_OUTPUT, cost=cost, tokens=tokens)
    reason = None if answer.failure is None else answer.failure if answer.failure in set(Failure) else Failure.ERROR
    return Answer(answer.prediction, confidence, cost, tokens, None if reason is None else str(reason))


def _number(value: Any, most: float) -> float | None:
    """The value as a plain number, none where it is none, not finite, negative or above `most`."""
    return float(value) if value is not None and math.isfinite(value) and 0 <= value <= most else None


def _readable(prediction: Any, kind: type[Prediction]) -> bool:
    if prediction is None:
        return True
    try:
        return isinstance(prediction, kind) and kind.model_validate_json(prediction.model_dump_json()) == prediction
    except ValueError:
        return False
