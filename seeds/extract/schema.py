"""What comes in, and what goes out. The wrapper refuses what breaks this schema."""

from datetime import date
from typing import Annotated, Literal

import pilot
from pydantic import Field, field_validator


class Item(pilot.Item):
    """An invoice."""

    text: str = Field(
        min_length=1,
        max_length=20_000,
        description="The text of the invoice.",
        examples=["Lindhof Paper Ltd\nInvoice no. 2071\nDate: 3 March 2026\nTotal due: EUR 120.00"],
    )

    @field_validator("text")
    @classmethod
    def not_blank(cls, text: str) -> str:
        """Refuses an invoice that says nothing."""
        if not text.strip():
            raise ValueError("is blank")
        return text


class Prediction(pilot.Prediction):
    """What the books need of it."""

    supplier: Annotated[str, pilot.SameText()] = Field(
        min_length=1, max_length=200, description="Who sent the invoice.", examples=["Lindhof Paper Ltd"]
    )
    number: str = Field(
        min_length=1, max_length=50, description="The number that the supplier gave it.", examples=["2071"]
    )
    issued: date = Field(description="The day on which it was written.", examples=["2026-03-03"])
    due: date | None = Field(
        default=None,
        description="The day by which it is to be paid, where the text names one.",
        examples=["2026-04-02"],
    )
    total: Annotated[float, pilot.Within(absolute=0.005)] = Field(
        ge=0, description="What is to be paid, tax included.", examples=[120.0]
    )
    currency: Literal["CHF", "EUR", "GBP", "USD"] = Field(description="The currency of the total.", examples=["EUR"])
    vat_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=30,
        title="VAT ID",
        description="The supplier's VAT number, where the text names one.",
        examples=["GB298199360"],
    )
