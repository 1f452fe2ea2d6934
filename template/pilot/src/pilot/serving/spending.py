"""What answers of a bought model may cost a day, in all and for each caller: looked at before each call."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from pilot.records import queries

# Seconds within which an answer is in the database.
_COMMITTED = 2.0


def midnight() -> datetime:
    """When the present day began, in UTC."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def seconds_left() -> float:
    """Seconds until the next day begins."""
    return (midnight() + timedelta(days=1) - datetime.now(UTC)).total_seconds()


class Spending:
    """Today's cost of answers as the database has it, so that replicas count together, with what this process has added
    since it was read. A call in flight counts as the dearest one of today, so that many at once do not pass the ceiling
    together.

    `most` and `most_each` are in the charter's currency a day; None is no ceiling.
    """

    def __init__(self, most: float | None, most_each: float | None) -> None:
        self.most, self.most_each = most, most_each
        self._read: dict[str, float] = {}
        self._dearest = 0.0
        # What was added here since the last look: when (monotonic), for which caller, how much.
        self._added: list[tuple[float, str, float]] = []
        self._calls = Counter[str]()

    def read(self, connection: Connection) -> None:
        """Looks at the database, where there is a ceiling."""
        if self.most is None and self.most_each is None:
            return
        # What was added within the last seconds may not be committed yet: rather it counts twice for a moment.
        kept = time.monotonic() - _COMMITTED
        found = queries.spent(connection, midnight())
        self._read = {caller: one.cost for caller, one in found.items()}
        self._dearest = max((one.dearest for one in found.values()), default=0.0)
        self._added = [one for one in self._added if one[0] >= kept]

    def add(self, caller: str, cost: float) -> None:
        """Counts an answer, which is about to be committed."""
        if self.most is None and self.most_each is None:
            return
        self._added.append((time.monotonic(), caller, cost))
        self._dearest = max(self._dearest, cost)

    @contextmanager
    def call(self, caller: str) -> Iterator[None]:
        """A call for a caller, while it lasts."""
        self._calls[caller] += 1
        try:
            yield
        finally:
            self._calls[caller] -= 1

    @property
    def share(self) -> float:
        """Which share of the ceiling for all is used up, calls in flight left out; 0 where there is none."""
        return self._today / self.most if self.most else 0.0

    @property
    def _today(self) -> float:
        return sum(self._read.values()) + sum(cost for _, _, cost in self._added)

    def used_up(self, caller: str) -> bool:
        """Whether this caller may have no more answers of the model today."""
        if self.most_each is None:
            return False
        added = sum(cost for _, who, cost in self._added if who == caller)
        return self._read.get(caller, 0.0) + added + self._calls[caller] * self._dearest >= self.most_each

    def allows(self, caller: str) -> bool:
        """Whether the model may be called for a caller now."""
        flying = self._calls.total() * self._dearest
        return not self.used_up(caller) and (self.most is None or self._today + flying < self.most)
