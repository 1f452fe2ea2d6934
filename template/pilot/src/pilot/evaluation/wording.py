"""An evaluation in lines of text, as `pilot evaluate` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from pilot.evaluation.comparisons import Comparison
from pilot.evaluation.evaluate import Evaluation, Versus
from pilot.evaluation.intervals import Estimate


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
        low, high = figure.bounds
        yield f"bounds        {low:.4f} to {high:.4f}, whatever the items without an outcome turn out to be"
    yield f"method        {figure.estimate.method}"
    yield f"n             {figure.known} of {figure.items} items have an outcome, {_planned(found)}"
    yield f"coverage      {share(figure.coverage)}, the charter asks for {share(found.floor)}"
    if figure.corrected:
        yield f"uncorrected   {number(figure.naive)}, which takes the items with an outcome for all"
    if figure.groups is not None:
        yield f"groups        {figure.groups}, design effect {figure.design_effect or 1:.2f}"
    yield f"baseline      {versus(found.baseline) if found.baseline else 'none to compare with'}"
    yield f"today's rules {versus(found.rules) if found.rules else 'none to compare with'}"
    for rail in found.guardrails:
        state = "holds" if rail.holds else "HARMED" if rail.harmed else "not shown"
        yield f"guardrail     {rail.metric}, margin {rail.margin:g}: {state}; {rail.said}"
    for other in found.others:
        yield f"also          {other.figure.metric} {number(other.figure.estimate)}, {other.figure.estimate.method}"
        yield f"  {other.figure.known} of {other.figure.items} items; baseline {_beside(other.baseline)}"
    for dimension, parts in found.slices.items():
        for part in parts if len(parts) > 1 else ():
            yield f"slice         {dimension} {part}"
    yield f"calibration   {found.calibration}"


def number(found: Estimate) -> str:
    """A value with its 95 % interval, as plain numbers."""
    return f"{_number(found.value)} {interval(found)}"


def interval(found: Estimate | Comparison) -> str:
    """The ends of an interval."""
    low, high = ("open" if end is None else _number(end) for end in (found.low, found.high))
    return f"[{low}, {high}]"


def share(value: float | None) -> str:
    """A share in percent."""
    return "-" if value is None else f"{value:.1%}"


def versus(found: Versus) -> str:
    """A comparison: the other's figure, the difference and what it proves."""
    proven = "better" if found.better else "WORSE" if found.worse else "not proven to differ"
    p = "" if found.comparison.p is None else f", p {found.comparison.p:.3g}"
    return (
        f"{number(found.other)} of {found.other.n}; difference {_number(found.comparison.difference)} "
        f"{interval(found.comparison)}{p}: {proven} ({found.comparison.method})"
    )


def _planned(found: Evaluation) -> str:
    return "no number was planned" if found.planned is None else f"{found.planned} were planned"


def _beside(found: Versus | None) -> str:
    return "none to compare with" if found is None else versus(found)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"
