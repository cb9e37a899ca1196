"""Who is served first when orders wait: a class above NORMAL is as good as the money behind it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.ids import PartyId
from molt_market.domain.orders import JobOrder, Priority
from molt_market.orderbook import OrderBook
from molt_market.orderbook.priority import in_turn
from tests.factories import BUYER, NOON, STRANGER, make_offer, make_order

SECOND = timedelta(seconds=1)


def waiting(name: str, priority: Priority, seconds: int = 0, buyer: str = BUYER) -> JobOrder:
    """Make an order with a budget of 480 MOLT, some seconds before noon."""
    created = NOON - seconds * SECOND
    return make_order(id=name, priority=priority, slot=None, buyer_id=buyer, created_at=created)


def turns(orders: list[JobOrder], funds: int | None) -> list[str]:
    """Say who is served in what order if each buyer has so many MOLT in the escrow."""
    port = None if funds is None else (lambda _buyer: Amount.from_molt(funds))
    return [order.id for order in in_turn(orders, port)]


ONE_OF_EACH = [
    waiting("low", Priority.LOW, 4),
    waiting("normal", Priority.NORMAL, 3),
    waiting("high", Priority.HIGH, 2, STRANGER),
    waiting("urgent", Priority.URGENT, 1),
]


@pytest.mark.parametrize(
    ("funds", "order"),
    [
        (960, ["urgent", "high", "normal", "low"]),
        (959, ["high", "urgent", "normal", "low"]),  # urgent counts as high, and is later
        (479, ["normal", "high", "urgent", "low"]),
        (None, ["normal", "high", "urgent", "low"]),
    ],
)
def test_in_turn__class_counts_as_far_as_it_is_backed(funds: int | None, order: list[str]) -> None:
    assert turns(ONE_OF_EACH, funds) == order


def test_in_turn__the_same_money_backs_one_order__the_earlier(book: OrderBook) -> None:
    orders = [waiting("later", Priority.HIGH, 1), waiting("first", Priority.HIGH, 2)]
    before = waiting("normal", Priority.NORMAL, 9)
    assert turns([*orders, before], 480) == ["first", "normal", "later"]
    assert turns([*orders, before], 960) == ["first", "later", "normal"]


def test_in_turn__ties__go_by_time_and_id() -> None:
    orders = [waiting(name, Priority.NORMAL, seconds) for name, seconds in (("b", 1), ("a", 1), ("c", 2))]
    assert turns(orders, 0) == ["c", "a", "b"]


def test_in_turn__another_token__backs_nothing() -> None:
    usdc = Token("USDC", 6)
    orders = [waiting("high", Priority.HIGH), waiting("normal", Priority.NORMAL, 1)]
    assert [each.id for each in in_turn(orders, lambda _buyer: usdc.amount(10_000))] == ["normal", "high"]


def test_clear__scarce_gpus__go_to_whom_the_class_says(book: OrderBook) -> None:
    book.add_offer(make_offer(gpu_count=4))
    for order in ONE_OF_EACH:
        book.submit_order(order)
    rich: dict[PartyId, Amount] = {PartyId(BUYER): Amount.from_molt(960)}
    book.funds = lambda buyer: rich.get(buyer, Amount.zero())
    (execution,) = book.clear(NOON + 60 * SECOND)
    assert execution.order.id == "urgent"
    assert [order.id for order in book.pending_orders()] == ["low", "normal", "high"]


def test_clear__nothing_waits__does_nothing(book: OrderBook) -> None:
    assert book.clear(NOON + SECOND) == []
