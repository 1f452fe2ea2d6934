"""What the system refuses, told as a message: a folder that may not be written, a disk that is full."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pilot.contract import PilotError


@contextmanager
def told() -> Iterator[None]:
    """Makes a PilotError of an error of the system. A closed pipe is none: whoever reads has enough."""
    try:
        try:
            yield
        finally:
            _flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise PilotError(
            f"{place}{error.strerror or type(error).__name__}. Check that you may read and write there, and that the "
            "disk is not full."
        ) from error


def _flush() -> None:
    """Writes what was printed, while an error of that can still be told. Raises OSError.

    The interpreter would only mutter about it in the end, and so it would again about what could not be written.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
