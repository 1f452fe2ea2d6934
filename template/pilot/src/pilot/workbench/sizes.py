"""Whether the volume of a charter can prove its target: judged items needed, items at hand, and what those can show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil

from pilot.charter import Charter, Guardrail
from pilot.contract import PilotError
from pilot.metrics import NAMES, OF_THE_MODEL, metric_of
from pilot.workbench.stats import power

DAYS_A_WEEK = 5
# What the plan supposes where nothing is measured yet: how much better than the target the pilot is in truth, in points
# of a share or as a part of another target, and on which share of the items today's process and the pilot differ.
LEAD = 0.05
LEAD_OF_MEANS = 0.1
DISCORDANT = 0.2
UNITS = {"cycle_time": "hours", "manual_touches": "actions", "cost_per_item": "of the currency", "work_time": "minutes"}


@dataclass(frozen=True)
class Reach:
    """One question: the judged items that it `needs` and the pilot `will_have`, the `effect` that is supposed, and the
    smallest one that is `detectable` with the items at hand; both are shares, or in `unit`. None: not known, or out of
    reach, and `why` says the rest."""

    question: str
    needs: int | None
    will_have: int | None
    effect: float | None = None
    detectable: float | None = None
    unit: str = "points"
    why: str = ""

    @property
    def reachable(self) -> bool | None:
        """Whether the items at hand are enough; None where that is not known."""
        return None if self.needs is None or self.will_have is None else self.will_have >= self.needs

    def __str__(self) -> str:
        if self.needs is None:
            return f"{self.question}: {self.why}"
        asked = f"{self.question} needs {self.needs} judged items"
        if self.will_have is None:
            return f"{asked}; fill volume_now, weeks and coverage_floor to see whether the pilot will have them"
        return f"{asked}, you will have {self.will_have}: detectable effect is {_amount(self.detectable, self.unit)}"


@dataclass(frozen=True)
class Plan:
    """What the charter's target needs, and for comparison what other questions need of the same volume."""

    target: Reach
    planned: int | None
    others: tuple[Reach, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([str(self.target), *map(str, self.others), *self.notes])


def judged(items_per_day: float, weeks: int, coverage: float) -> int:
    """Items that people judge in `weeks` of five working days, when they judge the share `coverage` of them."""
    return int(items_per_day * weeks * DAYS_A_WEEK * coverage + 1e-9)


def plan(charter: Charter, spreads: Mapping[str, float] | None = None) -> Plan | None:
    """The sizes for a charter, with 80 % power and a two-sided error of 5 %, looked at once; None without a target.

    `spreads` has the standard deviations of metrics other than accuracy, each in the charter's unit, once a baseline is
    measured.
    """
    if charter.metric is None or charter.target is None:
        return None
    spreads = spreads or {}
    have = None
    if charter.volume_now is not None and charter.weeks is not None and charter.coverage_floor is not None:
        have = judged(charter.volume_now, charter.weeks, charter.coverage_floor)
    target = _target(charter, have, spreads)
    others = _comparisons(charter, have) if target.needs and metric_of(charter.metric).bounded else []
    others += [_guardrail(guardrail, charter, have, spreads) for guardrail in charter.guardrails]
    notes = ["80 % power, two-sided error 5 %, one look at the decision date."]
    if charter.looks == 2:
        notes.append("Each of two planned looks allows a smaller error: plan about 1.2 times the items.")
    if charter.judged_items is not None and have is not None and charter.judged_items > have:
        notes.append(f"judged_items: {charter.judged_items} are planned, and the volume gives {have}.")
    if charter.judged_items is not None and target.needs is not None and charter.judged_items < target.needs:
        notes.append(f"judged_items: {charter.judged_items} are planned, and the target needs {target.needs}.")
    if charter.interval == "always_valid":
        notes.append("An always-valid interval is about 1.55 times as wide: plan about 2.4 times the items.")
    return Plan(target, charter.judged_items, tuple(others), tuple(notes))


def _target(charter: Charter, have: int | None, spreads: Mapping[str, float]) -> Reach:
    metric, target = charter.metric or "", charter.target or 0.0
    if not metric_of(metric).bounded:
        return _mean_target(metric, target, have, spreads.get(metric), charter.direction == "up")
    if not 0 < target < 1:
        why = f"no number of items can prove it; {metric} is a share above 0 and below 1, such as 0.85"
        return Reach(f"proving {target:g}", None, have, why=why)
    up = charter.direction != "down"
    room = 1 - target if up else target
    effect = min(LEAD, room / 2)

    def size(lead: float) -> float:
        return power.one_proportion(target, target + lead if up else target - lead)

    question = f"proving {target:g} when the truth is {target + effect if up else target - effect:g}"
    return _reach(question, size, effect, room, have)


def _mean_target(metric: str, target: float, have: int | None, spread: float | None, up: bool) -> Reach:
    question = f"proving a mean {metric} of {target:g}"
    if not spread or target <= 0:
        return Reach(question, None, have, why=f"the spread of {metric} is not known before the baseline is measured")
    effect = LEAD_OF_MEANS * target
    question += f" when the truth is {target + effect if up else target - effect:g}"
    return _reach(question, lambda lead: power.one_mean(lead, spread), effect, target, have, UNITS.get(metric, metric))


def _comparisons(charter: Charter, have: int | None) -> list[Reach]:
    """A gain that ends at the target, proven against today's process."""
    target = charter.target or 0.0
    # A share that shall fall is the mirror of one that shall rise.
    target = 1 - target if charter.direction == "down" else target
    effect = min(LEAD, target / 2)
    gain = f"a gain of {effect * 100:g} points"
    return [
        _reach(
            f"{gain} over today's process on the same items, which differ on {DISCORDANT:.0%} of them,",
            lambda difference: power.paired(DISCORDANT, difference),
            effect,
            DISCORDANT,
            have,
        ),
        _reach(
            f"{gain} over an earlier period of as many items",
            lambda difference: power.two_arms(target - difference, target),
            effect,
            target,
            have,
        ),
    ]


def _guardrail(guardrail: Guardrail, charter: Charter, have: int | None, spreads: Mapping[str, float]) -> Reach:
    metric, margin = guardrail.metric, guardrail.margin
    question = f"guardrail {metric}, not worse by {margin:g} than in an earlier period of as many items,"
    try:
        named = metric_of(metric)
    except PilotError:
        why = f"the records know nothing of it, so it can never be shown to hold; name one of {NAMES}"
        return Reach(f"guardrail {metric}", None, have, why=why)
    if metric in OF_THE_MODEL:
        why = f"it may be as much as {margin:g}, and needs no baseline"
        return Reach(f"guardrail {metric}", None, have, why=why)
    if not named.bounded:
        spread = spreads.get(metric)
        if not spread or margin <= 0:
            why = "it needs a margin above 0, and the spread of a measured baseline"
            return Reach(question.rstrip(","), None, have, why=why)
        unit = UNITS.get(metric, metric)
        return _reach(question, lambda shift: power.two_means(shift, spread), margin, 4 * spread, have, unit)
    if not 0 < margin < 1:
        why = "the margin of a share must be above 0 and below 1, such as 0.02"
        return Reach(question.rstrip(","), None, have, why=why)
    # The share that needs most, where the target does not say which one to expect.
    target = charter.target if charter.metric == metric else None
    share = target if target is not None and 0 < target < 1 else 0.5
    return _reach(question, lambda shift: power.non_inferiority(share, share, shift), margin, 1, have)


def _reach(
    question: str,
    size: Callable[[float], float],
    effect: float,
    most: float,
    have: int | None,
    unit: str = "points",
) -> Reach:
    found = None if have is None else power.detectable(size, have, most)
    return Reach(question, ceil(size(effect)), have, effect, found, unit)


def _amount(effect: float | None, unit: str) -> str:
    if effect is None:
        return "none"
    return f"{effect * 100:.1f} points" if unit == "points" else f"{effect:.3g} {unit}"
