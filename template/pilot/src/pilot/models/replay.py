"""A model of the store on items of before: what another version would have answered."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pilot.contract import Answer, LocalModel, PilotError, Team
from pilot.models.store import ModelStore
from pilot.settings import Settings

_BATCH = 256


def holds(settings: Settings, version: str) -> bool:
    """Whether the pilot's own store or the built-in one holds the version."""
    return _store(settings, version) is not None


def answers(team: Team, settings: Settings, version: str, items: Sequence[Any]) -> list[Answer]:
    """What the version answers to the items, in their order. Nothing is recorded, and the active version stays.

    Raises PilotError when no store holds it or it cannot be loaded, or when the team's model is behind an API.
    """
    store = _store(settings, version)
    if store is None:
        raise PilotError(f"No model store holds version {version}. `ls {settings.models}` shows those there are.")
    with tempfile.TemporaryDirectory(prefix="pilot-replay-") as folder:
        scratch = ModelStore(Path(folder))
        scratch.save(store.load(version))
        scratch.activate(version)
        model = team.model(settings.model_copy(update={"models": scratch.folder}))
        if not isinstance(model, LocalModel):
            raise PilotError("The model is behind an API, and an answer of the past cannot be asked for again.")
        batches = [items[start : start + _BATCH] for start in range(0, len(items), _BATCH)]
        return [answer for batch in batches for answer in model.predict(batch)]


def _store(settings: Settings, version: str) -> ModelStore | None:
    stores = map(ModelStore, (settings.models, settings.default_models))
    return next((store for store in stores if (store.folder / version / "model.json").is_file()), None)
