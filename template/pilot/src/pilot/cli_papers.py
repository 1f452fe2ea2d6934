"""The verbs of the papers and the gates. None of them opens the database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pilot.contract import PilotError

SCOPE, GATES = "1 Scope", "Gates"
BROKEN = 10
app = typer.Typer()
Today = Annotated[
    datetime | None,
    typer.Option("--today", formats=["%Y-%m-%d"], help="Look as if it were that day. Never writes evidence."),
]


@app.command(rich_help_panel=SCOPE)
def candidates() -> None:
    """Ranks the candidate problems, and says whether one point would change the winner."""
    from pilot.gates import candidates as papers

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
    _end(found.problems)


@app.command(rich_help_panel=SCOPE)
def charter(today: Today = None) -> None:
    """Prints the charter with its facts in place, what its target needs, and all that keeps it from holding."""
    from pilot.evaluation import sizes
    from pilot.gates import baseline, evidence, signatures
    from pilot.gates import charter as papers

    root = pilot_root()
    paper = papers.read(root)
    begun = signatures.begun(root, evidence.read(root), _day(today))
    print(paper.page, end="\n\n")
    plan = sizes.plan(paper.facts, baseline.spreads(root))
    if plan:
        print(plan, end="\n\n")
    _end(papers.problems(paper, begun))
    print(f"The charter holds, with its weeks counted from {begun}.")


@app.command(rich_help_panel=SCOPE)
def sign(
    paper: Annotated[str, typer.Argument(help="charter, or a file below phases/")],
    person: Annotated[str, typer.Option("--as", metavar="'NAME <MAIL>'", help="Who signs.")],
    role: Annotated[str, typer.Option(help="owner for the charter's owner, else a word such as sponsor.")],
) -> None:
    """Binds a name and today's date to a paper as it stands. A later change of the paper is seen and named."""
    from pilot.gates import signatures

    root = pilot_root()
    print(f"wrote {_below(root, signatures.sign(root, paper, person, role, date.today()))}: commit it with the paper")


@app.command(rich_help_panel=GATES)
def gate(
    number: Annotated[int, typer.Argument(metavar="N", help="1 to 5")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    today: Today = None,
) -> None:
    """Passes a gate and writes its evidence, or lists what is missing and what mends it."""
    import orjson

    from pilot.gates import gate as gates

    root = pilot_root()
    found, written = (gates.look(root, number, _day(today)), None) if today else gates.attempt(root, number, _day(None))
    if as_json:
        print(orjson.dumps(found.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        print("\n".join(_gate_lines(found)))
        if written:
            print(f"wrote {_below(root, written)}: commit it")
    raise typer.Exit(0 if found.passes else 1)


@app.command(rich_help_panel=GATES)
def check(today: Today = None) -> None:
    """Reads the checkout alone, and fails with exit code 10 on a broken promise. Unfinished work breaks none."""
    from pilot.gates import promises

    broken = promises.broken(pilot_root(), _day(today))
    for problem in broken:
        print(problem)
    if broken:
        raise typer.Exit(BROKEN)
    print("No promise is broken.")


def progress_lines(found: dict[str, Any]) -> Iterable[str]:
    """The phases, for the top of `pilot status`."""
    for phase in found["phases"]:
        items = phase["items"]
        count = f"{sum(item['state'] == 'holds' for item in items)} of {len(items)}" if items else "-"
        since = f" on {phase['passed_on']}" if phase["passed_on"] else ""
        yield f"phase {phase['phase']} {phase['name']:<7} {phase['state']}{since} ({count})"
        if phase["state"] == "current":
            for item in items:
                yield f"  {item['state']:<8} {item['id']:<24} {item['evidence'] or item['question']}"
    left = found["days_left"]
    yield f"days left      {'-' if left is None else left}"
    yield f"next           {found['next']}"


def _gate_lines(found: Any) -> Iterable[str]:
    for item in found.items:
        yield f"{item.state:<8} {item.rule.id} ({item.rule.by}): {item.evidence or item.rule.question}"
        for problem in item.problems:
            yield f"  {problem}"
    missing = sum(item.state != "holds" for item in found.items)
    if found.passed_on:
        said = f"Gate {found.number} passed on {found.passed_on}."
        yield said if not missing else f"{said} Since then, {missing} of its items changed."
    elif missing:
        yield f"Gate {found.number} does not pass: {missing} of {len(found.items)} items do not hold."
    else:
        yield f"Gate {found.number}: all {len(found.items)} items hold."


def _end(problems: list[Any]) -> None:
    """Prints the problems; ends with exit code 1 where there are any."""
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} to mend")
        raise typer.Exit(1)


def pilot_root() -> Path:
    """The pilot's folder. Raises PilotError outside of a pilot."""
    import os

    from pilot.gates.papers import CHARTER
    from pilot.settings import find_root

    root = Path(os.environ["PILOT_ROOT"]).resolve() if os.environ.get("PILOT_ROOT") else find_root()
    if not (root / CHARTER).is_file():
        raise PilotError(f"There is no {CHARTER} in {root} or above. Run this in a pilot.")
    return root


def _day(today: datetime | None) -> date:
    return today.date() if today else date.today()


def _below(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix()
