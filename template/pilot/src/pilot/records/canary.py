"""The canary: whether the users in a stage of the rollout, or those whom a challenger answers, fare worse than the rest
at the same time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, select

from pilot.contract import Failure
from pilot.records.controls import Mode
from pilot.records.rollout import Reach, Stage
from pilot.records.tables import answers, items, outcomes

# So much evidence of one kind steps a stage back, however often it is looked at.
STEP_BACK = 20.0
# What a stage needs before a wider one: pairs of an item that it reached and one of the rest, and so many days.
LEAST_PAIRS, LEAST_DAYS = 50, 1
# Jeffreys' prior, of the shares that the first pairs bet on.
_PRIOR = 0.5
# How many of one arm wait for a pair: more would meet an hour that they did not see.
_WAITING = 8


@dataclass
class Compared:
    """One way to fare badly, among the pairs: how often those reached did, and the rest. `evidence` is an e-value."""

    pairs: int = 0
    reached: int = 0
    rest: int = 0
    evidence: float = 1.0


@dataclass(frozen=True)
class Canary:
    """What is known of a stage: of answers that failed, and of answers with which the final decision disagrees."""

    failed: Compared
    disagreed: Compared

    @property
    def evidence(self) -> float:
        """The evidence of harm, of the kind that has more."""
        return max(self.failed.evidence, self.disagreed.evidence)

    @property
    def harmful(self) -> bool:
        """Whether the stage must step back."""
        return self.evidence >= STEP_BACK


class Evidence:
    """The evidence that a first arm fails more often than a second one, of pairs that come one after the other.

    Each pair bets on the shares before it, where they speak against the first arm, and else on nothing. The product is
    an e-process for "the first arm fails at most as often as the second": by chance its highest value reaches 20 once
    in twenty times at most (Turner, Ly, Grünwald: Generic E-variables for exact sequential k-sample tests, 2024). What
    fails both arms at once says nothing.
    """

    def __init__(self) -> None:
        self.found = Compared()
        self._log = self._highest = 0.0

    def add(self, reached: bool, rest: bool) -> float:
        """Adds a pair, whether each of the two failed, and returns the evidence."""
        found = self.found
        first, second = ((bad + _PRIOR) / (found.pairs + 2 * _PRIOR) for bad in (found.reached, found.rest))
        if first > second:
            both = (first + second) / 2
            for failed, share in ((reached, first), (rest, second)):
                self._log += math.log(share / both if failed else (1 - share) / (1 - both))
        self._highest = max(self._highest, self._log)
        found.pairs += 1
        found.reached += reached
        found.rest += rest
        found.evidence = math.exp(min(self._highest, 700.0))
        return found.evidence


def compared(seen: Iterable[tuple[str, bool, bool, datetime]]) -> Compared:
    """Compares items in the order of their times: the subject, whether it was reached, whether it fared badly, when.

    An item pairs with the nearest one of the other arm that came before it and has no pair yet, so that both saw the
    same hour. A subject counts once a day: one that is busy, or that tries again and again, blames nobody.
    """
    evidence, counted = Evidence(), set()
    waiting: tuple[deque[bool], deque[bool]] = (deque(maxlen=_WAITING), deque(maxlen=_WAITING))
    for subject, reached, bad, at in seen:
        if subject and (subject, at.date()) in counted:
            continue
        counted.add((subject, at.date()))
        if others := waiting[not reached]:
            other = others.pop()
            evidence.add(*((bad, other) if reached else (other, bad)))
        else:
            waiting[reached].append(bad)
    return evidence.found


def waits_for(connection: Connection, stage: Stage | None, wanted: Reach, moment: datetime) -> list[str]:
    """What a stage still needs before a wider one may follow: nothing where `wanted` is narrower, or where the present
    one has no rest to compare with."""
    if stage is None or wanted.within(stage.reach) or not stage.reach.compared:
        return []
    found, missing = look(connection, stage), []
    if (days := (moment - stage.at).total_seconds() / 86_400) < LEAST_DAYS:
        missing.append(f"a day, and it was opened {days * 24:.0f} hours ago")
    if found.failed.pairs < LEAST_PAIRS:
        missing.append(
            f"{LEAST_PAIRS} items of the users in it, each with one of the rest, and has {found.failed.pairs}"
        )
    if found.harmful:
        missing.append("an end of the harm: the users in it fare worse than the rest")
    return missing


def look(connection: Connection, stage: Stage) -> Canary:
    """The canary of a stage, from the live items that were answered since it began. Those that a challenger reaches are
    the ones that it answered."""
    served = items.c.mode.in_([Mode.ASSIST.value, Mode.AUTO.value, Mode.SHADOW.value])
    joined = items.join(answers, and_(answers.c.item_id == items.c.id, answers.c.role == "primary"))
    reached: ColumnElement[bool]
    if stage.model:
        since, reached = items.c.received_at >= stage.at, answers.c.model_version == stage.model
    else:
        since, reached = items.c.rollout_version == stage.version, items.c.mode != Mode.SHADOW.value
    ours = and_(since, items.c.origin == "live", served)
    bad = and_(answers.c.failure.is_not(None), answers.c.failure != Failure.ABSTAINED.value)
    failed = select(items.c.subject, reached, bad, items.c.received_at).select_from(joined).where(ours)
    first = and_(outcomes.c.item_id == items.c.id, outcomes.c.version == 1)
    wrong = outcomes.c.agreement.is_(False)
    judged = select(items.c.subject, reached, wrong, outcomes.c.at).select_from(joined.join(outcomes, first))
    judged = judged.where(ours, outcomes.c.agreement.is_not(None)).order_by(outcomes.c.at, outcomes.c.id)
    return Canary(_compared(connection, failed.order_by(items.c.seq)), _compared(connection, judged))


def _compared(connection: Connection, wanted: Select[Any]) -> Compared:
    return compared((subject, bool(reached), bool(bad), at) for subject, reached, bad, at in connection.execute(wanted))
