"""Reads documents: the facts of a front matter, of TOML or of a table, each with its line, and what is wrong."""

from __future__ import annotations

import csv
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ValidationError

from pilot.contract import PilotError

Facts = TypeVar("Facts", bound=BaseModel)


@dataclass(frozen=True)
class Issue:
    """What is wrong, where, and how to fix it. `line` counts from 1, `rule` is the id of the gate's rule."""

    file: str
    line: int | None
    what: str
    fix: str
    rule: str = ""

    @property
    def place(self) -> str:
        """The file, with the line as editors and terminals link it."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        return f"{self.place}: {self.what} {self.fix}"


def under(rule: str, issues: Iterable[Issue]) -> list[Issue]:
    """The issues as those of a gate's rule."""
    return [replace(issue, rule=rule) for issue in issues]


class Unreadable(PilotError):
    """A document that cannot be read, with all that is wrong."""

    def __init__(self, *issues: Issue) -> None:
        super().__init__("\n".join(map(str, issues)))
        self.issues = issues


class Fault(NamedTuple):
    """What is wrong with the fact at `place`: its keys and its places in lists, from 0, such as `rotation.0.name`; with
    the whole where that is empty."""

    place: str
    what: str
    fix: str


@dataclass(frozen=True)
class Document(Generic[Facts]):
    """The facts of a document, or of one row of a table, and the line of each by its place. `prose` is what follows a
    front matter, from line `prose_line` on."""

    file: Path
    facts: Facts
    lines: Mapping[str, int]
    prose: list[str] = field(default_factory=list)
    prose_line: int = 1

    def issue(self, fault: Fault, rule: str = "") -> Issue:
        """A fault of this document, with the line of the fact, or else of what holds it."""
        return _issue(self.file, self.lines, fault, rule)


def _day(value: Any) -> Any:
    """A day as people write it; a bare number is not read as seconds since 1970."""
    if value is None or isinstance(value, date):
        return value
    parts = re.fullmatch(r"\s*(\d{4})-(\d\d?)-(\d\d?)\s*", str(value))
    try:
        return date(*map(int, parts.groups() if parts else ()))
    except (TypeError, ValueError):
        raise ValueError("Input should be a valid date such as 2027-02-10") from None


AnyDay = Annotated[date, BeforeValidator(_day)]


def midnight(day: date) -> datetime:
    """The moment at which a day begins, in UTC."""
    return datetime.combine(day, datetime.min.time(), UTC)


class _AsWritten(yaml.SafeLoader):
    """Reads each value as it was written and refuses repeated names. The model knows what a value is; YAML would read
    the telephone number 0301234567 as an octal number, and 18:30 as 1110."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for place, (key, _) in enumerate(node.value):
            if key.value in names[:place]:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
        return super().construct_mapping(node, deep)


_AsWritten.yaml_implicit_resolvers = {
    first: [resolver for resolver in resolvers if resolver[0].endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_text(file: Path) -> str | None:
    """The text of a file; None where there is none. Raises Unreadable where it is not UTF-8."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read ({type(error).__name__})."
        raise Unreadable(Issue(file.as_posix(), None, what, "Save it as UTF-8 text.")) from error


def replace_text(file: Path, text: str) -> None:
    """Replaces a file as a whole, so that an interrupted write leaves the one before. Raises OSError."""
    draft = file.with_name(f".{file.name}.draft")
    draft.write_text(text, encoding="utf-8", newline="\n")
    os.replace(draft, file)


def text_of(root: Path, file: Path) -> str:
    """The text of a document of the pilot in `root`. Raises Unreadable where it is missing, or not UTF-8."""
    text = read_text(root / file)
    if text is None:
        raise Unreadable(Issue(file.as_posix(), None, "is not there.", f"Add it: `pilot paper add {file.name}`."))
    return text


def parse(model: type[Facts], text: str, file: Path) -> Document[Facts]:
    """The document of a text with a front matter in YAML. Raises Unreadable."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if line.rstrip() == "---"][:2]
    if len(fences) < 2 or fences[0] != 0:
        what = "the facts must stand between two lines of three dashes at the top."
        raise Unreadable(Issue(file.as_posix(), 1, what, "Put those lines back, as in the first version of the file."))
    # The first fence stays, so that the parser counts lines as the file does.
    head = "\n".join(lines[: fences[1]])
    try:
        facts = yaml.load(head, _AsWritten)  # noqa: S506 - a safe loader that refuses repeated keys
        places = _yaml_lines(yaml.compose(head, yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = f"is not YAML ({getattr(error, 'problem', error)})."
        fix = "Write each fact once, and put a text that holds a colon, a hash or a quote into double quotes."
        raise Unreadable(Issue(file.as_posix(), mark.line + 1 if mark else None, what, fix)) from error
    prose = lines[fences[1] + 1 :]
    return Document(file, validated(model, facts, file, places), places, prose, fences[1] + 2)


def parse_toml(model: type[Facts], text: str, file: Path) -> Document[Facts]:
    """The document of a text in TOML without tables. Raises Unreadable."""
    try:
        facts = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what = f"is not TOML ({error})."
        raise Unreadable(Issue(file.as_posix(), None, what, "Write each fact once, as `name = value`.")) from error
    named = (re.match(r"\s*([\w-]+)\s*=", line) for line in text.split("\n"))
    places = {name[1]: line for line, name in enumerate(named, 1) if name}
    return Document(file, validated(model, facts, file, places), places)


def parse_table(model: type[Facts], text: str, file: Path) -> tuple[list[Document[Facts]], list[Issue]]:
    """The rows of a table in CSV, and what is wrong with those that cannot be read. An empty cell is none, and a row
    without a value is left out. Raises Unreadable where the table as a whole is broken.
    """

    def broken(line: int, what: str, fix: str) -> Unreadable:
        return Unreadable(Issue(file.as_posix(), line, what, fix))

    columns = list(model.model_fields)
    reader = csv.reader(text.removeprefix("\ufeff").splitlines(keepends=True), strict=True)
    rows: list[Document[Facts]] = []
    issues: list[Issue] = []
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        faults = {
            "is missing": [name for name in columns if name not in header],
            "repeats": sorted({name for name in header if header.count(name) > 1}),
            "does not know": [name for name in header if name not in columns],
        }
        said = [f"{how} {', '.join(map(repr, names))}" for how, names in faults.items() if names]
        if said:
            raise broken(1, f"the header {', '.join(said)}.", f"Write it as {','.join(columns)}.")
        begins = reader.line_num + 1
        for row in reader:
            cells = {name: cell.strip() for name, cell in zip(header, row, strict=False) if cell.strip()}
            if cells and len(row) != len(header):
                what = f"the row has {len(row)} fields, and the header {len(header)}."
                raise broken(begins, what, 'Put a text that holds a comma into double quotes, as in "a, b".')
            if cells:
                lines = {"": begins}
                try:
                    rows.append(Document(file, validated(model, cells, file, lines), lines))
                except Unreadable as error:
                    issues.extend(error.issues)
            begins = reader.line_num + 1
    except csv.Error as error:
        fix = 'Write a quote inside a text twice, as in "".'
        raise broken(reader.line_num, f"is not CSV ({error}).", fix) from error
    return rows, issues


def validated(model: type[Facts], facts: Any, file: Path, lines: Mapping[str, int]) -> Facts:
    """`facts` as a `model`. Raises Unreadable with each mistake and its line."""
    try:
        return model.model_validate({} if facts is None else facts)
    except ValidationError as error:
        raise Unreadable(*(_issue(file, lines, fault) for fault in faults_of(model, error))) from error


def faults_of(model: type[BaseModel], error: ValidationError) -> list[Fault]:
    """The mistakes that broke the schema. A field's description completes the fix: `Write ...`."""
    found = []
    for one in error.errors(include_url=False):
        *holders, name = [str(part) for part in one["loc"]] or ["the facts"]
        what = f"{one['msg'].removeprefix('Value error, ')}."
        described = _description(model, [*holders, name])
        fix = f"Write {described}." if described else "Fix it, or leave it empty."
        if one["type"] == "extra_forbidden":
            near = get_close_matches(name, _names(model), 1)
            what, fix = "is not known.", f"Did you mean {near[0]}?" if near else "Remove it."
        found.append(Fault(".".join([*holders, name]), what, fix))
    return found


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, inside of lists and alternatives too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_of(part)]


def _names(model: type[BaseModel]) -> set[str]:
    """The names of a model's facts, those of its parts included."""
    parts = [part for field in model.model_fields.values() for part in models_of(field.annotation)]
    return set(model.model_fields).union(*map(_names, parts))


def _description(model: type[BaseModel], place: list[str]) -> str | None:
    """The description of the fact at a place of a model."""
    models, description = [model], None
    for name in place:
        described = next((model.model_fields[name] for model in models if name in model.model_fields), None)
        if described is not None:
            models, description = models_of(described.annotation), described.description
    return description


def _yaml_lines(root: yaml.Node | None) -> dict[str, int]:
    """The line of each fact by its place."""
    found: dict[str, int] = {}
    seen: list[yaml.Node] = []

    def walk(node: yaml.Node | None, place: str) -> None:
        # An alias may lead back to itself.
        if node is None or any(node is before for before in seen):
            return
        seen.append(node)
        parts: list[tuple[str, yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            parts = [(str(key.value), key, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            parts = [(str(number), value, value) for number, value in enumerate(node.value)]
        for name, begins, value in parts:
            found[f"{place}{name}"] = begins.start_mark.line + 1
            walk(value, f"{place}{name}.")

    walk(root, "")
    return found


def _issue(file: Path, lines: Mapping[str, int], fault: Fault, rule: str = "") -> Issue:
    place = fault.place
    while place and place not in lines:
        place = place.rpartition(".")[0]
    what = f"{fault.place}: {fault.what}" if fault.place else fault.what
    return Issue(file.as_posix(), lines.get(place), what, fault.fix, rule)
