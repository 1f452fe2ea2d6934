"""The verbs of the gates: the progress, what is missing for a gate, and which promises are broken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from pilot.cli.common import (
    GATES,
    PROMETHEUS,
    PrometheusAt,
    Today,
    below,
    contents_if_any,
    day,
    pilot_root,
    pilot_with_records,
    settings,
)
from pilot.contract import PilotError
from pilot.workbench import gates, pages
from pilot.workbench.checks import broken
from pilot.workbench.pilot import Pilot

BROKEN = 10
app = typer.Typer()


@app.command(rich_help_panel=GATES)
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Writes a page for the sponsor.")] = None,
    today: Today = None,
    prometheus: PrometheusAt = PROMETHEUS,
) -> None:
    """Shows the phases with their evidence, the next action, what is recorded, and how well the model agrees."""
    from pilot.workbench import history

    pilot = pilot_with_records(settings().root, day(today))
    recorded = _recorded(pilot)
    live = pilot.live
    found = {**gates.progress(pilot), **history.start(pilot.root, live), **recorded}
    if html is not None:
        from pilot.operations.prometheus import Prometheus
        from pilot.workbench import sponsor

        try:
            watched = Prometheus(prometheus).watched(pilot.root)
        except PilotError:
            watched = None
        sponsor.write_status(html, pilot, found, watched)
        print(f"wrote {html}")
    elif as_json:
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        print(pages.render("status.txt", **found, records=recorded or None, late=broken(pilot)), end="")
    if isinstance(live, str):
        raise PilotError(live)


@app.command(rich_help_panel=GATES)
def gate(
    number: Annotated[int, typer.Argument(metavar="N", help="1 to 5")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    today: Today = None,
) -> None:
    """Passes a gate and writes its evidence, or lists what is missing and how to fix it."""
    root = pilot_root()
    pilot = pilot_with_records(root, day(today)) if number > 1 else Pilot(root, day(today), None, contents_if_any())
    found, written = (gates.inspect(pilot, number), None) if today else gates.attempt(pilot, number)
    if as_json:
        print(orjson.dumps(found.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        print(pages.render("gate.txt", gate=found), end="")
        if written:
            print(f"wrote {below(root, written)}: commit it")
    raise typer.Exit(0 if found.passes else 1)


@app.command(rich_help_panel=GATES)
def check(today: Today = None) -> None:
    """Reads the checkout alone, and fails with exit code 10 on a broken promise. Unfinished work breaks none."""
    found = broken(Pilot(pilot_root(), day(today)))
    for issue in found:
        print(issue)
    if found:
        raise typer.Exit(BROKEN)
    print("No promise is broken.")


def _recorded(pilot: Pilot) -> dict[str, Any]:
    """All that is recorded, in figures; nothing where the records cannot be read."""
    from pilot.records.queries import summary

    live = pilot.live
    if pilot.engine is None or live is None or isinstance(live, str):
        return {}
    with pilot.engine.connect() as connection:
        return {"database": live.database, "scratch": live.scratch, **summary(connection)}
