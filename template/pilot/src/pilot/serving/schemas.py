"""What requests and responses look like: validated, and shown with examples in the OpenAPI document."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, create_model

from pilot.contract import Item, Prediction
from pilot.records.database import now
from pilot.records.outcomes import Action, Flag
from pilot.records.rollout import MOST_TEAMS
from pilot.serving.errors import Problem

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
_STRICT = ConfigDict(extra="forbid", frozen=True)


_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def _past(moment: AwareDatetime) -> AwareDatetime:
    if moment > now() + timedelta(minutes=5):
        raise ValueError("lies in the future")
    if moment < _FIRST:
        raise ValueError("lies before 1970")
    return moment


Arrival = Annotated[AwareDatetime, AfterValidator(_past)]


class Response(BaseModel):
    """What every item is answered with. `source` is where its content comes from: the model, or today's rules."""

    id: str
    status: Literal["recorded", "answered", "needs_human", "pending"]
    reason: str | None
    mode: Literal["off", "shadow", "assist", "auto"]
    source: Literal["model", "process"] | None
    prediction: dict[str, Any] | None
    confidence: float | None = Field(ge=0, le=1)
    # What was recorded before there were any does not have it.
    confidences: dict[str, Annotated[float, Field(ge=0, le=1)]] | None = Field(
        None, description="The confidence of each field of the prediction, where the model gave them."
    )
    intervals: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] | None = Field(
        None, description="Between what a number of the prediction lies in 90 of 100 cases, where the model says so."
    )
    suggestion: dict[str, Any] | None


class Envelope(Response):
    """The present state of an item of the caller's."""

    source_id: str | None
    origin: Literal["demo", "test", "backtest", "live"]
    arrived_at: AwareDatetime
    received_at: AwareDatetime
    outcome_version: int | None


class Listing(BaseModel):
    """Items, newest first; `next` is the `before` of the following page."""

    items: list[Envelope]
    next: int | None


class OutcomeResponse(BaseModel):
    """The version that the outcome got. A change of it has to name this version."""

    id: str
    version: int


class FeedbackRequest(BaseModel):
    """The body of `POST /v1/predictions/{id}/feedback`."""

    model_config = _STRICT

    flag: Flag = Field(description="What is wrong with the answer, or an idea.")
    comment: str | None = Field(None, max_length=2000)


class FeedbackResponse(BaseModel):
    """The item, and the name under which `pilot feedback list` shows the report."""

    id: str
    feedback: str


class TrailEntry(BaseModel):
    """An entry of the audit trail. `hash` is SHA-256 over `previous` and the other fields; `detail` is JSON."""

    seq: int
    at: AwareDatetime
    actor: str
    event: str
    detail: str
    previous: str
    hash: str


class Trail(BaseModel):
    """A part of the audit trail, with how many entries there are and the hash of the last one."""

    entries: list[TrailEntry]
    count: int
    head: str


class Reach(BaseModel):
    """Who gets the AI's answers: a share of the subjects, and whole teams."""

    model_config = _STRICT

    share: float = Field(ge=0, le=1, description="The share of the subjects, from 0 to 1.")
    teams: list[Name] = Field([], max_length=MOST_TEAMS, description="By the `group` of items, or the name of a key.")


class RolloutChange(Reach):
    """The next stage. Over HTTP it may only take back; `pilot rollout to` widens."""

    version: int = Field(ge=0, le=2**31 - 1, description="The version that was read before.")


class Rollout(Reach):
    """The stage in force. Version 0: none was opened, and whoever sends is answered in the mode in force."""

    version: int
    at: AwareDatetime | None
    by: str | None


class ProblemResponse(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None


class _PredictionFields(BaseModel):
    model_config = _STRICT

    source_id: Name | None = Field(None, description="The caller's own id of the item; a repeat is not recorded twice.")
    subject: Name | None = Field(None, description="Whom the item concerns; kept as a pseudonym.")
    group: Name | None = Field(None, description="What items have in common, such as a customer.")
    arrived_at: Arrival | None = Field(None, description="When the item came to the process, from 1970 to now.")


class _OutcomeFields(BaseModel):
    model_config = _STRICT

    version: int | None = Field(None, ge=1, description="The present version, where an outcome is changed.")
    action: Action | None = Field(
        None, description="What the person did with the answer that was shown; if left out it follows from `final`."
    )
    seconds: float | None = Field(None, ge=0, le=86_400, description="Seconds of a person's work.")
    flag: Flag | None = Field(None, description="A problem or an idea worth a second look.")
    comment: str | None = Field(None, max_length=2000)


def prediction_request(item: type[Item]) -> type[BaseModel]:
    """The body of `POST /v1/predictions` for the team's Item."""
    field: Any = (item, Field(description="What is to be answered."))
    return create_model("PredictionRequest", __base__=_PredictionFields, item=field)


def outcome_request(prediction: type[Prediction]) -> type[BaseModel]:
    """The body of `POST /v1/predictions/{id}/outcome` for the team's Prediction."""
    field: Any = (prediction | None, Field(None, description="What was decided in the end."))
    return create_model("OutcomeRequest", __base__=_OutcomeFields, final=field)


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a JSON request, read no further than the limit.

    Raises Problem 415 for another type of content, 413 for more than `limit` bytes.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "Send the body as `Content-Type: application/json`.")
    return await read_stream(request, limit)


async def read_stream(request: Request, limit: int) -> bytes:
    """The body, whatever its type, with the limit of `read_body`."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise Problem(413, f"The body is larger than {limit} bytes.", {"connection": "close"})
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Problem(413, f"The body is larger than {limit} bytes.", {"connection": "close"})
    return bytes(body)
