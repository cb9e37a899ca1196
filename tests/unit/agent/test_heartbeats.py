"""The usage log as a gateway writes it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from molt_market.agent.devices import NamelessDevices
from molt_market.agent.heartbeats import ChainTime, Heartbeats
from molt_market.agent.ports import DeviceLost
from molt_market.attestation.usage import GpuReading
from molt_market.domain.handling import Handling, HandlingPhase
from molt_market.errors import NodeUnreachable
from molt_market.storage.database import Database
from molt_market.testing import ManualClock
from tests.factories import NOON
from tests.unit.agent.machine import Play, deal_id, record


@pytest.fixture
def play(database: Database, tmp_path: Path) -> Play:
    made = Play(database, tmp_path)
    made.facts.put(record(1))
    made.desk.take_up()
    return made


def test_heartbeat__says_nothing_of_gpus_that_nobody_can_measure(play: Play) -> None:
    play.go()
    [first] = play.usage.heartbeats(deal_id(1), 0, 10)
    assert (first.gpus, first.processes, first.at) == ((), None, NOON + timedelta(seconds=10))


def test_heartbeat__needs_a_clock_that_moves(play: Play) -> None:
    play.clock.advance(1)
    assert play.here.heartbeats.beat(play.of(1))
    assert not play.here.heartbeats.beat(play.of(1))
    play.clock.advance(1)
    assert play.here.heartbeats.beat(play.of(1))
    assert play.usage.length(deal_id(1))[0] == 2


def test_log__goes_on_after_a_restart_as_one_chain(play: Play) -> None:
    play.go(times=2)
    again = Heartbeats(play.usage, play.machine, NamelessDevices(4), play.clock)
    play.clock.advance(100)
    again.beat(play.of(1))
    log = play.usage.log(deal_id(1))  # raises if it is no chain
    assert [each.at for each in log.heartbeats] == [NOON + timedelta(seconds=s) for s in (10, 20, 120)]
    assert play.usage.length(deal_id(1)) == (3, log.head)
    assert [each.sequence for each in play.usage.heartbeats(deal_id(1), 1, 1)] == [1]


def test_log__of_a_deal_that_is_over__is_closed(play: Play) -> None:
    play.go()
    play.usage.put(play.of(1).model_copy(update={"phase": HandlingPhase.ENDED}))
    play.clock.advance(10)
    assert not play.here.heartbeats.beat(play.of(1))
    assert not play.here.heartbeats.beat(Handling(deal_id=deal_id(7)))  # nobody has taken it up


def test_gpu__that_is_lost__has_no_heartbeat_and_others_have(play: Play) -> None:
    play.facts.put(record(2))
    play.desk.take_up()

    class Losing(NamelessDevices):
        def read(self, devices: object) -> tuple[GpuReading, ...]:
            if devices == play.of(1).devices:
                raise DeviceLost("GPU-0: it fell off the bus")
            return ()

    play.clock.advance(10)
    Heartbeats(play.usage, play.machine, Losing(4), play.clock).beat_all()
    assert (play.usage.length(deal_id(1))[0], play.usage.length(deal_id(2))[0]) == (0, 1)


class Node(ManualClock):
    """A chain's clock, whose node may be away."""

    is_away = False

    def now(self):  # type: ignore[no-untyped-def] # as ManualClock's
        if self.is_away:
            raise NodeUnreachable("http://node")
        return super().now()


def test_chain_time__goes_on_while_no_node_answers() -> None:
    node = Node(NOON)
    node.is_away = True
    with pytest.raises(NodeUnreachable):
        ChainTime(node).now()
    node.is_away = False
    clock = ChainTime(node, every_seconds=0)
    assert clock.now() == NOON
    node.advance(100)
    assert clock.now() == NOON + timedelta(seconds=100)
    node.is_away = True
    assert timedelta(seconds=100) <= clock.now() - NOON <= timedelta(seconds=105)


def test_chain_time__asks_the_node_once_a_second() -> None:
    node = Node(NOON)
    clock = ChainTime(node, every_seconds=60)
    clock.now()
    node.advance(100)
    assert clock.now() - NOON <= timedelta(seconds=5)
