"""Leaves a remote model alone that fails again and again, and tries it with one call at a time until it answers."""

from __future__ import annotations

import time

import structlog

from pilot.contract import Failure

log = structlog.get_logger("pilot.breaker")
# Failures of the provider. A wrong or unreadable answer came from one that can be reached.
_OUT = frozenset({Failure.PROVIDER_ERROR, Failure.RATE_LIMITED, Failure.TIMEOUT, Failure.CREDENTIAL_REJECTED})
FAILURES = 5
# Seconds until the first probe; each that fails doubles them.
FIRST, LONGEST = 5.0, 60.0


class Breaker:
    """Opens after FAILURES failures in a row. While it is open no call is made but a probe, one at a time."""

    def __init__(self) -> None:
        self._failed = 0
        self._pause = FIRST
        self._until = 0.0
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether calls are held back."""
        return self._failed >= FAILURES

    def admits(self) -> bool:
        """Whether a call may be made now; whoever gets True must tell `ended` how it went."""
        if not self.open:
            return True
        if self._probing or time.monotonic() < self._until:
            return False
        self._probing = True
        return True

    def ended(self, failure: str | None, cut_off: bool = False) -> None:
        """Counts how a call went: its failure, or none. One that was `cut_off` from here does not count."""
        probe, self._probing = self._probing, False
        if cut_off:
            return
        if failure not in _OUT:
            if self.open:
                log.info("breaker_closed")
            self._failed, self._pause = 0, FIRST
            return
        self._failed += 1
        if self._failed == FAILURES or probe:
            self._until = time.monotonic() + self._pause
            log.warning("breaker_open", seconds=self._pause, reason=failure)
            self._pause = min(2 * self._pause, LONGEST)
