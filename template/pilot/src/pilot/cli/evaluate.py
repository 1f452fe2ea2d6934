"""The verbs of phase 3: the verdict, two model versions side by side, and the report."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilot.cli.common import DECIDE, database, day, pilot_root, settings, who
from pilot.contract import PilotError

if TYPE_CHECKING:
    from pilot.workbench.evaluation import Evaluation

app = typer.Typer()
AsOf = Annotated[
    datetime | None,
    typer.Option("--as-of", formats=["%Y-%m-%d"], help="The day to look at, in place of today; its records included."),
]


@app.command(rich_help_panel=DECIDE)
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


@app.command(rich_help_panel=DECIDE)
def report(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An .html or .md file. [default: var/report.html]")
    ] = None,
    as_of: AsOf = None,
) -> None:
    """Writes the report on the pilot: HTML for people, Markdown for a pull request."""
    from pilot.contract import load_team
    from pilot.records.crypto import Vault
    from pilot.workbench import report as reports
    from pilot.workbench import sheet
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
    sheet.write(file, reports.markdown(told) if file.suffix == ".md" else reports.html(told))
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
