"""The verbs of `pilot interview`: conversations with users."""

from __future__ import annotations

import sys
from datetime import date, datetime
from typing import Annotated

import typer

from pilot.cli.common import below, pilot_root
from pilot.contract import PilotError

app = typer.Typer(no_args_is_help=True, help="Conversations with users: did it help, new problems, use it again?")


@app.command()
def add(
    on: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="The day of the conversation.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="What the person does. No name is kept.")] = None,
    helped: Annotated[str | None, typer.Option(metavar="yes|no|partly", help="Whether it helped.")] = None,
    problems: Annotated[str | None, typer.Option(metavar="TEXT", help="New problems that it made, or none.")] = None,
    again: Annotated[str | None, typer.Option(metavar="yes|no", help="Whether the person would use it again.")] = None,
    notes: Annotated[str | None, typer.Option(metavar="TEXT", help="What the person said.")] = None,
) -> None:
    """Keeps one conversation in a file of its own. On a terminal it asks for what the options do not say."""
    from pilot.workbench.documents import interviews

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


@app.command("list")
def list_() -> None:
    """Lists the conversations that count, what they come to, and what keeps others from counting."""
    from pilot.charter import Charter, read_charter
    from pilot.workbench.documents import interviews

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
