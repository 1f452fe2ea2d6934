"""Predictions beyond one label, for the tests: an invoice with its positions, a reply and an effort."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

import pilot
from pilot.fields import Draft, SameSet, SameText, Within


class Mail(pilot.Item):
    subject: str = Field(min_length=1, max_length=200)
    body: str = Field(max_length=20_000)


class Position(BaseModel):
    article: Annotated[str, SameText()] = Field(
        min_length=1, description="What was bought", examples=["Coffee filters"]
    )
    quantity: int = Field(ge=1)
    amount: Decimal = Field(ge=0, decimal_places=2)


class Invoice(pilot.Prediction):
    """An invoice of a supplier."""

    number: str = Field(min_length=3, description="As it is printed", examples=["R-2026-017"])
    issued: date
    due: date | None = None
    currency: Literal["EUR", "CHF"]
    total: Annotated[Decimal, Within(absolute=0.01)] = Field(gt=0)
    positions: list[Position]
    tags: Annotated[list[str], SameSet()] = Field([])

    @field_validator("number")
    @classmethod
    def _in_capitals(cls, value: str) -> str:
        return value.upper()

    @model_validator(mode="after")
    def _due_after_it_was_issued(self) -> Self:
        if self.due and self.due < self.issued:
            raise ValueError("due before it was issued")
        return self


class Reply(pilot.Prediction):
    reply: Annotated[str, Draft()] = Field(min_length=1, description="The reply to the customer")


class Effort(pilot.Prediction):
    points: Annotated[float, Within(absolute=1)] = Field(ge=0, le=100, description="Story points")


FILLED: dict[str, Any] = {
    "number": "R-2026-017",
    "issued": "2026-03-01",
    "due": "2026-03-31",
    "currency": "EUR",
    "total": 61.5,
    "positions": [
        {"article": "Coffee filters", "quantity": 10, "amount": 21.5},
        {"article": "Descaler", "quantity": 2, "amount": 40},
    ],
    "tags": ["kitchen"],
}
INVOICE = Invoice.model_validate(FILLED)
