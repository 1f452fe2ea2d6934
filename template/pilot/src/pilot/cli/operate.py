"""The verbs of phase 4: alerts, drills of the runbook, backup and restore."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer

from pilot import contract
from pilot.charter import read_charter, read_objectives
from pilot.cli.common import (
    HARDEN,
    PROMETHEUS,
    PrometheusAt,
    below,
    contents,
    database,
    notes,
    pilot_root,
    pilot_with_records,
    settings,
    who,
)
from pilot.contract import PilotError
from pilot.workbench import card as cards

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
    from pilot.operations import drill as drills

    root, chosen, team = pilot_root(), settings(), contract.load_team()
    pages = drills.drillable(team, root)
    if sum((page is not None, all, surprise)) != 1:
        raise PilotError(f"Name a page, or --all, or --surprise. Pages to drill: {', '.join(pages)}.")
    if surprise:
        found = drills.surprise(team, chosen, who(), print)
        print(f"wrote {below(root, drills.record(root, found, date.today(), who(), 'by a person'))}")
        return
    for name in pages if page is None else [page]:
        found = drills.run(team, chosen, name, print, mitigate=not without_mitigate)
        if without_mitigate:
            print(f"{name}: without Mitigate it stays broken, as it must")
        else:
            print(f"wrote {below(root, drills.record(root, found, date.today(), who(), 'by the command'))}")


@alerts_app.command("list")
def alerts_list(prometheus: PrometheusAt = PROMETHEUS) -> None:
    """Lists each alert: what it means, its page, and when it last fired and for how long in 28 days, where Prometheus
    answers."""
    from pilot.operations.backtest import shown
    from pilot.operations.prometheus import Prometheus, alerts

    root = pilot_root()
    fired: dict[str, tuple[float, int]] = {}
    try:
        fired = Prometheus(prometheus).fired()
    except PilotError as error:
        print(f"When they fired is not known. {error}\n")
    for alert in alerts(root):
        when = ""
        if alert.name in fired:
            last, minutes = fired[alert.name]
            when = f"  last {shown(last)} UTC, {minutes} min"
        print(f"{alert.severity:<8} {alert.name:<22} {alert.page:<36}{when}\n         {alert.summary}")


@alerts_app.command("backtest")
def alerts_backtest(prometheus: PrometheusAt = PROMETHEUS) -> None:
    """Looks back: when the alerts would have called somebody on the pilot's own records, by its rules in a real
    Prometheus. Writes the count to phases/evidence/ for gate 4."""
    from pilot.operations import backtest
    from pilot.operations.prometheus import Prometheus
    from pilot.records import controls

    chosen = settings()
    pilot = pilot_with_records(chosen.root, date.today())
    if pilot.engine is None:
        raise PilotError(str(pilot.live))
    with pilot.engine.connect() as connection:
        scratch = controls.scratch(connection)
        promised = read_objectives(chosen.root)
        found = backtest.look_back(chosen.root, connection, promised, pilot.charter, chosen.known_interval)
    print(*backtest.lines(found), sep="\n")
    if scratch:
        print("These are the records of a scratch database, which counts for no gate: no evidence was written.")
        return
    try:
        fired = Prometheus(prometheus).fired()
    except PilotError:
        fired = None
    print(f"wrote {below(chosen.root, backtest.record(chosen.root, found, fired, date.today(), who()))}")


@operate_app.command(rich_help_panel=HARDEN)
def loadtest(
    profile: Annotated[str, typer.Argument(help="smoke, peak, stress, spike, soak or degraded")],
    url: Annotated[
        str | None, typer.Option(help="A deployed service, with a key in LOADTEST_KEY, in place of a scratch copy.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, max=86400, help="How long, other than the profile says.")
    ] = None,
) -> None:
    """Sends what production will, computed from the charter's volume, and sees whether the objectives are kept.

    Writes a page to var/ and evidence for gate 4. Exit codes: 0 kept, 1 missed, 2 not run."""
    from pilot.operations import load, load_results

    chosen = settings()
    root = chosen.root
    try:
        charter, objectives = read_charter(root), read_objectives(root)
        daily = charter.volume_production if charter else None
        tested = load.run(contract.load_team(), chosen, profile, daily, objectives, url, seconds, print)
    except PilotError as error:
        notes.print(f"The load test did not run. {error}", markup=False)
        raise typer.Exit(2) from None
    for check in tested.checks:
        print(f"{'kept' if check.kept else 'MISSED':6}  {check.name}: {check.seen}, promised {check.promised}")
    for note in tested.notes:
        print(note)
    print(f"What gave out first: {load_results.bottleneck(tested)}")
    report = root / "var" / f"loadtest-{profile}.html"
    report.parent.mkdir(exist_ok=True)
    load_results.write_report(report, tested, objectives, date.today())
    written = load_results.record(root, tested, report, date.today(), who())
    print(f"wrote {below(root, report)} and {below(root, written)}")
    if not tested.kept:
        raise typer.Exit(1)


@operate_app.command(rich_help_panel=HARDEN)
def doctor() -> None:
    """Looks at settings, database, clock, model, keys, disk, provider and the way of the alerts, and says how to fix
    what is wrong. Exit code 1 where something is."""
    from pilot.operations.doctor import examine

    wrong = 0
    for name, found in examine(pilot_root()):
        wrong += found.state == "wrong"
        print(f"{found.state:6} {name:9} {found.said}")
        if found.fix:
            print(f"{'':16} {found.fix}")
    print({0: "Nothing is wrong.", 1: "1 thing is wrong."}.get(wrong, f"{wrong} things are wrong."))
    if wrong:
        raise typer.Exit(1)


@operate_app.command(rich_help_panel=HARDEN)
def known() -> None:
    """Lists the items of data/known.csv that the model answered wrongly when the service last asked for them."""
    from textwrap import shorten

    from pilot.fields import shown
    from pilot.records import queries
    from pilot.records.database import now

    held = contents()
    with database().connect() as connection:
        rows = queries.known_answers(connection, now() - timedelta(days=1))
    if not rows:
        print("No known item was asked for within a day: see runbook/known-items.md.")
        return
    wrong = 0
    for row in rows:
        final = held.prediction.model_validate_json(held.vault.open(row.final))
        answer = row.prediction and held.prediction.model_validate_json(held.vault.open(row.prediction))
        if queries.knows(answer, final):
            continue
        wrong += 1
        words = next((str(value) for _, value in held.item.model_validate_json(held.vault.open(row.content))), "")
        told = shown(answer) if row.failure is None else f"no answer ({row.failure})"
        print(f"{row.ended_at:%H:%M}  {told}, not {shown(final)}, by {row.model_version}: {shorten(words, 60)}")
    print(f"{wrong} of {len(rows)} known items were answered wrongly when they were last asked for, within a day.")


@operate_app.command(rich_help_panel=HARDEN)
def card() -> None:
    """Writes the system card: what the pilot is, what it depends on, and what threatens it, as it is configured now."""
    root, engine = pilot_root(), database()
    to_do = cards.write(root, contract.load_team(), settings(), engine, date.today())
    print(f"wrote {cards.CARD}: read it, and commit it")
    for threat in to_do:
        print(f"  {threat.what}: {threat.kept_off}. {threat.to_do}")


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
