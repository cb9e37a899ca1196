"""What answered pings vouch for, compared with a count of single seconds."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from molt_market.attestation.reachability import reachable_seconds
from molt_market.domain.ids import Hash32
from molt_market.domain.pings import Ping, PingAnswer
from tests.factories import DEAL_ID, NOON

NONCE = Hash32("0x" + "01" * 32)
ANSWER = PingAnswer(deal_id=DEAL_ID, nonce=NONCE, answered_at=NOON, heartbeats=0, signature="0x" + "11" * 65)


def ping(second: int, *, answered: bool = True) -> Ping:
    at = NOON + timedelta(seconds=second)
    return Ping(deal_id=DEAL_ID, at=at, nonce=NONCE, answer=ANSWER if answered else None)


def counted(pings: list[Ping], until: int, gap: int = 30, start_up: int = 60) -> int:
    return reachable_seconds(
        pings,
        opened_at=NOON,
        until=NOON + timedelta(seconds=until),
        longest_gap=timedelta(seconds=gap),
        start_up=timedelta(seconds=start_up),
    )


def test_no_answer__vouches_for_nothing() -> None:
    assert counted([], 100) == 0
    same = timedelta(seconds=30)
    assert reachable_seconds([], opened_at=NOON, until=NOON + same, longest_gap=same, start_up=same) == 0
    assert counted([ping(10, answered=False), ping(20, answered=False)], 100) == 0


def test_answers__vouch_for_the_time_between_them() -> None:
    assert counted([ping(0), ping(30), ping(60)], 60) == 60
    assert counted([ping(0), ping(31), ping(60)], 60) == 29  # 31 s are more than a gap may have
    assert counted([ping(60), ping(0), ping(30)], 60) == 60  # in whatever order they come


def test_silence__ends_what_the_answer_before_vouches_for() -> None:
    assert counted([ping(0), ping(10), ping(20, answered=False), ping(30), ping(40)], 40) == 10 + 10
    assert counted([ping(0), ping(10, answered=False)], 20) == 0


def test_start_and_end__are_bounded() -> None:
    assert counted([ping(60)], 60) == 60  # the time to start up
    assert counted([ping(61)], 61) == 0
    assert counted([ping(0), ping(30)], 60) == 60  # up to now
    assert counted([ping(0), ping(30)], 61) == 30
    assert counted([ping(0), ping(100)], 50) == 0  # what comes later says nothing of before
    assert counted([ping(10, answered=False), ping(20)], 20) == 0


@given(
    asked=st.dictionaries(st.integers(0, 200), st.booleans(), max_size=20),
    until=st.integers(0, 200),
    gap=st.integers(1, 60),
    start_up=st.integers(0, 60),
)
def test_count__is_that_of_single_seconds(
    asked: dict[int, bool], until: int, gap: int, start_up: int
) -> None:
    """A second counts if the answers around it, or the last one and now, are close together."""
    times = sorted(time for time in asked if time <= until)
    seconds = 0
    for second in range(until):
        before = [time for time in times if time <= second]
        after = [time for time in times if time > second]
        left = before[-1] if before else None
        right = after[0] if after else None
        if (left is not None and not asked[left]) or (right is not None and not asked[right]):
            continue
        if left is None:
            seconds += right is not None and right <= start_up
        else:
            seconds += (until if right is None else right) - left <= gap
    pings = [ping(time, answered=answered) for time, answered in asked.items()]
    assert counted(pings, until, gap, start_up) == seconds
