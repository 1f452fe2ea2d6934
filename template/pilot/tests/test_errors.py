"""Errors as problems: each with its status, none with words from outside."""

from __future__ import annotations

import pytest
from example_team import Item
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError, OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pilot.contract import PilotError
from pilot.records.outcomes import Conflict, Refused
from pilot.serving.errors import Problem, as_problem
from pilot.serving.service import Overloaded


def _validation() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Item(text=["Canary"])  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Problem(418, "tea"), 418),
        (_validation(), 422),
        (Conflict(3), 409),
        (Refused("final", "why"), 422),
        (Overloaded(1.0), 503),
        (OperationalError("SELECT 'Canary'", {"a": "Canary"}, Exception("Canary")), 503),
        (IntegrityError("SELECT 'Canary'", {"a": "Canary"}, Exception("Canary")), 503),
        (HTTPException(405, "Canary"), 405),
        (ClientDisconnect(), 400),
        (KeyError("Canary"), 500),
        (PilotError("Canary"), 500),
    ],
)
def test_each_error_has_its_status_and_no_words_from_outside(error: Exception, status: int) -> None:
    problem = as_problem(error)
    assert problem.status == status
    assert "Canary" not in problem.detail + str(problem.fields) + str(problem.headers)
    assert ("retry-after" in problem.headers) == (status == 503)
