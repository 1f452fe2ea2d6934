"""The next iteration: what production showed lately, and a draft of the charter that follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import yaml
from sqlalchemy import Connection, func, select

from pilot.charter import CHARTER, Charter
from pilot.frontmatter import midnight
from pilot.metrics import better
from pilot.records import controls
from pilot.records.outcomes import of_live
from pilot.records.tables import items, outcomes, reports
from pilot.workbench import pages, phrases
from pilot.workbench.evaluation import Evaluation
from pilot.workbench.pilot import Pilot
from pilot.workbench.production import evaluated

# What the next charter decides anew.
_OPEN = ("target", "measured_from", "decision_by")


def draft(pilot: Pilot, connection: Connection, days: int) -> str:
    """The draft, in Markdown: the facts of the charter in force but for what is decided anew, and what production
    showed.

    Raises PilotError when the charter has no target.
    """
    charter, (_, found) = pilot.charter, evaluated(pilot, connection, days)
    drift = controls.drift(connection)
    page = pages.render(
        "next.md",
        pilot=charter.pilot or "the pilot",
        reached=phrases.reached(found.figure, charter.currency or ""),
        target=phrases.target(found, charter.currency or ""),
        before=phrases.versus(found.baseline, early=True) if found.baseline else None,
        others=[phrases.reached(one.figure, charter.currency or "") for one in found.others if one.figure.known],
        worse=list(_worse(found)),
        said=_said(found.sliced),
        looked=drift and drift[0].date(),
        changed=[(field, what, size) for field, what, size in drift[1] if size] if drift else [],
        flags=_flags(connection, midnight(pilot.today) - timedelta(days=days)),
        days=days,
    )
    note = f"A draft of {pilot.today}. What is empty is decided anew. It counts once it is in {CHARTER} and signed."
    return f"---\n# {note}\n{_facts(charter)}---\n\n{page}"


def _facts(charter: Charter) -> str:
    known: dict[str, Any] = charter.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump({**known, **dict.fromkeys(_OPEN)}, sort_keys=False, allow_unicode=True, width=120).replace(
        " null\n", "\n"
    )


def _worse(found: Evaluation) -> Iterator[tuple[str, str]]:
    """The slices in which the metric is worse than in all of their kind, beyond their interval: a hint, since many are
    looked at."""
    up = better(found.sliced) == "up"
    for name, parts in found.slices.items():
        known = [(part, part.value, part.interval) for part in parts if part.value is not None]
        middle = sum(value * part.weight for part, value, _ in known) / (sum(part.weight for part, *_ in known) or 1)
        for part, _, (low, high) in known:
            if high is not None and high < middle if up else low is not None and low > middle:
                yield name, str(part)


def _said(metric: str) -> str:
    """How a slice fares worse."""
    return "The AI is right less often" if metric == "accuracy" else f"{phrases.begun(phrases.rail(metric))} is worse"


def _flags(connection: Connection, since: datetime) -> list[tuple[str, int]]:
    """How often people flagged live items since then, the most frequent first."""
    found: Counter[str] = Counter()
    for table in (outcomes, reports):
        wanted = select(table.c.flag, func.count()).join(items, items.c.id == table.c.item_id)
        wanted = wanted.where(table.c.flag.is_not(None), table.c.at >= since).group_by(table.c.flag)
        found.update(dict(connection.execute(of_live(wanted, None)).all()))
    return [(flag.replace("_", " "), count) for flag, count in found.most_common()]
