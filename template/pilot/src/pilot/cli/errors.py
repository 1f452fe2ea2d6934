"""Errors of the system, of the database and of a missing library as messages: a folder that may not be written, a lost
connection, an extra that is not installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pilot.contract import PilotError

# The libraries of the workbench, which a pilot is served without.
_EVALUATION = ("matplotlib", "numpy", "scipy", "statsmodels")


@contextmanager
def told() -> Iterator[None]:
    """Makes a PilotError of an error of the system, of the database, or of a library that is not installed. A closed
    pipe is none: its reader has enough."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise PilotError(
            f"{place}{error.strerror or type(error).__name__}. Check that you may read and write there, and that the "
            "disk is not full."
        ) from error
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _EVALUATION:
            raise
        raise PilotError(
            f"This needs {library}, which is not installed here. Run `uv sync` in the pilot's folder: the group dev "
            "brings it. Elsewhere install ai-pilot-wrapper with the extra evaluation."
        ) from error
    except Exception as error:
        if not _of_database(error):
            raise
        raise PilotError(
            f"The database failed ({type(error.__cause__ or error).__name__}), so the last change was not made. Check "
            "that it runs and that its disk is not full, see runbook/database-down.md, then run this again."
        ) from error


def _of_database(error: Exception) -> bool:
    """Whether it comes from SQLAlchemy, which takes long to import and is there by now if it failed."""
    library = sys.modules.get("sqlalchemy.exc")
    return library is not None and isinstance(error, library.SQLAlchemyError)


@contextmanager
def flushed() -> Iterator[None]:
    """Writes what was printed in it, while an error of that can still be told. Raises OSError.

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
