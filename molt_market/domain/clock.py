"""Where the time comes from: a port, so that everyone shares the chain's time, or a test's.

Times are aware UTC datetimes. What is signed counts whole seconds; a clock may be finer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> datetime: ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)
