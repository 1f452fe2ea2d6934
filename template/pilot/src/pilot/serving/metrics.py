"""Metrics, and the middleware that adds request id, log line, counts and headers to each request."""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilot.charter import Objectives
from pilot.contract import ProviderError
from pilot.records.writer import Complete, Insert

log = structlog.get_logger("pilot.access")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


MOST_CODES = 30


class Metrics:
    """What Prometheus reads. Labels are codes and versions, never ids or contents."""

    def __init__(self, model_version: str, model_kind: str) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("pilot_requests", "Requests.", ["route", "method", "status"], registry=registry)
        self.seconds = Histogram("pilot_request_seconds", "Time to the response.", ["route"], registry=registry)
        self.answers = Counter(
            "pilot_answers", "Items by status and reason.", ["status", "reason", "mode"], registry=registry
        )
        self.failures = Counter("pilot_model_failures", "Answers that failed.", ["reason"], registry=registry)
        self.provider_errors = Counter(
            "pilot_provider_errors", "Errors of the provider.", ["status", "code"], registry=registry
        )
        self._codes: set[str] = set()
        self.model_seconds = Histogram("pilot_model_seconds", "Time that the model took.", registry=registry)
        self.confidence = Histogram(
            "pilot_confidence", "Confidence of answers.", buckets=[n / 10 for n in range(1, 11)], registry=registry
        )
        self.batch = Histogram(
            "pilot_batch_items", "Items in a batch.", buckets=[1, 2, 4, 8, 16, 32, 64], registry=registry
        )
        self.cost = Counter("pilot_cost", "Cost of answers, in the currency of the charter.", registry=registry)
        self.tokens = Counter("pilot_tokens", "Tokens of answers.", registry=registry)
        self.refused = Counter("pilot_refused", "Requests that were refused.", ["reason"], registry=registry)
        self.outcomes = Counter(
            "pilot_outcomes", "Outcomes by what was done with the answer.", ["action"], registry=registry
        )
        self.behind = Gauge("pilot_pending_items", "Items acknowledged here and not answered yet.", registry=registry)
        info = Gauge("pilot_model_info", "The model in force.", ["version", "kind"], registry=registry)
        info.labels(model_version, model_kind).set(1)
        self.objective = Gauge("pilot_objective", "What slo.toml promises.", ["name"], registry=registry)
        self._kept: dict[tuple[Any, ...], Any] = {}

    def objectives(self, promised: Objectives) -> None:
        """Exports the objectives, for alert rules to compare with."""
        for name, value in promised:
            self.objective.labels(name).set(value)

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

    def answered(self, change: Insert | Complete) -> None:
        """Counts an item whose answers are in the database."""
        if change.response:
            self.child(self.answers, change.response.status, change.response.reason or "", change.record.mode).inc()
        for made in change.answers:
            answer = made.answer
            if made.role != "primary" or answer is None or made.ended_at is None:
                continue
            self.model_seconds.observe((made.ended_at - made.begun_at).total_seconds())
            if answer.failure:
                self.child(self.failures, answer.failure).inc()
            if answer.confidence is not None:
                self.confidence.observe(answer.confidence)
            if answer.cost:
                self.cost.inc(answer.cost)
            if answer.tokens:
                self.tokens.inc(answer.tokens)


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
