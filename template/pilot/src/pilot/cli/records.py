"""The verbs for what is recorded: the audit trail, one answer explained, and what people may ask of their data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from pilot import contract
from pilot.charter import Charter, read_charter
from pilot.cli.common import HARDEN, database, notes, pilot_root, settings, who
from pilot.contract import PilotError
from pilot.records.crypto import Vault
from pilot.workbench import evidence

records_app = typer.Typer()
audit_app = typer.Typer(no_args_is_help=True, help="The audit trail.")
data_app = typer.Typer(no_args_is_help=True, help="Contents: retention, export, erasure, and new keys for them.")


@audit_app.command("verify")
def audit_verify(
    file: Annotated[
        Path | None, typer.Argument(help="Entries as GET /v1/audit gives them, one a line. [default: the database]")
    ] = None,
    head: Annotated[
        list[str] | None, typer.Option(help="A hash of the last entry that was kept elsewhere, such as in a log.")
    ] = None,
) -> None:
    """Checks that no entry was altered, removed, moved or cut off, by the chain, its checkpoint and the heads that the
    evidence of the gates names. Exit code 1 where one was."""
    from pilot.records import audit

    chain = evidence.read(pilot_root())
    anchors = {entry.facts["records"]: entry.file.name for entry in chain.entries if "records" in entry.facts}
    anchors |= dict.fromkeys(head or [], "--head")
    if file is None:
        with database().connect() as connection:
            flaw, (count, hashed) = audit.verify(connection, anchors), audit.last(connection)
    else:
        entries = audit.read_entries(file)
        flaw, (count, hashed) = audit.flaw(entries, anchors), audit.end(entries)
    if flaw:
        raise PilotError(f"The audit trail does not hold: entry {flaw.seq} {flaw.what}.")
    print(f"The audit trail holds: {count} entries, up to {hashed}; {len(anchors)} heads kept elsewhere are in it.")


@records_app.command(rich_help_panel=HARDEN)
def migrate() -> None:
    """Brings the database to this version's schema, as each service does when it starts. Where several start at once,
    run it before: nothing cuts it off."""
    database()
    print("The database has this version's schema.")


@records_app.command(rich_help_panel=HARDEN)
def explain(item: Annotated[str, typer.Argument(metavar="ID", help="An item's id.")]) -> None:
    """Rebuilds one answer from its input to its outcome, and asks the model of then again. Exit code 1 where it answers
    differently."""
    from pilot.operations import explain as explaining

    chosen = settings()
    with database().connect() as connection:
        found = explaining.explain(contract.load_team(), chosen, connection, Vault(chosen.data_keys), item)
    for line in found.lines:
        print(line)
    if found.same is False:
        raise typer.Exit(1)


Subject = Annotated[str, typer.Argument(help="The person or customer that callers name in `subject`.")]


@data_app.command("export")
def data_export(subject: Subject) -> None:
    """Prints everything that is recorded about a subject, as JSON."""
    from pilot.records import privacy

    found = privacy.export(database(), Vault(settings().data_keys), subject, who())
    print(orjson.dumps({"subject": subject, "items": found}, option=orjson.OPT_INDENT_2).decode())
    notes.print(f"{len(found)} items", markup=False)


@data_app.command("erase")
def data_erase(
    subject: Subject, yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it cannot be undone.")] = False
) -> None:
    """Erases the contents of a subject's items, and the names that callers gave them. How they were answered stays."""
    from pilot.records import privacy

    engine = database()
    if not yes:
        typer.confirm("The contents of this subject's items will be gone for good. Go on?", abort=True)
    count = privacy.erase(engine, Vault(settings().data_keys), subject, who())
    print(f"Erased: {count} items. Backups of before still hold them: after a restore, run this again.")


@data_app.command("purge")
def data_purge() -> None:
    """Erases contents that are older than PILOT_RETENTION_DAYS. Run it daily."""
    from pilot.records import privacy

    chosen = settings()
    privacy.check_retention(chosen.retention_days, bool((read_charter(chosen.root) or Charter()).regulated))
    count = privacy.purge(database(), Vault(chosen.data_keys), chosen.retention_days, who())
    print(f"Erased: {count} items of more than {chosen.retention_days} days ago.")


@data_app.command("rotate")
def data_rotate() -> None:
    """Seals everything with the first key of PILOT_DATA_KEY, while the service runs. It can be broken off and run
    again; once it has ended, the other keys are needed for backups alone."""
    from pilot.records import privacy

    done, vault = 0, Vault(settings().data_keys)
    for done in privacy.rotate(database(), vault, who()):
        if done % 10_000 < privacy.CHUNK:
            notes.print(f"{done} contents", markup=False)
    print(f"Sealed anew: {done} contents. All of them are sealed with data key {vault.key_id}.")
