"""Facts as a page tells them: in words inside of a sentence, as a list or a table where they stand alone."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel

from pilot.workbench.documents.fields import Attestation, Somebody, asks
from pilot.workbench.documents.prose import Facts

UNKNOWN = "?"
# What may be empty, and is.
NOTHING = "nothing"


def facts(model: BaseModel) -> Facts:
    """The facts of a paper by their names, in both forms."""
    values = {name: getattr(model, name) for name in type(model).model_fields}
    blocks = {name: _block(value) for name, value in values.items()}
    found = Facts(
        {name: words(value) for name, value in values.items()},
        {name: block for name, block in blocks.items() if block},
    )
    for name, field in type(model).model_fields.items():
        if values[name] in (None, []) and asks(field).optional:
            found = Facts({**found.words, name: NOTHING}, {**found.blocks, name: f"{NOTHING.capitalize()}."})
    return found


def words(value: object) -> str:
    """A value in one line; what is not known is a question mark. An attestation is labelled as one."""
    match value:
        case None | "" | []:
            return UNKNOWN
        case bool():
            return "yes" if value else "no"
        case Attestation():
            return f"attested by {words(value.by)} on {words(value.day)}"
        case Somebody():
            return f"{words(value.name)} <{words(value.email)}>"
        case BaseModel():
            return ", ".join(filter(None, (_part(value, name) for name in type(value).model_fields)))
        case list():
            return "; ".join(map(words, value))
        case date():
            return value.isoformat()
        case _:
            return " ".join(str(value).split())


def _block(value: object) -> str | None:
    """A list of texts as a list, models of one kind as a table; None for everything else."""
    if isinstance(value, list):
        if value and isinstance(value[0], BaseModel):
            return _table([(None, entry) for entry in value])
        return "\n".join(f"- {words(entry)}" for entry in value) or UNKNOWN
    if isinstance(value, BaseModel):
        parts = [(name, getattr(value, name)) for name in type(value).model_fields]
        if len({type(part) for _, part in parts}) == 1 and isinstance(parts[0][1], BaseModel):
            return _table([(_heading(name), part) for name, part in parts])
    return None


def _table(rows: list[tuple[str | None, BaseModel]]) -> str:
    """A table with a row for each model; a column of which nothing is known is left out where others are."""
    names = list(type(rows[0][1]).model_fields)
    known = [name for name in names if any(getattr(row, name) is not None for _, row in rows)] or names
    named = [""] if rows[0][0] is not None else []
    lines = [[*named, *map(_heading, known)], ["---"] * (len(named) + len(known))]
    for name, row in rows:
        lines.append([*([name] if name is not None else []), *(_part(row, column) for column in known)])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _part(model: BaseModel, name: str) -> str:
    """A fact of a model in words; nothing where it may be empty, and is."""
    value = getattr(model, name)
    return "" if value is None and asks(type(model).model_fields[name]).optional else words(value)


def _heading(name: str) -> str:
    return name.replace("_", " ").capitalize()
