"""What makes a fact complete: how much a text must say, how many entries a list needs, whose name it is.

A model says it beside each of its fields, and one walk finds what is missing in any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from pilot.charter import Charter
from pilot.workbench.documents import people
from pilot.workbench.documents.model import is_placeholder


@dataclass(frozen=True)
class Asks:
    """What a field must hold: a text of so many words, a list of so many entries, or what `fault` finds nothing wrong
    with. One that is optional may be empty."""

    words: int = 1
    entries: int = 1
    optional: bool = False
    fault: Callable[[str | None], people.Fault | None] | None = None


@dataclass(frozen=True)
class Gap:
    """What is wrong with the fact at `place`, which is its keys and its places in lists, from 0."""

    place: tuple[str, ...]
    what: str
    fix: str


class Group(BaseModel):
    """Facts that belong together. What stands there without a value is not known yet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, facts: Any) -> Any:
        return {name: value for name, value in facts.items() if value is not None} if isinstance(facts, dict) else facts


Text = Annotated[str | None, Asks()]
Sentence = Annotated[str | None, Asks(words=3)]
Sentences = Annotated[list[str], Asks(words=3)]
Name = Annotated[str | None, Asks(fault=people.name_fault)]
Mail = Annotated[str | None, Asks(fault=people.mail_fault)]


class Somebody(Group):
    """One person, with the person's own address."""

    name: Name = None
    email: Mail = None


class Attestation(Group):
    """What only a person can say, and no check sees: who says it, and of which day it is."""

    by: Name = None
    day: date | None = Field(default=None, description="the day, such as 2027-04-12")


# The name and the address of somebody.
Signer = tuple[str | None, str | None]


class Facts(Group):
    """The front matter of a short paper."""

    def faults(self, charter: Charter) -> Iterator[Gap]:
        """Where filled facts contradict each other, or the charter."""
        yield from ()

    def signers(self, charter: Charter) -> dict[str, Signer]:
        """Who signs the paper in which role; other roles are free."""
        return {}


def gaps(facts: BaseModel, place: tuple[str, ...] = ()) -> Iterator[Gap]:
    """Each fact that is missing, in the order of the model."""
    for name, field in type(facts).model_fields.items():
        yield from _gaps(getattr(facts, name), (*place, name), asks(field), f"Write {field.description or 'it'}.")


def asks(field: FieldInfo) -> Asks:
    """What a field of a model must hold."""
    return next((mark for mark in field.metadata if isinstance(mark, Asks)), Asks())


def attestations(facts: BaseModel) -> dict[str, Attestation]:
    """What the facts hold of attestations, by their places, such as `changes.0.told`."""
    found: dict[str, Attestation] = {}

    def walk(value: object, place: str) -> None:
        if isinstance(value, Attestation):
            found[place] = value
        elif isinstance(value, BaseModel):
            for name in type(value).model_fields:
                walk(getattr(value, name), f"{place}.{name}".lstrip("."))
        elif isinstance(value, list):
            for number, entry in enumerate(value):
                walk(entry, f"{place}.{number}")

    walk(facts, "")
    return found


def _gaps(value: object, place: tuple[str, ...], asked: Asks, fix: str) -> Iterator[Gap]:
    if isinstance(value, BaseModel):
        yield from gaps(value, place)
    elif isinstance(value, list):
        if len(value) < asked.entries and not asked.optional:
            what = "is empty." if not value else f"has {len(value)} of the {asked.entries} entries that it needs."
            yield Gap(place, what, fix)
        for number, entry in enumerate(value):
            yield from _gaps(entry, (*place, str(number)), Asks(words=asked.words), fix)
    elif value is None and asked.optional:
        return
    elif asked.fault:
        if fault := asked.fault(value if isinstance(value, str) else None):
            yield Gap(place, *fault)
    elif value is None:
        yield Gap(place, "is empty.", fix)
    elif isinstance(value, str) and is_placeholder(value, asked.words):
        short = f"is empty, a placeholder, or shorter than {asked.words} words."
        yield Gap(place, short if asked.words > 1 else "is empty or a placeholder.", fix)
