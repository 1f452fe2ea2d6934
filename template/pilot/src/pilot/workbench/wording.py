"""An evaluation in lines of text, as `pilot evaluate` prints it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pilot.workbench.evaluate import Evaluation, Versus
from pilot.workbench.guardrails import Guarded
from pilot.workbench.stats.comparisons import Comparison
from pilot.workbench.stats.data import Estimate
from pilot.workbench.stats.slices import Slice

MOST_PARTS = 12


def lines(found: Evaluation) -> Iterator[str]:
    """The evaluation line by line, each with a name and what it says."""
    figure = found.figure
    better = "at least" if found.direction == "up" else "at most"
    yield f"verdict       {found.verdict}"
    for reason in found.reasons:
        yield f"  {reason}"
    counted = "" if found.counted_until == found.as_of else f", records of up to {found.counted_until}"
    yield f"as of         {found.as_of}{counted}; the decision is due on {found.due or 'no day yet'}"
    yield f"target        {found.metric} {better} {found.target:g} {found.unit}"
    yield f"estimate      {number(figure.estimate)}"
    if figure.bounds is not None:
        yield f"bounds        {bounds(found)}"
    yield f"method        {figure.estimate.method}, 95 % confidence"
    yield f"n             {figure.known} of {figure.items} items have {value(found)}, {_planned(found)}"
    yield f"coverage      {share(figure.coverage)}, the charter asks for {share(found.floor)}"
    if figure.corrected:
        yield f"uncorrected   {number(figure.naive)}, which takes the items with {value(found)} for all"
    if figure.groups is not None:
        yield f"groups        {figure.groups}, design effect {figure.design_effect or 1:.2f}"
    yield f"baseline      {versus(found.baseline, found.early)}"
    yield f"today's rules {versus(found.rules, found.early)}"
    for rail in found.guardrails:
        yield f"guardrail     {rail.metric}, margin {rail.margin:g}: {state(rail, found.early)}; {rail.said}"
    for other in found.others:
        yield f"also          {other.figure.metric} {number(other.figure.estimate)}, {other.figure.estimate.method}"
        yield f"  {other.figure.known} of {other.figure.items} items; baseline {versus(other.baseline, found.early)}"
    for band in found.bands:
        ends = "no confidence" if band.low is None else f"confidence {band.low:.2f} to {band.high:.2f}"
        yield f"judged        {ends}: {band.labelled} of {band.items} items"
    for dimension, members in found.slices.items():
        for part in parts(members):
            yield f"slice         {dimension} {part}"
    yield f"calibration   {found.calibration}"


def number(found: Estimate) -> str:
    """A value with its 95 % interval, as plain numbers."""
    return f"{_number(found.value)} {interval(found)}"


def interval(found: Estimate | Comparison) -> str:
    """The ends of an interval."""
    low, high = ("open" if end is None else _number(end) for end in (found.low, found.high))
    return f"[{low}, {high}]"


def bounds(found: Evaluation) -> str:
    """The bounds of a figure whose items do not all have a value."""
    low, high = found.figure.bounds or (0.0, 0.0)
    if found.metric == "accuracy":
        return f"{low:.4f} to {high:.4f}, whatever the items without an outcome turn out to be"
    return f"{_number(low)} to {_number(high)}, with the least and the greatest known value for the unknown ones"


def value(found: Evaluation) -> str:
    """What an item has that counts for the metric."""
    return "a known cost" if found.metric == "cost_per_item" else "an outcome"


def share(value: float | None) -> str:
    """A share in percent."""
    return "-" if value is None else f"{value:.1%}"


def versus(found: Versus | None, early: bool = False) -> str:
    """A comparison: the other's figure, the difference and what it proves, which an early look does not say."""
    if found is None:
        return "none to compare with"
    proven = "better" if found.better else "WORSE" if found.worse else "not proven to differ"
    p = "" if found.comparison.p is None or early else f", p {found.comparison.p:.3g}"
    return (
        f"{number(found.other)} of {found.other.n}; difference {_number(found.comparison.difference)} "
        f"{interval(found.comparison)}{p}: {'no verdict yet' if early else proven} ({found.comparison.method})"
    )


def state(rail: Guarded, early: bool = False) -> str:
    """Whether a guardrail holds. Harm is said whenever it is seen."""
    if rail.harmed:
        return "HARMED"
    return f"{'holds' if rail.holds else 'not shown'}{' so far' if early else ''}"


def parts(found: Sequence[Slice]) -> list[str]:
    """The slices of one dimension, those with the lowest figure first where there are many; none where there is one."""
    if len(found) < 2:
        return []
    shown = sorted((part for part in found if not part.too_few), key=lambda part: (not part.worse, part.value or 0))
    if len(found) <= MOST_PARTS:
        return [str(part) for part in found]
    few = sum(part.too_few for part in found)
    rest = len(shown) - MOST_PARTS
    more = [f"and {rest} others with a better figure"] if rest > 0 else []
    return [
        *(str(part) for part in shown[:MOST_PARTS]),
        *more,
        *([f"and {few} others with too few items for a figure"] if few else []),
    ]


def _planned(found: Evaluation) -> str:
    return "no number was planned" if found.planned is None else f"{found.planned} were planned"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"
