"""Documents as files: their text, the facts in their front matter, and the line of each fact."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pilot.contract import PilotError

Facts = TypeVar("Facts", bound=BaseModel)


class _EachOnce(yaml.SafeLoader):
    """Refuses a fact that stands twice, of which YAML would take the last without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for place, (key, _) in enumerate(node.value):
            if key.value in names[:place]:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
        return super().construct_mapping(node, deep)


class AsWritten(_EachOnce):
    """Takes each value as it was written, and leaves it to the model what it is. YAML itself would read the telephone
    number 0301234567 as an octal number, and 18:30 as 1110."""


AsWritten.yaml_implicit_resolvers = {
    first: [resolver for resolver in resolvers if resolver[0] == "tag:yaml.org,2002:null"]
    for first, resolvers in _EachOnce.yaml_implicit_resolvers.items()
}


def parse(model: type[Facts], text: str, file: Path, loader: type[yaml.SafeLoader] = _EachOnce) -> Facts:
    """The facts in the front matter of a paper's text. Raises PilotError that names `file`, the line and the mend."""
    lines = split(text, file)[0]
    try:
        # The first fence stays, so that the parser counts lines as the file does.
        facts = yaml.load("\n".join(lines), loader)  # noqa: S506 - a safe loader that refuses repeated keys
    except (yaml.YAMLError, ValueError) as error:
        # A day such as 2027-02-30 is a ValueError without a place.
        mark = getattr(error, "problem_mark", None)
        raise PilotError(
            f"{file}{f', line {mark.line + 1}' if mark else ''}: is not YAML ({getattr(error, 'problem', error)}). "
            "Write each fact once, and put a text that holds a colon, a hash or a quote into double quotes."
        ) from error
    return _checked(model, facts, file, lines, yaml_lines(lines))


def split(text: str, file: Path) -> tuple[list[str], list[str]]:
    """The lines of a paper's facts, its first fence included, and the lines of its prose.

    Raises PilotError that names `file` where the two fences are not there.
    """
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if line.rstrip() == "---"][:2]
    if len(fences) < 2 or fences[0] != 0:
        raise PilotError(
            f"{file}, line 1: the facts must stand between two lines of three dashes at the top. "
            "Put those lines back, as in the first version of the file."
        )
    return lines[: fences[1]], lines[fences[1] + 1 :]


Lines = dict[tuple[str, ...], int]


def yaml_lines(lines: list[str]) -> Lines:
    """The line, from 1, of each fact in the lines of a front matter, by its keys and its places in lists, from 0."""
    found: Lines = {}
    seen: list[yaml.Node] = []

    def walk(node: yaml.Node | None, place: tuple[str, ...]) -> None:
        # An alias may lead back to where it stands.
        if node is None or any(node is before for before in seen):
            return
        seen.append(node)
        parts: list[tuple[str, yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            parts = [(str(key.value), key, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            parts = [(str(number), value, value) for number, value in enumerate(node.value)]
        for key, begins, value in parts:
            found[(*place, key)] = begins.start_mark.line + 1
            walk(value, (*place, key))

    walk(yaml.compose("\n".join(lines), yaml.SafeLoader), ())
    return found


def nearest(lines: Lines, place: Sequence[str]) -> int | None:
    """The line of the fact at `place`, else of what holds it; None where nothing of it is there."""
    known = (lines.get(tuple(place[:depth])) for depth in range(len(place), 0, -1))
    return next((line for line in known if line), None)


def parse_toml(model: type[Facts], text: str, file: Path) -> Facts:
    """The facts of a paper in TOML. Raises PilotError that names `file`, the line and the mend."""
    try:
        facts = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PilotError(f"{file}: is not TOML ({error}). Write each fact once, as `name = value`.") from error
    return _checked(model, facts, file, text.split("\n"), {})


def read_text(file: Path) -> str | None:
    """The text of a file; None where there is none. Raises PilotError where it is not UTF-8."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise PilotError(f"{file}: cannot be read ({type(error).__name__}). Save it as UTF-8 text.") from error


def _checked(model: type[Facts], facts: Any, file: Path, lines: list[str], known: Lines) -> Facts:
    """`facts` as a `model`. Raises PilotError that lists all that is wrong, each with its line where it can be told."""
    try:
        return model.model_validate({} if facts is None else facts)
    except ValidationError as error:
        problems = []
        for problem in error.errors(include_url=False):
            place = [str(part) for part in problem["loc"]]
            mend = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                near = get_close_matches(place[-1], _names(model), 1)
                mend = "is not known; " + (f"did you mean {near[0]}?" if near else "remove it")
            line = nearest(known, place) or line_of(lines, place)
            problems.append(f"{file}{f', line {line}' if line else ''}: {'.'.join(place) or 'the facts'}: {mend}")
        raise PilotError("Mend these facts, or leave them empty:\n  " + "\n  ".join(problems)) from error


def _names(model: type[BaseModel]) -> set[str]:
    """The facts of a paper, those of its parts included."""
    names = set(model.model_fields)
    for field in model.model_fields.values():
        for part in models_of(field.annotation):
            names |= _names(part)
    return names


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, inside of lists and alternatives too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_of(part)]


def line_of(lines: list[str], place: Sequence[str]) -> int | None:
    """The line, from 1, where the last key of `place` stands below the keys before it, as far as the text shows it."""
    found, start = None, 0
    for depth, key in enumerate(place):
        pattern = re.compile((r"(?:^|[\s{,])" if depth else "^") + re.escape(key) + r"\s*[:=]")
        number = next((number for number in range(start, len(lines)) if pattern.search(lines[number])), None)
        if number is not None:
            found, start = number + 1, number
    return found
