"""What the team's code offers the wrapper: what comes in, what goes out, a model and the rules of today's process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import entry_points
from typing import Any, Protocol, Self, TypeGuard, runtime_checkable

from pydantic import BaseModel, ConfigDict, model_validator

from pilot import fields


class PilotError(Exception):
    """A mistake that a person can fix. `str()` is what is wrong and what to do next."""


class _Recorded(BaseModel):
    """What is recorded as JSON, which has no infinite number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _finite(self) -> Self:
        # A nested model of the team does not inherit the configuration.
        if not fields.finite(self):
            raise ValueError("holds a number that is infinite, or none")
        return self


class Item(_Recorded):
    """What comes in. The team subclasses it; a field that it does not name is refused."""


class Prediction(_Recorded):
    """What goes out, and what a person decides. The team subclasses it."""

    def agrees(self, final: Self) -> bool:
        """Whether this answer counts as right where `final` was decided: every field is, by how it is compared."""
        return fields.agree(self, final)


class Failure(StrEnum):
    """Why an item has no answer: the reason codes that callers, records and metrics carry."""

    ABSTAINED = "abstained"
    BUSY = "busy"
    CEILING = "ceiling"
    CREDENTIAL_REJECTED = "credential_rejected"
    ERROR = "error"
    INTERRUPTED = "interrupted"
    INVALID_OUTPUT = "invalid_output"
    PROVIDER_ERROR = "provider_error"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class ProviderError:
    """An error of a provider, for logs: the status, its code and its id of the request, where it gave them. Never its
    text, which may repeat the item."""

    status: int
    code: str | None = None
    request_id: str | None = None


# The probability with which a number lies in the interval that an answer gives for it.
INTERVAL = 0.9


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction, with a confidence in [0, 1] or none, a cost in the charter's currency or none, tokens or none;
    or a failure with its reason code. Never both. `confidences` are those of single fields, by name; fields that it
    leaves out have the answer's. `intervals` are those of numbers, by the name of their field, in which what a person
    decides lies with probability `INTERVAL`. `trained` is whether the model learned from this very item, which
    then proves nothing about it; None where the model does not know. `provider` is the error behind a failure."""

    prediction: Prediction | None = None
    confidence: float | None = None
    cost: float | None = None
    tokens: int | None = None
    failure: str | None = None
    trained: bool | None = None
    provider: ProviderError | None = None
    confidences: Mapping[str, float] | None = None
    intervals: Mapping[str, tuple[float, float]] | None = None

    @classmethod
    def failed(
        cls,
        reason: Failure,
        *,
        cost: float | None = None,
        tokens: int | None = None,
        provider: ProviderError | None = None,
    ) -> Answer:
        """An item without an answer. What a failed call cost is kept."""
        return cls(failure=reason.value, cost=cost, tokens=tokens, provider=provider)


@runtime_checkable
class LocalModel(Protocol):
    """A model in this process. `predict` gets the items of a batch and returns as many answers, in their order."""

    version: str

    def predict(self, items: Sequence[Any]) -> Sequence[Answer]: ...


@runtime_checkable
class RemoteModel(Protocol):
    """A model behind an API. `predict_one` gets one item and keeps its own deadline."""

    version: str

    async def predict_one(self, item: Any) -> Answer: ...


Model = LocalModel | RemoteModel


def is_remote(model: Model) -> TypeGuard[RemoteModel]:
    """Whether the model is called item by item over a network."""
    return inspect.iscoroutinefunction(getattr(model, "predict_one", None))


def labels(model: Model) -> tuple[str, ...]:
    """The labels that the model can answer with, or none where it does not say."""
    return tuple(getattr(model, "labels", ()))


class ModelUnavailable(PilotError):
    """There is no model that may be loaded. The service starts all the same: people decide every item."""


@dataclass(frozen=True)
class Team:
    """The team's code, as its entry points name it.

    `model(settings)` loads the model or raises `ModelUnavailable`; `rules()` makes today's process as a local model;
    `train(items, labels, settings)` makes a new model, where the approach trains one; `labels` are the texts of the
    Prediction's one required field. One whose second parameter is called `finals` gets whole Predictions.
    """

    item: type[Item]
    prediction: type[Prediction]
    model: Callable[[Any], Model]
    rules: Callable[[], LocalModel]
    train: Callable[..., Any] | None = None
    routes: Any = None


def load_team() -> Team:
    """Loads the entry points of group `pilot`.

    Raises PilotError when one is missing or does not import.
    """
    found: dict[str, Any] = {}
    for entry in entry_points(group="pilot"):
        try:
            found[entry.name] = entry.load()
        except Exception as error:
            raise PilotError(
                f"The entry point {entry.name!r} ({entry.value}) does not load: {type(error).__name__}: {error}. "
                f"Fix that module, or the name under [project.entry-points.pilot] in pyproject.toml."
            ) from error
    missing = sorted({"item", "prediction", "model", "rules"} - found.keys())
    if missing:
        raise PilotError(
            f"No entry point in group 'pilot' for: {', '.join(missing)}. Name them under [project.entry-points.pilot] "
            "in pyproject.toml, then run `uv sync`."
        )
    return Team(**{name: found[name] for name in Team.__dataclass_fields__ if name in found})


def only_field(model: type[BaseModel]) -> str:
    """The name of the one required field of an Item or Prediction, which a column of a file fills.

    Raises PilotError when there is not exactly one.
    """
    required = required_fields(model)
    if len(required) != 1:
        raise PilotError(
            f"{model.__name__} has {len(required)} required fields ({', '.join(required) or 'none'}), so a single "
            "column cannot fill it. Name the column of each, as FIELD=COLUMN, or name the columns as the fields."
        )
    return required[0]


def required_fields(model: type[BaseModel]) -> list[str]:
    """The names of the fields that an Item or Prediction cannot be without, in their order."""
    return [name for name, field in model.model_fields.items() if field.is_required()]
