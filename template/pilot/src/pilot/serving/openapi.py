"""The OpenAPI document: what FastAPI says of the routes, with the bodies that they parse themselves, and examples."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from pilot.contract import Team
from pilot.serving import bodies
from pilot.serving.problems import MEDIA_TYPE

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
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            own = (
                bodies.prediction_request(team.item),
                bodies.outcome_request(team.prediction),
                bodies.ProblemResponse,
            )
            for model in own:
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(schema.pop("$defs", {}))
                schemas[model.__name__] = schema
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
            "summary": "The model failed; what stands in `suggestion` is the answer of today's rules.",
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
    nothing = {"reason": None, "source": None, "prediction": None, "confidence": None, "suggestion": None}
    return {"id": _ID, "status": status, "mode": "assist", **nothing, **fields}
