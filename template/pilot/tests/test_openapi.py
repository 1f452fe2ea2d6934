"""The OpenAPI document says what the routes take and give, with examples that are true."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import AppMaker
from pydantic import Field, TypeAdapter

import pilot
from pilot.contract import Team
from pilot.serving import schemas
from pilot.serving.app import create_app
from pilot.settings import Settings


class Item(pilot.Item):
    text: str = Field(examples=["Where is my parcel?"])


class Prediction(pilot.Prediction):
    label: str = Field(examples=["delivery"])


@pytest.fixture
def document(settings: Settings) -> dict[str, Any]:
    class Nothing:
        version = "1"

        def predict(self, items: Any) -> list[pilot.Answer]:
            return []

    team = Team(item=Item, prediction=Prediction, model=lambda _: Nothing(), rules=Nothing)
    return create_app(team, settings).openapi()


def test_the_examples_fit_the_schemas_of_the_team(document: dict[str, Any]) -> None:
    post = document["paths"]["/v1/predictions"]["post"]
    example = post["requestBody"]["content"]["application/json"]["example"]
    assert schemas.prediction_request(Item).model_validate(example).item == Item(text="Where is my parcel?")  # type: ignore[attr-defined]
    given = [post["responses"]["202"]["content"]["application/json"]["example"]]
    given += [one["value"] for one in post["responses"]["200"]["content"]["application/json"]["examples"].values()]
    assert [schemas.Response.model_validate(one).status for one in given] == ["recorded", "answered", "needs_human"]
    outcome = document["paths"]["/v1/predictions/{item_id}/outcome"]["post"]["requestBody"]
    schemas.outcome_request(Prediction).model_validate(outcome["content"]["application/json"]["example"])


def test_every_reference_leads_somewhere_and_every_schema_is_used(document: dict[str, Any]) -> None:
    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            return own.union(*map(references, part.values()))
        return set().union(*map(references, part)) if isinstance(part, list) else set()

    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) == schemas


def test_every_operation_but_health_names_the_key_it_needs(document: dict[str, Any]) -> None:
    open_to_all = {
        path for path, operations in document["paths"].items() for one in operations.values() if "security" not in one
    }
    assert open_to_all == {"/healthz", "/readyz"}


def test_the_document_is_for_holders_of_a_key(make_app: AppMaker) -> None:
    app = make_app()
    assert app.client.get("/openapi.json").status_code == 401
    assert TypeAdapter(dict[str, Any]).validate_json(app.get("/openapi.json").content)["openapi"].startswith("3.")
