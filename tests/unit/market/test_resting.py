"""What was held and not opened is opened by whoever finds it: once, and not while somebody is at it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from molt_market.domain.ids import Address, EscrowId, OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.errors import NodeUnreachable
from molt_market.market import resting
from molt_market.market.market import Market
from molt_market.market.resting import RestingOrders
from molt_market.testing import ManualClock, dev_wallet
from tests.factories import NOON, make_offer, make_order

OPENER, STRANGER = dev_wallet(0).address, dev_wallet(9).address
Held = tuple[EscrowId, CapacityOffer, JobOrder]


def held(number: int, opener: Address = OPENER) -> Held:
    order = make_order(id=OrderId(f"order-{number}"), slot=number, opener=opener)
    return EscrowId(f"0x{number:064x}"), make_offer(), order


class Scene:
    """A market where nothing waits and some is held."""

    def __init__(self, *found: Held) -> None:
        self.found = list(found)
        self.asked: list[tuple[timedelta, timedelta]] = []
        self.opened: list[str] = []
        self.on_their_way: set[EscrowId] = set()
        self.sequence = 0
        market = cast(Market, self)
        self.orders = RestingOrders(
            market, ManualClock(NOON), OPENER, self._open, self.on_their_way.__contains__
        )

    @property
    def book(self) -> Any:
        return self

    store = book
    funds = None

    def pending_orders(self) -> list[JobOrder]:
        return []

    def held_for_book(self, after: datetime, until: datetime) -> Sequence[Held]:
        self.asked.append((after - NOON, until - NOON))
        return self.found

    def _open(self, matches: Sequence[OrderMatch]) -> list[EscrowId | NodeUnreachable]:
        self.opened += [each.order_id for each in matches]
        return [NodeUnreachable("http://node") for _ in matches]

    def turn(self) -> list[str]:
        """Let the market move, and return what is tried to be opened."""
        self.sequence += 1
        self.opened = []
        self.orders.match_once()
        return self.opened


def test_left_behind__is_tried_once() -> None:
    scene = Scene(held(1), held(2))
    assert scene.turn() == ["order-1", "order-2"]
    assert scene.turn() == []
    scene.found.append(held(3))
    assert scene.turn() == ["order-3"]
    gone = scene.found.pop(0)
    assert scene.turn() == []
    scene.found.append(gone)  # it lapsed, and was matched and left again
    assert scene.turn() == ["order-1"]


def test_left_behind__for_half_a_minute_and_with_time_to_open__counts() -> None:
    scene = Scene()
    scene.turn()
    assert scene.asked == [(timedelta(seconds=30), timedelta(seconds=80))]


def test_left_behind__of_another_opener__is_left() -> None:
    assert Scene(held(1, STRANGER), held(2)).turn() == ["order-2"]


def test_left_behind__while_a_transaction_is_on_its_way__is_left() -> None:
    scene = Scene(held(1))
    scene.on_their_way.add(scene.found[0][0])
    assert scene.turn() == []
    scene.on_their_way.clear()
    assert scene.turn() == ["order-1"]


def test_left_behind__more_than_are_opened_at_a_time__come_in_turns() -> None:
    scene = Scene(*(held(number) for number in range(1, resting.AT_ONCE + 3)))
    assert len(scene.turn()) == resting.AT_ONCE
    assert len(scene.turn()) == 2
    assert scene.turn() == []
