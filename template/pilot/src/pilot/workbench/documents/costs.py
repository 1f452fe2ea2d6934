"""What production costs and brings: the stated ranges, joined with what charter, baseline and records know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from pilot.charter import Charter
from pilot.frontmatter import Document, Fault, Issue, Unreadable, parse_toml, text_of
from pilot.workbench import projection as projecting
from pilot.workbench.documents import charter_rules
from pilot.workbench.projection import FIXED, LEAST, Measured, Projection, Range

COSTS = Path("phases/3-decide/costs.toml")
Source = Literal["stated", "charter", "baseline", "measured"]
_NUMBER = {"type": "number", "minimum": 0}
_FORM = "write [low, likely, high] in ascending order, or one number, or [] while it is not known"


def _range(value: Any) -> Range | None:
    """A range as people write it: three numbers, or one that is certain; none while it is not known."""
    numbers = value if isinstance(value, list) else [value] * 3
    if not numbers:
        return None
    if len(numbers) != 3 or any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
        raise ValueError(_FORM)
    if any(not isfinite(one) or one < 0 for one in numbers):
        raise ValueError("write numbers of 0 or more")
    if not numbers[0] <= numbers[1] <= numbers[2]:
        raise ValueError(_FORM)
    return Range(*map(float, numbers))


def _share(value: Any) -> Range | None:
    found = _range(value)
    if found is not None and found.high > 1:
        raise ValueError("write shares between 0 and 1, such as [0.1, 0.15, 0.3]")
    return found


def _factor(value: Any) -> float | None:
    found = _range(value)
    if found is not None and not found.certain:
        raise ValueError("write one number, such as 2")
    return None if found is None else found.likely


def _schema(number: dict[str, Any]) -> WithJsonSchema:
    three = {"type": "array", "items": number, "minItems": 3, "maxItems": 3}
    return WithJsonSchema({"anyOf": [number, three, {"type": "array", "maxItems": 0}]})


Stated = Annotated[Range | None, BeforeValidator(_range), _schema(_NUMBER)]
Share = Annotated[Range | None, BeforeValidator(_share), _schema({**_NUMBER, "maximum": 1})]
Factor = Annotated[
    float | None,
    BeforeValidator(_factor),
    WithJsonSchema({"anyOf": [_NUMBER, {"type": "array", "maxItems": 0}]}),
]


class Costs(BaseModel):
    """The facts of costs.toml. Amounts are in the charter's currency, fixed parts and benefits per month; None is not
    known."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    items_per_day: Stated = None
    working_days: Stated = None
    cost_of_hour: Stated = None
    minutes_today: Stated = None
    reviewed_share: Share = None
    review_minutes: Stated = None
    override_share: Share = None
    override_minutes: Stated = None
    failed_share: Share = None
    price_per_call: Stated = None
    tokens_per_item: Stated = None
    price_per_million_tokens: Stated = None
    retries_share: Stated = None
    price_per_machine_hour: Stated = None
    seconds_per_item: Stated = None
    price_change: Factor = None
    infrastructure: Stated = None
    on_call: Stated = None
    monitoring: Stated = None
    retraining: Stated = None
    licences: Stated = None
    other_benefit: Stated = None


@dataclass(frozen=True)
class Input:
    """One input of the projection, by its name there: the range, where it is from, and that in words."""

    name: str
    range: Range
    source: Source
    said: str


@dataclass(frozen=True)
class Costed:
    """The projection of the pilot, None while an input is missing; `issues` are what is missing or wrong, each with
    its line. `price_change` is the factor that the document names, or None."""

    currency: str
    inputs: tuple[Input, ...]
    price_change: float | None
    projection: Projection | None
    issues: tuple[Issue, ...]

    @property
    def pays(self) -> bool:
        """Whether the net benefit of a month is more than nothing in half of the draws or more."""
        return self.projection is not None and self.projection.net.p50 > 0


def read(root: Path) -> Document[Costs]:
    """The costs of the pilot in `root`. Raises Unreadable."""
    return parse_toml(Costs, text_of(root, COSTS), COSTS)


def projection(
    root: Path, charter: Charter, costs_today: Sequence[float], measured: Mapping[str, Measured] | None = None
) -> Costed:
    """A month of production of the pilot in `root`: what people stated, else what the charter, the frozen baseline
    (`costs_today`, of one item each) and the records (`measured`) know.

    Raises PilotError when the charter cannot be read, or without the extra `evaluation`.
    """
    currency = charter.currency or ""
    try:
        document = read(root)
    except Unreadable as error:
        return Costed(currency, (), None, None, error.issues)
    costs = document.facts
    inputs = _inputs(costs, charter, costs_today, measured or {})
    issues = [document.issue(fault) for fault in _missing(costs, charter, inputs)]
    ranges = {name: found.range for name, found in inputs.items()}
    found = None if issues else projecting.project(ranges, costs.price_change)
    if not currency:
        fix = "Write it, such as EUR: amounts without one say nothing."
        issues.append(charter_rules.read(root).issue(Fault("currency", "is empty.", fix)))
    return Costed(currency, tuple(inputs.values()), costs.price_change, found, tuple(issues))


def _inputs(
    costs: Costs, charter: Charter, costs_today: Sequence[float], measured: Mapping[str, Measured]
) -> dict[str, Input]:
    """Each input that somebody or something knows."""
    found = {
        name: Input(name, of, "stated", "stated")
        for name in Costs.model_fields
        if isinstance(of := getattr(costs, name), Range)
    }

    def add(name: str, of: Range, source: Source, said: str) -> None:
        found.setdefault(name, Input(name, of, source, said))

    for name, fact in (("items_per_day", "volume_production"), ("cost_of_hour", "cost_of_hour")):
        value = getattr(charter, fact)
        if value is not None:
            add(name, Range(value, value, value), "charter", f"charter: {fact}")
    empty = "" if charter.audit_share is not None else f" is empty, which means {charter.audited}"
    add("audit_share", Range(*[charter.audited] * 3), "charter", f"charter: audit_share{empty}")
    if "minutes_today" not in found and len(costs_today) >= LEAST:
        # Here, because costs are also read where no statistics are wanted, which take seconds to import.
        from pilot.workbench import spending

        said = f"measured: mean of {len(costs_today)} costs of the baseline"
        add("cost_today", spending.mean(costs_today), "baseline", said)
    by_tokens = "price_per_million_tokens" in found
    for name, known in measured.items():
        beside = (name == "price_per_call" and by_tokens) or (name == "minutes_today" and "cost_today" in found)
        unused = (name == "tokens_per_item" and not by_tokens) or (
            name == "seconds_per_item" and "price_per_machine_hour" not in found
        )
        if not beside and not unused:
            statistic = "share" if name.endswith("_share") else "mean"
            add(name, known.range, "measured", f"measured: {statistic} of {known.n} {known.of}")
    if _calls_measured(found) and "retries_share" in found:
        # What was measured holds its repeats: they must not count twice.
        found["retries_share"] = Input("retries_share", Range(0, 0, 0), "measured", "measured: within the calls")
    return found


def _calls_measured(found: Mapping[str, Input]) -> bool:
    calls = [found[name] for name in ("tokens_per_item", "price_per_call") if name in found]
    return bool(calls) and all(one.source == "measured" for one in calls)


def _missing(costs: Costs, charter: Charter, found: Mapping[str, Input]) -> Iterator[Fault]:
    """Each input without which nothing can be projected, why, and the fix."""
    state = "State a range with those who know it."
    fixes = {
        "items_per_day": "State a range, or fill volume_production in the charter.",
        "cost_of_hour": "State a range, or fill cost_of_hour in the charter.",
        "minutes_today": f"State a range, or freeze a baseline that knows `cost` of {LEAST} items.",
        "review_minutes": f"State a range; it is measured once {LEAST} answers are accepted in mode assist.",
        "override_share": f"State a range; it is measured once {LEAST} answers are judged.",
        "failed_share": f"State a range; it is measured once {LEAST} live items are answered.",
        **dict.fromkeys(FIXED, "State a range for a month; 0 where there is none."),
    }
    needed = ("items_per_day", "working_days", "cost_of_hour", "minutes_today", "reviewed_share", "review_minutes")
    for name in (*needed, "override_share", "failed_share", *FIXED):
        if name not in found and not (name == "minutes_today" and "cost_today" in found):
            yield Fault(name, "is not known.", fixes.get(name, state))
    if costs.price_per_million_tokens is not None and "tokens_per_item" not in found:
        fix = f"State a range; it is measured once {LEAST} answers name their tokens."
        yield Fault("tokens_per_item", "is not known, and tokens have a price.", fix)
    if costs.price_per_machine_hour is not None and "seconds_per_item" not in found:
        fix = f"State a range; it is measured once {LEAST} live items are answered."
        yield Fault("seconds_per_item", "is not known, and the machine's time has a price.", fix)
    priced = "price_per_call" in found or costs.price_per_million_tokens is not None
    if charter.build_or_buy == "buy" and not priced:
        fix = "State it, or price_per_million_tokens; it is measured once answers have a cost."
        yield Fault("price_per_call", "is not known, and the model is bought.", fix)
    if charter.build_or_buy == "buy" and priced and "retries_share" not in found and not _calls_measured(found):
        yield Fault("retries_share", "is not known, and each repeat is paid for.", state)
