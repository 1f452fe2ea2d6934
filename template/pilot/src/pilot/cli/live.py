"""The verbs of phase 5: whether what comes in is still what the pilot was judged on."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from pilot.cli.common import LIVE, Today, day, pilot_with_records, settings
from pilot.contract import PilotError

live_app = typer.Typer()


@live_app.command(rich_help_panel=LIVE)
def drift(
    days: Annotated[int, typer.Option(min=5, max=90, help="How many days before today are looked at.")] = 7,
    today: Today = None,
) -> None:
    """Compares what came in and was answered lately with the weeks in which the pilot was judged. Run it daily.

    Exit codes: 0 nothing changed, 1 something did, 2 not enough data."""
    from pilot.contract import load_team
    from pilot.records.crypto import Vault
    from pilot.workbench import drift as drifting
    from pilot.workbench import pages
    from pilot.workbench.documents.charter_rules import WEEKS
    from pilot.workbench.stats.shift import LEAST_DAYS, LEAST_ITEMS

    chosen = settings()
    pilot = pilot_with_records(chosen.root, day(today))
    live = pilot.live
    if pilot.engine is None or live is None or isinstance(live, str):
        raise PilotError(str(live))
    if live.first_item_at is None:
        raise PilotError("No live item was recorded, so there is nothing to compare.")
    first = live.first_item_at.date()
    begun: date = max(pilot.begun, first) if pilot.signed else first
    weeks = pilot.charter.weeks or WEEKS[0]
    with pilot.engine.connect() as connection:
        found = drifting.look(load_team(), connection, Vault(chosen.data_keys), begun, weeks, pilot.today, days)
    print(pages.render("drift.txt", found=found, least=LEAST_ITEMS, least_days=LEAST_DAYS), end="")
    if not found.enough:
        raise typer.Exit(2)
    if found.drifted:
        raise typer.Exit(1)
