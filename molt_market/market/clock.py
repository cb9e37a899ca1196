"""The chain's time, for who tells it at every request."""

from __future__ import annotations

import math
import threading
import time
from datetime import UTC, datetime, timedelta

from molt_market.domain.clock import Clock


class SteadyClock:
    """Another clock, asked once in a while: for who tells the time more often than he can ask.

    In between it goes on by itself, and a begun second counts as a whole one, so that what was signed just
    now is not of the future. Any thread may ask.
    """

    def __init__(self, clock: Clock, *, every_seconds: float = 1.0) -> None:
        self._clock = clock
        self._every = every_seconds
        self._lock = threading.Lock()
        self._asked, self._told = float("-inf"), datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        with self._lock:
            if time.monotonic() - self._asked >= self._every:
                self._ask()
            return self._now()

    def reach(self, *moments: datetime) -> None:
        """Ask the other clock now if one of these lies ahead: a chain may have gone on by many blocks."""
        with self._lock:
            if self._asked == float("-inf") or any(moment > self._now() for moment in moments):
                self._ask()

    def _ask(self) -> None:
        self._told = self._clock.now()
        self._asked = time.monotonic()

    def _now(self) -> datetime:
        return self._told + timedelta(seconds=math.ceil(time.monotonic() - self._asked))
