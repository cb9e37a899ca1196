"""The book follows its deals: the order goes on, and the GPUs are free once the deal does not lock them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import EscrowId, OrderId
from molt_market.domain.orders import OrderStatus
from molt_market.errors import InsufficientCapacity, InvalidStateTransition
from molt_market.orderbook import OrderBook
from tests.factories import DEAL_ID, NOON, make_offer, make_order

ORDER = OrderId("order-1")


@pytest.fixture
def open_book(book: OrderBook) -> OrderBook:
    """A book with 8 GPUs, four of which a deal uses."""
    book.add_offer(make_offer())
    reservation = book.reserve(book.match_order(make_order())[0], NOON + timedelta(minutes=1))
    book.confirm(reservation, DEAL_ID)
    return book


def free(book: OrderBook) -> bool:
    """Tell whether all 8 GPUs are free."""
    order = make_order(id="order-2", slot=2, min_gpu_count=8)
    try:
        return bool(book.match_order(order))
    except InsufficientCapacity:
        return False


@pytest.mark.parametrize(
    ("deal", "order", "freed"),
    [
        (DealStatus.LOCKED, OrderStatus.ESCROWED, False),
        (DealStatus.CLAIMED, OrderStatus.COMPLETED, True),
        (DealStatus.DISPUTED, OrderStatus.DISPUTED, True),
        (DealStatus.RELEASED, OrderStatus.SETTLED, True),
        (DealStatus.REFUNDED, OrderStatus.REFUNDED, True),
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_follow__each_status__again_too(
    open_book: OrderBook, *, deal: DealStatus, order: OrderStatus, freed: bool, times: int
) -> None:
    for _ in range(times):
        open_book.follow(DEAL_ID, deal)
    assert (open_book.order(ORDER).status, free(open_book)) == (order, freed)


def test_follow__a_voucher__the_job_runs(open_book: OrderBook) -> None:
    open_book.follow(DEAL_ID, DealStatus.LOCKED, paid=True)
    assert open_book.order(ORDER).status is OrderStatus.RUNNING
    assert not free(open_book)


def test_follow__a_whole_life(open_book: OrderBook) -> None:
    for deal in (DealStatus.CLAIMED, DealStatus.DISPUTED, DealStatus.RELEASED):
        open_book.follow(DEAL_ID, deal)
    assert open_book.order(ORDER).status is OrderStatus.SETTLED


def test_follow__no_way_leads_there__frees_the_gpus_all_the_same(open_book: OrderBook) -> None:
    """The book was told that the job failed; the chain knows better, but the order cannot go back."""
    open_book.advance_order(ORDER, OrderStatus.FAILED)
    with pytest.raises(InvalidStateTransition):
        open_book.follow(DEAL_ID, DealStatus.RELEASED)
    assert open_book.order(ORDER).status is OrderStatus.FAILED
    assert free(open_book)


def test_follow__a_deal_of_others__changes_nothing(open_book: OrderBook) -> None:
    open_book.follow(EscrowId("0x" + "0f" * 32), DealStatus.REFUNDED)
    assert open_book.order(ORDER).status is OrderStatus.ESCROWED
