"""The verbs of phase 5: the rollout, and whether what comes in is still what the pilot was judged on."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from pilot.cli.common import (
    LIVE,
    FinalColumns,
    InputColumns,
    Today,
    below,
    database,
    day,
    notes,
    pilot_root,
    pilot_with_records,
    settings,
    who,
)
from pilot.contract import PilotError
from pilot.workbench import statistics

live_app = typer.Typer()
feedback_app = typer.Typer(no_args_is_help=True, help="What people flagged, and what comes of it.")
rollout_app = typer.Typer()


@rollout_app.callback(invoke_without_command=True)
def rollout(context: typer.Context) -> None:
    """Shows the stage of the rollout: since when, what it waits for, what harm it can see and by when."""
    from pilot.records import canary, controls
    from pilot.records import rollout as rollouts
    from pilot.records.database import now
    from pilot.workbench import stages

    if context.invoked_subcommand:
        return
    with database().connect() as connection:
        stage, challenger = rollouts.read(connection), rollouts.read(connection, rollouts.CHALLENGER)
        over = challenger and not challenger.reach.share and challenger.by != rollouts.BY_ITSELF
        for one in [stage] if over or challenger is None else [stage, challenger]:
            mode, found, missing, forecast = controls.mode(connection), None, list[str](), None
            if one and one.reach.compared:
                found = canary.look(connection, one)
                missing = canary.waits_for(connection, one, rollouts.Reach(1.0), now())
                forecast = stages.forecast(connection, one.reach, one, _daily(), now())
            print(stages.shown(one, mode, found, missing, forecast), end="")


@rollout_app.command("to")
def rollout_to(
    wanted: Annotated[list[str], typer.Argument(metavar="10% | team NAME | all", help="Who is to get the answers.")],
    yes: Annotated[bool, typer.Option("--yes", help="Open it without a question.")] = False,
) -> None:
    """Opens a stage: a share of the subjects, one more team, or all; others are answered in shadow. It needs a go and
    gate 4, and a wider one a day and a comparison without harm. Prints what harm it can see and by when, then asks."""
    from pilot.records import canary, controls, keys
    from pilot.records import rollout as rollouts
    from pilot.records.database import now, writing
    from pilot.serving.guide import Guide
    from pilot.workbench import gates, stages
    from pilot.workbench.documents import operations

    engine = database()
    with engine.connect() as connection:
        stage, mode = rollouts.read(connection), controls.mode(connection)
        scratch, closed = controls.scratch(connection), controls.closed(connection)
        reach = stages.wanted(wanted, stage)
        missing = canary.waits_for(connection, stage, reach, now())
        forecast = stages.forecast(connection, reach, stage, _daily(), now())
        text = operations.complete_page(settings().root, operations.GUIDE)
        untrained = keys.untrained(connection, Guide(text).version) if text else None
    if closed:
        raise PilotError("The pilot was closed, so no AI is called. A new decision opens it: `pilot decide`.")
    if not scratch:
        gates.may_roll_out(settings().root)
    if missing:
        raise PilotError(f"A wider stage waits for {'; '.join(missing)}. `pilot rollout` shows the comparison.")
    print(stages.planned(stage, reach, mode, forecast), end="")
    if untrained is None:
        print("Not trained: the user guide is not written. `pilot paper show user-guide` lists what is missing.")
    elif untrained:
        print(f"Not trained: {', '.join(untrained)} did not read the present user guide, on the page /guide.")
    if not yes:
        typer.confirm("Open it?", abort=True)
    try:
        with writing(engine) as connection:
            made = rollouts.change(connection, reach, stage.version if stage else 0, who())
    except rollouts.Stale as error:
        with writing(engine) as connection:
            rollouts.refuse(connection, reach, who(), str(error))
        raise
    print(f"{made.reach} (version {made.version}); running services obey within seconds")


@live_app.command(rich_help_panel=LIVE)
def rollback() -> None:
    """Takes the rollout back to nobody, at once, without a question, and whatever others change at the same moment:
    everything is answered in shadow, and a challenger ends."""
    from pilot.records.database import writing
    from pilot.records.rollout import Reach, change, read

    with writing(database()) as connection:
        stage = read(connection)
        made = change(connection, Reach(), stage.version if stage else 0, who())
    print(f"{made.reach} (version {made.version}); running services obey within seconds")


def _daily() -> float | None:
    from pilot.charter import Charter, read_charter

    charter = read_charter(settings().root) or Charter()
    return charter.volume_production or charter.volume_now


@feedback_app.command("list")
def feedback_list() -> None:
    """Lists the flags and reports that nobody has looked at, the unsafe first; `pilot explain` shows an item."""
    from pilot.records import feedback
    from pilot.records.crypto import Vault
    from pilot.records.database import now

    with database().connect() as connection:
        found = feedback.unread(connection, Vault(settings().data_keys))
    for one in found:
        days, comment = (now() - one.at).days, " ".join((one.comment or "").split())
        print(f"{one.id:>5}  {one.flag:<9}  {days:>3} d  {one.by}, item {one.item}  {comment}".rstrip())
    notes.print(f"{len(found)} {'flag waits' if len(found) == 1 else 'flags wait'}", markup=False)


Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="As `pilot feedback list` names them.")]


@feedback_app.command("adopt")
def feedback_adopt(
    ids: Ids, yes: Annotated[bool, typer.Option("--yes", help="The texts name nobody: do not ask.")] = False
) -> None:
    """Makes known items of what people flagged, with the answer that they decided on: the service asks for them from
    its next start on. Addresses and numbers are taken out; names are not found, so it shows the texts and asks."""
    from pilot.contract import load_team
    from pilot.records import feedback
    from pilot.records.crypto import Vault
    from pilot.records.database import writing
    from pilot.serving.watch import KNOWN_FILE
    from pilot.workbench import adoption

    chosen, engine = settings(), database()
    with engine.connect() as connection:
        found = feedback.named(connection, Vault(chosen.data_keys), ids)
    rows = adoption.rows(load_team(), found, chosen.llm_redact or "US")
    for row in rows:
        print("\n".join(f"{name}: {text}" for name, text in row.items()), end="\n\n")
    if not yes:
        typer.confirm(
            f"They go to {KNOWN_FILE}, and with it to whoever reads the repository. Do they name nobody?", abort=True
        )
    added = adoption.add(chosen.root / KNOWN_FILE, rows)
    with writing(engine) as connection:
        feedback.triage(
            connection, ids, who(), "adopted", f"{added} rows of {KNOWN_FILE}, which name nobody by {who()}"
        )
    print(f"{KNOWN_FILE}: {added} added, {len(rows) - added} there before. Commit it.")


@feedback_app.command("dismiss")
def feedback_dismiss(ids: Ids, because: Annotated[str, typer.Option(help="Why nothing comes of it.")]) -> None:
    """Notes that somebody has looked at flags, and why nothing comes of them."""
    from pilot.records import feedback
    from pilot.records.crypto import Vault
    from pilot.records.database import writing

    if not because.strip():
        raise PilotError("Say why with --because, for whoever flagged it.")
    with writing(database()) as connection:
        feedback.named(connection, Vault(settings().data_keys), ids)
        feedback.triage(connection, ids, who(), "dismissed", because.strip())
    print(f"Dismissed: {len(set(ids))}")


@live_app.command("next", rich_help_panel=LIVE)
def next_charter(
    days: Annotated[int, typer.Option(min=7, max=366, help="How many days up to today are looked at.")] = 28,
    today: Today = None,
) -> None:
    """Drafts the next charter into var/next-charter.md: the facts of this one, with what production reaches as the
    baseline, and what slices, drift and flags show."""
    from pilot.workbench import iteration, pages

    root = pilot_root()
    pilot = pilot_with_records(root, day(today))
    if pilot.engine is None:
        raise PilotError(str(pilot.live))
    with statistics(), pilot.engine.connect() as connection:
        text = iteration.draft(pilot, connection, days)
    file = root / "var" / "next-charter.md"
    file.parent.mkdir(exist_ok=True)
    pages.write(file, text)
    print(f"wrote {below(root, file)}")


@live_app.command(rich_help_panel=LIVE)
def replay(
    source: Annotated[
        str,
        typer.Argument(help="live: the recorded live items; judged: the decided ones; or a .csv or .jsonl file."),
    ],
    model: Annotated[str, typer.Option(help="The version of the model that answers.")],
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
    on: Annotated[
        str | None, typer.Option(metavar="ray://HOST:PORT", help="The Ray cluster whose processes answer.")
    ] = None,
    input: InputColumns = None,
    final: FinalColumns = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For the answers. [default: var/replay/MODEL-SOURCE]")
    ] = None,
) -> None:
    """Answers history with a version of the model, into files of a thousand items each, and says how often it agrees
    with what people decided. Nothing is recorded. Broken off, it goes on where it was when it is run again."""
    from pilot.contract import load_team
    from pilot.operations import replay as replaying
    from pilot.records import rows

    chosen, team = settings(), load_team()
    inputs, finals = (
        rows.chosen(team.item, input or (), "--input"),
        rows.chosen(team.prediction, final or (), "--final"),
    )
    database().dispose()
    folder = out or chosen.root / "var" / "replay" / f"{model}-{Path(source).stem}"
    wanted = replaying.Replay(load_team, chosen, replaying.Source(source, inputs, finals), model, folder)
    with notes.status("replaying") as shown:
        found = wanted.run(workers, lambda done: shown.update(f"{done} items answered"), on)
    print(f"{found.items} items, {found.failed} of them failed; {found.refused} rows were none")
    if found.trained:
        print(f"left out of what follows: {found.trained} items from which it had learned")
    if found.judged:
        print(f"agrees with {found.right} of {found.judged} final decisions, {found.right / found.judged:.1%}")
    for name, total in found.scores.items():
        print(f"  {name}: a score of {total / found.judged:.3f} on average, from 0 to 1")
    print(f"wrote {folder}")


@live_app.command(rich_help_panel=LIVE)
def drift(
    days: Annotated[int, typer.Option(min=5, max=90, help="How many days before today are looked at.")] = 7,
    today: Today = None,
) -> None:
    """Compares what came in and was answered lately with the weeks in which the pilot was judged, and four weeks of
    production with the charter's target. Run it daily: what it finds becomes a metric and a ticket.

    Exit codes: 0 nothing changed, 1 something did, 2 not enough data."""
    from pilot.contract import load_team
    from pilot.records import controls
    from pilot.records.crypto import Vault
    from pilot.records.database import writing
    from pilot.workbench import drift as drifting
    from pilot.workbench import pages, production
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
    if today is None:
        sizes = [(one.field, one.what, one.shift.size if one.drifted and one.shift else 0.0) for one in found.findings]
        grounds: tuple[production.Answer, ...] = ()
        if pilot.charter.target is not None:
            with pilot.engine.connect() as connection:
                grounds = production.grounds(pilot, connection)
        gone = any(answer.good is False for answer in grounds)
        with writing(pilot.engine) as connection:
            controls.note_drift(connection, who(), found.enough, sizes)
            controls.note_target(connection, who(), gone)
        for answer in grounds:
            print(f"{answer.question} {answer.said}. {answer.lines[0]}")
        if gone:
            file = chosen.root / "var" / "new-decision.md"
            file.parent.mkdir(exist_ok=True)
            pages.write(file, production.new_decision(pilot, grounds))
            print(f"wrote {below(chosen.root, file)}: what the go was given for is gone, so it is to be decided anew")
    print(pages.render("drift.txt", found=found, least=LEAST_ITEMS, least_days=LEAST_DAYS), end="")
    if not found.enough:
        raise typer.Exit(2)
    if found.drifted:
        raise typer.Exit(1)
