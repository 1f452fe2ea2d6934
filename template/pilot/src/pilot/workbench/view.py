"""What a gate looks at: the papers, the evidence, the day, and the records where they are at hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from pilot.records.queries import Live, live
from pilot.workbench import evidence, signatures
from pilot.workbench.evidence import Chain

if TYPE_CHECKING:
    from pilot.workbench.results import Results


@dataclass(frozen=True)
class Records:
    """The records of the pilot in `root`, in the database behind the engine, and what is live in them."""

    root: Path
    engine: Engine
    live: Live

    def results(self, as_of: date) -> Results:
        """The results as of a day. Raises PilotError where there are none."""
        from pilot.workbench.results import results

        with self.engine.connect() as connection:
            return results(self.root, connection, as_of)


def records(root: Path, engine: Engine) -> Records:
    """The records of the pilot in `root`."""
    with engine.connect() as connection:
        return Records(root, engine, live(connection))


@dataclass(frozen=True)
class View:
    """The pilot in `root` on the day `today`. `begun` is the day its weeks count from. `records` are None where nobody
    asked for them, and the reason where they cannot be read."""

    root: Path
    today: date
    chain: Chain
    begun: date
    records: Records | str | None

    @property
    def live(self) -> Live | str | None:
        """What is live in the records, or why that is not known."""
        return self.records.live if isinstance(self.records, Records) else self.records


def view(root: Path, today: date, records: Records | str | None = None) -> View:
    """The pilot in `root` as it stands."""
    chain = evidence.read(root)
    return View(root, today, chain, signatures.begun(root, chain, today), records)
