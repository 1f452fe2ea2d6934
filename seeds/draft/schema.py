"""What comes in, and what goes out. The wrapper refuses what breaks this schema."""

from typing import Annotated

import pilot
from pydantic import Field, field_validator


class Item(pilot.Item):
    """A request of a customer."""

    text: str = Field(
        min_length=1,
        max_length=10_000,
        description="What the customer wrote.",
        examples=["My parcel should have been here on Monday."],
    )
    subject: str = Field(default="", max_length=500, description="The subject of the mail.", examples=["Where is it?"])

    @field_validator("text")
    @classmethod
    def not_blank(cls, text: str) -> str:
        """Refuses a request that says nothing."""
        if not text.strip():
            raise ValueError("is blank")
        return text


class Prediction(pilot.Prediction):
    """What is sent, once a person has read and edited it."""

    reply: Annotated[str, pilot.Draft()] = Field(
        min_length=1,
        max_length=10_000,
        description="The reply to the customer.",
        examples=["Hello,\n\nThank you for writing.\n\nKind regards\nLarkfield Outdoor"],
    )

    @field_validator("reply")
    @classmethod
    def not_blank(cls, reply: str) -> str:
        """Refuses a reply that says nothing."""
        if not reply.strip():
            raise ValueError("is blank")
        return reply
