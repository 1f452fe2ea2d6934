"""Which charter counts for the verdict, of which items, and on which days the verdict can be had."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pilot.charter import Charter
from pilot.frontmatter import midnight
from pilot.workbench import decision, signatures
from pilot.workbench.documents.charter_rules import WEEKS
from pilot.workbench.evidence import Chain, Entry


@dataclass(frozen=True)
class Window:
    """The items that count for the verdict arrive from the moment `begins` to the day before `ends`, in UTC; what is
    recorded of them counts until the end of the day `due`. `extended` is whether an extension moved the last two."""

    begins: datetime
    ends: date
    due: date
    extended: bool = False


def in_force(signed: list[Entry], first_item: datetime | None) -> Entry | None:
    """The signature whose charter counts: the last one before the first live item, else the first of all, so that
    nobody chooses a target by what the items show. None before any."""
    before = [entry for entry in signed if first_item is None or _earlier(entry, first_item)]
    return before[-1] if before else signed[0] if signed else None


def _earlier(entry: Entry, first_item: datetime) -> bool:
    """Whether the signature is known to come before the item: one that has a day alone, on a day before."""
    if "at" in entry.facts:
        return signatures.signed_at(entry) < first_item
    return entry.date < first_item.date()


def window(chain: Chain, charter: Charter, signature: Entry) -> Window | None:
    """The window of the charter below that signature; None while no day of decision is known."""
    due, passed, at = decision.due(chain), chain.passed(1), signatures.signed_at(signature)
    if due is None:
        return None
    begun = date.fromisoformat(passed.facts["begun"]) if passed else signature.date
    ends = begun + timedelta(weeks=charter.weeks or WEEKS[-1])
    extensions = [entry.facts for entry in chain.entries if entry.facts.get("decision") == "extend"]
    for facts in extensions:
        ends += date.fromisoformat(facts["until"]) - date.fromisoformat(facts["due"])
    named = charter.measured_from
    begins = at if named is None else max(at, midnight(named))
    return Window(begins, min(ends, due), due, bool(extensions))
