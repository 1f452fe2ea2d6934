"""The HTTP interface of version 1, and its OpenAPI document."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilot.contract import Item, PilotError, Team, is_remote
from pilot.records import audit, feedback, outcomes, queries
from pilot.records import rollout as rollouts
from pilot.records.crypto import keyed_hash
from pilot.records.database import now
from pilot.records.keys import Key
from pilot.records.outcomes import Outcome
from pilot.records.rollout import Reach, Stage, Stale
from pilot.records.writer import Record
from pilot.serving import schemas
from pilot.serving.auth import allowed, service_of
from pilot.serving.errors import MEDIA_TYPE, Problem, too_many
from pilot.serving.service import Reply, Service
from pilot.serving.spending import seconds_left

_PATH = "/v1/predictions"
_ID = "9f0c1f6e-3f0b-4a53-8f0e-1f6d1c2b3a4d"
SECURED: dict[str, Any] = {"security": [{"key": []}]}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "1 to 200 visible ASCII characters. A repeat with the same body gets the first response.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[\\x21-\\x7e]+$"},
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemResponse"}}}
    return {status: {"description": "Refused.", "content": content} for status in sorted(statuses)}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The body of a request that its route parses itself."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def document(app: FastAPI, team: Team) -> None:
    """Makes `app.openapi()` give the whole document."""
    base = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = base()
            known = made.setdefault("components", {}).setdefault("schemas", {})
            for unused in ("HTTPValidationError", "ValidationError"):
                known.pop(unused, None)
            own = (
                schemas.prediction_request(team.item),
                schemas.outcome_request(team.prediction),
                schemas.ProblemResponse,
                schemas.RolloutChange,
                schemas.FeedbackRequest,
            )
            for model in own:
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                known.update(schema.pop("$defs", {}))
                known[model.__name__] = schema
            made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            _add_examples(made, _example(team.item), _example(team.prediction))
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _example(model: type[BaseModel]) -> dict[str, Any]:
    """A value made of the first example of each field that has one."""
    fields = {name: field.examples for name, field in model.model_fields.items() if field.examples}
    return {name: examples[0] for name, examples in fields.items()}


def _add_examples(made: dict[str, Any], item: dict[str, Any], prediction: dict[str, Any]) -> None:
    post = made["paths"][_PATH]["post"]
    post["requestBody"]["content"]["application/json"]["example"] = {"item": item, "source_id": "4711"}
    responses = {code: post["responses"][code]["content"]["application/json"] for code in ("200", "202")}
    responses["202"]["example"] = _response("recorded", mode="shadow")
    responses["200"]["examples"] = {
        "answered": {"value": _response("answered", source="model", prediction=prediction, confidence=0.93)},
        "needs_human": {
            "summary": "The model failed; `suggestion` is the answer of today's rules.",
            "value": _response("needs_human", reason="timeout", source="process", suggestion=prediction),
        },
    }
    outcome = made["paths"][f"{_PATH}/{{item_id}}/outcome"]["post"]
    outcome["requestBody"]["content"]["application/json"]["example"] = {"final": prediction, "seconds": 42}
    outcome["responses"]["201"]["content"]["application/json"]["example"] = {"id": _ID, "version": 1}
    made["components"]["schemas"]["ProblemResponse"]["example"] = {
        "type": "about:blank",
        "title": "The request breaks the schema",
        "status": 422,
        "detail": "/item: Field required",
        "request_id": "c0ffee",
    }


def _response(status: str, **fields: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("reason", "source", "prediction", "confidence", "confidences", "intervals", "suggestion"))
    return {"id": _ID, "status": status, "mode": "assist", **nothing, **fields}


_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,200}")
ITEM_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class _BytesRoute(APIRoute):
    """A route whose endpoint takes the request and returns the response, without FastAPI's parsing in between."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


class Head:
    """Pure ASGI: answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def reply(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        scope["method"] = "GET"
        try:
            await self._app(scope, receive, reply)
        finally:
            scope["method"] = "HEAD"


class Shortcut:
    """Pure ASGI: takes the route that is called most past the router and the layers that it does not need."""

    def __init__(self, app: ASGIApp, route: APIRoute) -> None:
        self._app, self._route = app, route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == self._route.path and scope["method"] == "POST":
            scope["route"] = self._route
            response: Response = await self._route.endpoint(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def hot_route(router: APIRouter) -> APIRoute:
    """The route that is called most."""
    return next(route for route in router.routes if isinstance(route, _BytesRoute))


def _bytes_route(router: APIRouter, **options: Any) -> Callable[[Any], Any]:
    def add(endpoint: Any) -> Any:
        router.add_api_route("", endpoint, methods=["POST"], route_class_override=_BytesRoute, **options)
        return endpoint

    return add


def router(team: Team) -> APIRouter:
    """The routes for the team's Item and Prediction."""
    router = APIRouter(prefix="/v1/predictions", tags=["predictions"])
    request_model = schemas.prediction_request(team.item)
    outcome_model = schemas.outcome_request(team.prediction)
    validate = request_model.__pydantic_validator__.validate_json

    # The hot route parses and answers bytes itself; the OpenAPI document is the same as if FastAPI did.
    @_bytes_route(
        router,
        response_model=schemas.Response,
        responses={
            200: {"description": "Answered, or for people to decide."},
            202: {"description": "Recorded; in shadow nobody sees the answer.", "model": schemas.Response},
            **problem_responses(400, 401, 403, 409, 413, 415, 422, 429, 503),
        },
        openapi_extra={"requestBody": json_body(request_model), "parameters": [IDEMPOTENCY_KEY], **SECURED},
    )
    async def predict(request: Request) -> Response:
        """Records an item and answers it in the mode in force. A repeat with the same key gets the first response."""
        key = await allowed(request)
        service = service_of(request)
        idempotency_key = request.headers.get("idempotency-key")
        if idempotency_key is not None and not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
            raise Problem(400, "Idempotency-Key must be 1 to 200 visible ASCII characters.")
        _check_limits(service, key)
        body = validate(await schemas.read_body(request, service.settings.max_body))
        reply = await service.decide(_record(service, key, body, request.scope["request_id"], idempotency_key))
        return _answer(reply)

    @router.get("", responses=problem_responses(401, 403, 422, 429, 503), openapi_extra=SECURED)
    async def listing(
        request: Request,
        key: Annotated[Key, Depends(allowed)],
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
    ) -> schemas.Listing:
        """The caller's items, newest first; operators and auditors see everybody's."""
        service = service_of(request)

        def read() -> queries.Page:
            with service.engine.connect() as connection:
                caller = key.name if key.role == "caller" else None
                return queries.page(connection, service.vault, caller=caller, origin=None, before=before, limit=limit)

        page = await asyncio.to_thread(read)
        return schemas.Listing.model_validate({"items": page.rows, "next": page.next})

    @router.get("/{item_id}", responses=problem_responses(401, 403, 404, 422, 429, 503), openapi_extra=SECURED)
    async def one(request: Request, item_id: str, key: Annotated[Key, Depends(allowed)]) -> schemas.Envelope:
        """An item as it was answered. What the AI said in shadow is not in it."""
        service = service_of(request)

        def read() -> dict[str, Any]:
            with service.engine.connect() as connection:
                row = _own_item(connection, item_id, key)
                versions = queries.outcome_versions(connection, [item_id])
                return queries.envelope(row, service.vault, versions.get(item_id))

        return schemas.Envelope.model_validate(await asyncio.to_thread(read))

    @router.post(
        "/{item_id}/outcome",
        status_code=201,
        responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
        response_model=schemas.OutcomeResponse,
        openapi_extra={"requestBody": json_body(outcome_model), **SECURED},
    )
    async def judge(request: Request, item_id: str, key: Annotated[Key, Depends(allowed)]) -> schemas.OutcomeResponse:
        """Records what was decided in the end. To change an outcome, name its present version."""
        service = service_of(request)
        given = outcome_model.model_validate_json(await schemas.read_body(request, service.settings.max_body))
        outcome = Outcome(made_by=key.name, **{name: getattr(given, name) for name in outcome_model.model_fields})

        def change(connection: Any) -> int:
            _own_item(connection, item_id, key)
            return outcomes.judge(connection, service.vault, team.prediction, item_id, outcome)

        version = await service.committer.call(change)
        service.metrics.judged(outcome)
        return schemas.OutcomeResponse(id=item_id, version=version)

    @router.post(
        "/{item_id}/feedback",
        status_code=201,
        responses=problem_responses(400, 401, 403, 404, 413, 415, 422, 429, 503),
        response_model=schemas.FeedbackResponse,
        openapi_extra={"requestBody": json_body(schemas.FeedbackRequest), **SECURED},
    )
    async def report(request: Request, item_id: str, key: Annotated[Key, Depends(allowed)]) -> schemas.FeedbackResponse:
        """Reports a problem or an idea without a decision. One that waits already, with the same flag, is not doubled;
        a caller's reports count with its items towards what it may send."""
        service = service_of(request)
        _check_rate(service, key)
        body = await schemas.read_body(request, service.settings.max_body)
        given = schemas.FeedbackRequest.model_validate_json(body)

        def change(connection: Any) -> tuple[str, bool]:
            _own_item(connection, item_id, key)
            return feedback.report(connection, service.vault, item_id, given.flag, given.comment, key.name)

        made, new = await service.committer.call(change)
        if new:
            service.metrics.flag(given.flag)
        return schemas.FeedbackResponse(id=item_id, feedback=made)

    return router


def trail() -> APIRouter:
    """The route by which an auditor reads the audit trail, to check its chain without the database."""
    router = APIRouter(prefix="/v1/audit", tags=["audit"])

    @router.get("", responses=problem_responses(401, 403, 422, 429, 503), openapi_extra=SECURED)
    async def entries(
        request: Request,
        _: Annotated[Key, Depends(allowed)],
        after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    ) -> schemas.Trail:
        """Entries in their order, from the one after `after` on. `head` is the last one's hash, which covers all."""
        service = service_of(request)

        def read() -> schemas.Trail:
            with service.engine.connect() as connection:
                found = audit.entries(connection, after, limit)
                count, head = audit.last(connection)
            return schemas.Trail.model_validate({"entries": found, "count": count, "head": head})

        return await asyncio.to_thread(read)

    return router


def rollout() -> APIRouter:
    """The routes by which an operator reads the rollout, and takes it back from wherever they are."""
    router = APIRouter(prefix="/v1/rollout", tags=["operation"])

    @router.get("", responses=problem_responses(401, 403, 429, 503), openapi_extra=SECURED)
    async def stage(request: Request, _: Annotated[Key, Depends(allowed)]) -> schemas.Rollout:
        """The stage of the rollout in force."""
        service = service_of(request)

        def read() -> Stage | None:
            with service.engine.connect() as connection:
                return rollouts.read(connection)

        return _rollout(await asyncio.to_thread(read))

    @router.put(
        "",
        responses=problem_responses(400, 401, 403, 409, 413, 415, 422, 429, 503),
        openapi_extra={"requestBody": json_body(schemas.RolloutChange), **SECURED},
    )
    async def take_back(request: Request, key: Annotated[Key, Depends(allowed)]) -> schemas.Rollout:
        """Reaches fewer, or nobody. Running services obey within seconds."""
        service = service_of(request)
        body = await schemas.read_body(request, service.settings.max_body)
        given = schemas.RolloutChange.model_validate_json(body)
        try:
            wanted = Reach(given.share, tuple(dict.fromkeys(given.teams)))
        except PilotError as error:
            raise Problem(422, str(error)) from error

        def change(connection: Any) -> Stage:
            present = rollouts.read(connection)
            if present and present.version == given.version and not wanted.within(present.reach):
                raise Problem(
                    403, f"This would reach more than {present.reach}. `pilot rollout to` opens wider stages."
                )
            return rollouts.change(connection, wanted, given.version, key.name)

        try:
            made = await service.committer.call(change)
        except (Problem, Stale) as error:
            why = str(error)
            await service.committer.call(lambda connection: rollouts.refuse(connection, wanted, key.name, why))
            if isinstance(error, Problem):
                raise
            now = _rollout(error.stage).model_dump(mode="json")
            raise Problem(409, why, present=now) from error
        await service.live.refresh()
        return _rollout(made)

    return router


def _rollout(stage: Stage | None) -> schemas.Rollout:
    if stage is None:
        return schemas.Rollout(version=0, share=1.0, teams=[], at=None, by=None)
    reach = stage.reach
    return schemas.Rollout(version=stage.version, share=reach.share, teams=list(reach.teams), at=stage.at, by=stage.by)


def _check_limits(service: Service, key: Key) -> None:
    """Raises Problem 429 where a caller sends more than it may, or its answers have cost what they may cost today."""
    _check_rate(service, key)
    if is_remote(service.model) and service.spending.used_up(key.name):
        raise too_many("This caller's answers have cost what they may cost today (UTC).", seconds_left())


def _check_rate(service: Service, key: Key) -> None:
    if (wait := service.rates.send(key.name)) is not None:
        raise too_many(f"A caller may send {service.settings.caller_rate} items a minute.", wait)


def _record(service: Service, key: Key, body: Any, request_id: str, idempotency_key: str | None) -> Record:
    item: Item = body.item
    moment, fingerprint = now(), service.fingerprint(body.model_dump_json().encode())
    subject = keyed_hash(service.pepper, body.subject.encode()) if body.subject else None
    mode, version = service.live.admit(subject or fingerprint, body.group, key.name)
    return Record(
        caller=key.name,
        origin=key.origin,
        mode=mode,
        item=item,
        content=item.model_dump_json().encode(),
        fingerprint=fingerprint,
        request_id=request_id,
        arrived_at=body.arrived_at or moment,
        received_at=moment,
        idempotency_key=idempotency_key,
        source_id=body.source_id,
        subject=subject,
        group=body.group,
        rollout_version=version,
    )


def _answer(reply: Reply) -> Response:
    if reply.differs:
        raise Problem(422, "This idempotency key or source id was used for another body.", id=reply.id)
    if reply.body is None:
        raise Problem(
            409, "The first request with this key is still being answered.", {"retry-after": "1"}, id=reply.id
        )
    headers = {"idempotent-replayed": "true"} if reply.repeated else None
    return Response(reply.body, 202 if reply.status == "recorded" else 200, headers, "application/json")


def _own_item(connection: Any, item_id: str, key: Key) -> Any:
    """The item, if the key may see it; another caller's item is answered as one that does not exist."""
    caller = key.name if key.role == "caller" else None
    row = queries.item(connection, item_id, caller) if ITEM_ID.fullmatch(item_id) else None
    if row is None:
        raise Problem(404, "There is no item with this id.")
    return row
