"""Texts that people edit before they are used: who decides about one has it in view, and may not have read it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, select

from pilot.fields import Draft, fields_of
from pilot.records.crypto import Contents
from pilot.records.outcomes import of_live
from pilot.records.tables import answers, items, outcomes

# Faster than this nobody reads and understands: Rayner et al. (2016), Psychological Science in the Public Interest
# 17:4, put the end of reading at about 400 words a minute, and what is quicker at skimming.
WORDS_A_MINUTE = 500


def remarks(
    connection: Connection,
    contents: Contents,
    until: datetime,
    window: tuple[datetime | None, datetime | None],
) -> Iterator[str]:
    """What a reader must know of how drafts were decided; nothing where no field is a draft."""
    drafts = [name for name, one in fields_of(contents.prediction).items() if isinstance(one.comparison, Draft)]
    if not drafts:
        return
    accepted = unread = 0
    for sealed, seconds in connection.execute(_accepted(until, *window)):
        answer = contents.prediction.model_validate_json(contents.vault.open(sealed))
        words = sum(len(str(getattr(answer, name) or "").split()) for name in drafts)
        accepted += 1
        unread += seconds is not None and seconds < words / WORDS_A_MINUTE * 60
    if not accepted:
        return
    yield "Who sends a draft has it in view, so these decisions are not blind by nature."
    if unread:
        yield (
            f"{unread} of {accepted} drafts that were sent as they were went out unread: sooner than anybody "
            f"reads them, which is {WORDS_A_MINUTE} words a minute at most."
        )


def _accepted(until: datetime, begins: datetime | None, ends: datetime | None) -> Any:
    """The answers that somebody accepted by a first decision, and after how many seconds."""
    wanted = (
        select(answers.c.prediction, outcomes.c.seconds)
        .select_from(items)
        .join(answers, and_(answers.c.item_id == items.c.id, answers.c.role == "primary"))
        .join(outcomes, and_(outcomes.c.item_id == items.c.id, outcomes.c.version == 1))
        .where(outcomes.c.action == "accepted", outcomes.c.at < until, answers.c.prediction.is_not(None))
        .where(items.c.erased_at.is_(None))
    )
    wanted = wanted if begins is None else wanted.where(items.c.arrived_at >= begins)
    return of_live(wanted if ends is None else wanted.where(items.c.received_at < ends), until)
