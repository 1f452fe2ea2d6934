"""The verbs that end phase 3: the decision, the sponsor's page, and the end of a pilot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pilot.cli.common import DECIDE, Today, below, database, day, pilot_root, pilot_with_records, settings, who
from pilot.contract import PilotError

if TYPE_CHECKING:
    from pilot.workbench.pilot import Pilot

app = typer.Typer()


@app.command(rich_help_panel=DECIDE)
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


@app.command(rich_help_panel=DECIDE)
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


@app.command(rich_help_panel=DECIDE)
def brief(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="An .html file. [default: var/brief.html]")] = None,
    today: Today = None,
) -> None:
    """Writes one page for the sponsor: what was saved, what production costs and brings, the plan."""
    from pilot.workbench import briefing, sheet

    root = pilot_root()
    file = out or root / "var" / "brief.html"
    if file.suffix != ".html":
        raise PilotError(f"{file} is not .html, and the brief is a page. Name the file so.")
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.write(file, briefing.html(pilot_with_records(root, day(today))))
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
