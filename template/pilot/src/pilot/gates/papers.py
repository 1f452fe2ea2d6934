"""The papers under `phases/` that hold facts: the charter, and the objectives of the service."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pilot.contract import PilotError

CHARTER = Path("phases/1-scope/charter.md")
OBJECTIVES = Path("phases/4-harden/slo.toml")
# Where the charter does not say.
LEAST_COVERAGE = 0.8
LEAST_INTERVIEWS = 3

Metric = Literal["accuracy", "cycle_time", "manual_touches", "cost_per_item"]
Direction = Literal["up", "down"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
_OR_EMPTY = BeforeValidator(lambda value: {} if value is None else value)
_OR_NONE_OF_THEM = BeforeValidator(lambda value: [] if value is None else value)


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


Facts = TypeVar("Facts", bound=BaseModel)


class Guardrail(_Facts):
    """What must not get worse by more than the margin, in the unit of its metric."""

    metric: str
    direction: Direction
    margin: Amount


class Alternative(_Facts):
    """What could solve the problem without AI, and why it is not enough."""

    option: str
    why_not: str


class Person(_Facts):
    """One person, as far as known."""

    name: str | None = None
    email: str | None = None


class Owner(Person):
    """The owner, with the authority that the person has over both sides."""

    technical_authority: bool | None = None
    operational_authority: bool | None = None


class Charter(_Facts):
    """The front matter of the charter. A fact that is not known yet is None, or an empty list.

    Shares and floors are in [0, 1], volumes are items on a working day, `weeks` is the pilot's length.
    """

    pilot: str | None = None
    regulated: bool | None = None
    build_or_buy: Literal["build", "buy"] | None = None
    metric: Metric | None = None
    unit: str | None = None
    direction: Direction | None = None
    target: float | None = None
    population: str | None = None
    data_source: str | None = None
    window: str | None = None
    judged_items: Count | None = None
    volume_now: Amount | None = None
    volume_production: Amount | None = None
    busiest_hour_share: Share | None = None
    guardrails: Annotated[list[Guardrail], _OR_NONE_OF_THEM] = []
    coverage_floor: Share | None = None
    audit_share: Share | None = None
    interviews_min: Count | None = None
    interval: Literal["fixed", "always_valid"] | None = None
    currency: str | None = None
    cost_of_hour: Amount | None = None
    weeks: Annotated[int, Field(ge=1)] | None = None
    decision_by: date | None = None
    owner: Annotated[Owner, _OR_EMPTY] = Owner()
    receiving_owner: Annotated[Person, _OR_EMPTY] = Person()
    budget: float | str | None = None
    risks: Annotated[list[str], _OR_NONE_OF_THEM] = []
    kill_criteria: Annotated[list[str], _OR_NONE_OF_THEM] = []
    alternatives: Annotated[list[Alternative], _OR_NONE_OF_THEM] = []
    people_affected: bool | None = None
    personal_data: bool | None = None
    automated_decision: bool | None = None
    use: Literal["ordinary", "high_risk", "prohibited"] | None = None
    oversight: str | None = None
    log_days: Count | None = None
    impact_note: str | None = None

    @property
    def least_interviews(self) -> int:
        """The least number of conversations with users before a go."""
        return LEAST_INTERVIEWS if self.interviews_min is None else self.interviews_min

    @property
    def least_coverage(self) -> float:
        """The share of the items that wait for a person which must have an outcome."""
        return LEAST_COVERAGE if self.coverage_floor is None else self.coverage_floor


class Objectives(_Facts):
    """What the service promises: `availability` is the share of requests that are answered without a server error over
    `window_days`; `latency_p95_ms` bounds 95 of 100 predictions, in milliseconds."""

    availability: Annotated[float, Field(gt=0, lt=1)] = 0.99
    window_days: Annotated[int, Field(ge=1, le=366)] = 28
    latency_p95_ms: Annotated[float, Field(gt=0)] = 250

    @property
    def error_ratio(self) -> float:
        """The share of requests that may end in a server error."""
        return 1 - self.availability


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


def read_charter(root: Path) -> Charter | None:
    """The facts of the charter of the pilot in `root`; None where there is no charter.

    Raises PilotError that names the file, the line and the mend when they cannot be read.
    """
    text = read_text(root / CHARTER)
    return None if text is None else parse_charter(text)


def parse_charter(text: str) -> Charter:
    """The facts of a charter's text. Raises PilotError that names the line and the mend when they cannot be read."""
    return parse(Charter, text, CHARTER)


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


def split(text: str, file: Path = CHARTER) -> tuple[list[str], list[str]]:
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


def read_objectives(root: Path) -> Objectives:
    """The objectives of the pilot in `root`; the defaults where there is no file.

    Raises PilotError that names the file, the line and the mend when they cannot be read.
    """
    text = read_text(root / OBJECTIVES)
    return Objectives() if text is None else parse_toml(Objectives, text, OBJECTIVES)


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
        for part in _models(field.annotation):
            names |= _names(part)
    return names


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, inside of lists and alternatives too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def line_of(lines: list[str], place: Sequence[str]) -> int | None:
    """The line, from 1, where the last key of `place` stands below the keys before it, as far as the text shows it."""
    found, start = None, 0
    for depth, key in enumerate(place):
        pattern = re.compile((r"(?:^|[\s{,])" if depth else "^") + re.escape(key) + r"\s*[:=]")
        number = next((number for number in range(start, len(lines)) if pattern.search(lines[number])), None)
        if number is not None:
            found, start = number + 1, number
    return found
