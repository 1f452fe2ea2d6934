"""The verbs of phase 3 about production: what it would cost and bring, and what is missing for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import isinf
from typing import Annotated, Any

import typer

from pilot.cli.common import DECIDE, Today, day, pilot_root, pilot_with_records

app = typer.Typer()
AsOf = Annotated[
    datetime | None,
    typer.Option("--as-of", formats=["%Y-%m-%d"], help="The day to look at, in place of today; its records included."),
]
_DRIVERS = 10


@app.command(rich_help_panel=DECIDE)
def costs(as_of: AsOf = None) -> None:
    """Projects a month of production from phases/3-decide/costs.toml and the records: cost, net benefit, what drives
    them. Exit code 1 where something is not known."""
    root = pilot_root()
    pilot = pilot_with_records(root, day(as_of))
    if isinstance(pilot.live, str):
        print(f"The records cannot be read, so nothing is measured: {pilot.live}")
    found = pilot.costs
    print("\n".join(_cost_lines(found)))
    if found.issues:
        raise typer.Exit(1)


@app.command(rich_help_panel=DECIDE)
def gaps(today: Today = None) -> None:
    """Lists what is missing for production: the rows of phases/3-decide/gaps.csv, and what checks find by themselves.
    Exit code 1 where the list is not complete."""
    found = pilot_with_records(pilot_root(), day(today)).gaps
    print("\n".join(_gap_lines(found)))
    if found.issues:
        raise typer.Exit(1)


def _cost_lines(found: Any) -> Iterator[str]:
    if found.projection is not None:
        yield from _month_lines(found.projection, found.currency or "no currency", found.price_change)
        yield from _driver_lines(found)
    if found.inputs:
        yield "inputs, low / likely / high"
        for one in found.inputs:
            yield f"  {one.name:<25} {_range(one.range):<28} {one.said}"
    for problem in found.issues:
        yield str(problem)
    if found.issues:
        yield f"{len(found.issues)} to fix"


def _month_lines(month: Any, currency: str, price_change: float | None) -> Iterator[str]:
    yield f"a month of production, in {currency:<12}{'P10':>12}{'P50':>12}{'P90':>12}"
    rows = {
        "cost": month.cost,
        "  fixed parts": month.fixed,
        "  for the items": month.variable,
        "the same items today": month.today,
        "net benefit": month.net,
        "cost of an item, without fixed parts": month.per_item,
    }
    for name, spread in rows.items():
        yield f"{name:<38}{''.join(f'{_amount(value):>12}' for value in (spread.p10, spread.p50, spread.p90))}"
    verdict = "" if month.net.p50 > 0 else ": at P50 IT DOES NOT PAY"
    yield f"a benefit is left in {month.chance:.0%} of the draws{verdict}"
    total = sum(month.parts.values())
    if total:
        shares = ", ".join(f"{name} {part / total:.0%}" for name, part in month.parts.items())
        yield f"of the cost for the items, {month.people:.0%} is people's work: {shares}"
    yield f"break-even: {_volume(month.break_even)}"
    yield f"reviews: {_reviews(month.zero_review)}"
    if month.changed is not None:
        cost, net = month.changed
        yield (
            f"with the model's prices times {price_change:g}: cost P50 {_amount(cost.p50)} (P90 {_amount(cost.p90)}), "
            f"net benefit P50 {_amount(net.p50)} (P10 {_amount(net.p10)})"
        )
    yield "One in ten months lies below P10, one in ten above P90. 20,000 draws with a fixed seed, each input from the"
    yield "PERT distribution of its range (Malcolm and others, 1959)."


def _driver_lines(found: Any) -> Iterator[str]:
    """The tornado: the inputs that move the net benefit most, first."""
    drivers = found.projection.drivers
    if not drivers:
        return
    yield "what drives the net benefit: at an input's low and high end, all others as most likely"
    for place, one in enumerate(drivers[:_DRIVERS], 1):
        ends = f"{_amount(one.net_low)} to {_amount(one.net_high)}"
        yield f"  {place:>2}. {one.name:<25} {ends:<28} cost {_amount(one.cost_low)} to {_amount(one.cost_high)}"


def _volume(of: Any) -> str:
    if isinf(of.p50):
        return "no volume pays, because an item costs no less than today"
    high = "none" if isinf(of.p90) else f"{_amount(of.p90)}"
    return f"it pays from {_amount(of.p50)} items a day (P10 {_amount(of.p10)}, P90 {high})"


def _reviews(of: Any) -> str:
    def said(share: float) -> str:
        return "no share" if share < 0 else "all" if share >= 1 else f"{share:.0%}"

    likely = "even if all answers are reviewed" if of.p50 >= 1 else "at no share of reviewed answers"
    if 0 <= of.p50 < 1:
        likely = f"up to {of.p50:.0%} of the answers reviewed"
    return f"a benefit is left {likely} (P10 {said(of.p10)}, P90 {said(of.p90)})"


def _range(of: Any) -> str:
    return _number(of.likely) if of.certain else " / ".join(_number(value) for value in (of.low, of.likely, of.high))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _gap_lines(found: Any) -> Iterator[str]:
    from pilot.workbench.documents.gaps import COLUMNS, GAPS

    for gap in found.rows:
        by = "found by a check" if gap.id else "listed"
        name = f"{gap.id}: " if gap.id else ""
        yield f"{gap.severity:<8} {'open' if gap.open else 'closed':<7} {gap.area:<15} {by:<17} {name}{gap.what}"
        said = [
            f"{gap.effort:g} days" if gap.effort is not None else "",
            gap.owner,
            f"by {gap.mended_by}" if gap.mended_by else "",
            gap.note,
        ]
        if any(said):
            yield f"{'':<50} {', '.join(one for one in said if one)}"
    for area, note in found.shown_none.items():
        yield f"none             {area:<15} {'listed':<17} {note}"
    if not any(gap.line for gap in found.rows) and not found.shown_none:
        yield f"{GAPS} has one row for each gap, and these columns:"
        yield from (f"  {name:<12}  {meaning}" for name, meaning in COLUMNS.items())
    opened = [gap for gap in found.rows if gap.open]
    count, dated = len(found.blockers), len(found.conditions)
    blockers = f"{count} of them {'is a blocker' if count == 1 else 'are blockers'}, {dated} with an owner and a day"
    yield (
        f"{len(opened)} open, {found.effort:g} days of work as far as known; "
        f"{blockers if count else 'none of them stands in the way of a go'}"
    )
    yield from map(str, found.issues)
    if found.issues:
        yield f"{len(found.issues)} to fix"
