"""What comes in, and what goes out. The wrapper refuses what breaks this schema."""

import pilot
from pydantic import Field, field_validator

LABELS = ("account", "billing", "cancellation", "delivery", "fault", "return")


class Item(pilot.Item):
    """A ticket."""

    text: str = Field(
        min_length=1, max_length=10_000, description="What the customer wrote.", examples=["Where is my parcel?"]
    )

    @field_validator("text")
    @classmethod
    def not_blank(cls, text: str) -> str:
        """Refuses a ticket that says nothing."""
        if not text.strip():
            raise ValueError("is blank")
        return text


class Prediction(pilot.Prediction):
    """Where the ticket belongs."""

    label: str = Field(
        min_length=1, max_length=100, description="The queue that shall handle the ticket.", examples=["delivery"]
    )
