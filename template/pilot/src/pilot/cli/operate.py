"""The verbs of phase 4: alerts, drills of the runbook, backup and restore."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from pilot.cli.common import HARDEN, below, pilot_root, settings, who
from pilot.contract import PilotError

operate_app = typer.Typer()
alerts_app = typer.Typer(no_args_is_help=True, help="The alerts, and when they fired.")


@operate_app.command(rich_help_panel=HARDEN)
def drill(
    page: Annotated[str | None, typer.Argument(help="A page of the runbook, such as switch-off.")] = None,
    all: Annotated[
        bool, typer.Option("--all", help="Each page that can be drilled here, one after the other.")
    ] = False,
    surprise: Annotated[
        bool, typer.Option("--surprise", help="A fault that is drawn and not told; you fix it by the pages alone.")
    ] = False,
    without_mitigate: Annotated[
        bool, typer.Option("--without-mitigate", help="Run no command, and see that it stays broken. No evidence.")
    ] = False,
) -> None:
    """Rehearses a page of the runbook: injects its fault into a scratch copy of the service, runs its commands, and
    writes the seconds to phases/evidence/."""
    from pilot.contract import load_team
    from pilot.operations import drill as drills

    root, chosen = pilot_root(), settings()
    if sum((page is not None, all, surprise)) != 1:
        raise PilotError(f"Name a page, or --all, or --surprise. Pages to drill: {', '.join(drills.drillable(root))}.")
    if surprise:
        found = drills.surprise(load_team(), chosen, who(), print)
        print(f"wrote {below(root, drills.record(root, found, date.today(), who(), 'by a person'))}")
        return
    for name in drills.drillable(root) if page is None else [page]:
        found = drills.run(load_team(), chosen, name, print, mitigate=not without_mitigate)
        if without_mitigate:
            print(f"{name}: without Mitigate it stays broken, as it must")
        else:
            print(f"wrote {below(root, drills.record(root, found, date.today(), who(), 'by the command'))}")


@alerts_app.command("list")
def alerts_list(
    prometheus: Annotated[str, typer.Option(help="Address of Prometheus.")] = "http://127.0.0.1:9090",
) -> None:
    """Lists each alert: what it means, its page, and when it last fired and for how long in 28 days, where Prometheus
    answers."""
    from datetime import UTC, datetime

    from pilot.operations.prometheus import Prometheus, alerts

    root = pilot_root()
    fired = 'ALERTS{alertstate="firing"}'
    last: dict[str, float] = {}
    minutes: dict[str, float] = {}
    try:
        asked = Prometheus(prometheus)
        for found, query in (
            (last, f"max by (alertname) (max_over_time(timestamp({fired})[28d:1m]))"),
            (minutes, f"sum by (alertname) (count_over_time({fired}[28d:1m]))"),
        ):
            for one in asked.ask("query", query=query)["result"]:
                found[one["metric"]["alertname"]] = float(one["value"][1])
    except PilotError as error:
        print(f"When they fired is not known. {error}\n")
    for alert in alerts(root):
        when = ""
        if alert.name in last:
            ended = datetime.fromtimestamp(last[alert.name], UTC)
            when = f"  last {ended:%Y-%m-%d %H:%M} UTC, {minutes[alert.name]:.0f} min"
        print(f"{alert.severity:<8} {alert.name:<22} {alert.page:<36}{when}\n         {alert.summary}")


@operate_app.command(rich_help_panel=HARDEN)
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write, which must not be there yet.")],
) -> None:
    """Writes all records into one file, of SQLite or PostgreSQL. Contents stay encrypted as they are."""
    from pilot.operations.backup import backup as write

    print(write(settings(), file))


@operate_app.command(rich_help_panel=HARDEN)
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `pilot backup` wrote.")],
) -> None:
    """Reads a backup into an empty database, and compares counts and the audit chain before it says that it is done."""
    from pilot.operations.backup import restore as read

    print(read(settings(), file))
