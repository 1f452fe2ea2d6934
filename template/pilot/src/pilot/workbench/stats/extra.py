"""The libraries of the extra `evaluation`, which serving does without."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pilot.contract import PilotError


def library(name: str) -> Any:
    """The module `name`, such as `scipy.stats`, imported when it is needed.

    Raises PilotError when its library is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise PilotError(
            f"This needs {name.partition('.')[0]}, which is not installed here. Run `uv sync` in the pilot's folder: "
            "the group dev brings it. Elsewhere install ai-pilot-wrapper with the extra evaluation."
        ) from error
