"""The verbs of phase 3: the verdict, costs and gaps, the decision and its brief."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilot.cli.common import DECIDE, database, day, pilot_root, settings, who
from pilot.contract import PilotError

if TYPE_CHECKING:
    from pilot.workbench.evaluation import Evaluation
from collections.abc import Iterator
from math import isinf
from typing import TYPE_CHECKING

from pilot.cli.common import Today, below, pilot_with_records

if TYPE_CHECKING:
    from pilot.workbench.pilot import Pilot

AsOf = Annotated[
    datetime | None,
    typer.Option("--as-of", formats=["%Y-%m-%d"], help="The day to look at, in place of today; its records included."),
]


decide_app = typer.Typer()


@decide_app.command(rich_help_panel=DECIDE)
def evaluate(
    as_of: AsOf = None,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="A B", help="Two model versions on the same judged items instead.")
    ] = None,
) -> None:
    """Says whether the charter's target is MET (exit code 0), MISSED (10) or NOT PROVEN (11). Before the day of the
    decision it shows PROGRESS (12), and no verdict."""
    from pilot.workbench.phrases import lines
    from pilot.workbench.pilot import Pilot
    from pilot.workbench.results import results

    root, engine = pilot_root(), database()
    if compare is not None:
        _compare(engine, *compare)
        return
    with engine.connect() as connection:
        found = results(Pilot(root, day(as_of), engine), connection)
    _looked(engine, found.evaluation, "evaluate")
    remarks = [*found.remarks]
    if found.evaluation.as_of > date.today():
        remarks.append(
            f"{found.evaluation.as_of} is still to come: this is what would be said if no other record came until then."
        )
    print("\n".join((*lines(found.evaluation), *(f"note          {remark}" for remark in remarks))))
    raise typer.Exit(found.evaluation.verdict.exit_code)


@decide_app.command(rich_help_panel=DECIDE)
def report(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An .html or .md file. [default: var/report.html]")
    ] = None,
    as_of: AsOf = None,
) -> None:
    """Writes the report on the pilot: HTML for people, Markdown for a pull request."""
    from pilot.contract import load_team
    from pilot.records.crypto import Vault
    from pilot.workbench import pages
    from pilot.workbench import report as reports
    from pilot.workbench.pilot import Pilot
    from pilot.workbench.results import complete, results

    root, chosen, engine = pilot_root(), settings(), database()
    file = out or root / "var" / "report.html"
    if file.suffix not in (".html", ".md"):
        raise PilotError(f"{file} is neither .html nor .md. Name the file so that it says which one you want.")
    with engine.connect() as connection:
        found = results(Pilot(root, day(as_of), engine), connection)
        told = complete(found, connection, Vault(chosen.data_keys), load_team().prediction, chosen)
    _looked(engine, found.evaluation, "report")
    pages.write(file, reports.markdown(told) if file.suffix == ".md" else reports.html(told))
    print(f"wrote {file}")


def _looked(engine: Any, found: Evaluation, by: str) -> None:
    """Each look at the verdict is on record, so that nobody looks until it pleases without that being seen."""
    from pilot.records import audit
    from pilot.records.database import writing

    detail = {"as_of": str(found.as_of), "verdict": found.verdict.value, "by": by}
    with writing(engine) as connection:
        audit.append(connection, who(), "evaluation.looked", detail)


def _compare(engine: Any, first: str, second: str) -> None:
    from pilot.contract import load_team
    from pilot.records.crypto import Vault
    from pilot.workbench import versions
    from pilot.workbench.phrases import number, versus

    chosen = settings()
    with engine.connect() as connection:
        found = versions.compare(load_team(), chosen, connection, Vault(chosen.data_keys), first, second)
    print(f"{first:<16}  {number(found.first)}, {found.how_first}")
    print(f"{second:<16}  {number(found.versus.other)}, {found.how_second}")
    print(f"{first} less {second} on the same {found.versus.comparison.n} items: {versus(found.versus)}")
    for name, mean in found.means.items():
        print(f"{name} of an answer, on the same {mean.comparison.n} items: {versus(mean)}")


_DRIVERS = 10


@decide_app.command(rich_help_panel=DECIDE)
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


@decide_app.command(rich_help_panel=DECIDE)
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


@decide_app.command(rich_help_panel=DECIDE)
def decide(
    outcome: Annotated[str | None, typer.Argument(metavar="[go|no-go|extend]")] = None,
    because: Annotated[str, typer.Option(help="Why, in a sentence that somebody understands in two years.")] = "",
    person: Annotated[
        str | None, typer.Option("--as", metavar="'NAME <MAIL>'", help="Who decides. [default: the charter's owner]")
    ] = None,
    override: Annotated[
        str | None, typer.Option(metavar="WHY", help="Takes a go upon --as although conditions do not hold.")
    ] = None,
    weeks: Annotated[int | None, typer.Option(help="Of an extension. [default: up to 8 in all]")] = None,
    shared_with: Annotated[
        list[str] | None, typer.Option("--shared-with", metavar="NAME", help="Whom you told; give it again for each.")
    ] = None,
) -> None:
    """Decides, and writes that down once. Without an outcome it shows the decision in force, from the checkout alone,
    and ends with exit code 0 only where that is a go: a production deploy asks for it."""
    from datetime import date

    from pilot.workbench import decision, evidence

    root = pilot_root()
    if outcome is None:
        said, go = decision.in_words(root, evidence.read(root))
        print(said)
        raise typer.Exit(0 if go else 1)
    if outcome not in decision.OUTCOMES:
        raise PilotError(f"{outcome!r} is no decision. Use one of: {', '.join(decision.OUTCOMES)}.")
    if override is not None and person is None:
        raise PilotError("An override needs the person who takes it upon themselves: --as 'NAME <MAIL>'.")
    from pilot.workbench.conditions import Wish
    from pilot.workbench.conditions import decide as made

    pilot = pilot_with_records(root, date.today())
    owner = f"{pilot.signed.owner.name} <{pilot.signed.owner.email}>" if pilot.signed else ""
    wish = Wish(
        outcome=outcome,
        because=because,
        person=person or owner,
        override=decision.Override(person or owner, override) if override is not None else None,
        weeks=weeks,
        shared_with=shared_with or (),
    )
    paper, written = made(pilot, wish, _report(pilot))
    print(f"wrote {below(root, paper)} and {below(root, written)}: commit them")


@decide_app.command(rich_help_panel=DECIDE)
def close() -> None:
    """Ends a pilot after a no-go: callers get needs_human with reason closed. Lists what is left to do."""
    from datetime import date

    from pilot.records import controls
    from pilot.records.database import writing
    from pilot.workbench import decision, evidence

    root = pilot_root()
    decided = decision.no_go(evidence.read(root))
    engine = database()
    with writing(engine) as connection:
        if controls.scratch(connection):
            raise PilotError(
                "This is a scratch database, and to close it ends nothing. Name the service's own in "
                "PILOT_DATABASE_URL."
            )
        controls.close(connection, who(), decided.says["paper"])
    pilot = pilot_with_records(root, date.today())
    print(
        "The pilot is closed. Within seconds its AI answers nobody any more: people decide, and "
        "callers get needs_human with reason closed."
    )
    for line in decision.hints(pilot):
        print(line)
    left = list(decision.left(pilot))
    for line in left:
        print(f"  {line}")
    count = "1 thing is" if len(left) == 1 else f"{len(left)} things are"
    print(f"{count} left to do." if left else "Nothing is left to do.")
    raise typer.Exit(1 if left else 0)


@decide_app.command(rich_help_panel=DECIDE)
def brief(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="An .html file. [default: var/brief.html]")] = None,
    today: Today = None,
) -> None:
    """Writes one page for the sponsor: what was saved, what production costs and brings, the plan."""
    from pilot.workbench import pages, sponsor

    root = pilot_root()
    file = out or root / "var" / "brief.html"
    if file.suffix != ".html":
        raise PilotError(f"{file} is not .html, and the brief is a page. Name the file so.")
    file.parent.mkdir(parents=True, exist_ok=True)
    pages.write(file, sponsor.brief(pilot_with_records(root, day(today))))
    print(f"wrote {file}")


def _report(pilot: Pilot) -> str | None:
    """The report in Markdown; None where the records cannot be evaluated, which the record of the decision tells."""
    from pilot.contract import load_team
    from pilot.records.crypto import Vault
    from pilot.workbench import report
    from pilot.workbench.results import complete

    found = pilot.results
    if pilot.engine is None or isinstance(found, str):
        return None
    chosen = settings()
    with pilot.engine.connect() as connection:
        told = complete(found, connection, Vault(chosen.data_keys), load_team().prediction, chosen)
    return report.markdown(told)
