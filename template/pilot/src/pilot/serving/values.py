"""Items and predictions as people read them: titles and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel

from pilot.fields import FieldType, fields_of, present


def shown(model: type[BaseModel], content: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Titles and values of an item or a prediction, given as JSON. A value is a text, a list of values, or, of a
    nested model, its own values by their titles."""
    fields = fields_of(model)
    return [(title(model, name), _shown(fields.get(name), value)) for name, value in content.items()]


def title(model: type[BaseModel], name: str) -> str:
    """What a field is called."""
    known = fields_of(model).get(name)
    return known.title if known else _words(name)


def text(value: Any) -> str:
    """A value in one text."""
    match value:
        case str():
            return value
        case None:
            return "—"
        case bool():
            return "yes" if value else "no"
        case float():
            return str(value).removesuffix(".0")
        case Mapping():
            return "; ".join(f"{_words(str(name))}: {text(part)}" for name, part in value.items()) or "—"
        case list() | tuple():
            nested = any(isinstance(part, Mapping) for part in value)
            return ("\n" if nested else ", ").join(map(text, value)) or "—"
    return str(value)


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, those of the outer fields first."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    yield from (part for part in parts if isinstance(part, str))
    for part in parts:
        yield from texts(part)


def moment(at: datetime) -> str:
    """A date and a time of day."""
    return f"{at:%-d %b %Y, %H:%M} {at.tzname() or ''}".rstrip()


def _shown(field: FieldType | None, value: Any) -> Any:
    match value:
        case Mapping():
            known = fields_of(field.nested) if field and field.nested else {}
            return {
                (known[name].title if name in known else _words(str(name))): _shown(known.get(name), part)
                for name, part in value.items()
            }
        case list() if present(value):
            return [_shown(field, part) for part in value]
        case str() if field and isinstance(field.kind, type):
            return _dated(field.kind, value)
    return text(value)


def _dated(kind: type, value: str) -> str:
    try:
        if issubclass(kind, datetime):
            return moment(datetime.fromisoformat(value))
        if issubclass(kind, date):
            return date.fromisoformat(value).strftime("%-d %b %Y")
    except ValueError:
        pass
    return value


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
