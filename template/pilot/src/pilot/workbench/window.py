"""Which charter counts for the verdict, of which items, and on which days the verdict can be had."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from pilot.charter import CHARTER, Charter
from pilot.workbench import decision, signatures
from pilot.workbench.documents.charter_rules import WEEKS
from pilot.workbench.evidence import Chain, Entry


@dataclass(frozen=True)
class Window:
    """The items that count for the verdict arrive from the day `begins` to the day before `ends`, all in UTC; what is
    recorded of them counts until the end of the day `due`. `extended` is whether an extension moved the last two."""

    begins: date
    ends: date
    due: date
    extended: bool = False


def signed_by_owner(chain: Chain) -> list[Entry]:
    """The signatures of the owner under the charter, oldest first."""
    wanted = (CHARTER.as_posix(), signatures.OWNER)
    signed = [entry for entry in chain.entries if entry.kind == "signature"]
    return [entry for entry in signed if (entry.facts["paper"], entry.facts["role"]) == wanted]


def in_force(signed: list[Entry], first_item: date | None) -> Entry | None:
    """The signature whose charter counts: the last one before the day of the first live item, else the first of all, so
    that nobody chooses a target by what the items show. None before any."""
    before = [entry for entry in signed if first_item is None or entry.date < first_item]
    return before[-1] if before else signed[0] if signed else None


def window(chain: Chain, charter: Charter, signed_on: date) -> Window | None:
    """The window of the charter that the owner signed on that day; None while no day of decision is known."""
    due, passed = decision.due(chain), chain.passed(1)
    if due is None:
        return None
    begun = date.fromisoformat(passed.facts["begun"]) if passed else signed_on
    ends = begun + timedelta(weeks=charter.weeks or WEEKS[-1])
    extensions = [entry.facts for entry in chain.entries if entry.facts.get("decision") == "extend"]
    for facts in extensions:
        ends += date.fromisoformat(facts["until"]) - date.fromisoformat(facts["due"])
    return Window(max(signed_on, charter.measured_from or signed_on), min(ends, due), due, bool(extensions))
