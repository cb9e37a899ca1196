"""For how long a usage log shows that the GPUs were there."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molt_market.attestation.usage import Heartbeat, UsageLog, covered_seconds
from molt_market.domain.ids import EscrowId
from tests.factories import NOON

DEAL = EscrowId("0x" + "11" * 32)
GAP, START_UP = 30, 900


def log(*at: int) -> UsageLog:
    """Make a log with heartbeats at so many seconds after the opening."""
    made = UsageLog(DEAL)
    for sequence, seconds in enumerate(at):
        made.append(Heartbeat(deal_id=DEAL, sequence=sequence, at=after(seconds), previous=made.head))
    return made


def after(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


def covered(*at: int, until: int = 3_600) -> int:
    return covered_seconds(
        log(*at),
        opened_at=NOON,
        until=after(until),
        longest_gap=timedelta(seconds=GAP),
        start_up=timedelta(seconds=START_UP),
    )


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ((), 0),
        ((0,), 0),
        ((900,), 900),  # the longest start-up
        ((901,), 0),
        ((10, 40, 70), 70),  # gaps of the longest kind
        ((10, 41, 51), 20),  # one that is longer counts for nothing
        ((901, 911, 921), 20),
        ((-10, 10, 20), 20),  # before the opening nothing counts
        ((10, 3_000, 3_010), 20),
        ((10, 20, 4_000), 20),
    ],
)
def test_covered__is_what_the_heartbeats_enclose(at: tuple[int, ...], expected: int) -> None:
    assert covered(*at) == expected


def test_covered__ends_with_the_deal() -> None:
    assert covered(*range(0, 200, 10), until=95) == 95


@given(st.sets(st.integers(-100, 5_000), max_size=40), st.integers(0, 4_000))
def test_covered__equals_a_count_of_seconds(at: set[int], until: int) -> None:
    times = sorted(at)
    counted = 0
    for second in range(until):
        before = max((each for each in times if each <= second), default=None)
        behind = min((each for each in times if each > second), default=None)
        if behind is None:
            continue
        longest, start = (START_UP, 0) if before is None else (GAP, before)
        counted += behind - start <= longest
    assert covered(*times, until=until) == counted
