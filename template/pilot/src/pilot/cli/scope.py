"""The verbs of phase 1: candidates, charter, signature. None of them opens the database."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import typer

from pilot.cli.common import SCOPE, WORDS, Today, below, day, pilot_root

app = typer.Typer()


@app.command(rich_help_panel=SCOPE)
def candidates() -> None:
    """Ranks the candidate problems, and says whether one point would change the winner."""
    from pilot.workbench.documents import candidates as papers

    found = papers.read(pilot_root())
    for place, row in enumerate(papers.ranked(found.rows), 1):
        scores = ", ".join(f"{axis} {score}" for axis, score in row.scores.items())
        print(f"{place}. {row.problem}: {row.score} ({scores}){', selected' if row.selected else ''}")
    if found.rows:
        print("The score is impact x feasibility x readiness, each 1 to 5; then the higher least axis, then impact.")
    else:
        print(f"{papers.CANDIDATES} has one row for each problem, and these columns:")
        for name, meaning in papers.COLUMNS.items():
            print(f"  {name:<20}  {meaning}")
    if len(found.rows) > 1:
        swaps = papers.fragile(found.rows)
        print("The ranking is fragile:" if swaps else "No single point would change the winner.")
        for swap in swaps:
            print(f"  {swap}")
    _end(found.issues)


@app.command(rich_help_panel=SCOPE)
def charter(today: Today = None) -> None:
    """Prints the charter with its facts in place, what its target needs, and all that keeps it from holding."""
    from pilot.workbench import sizes
    from pilot.workbench.documents import baseline
    from pilot.workbench.documents import charter_rules as papers
    from pilot.workbench.pilot import Pilot

    pilot = Pilot(pilot_root(), day(today))
    paper = pilot.charter_document
    print(papers.page(paper), end="\n\n")
    plan = sizes.plan(paper.facts, baseline.spreads(pilot.measurements))
    if plan:
        print(plan, end="\n\n")
    _end(pilot.charter_issues)
    print(f"The charter holds, with its weeks counted from {pilot.begun}.")


@app.command(rich_help_panel=SCOPE)
def sign(
    paper: Annotated[str, typer.Argument(help=f"charter, {', '.join(WORDS)}, or a file below phases/")],
    person: Annotated[str, typer.Option("--as", metavar="'NAME <MAIL>'", help="Who signs.")],
    role: Annotated[str, typer.Option(help="owner for the charter's owner, else a word such as sponsor.")],
) -> None:
    """Binds a name and today's date to a paper as it stands. A later change of the paper is seen and named."""
    from pilot.workbench import signatures

    root = pilot_root()
    print(f"wrote {below(root, signatures.sign(root, paper, person, role, date.today()))}: commit it with the paper")


def _end(problems: list[Any]) -> None:
    """Prints the problems; ends with exit code 1 where there are any."""
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} to fix")
        raise typer.Exit(1)
