"""Where the time comes from: a port, so that everyone shares the chain's time, or a test's.

Times are aware UTC datetimes. What is signed counts whole seconds; a clock may be finer.
"""

from __future__ import annotations

import math
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> datetime: ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class SteadyClock:
    """Another clock, asked once in a while: for who tells the time more often than he can ask.

    In between it goes on by itself, and a begun second counts as a whole one, so that what was signed just
    now is not of the future. Any thread may ask.
    """

    def __init__(self, clock: Clock, *, every_seconds: float = 1.0) -> None:
        self._clock = clock
        self._every = every_seconds
        self._asked = float("-inf")
        self._told = datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            if time.monotonic() - self._asked >= self._every:
                self._told = self._clock.now()
                self._asked = time.monotonic()
            return self._told + timedelta(seconds=math.ceil(time.monotonic() - self._asked))
