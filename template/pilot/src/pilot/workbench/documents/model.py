"""What the facts of a document are made of, and what each must hold before a gate takes it for complete.

`Required` in the type of a field marks what must be filled. A document without it is incomplete, but well formed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from pilot.frontmatter import AnyDay, Fault

# What people leave behind where they meant to write something.
_PLACEHOLDER = re.compile(
    r"\b(todo|tbd|tba|fixme|xxx+|lorem ipsum|to be (defined|decided|determined|announced|filled)|placeholder)\b"
    r"|\bfill (me )?in\b|^\W*(n/?a|none|unknown|nothing|later|soon|yes|no|x+)?\W*$|<[a-z][^>]*>|\?\?+|\.\.\.+$|…$",
    re.IGNORECASE,
)
# Words of a name or of the part of an address before the @ that tell of more than one person.
_GROUPS = set(
    re.findall(
        r"\w+",
        "all board chapter committee contact council department dept everyone group guild helpdesk hello info list "
        "mail management members office ops owners people squad staff support team teams unit",
    )
)
_TWO_NAMES = re.compile(r"[,;/&+|@]|\b(and|und|or)\b", re.IGNORECASE)
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]{2,}")
# What is wrong, and how to fix it.
Wrong = tuple[str, str]


def is_placeholder(text: str | None, words: int = 1) -> bool:
    """Whether `text` is empty, a placeholder, or shorter than so many words."""
    return text is None or len(re.findall(r"\w+", text)) < words or bool(_PLACEHOLDER.search(text.strip()))


def wrong_name(name: str | None) -> Wrong | None:
    """Why `name` is not the name of one person; None where it is."""
    if is_placeholder(name):
        return "is empty.", "Write the name of one person."
    if _TWO_NAMES.search(name or "") or _GROUPS.intersection(_words(name)):
        return f"{name!r} is not one person.", "Name one person, no team and no second name."
    return None


def wrong_mail(mail: str | None) -> Wrong | None:
    """Why `mail` is not the address of one person; None where it is."""
    if is_placeholder(mail):
        return "is empty.", "Write the person's own address."
    if not _ADDRESS.fullmatch(mail or "") or _GROUPS.intersection(_words((mail or "").split("@")[0])):
        return f"{mail!r} is not one person's address.", "Write the person's own address, no list."
    return None


@dataclass(frozen=True)
class Required:
    """Marks a fact that must be filled: with a text of so many words (0: any), with a list of so many entries, or with
    what `wrong` accepts."""

    words: int = 1
    entries: int = 1
    wrong: Callable[[str | None], Wrong | None] | None = None


Day = Annotated[AnyDay | None, Required()]
Text = Annotated[str | None, Required()]
Sentence = Annotated[str | None, Required(words=3)]
Sentences = Annotated[list[str], Required(words=3)]
Name = Annotated[str | None, Required(wrong=wrong_name)]
Mail = Annotated[str | None, Required(wrong=wrong_mail)]


def about(description: str, default: Any = None) -> Any:
    """A field that may be empty, and what people write into it."""
    return Field(default=default, description=description)


class Group(BaseModel):
    """Facts that belong together. A fact without a value is not known yet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, facts: Any) -> Any:
        return {name: value for name, value in facts.items() if value is not None} if isinstance(facts, dict) else facts


class Person(Group):
    """One person, with the person's own address."""

    name: Name = None
    email: Mail = None


class Attestation(Group):
    """What only a person can attest, and no check sees: by whom, and on which day."""

    by: Name = None
    day: Day = about("the day, such as 2027-04-12")


def required(field: FieldInfo) -> Required | None:
    """What a field must hold; None where it may be empty."""
    needed = next((mark for mark in field.metadata if isinstance(mark, Required)), None)
    return needed if needed and needed.entries else None


def missing(facts: BaseModel, place: str = "") -> Iterator[Fault]:
    """Each required fact that is not filled, in the order of the model."""
    for name, field in type(facts).model_fields.items():
        needed = next((mark for mark in field.metadata if isinstance(mark, Required)), None)
        yield from _missing(getattr(facts, name), f"{place}{name}", needed, f"Write {field.description or 'it'}.")


def attestations(facts: BaseModel) -> dict[str, Attestation]:
    """The attestations in the facts by their places, such as `changes.0.told`."""
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


def named(root: Path, file: Path) -> str:
    """A file as messages and evidence name it: below the root, with slashes."""
    return file.relative_to(root).as_posix()


def _missing(value: object, place: str, needed: Required | None, fix: str) -> Iterator[Fault]:
    if isinstance(value, BaseModel):
        yield from missing(value, f"{place}.")
    elif isinstance(value, list):
        if needed and len(value) < needed.entries:
            what = "is empty." if not value else f"has {len(value)} of the {needed.entries} entries that it needs."
            yield Fault(place, what, fix)
        for number, entry in enumerate(value):
            yield from _missing(entry, f"{place}.{number}", needed, fix)
    elif needed and needed.wrong:
        if wrong := needed.wrong(value if isinstance(value, str) else None):
            yield Fault(place, *wrong)
    elif needed and value is None:
        yield Fault(place, "is empty.", fix)
    elif needed and needed.words and isinstance(value, str) and is_placeholder(value, needed.words):
        short = f"is empty, a placeholder, or shorter than {needed.words} words."
        yield Fault(place, short if needed.words > 1 else "is empty or a placeholder.", fix)


def _words(text: str | None) -> list[str]:
    return re.findall(r"[^\W\d_]+", (text or "").lower())
