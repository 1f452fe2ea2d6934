"""What comes in, and what goes out. The wrapper refuses what breaks this schema."""

from typing import Annotated

import pilot
from pydantic import Field, field_validator


class Item(pilot.Item):
    """A ticket that waits to be planned."""

    title: str = Field(
        min_length=1, max_length=300, description="What the ticket is called.", examples=["Export of orders to CSV"]
    )
    description: str = Field(
        default="",
        max_length=20_000,
        description="What is to be done.",
        examples=["A button that downloads what the list shows, with the same filters."],
    )

    @field_validator("title")
    @classmethod
    def not_blank(cls, title: str) -> str:
        """Refuses a ticket without a title."""
        if not title.strip():
            raise ValueError("is blank")
        return title


class Prediction(pilot.Prediction):
    """What the ticket takes."""

    hours: Annotated[float, pilot.Within(relative=0.25)] = Field(
        gt=0, le=400, description="The hours of work that the ticket takes, tests and review included.", examples=[6.5]
    )
