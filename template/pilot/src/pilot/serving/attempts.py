"""Wrong keys and overstepped roles: how many are looked at, and how many leave a trace in the audit trail."""

from __future__ import annotations

import math
import time

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

GUESSES = RateLimitItemPerMinute(30)
# A flood of refusals is one entry a minute, or whoever sends it would fill the database.
NOTED = RateLimitItemPerMinute(1)


class Attempts:
    """What was tried in vain, by the address or the key that tried. Each process counts for itself."""

    def __init__(self) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def guess(self, address: str) -> int | None:
        """Counts a key that is not in force. Returns the whole seconds to wait once there were too many, else none."""
        return self._wait(GUESSES, "guess", address)

    def noteworthy(self, what: str, who: str) -> bool:
        """Whether a refusal is the first of its minute, and so belongs into the audit trail."""
        return self._wait(NOTED, what, who) is None

    def _wait(self, limit: RateLimitItem, *names: str) -> int | None:
        if self._limiter.hit(limit, *names):
            return None
        return max(1, math.ceil(self._limiter.get_window_stats(limit, *names).reset_time - time.time()))
