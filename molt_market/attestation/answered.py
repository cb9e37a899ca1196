"""How long a provider answered an attestor's pings."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from molt_market.domain.pings import Ping


def answered_seconds(
    pings: Iterable[Ping],
    *,
    opened_at: datetime,
    until: datetime,
    longest_gap: timedelta,
    start_up: timedelta,
) -> int:
    """Return the seconds between `opened_at` and `until` that answered pings speak for.

    The time between two answered pings counts if none in between was left unanswered and it is no longer
    than `longest_gap`; that from the last one to `until` likewise. The time from the opening to the first
    answered one counts if it is no longer than `start_up`, whatever was asked before: a machine may start.
    Pings before the opening or after `until` say nothing.
    """
    counted = timedelta()
    last: datetime | None = None  # the one before was answered, then
    longest = start_up
    begun = False
    for ping in sorted(pings, key=lambda each: each.at):
        if not opened_at <= ping.at <= until:
            continue
        if ping.answer is None:
            last = None
            continue
        before = last if begun else opened_at
        if before is not None and ping.at - before <= longest:
            counted += ping.at - before
        begun, last, longest = True, ping.at, longest_gap
    if last is not None and until - last <= longest_gap:
        counted += until - last
    return int(counted.total_seconds())
