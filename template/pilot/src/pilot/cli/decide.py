"""The verbs that end phase 3: the decision, the sponsor's page, and the end of a pilot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pilot.cli.common import DECIDE, Today, below, database, day, pilot_root, records, settings, who
from pilot.contract import PilotError

if TYPE_CHECKING:
    from pilot.workbench.view import View

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

    from pilot.workbench import deciding, decisions, evidence
    from pilot.workbench.signatures import signed_charter
    from pilot.workbench.view import view

    root = pilot_root()
    if outcome is None:
        said, go = deciding.in_force(root, evidence.read(root))
        print(said)
        raise typer.Exit(0 if go else 1)
    if outcome not in decisions.OUTCOMES:
        raise PilotError(f"{outcome!r} is no decision. Use one of: {', '.join(decisions.OUTCOMES)}.")
    if override is not None and person is None:
        raise PilotError("An override needs the person who takes it upon themselves: --as 'NAME <MAIL>'.")
    seen = view(root, date.today(), records(root))
    charter = signed_charter(seen.chain)
    owner = f"{charter.owner.name} <{charter.owner.email}>" if charter else ""
    wish = deciding.Wish(
        outcome=outcome,
        because=because,
        person=person or owner,
        override=decisions.Override(person or owner, override) if override is not None else None,
        weeks=weeks,
        shared_with=shared_with or (),
    )
    paper, written = deciding.decide(seen, wish, _report(seen))
    print(f"wrote {below(root, paper)} and {below(root, written)}: commit them")


@app.command(rich_help_panel=DECIDE)
def close() -> None:
    """Ends a pilot after a no-go: callers get needs_human with reason closed. Lists what is left to do."""
    from datetime import date

    from pilot.records import controls
    from pilot.records.database import writing
    from pilot.workbench import closing
    from pilot.workbench.view import view

    root = pilot_root()
    decided = closing.no_go(root)
    engine = database()
    with writing(engine) as connection:
        if controls.scratch(connection):
            raise PilotError(
                "This is a scratch database, and to close it ends nothing. Name the service's own in "
                "PILOT_DATABASE_URL."
            )
        controls.close(connection, who(), decided.says["paper"])
    seen = view(root, date.today(), records(root))
    print(
        "The pilot is closed. Within seconds its AI answers nobody any more: people decide, and "
        "callers get needs_human with reason closed."
    )
    for line in closing.hints(seen):
        print(line)
    left = list(closing.left(seen))
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
    from pilot.workbench.view import view

    root = pilot_root()
    file = out or root / "var" / "brief.html"
    if file.suffix != ".html":
        raise PilotError(f"{file} is not .html, and the brief is a page. Name the file so.")
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.write(file, briefing.html(view(root, day(today), records(root))))
    print(f"wrote {file}")


def _report(seen: View) -> str | None:
    """The report in Markdown; None where the records cannot be evaluated, which the record of the decision tells."""
    from pilot.contract import load_team
    from pilot.records.crypto import Vault
    from pilot.workbench import report
    from pilot.workbench.results import complete
    from pilot.workbench.view import Records

    if not isinstance(seen.records, Records):
        return None
    try:
        found = seen.records.results(seen.today)
    except PilotError:
        return None
    chosen = settings()
    with seen.records.engine.connect() as connection:
        told = complete(found, connection, Vault(chosen.data_keys), load_team().prediction, chosen)
    return report.markdown(told)
