"""The `pilot` command: its verbs by phase, and mistakes of the user's as messages."""

from __future__ import annotations

import os
import sys

import typer

from pilot.cli import decide, documents, gates, live, operate, records, service, template
from pilot.cli.common import BUILD, DECIDE, GATES, HARDEN, LIVE, as_user_errors, flushed, notes
from pilot.contract import PilotError

# What git sets for its hooks (`git rev-parse --local-env-vars`): with it, a child would work on the index of the commit
# that runs the hook.
GIT_LOCAL = [
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"),
    *("GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX"),
    *("GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE"),
    "GIT_WORK_TREE",
]
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
# The phases in their order: what is registered first is listed first.
for part in (
    documents.scope_app,
    service.service_app,
    decide.decide_app,
    operate.operate_app,
    records.records_app,
    live.live_app,
    gates.app,
):
    app.registered_commands.extend(part.registered_commands)
for group, name, panel in (
    (documents.baseline_app, "baseline", BUILD),
    (service.keys_app, "keys", BUILD),
    (service.model_app, "model", BUILD),
    (service.secrets_app, "secrets", BUILD),
    (documents.interview_app, "interview", DECIDE),
    (operate.alerts_app, "alerts", HARDEN),
    (records.audit_app, "audit", HARDEN),
    (records.data_app, "data", HARDEN),
    (documents.paper_app, "paper", GATES),
    (live.rollout_app, "rollout", LIVE),
    (live.feedback_app, "feedback", LIVE),
    (template.app, "template", GATES),
):
    app.add_typer(group, name=name, rich_help_panel=panel)


@app.callback()
def pilot() -> None:
    """Runs an AI pilot from its first day to production."""


def main() -> None:
    """The entry of the command: a mistake of the user's is a message, never a traceback."""
    for name in GIT_LOCAL:
        os.environ.pop(name, None)
    try:
        with as_user_errors(), flushed():
            app()
    except PilotError as error:
        notes.print(f"pilot: {error}", markup=False)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
