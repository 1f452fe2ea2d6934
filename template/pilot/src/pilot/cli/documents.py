"""The verbs of the documents: candidates and charter, baseline, conversations, and the short ones."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pilot.charter import Charter, read_charter
from pilot.cli.common import SCOPE, WORDS, Today, below, contents_if_any, day, notes, pilot_root
from pilot.contract import PilotError
from pilot.workbench import evidence, pages, signatures
from pilot.workbench.documents import baseline, charter_rules, interviews, operations
from pilot.workbench.documents import candidates as scored
from pilot.workbench.documents.baseline import BASELINE
from pilot.workbench.pilot import Pilot

scope_app = typer.Typer()


@scope_app.command(rich_help_panel=SCOPE)
def candidates() -> None:
    """Ranks the candidate problems, and shows whether one point would change the winner."""
    found = scored.read(pilot_root())
    for place, row in enumerate(scored.ranked(found.rows), 1):
        scores = ", ".join(f"{axis} {score}" for axis, score in row.scores.items())
        print(f"{place}. {row.problem}: {row.score} ({scores}){', selected' if row.selected else ''}")
    if found.rows:
        print("The score is impact x feasibility x readiness, each 1 to 5; then the higher least axis, then impact.")
    else:
        print(f"{scored.CANDIDATES} has one row for each problem, and these columns:")
        for name, meaning in scored.COLUMNS.items():
            print(f"  {name:<20}  {meaning}")
    if len(found.rows) > 1:
        swaps = scored.fragile(found.rows)
        print("The ranking is fragile:" if swaps else "No single point would change the winner.")
        for swap in swaps:
            print(f"  {swap}")
    _end(found.issues)


@scope_app.command(rich_help_panel=SCOPE)
def charter(today: Today = None) -> None:
    """Prints the charter with its facts in place, what its target needs, and all that keeps it from holding."""
    from pilot.workbench import sizes

    pilot = Pilot(pilot_root(), day(today), None, contents_if_any())
    paper = pilot.charter_document
    print(charter_rules.page(paper), end="\n\n")
    plan = sizes.plan(paper.facts, baseline.spreads(pilot.measurements))
    if plan:
        print(plan, end="\n\n")
    _end(pilot.charter_issues)
    print(f"The charter holds, with its weeks counted from {pilot.begun}.")


@scope_app.command(rich_help_panel=SCOPE)
def sign(
    paper: Annotated[str, typer.Argument(help=f"charter, {', '.join(WORDS)}, or a file below phases/")],
    person: Annotated[str, typer.Option("--as", metavar="'NAME <MAIL>'", help="Who signs.")],
    role: Annotated[str, typer.Option(help="owner for the charter's owner, else a word such as sponsor.")],
) -> None:
    """Binds a name and today's date to a document. A later change of the document is reported."""
    root = pilot_root()
    print(f"wrote {below(root, signatures.sign(root, paper, person, role, date.today()))}: commit it with the paper")


def _end(problems: list[Any]) -> None:
    """Prints the problems; ends with exit code 1 where there are any."""
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} to fix")
        raise typer.Exit(1)


baseline_app = typer.Typer(no_args_is_help=True, help="The process before the AI: how long, how right, how expensive.")
_SHOWN = 20


@baseline_app.command("import")
def baseline_import(
    file: Annotated[
        Path,
        typer.Argument(
            help="A .csv file with a header, or a .jsonl file, in UTF-8. Columns: id, measured_on, measured_by, "
            "seconds, correct, cost, touches."
        ),
    ],
) -> None:
    """Adds measured items to phases/2-build/baseline.csv. Running it again adds nothing."""
    root = pilot_root()
    report = baseline.import_file(root, file, date.today())
    print(
        f"{report.rows} rows: {report.new + report.known} accepted ({report.new} new, {report.known} imported before), "
        f"{len(report.refused)} refused"
    )
    for refused in report.refused[:_SHOWN]:
        for issue in refused.issues:
            print(f"  {issue}")
    if len(report.refused) > _SHOWN:
        print(f"  and {len(report.refused) - _SHOWN} more")
    for change in Pilot(root, date.today()).baseline_changes:
        print(change)


@baseline_app.command("freeze")
def baseline_freeze() -> None:
    """Binds the baseline to its hash, as evidence for the gates. Commit it."""
    found = baseline.freeze(pilot_root(), date.today())
    print(f"frozen on {found.on}: {found.n} items of {found.begins} to {found.ends} in {found.file}")


@baseline_app.command("show")
def baseline_show() -> None:
    """Shows what was measured, with 95 % intervals, and whether it is frozen."""
    from pilot.workbench.evaluation import measures

    pilot = Pilot(pilot_root(), date.today())
    rows = pilot.measurements
    facts = {"file": BASELINE, "rows": rows, "frozen": pilot.frozen, "changes": pilot.baseline_changes}
    print(pages.render("baseline.txt", **facts, measures=measures(rows)), end="")


interview_app = typer.Typer(
    no_args_is_help=True, help="Conversations with users: did it help, new problems, use it again?"
)


@interview_app.command("add")
def interview_add(
    on: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="The day of the conversation.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="What the person does. No name is kept.")] = None,
    helped: Annotated[str | None, typer.Option(metavar="yes|no|partly", help="Whether it helped.")] = None,
    problems: Annotated[str | None, typer.Option(metavar="TEXT", help="New problems that it made, or none.")] = None,
    again: Annotated[str | None, typer.Option(metavar="yes|no", help="Whether the person would use it again.")] = None,
    notes: Annotated[str | None, typer.Option(metavar="TEXT", help="What the person said.")] = None,
) -> None:
    """Keeps one conversation in a file of its own. On a terminal it asks for what the options leave out."""
    root = pilot_root()
    given = {"role": role, "helped": helped, "problems": problems, "again": again, "notes": notes}
    day = on.date() if on else None
    missing = [name for name, answer in given.items() if answer is None]
    if missing:
        if not _terminal():
            raise PilotError(f"Not said: {', '.join(missing)}. Give --{' --'.join(missing)}, or run it on a terminal.")
        day = day or _asked_day(interviews.QUESTIONS["date"])
        for name in missing:
            given[name] = _asked(interviews.QUESTIONS[name], interviews.CHOICES.get(name))
    file = interviews.add(root, {"date": day or date.today(), **given}, date.today())
    print(f"wrote {below(root, file)}: commit it")


@interview_app.command("list")
def interview_list() -> None:
    """Lists the conversations that count, what they come to, and what keeps others from counting."""
    root = pilot_root()
    found = interviews.read(root, date.today())
    for one in (held.facts for held in found.held):
        problems = f"; new problems: {one.new_problems}" if one.new_problems else ""
        print(f"{one.date}  {one.role}: helped {one.helped}, again {one.again}{problems}")
    charter = read_charter(root) or Charter()
    asked = "asks for" if charter.interviews_min is not None else "names no number, which means"
    counts = "conversation counts" if found.count == 1 else "conversations count"
    print(f"{found.count} {counts}; the charter {asked} {charter.least_interviews}.")
    if found.held:
        said = found.summary
        for question, answers in (("helped", said.helped), ("again", said.again)):
            print(f"  {question:<7} {', '.join(f'{word} {count}' for word, count in answers.items())}")
        print(f"  {'new':<7} {len(said.problems)} named a new problem")
    for problem in found.issues:
        print(problem)
    if found.issues:
        raise typer.Exit(1)


def _terminal() -> bool:
    return sys.stdin.isatty()


def _asked(question: str, words: tuple[str, ...] | None) -> str:
    if words is None:
        return str(typer.prompt(question))
    while True:
        answer = str(typer.prompt(f"{question} ({'/'.join(words)})")).strip().lower()
        if answer in words:
            return answer
        print(f"Answer {', '.join(words[:-1])} or {words[-1]}.")


def _asked_day(question: str) -> date:
    while True:
        try:
            return date.fromisoformat(str(typer.prompt(question, default=str(date.today()))).strip())
        except ValueError:
            print("Write the day as 2027-02-10.")


paper_app = typer.Typer(no_args_is_help=True, help="The documents under phases/: add, show, check.")


@paper_app.command("add")
def paper_add(name: Annotated[str, typer.Argument(help="The document; without a name, all are listed.")] = "") -> None:
    """Adds a blank document that a later version of the template brought. Never replaces one."""
    from pilot.workbench.documents import files

    root = pilot_root()
    if name:
        print(f"added {below(root, files.add(root, name))}")
        return
    for known in files.names():
        print(f"{known}{' (there already)' if (root / 'phases' / known).exists() else ''}")


@paper_app.command("show")
def paper_show(name: Annotated[str, typer.Argument(help=f"A short document: {', '.join(WORDS)}.")]) -> None:
    """Prints a short document with its facts in place, and lists what is missing. Exit code 1 where something is."""
    root = pilot_root()
    print(operations.read(root, name).page)
    problems = operations.issues(root, name, date.today())
    for problem in problems:
        notes.print(str(problem), markup=False)
    if problems:
        notes.print(f"{len(problems)} to fix", markup=False)
        raise typer.Exit(1)


@paper_app.command("status")
def paper_status() -> None:
    """Shows of each short document whether it is complete or what is missing first, who attests what, who signed."""
    root = pilot_root()
    chain = evidence.read(root)
    signed = signatures.latest(chain)
    for name, kind in operations.DOCUMENTS.items():
        problems = operations.issues(root, name, date.today())
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            print(f"{name:<16}  {problems[0]}{more}")
            continue
        attestations = operations.read(root, name).attestations
        attested = [f"{place} attested by {said.by}" for place, said in attestations.items()]
        signers = [
            f"signed by {entry.facts['name']} as {role}"
            for (paper, role), entry in signed.items()
            if paper == kind.file.as_posix()
        ]
        unsigned = [issue.what.rstrip(".") for issue in signatures.of_document(root, name, chain)]
        print(f"{name:<16}  {'; '.join(('complete', *attested, *signers, *unsigned))}")


@paper_app.command("check")
def paper_check() -> None:
    """Lists the documents that cannot be read, with file, line and fix. Exit code 1 where there is one."""
    from pilot.workbench.documents import files

    problems = files.unreadable(pilot_root())
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)
    print("All documents can be read.")
