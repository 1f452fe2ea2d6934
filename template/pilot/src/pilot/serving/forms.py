"""The form of a decision: what it asks for, made from the team's Prediction, and what was entered."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cached_property
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError

from pilot.contract import Prediction
from pilot.fields import Draft, FieldType, changes, fields_of, lines, number, present
from pilot.records.outcomes import ACTIONS
from pilot.serving.values import text

FLAGS = {
    "wrong": "The answer is wrong",
    "unsafe": "Unsafe or harmful",
    "slow": "Took too long",
    "edge_case": "Unusual case",
    "idea": "Idea for a better service",
}
# Until here all choices are seen at once; more make a list that a letter jumps in.
MOST_RADIOS = 10
# A text that may have more characters than this gets a field of several lines.
SHORT = 200
# Rows for the elements of a list: in an empty form, and at each wish for more.
EMPTY_ROWS, MORE_ROWS = 3, 3
# A schema that is nested deeper, such as one that contains itself, is entered as JSON from there on.
DEEPEST = 6
Edited = tuple[str, list[tuple[str, str]]]
INPUTS = {datetime: "datetime-local", date: "date", time: "time"}


@dataclass(frozen=True, eq=False)
class Question:
    """A field of the Prediction, or of a model in it, that a person fills in. `id` is its name in the form, which the
    names of its parts and rows begin with; `choices` are values by their texts."""

    id: str
    field: FieldType
    choices: dict[str, Any]
    long: bool = False

    @property
    def name(self) -> str:
        return self.field.name

    @property
    def title(self) -> str:
        return self.field.title

    @property
    def hint(self) -> str | None:
        return self.field.description

    @property
    def required(self) -> bool:
        """Whether something must be entered. An empty list is a value too."""
        return not self.field.optional and not self.field.many

    @cached_property
    def control(self) -> str:
        """What it is entered with: `group` and `rows` (of nested models), `radios`, `select`, `checkboxes`, `lines` (a
        text in each), `json`, `long` or `short` (text)."""
        if self.field.nested is not None and self.id.count("-") < DEEPEST:
            return "rows" if self.field.many else "group"
        if self.choices:
            few = len(self.choices) <= MOST_RADIOS
            return "checkboxes" if self.field.many else "radios" if few else "select"
        if self.field.nested is not None or self.field.kind is Any or _structured(self.field.kind):
            return "json"
        return "lines" if self.field.many else "long" if self.long else "short"

    @property
    def draft(self) -> bool:
        """Whether it is a long text, whose differences are shown in the text itself."""
        return isinstance(self.field.comparison, Draft)

    def attributes(self, entered: str) -> dict[str, str]:
        """What makes its input one of a number, of which telephones offer the keys, or of a date. Numbers have no type:
        browsers would drop a decimal comma. A date that a browser's own control could not show stays text."""
        if _numeric(self.field):
            return {"inputmode": "numeric" if issubclass(self.field.kind, int) else "decimal"}
        if isinstance(self.field.kind, type):
            for kind, shown in INPUTS.items():
                if issubclass(self.field.kind, kind) and (not entered or _plain_moment(kind, entered)):
                    return {"type": shown, "step": "any"} if kind is not date else {"type": shown}
        return {}

    @cached_property
    def parts(self) -> tuple[Question, ...]:
        """The questions of a nested model."""
        return _questions(self.field.nested, self.id)

    def row(self, number: int) -> tuple[Question, ...]:
        """The questions of a row, from 0."""
        return _questions(self.field.nested, f"{self.id}-{number}")

    def rows(self, form: Mapping[str, str], *, entered: bool = False) -> list[int]:
        """The numbers of the rows that a form has, or of those where something is entered."""
        pattern = re.compile(rf"{self.id}-(\d{{1,4}})-")
        found = (pattern.match(name) for name, given in form.items() if given.strip() or not entered)
        return sorted({int(match[1]) for match in found if match})

    def shown_rows(self, form: Mapping[str, str]) -> list[int]:
        """The numbers of the rows that a page shows: those of the form, and an empty one at the end."""
        found = self.rows(form)
        if not found:
            return list(range(EMPTY_ROWS))
        return found + [found[-1] + 1] * (found[-1] in self.rows(form, entered=True))

    def entry(self, form: Mapping[str, str]) -> str:
        """The id of the first field that it is entered in."""
        match self.control:
            case "group":
                return self.parts[0].entry(form)
            case "rows":
                return self.row(self.shown_rows(form)[0])[0].entry(form)
        return self.id

    def own(self, form: Mapping[str, str]) -> dict[str, str]:
        """What of a form is entered at this question."""
        if self.control in ("group", "rows"):
            names = [name for name in form if name.startswith(f"{self.id}-")]
        elif self.control == "checkboxes":
            names = [f"{self.id}-{number}" for number in range(len(self.choices))]
        else:
            names = [self.id]
        return {name: form[name] for name in names if form.get(name, "").strip()}


@dataclass(frozen=True)
class Entered:
    """What a person entered: the fields of an outcome, or the errors, by the id of the field that each is at."""

    values: dict[str, Any]
    errors: dict[str, str]


def questions(prediction: type[Prediction], labels: tuple[str, ...]) -> tuple[Question, ...]:
    """Every field of the Prediction. `labels` are the choices of the one that is required."""
    asked = _questions(prediction, "final")
    required = [question for question in asked if question.required] or list(asked)
    if not labels or len(required) > 1:
        return asked
    choices = {label: label for label in labels}
    return tuple(Question(one.id, one.field, choices) if one is required[0] else one for one in asked)


def exchanged(asked: tuple[Question, ...]) -> bool:
    """Whether an answer is a single label, which a person accepts or exchanges for another. Other answers are filled
    in, to be edited."""
    if len(asked) != 1 or not asked[0].required or isinstance(asked[0].field.comparison, Draft):
        return False
    return bool(asked[0].choices) or asked[0].field.kind is str


def _questions(model: type[BaseModel] | None, path: str) -> tuple[Question, ...]:
    found = []
    for name, field in fields_of(model).items() if model else ():
        values = field.choices or ((True, False) if field.kind is bool and not field.many else ())
        notes = model.model_fields[name].metadata if model else ()
        longest = max((getattr(note, "max_length", None) or 0 for note in notes), default=0)
        long = isinstance(field.comparison, Draft) or longest > SHORT
        found.append(Question(f"{path}-{name}", field, {text(value): value for value in values}, long))
    return tuple(found)


def _structured(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Mapping | list | tuple | set | frozenset)


def _numeric(field: FieldType) -> bool:
    numeric = isinstance(field.kind, type) and issubclass(field.kind, int | float | Decimal)
    return numeric and field.kind is not bool and not field.choices


def _plain_moment(kind: Any, entered: str) -> bool:
    with suppress(ValueError):
        return getattr(kind.fromisoformat(entered), "tzinfo", None) is None
    return False


def entered(
    form: dict[str, str],
    asked: tuple[Question, ...],
    body: type[BaseModel],
    assist: bool,
    answer: Prediction | None = None,
) -> Entered:
    """Reads the decision out of a form. `body` is the outcome as the HTTP interface takes it, with its limits.
    `answer` is what the form was filled in with: whether it was changed then follows from what was entered."""
    errors: dict[str, str] = {}
    action, final = (form.get("action") if assist else None), None
    if answer is not None:
        filled_in = as_fields(asked, answer.model_dump(mode="json"))
        rejected, edited = action == "rejected", any(one.own(form) != one.own(filled_in) for one in asked)
        action = "rejected" if rejected else None if edited else "accepted"
        if edited:
            final = _read(asked, form, errors, answer.model_dump(mode="json"), filled_in)
    else:
        given = any(question.own(form) for question in asked)
        if assist and action not in ACTIONS:
            errors["action"] = "Choose whether you accept, change or reject the answer."
        elif action == "accepted" and given:
            errors["action"] = (
                "You accept the answer and chose another decision too. Choose to change it, or clear the other."
            )
        elif action != "accepted" and (given or action != "rejected"):
            final = _read(asked, form, errors)
    values: dict[str, Any] = {
        "action": action,
        "final": final,
        "flag": form.get("flag") or None,
        "comment": form.get("comment", "").strip() or None,
        "version": form.get("version") or None,
    }
    if not errors:
        try:
            outcome = body.model_validate_json(json.dumps(values))
            values = {name: getattr(outcome, name) for name in values}
        except ValidationError as error:
            for problem in error.errors(include_input=False, include_url=False):
                (place, called), said = _place(problem["loc"], asked, form), _said(problem)
                errors.setdefault(place, f"{called}: {said}." if called else f"{said[:1].upper()}{said[1:]}.")
        else:
            if answer is not None and action is None:
                values["action"] = "accepted" if answer.agrees(values["final"]) else "changed"
    return Entered(values, errors)


def _read(
    asked: tuple[Question, ...],
    form: dict[str, str],
    errors: dict[str, str],
    answer: Mapping[str, Any] | None = None,
    filled_in: Mapping[str, str] | None = None,
    where: str = "",
) -> dict[str, Any]:
    """The values that were entered, by name. What is missing or unreadable goes to `errors`, with `where` it is. A
    field of the answer that was left as it was `filled_in` keeps its very value, whatever a form can show of it."""
    values: dict[str, Any] = {}
    for question in asked:
        if answer is not None and question.own(form) == question.own(filled_in or {}):
            values[question.name] = answer.get(question.name)
            continue
        value = _value(question, form, errors, where)
        if present(value) or value == {}:
            values[question.name] = value
        elif not question.field.optional:
            values[question.name] = value
            if question.required and question.id not in errors:
                verb = "Choose" if question.choices else "Enter"
                errors[question.id] = f"{verb} the {_inside(question.title)}{where and f' ({where})'}."
    return values


def _value(question: Question, form: dict[str, str], errors: dict[str, str], where: str) -> Any:
    given = form.get(question.id, "")
    match question.control:
        case "group":
            untouched = question.field.optional and not question.own(form)
            inside = _within(where, question.title)
            return None if untouched else _read(question.parts, form, errors, where=inside)
        case "rows":
            shown = question.shown_rows(form)
            return [
                _read(question.row(number), form, errors, where=_row(where, question, shown.index(number)))
                for number in question.rows(form, entered=True)
            ]
        case "checkboxes":
            every = enumerate(question.choices.values())
            return [value for number, value in every if f"{question.id}-{number}" in form]
    if not given.strip():
        return [] if question.field.many else None
    try:
        match question.control:
            case "radios" | "select":
                return question.choices.get(given, given)
            case "lines":
                return [_scalar(question.field, line) for line in given.splitlines() if line.strip()]
            case "json":
                return _json(given)
            case "long":
                return given
        return _scalar(question.field, given)
    except ValueError as error:
        errors[question.id] = f"{question.title}{where and f' ({where})'}: {error}."
        return None


def _json(given: str) -> Any:
    try:
        return json.loads(given)
    except ValueError as error:
        raise ValueError(f"enter it as JSON; {error}") from error


def _scalar(field: FieldType, given: str) -> Any:
    given = given.strip()
    return number(given, field.kind) if _numeric(field) else given


def _within(where: str, title: str) -> str:
    return f"{where}, {_inside(title)}" if where else title


def _row(where: str, rows: Question, position: int) -> str:
    return f"{_within(where, rows.title)}, row {position + 1}"


def _place(loc: tuple[int | str, ...], asked: tuple[Question, ...], form: dict[str, str]) -> tuple[str, str]:
    """The id of the field that an error is at, and what it is called; nothing where it is about them all."""
    if loc[0] != "final":
        return str(loc[0]), str(loc[0]).capitalize()
    place, called, where, known = "final", "", "", asked
    rows: Question | None = None
    for part in loc[1:]:
        if rows is not None and isinstance(part, int):
            number = rows.rows(form, entered=True)[part]
            called = where = _row(where, rows, rows.shown_rows(form).index(number))
            place, known, rows = f"{rows.id}-{number}", rows.row(number), None
            continue
        found = next((question for question in known if question.name == part), None)
        if found is None:
            break
        place, called = found.id, f"{found.title}{where and f' ({where})'}"
        rows = found if found.control == "rows" else None
        known = found.parts if found.control == "group" else ()
        where = _within(where, found.title) if found.control == "group" else where
    return place, called


_SAID = {
    "missing": "enter it",
    "string_too_long": "it may have {max_length} characters at most",
    "string_too_short": "it needs {min_length} characters at least",
    "too_long": "it may have {max_length} entries at most",
    "too_short": "it needs {min_length} entries at least",
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be {ge} or more",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be {le} or less",
    "multiple_of": "it must be a multiple of {multiple_of}",
    "decimal_max_places": "it may have {decimal_places} digits after the point at most",
    "int_parsing": "enter a whole number, such as 12",
    "date_from_datetime_parsing": "enter a date, such as 2026-11-30",
    "date_parsing": "enter a date, such as 2026-11-30",
    "datetime_from_date_parsing": "enter a date and a time, such as 2026-11-30 14:05",
    "datetime_parsing": "enter a date and a time, such as 2026-11-30 14:05",
    "timezone_aware": "add the time zone, such as 2026-11-30 14:05Z",
    "time_parsing": "enter a time, such as 14:05",
    "enum": "it must be {expected}",
    "literal_error": "it must be {expected}",
}


def _said(problem: Any) -> str:
    """An error of Pydantic in the words of a form."""
    if problem["type"] in _SAID:
        return _SAID[problem["type"]].format(**problem.get("ctx", {}))
    return str(problem["msg"]).removeprefix("Value error, ").rstrip(".")


def _inside(title: str) -> str:
    """A title within a sentence. One that begins with an abbreviation stays as it is."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def as_form(
    outcome: dict[str, Any], asked: tuple[Question, ...], answer: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """An outcome as the fields of the form that would give it. `answer` is what that form is filled in with."""
    form = {name: outcome[name] or "" for name in ("action", "flag", "comment")}
    form["version"] = str(outcome["version"])
    if answer is not None:
        return form | as_fields(asked, outcome["final"] or answer)
    if outcome["final"] is not None and outcome["action"] != "accepted":
        form |= as_fields(asked, outcome["final"])
    return form


def as_fields(asked: tuple[Question, ...], content: Mapping[str, Any]) -> dict[str, str]:
    """A prediction, given as JSON, as the fields of the form that would give it."""
    form: dict[str, str] = {}
    for question in asked:
        value: Any = content.get(question.name)
        if not present(value):
            continue
        match question.control:
            case "group":
                form |= as_fields(question.parts, value)
            case "rows":
                for number, row in enumerate(value):
                    form |= dict.fromkeys((part.id for part in question.row(number)), "")
                    form |= as_fields(question.row(number), row)
            case "checkboxes":
                chosen = {text(one) for one in value}
                form |= {f"{question.id}-{n}": one for n, one in enumerate(question.choices) if one in chosen}
            case "lines":
                form[question.id] = "\n".join(" ".join(text(one).split()) for one in value)
            case "json":
                form[question.id] = json.dumps(value, ensure_ascii=False, indent=2)
            case _:
                form[question.id] = _field(question.field, text(value))
    return form


def _field(field: FieldType, value: str) -> str:
    """A value as a browser gives it back."""
    if isinstance(field.kind, type) and issubclass(field.kind, datetime | time):
        return re.sub(r"(:\d\d):00$", r"\1", value)
    return value.replace("\r\n", "\n").replace("\r", "\n")


def more_rows(form: dict[str, str], asked: tuple[Question, ...], wanted: str) -> str:
    """Adds rows to the list of this id, and returns the id of the first one's first field; else nothing."""
    found = _find(asked, wanted, form)
    if found is None:
        return ""
    first = max(found.rows(form), default=-1) + 1
    for place in range(first, first + MORE_ROWS):
        form |= {part.id: "" for part in found.row(place)}
    return found.row(first)[0].entry(form)


def _find(asked: tuple[Question, ...], wanted: str, form: dict[str, str]) -> Question | None:
    """The list of nested models of this id."""
    for question in asked:
        if question.control == "rows" and question.id == wanted:
            return question
        if not wanted.startswith(f"{question.id}-"):
            continue
        if question.control == "group":
            return _find(question.parts, wanted, form)
        if question.control == "rows":
            inner = (_find(question.row(number), wanted, form) for number in question.rows(form))
            return next((found for found in inner if found is not None), None)
    return None


def drafts(asked: tuple[Question, ...], answer: Prediction, final: Prediction) -> list[Edited]:
    """What was changed in each draft, by its title, as `fields.changes` gives it."""
    edited = []
    for question in asked:
        before, after = getattr(answer, question.name), getattr(final, question.name)
        written = question.draft and not question.field.many
        if written and lines(before or "") != lines(after or ""):
            edited.append((question.title, list(changes(before or "", after or ""))))
    return edited
