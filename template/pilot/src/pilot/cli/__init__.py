"""The `pilot` command: its verbs by phase, and mistakes of the user's as messages."""

from __future__ import annotations

import sys

import typer

from pilot.cli import decide, documents, gates, service, template
from pilot.cli.common import BUILD, DECIDE, GATES, as_user_errors, flushed, notes
from pilot.contract import PilotError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
# The phases in their order: what is registered first is listed first.
for part in (documents.scope_app, service.service_app, decide.decide_app, gates.app):
    app.registered_commands.extend(part.registered_commands)
for group, name, panel in (
    (documents.baseline_app, "baseline", BUILD),
    (service.keys_app, "keys", BUILD),
    (service.model_app, "model", BUILD),
    (service.secrets_app, "secrets", BUILD),
    (documents.interview_app, "interview", DECIDE),
    (documents.paper_app, "paper", GATES),
    (template.app, "template", GATES),
):
    app.add_typer(group, name=name, rich_help_panel=panel)


@app.callback()
def pilot() -> None:
    """Runs an AI pilot from its first day to production."""


def main() -> None:
    """The entry of the command: a mistake of the user's is a message, never a traceback."""
    try:
        with as_user_errors(), flushed():
            app()
    except PilotError as error:
        notes.print(f"pilot: {error}", markup=False)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
