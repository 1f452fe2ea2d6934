"""Errors as application/problem+json (RFC 9457): what is wrong, where, and what to do next."""

from __future__ import annotations

import math
import random
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilot.records.database import fault
from pilot.records.outcomes import Conflict, Refused
from pilot.serving.service import Overloaded

log = structlog.get_logger("pilot.errors")
_MOST, _LONGEST = 50, 200
MEDIA_TYPE = "application/problem+json"
# What the metrics call a status, and what people read.
_STATUSES = {
    400: ("unreadable", "The request is not readable"),
    401: ("key", "A key is missing or not in force"),
    403: ("role", "The key's role does not allow this"),
    404: ("unknown", "There is no such thing here"),
    405: ("other", "The method does not fit"),
    409: ("conflict", "This was changed or is being worked on"),
    413: ("too_large", "The body is too large"),
    415: ("content_type", "The body is not JSON"),
    422: ("schema", "The request breaks the schema"),
    429: ("too_many", "Too many requests"),
    500: ("failure", "The service failed"),
    503: ("unavailable", "The service cannot do this now"),
}
_OTHER = ("other", "The request was refused")


class Problem(Exception):
    """An answer that is an error. `fields` are added to the body, `headers` to the response."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **fields: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.fields = status, detail, headers or {}, fields


def unavailable(detail: str, seconds: float = 2) -> Problem:
    """503 with the time after which to try again."""
    return Problem(503, detail, {"retry-after": _retry_after(seconds)})


def too_many(detail: str, seconds: float) -> Problem:
    """429 with the time after which to try again."""
    return Problem(429, detail, {"retry-after": _retry_after(seconds)})


def _retry_after(seconds: float) -> str:
    """Whole seconds, up to half as many more, so that not all come back at the same moment."""
    return str(math.ceil(seconds * random.uniform(1.0, 1.5)))  # noqa: S311 - to spread callers, not a secret


def invalid(error: ValidationError | RequestValidationError) -> Problem:
    """What breaks the schema, with a JSON pointer for each place. The values themselves are not repeated."""
    found = (
        error.errors(include_input=False, include_url=False) if isinstance(error, ValidationError) else error.errors()
    )
    if any(problem["type"] == "json_invalid" for problem in found):
        return Problem(400, "The body is not valid JSON in UTF-8.")
    errors = [
        {"pointer": _pointer(problem["loc"]), "detail": str(problem["msg"]).removeprefix("Value error, ")[:_LONGEST]}
        for problem in found[:_MOST]
    ]
    detail = "; ".join(f"{one['pointer'] or 'the body'}: {one['detail']}" for one in errors[:5])
    return Problem(422, detail, errors=errors)


def _pointer(place: tuple[int | str, ...]) -> str:
    """A JSON pointer (RFC 6901). Names of unknown fields come from outside, so they are cut."""
    return "".join("/" + str(part)[:_LONGEST].replace("~", "~0").replace("/", "~1") for part in place)


def respond(request: Request, problem: Problem) -> Response:
    """The problem as a response."""
    body = {
        "type": "about:blank",
        "title": _STATUSES.get(problem.status, _OTHER)[1],
        "status": problem.status,
        "detail": problem.detail,
        "request_id": request.scope.get("request_id"),
        **problem.fields,
    }
    return Response(orjson.dumps(body), problem.status, problem.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Makes every error of the application a problem."""

    async def problem(request: Request, error: Exception) -> Response:
        return respond(request, counted(request, error))

    kinds: list[type[Exception]] = [Problem, ValidationError, RequestValidationError, HTTPException]
    kinds += [SQLAlchemyError, Overloaded, Conflict, Refused, ClientDisconnect]
    for kind in kinds:
        app.add_exception_handler(kind, problem)


class Caught:
    """Pure ASGI, inside the telemetry: makes a problem of what nobody caught, and logs it if it was unexpected."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def reply(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, reply)
        except Exception as error:
            if as_problem(error).status == 500:
                log.error("request_failed", exc_info=error)
            if begun or scope["type"] != "http":
                raise
            request = Request(scope, receive)
            await respond(request, counted(request, error))(scope, receive, send)


def counted(request: Request, error: Exception) -> Problem:
    """The problem for an error, counted in the metrics."""
    found = as_problem(error)
    if isinstance(error, SQLAlchemyError):
        log.warning("database_failed", reason=fault(error).kind, exc_info=error)
    metrics = request.app.state.service.metrics
    metrics.child(metrics.refused, _STATUSES.get(found.status, _OTHER)[0]).inc()
    return found


def as_problem(error: Exception) -> Problem:
    """The problem for an error. Its words never come from the outside."""
    match error:
        case Problem():
            return error
        case ValidationError() | RequestValidationError():
            return invalid(error)
        case Conflict():
            return Problem(409, str(error), version=error.version)
        case Refused():
            return Problem(
                422, f"/{error.field}: {error}", errors=[{"pointer": f"/{error.field}", "detail": str(error)}]
            )
        case ClientDisconnect():
            return Problem(400, "The body ended before it was complete.")
        case Overloaded(seconds=seconds):
            return unavailable("Too many requests wait. Try again later.", max(1.0, seconds))
        case SQLAlchemyError():
            return unavailable(f"The database cannot be used: {fault(error).what}. Nothing was recorded; try again.", 5)
        case HTTPException():
            detail = _STATUSES.get(error.status_code, _OTHER)[1] + "."
            return Problem(error.status_code, detail, dict(error.headers or {}))
    return Problem(500, "The service failed. The request's id leads to the reason in its log.")
