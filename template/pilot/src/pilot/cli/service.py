"""The verbs of the service: serve, mode, ingest, demo, keys, model and secrets."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilot import contract
from pilot.cli.common import BUILD, FLIPS, FinalColumns, InputColumns, as_user_errors, database, notes, settings, who
from pilot.contract import PilotError, Team
from pilot.records.crypto import Vault
from pilot.workbench import decision, evidence, gates, signatures
from pilot.workbench.documents import operations

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pilot.contract import Answer
    from pilot.settings import Settings
    from pilot.workbench.promotion import Judgement

# The exit code of an ingest that accepted no row.
NOTHING_TAKEN = 4
service_app = typer.Typer()
keys_app = typer.Typer(no_args_is_help=True, help="Keys of callers, reviewers, operators and auditors.")
model_app = typer.Typer(no_args_is_help=True, help="The model.")
Workers = Annotated[int, typer.Option(min=1, max=64, help="Processes that answer the judged items.")]
secrets_app = typer.Typer(no_args_is_help=True, help="Secrets for development.")


@service_app.command(rich_help_panel=BUILD)
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of PILOT_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, instead of PILOT_PORT.")] = None,
) -> None:
    """Serves the API and the review page until it is told to stop."""
    from pilot.serving import logging
    from pilot.serving.app import run
    from pilot.serving.guide import Guide

    try:
        with as_user_errors():
            chosen = settings(host=host, port=port)
            text = operations.complete_page(chosen.root, operations.GUIDE)
            run(chosen, guide=Guide(text) if text else None)
    except PilotError as error:
        if sys.stderr.isatty():
            raise
        print(logging.start_refused(error), file=sys.stderr)
        raise typer.Exit(1) from error


@service_app.command(rich_help_panel=BUILD)
def mode(
    wanted: Annotated[str | None, typer.Argument(metavar="[off|shadow|assist|auto]")] = None,
    scratch: Annotated[
        bool,
        typer.Option("--scratch", help="Make this a database for trying out: it needs no gate and counts for none."),
    ] = False,
) -> None:
    """Shows the mode in force, or changes it; running services obey within seconds. assist and auto need gate 1."""
    from pilot.records import controls
    from pilot.records.database import writing

    if wanted is not None and wanted not in set(controls.Mode):
        raise PilotError(f"There is no mode {wanted!r}. Use one of: {', '.join(controls.Mode)}.")
    engine = database()
    with writing(engine) as connection:
        before = controls.mode(connection)
        if scratch:
            controls.mark_scratch(connection, who())
        if wanted is not None and controls.closed(connection):
            controls.reopen(connection, who(), decision.reopening(evidence.read(settings().root)))
        if wanted is not None and wanted != before:
            if not controls.scratch(connection):
                gates.may_enter(settings().root, wanted)
            controls.set_mode(connection, controls.Mode(wanted), who())
        closed = controls.closed(connection)
    print(
        f"{before}{', and the pilot is closed' if closed else ''}"
        if wanted in (None, before)
        else f"{wanted} (was {before})"
    )


@service_app.command(rich_help_panel=BUILD)
def ingest(
    file: Annotated[Path, typer.Argument(help="A .csv file with a header, or a .jsonl file, in UTF-8.")],
    input: InputColumns = None,
    id: Annotated[str | None, typer.Option(help="Column with your own id of the item.")] = None,
    final: FinalColumns = None,
) -> None:
    """Takes real items through the pilot, in the mode in force; rows with a final decision are a backtest. Running it
    again adds nothing. Exit code 4 where no row was accepted."""
    from pilot.records.rows import chosen
    from pilot.serving import logging
    from pilot.serving.ingest import Columns, run
    from pilot.serving.service import Service

    logging.configure("warning", sys.stderr)
    database().dispose()
    service = Service(team := contract.load_team(), settings())
    columns = Columns(chosen(team.item, input or (), "--input"), id, chosen(team.prediction, final or (), "--final"))
    with _progress(file.name) as progress:
        counts = run(service, file, columns, lambda so_far: progress(so_far.rows))
    print(
        f"{counts.rows} rows: {counts.new + counts.known} accepted ({counts.new} new, {counts.known} recorded before), "
        f"{counts.quarantined} quarantined; {counts.outcomes} outcomes added"
    )
    for reason, count in counts.reasons.most_common(20):
        print(f"  {count} x {reason} ({'line' if count == 1 else 'first in line'} {counts.first[reason]})")
    if not counts.new + counts.known:
        raise typer.Exit(NOTHING_TAKEN)


@service_app.command(rich_help_panel=BUILD)
def demo() -> None:
    """Serves, answers, records and judges a few examples on a scratch database, and shows what to do next."""
    from pilot.serving.demo import run

    run(contract.load_team(), settings(), print)


def _columns(team: Team, input: InputColumns, label: FinalColumns) -> tuple[Any, Any]:
    """The columns of the item and of the right label that were named on the command line."""
    from pilot.records.rows import chosen

    return chosen(team.item, input or (), "--input"), chosen(team.prediction, label or (), "--label")


@model_app.command("train")
def model_train(
    data: Annotated[
        Path | None, typer.Option(help="Labelled rows, .csv or .jsonl. [default: data/examples.csv]")
    ] = None,
    input: InputColumns = None,
    label: FinalColumns = None,
) -> None:
    """Trains a model on labelled rows and marks it as active in the store, for services where none was promoted."""
    from pilot.models.examples import train

    chosen, team = settings(), contract.load_team()
    inputs, finals = _columns(team, input, label)
    data = data or chosen.root / "data" / "examples.csv"
    with notes.status(f"training on {data.name}") if notes.is_terminal else nullcontext():
        notes.print(f"training on {data}", markup=False)
        print(train(team, chosen, data, inputs, finals, notes.print))


@model_app.command("retrain")
def model_retrain(
    data: Annotated[Path | None, typer.Option(help="Labelled rows to learn from as well, .csv or .jsonl.")] = None,
    input: InputColumns = None,
    label: FinalColumns = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(help="A person to learn from although the model in force seldom agrees."),
    ] = None,
    workers: Workers = 1,
) -> None:
    """Trains a candidate on what people decided, and compares it with the model in force. It does not answer before
    `pilot model promote`. A model behind an API is asked for the latest judged items instead, with the prompt and the
    name that are configured here. Exit code 1 where it did not prove itself."""
    from pilot.models.examples import read_examples
    from pilot.records import audit, controls
    from pilot.records.database import writing
    from pilot.workbench import promotion

    chosen, engine, team = settings(), database(), contract.load_team()
    inputs, finals = _columns(team, input, label)
    vault = Vault(chosen.data_keys)
    if team.train is None:
        _ask(team, chosen, engine, vault)
        return
    more, refused = read_examples(team, data, inputs, finals) if data else ([], [])
    for line in refused[:20]:
        notes.print(line, markup=False)
    with engine.connect() as connection:
        made = promotion.retrain(team, chosen, connection, vault, more, notes.print, trust or ())
    lineage = {"version": made.version, "rows": made.rows, "held_out": made.held_out}
    lineage |= {"left_out": list(made.left_out), "trusted": trust or []}
    dated = {"begins": made.begins.isoformat(), "ends": made.ends.isoformat(), "data": data and data.name}
    with writing(engine) as connection:
        audit.append(connection, who(), controls.RETRAINED, {**lineage, **dated})
    print(
        f"{made.version} is a candidate: learned from {made.rows} rows, decided from {made.begins:%Y-%m-%d} to "
        f"{made.ends:%Y-%m-%d}; {made.held_out} later ones judge it."
    )
    found = _judged(chosen, engine, made.version, workers)
    _print_judgement(found)
    if found.refusals:
        raise typer.Exit(1)
    print(f"To put it in force: pilot model promote {made.version} --as 'NAME <MAIL>'")


def _ask(team: Team, chosen: Any, engine: Any, vault: Any) -> None:
    """Tries a prompt and a model name on judged items, notes that in the audit trail, and prints the comparison."""
    from pilot.records import audit, controls
    from pilot.records.database import writing
    from pilot.workbench import promotion

    with engine.connect() as connection:
        asked = promotion.ask(team, chosen, connection, vault, notes.print)
    found = asked.judgement
    dated = {"begins": asked.begins.isoformat(), "ends": asked.ends.isoformat(), "cost": asked.cost}
    detail = {"version": found.candidate, "rows": asked.items, "refusals": list(found.refusals), **dated}
    with writing(engine) as connection:
        audit.append(connection, who(), controls.RETRAINED, detail)
    print(f"cost              {'not known' if asked.cost is None else f'{asked.cost:.2f}'}")
    _print_judgement(found)
    if found.refusals:
        raise typer.Exit(1)
    print(f"{found.candidate} proved itself. Deploy the prompt and the model's name that are configured here.")


def _judged(chosen: Settings, engine: Engine, version: str, workers: int) -> Judgement:
    """The candidate beside the model in force, by a replay of the judged items. What it leaves is removed at its end.
    Broken off, it goes on where it was when it is run again within a day."""
    from pilot.contract import load_team
    from pilot.operations.replay import JUDGED, Replay, Source
    from pilot.records.crypto import Vault
    from pilot.workbench import promotion

    team, folder = load_team(), chosen.root / "var" / "replay" / f"{version}-promote"
    if folder.exists() and time.time() - folder.stat().st_mtime > 86_400:
        rmtree(folder)
    wanted = Replay(load_team, chosen, Source(JUDGED), version, folder)

    def replay() -> dict[str, Answer]:
        with notes.status("replaying") as shown:
            wanted.run(workers, lambda done: shown.update(f"{done} judged items answered"))
        found = wanted.answers(team.prediction)
        rmtree(folder)
        return found

    with engine.connect() as connection:
        return promotion.judge(team, chosen, connection, Vault(chosen.data_keys), version, replay)


@model_app.command("promote")
def model_promote(
    version: Annotated[str, typer.Argument(help="A version of the model store.")],
    person: Annotated[str, typer.Option("--as", metavar="'NAME <MAIL>'", help="Who approves it.")],
    override: Annotated[
        str | None, typer.Option(metavar="WHY", help="Promotes it upon --as although it did not prove itself.")
    ] = None,
    share: Annotated[
        str | None,
        typer.Option(
            metavar="10%", help="It answers this share of the live items beside the model in force; 0% ends that."
        ),
    ] = None,
    workers: Workers = 1,
) -> None:
    """Puts a version in force, once it has proven itself on the judged items; running services obey within seconds.

    With --share it is a challenger: it answers a share of the items, by subject as in the rollout, and steps back where
    it does worse than the model in force. `pilot rollout` compares the two, and `pilot rollback` ends it too."""
    from pilot.models.store import check_loads
    from pilot.records import canary, controls, rollout
    from pilot.records.database import now, writing
    from pilot.workbench import promotion, stages

    name, mail = signatures.signer(person)
    chosen, engine = settings(), database()
    reach = rollout.Reach(1.0) if share is None else stages.challenged(share)
    with engine.connect() as connection:
        stage, other = rollout.read(connection, rollout.CHALLENGER), rollout.challenger(connection)
    if share is not None and other and other.model != version:
        raise PilotError(f"{other.model} is the challenger. End it first: --share 0%, with that version.")
    if reach == rollout.Reach():
        with writing(engine) as connection:
            if rollout.end_challenger(connection, who()) is None:
                raise PilotError("There is no challenger to end.")
        print(f"{version} is no challenger any more; running services obey within seconds")
        return
    refusals: tuple[str, ...]
    with engine.connect() as connection:
        present = promotion.incumbent(connection, chosen)
        try:
            found = _judged(chosen, engine, version, workers)
        except PilotError as error:
            if not override or version == present:
                raise
            refusals = (str(error),)
        else:
            _print_judgement(found)
            refusals = found.refusals
        if other and other.model == version:
            refusals += tuple(f"it waits for {one}" for one in canary.waits_for(connection, other, reach, now()))
    if refusals and not override:
        raise PilotError(f"{version} is not promoted, and {present} stays in force: {'; '.join(refusals)}.")
    named = check_loads(contract.load_team(), chosen, version)
    detail = {"approved_by": f"{name} <{mail}>", "refusals": list(refusals), "override": override}
    if share is not None:
        if named != version:
            raise PilotError(
                f"The model that model.py loads for version {version} names itself {named}, so its answers would not "
                "be known as those of the challenger. Let it name the version that it loaded."
            )
        try:
            with writing(engine) as connection:
                rollout.change(connection, reach, stage.version if stage else 0, who(), version, **detail)
        except rollout.Stale as error:
            with writing(engine) as connection:
                rollout.refuse(connection, reach, who(), str(error), rollout.CHALLENGER)
            raise
        print(f"{version} answers {reach} of the live items beside {present}; running services obey within seconds.")
        print("`pilot rollout` shows what harm that can see and by when, and how it fares.")
        return
    with writing(engine) as connection:
        rollout.end_challenger(connection, who())
        controls.promote(connection, version, present, who(), detail)
    print(f"{version} is in force (was {present}). `pilot model rollback` takes it back.")


@model_app.command("attack")
def model_attack() -> None:
    """Tries thirty prompt injections on items of data/examples.csv, and counts those that changed the answer. Behind an
    API that is sixty calls."""
    from pilot.models.examples import read_examples
    from pilot.operations import attack
    from pilot.serving.inference import NoModel, load_model
    from pilot.workbench.stats.estimates import wilson

    chosen, team = settings(), contract.load_team()
    model = load_model(team, chosen)
    if isinstance(model, NoModel):
        raise PilotError(model.why)
    rows, _ = read_examples(team, chosen.root / "data" / "examples.csv", None, None)
    found = attack.attack(team, model, [item for item, _ in rows])
    for name, of in (
        ("did what was wanted", [one.obeyed for one in found]),
        ("changed", [one.changed for one in found]),
    ):
        low, high = wilson(sum(of), len(of))
        print(f"{sum(of)} of {len(of)} answers {name} (95 %: {low or 0:.0%} to {high or 0:.0%})")
    for kind in attack.KINDS:
        of_kind = [one for one in found if one.kind == kind]
        print(f"  {sum(one.changed for one in of_kind)} of {len(of_kind)} by {kind}")
    print("Each answer still had the fields of the Prediction, or was refused: an attacker cannot get anything else.")


@model_app.command("rollback")
def model_rollback() -> None:
    """Puts the version in force that was so before, and ends a challenger; running services obey within seconds."""
    from pilot.models.store import check_loads
    from pilot.records import controls, rollout
    from pilot.records.database import writing

    engine = database()
    with writing(engine) as connection:
        if ended := rollout.end_challenger(connection, who()):
            print(f"{ended} is no challenger any more.")
    with writing(engine) as connection:
        before, version = controls.roll_back(connection, who())
        check_loads(contract.load_team(), settings(), version)  # or nothing is changed
    print(f"{version} is in force (was {before}).")


@model_app.command("history")
def model_history() -> None:
    """Lists which version was trained, promoted and rolled back, when and by whom."""
    from pilot.contract import ModelUnavailable
    from pilot.models.store import load_active
    from pilot.records import controls

    with database().connect() as connection:
        entries = controls.model_history(connection)
    for entry in entries:
        what = entry["event"].removeprefix("model.").replace("_", " ")
        why = f", override: {entry['override']}" if entry.get("override") else ""
        told = f"from {entry['rows']} rows" if "rows" in entry else f"was {entry['before']}"
        by = entry.get("approved_by") or entry["by"]
        print(f"{entry['at']:%Y-%m-%d %H:%M}  {entry['version']}  {what}, {told}, by {by}{why}")
    if not any("before" in entry for entry in entries):
        try:
            card = load_active(settings()).card
            last = f"the one that was trained last, {card.version} of {card.created}"
        except ModelUnavailable as error:
            last = f"none ({error})"
        print(f"No version was promoted yet. A service that starts now loads {last}.")


def _print_judgement(found: Judgement) -> None:
    from pilot.workbench.phrases import number, versus

    compared = found.compared
    print(f"{found.candidate:<16}  {number(compared.first)}")
    print(f"{found.incumbent:<16}  in force; the candidate less it on {compared.versus.comparison.n} judged items:")
    print(f"  {versus(compared.versus)}")
    if compared.learned:
        print(f"left out          {compared.learned} items from which one of the two had learned")
    print(
        f"changed answers   {len(found.flips)}" + (f", of which the first {FLIPS}" if len(found.flips) > FLIPS else "")
    )
    for flip in found.flips[:FLIPS]:
        print(f"  {flip.item_id}  {flip.incumbent} -> {flip.candidate}, decided {flip.final}")
    for refusal in found.refusals:
        print(f"not proven        {refusal}")


@secrets_app.command("init")
def secrets_init() -> None:
    """Makes secrets for development where there are none. Never for production: mount those from your vault."""
    from pilot.settings import make_secrets

    for line in make_secrets(settings().root):
        print(line)


@keys_app.command("create")
def keys_create(
    role: Annotated[str, typer.Argument(help="caller, reviewer, operator or auditor")],
    name: Annotated[str, typer.Option(help="The system or the person that holds it.")] = "",
    origin: Annotated[str, typer.Option(help="What its items count as: live, test, demo or backtest.")] = "live",
    days: Annotated[
        int, typer.Option(min=1, max=3650, help="How long it holds. An alert comes two weeks before.")
    ] = 365,
) -> None:
    """Makes a key and prints it once. Only items of live keys count for the gates."""
    from pilot.records import keys
    from pilot.records.database import now, writing

    with writing(database()) as connection:
        secret = keys.create(connection, role, name or role, origin, who(), now() + timedelta(days=days))
    notes.print(f"A key of the role {role} for {name or role!r}. It is not shown again:", markup=False)
    print(secret)


@keys_app.command("list")
def keys_list() -> None:
    """Lists keys without their secrets."""
    from pilot.records import keys

    with database().connect() as connection:
        for key in keys.listed(connection):
            created, state = key["created_at"], _state(key["revoked_at"], key["expires_at"])
            print(f"{key['id']}  {key['role']:<9} {key['origin']:<9} {created:%Y-%m-%d %H:%M}  {state}  {key['name']}")


def _state(revoked: Any, expires: Any) -> str:
    from pilot.records.database import now

    if revoked:
        return f"revoked {revoked:%Y-%m-%d %H:%M}"
    if expires is None:
        return "in force"
    return f"{'in force until' if expires > now() else 'expired'} {expires:%Y-%m-%d %H:%M}"


@keys_app.command("rotate")
def keys_rotate(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `pilot keys list` shows it.")],
    overlap: Annotated[float, typer.Option(min=0, max=720, help="Hours for which the old one goes on to hold.")] = 24.0,
) -> None:
    """Makes a key to replace another one and prints it once. Both hold until the overlap ends; nothing is restarted."""
    from pilot.records import keys
    from pilot.records.database import writing

    with writing(database()) as connection:
        secret, ends = keys.rotate(connection, identity, timedelta(hours=overlap), who())
    notes.print(f"{identity} holds until {ends:%Y-%m-%d %H:%M} UTC. Its successor is not shown again:", markup=False)
    print(secret)


@keys_app.command("revoke")
def keys_revoke(identity: Annotated[str, typer.Argument(metavar="ID", help="As `pilot keys list` shows it.")]) -> None:
    """Ends a key. Running services obey within seconds."""
    from pilot.records import keys
    from pilot.records.database import writing

    with writing(database()) as connection:
        keys.revoke(connection, identity, who())
    print(f"{identity} is revoked")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    """Shows how many rows are done: a running count on a terminal, a plain line now and then elsewhere."""
    if notes.is_terminal:
        with notes.status(what) as shown:
            yield lambda rows: shown.update(f"{what}: {rows} rows")
        return
    told = 0

    def tell(rows: int) -> None:
        nonlocal told
        if rows - told >= 10_000:
            told = rows
            notes.print(f"{what}: {rows} rows", markup=False)

    yield tell
