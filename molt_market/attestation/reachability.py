"""How long a deal's machine was there, by the answers to who asked it at times of his own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from molt_market.domain.pings import Ping


def reachable_seconds(
    pings: Iterable[Ping],
    *,
    opened_at: datetime,
    until: datetime,
    longest_gap: timedelta,
    start_up: timedelta,
) -> int:
    """Return the seconds between `opened_at` and `until` that answered pings vouch for.

    The time between two answers, one right after the other, counts if it is at most `longest_gap`; so does
    the time from the last answer to `until`. What comes before the first answer counts if it is at most
    `start_up`. An unanswered ping ends what the answer before it vouches for.
    """
    reachable = timedelta()
    since, most = opened_at, start_up  # from when on, and for how long, an answer now vouches for the past
    silent, answered = False, False
    for ping in sorted(pings, key=lambda each: each.at):
        if not opened_at <= ping.at <= until:
            continue
        if ping.answer is None:
            silent = True
            continue
        if not silent and ping.at - since <= most:
            reachable += ping.at - since
        since, most = ping.at, longest_gap
        silent, answered = False, True
    if answered and not silent and until - since <= longest_gap:
        reachable += until - since
    return int(reachable.total_seconds())
