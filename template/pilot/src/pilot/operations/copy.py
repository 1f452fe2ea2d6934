"""A scratch copy of the service, for drills and load tests: nothing that happens to it counts, and nothing is left."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlalchemy import Engine

from pilot.contract import Item, ModelUnavailable, PilotError, Prediction, Team
from pilot.models.examples import read_examples
from pilot.models.store import ModelStore, load_active
from pilot.operations.standin import Provider, provider
from pilot.records import controls
from pilot.records.controls import Mode
from pilot.records.database import migrate, open_database, writing
from pilot.serving.scratch import Scratch, free_port, served, unwinding
from pilot.serving.watch import KNOWN_FILE
from pilot.settings import Settings


@dataclass(frozen=True)
class Copy:
    """The scratch copy: its service, its database and settings, and HOST:PORT of its metrics. In a pilot without a
    model of its own a stand-in is the `provider`, which answers known items rightly."""

    service: Scratch
    engine: Engine
    settings: Settings
    team: Team
    metrics: str
    provider: Provider | None
    folder: Path


@contextmanager
def copied(team: Team, settings: Settings, who: str, **more: str) -> Iterator[Copy]:
    """A scratch copy of the pilot in mode assist, with `more` variables. Raises PilotError where it does not start."""
    with unwinding(), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pilot-copy-")))
        for part in ("phases", "data"):
            shutil.copytree(settings.root / part, folder / part)
        models, stand_in = ModelStore(folder / "models"), None
        calls: dict[str, str] = {}
        try:
            models.activate(models.save(load_active(settings)))
        except ModelUnavailable:
            if team.train is not None:
                raise
            stand_in, calls = stack.enter_context(provider(known(team, settings)))
        scratch = settings.model_copy(
            update={
                "root": folder,
                "models": models.folder,
                "database_url": f"sqlite:///{folder}/copy.db",
                "data_key": SecretStr(Fernet.generate_key().decode()),
            }
        )
        migrate(engine := open_database(scratch))
        stack.callback(engine.dispose)
        with writing(engine) as connection:
            controls.mark_scratch(connection, who)
            controls.set_mode(connection, Mode.ASSIST, who)
        port = str(free_port())
        service = stack.enter_context(served(scratch, folder, **{"PILOT_METRICS_PORT": port, **calls, **more}))
        yield Copy(service, engine, scratch, team, f"127.0.0.1:{port}", stand_in, folder)


def known(team: Team, settings: Settings) -> list[tuple[Item, Prediction]]:
    """The known items with their right answers. Raises PilotError where there are none, or one does not fit."""
    rows, refused = read_examples(team, settings.root / KNOWN_FILE, None, None)
    if refused or not rows:
        raise PilotError(
            f"{KNOWN_FILE} has no rows, or some that do not fit the schema. {' '.join(refused[:3])}".strip()
        )
    return rows
