"""What a gate looks at: the papers, the evidence, the day, and the records where they are at hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pilot.gates import evidence, signatures
from pilot.gates.evidence import Chain
from pilot.records.live import Live


@dataclass(frozen=True)
class View:
    """The pilot in `root` on the day `today`. `begun` is the day its weeks count from. `live` is what is recorded, or
    why it cannot be read, or None where nobody asked."""

    root: Path
    today: date
    chain: Chain
    begun: date
    live: Live | str | None


def view(root: Path, today: date, live: Live | str | None = None) -> View:
    """The pilot in `root` as it stands."""
    chain = evidence.read(root)
    return View(root, today, chain, signatures.begun(root, chain, today), live)
