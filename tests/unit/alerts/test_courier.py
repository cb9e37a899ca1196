"""Deliveries out of a real database to a real server: each alert once, whatever fails, hangs or is killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from molt_market.alerts.courier import KEPT, MARGIN, Courier, Retries, Round, Sources
from molt_market.alerts.kinds import Alert, AlertKind
from molt_market.alerts.ports import DeliveryState, Outcome, Subscription
from molt_market.alerts.webhooks import SendingLimits, verify_webhook
from molt_market.chain.node import Node
from molt_market.domain.fields import moment
from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue, NodeUnreachable
from molt_market.storage.alerts import SqlAlerts
from molt_market.storage.database import Database
from molt_market.testing import ManualClock
from tests.hooks import Hooks, hook_server

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECRET = "5e" * 32
QUICK = SendingLimits(whole=timedelta(seconds=6), step=timedelta(seconds=3), private=True)
RETRIES = Retries(timedelta(seconds=30), timedelta(minutes=5), attempts=7)
PARTY, OTHER = Address.of(11), Address.of(12)
HERE = "31337:0xaa:0xbb"


@pytest.fixture
def store(database: Database) -> SqlAlerts:
    return SqlAlerts(database, HERE)


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with hook_server() as server:
        yield server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


def alerts(number: int, *, to: Address = PARTY) -> list[Alert]:
    return [Alert(f"end_near:{n}", AlertKind.END_NEAR, "soon", frozenset({to})) for n in range(number)]


class Watching(Courier):
    """A courier that finds what it is given."""

    def __init__(self, store: SqlAlerts, clock: ManualClock, found: Sequence[Alert] = ()) -> None:
        sources = Sources(list, dict, clock.now)
        super().__init__(sources, store, retries=RETRIES, sending=QUICK, clock=clock)
        self.found = list(found)

    def alerts(self) -> list[Alert]:
        return self.found


def subscribed(store: SqlAlerts, url: str, party: Address | None = PARTY) -> Subscription:
    return store.subscribe(url, party, SECRET, NOON)


# ---------------------------------------------------------------- once, and to whom it concerns


def test_alert__found_again_and_again__is_delivered_once(
    store: SqlAlerts, hooks: Hooks, clock: ManualClock
) -> None:
    subscribed(store, f"{hooks.url}/ok")
    courier = Watching(store, clock, alerts(3))
    assert [courier.look() for _ in range(3)] == [Round(3, 3, 0), Round(), Round()]
    clock.advance(10**6)
    assert Watching(store, clock, alerts(4)).look() == Round(1, 1, 0)
    assert hooks.ids("/ok") == {f"end_near:{n}": 1 for n in range(4)}
    for got in hooks.received:
        verify_webhook(SECRET, got.headers, got.body, clock.now(), tolerance=timedelta(days=30))


def test_alert__goes_to_whom_it_concerns(store: SqlAlerts, hooks: Hooks, clock: ManualClock) -> None:
    for path, party in (("/party", PARTY), ("/other", OTHER), ("/operator", None)):
        subscribed(store, hooks.url + path, party)
    mixed = [
        *alerts(1),
        Alert("gas_low:1", AlertKind.GAS_LOW, "low", operator=True),
        Alert("not_closed:1", AlertKind.NOT_CLOSED, "due", frozenset({PARTY, OTHER}), operator=True),
    ]
    assert Watching(store, clock, mixed).look() == Round(5, 5, 0)
    assert set(hooks.ids("/party")) == {"end_near:0", "not_closed:1"}
    assert set(hooks.ids("/other")) == {"not_closed:1"}
    assert set(hooks.ids("/operator")) == {"gas_low:1", "not_closed:1"}


def test_alerts__of_another_deployment__are_left_alone(
    database: Database, store: SqlAlerts, hooks: Hooks, clock: ManualClock
) -> None:
    elsewhere = SqlAlerts(database, "31337:0xaa:0xcc")
    there = subscribed(elsewhere, f"{hooks.url}/there")
    elsewhere.put(there, alerts(1), NOON)
    assert Watching(store, clock, alerts(1)).look() == Round()
    assert store.subscriptions() == []
    assert not store.unsubscribe(there.id)
    assert Watching(elsewhere, clock).look() == Round(0, 1, 0)


def test_delivered__long_ago__is_forgotten(store: SqlAlerts, hooks: Hooks, clock: ManualClock) -> None:
    subscription = subscribed(store, f"{hooks.url}/ok")
    courier = Watching(store, clock, alerts(2))
    courier.look()
    courier.found = []
    clock.advance(int(KEPT.total_seconds()))
    courier.look()
    assert store.counts() == {subscription.id: {DeliveryState.DELIVERED: 2}}
    store.put(subscription, [Alert("waits", AlertKind.END_NEAR, "soon")], clock.now() + timedelta(days=9))
    clock.advance(86_400)
    courier.look()
    assert store.counts() == {subscription.id: {DeliveryState.WAITING: 1}}


# ---------------------------------------------------------------- what fails


def test_failure__is_tried_again__ever_later__and_given_up(
    store: SqlAlerts, hooks: Hooks, clock: ManualClock
) -> None:
    subscription = subscribed(store, f"{hooks.url}/fail")
    courier = Watching(store, clock, alerts(1))
    assert courier.look() == Round(1, 0, 1)
    for number, pause in enumerate((30, 60, 120, 240, 300, 300), start=2):
        clock.advance(pause - 1)
        assert courier.look() == Round(), "too early"
        clock.advance(1)
        assert courier.look() == Round(0, 0, 1)
        assert len(hooks.at("/fail")) == number
    assert store.counts() == {subscription.id: {DeliveryState.GIVEN_UP: 1}}
    clock.advance(10**6)
    assert courier.look() == Round()
    bodies = {got.body for got in hooks.at("/fail")}
    assert len(bodies) == 1, "an attempt changed what is told"


def test_failure__that_passes__ends_in_one_delivery(
    store: SqlAlerts, hooks: Hooks, clock: ManualClock
) -> None:
    subscription, hooks.flaky = subscribed(store, f"{hooks.url}/flaky"), 2
    courier = Watching(store, clock, alerts(1))
    rounds = [courier.look()]
    for pause in (30, 60):
        clock.advance(pause)
        rounds.append(courier.look())
    assert rounds == [Round(1, 0, 1), Round(0, 0, 1), Round(0, 1, 0)]
    assert store.counts() == {subscription.id: {DeliveryState.DELIVERED: 1}}
    signed_at = [got.headers["molt-timestamp"] for got in hooks.at("/flaky")]
    assert len(set(signed_at)) == 3, "each attempt is signed at its time"


def test_hook__that_hangs__holds_up_nobody(store: SqlAlerts, hooks: Hooks, clock: ManualClock) -> None:
    for path in ("/hang", "/ok"):
        subscribed(store, hooks.url + path)
    assert Watching(store, clock, alerts(4)).look() == Round(8, 4, 4)
    assert hooks.ids("/ok") == {f"end_near:{n}": 1 for n in range(4)}


def test_unsubscribed__while_it_waits__is_told_nothing_more(
    store: SqlAlerts, hooks: Hooks, clock: ManualClock
) -> None:
    subscription = subscribed(store, f"{hooks.url}/fail")
    courier = Watching(store, clock, alerts(1))
    courier.look()
    assert store.unsubscribe(subscription.id)
    assert not store.unsubscribe(subscription.id)
    clock.advance(10**6)
    assert courier.look() == Round()
    assert store.put(subscription, alerts(2), NOON) == 0, "one that found it before it was taken back"


def test_node__that_is_gone__does_not_hold_up_what_is_found(
    store: SqlAlerts, hooks: Hooks, clock: ManualClock
) -> None:
    store.put(subscribed(store, f"{hooks.url}/ok"), alerts(2), NOON)
    node = Node("http://127.0.0.1:9")
    sources = Sources(list, dict, lambda: moment(node.block_time()))
    courier = Courier(sources, store, retries=RETRIES, sending=QUICK, clock=clock)
    with pytest.raises(NodeUnreachable):
        courier.look()
    assert hooks.ids("/ok") == {f"end_near:{n}": 1 for n in range(2)}


# ---------------------------------------------------------------- several processes


def test_taken__by_one__is_nobody_elses__until_the_hold_is_over(store: SqlAlerts) -> None:
    store.put(subscribed(store, "https://host/"), alerts(3), NOON)
    hold = timedelta(minutes=1)
    first = store.take(NOON, hold, 2)
    second = store.take(NOON, hold, 2)
    assert [len(first), len(second)] == [2, 1]
    assert store.take(NOON + hold - timedelta(seconds=1), hold, 9) == []
    again = store.take(NOON + hold, hold, 9)
    assert {each.id for each in again} == {each.id for each in (*first, *second)}
    assert not store.settle(first[0], Outcome(NOON)), "who comes too late changes nothing"
    assert store.settle(again[0], Outcome(NOON))
    assert not store.settle(again[0], Outcome(NOON))


def test_couriers__many_at_once__deliver_each_alert_once(url: str, hooks: Hooks, clock: ManualClock) -> None:
    opened = [Database(url) for _ in range(4)]
    subscribed(SqlAlerts(opened[0], HERE), f"{hooks.url}/slow")
    hooks.slow = 0.01
    together = threading.Barrier(len(opened))
    failures: list[Exception] = []

    def deliver(database: Database) -> None:
        courier = Watching(SqlAlerts(database, HERE), clock, alerts(120))
        together.wait()
        try:
            courier.look()
        except Exception as error:  # noqa: BLE001 - a thread's failure is the test's
            failures.append(error)

    threads = [threading.Thread(target=deliver, args=(each,)) for each in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in opened:
        each.close()
    assert failures == []
    assert hooks.ids("/slow") == {f"end_near:{n}": 1 for n in range(120)}


def test_killed_again_and_again__nothing_is_lost__and_what_comes_twice_is_known(
    url: str, store: SqlAlerts, hooks: Hooks
) -> None:
    """Processes are killed while they deliver; what one held is delivered again once the hold is over."""
    subscription, hooks.slow = subscribed(store, f"{hooks.url}/slow"), 0.05
    number, deaths, chance = 200, 0, random.Random(4)
    store.put(subscription, alerts(number), datetime.now(UTC) - timedelta(days=1))
    for _ in range(2):
        before = len(hooks.received)
        child = subprocess.Popen([sys.executable, "-m", "tests.unit.alerts.delivers", url, HERE])
        patience = time.monotonic() + 60
        while len(hooks.received) < before + chance.randint(5, 45) and time.monotonic() < patience:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        deaths += 1
    delivered = store.counts()[subscription.id].get(DeliveryState.DELIVERED, 0)
    assert delivered < number, "it was killed on its way"
    later = ManualClock(datetime.now(UTC) + QUICK.whole + MARGIN + timedelta(minutes=1))
    Watching(store, later).deliver()
    assert store.counts() == {subscription.id: {DeliveryState.DELIVERED: number}}
    ids = hooks.ids("/slow")
    assert set(ids) == {f"end_near:{n}" for n in range(number)}
    assert sum(ids.values()) - number <= deaths * 20, "only what was on its way at a death comes twice"
    by_id = {got.headers["molt-alert-id"]: got.body for got in hooks.received}
    assert all(by_id[got.headers["molt-alert-id"]] == got.body for got in hooks.received)


# ---------------------------------------------------------------- settings


def test_retries__are_checked() -> None:
    second = timedelta(seconds=1)
    for first, most, attempts in ((second, second, 0), (timedelta(0), second, 1), (second, second / 2, 1)):
        with pytest.raises(InvalidValue):
            Retries(first, most, attempts)


def test_pauses__grow_to_the_longest_and_stay() -> None:
    retries = Retries(timedelta(seconds=30), timedelta(hours=1), attempts=10**6)
    assert retries.pause(1) == timedelta(seconds=30)
    assert retries.pause(8) == retries.pause(10**5) == timedelta(hours=1)
    assert retries.pause(10**6) is None
