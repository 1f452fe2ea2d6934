"""The running service against its OpenAPI document: nothing undocumented, nothing that fails inside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from conftest import Server, ServerMaker
from hypothesis import HealthCheck, given, settings
from schemathesis.core.failures import FailureGroup
from schemathesis.openapi.checks import UndefinedStatusCode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

WHO = {"/v1/audit": "anna", "/metrics": "olga", "/v1/rollout": "olga"}
ROUTES = [
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/readyz"),
    ("GET", "/v1/audit"),
    ("GET", "/v1/predictions"),
    ("GET", "/v1/predictions/{item_id}"),
    ("GET", "/v1/rollout"),
    ("POST", "/v1/predictions"),
    ("POST", "/v1/predictions/{item_id}/feedback"),
    ("POST", "/v1/predictions/{item_id}/outcome"),
    ("PUT", "/v1/rollout"),
]


@pytest.fixture(scope="module", params=["right", "remote"])
def behaviour(request: pytest.FixtureRequest) -> str:
    """A model of its own, and a bought one."""
    return str(request.param)


@pytest.fixture
def server(behaviour: str, make_server: ServerMaker) -> Iterator[Server]:
    """The service, which must be there afterwards and have logged no error."""
    made = make_server(behaviour, "assist", PILOT_CALLER_RATE="0", PILOT_KNOWN_INTERVAL="0")
    made.start()
    yield made
    assert made.exited() is None
    assert not [line for line in made.lines() if line["level"] in ("error", "critical")]


def _document(server: Server) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers=server.headers())


def test_the_document_has_these_routes(server: Server) -> None:
    found = [result.ok() for result in _document(server).get_all_operations()]
    own = [(one.method.upper(), one.path) for one in found if not one.path.startswith("/team/")]
    assert sorted(own) == ROUTES


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_route_does_what_is_documented(method: str, path: str, server: Server) -> None:
    operation = _document(server)[path][method]

    @given(case=operation.as_strategy())
    @settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        # The key goes along with every call, so test_auth.py sees whether it is asked for. And no schema can say that a
        # moment must not lie in the future.
        others = [ignored_auth, positive_data_acceptance]
        case.call_and_validate(headers=server.headers(WHO.get(path, "shop")), timeout=30, excluded_checks=others)

    ask()


def test_what_is_not_documented_is_seen(server: Server) -> None:
    document = _document(server)
    document.raw_schema["paths"]["/v1/predictions/{item_id}"]["get"]["responses"].pop("404")
    case = document["/v1/predictions/{item_id}"]["GET"].Case(path_parameters={"item_id": "x"})
    with pytest.raises(FailureGroup) as found:
        case.call_and_validate(headers=server.headers(), timeout=30, excluded_checks=[ignored_auth])
    assert [type(one) for one in found.value.exceptions] == [UndefinedStatusCode]
