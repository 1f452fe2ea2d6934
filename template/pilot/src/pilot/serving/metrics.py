"""Metrics, and the middleware that adds request id, log line, counts and headers to each request."""

from __future__ import annotations

import math
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any, get_args

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilot.charter import Charter, Objectives
from pilot.contract import Failure, Prediction, ProviderError
from pilot.records.outcomes import Action, Flag, Outcome
from pilot.records.queries import KNOWN_ITEMS, knows
from pilot.records.writer import Complete, Insert
from pilot.serving import logging

log = structlog.get_logger("pilot.access")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


MOST_CODES = 30
MOST_LABELS = 200
# What alert rules read is there from the start, at zero: a counter that is born at 1 has not increased.
ROUTE = "/v1/predictions"
STATUSES = (200, 202, 400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503)
ACTIONS = (*get_args(Action), "none")
FLAGS = get_args(Flag)
# What became of a known item: its answer was right, wrong or failed, or it was not asked for.
KNOWN = ("right", "wrong", "failed", "off", "unaffordable")
WORKING_DAYS = 22


class Metrics:
    """What Prometheus reads. Labels are codes and versions, never ids or contents."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"pilot_{name}", what, labels, registry=registry)

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(f"pilot_{name}", what, labels, registry=registry)

        ProcessCollector(registry=registry)
        self.requests = counter("requests", "Requests.", "route", "method", "status")
        self.seconds = Histogram("pilot_request_seconds", "Time to the response.", ["route"], registry=registry)
        self.answers = counter("answers", "Items by status and reason, without known ones.", "status", "reason", "mode")
        self.model_answers = counter("model_answers", "Answers of the model, failures and known items included.")
        self.predicted = counter("predicted", "Answers of the model by label, without known and shadow items.", "label")
        self._labels: set[str] = set()
        self._answerable: frozenset[str] = frozenset()
        self.failures = counter("model_failures", "Answers that failed, those to known items included.", "reason")
        self.provider_errors = counter("provider_errors", "Errors of the provider.", "status", "code")
        self._codes: set[str] = set()
        self.model_seconds = Histogram("pilot_model_seconds", "Time that the model took.", registry=registry)
        self.confidence = Histogram(
            "pilot_confidence",
            "Confidence of answers, without those to known items.",
            buckets=[n / 10 for n in range(1, 11)],
            registry=registry,
        )
        self.batch = Histogram(
            "pilot_batch_items", "Items in a batch.", buckets=[1, 2, 4, 8, 16, 32, 64], registry=registry
        )
        self.cost = counter("cost", "Cost of answers, in the currency of the charter.")
        self.tokens = counter("tokens", "Tokens of answers.")
        self.refused = counter("refused", "Requests that were refused.", "reason")
        self.outcomes = counter("outcomes", "Outcomes by what was done with the answer.", "action")
        self.unlisted = counter("outcomes_unlisted", "Outcomes with a label that the model cannot answer with.")
        self.flagged = counter("flagged", "Flags of people and callers.", "flag")
        self.known = counter("known_items", "Items whose answer is known, by what became of them.", "result")
        self.known_rows = gauge("known_items_rows", "Known items that the service asks for in turn; 0: it asks none.")
        self.behind = gauge("pending_items", "Items acknowledged here and not answered yet.")
        self.waiting = gauge("waiting_items", "Items that wait for a person.")
        self.oldest = gauge("oldest_waiting_seconds", "Age of the oldest item that waits for a person.")
        self.database_up = gauge("database_up", "1 where the database took a record at the last look, else 0.")
        self.connections = gauge("database_connections", "Connections of the pool that are in use.")
        self.cost_share = gauge("daily_cost_ratio", "Share of PILOT_DAILY_COST that today's answers have used up.")
        self.breaker_open = gauge("breaker_open", "1 while the remote model is left alone because it failed, else 0.")
        self.audit_entries = gauge("audit_entries", "Entries of the audit trail at the last look.")
        self.key_expires = gauge(
            "key_expires_timestamp_seconds", "When the first key in force ends that has no successor; +Inf: none does."
        )
        gauge("log_lines_lost", "Lines of the log that could not be written.").set_function(logging.lost)
        self.disk_free = gauge("disk_free_ratio", "Free share of the disk that the service writes to.")
        self.model_info = gauge("model_info", "The model that answers.", "version", "kind")
        self.model_refused = gauge("model_refused", "1 while the model in force does not load and another one answers.")
        self.model_versions = gauge("model_versions", "Versions of the model that can be put in force.")
        self.model_changes = counter("provider_model_changes", "Changes of the name that the provider gives its model.")
        self.last_drill = gauge("last_drill_timestamp_seconds", "When the runbook was last drilled; 0: never.")
        self.feedback = gauge("oldest_feedback_seconds", "Age of the oldest flag that nobody has looked at.", "flag")
        self.drift = gauge(
            "drift_size",
            "Change since the pilot was judged, in points of a share or in standard deviations; 0 where it is none.",
            "field",
            "what",
        )
        self.target_missed = gauge("target_missed", "1 where four weeks of production miss the target, else 0.")
        self.drift_looked = gauge("drift_looked_timestamp_seconds", "When drift was last looked for; 0: never.")
        self.reach = gauge("rollout_share", "Share of the subjects that get the AI's answers here.")
        self.settings_age = gauge("settings_age_seconds", "Age of what is in force here; above 60 nobody is reached.")
        self.canary = gauge("rollout_evidence", "Evidence that a stage of the rollout does harm; it steps back at 20.")
        self.stepped_back = counter("rollout_step_backs", "Stages of the rollout that stepped back by themselves.")
        self.burn_in = gauge("burn_in", "1 until the pilot has passed gate 3, else 0: no alert calls anybody before.")
        self.objective = gauge("objective", "What slo.toml promises.", "name")
        self.expected = gauge("expected_requests", "Requests in 30 days by the charter; +Inf where it does not say.")
        self._kept: dict[tuple[Any, ...], Any] = {}
        self.drift.labels("answer", "confidence")
        for flag in FLAGS:
            self.feedback.labels(flag)
        for status in STATUSES:
            self.child(self.requests, ROUTE, "POST", str(status))
        for metric, names in (
            (self.failures, tuple(Failure)),
            (self.outcomes, ACTIONS),
            (self.flagged, FLAGS),
            (self.known, KNOWN),
            (self.refused, ("too_many",)),
        ):
            for name in names:
                self.child(metric, str(name))

    def promises(self, promised: Objectives, charter: Charter) -> None:
        """Exports the objectives and the volume of the charter, for alert rules to compare with."""
        for name, value in promised:
            if isinstance(value, (int, float)):
                self.objective.labels(name).set(value)
        daily = charter.volume_production or charter.volume_now
        self.expected.set(daily * WORKING_DAYS if daily else math.inf)

    def in_force(self, version: str, kind: str, labels: Sequence[str] = ()) -> None:
        """Names the model that answers from now on, and the labels that it can answer with."""
        self._labels |= set(labels[:MOST_LABELS])
        self._answerable = frozenset(labels)
        for label in self._labels:
            self.child(self.predicted, label)
        self.model_info.clear()
        self.model_info.labels(version, kind).set(1)

    def child(self, metric: Any, *labels: str) -> Any:
        """The metric for these labels, looked up once."""
        key = (metric, *labels)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = metric.labels(*labels)
        return found

    def provider_failed(self, error: ProviderError) -> None:
        """Counts an error of the provider, by the first codes that it gives: it may invent any number."""
        code = error.code or ""
        if len(self._codes) < MOST_CODES:
            self._codes.add(code)
        self.child(self.provider_errors, str(error.status), code if code in self._codes else "other").inc()

    def judged(self, outcome: Outcome) -> None:
        """Counts a person's decision."""
        self.child(self.outcomes, outcome.action or "none").inc()
        if outcome.flag is not None and outcome.flag in FLAGS:
            self.flag(outcome.flag)
        if outcome.final is not None and self._answerable and _label(outcome.final) not in self._answerable:
            self.unlisted.inc()
            log.warning("outcome_unlisted")

    def flag(self, name: str) -> None:
        """Counts a flag of a person or a caller."""
        self.child(self.flagged, name).inc()

    def answered(self, change: Insert | Complete) -> None:
        """Counts an item whose answers are in the database."""
        record, primary = change.record, next((made for made in change.answers if made.role == "primary"), None)
        known = record.caller == KNOWN_ITEMS
        if change.response and not known:
            self.child(self.answers, change.response.status, change.response.reason or "", record.mode).inc()
        if primary is None or primary.answer is None or primary.ended_at is None:
            return
        answer = primary.answer
        self.model_answers.inc()
        self.model_seconds.observe((primary.ended_at - primary.begun_at).total_seconds())
        if answer.failure:
            self.child(self.failures, answer.failure).inc()
        if answer.cost:
            self.cost.inc(answer.cost)
        if answer.tokens:
            self.tokens.inc(answer.tokens)
        if known and record.final is not None:
            right = knows(answer.prediction, record.final)
            self.child(self.known, "failed" if answer.failure else "right" if right else "wrong").inc()
            return
        if answer.confidence is not None:
            self.confidence.observe(answer.confidence)
        # In shadow nobody may see an answer, not even by a count that went up.
        if answer.prediction is not None and self._labels and record.mode != "shadow":
            label = _label(answer.prediction)
            self.child(self.predicted, label if label in self._labels else "other").inc()


def _label(prediction: Prediction) -> str:
    return next((str(value) for _, value in prediction), "")


class Telemetry:
    """Pure ASGI, so that a streamed or broken request is seen too."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope["request_id"] = request_id
        tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 500

        async def reply(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"] = list(message.get("headers", ()))
                present = {name for name, _ in headers}
                headers.append((b"x-request-id", request_id.encode()))
                headers.extend(header for header in _HEADERS if header[0] not in present)
            await send(message)

        try:
            await self._app(scope, receive, reply)
        finally:
            took = time.perf_counter() - begun
            # The template of the path, never the path: that may hold anything.
            route = getattr(scope.get("route"), "path", "unknown")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.child(self._metrics.requests, route, method, str(status)).inc()
            self._metrics.child(self._metrics.seconds, route).observe(took)
            log.info("request", route=route, method=method, status=status, milliseconds=round(took * 1000, 3))
            structlog.contextvars.reset_contextvars(**tokens)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
