"""What git knows of the pilot: the day of its first commit."""

from __future__ import annotations

import subprocess
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pilot.records.queries import Live


def start(root: Path, live: Live | str | None) -> dict[str, Any]:
    """How long the pilot took to meet its users: the days of the first commit and of the first live item in UTC, and
    the days between them. What is not known is None, as those days are where items came before the first commit."""
    first = first_commit(root)
    met = live.first_item_at.date() if isinstance(live, Live) and live.first_item_at else None
    return {
        "first_commit": first and first.isoformat(),
        "first_live_item": met and met.isoformat(),
        "days_to_first_live_item": (met - first).days if first and met and met >= first else None,
    }


def first_commit(root: Path) -> date | None:
    """The day, in UTC, of the first commit that touched the pilot in `root`; None without git, outside of a repository,
    and in a shallow clone, which does not hold the first commit."""
    if _git(root, "rev-parse", "--is-shallow-repository") != "false":
        return None
    said = _git(root, "log", "--reverse", "--format=%ct", "--", ".")
    return datetime.fromtimestamp(int(said.split()[0]), UTC).date() if said else None


def commit(root: Path) -> str | None:
    """The commit that the pilot in `root` is at; None without git, and outside of a repository."""
    return _git(root, "rev-parse", "HEAD")


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            ["git", *words],  # noqa: S607 - whichever git the user has
            cwd=root,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
