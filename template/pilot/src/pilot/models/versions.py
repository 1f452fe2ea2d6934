"""Two model versions on the same judged items: what each answered, or would have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from pilot.contract import PilotError, Prediction, Team
from pilot.models import replay
from pilot.records.outcomes import agreement
from pilot.records.crypto import Vault
from pilot.records.tables import items
from pilot.settings import Settings
from pilot.workbench import labels
from pilot.workbench.evaluate import Versus, versus
from pilot.workbench.stats import comparisons, estimates
from pilot.workbench.stats.intervals import Estimate


@dataclass(frozen=True)
class Compared:
    """The share of each version's answers that agree with people, and the paired difference, first less second."""

    first: Estimate
    versus: Versus
    how_first: str
    how_second: str


def compare(team: Team, settings: Settings, connection: Connection, vault: Vault, first: str, second: str) -> Compared:
    """The versions `first` and `second` on all live items with a final decision that both have an answer to: the one
    that was recorded, or, for a version of a model store, the one that it gives now.

    Raises PilotError where there is no such item, or a record cannot be opened.
    """
    finals: dict[str, Prediction] = {}
    groups: dict[str, str | None] = {}
    recorded: dict[str, dict[str, Prediction | None]] = {}
    for pair in labels.read(connection, vault, team.prediction, role=None):
        finals[pair.item_id], groups[pair.item_id] = pair.final, pair.group
        recorded.setdefault(pair.version, {})[pair.item_id] = pair.answer
    if first == second:
        raise PilotError(f"{first} is compared with itself. Name two versions: {', '.join(sorted(recorded))}.")
    (ours, how_ours), (theirs, how_theirs) = (
        _answers(team, settings, connection, vault, version, finals, recorded) for version in (first, second)
    )
    both = [item for item in finals if item in ours and item in theirs]
    if not both:
        raise PilotError(
            f"No judged live item has an answer of both {first} and {second}. Recorded versions: "
            f"{', '.join(sorted(recorded)) or 'none'}."
        )
    right, other = ([agreement(held[item], finals[item]) for item in both] for held in (ours, theirs))
    codes = [groups[item] for item in both]
    found = comparisons.paired_shares(right, other, codes if any(codes) else None)
    return Compared(estimates.share(right), versus(second, estimates.share(other), found, "up"), how_ours, how_theirs)


def _answers(
    team: Team,
    settings: Settings,
    connection: Connection,
    vault: Vault,
    version: str,
    finals: dict[str, Prediction],
    recorded: dict[str, dict[str, Prediction | None]],
) -> tuple[dict[str, Prediction | None], str]:
    known = recorded.get(version, {})
    if len(known) == len(finals) or not replay.holds(settings, version):
        return known, f"{len(known)} recorded answers"
    wanted = [item for item in finals if item not in known]
    contents = _contents(team, connection, vault, set(wanted))
    given = replay.answers(team, settings, version, [contents[item] for item in wanted])
    made = {item: answer.prediction for item, answer in zip(wanted, given, strict=True)}
    return {**known, **made}, f"{len(known)} recorded answers, {len(made)} given now"


def _contents(team: Team, connection: Connection, vault: Vault, wanted: set[str]) -> dict[str, Any]:
    rows = connection.execute(select(items.c.id, items.c.content).where(items.c.origin == "live"))
    return {id: team.item.model_validate_json(vault.open(content)) for id, content in rows if id in wanted}
