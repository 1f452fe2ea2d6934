"""The form of a decision: what it asks for, made from the team's Prediction, and what was entered."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pilot.contract import Item, Prediction
from pilot.records.outcomes import ACTIONS

FLAGS = {
    "wrong": "The answer is wrong",
    "unsafe": "Unsafe or harmful",
    "slow": "Took too long",
    "edge_case": "Unusual case",
    "idea": "Idea for a better service",
}
# Until here all choices are seen at once; more make a list that a letter jumps in.
MOST_RADIOS = 10


@dataclass(frozen=True)
class Question:
    """A field of the Prediction that a person fills in. Without choices it is free text."""

    name: str
    title: str
    hint: str | None
    choices: tuple[str, ...]
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The field's name in the form."""
        return f"final-{self.name}"

    @property
    def radios(self) -> bool:
        """Whether the choices are few enough to be seen at once."""
        return 0 < len(self.choices) <= MOST_RADIOS


@dataclass(frozen=True)
class Entered:
    """What a person entered: the fields of an outcome, or the errors, by the id of the field that each is at."""

    values: dict[str, Any]
    errors: dict[str, str]


def questions(prediction: type[Prediction], labels: tuple[str, ...]) -> tuple[Question, ...]:
    """The required fields of the Prediction, or all where none is. `labels` are the choices of a single field."""
    fields = prediction.model_fields
    asked = [name for name in fields if fields[name].is_required()] or list(fields)
    found = []
    for name in asked:
        values = labels if len(asked) == 1 and labels else _allowed(fields[name].annotation)
        by_text = {str(value): value for value in values}
        found.append(Question(name, title(prediction, name), fields[name].description, tuple(by_text), by_text))
    return tuple(found)


def entered(form: dict[str, str], asked: tuple[Question, ...], body: type[BaseModel], assist: bool) -> Entered:
    """Reads the decision out of a form. `body` is the outcome as the HTTP interface takes it, with its limits."""
    errors: dict[str, str] = {}
    action = form.get("action") if assist else None
    if assist and action not in ACTIONS:
        errors["action"] = "Choose whether you accept, change or reject the answer."
    given = {
        question.name: question.values.get(form[question.id], form[question.id])
        for question in asked
        if form.get(question.id, "").strip()
    }
    if action == "accepted" and given:
        errors["action"] = (
            "You accept the answer and chose another decision too. Choose to change it, or clear the other."
        )
    if action != "accepted" and (given or action != "rejected"):
        verb = "Choose" if any(question.choices for question in asked) else "Enter"
        errors |= {
            question.id: f"{verb} the {question.title.lower()}."
            for question in asked
            if question.name not in given and "action" not in errors
        }
    values: dict[str, Any] = {
        "action": action,
        "final": given or None,
        "flag": form.get("flag") or None,
        "comment": form.get("comment", "").strip() or None,
        "version": form.get("version") or None,
    }
    if not errors:
        try:
            outcome = body.model_validate(values)
            values = {name: getattr(outcome, name) for name in values}
        except ValidationError as error:
            for problem in error.errors(include_input=False, include_url=False):
                place = [str(part) for part in problem["loc"]]
                errors["-".join(place[:2])] = f"{' '.join(place[:2]).capitalize()}: {problem['msg']}."
    return Entered(values, errors)


def as_form(outcome: dict[str, Any], asked: tuple[Question, ...]) -> dict[str, str]:
    """An outcome as the fields of the form that would give it."""
    form = {name: outcome[name] or "" for name in ("action", "flag", "comment")}
    form["version"] = str(outcome["version"])
    if outcome["final"] is not None and outcome["action"] != "accepted":
        form |= {question.id: text(outcome["final"].get(question.name)) for question in asked}
    return form


def shown(model: type[Item] | type[Prediction], content: dict[str, Any]) -> list[tuple[str, str]]:
    """Titles and values of an item or a prediction, for people."""
    return [(title(model, name), text(value)) for name, value in content.items()]


def title(model: type[BaseModel], name: str) -> str:
    """What a field is called."""
    known = model.model_fields.get(name)
    return (known.title if known else None) or name.replace("_", " ").capitalize()


def text(value: Any) -> str:
    """A value, for people."""
    match value:
        case str():
            return value
        case None:
            return "—"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return str(value)
    return json.dumps(value, ensure_ascii=False, indent=2)


def _allowed(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(member.value for member in annotation)
    return (True, False) if annotation is bool else ()
