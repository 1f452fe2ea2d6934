"""The verbs of `pilot paper`: the papers as files."""

from __future__ import annotations

from typing import Annotated

import typer

from pilot.cli.common import below, pilot_root

app = typer.Typer(no_args_is_help=True, help="The papers under phases/: what can be added, what cannot be read.")


@app.command()
def add(name: Annotated[str, typer.Argument(help="The paper; without a name, all are listed.")] = "") -> None:
    """Adds a blank paper that a later version of the template brought. Never replaces one."""
    from pilot.gates import blanks

    root = pilot_root()
    if name:
        print(f"added {below(root, blanks.add(root, name))}")
        return
    for known in blanks.names():
        print(f"{known}{' (there already)' if (root / 'phases' / known).exists() else ''}")


@app.command()
def check() -> None:
    """Says which papers cannot be read, with file, line and mend. Exit code 1 where there is one."""
    from pilot.gates import forms

    problems = forms.problems(pilot_root())
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)
    print("All papers can be read.")
