"""What the verbs share: the pilot's folder, settings and database, who is at the keyboard, and errors as messages."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pilot import contract
from pilot.charter import CHARTER
from pilot.contract import PilotError
from pilot.records.crypto import Contents, Vault
from pilot.workbench import statistics
from pilot.workbench.documents import operations
from pilot.workbench.documents.model import named
from pilot.workbench.pilot import Pilot

SCOPE, BUILD, DECIDE, HARDEN, LIVE = "1 Scope", "2 Build", "3 Decide", "4 Harden", "5 Live"
GATES = "Gates"
# The short documents by what people call them, for the help.
WORDS = tuple(operations.DOCUMENTS)
notes = Console(stderr=True, highlight=False, soft_wrap=True)
PROMETHEUS = "http://127.0.0.1:9090"
PrometheusAt = Annotated[str, typer.Option(help="Address of Prometheus.")]
Today = Annotated[
    datetime | None,
    typer.Option("--today", formats=["%Y-%m-%d"], help="Look as if it were that day. Never writes evidence."),
]
# A file as a person in the pilot's folder names it.
below = named
# How many changed answers a comparison shows.
FLIPS = 20
_OF_THE_ITEM = "The column of a field of the item; COLUMN alone fills the one that is required."
_OF_THE_DECISION = "The column of a field of the right decision; COLUMN alone fills the one that is required."
InputColumns = Annotated[list[str] | None, typer.Option(metavar="[FIELD=]COLUMN", help=_OF_THE_ITEM)]
FinalColumns = Annotated[list[str] | None, typer.Option(metavar="[FIELD=]COLUMN", help=_OF_THE_DECISION)]


def pilot_root() -> Path:
    """The pilot's folder. Raises PilotError outside of a pilot."""
    from pilot.settings import find_root

    root = Path(os.environ["PILOT_ROOT"]).resolve() if os.environ.get("PILOT_ROOT") else find_root()
    if not (root / CHARTER).is_file():
        raise PilotError(f"There is no {CHARTER} in {root} or above. Run this in a pilot.")
    return root


def day(today: datetime | None) -> date:
    """The day to look at: the given one, else today."""
    return today.date() if today else date.today()


def settings(**changes: Any) -> Any:
    """The settings in force, with `changes` where they are given. Outside of a pilot they would lead to a new database,
    where nothing of it is seen: that is reported together with what is wrong with the settings."""
    from pilot.settings import load_settings

    problems = []
    try:
        pilot_root()
    except PilotError as error:
        problems.append(str(error))
    try:
        found = load_settings(**{name: value for name, value in changes.items() if value is not None})
    except PilotError as error:
        problems.append(str(error))
    if problems:
        raise PilotError("\n".join(problems))
    return found


def database() -> Any:
    """The database of the settings, at the present schema; its name goes to the terminal's notes."""
    from pilot.records.database import migrate, open_database, shown_name

    engine = open_database(settings())
    notes.print(f"database: {shown_name(engine)}", markup=False)
    migrate(engine)
    return engine


def pilot_with_records(root: Path, today: date) -> Pilot:
    """The pilot in `root` with its records, or why they cannot be read."""
    held = contents_if_any()
    try:
        return Pilot(root, today, database(), held)
    except PilotError as error:
        return Pilot(root, today, str(error))


def contents() -> Contents:
    """What reads the contents of the records. Raises PilotError where the team's code does not load."""
    team = contract.load_team()
    return Contents(team.item, team.prediction, Vault(settings().data_keys))


def contents_if_any() -> Contents | None:
    """The same; None where the team's code does not load, as what needs no contents is told all the same."""
    try:
        return contents()
    except PilotError:
        return None


def who() -> str:
    """Who changes something: the user of this machine, for the audit trail."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {Path('/proc/self').stat().st_uid}"


@contextmanager
def as_user_errors() -> Iterator[None]:
    """Makes a PilotError of an error of the system, of the database, or of a library that is not installed. A closed
    pipe is none: its reader has enough."""
    try:
        with statistics():
            yield
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise PilotError(
            f"{place}{error.strerror or type(error).__name__}. Check that you may read and write there, and that the "
            "disk is not full."
        ) from error
    except Exception as error:
        if not _of_database(error):
            raise
        from pilot.records.database import fault

        found = fault(error)
        raise PilotError(
            f"The database failed, so the last change was not made: {found.what}. {found.fix} See "
            "runbook/database-down.md, then run this again."
        ) from error


def _of_database(error: Exception) -> bool:
    """Whether it comes from SQLAlchemy, which takes long to import and is there by now if it failed."""
    library = sys.modules.get("sqlalchemy.exc")
    return library is not None and isinstance(error, library.SQLAlchemyError)


@contextmanager
def flushed() -> Iterator[None]:
    """Flushes what was printed, while an error of that can still be reported. Raises OSError.

    The interpreter would only mutter about it in the end, and so it would again about what could not be written.
    """
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise
