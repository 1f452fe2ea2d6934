"""The verbs of `pilot paper`: the papers as files."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from pilot.cli.common import WORDS, below, notes, pilot_root

app = typer.Typer(no_args_is_help=True, help="The papers under phases/: add, show, check.")


@app.command()
def add(name: Annotated[str, typer.Argument(help="The paper; without a name, all are listed.")] = "") -> None:
    """Adds a blank paper that a later version of the template brought. Never replaces one."""
    from pilot.workbench.documents import files

    root = pilot_root()
    if name:
        print(f"added {below(root, files.add(root, name))}")
        return
    for known in files.names():
        print(f"{known}{' (there already)' if (root / 'phases' / known).exists() else ''}")


@app.command()
def show(name: Annotated[str, typer.Argument(help=f"A short paper: {', '.join(WORDS)}.")]) -> None:
    """Prints a short paper with its facts in place, and tells what is missing. Exit code 1 where something is."""
    from pilot.workbench.documents import operations

    root = pilot_root()
    print(operations.read(root, name).page)
    problems = operations.issues(root, name, date.today())
    for problem in problems:
        notes.print(str(problem), markup=False)
    if problems:
        notes.print(f"{len(problems)} to fix", markup=False)
        raise typer.Exit(1)


@app.command()
def status() -> None:
    """Tells of each short paper whether it is complete, or what is missing first; who attests what, and who signed."""
    from pilot.workbench import evidence, signatures
    from pilot.workbench.documents import operations

    root = pilot_root()
    signed = signatures.latest(evidence.read(root))
    for name, kind in operations.DOCUMENTS.items():
        problems = operations.issues(root, name, date.today())
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            print(f"{name:<16}  {problems[0]}{more}")
            continue
        attestations = operations.read(root, name).attestations
        attested = [f"{place} attested by {said.by}" for place, said in attestations.items()]
        signers = [
            f"signed by {entry.says['name']} as {role}"
            for (paper, role), entry in signed.items()
            if paper == kind.file.as_posix()
        ]
        print(f"{name:<16}  {'; '.join(('complete', *attested, *signers))}")


@app.command()
def check() -> None:
    """Says which papers cannot be read, with file, line and mend. Exit code 1 where there is one."""
    from pilot.workbench.documents import files

    problems = files.unreadable(pilot_root())
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)
    print("All papers can be read.")
