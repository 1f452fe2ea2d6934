"""The facts of the charter and the objectives of the service, which both the service and the workbench read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from pilot.contract import PilotError
from pilot.frontmatter import AnyDay, parse, parse_toml, read_text
from pilot.metrics import OF_A_FIELD, OF_ALL_FIELDS, OF_THE_MODEL, UNITS, metric_of

CHARTER = Path("phases/1-scope/charter.md")
OBJECTIVES = Path("phases/4-harden/slo.toml")
# Where the charter does not say.
LEAST_COVERAGE = 0.8
LEAST_INTERVIEWS = 3
AUDIT_SHARE = 0.05

Direction = Literal["up", "down"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]


def _metric(name: str) -> str:
    """The name of a metric that a target can be about."""
    try:
        metric_of(name)
    except PilotError as error:
        raise ValueError(str(error).rstrip(".")) from None
    if name in OF_THE_MODEL:
        raise ValueError(f"{name} can be a guardrail, and no target")
    return name


Metric = Annotated[
    str,
    AfterValidator(_metric),
    WithJsonSchema(
        {"anyOf": [{"enum": [*UNITS, *OF_ALL_FIELDS]}, {"type": "string", "pattern": f"^({'|'.join(OF_A_FIELD)}):"}]}
    ),
]
_OR_EMPTY = BeforeValidator(lambda value: {} if value is None else value)
_OR_NONE_OF_THEM = BeforeValidator(lambda value: [] if value is None else value)


def _number(value: Any) -> Any:
    """A number as such, any other text as it is."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


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
    measured_from: AnyDay | None = None
    looks: Literal[1, 2] | None = None
    blind: bool | None = None
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
    decision_by: AnyDay | None = None
    owner: Annotated[Owner, _OR_EMPTY] = Owner()
    receiving_owner: Annotated[Person, _OR_EMPTY] = Person()
    budget: Annotated[float | str | None, BeforeValidator(_number)] = None
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
    def audited(self) -> float:
        """The share of the answers in auto that people judge all the same."""
        return AUDIT_SHARE if self.audit_share is None else self.audit_share

    @property
    def least_coverage(self) -> float:
        """The share of the items that wait for a person which must have an outcome."""
        return LEAST_COVERAGE if self.coverage_floor is None else self.coverage_floor


class Load(_Facts):
    """How the items of a day come: the share of the busiest hour, how many times the rate of that hour comes in bursts,
    and how many times the volume of the charter is to be borne."""

    peak_hour_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    burst: Annotated[float, Field(ge=1)] = 5
    growth: Annotated[float, Field(ge=1)] = 2

    def peak(self, daily: float) -> float:
        """The rate that the service must bear, in requests a second, for so many items a day."""
        return daily * self.peak_hour_share / 3600 * self.burst * self.growth


class Objectives(_Facts):
    """What the service promises: `availability` is the share of requests that are answered without a server error over
    `window_days`; `latency_p95_ms` and `latency_p99_ms` (four times that where it is not stated) bound 95 and 99 of 100
    predictions, in milliseconds; within `judged_within_days` a person has decided each item that waits for one. `load`
    is how items come."""

    availability: Annotated[float, Field(gt=0, lt=1)] = 0.99
    window_days: Annotated[int, Field(ge=1, le=366)] = 28
    latency_p95_ms: Annotated[float, Field(gt=0)] = 250
    latency_p99_ms: Annotated[float, Field(gt=0)] | None = None
    judged_within_days: Annotated[float, Field(gt=0)] = 7
    load: Load = Load()


def read_charter(root: Path) -> Charter | None:
    """The facts of the charter of the pilot in `root`; None where there is no charter. Raises PilotError."""
    text = read_text(root / CHARTER)
    return None if text is None else parse_charter(text)


def parse_charter(text: str) -> Charter:
    """The facts of a charter's text. Raises PilotError."""
    return parse(Charter, text, CHARTER).facts


def read_objectives(root: Path) -> Objectives:
    """The objectives of the pilot in `root`; the defaults where there is no file. Raises PilotError."""
    text = read_text(root / OBJECTIVES)
    return Objectives() if text is None else parse_toml(Objectives, text, OBJECTIVES).facts
