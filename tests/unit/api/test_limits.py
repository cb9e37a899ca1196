"""How often one may ask: a burst, then so many a second, each for himself."""

from __future__ import annotations

import pytest

from molt_market.api import limits
from molt_market.api.limits import Limits
from molt_market.errors import TooManyRequests


class Clock:
    """This machine's time, as a test wants it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        monkeypatch.setattr("molt_market.api.limits.time.monotonic", lambda: self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_flood__of_one__is_refused_and_says_until_when__and_others_are_not(clock: Clock) -> None:
    meters = Limits(per_second=2, burst=10)
    for _ in range(10):
        meters.take("flood")
    with pytest.raises(TooManyRequests) as refusal:
        meters.take("flood", 5)
    assert refusal.value.retry_after == 3
    meters.take("other", 10)
    clock.seconds += 3
    meters.take("flood", 5)  # what was refused took nothing
    with pytest.raises(TooManyRequests):
        meters.take("flood", 2)


def test_callers__more_than_are_remembered__take_no_memory(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "KNOWN", 3)
    meters = Limits(per_second=1, burst=1)
    for caller in "abcd":
        meters.take(caller)
    assert list(meters._meters) == ["b", "c", "d"]
    with pytest.raises(TooManyRequests):
        meters.take("d")
    clock.seconds += 1
    meters.take("d")
