"""Where the time comes from: a port, so that everyone shares the chain's time, or a test's.

Times are aware UTC datetimes. What is signed counts whole seconds; a clock may be finer.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> datetime: ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class SteadyClock:
    """Another clock, asked at most once in a while: for who tells the time more often than it changes.

    Any thread may ask. It never goes back, except where the chain itself did.
    """

    def __init__(self, clock: Clock, *, every_seconds: float = 1.0) -> None:
        self._clock = clock
        self._every = every_seconds
        self._asked = float("-inf")
        self._now = datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            if time.monotonic() - self._asked >= self._every:
                self._now = self._clock.now()
                self._asked = time.monotonic()
            return self._now
