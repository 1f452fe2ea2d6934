"""The verbs of phase 3: the verdict, costs and gaps, the decision and its brief."""

from __future__ import annotations

from datetime import date, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilot import contract
from pilot.cli.common import (
    DECIDE,
    FLIPS,
    Today,
    below,
    contents,
    database,
    day,
    pilot_root,
    pilot_with_records,
    settings,
    who,
)
from pilot.contract import PilotError
from pilot.records.crypto import Vault
from pilot.workbench import decision, evidence, pages
from pilot.workbench.documents.gaps import COLUMNS, GAPS
from pilot.workbench.pilot import Pilot

if TYPE_CHECKING:
    from pilot.workbench.documents.costs import Costed
    from pilot.workbench.evaluation import Evaluation
    from pilot.workbench.projection import Range

AsOf = Annotated[
    datetime | None,
    typer.Option("--as-of", formats=["%Y-%m-%d"], help="The day to look at, in place of today; its records included."),
]


decide_app = typer.Typer()


@decide_app.command(rich_help_panel=DECIDE)
def evaluate(
    as_of: AsOf = None,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="A B", help="The same as `pilot compare A B`.")
    ] = None,
) -> None:
    """Says whether the charter's target is MET (exit code 0), MISSED (10) or NOT PROVEN (11). Before the end of the
    pilot's weeks it shows PROGRESS (12), and no verdict."""
    from pilot.workbench.phrases import lines
    from pilot.workbench.results import results

    root, engine = pilot_root(), database()
    if compare is not None:
        _compare(engine, *compare)
        return
    with engine.connect() as connection:
        found = results(Pilot(root, day(as_of), engine, contents()), connection)
    _looked(engine, found.evaluation, "evaluate")
    for line in lines(found.evaluation):
        print(line)
    for remark in found.remarks:
        print(f"note          {remark}")
    raise typer.Exit(found.evaluation.verdict.exit_code)


@decide_app.command(rich_help_panel=DECIDE)
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A model version, recorded or of the store.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
) -> None:
    """Compares two model versions on the same judged items: by every field, and which items only one of them has
    right."""
    pilot_root()
    _compare(database(), first, second)


@decide_app.command(rich_help_panel=DECIDE)
def report(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An .html or .md file. [default: var/report.html]")
    ] = None,
    as_of: AsOf = None,
) -> None:
    """Writes the report on the pilot: HTML for people, Markdown for a pull request."""
    from pilot.workbench import report as reports
    from pilot.workbench.results import results

    root, chosen, engine = pilot_root(), settings(), database()
    file = out or root / "var" / "report.html"
    if file.suffix not in (".html", ".md"):
        raise PilotError(f"{file} is neither .html nor .md. Name the file so that it says which one you want.")
    with engine.connect() as connection:
        found = results(Pilot(root, day(as_of), engine, held := contents()), connection)
        told = reports.complete(found, connection, held, chosen)
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
    from pilot.fields import shown
    from pilot.workbench import versions
    from pilot.workbench.phrases import number, versus

    chosen = settings()
    with engine.connect() as connection:
        found = versions.compare(contract.load_team(), chosen, connection, Vault(chosen.data_keys), first, second)
    print(f"{first:<16}  {number(found.first)}, {found.how_first}")
    print(f"{second:<16}  {number(found.versus.other)}, {found.how_second}")
    if found.learned:
        print(f"left out          {found.learned} items from which one of the two had learned")
    print(f"{first} less {second} on the same {found.versus.comparison.n} items: {versus(found.versus)}")
    for name, field in found.fields.items():
        print(f"{name}: {versus(field)}")
    for name, mean in found.means.items():
        print(f"{name} of an answer, on the same {mean.comparison.n} items: {versus(mean)}")
    flips = [pair for pair in found.pairs if pair.first_right != pair.second_right]
    if flips:
        print(f"right in one alone  {len(flips)} items{f', of which the first {FLIPS}' if len(flips) > FLIPS else ''}")
    for pair in flips[:FLIPS]:
        right = first if pair.first_right else second
        said = f"{shown(pair.first)} | {shown(pair.second)}, decided {shown(pair.final)}"
        print(f"  {pair.item_id}  {right} is right: {said}")


@decide_app.command(rich_help_panel=DECIDE)
def costs(as_of: AsOf = None) -> None:
    """Projects a month of production from phases/3-decide/costs.toml and the records: cost, net benefit, what drives
    them. Exit code 1 where something is not known."""
    root = pilot_root()
    pilot = pilot_with_records(root, day(as_of))
    if isinstance(pilot.live, str):
        print(f"The records cannot be read, so nothing is measured: {pilot.live}")
    found = pilot.costs
    print(_of_costs(found), end="")
    if found.issues:
        raise typer.Exit(1)


@decide_app.command(rich_help_panel=DECIDE)
def gaps(today: Today = None) -> None:
    """Lists what is missing for production: the rows of phases/3-decide/gaps.csv, and what checks find by themselves.
    Exit code 1 where the list is not complete."""
    found = pilot_with_records(pilot_root(), day(today)).gaps
    print(pages.render("gaps.txt", found=found, file=GAPS, columns=COLUMNS), end="")
    if found.issues:
        raise typer.Exit(1)


def _of_costs(found: Costed) -> str:
    month = found.projection
    rows = month and {
        "cost": month.cost,
        "  fixed parts": month.fixed,
        "  for the items": month.variable,
        "the same items today": month.today,
        "net benefit": month.net,
        "cost of an item, without fixed parts": month.per_item,
    }
    return pages.render(
        "costs.txt",
        projection=month,
        month=rows,
        currency=found.currency or "no currency",
        price_change=found.price_change,
        inputs=found.inputs,
        issues=found.issues,
        amount=lambda value: f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}",
        percent=lambda value: f"{value:.0%}",
        reviewed=lambda share: "no share" if share < 0 else "all" if share >= 1 else f"{share:.0%}",
        range=_range,
        infinity=inf,
    )


def _range(of: Range) -> str:
    values = [of.likely] if of.certain else [of.low, of.likely, of.high]
    return " / ".join(f"{value:,.0f}" if value >= 1000 else f"{value:.4g}" for value in values)


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
    from pilot.records import controls
    from pilot.records.database import writing

    root = pilot_root()
    decided = decision.no_go(evidence.read(root))
    engine = database()
    with writing(engine) as connection:
        if controls.scratch(connection):
            raise PilotError(
                "This is a scratch database, and to close it ends nothing. Name the service's own in "
                "PILOT_DATABASE_URL."
            )
        controls.close(connection, who(), decided.facts["paper"])
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
    from pilot.workbench import sponsor

    root = pilot_root()
    file = out or root / "var" / "brief.html"
    if file.suffix != ".html":
        raise PilotError(f"{file} is not .html, and the brief is a page. Name the file so.")
    file.parent.mkdir(parents=True, exist_ok=True)
    pages.write(file, sponsor.brief(pilot_with_records(root, day(today))))
    print(f"wrote {file}")


def _report(pilot: Pilot) -> str | None:
    """The report in Markdown; None where the records cannot be evaluated, which the record of the decision states."""
    from pilot.workbench import report

    found = pilot.results
    if pilot.engine is None or isinstance(found, str):
        return None
    with pilot.engine.connect() as connection:
        told = report.complete(found, connection, contents(), settings())
    return report.markdown(told)
