"""How many requests are taken, by caller; how many wrong keys are looked at; how many refusals leave a trace."""

from __future__ import annotations

import math
import time

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

GUESSES = RateLimitItemPerMinute(30)
# A flood of refusals is one entry a minute, or whoever sends it would fill the database.
NOTED = RateLimitItemPerMinute(1)


class Rates:
    """What came, by the caller, the address or the key that sent it. Each process counts for itself. `rate` is the most
    items of a caller in a minute; 0 is no limit."""

    def __init__(self, rate: int) -> None:
        self._rate = RateLimitItemPerMinute(rate) if rate else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def send(self, caller: str) -> int | None:
        """Counts an item of a caller. Returns the whole seconds to wait once there were too many, else none."""
        return None if self._rate is None else self._wait(self._rate, "item", caller)

    def guess(self, address: str, *, counts: bool = True) -> int | None:
        """Counts a key that is not in force, or only looks. Returns the whole seconds to wait once there were too many,
        else none."""
        return self._wait(GUESSES, "guess", address, cost=int(counts))

    def noteworthy(self, what: str, who: str) -> bool:
        """Whether a refusal is the first of its minute, and so belongs into the audit trail."""
        return self._wait(NOTED, what, who) is None

    def _wait(self, limit: RateLimitItem, *names: str, cost: int = 1) -> int | None:
        if self._limiter.hit(limit, *names, cost=cost):
            return None
        return max(1, math.ceil(self._limiter.get_window_stats(limit, *names).reset_time - time.time()))
