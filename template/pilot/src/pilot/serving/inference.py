"""Calling the model and the rules: whatever they do becomes an answer or a failure with a reason."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from numbers import Real
from typing import Any

import structlog
from sqlalchemy import Row

from pilot.contract import (
    Answer,
    Failure,
    Item,
    LocalModel,
    Model,
    ModelUnavailable,
    PilotError,
    Prediction,
    ProviderError,
    RemoteModel,
    Team,
    is_remote,
    labels,
)
from pilot.fields import fields_of, least
from pilot.records.database import now
from pilot.records.writer import AnswerRecord, Complete, Insert, Record
from pilot.serving.batching import Batcher, Stuck
from pilot.serving.breaker import Breaker
from pilot.serving.commits import Committer
from pilot.serving.metrics import Metrics
from pilot.serving.spending import Spending
from pilot.settings import Settings

log = structlog.get_logger("pilot.inference")


class NoModel:
    """Takes the place of a model that could not be loaded: every item goes to people."""

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
            f"The model does not load: {type(error).__name__} in {place.filename}, line {place.lineno}. Fix that "
            "code, or let it raise ModelUnavailable where people shall decide until there is a model."
        ) from error


def config_hash(settings: Settings) -> str:
    """A short hash of the settings that shape an answer."""
    names = ("threshold", "model_deadline", "llm_model", "llm_base_url", "llm_retries", "llm_temperature")
    parts = [(name, getattr(settings, name)) for name in names]
    if settings.thresholds:
        parts.append(("thresholds", sorted(settings.thresholds.items())))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def check_thresholds(settings: Settings, kind: type[Prediction]) -> None:
    """Raises PilotError where a threshold is set for a field that the Prediction does not have."""
    known = fields_of(kind)
    unknown = [name for name in settings.thresholds if name not in known]
    if unknown:
        raise PilotError(
            f"PILOT_THRESHOLDS names {', '.join(map(repr, unknown))}, and {kind.__name__} has {', '.join(known)}. "
            "Correct the name, or leave it out."
        )


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
    """The answer, if it is one: the team's prediction, the same when it is read back, with confidences in [0, 1]; or a
    failure with a reason of the list, since reasons become labels of metrics. A confidence that the model leaves to
    those of the fields is the least of theirs."""
    if not isinstance(answer, Answer):
        return Answer.failed(Failure.INVALID_OUTPUT)
    confidence, cost = _number(answer.confidence, 1), _number(answer.cost, math.inf)
    tokens = answer.tokens if isinstance(answer.tokens, int) and 0 <= answer.tokens < 2**31 else None
    paid = (cost, tokens) == (answer.cost, answer.tokens)
    whole = (answer.prediction is None) != (answer.failure is None)
    if not whole or not paid or confidence != answer.confidence or not _readable(answer.prediction, kind):
        return Answer.failed(Failure.INVALID_OUTPUT, cost=cost, tokens=tokens)
    reason = None if answer.failure is None else answer.failure if answer.failure in set(Failure) else Failure.ERROR
    trained = answer.trained if isinstance(answer.trained, bool) else None
    provider = answer.provider if isinstance(answer.provider, ProviderError) else None
    confidences = intervals = None
    if answer.intervals and reason is None:
        intervals = _of_numbers(answer.intervals, kind)
        if intervals is None:
            return Answer.failed(Failure.INVALID_OUTPUT, cost=cost, tokens=tokens)
    if answer.confidences and reason is None:
        confidences = _by_field(answer.confidences, kind)
        if confidences is None:
            return Answer.failed(Failure.INVALID_OUTPUT, cost=cost, tokens=tokens)
        if confidence is None:
            confidence = least(kind, confidences)
    told = reason and str(reason)
    return Answer(answer.prediction, confidence, cost, tokens, told, trained, provider, confidences, intervals)


def _by_field(given: Any, kind: type[Prediction]) -> dict[str, float] | None:
    """The confidences as plain numbers by the names of fields, or none where they are not that."""
    known = fields_of(kind)
    if not isinstance(given, Mapping) or not all(isinstance(one, Real) for one in given.values()):
        return None
    found = {name: number for name, one in given.items() if name in known and (number := _number(one, 1)) is not None}
    return found if len(found) == len(given) else None


def _of_numbers(given: Any, kind: type[Prediction]) -> dict[str, tuple[float, float]] | None:
    """The intervals by the names of numeric fields, each from its lower to its upper end, or none where they are not
    that."""
    numbers = {name for name, field in fields_of(kind).items() if field.number and not issubclass(field.kind, date)}
    try:
        found = {name: (float(low), float(high)) for name, (low, high) in given.items()}
    except (AttributeError, TypeError, ValueError):
        return None
    whole = all(math.isfinite(low) and math.isfinite(high) and low <= high for low, high in found.values())
    return found if whole and found.keys() <= numbers else None


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


Answers = tuple[AnswerRecord, ...]
# A remote model keeps the deadline itself; one that does not is cut off so many seconds later.
GRACE = 1.0


class Begun:
    """When an answer was begun, by the clock, and how long ago that is, whatever happens to the clock meanwhile."""

    def __init__(self, at: datetime | None = None) -> None:
        self.at, self._ticks = at or now(), time.monotonic()

    def ended(self) -> datetime:
        """The end, if that is now."""
        return self.at + timedelta(seconds=time.monotonic() - self._ticks)


@dataclass(frozen=True, slots=True)
class _Question:
    """An item to be answered in this process, and the change that its answers make."""

    item: Item
    ask_model: bool
    change: Callable[[Answers], Insert | Complete]


class Inference:
    """The model and the rules of one process. Whatever they do, an item gets an answer of each, or its failure."""

    def __init__(
        self,
        team: Team,
        settings: Settings,
        model: Model,
        committer: Committer,
        metrics: Metrics,
        spending: Spending | None = None,
    ) -> None:
        # Another one may take its place at any time: whoever asks it names that same one in the record.
        self.model, self._rules = model, team.rules()
        self._prediction = team.prediction
        self._committer, self._metrics = committer, metrics
        self._spending, self.breaker = spending or Spending(None, None), Breaker()
        self._deadline = settings.model_deadline
        self._config = config_hash(settings)
        # How long the last calls of a remote model took, in seconds.
        self._called = 0.0
        # Predicts a batch and commits it in one thread: each hand-over costs a lone request more than its prediction.
        self._local: Batcher[_Question, Any] = Batcher(
            "model", self._predict, settings.max_batch, self._deadline, self._commit
        )
        # The rules alone: beside a remote model, and while a local one keeps its thread busy.
        self._by_rules: Batcher[Item, AnswerRecord] = Batcher("rules", self._rule, settings.max_batch, self._deadline)

    def expected_wait(self, waiting: int, calls: int) -> float:
        """The seconds until the model is asked for whoever comes now, where so many wait already and a remote model
        gets so many calls at once."""
        if is_remote(self.model):
            return max(0, waiting - calls) / calls * self._called
        return self._local.expected_wait

    def close(self) -> None:
        """Lets the threads finish; one that hangs is left behind."""
        self._local.close(patience=1.0)
        self._by_rules.close(patience=1.0)

    async def local(
        self, item: Item, change: Callable[[Answers], Insert | Complete], *, ask_model: bool
    ) -> tuple[Insert | Complete, Row[Any] | bool | None]:
        """Asks the local model and the rules, or the rules alone, and commits the change that the answers make.

        Returns that change, and what the committer returned for it.
        """
        begun = Begun()
        try:
            committed: tuple[Insert | Complete, Any] = await self._local.submit(_Question(item, ask_model, change))
            return committed
        except (TimeoutError, Stuck) as error:
            reason = _reason(error)
            log.warning("model_failed", reason=reason.value)
        failed = (self._made("primary", Answer.failed(reason), begun),) if ask_model else ()
        made = change((*failed, await self._rules_alone(item, begun)))
        return made, await self._committer.submit(made)

    async def remote(self, model: RemoteModel, record: Record, attempt: AnswerRecord) -> Answers:
        """The answers of the remote model, for an attempt that was committed, and of the rules beside it."""
        begun = Begun(attempt.begun_at)
        rule, answer = await asyncio.gather(
            self._rules_alone(record.item, begun), self._call(model, record.item, record.caller)
        )
        if (error := answer.provider) is not None:
            self._metrics.provider_failed(error)
            told = {"status": error.status, "code": error.code, "provider_request": error.request_id}
            log.warning("provider_failed", reason=answer.failure, **told)
        return self._made("primary", answer, begun, model), rule

    async def _call(self, model: RemoteModel, item: Item, caller: str) -> Answer:
        """The remote model's answer, or why it was not called: its cost for today is used up, or it fails anyway."""
        if not self._spending.allows(caller):
            return Answer.failed(Failure.CEILING)
        if not self.breaker.admits():
            return Answer.failed(Failure.UNAVAILABLE)
        answer: Answer | None = None
        begun = time.monotonic()
        try:
            with self._spending.call(caller):
                answer = await predict_one(model, item, self._prediction, self._deadline + GRACE)
        finally:
            self.breaker.ended(answer.failure if answer else None, cut_off=answer is None)
        self._called = (self._called + time.monotonic() - begun) / 2
        self._spending.add(caller, answer.cost or 0.0)
        return answer

    def attempt(self) -> AnswerRecord:
        """The answer of a remote model as it begins."""
        return self._made("primary", None, Begun())

    def interrupted(self, begun: datetime) -> AnswerRecord:
        """The answer of a call that a process began and did not end. No call is repeated, so none is charged twice."""
        record = self._made("primary", Answer.failed(Failure.INTERRUPTED), Begun(begun))
        return replace(record, ended_at=max(begun, now()))

    async def _rules_alone(self, item: Item, begun: Begun) -> AnswerRecord:
        try:
            return await self._by_rules.submit(item)
        except (TimeoutError, Stuck) as error:
            return self._made("rules", Answer.failed(_reason(error)), begun)

    def _predict(self, batch: list[_Question]) -> list[Answers]:
        """In the model's thread: the local model for those who ask it, and the rules for all."""
        asking = [question.item for question in batch if question.ask_model]
        begun, answers, model = Begun(), [], self.model
        if asking and isinstance(model, LocalModel):
            answers = predict(model, asking, self._prediction)
        primary = iter([self._made("primary", answer, begun, model) for answer in answers])
        rules = self._rule([question.item for question in batch])
        return [
            (next(primary), rule) if question.ask_model else (rule,)
            for question, rule in zip(batch, rules, strict=True)
        ]

    def _rule(self, items: list[Item]) -> list[AnswerRecord]:
        """In a worker's thread: the rules' answers to a batch."""
        self._metrics.batch.observe(len(items))
        begun = Begun()
        answers = predict(self._rules, items, self._prediction)
        return [self._made("rules", answer, begun) for answer in within(answers, labels(self.model), self._prediction)]

    def _commit(self, batch: list[_Question], answered: Sequence[Answers]) -> list[Any]:
        """In the model's thread: commits a batch that was answered in time."""
        changes = [question.change(answers) for question, answers in zip(batch, answered, strict=True)]
        return list(zip(changes, self._committer.commit(changes), strict=True))

    def _made(self, role: str, answer: Answer | None, begun: Begun, model: Model | None = None) -> AnswerRecord:
        version = (model or self.model).version if role == "primary" else self._rules.version
        source = "model" if role == "primary" else "process"
        ended = None if answer is None else begun.ended()
        return AnswerRecord(role, source, answer, version, self._config, begun.at, ended)


def _reason(error: Exception) -> Failure:
    return Failure.TIMEOUT if isinstance(error, TimeoutError) else Failure.BUSY
