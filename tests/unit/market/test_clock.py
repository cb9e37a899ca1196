"""A clock that is asked once in a while, and at once where somebody knows a later time."""

from __future__ import annotations

from datetime import timedelta

from molt_market.market.clock import SteadyClock
from molt_market.testing import ManualClock
from tests.factories import NOON

HOUR = timedelta(hours=1)


def test_clock__is_asked_once_in_a_while__and_goes_on_by_itself() -> None:
    chain = ManualClock(NOON)
    clock = SteadyClock(chain, every_seconds=60)
    first = clock.now()
    chain.advance(3_600)
    assert NOON <= first <= clock.now() < NOON + HOUR


def test_reach__asks_again_for_a_later_time_only() -> None:
    chain = ManualClock(NOON)
    clock = SteadyClock(chain, every_seconds=60)
    clock.reach(NOON)
    chain.advance(3_600)
    clock.reach(NOON - HOUR, NOON)
    assert clock.now() < NOON + HOUR
    clock.reach(NOON, NOON + HOUR)
    assert clock.now() >= NOON + HOUR
    clock.reach(NOON + 10 * HOUR)  # not there yet: that is for others to say
    assert clock.now() < NOON + 2 * HOUR
