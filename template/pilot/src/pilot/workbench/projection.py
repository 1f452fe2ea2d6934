"""What a month of production would cost and bring, from ranges that people state and values that were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from pilot.workbench.stats.data import Floats

DRAWS = 20_000
# Fewer values say too little about a month of thousands.
LEAST = 30
_SEED = 20_261_123
_PEAK = 4

# What a projection cannot do without. `cost_today` replaces `minutes_today` where it is given.
NEEDED = (
    *("items_per_day", "working_days", "reviewed_share", "review_minutes", "cost_of_hour", "minutes_today"),
    *("infrastructure", "on_call", "monitoring", "retraining", "licences"),
)
FIXED = ("infrastructure", "on_call", "monitoring", "retraining", "licences")
# What is nothing where it is not given. Without `override_minutes`, an override takes a review and then today's work.
OPTIONAL = (
    *("cost_today", "override_share", "override_minutes", "audit_share", "failed_share", "price_per_call"),
    *("tokens_per_item", "price_per_million_tokens", "retries_share", "seconds_per_item", "price_per_machine_hour"),
    "other_benefit",
)


@dataclass(frozen=True)
class Range:
    """A value of which somebody expects that it is at least `low`, most likely `likely`, and at most `high`.

    Raises ValueError where the three are not in this order.
    """

    low: float
    likely: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.likely <= self.high:
            raise ValueError(f"{self.low}, {self.likely}, {self.high} do not ascend")

    @property
    def certain(self) -> bool:
        """Whether it is one value."""
        return self.low == self.high


@dataclass(frozen=True)
class Measured:
    """A mean that was measured on `n` values, with its 95 % interval as the ends of the range."""

    range: Range
    n: int
    of: str


@dataclass(frozen=True)
class Spread:
    """A result: one draw in ten is at most `p10`, five are at most `p50`, nine are at most `p90`."""

    p10: float
    p50: float
    p90: float


@dataclass(frozen=True)
class Driver:
    """One input at its two ends, all others as they are most likely: the net benefit of a month at each, and at its
    low and its high end the cost."""

    name: str
    net_low: float
    net_high: float
    cost_low: float
    cost_high: float

    @property
    def swing(self) -> float:
        """How far the net benefit moves between the ends."""
        return abs(self.net_high - self.net_low)


@dataclass(frozen=True)
class Projection:
    """A month of production, in the currency of the inputs. `cost` is `fixed` and `variable` together, `today` what the
    same items cost without the AI, `net` what is left of the difference and of other benefits; `chance` the share of
    draws in which that is more than nothing. `people` is their share of the variable cost, the rest is the model's.

    `break_even` is the items a day from which it pays, infinite where no volume does; `zero_review` the share of
    reviewed items at which the net benefit is zero: above 1 where all may be reviewed, below 0 where none may.
    `changed` has cost and net benefit where the model's prices change once, None where no change is named.
    """

    cost: Spread
    fixed: Spread
    variable: Spread
    per_item: Spread
    today: Spread
    net: Spread
    chance: float
    people: float
    parts: Mapping[str, float]
    drivers: tuple[Driver, ...]
    break_even: Spread
    zero_review: Spread
    changed: tuple[Spread, Spread] | None


def project(inputs: Mapping[str, Range], price_change: float | None = None) -> Projection:
    """The projection of a month, by 20,000 draws with a fixed seed in which each input follows a PERT distribution of
    its own. `inputs` are named as in NEEDED and OPTIONAL: shares in [0, 1], prices and fixed parts in one currency,
    fixed parts per month. `price_change` is the factor by which the model's prices change.

    Raises ValueError where an input is missing or not known. Source of the distribution: Malcolm, Roseboom, Clark and
    Fazar (1959), Operations Research 7:646; of the ranking: Eschenbach (1992), Interfaces 22(6):40, tornado diagrams.
    """
    unknown = sorted(set(inputs) - set(NEEDED) - set(OPTIONAL))
    given = {*inputs, "minutes_today"} if "cost_today" in inputs else {*inputs}
    missing = [name for name in NEEDED if name not in given]
    if unknown or missing:
        raise ValueError(f"not known: {', '.join(unknown) or 'none'}; missing: {', '.join(missing) or 'none'}")
    draws = {name: draw(name, found) for name, found in inputs.items()}
    month = _month(draws)
    cost = month["fixed"] + month["variable"]
    likely = {name: found.likely for name, found in inputs.items()}
    parts = {name: float(np.mean(month[name] + np.zeros(DRAWS))) for name in _PARTS}
    total = sum(parts.values())
    return Projection(
        cost=_spread(cost),
        fixed=_spread(month["fixed"]),
        variable=_spread(month["variable"]),
        per_item=_spread(month["per_item"]),
        today=_spread(month["today"]),
        net=_spread(month["net"]),
        chance=float(np.mean(month["net"] > 0)),
        people=(total - parts["model"]) / total if total else 0.0,
        parts=parts,
        drivers=_drivers(inputs, likely),
        break_even=_spread(_break_even(month)),
        zero_review=_spread(_zero_review(month)),
        changed=None if price_change is None else _changed(draws, price_change),
    )


def draw(name: str, of: Range) -> Floats:
    """20,000 draws of an input from its PERT distribution, which the name seeds: other inputs do not change them."""
    if of.certain:
        found: Floats = np.full(DRAWS, float(of.likely))
        return found
    width = of.high - of.low
    below, above = (of.likely - of.low) / width, (of.high - of.likely) / width
    random = np.random.default_rng([_SEED, crc32(name.encode())])
    shape: Floats = random.beta(1 + _PEAK * below, 1 + _PEAK * above, DRAWS)
    return of.low + width * shape


_PARTS = ("review", "audit", "fallback", "model")


def _month(given: Mapping[str, Any]) -> dict[str, Any]:
    """A month from one value of each input, or from columns of them."""

    def of(name: str) -> Any:
        return given.get(name, 0.0)

    hour, items = given["cost_of_hour"], given["items_per_day"] * given["working_days"]
    today = given["cost_today"] if "cost_today" in given else given["minutes_today"] / 60 * hour
    look = given["review_minutes"] / 60 * hour
    override = given["override_minutes"] / 60 * hour if "override_minutes" in given else look + today
    judged = (1 - of("override_share")) * look + of("override_share") * override
    answered, reviewed = 1 - of("failed_share"), given["reviewed_share"]
    calls = of("price_per_call") + of("tokens_per_item") / 1e6 * of("price_per_million_tokens")
    model = (1 + of("retries_share")) * calls + of("seconds_per_item") / 3600 * of("price_per_machine_hour")
    review = answered * reviewed * judged
    audit = answered * (1 - reviewed) * of("audit_share") * judged
    fallback = of("failed_share") * today
    per_item = review + audit + fallback + model
    fixed = sum((given[name] for name in FIXED), start=0.0)
    return {
        "items": items,
        "days": given["working_days"],
        "per_item": per_item,
        "variable": items * per_item,
        "review": items * review,
        "audit": items * audit,
        "fallback": items * fallback,
        "model": items * model,
        "fixed": fixed,
        "today": items * today,
        "other": of("other_benefit"),
        "net": items * (today - per_item) + of("other_benefit") - fixed,
        "saving": today - per_item,
        "before_review": today - fallback - model,
        "judged": answered * judged,
        "audit_share": of("audit_share"),
    }


def _drivers(inputs: Mapping[str, Range], likely: Mapping[str, float]) -> tuple[Driver, ...]:
    found = []
    for name, of in sorted(inputs.items()):
        if not of.certain:
            low, high = (_month({**likely, name: end}) for end in (of.low, of.high))
            costs = (low["fixed"] + low["variable"], high["fixed"] + high["variable"])
            found.append(Driver(name, low["net"], high["net"], *costs))
    return tuple(sorted(found, key=lambda driver: (-driver.swing, driver.name)))


def _break_even(month: Mapping[str, Any]) -> Floats:
    """The items a day at which savings pay for the fixed parts, in each draw."""
    open_, saving = month["fixed"] - month["other"], month["saving"] * month["days"]
    with np.errstate(all="ignore"):
        found: Floats = np.where(saving > 0, np.maximum(open_, 0.0) / saving, np.inf)
    return found


def _zero_review(month: Mapping[str, Any]) -> Floats:
    """The share of reviewed items at which nothing is left, in each draw. With audits, the reviewed share r costs as
    much as r + a (1 - r) reviews an item."""
    a = month["audit_share"]
    with np.errstate(all="ignore"):
        left = month["before_review"] - (month["fixed"] - month["other"]) / month["items"]
        share = (left / month["judged"] - a) / (1 - a)
    never: Floats = np.where(left > 0, np.inf, -np.inf)
    found: Floats = np.where(np.isfinite(share), share, never)
    return found


def _changed(draws: Mapping[str, Floats], factor: float) -> tuple[Spread, Spread]:
    prices = ("price_per_call", "price_per_million_tokens", "price_per_machine_hour")
    month = _month({name: values * factor if name in prices else values for name, values in draws.items()})
    return _spread(month["fixed"] + month["variable"]), _spread(month["net"])


def _spread(values: Floats) -> Spread:
    # An observed value, because values between a number and infinity are none.
    found = np.quantile(values, [0.1, 0.5, 0.9], method="inverted_cdf")
    return Spread(*(float(value) for value in found))
