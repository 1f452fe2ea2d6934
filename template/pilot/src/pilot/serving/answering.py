"""Asking the model and the rules, and committing what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from pilot.contract import Answer, Failure, LocalModel, Model, RemoteModel, Team, labels
from pilot.records.database import now
from pilot.records.writer import AnswerRecord, Record
from pilot.serving import predicting
from pilot.serving.batching import Batcher, Stuck
from pilot.serving.committing import Committer
from pilot.serving.fallback import respond
from pilot.serving.telemetry import Metrics
from pilot.settings import Settings

log = structlog.get_logger("pilot.answering")
# A remote model keeps the deadline itself; one that does not is cut off so many seconds later.
GRACE = 1.0


@dataclass(frozen=True, slots=True)
class _Question:
    """A record to be answered in this process, and what the committer does with it then: `record` or `answer`."""

    order: str
    record: Record
    ask_model: bool


class Answering:
    """The model and the rules of one process. Whatever they do, the record gets an answer of each, or its failure."""

    def __init__(
        self, team: Team, settings: Settings, model: Model, committer: Committer, metrics: Metrics, audit_share: float
    ) -> None:
        self._model, self._rules = model, team.rules()
        self._prediction = team.prediction
        self._committer, self._metrics = committer, metrics
        self._deadline, self._threshold, self._audit_share = settings.model_deadline, settings.threshold, audit_share
        self._config = predicting.config_hash(settings)
        # Predicts a batch and commits it in one thread: each hand-over costs a lone request more than its prediction.
        self._local: Batcher[_Question, Any] = Batcher(
            "model", self._predict, settings.max_batch, self._deadline, self._settle
        )
        # The rules alone: beside a remote model, and while a local one keeps its thread busy.
        self._by_rules: Batcher[_Question, list[AnswerRecord]] = Batcher(
            "rules", self._predict, settings.max_batch, self._deadline
        )

    def close(self) -> None:
        """Lets the threads finish; one that hangs is left behind."""
        self._local.close(patience=1.0)
        self._by_rules.close(patience=1.0)

    async def locally(self, order: str, record: Record, *, ask_model: bool) -> Any:
        """Asks the local model, or the rules alone, and commits. `order` is the committer's method, whose result is
        given."""
        question, begun = _Question(order, record, ask_model), now()
        try:
            return await self._local.submit(question)
        except (TimeoutError, Stuck) as error:
            reason = _reason(error)
            log.warning("model_failed", reason=reason.value)
        failed = [self._made("primary", Answer.failed(reason), begun)] if ask_model else []
        self._take(record, [*failed, *await self._rules_alone(record, begun)])
        return await (self._committer.record(record) if order == "record" else self._committer.answer(record))

    def begin(self, record: Record) -> None:
        """Notes in the record that a remote model is asked now; to be committed before the call."""
        record.answers = [self._made("primary", None, now())]

    async def remotely(self, model: RemoteModel, record: Record) -> None:
        """Asks the remote model that was begun, and the rules beside it. The record is then to be committed."""
        begun = record.answers[0].begun_at
        rules, answer = await asyncio.gather(
            self._rules_alone(record, begun),
            predicting.predict_one(model, record.item, self._prediction, self._deadline + GRACE),
        )
        record.answers = []
        self._take(record, [self._made("primary", answer, begun), *rules])

    def interrupted(self, record: Record) -> None:
        """Gives up on a call that a process began and did not end: it is not repeated, so nothing is charged twice."""
        record.answers = [self._made("primary", Answer.failed(Failure.INTERRUPTED), record.received_at)]

    async def _rules_alone(self, record: Record, begun: datetime) -> list[AnswerRecord]:
        try:
            return await self._by_rules.submit(_Question("", record, ask_model=False))
        except (TimeoutError, Stuck) as error:
            return [self._made("rules", Answer.failed(_reason(error)), begun)]

    def _predict(self, batch: list[_Question]) -> list[list[AnswerRecord]]:
        """In a worker's thread: the local model for those who ask it, and the rules for all."""
        asking = [n for n, question in enumerate(batch) if question.ask_model]
        answered: list[list[AnswerRecord]] = [[] for _ in batch]
        self._metrics.batch.observe(len(batch))
        for role, places in (("primary", asking), ("rules", range(len(batch)))):
            model = self._model if role == "primary" else self._rules
            if not places or not isinstance(model, LocalModel):
                continue
            begun = now()
            answers = predicting.predict(model, [batch[n].record.item for n in places], self._prediction)
            if role == "rules":
                answers = predicting.within(answers, labels(self._model), self._prediction)
            for n, answer in zip(places, answers, strict=True):
                answered[n].append(self._made(role, answer, begun))
        return answered

    def _settle(self, batch: list[_Question], made: Sequence[list[AnswerRecord]]) -> list[Any]:
        """In the model's thread: responds to a batch that came in time, and commits it."""
        for question, answers in zip(batch, made, strict=True):
            self._take(question.record, answers)
        return self._committer.commit([(question.order, question.record) for question in batch])

    def _take(self, record: Record, made: list[AnswerRecord]) -> None:
        record.answers = [*record.answers, *made]
        if record.response is None:
            by_role = {one.role: one for one in record.answers}
            respond(record, by_role.get("primary"), by_role["rules"], self._threshold, self._audit_share)

    def _made(self, role: str, answer: Answer | None, begun: datetime) -> AnswerRecord:
        version = self._model.version if role == "primary" else self._rules.version
        source = "model" if role == "primary" else "process"
        return AnswerRecord(role, source, answer, version, self._config, begun, None if answer is None else now())


def _reason(error: Exception) -> Failure:
    return Failure.TIMEOUT if isinstance(error, TimeoutError) else Failure.BUSY
