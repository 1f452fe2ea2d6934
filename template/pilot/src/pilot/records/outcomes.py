"""Outcomes: what a person decided in the end, and what they did with the answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson
from sqlalchemy import ColumnElement, Connection, FromClause, Select, Subquery, and_, case, func, insert, select

from pilot.contract import PilotError, Prediction
from pilot.records import audit
from pilot.records.crypto import Vault
from pilot.records.database import now
from pilot.records.tables import answers, items, outcomes

ACTIONS = ("accepted", "changed", "rejected")


def latest(until: datetime | None = None) -> Subquery:
    """The latest version of each item's outcome, of those given before `until`, as `item_id` and `version`, with
    `touches` (how many versions there are) and `work` (their seconds in sum, none where one is not known)."""
    seconds = outcomes.c.seconds
    found = select(
        outcomes.c.item_id,
        func.max(outcomes.c.version).label("version"),
        func.count().label("touches"),
        case((func.count(seconds) == func.count(), func.sum(seconds))).label("work"),
    ).group_by(outcomes.c.item_id)
    return (found if until is None else found.where(outcomes.c.at < until)).subquery()


def is_final(last: Subquery) -> ColumnElement[bool]:
    """The condition of a join with the outcomes: that it is the item's final one, as `latest` gives it."""
    return and_(outcomes.c.item_id == items.c.id, outcomes.c.version == last.c.version)


def is_first(first: FromClause, last: Subquery) -> ColumnElement[bool]:
    """The condition of a join with `first`, an alias of the outcomes: that it is the first one of an item that has
    a `latest` one. Later ones may follow the answer, which people can see once they have decided."""
    return and_(first.c.item_id == last.c.item_id, first.c.version == 1)


def of_live(wanted: Select[Any], until: datetime | None) -> Select[Any]:
    """The selection, of live items that were received before `until` alone; of all live ones if None."""
    wanted = wanted.where(items.c.origin == "live")
    return wanted if until is None else wanted.where(items.c.received_at < until)


def agreement(prediction: Prediction | None, final: Prediction | None) -> bool:
    """Whether an answer counts as right: a failure, an abstention and a rejected answer do not."""
    return prediction is not None and final is not None and prediction.agrees(final)


class Conflict(PilotError):
    """The outcome was given for another version than the present one. `version` is the present one."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"This item has its outcome in version {version}. Read it, then send version {version} to change it."
            if version
            else "This item has no outcome yet. Leave the version out."
        )
        self.version = version


class Refused(PilotError):
    """The outcome does not fit the item: which field, and why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


Action = Literal["accepted", "changed", "rejected"]
Flag = Literal["wrong", "unsafe", "slow", "edge_case", "idea"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A decision about an item. `version` is the present version that it replaces, none for the first. `blind` where
    whoever decided did not see the answer, although others may have."""

    final: Prediction | None
    made_by: str
    version: int | None = None
    action: str | None = None
    seconds: float | None = None
    flag: str | None = None
    comment: str | None = None
    blind: bool = False
    at: datetime | None = None


def judge(connection: Connection, vault: Vault, kind: type[Prediction], item_id: str, outcome: Outcome) -> int:
    """Records an outcome in an open transaction and returns its version, from 1.

    Where the person saw the answer, the action follows from the decision unless it is given; else there is none.
    Raises Conflict when `outcome.version` is not the present version, Refused when action and decision do not fit.
    """
    # A lock on the item's row makes two outcomes of the same moment take turns.
    erased = connection.execute(select(items.c.erased_at).where(items.c.id == item_id).with_for_update()).scalar()
    if erased is not None:
        raise Refused("final", "The contents of this item were erased, so nothing more is decided about it.")
    present = connection.execute(select(func.max(outcomes.c.version)).where(outcomes.c.item_id == item_id)).scalar()
    if outcome.version != present:
        raise Conflict(present or 0)
    made = {row.role: row for row in connection.execute(select(answers).where(answers.c.item_id == item_id))}
    predictions = {
        role: kind.model_validate_json(vault.open(row.prediction)) if row.prediction else None
        for role, row in made.items()
        if row.ended_at is not None
    }
    primary = predictions.get("primary")
    shown = "primary" in made and made["primary"].shown and not outcome.blind
    action, final = _action(outcome, primary if shown else None)
    version = (present or 0) + 1
    connection.execute(
        insert(outcomes),
        {
            "item_id": item_id,
            "version": version,
            "final": vault.seal(final.model_dump_json().encode()) if final else None,
            "made_by": outcome.made_by,
            "seconds": outcome.seconds,
            "action": action,
            "flag": outcome.flag,
            "comment": vault.seal(orjson.dumps(outcome.comment)) if outcome.comment else None,
            "agreement": agreement(primary, final) if "primary" in predictions else None,
            "rules_agreement": agreement(predictions["rules"], final) if "rules" in predictions else None,
            "at": outcome.at or now(),
        },
    )
    audit.append(
        connection, outcome.made_by, "outcome.recorded", {"item": item_id, "version": version, "action": action}
    )
    return version


def _action(outcome: Outcome, shown: Prediction | None) -> tuple[str | None, Prediction | None]:
    """What the person did with the answer that they saw, and what they decided."""
    action, final = outcome.action, outcome.final
    if action is None:
        if final is None:
            raise Refused("final", "An outcome needs the final decision, or an action on the answer that was shown.")
        return (None if shown is None else "accepted" if shown.agrees(final) else "changed"), final
    if shown is None:
        raise Refused("action", "No answer of the AI was shown for this item, so leave the action out.")
    if action == "accepted":
        if final is not None and not shown.agrees(final):
            raise Refused("action", "The final decision differs from the answer, so it was changed, not accepted.")
        return action, final or shown
    if action == "changed" and (final is None or shown.agrees(final)):
        raise Refused("final", "A changed answer needs a final decision that differs from it.")
    return action, final
