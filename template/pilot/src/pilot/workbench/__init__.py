"""What people do with the records of a pilot: documents, gates, statistics, reports. The service imports none of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pilot.contract import PilotError

# The libraries of the extra `evaluation`, which the image that serves does not hold.
LIBRARIES = ("matplotlib", "numpy", "scipy", "statsmodels")


@contextmanager
def statistics() -> Iterator[None]:
    """Makes a PilotError of a library of the extra `evaluation` that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in LIBRARIES:
            raise
        raise PilotError(
            f"This needs {library}, which is not installed here. Run `uv sync` in the pilot's folder: the group dev "
            "brings it. Elsewhere install ai-pilot-wrapper with the extra evaluation."
        ) from error
