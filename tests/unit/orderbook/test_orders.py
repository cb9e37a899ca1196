"""Orders come in, wait, are cancelled, expire, and follow their deals."""

from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.domain.ids import OrderId
from molt_market.domain.orders import OrderStatus
from molt_market.errors import Expired, InvalidStateTransition, OrderNotFound
from molt_market.orderbook import OrderBook
from molt_market.testing import ManualClock
from tests.factories import DEAL_ID, NOON, make_offer, make_order

SECOND = timedelta(seconds=1)
ORDER = OrderId("order-1")


def test_submit_order__waits_as_pending(book: OrderBook) -> None:
    assert book.submit_order(make_order()) == ORDER
    assert book.pending_orders() == [make_order()]
    assert book.order(ORDER) == make_order()


def test_submit_order__twice__raises_invalid_state_transition(book: OrderBook) -> None:
    book.submit_order(make_order())
    with pytest.raises(InvalidStateTransition) as refusal:
        book.submit_order(make_order())
    assert (refusal.value.from_, refusal.value.to) == ("PENDING", "PENDING")


def test_submit_order__after_its_cancellation__raises_invalid_state_transition(book: OrderBook) -> None:
    book.submit_order(make_order())
    book.cancel_order(ORDER)
    with pytest.raises(InvalidStateTransition) as refusal:
        book.submit_order(make_order())
    assert (refusal.value.from_, refusal.value.to) == ("CANCELLED", "PENDING")


def test_submit_order__not_pending__raises_invalid_state_transition(book: OrderBook) -> None:
    with pytest.raises(InvalidStateTransition) as refusal:
        book.submit_order(make_order(status=OrderStatus.MATCHED))
    assert (refusal.value.from_, refusal.value.to) == ("MATCHED", "PENDING")


def test_submit_order__expired__raises_expired(book: OrderBook, clock: ManualClock) -> None:
    clock.advance(1)
    with pytest.raises(Expired, match=r"order-1 \(until 2026-01-01 12:00:01 UTC, and the market.s clock "):
        book.submit_order(make_order(expires_at=NOON + SECOND))


def test_order__time_over__is_expired(book: OrderBook, clock: ManualClock) -> None:
    book.submit_order(make_order(expires_at=NOON + SECOND))
    clock.advance(1)
    assert book.order(ORDER).status is OrderStatus.EXPIRED
    assert book.pending_orders() == []


def test_cancel_order__pending__is_cancelled(book: OrderBook) -> None:
    book.submit_order(make_order())
    book.cancel_order(ORDER)
    assert book.order(ORDER).status is OrderStatus.CANCELLED
    assert book.pending_orders() == []


def test_cancel_order__matched__frees_its_gpus_at_once(book: OrderBook) -> None:
    book.add_offer(make_offer(gpu_count=4))
    [match] = book.match_order(make_order())
    book.reserve(match, NOON + 60 * SECOND)
    book.cancel_order(ORDER)
    assert book.order(ORDER).status is OrderStatus.CANCELLED
    assert len(book.match_order(make_order(id="order-2"))) == 1


def test_cancel_order__matched_and_past_its_expiry__frees_its_gpus_at_once(
    book: OrderBook, clock: ManualClock
) -> None:
    book.add_offer(make_offer(gpu_count=4))
    [match] = book.match_order(make_order(expires_at=NOON + SECOND))
    book.reserve(match, NOON + 60 * SECOND)
    clock.advance(1)
    book.cancel_order(ORDER)
    assert book.order(ORDER).status is OrderStatus.CANCELLED
    assert len(book.active_offers()) == 1


def test_cancel_order__escrowed__raises_invalid_state_transition(book: OrderBook) -> None:
    escrow(book)
    with pytest.raises(InvalidStateTransition) as refusal:
        book.cancel_order(ORDER)
    assert (refusal.value.from_, refusal.value.to) == ("ESCROWED", "CANCELLED")


def test_cancel_order__expired__raises_invalid_state_transition(book: OrderBook, clock: ManualClock) -> None:
    book.submit_order(make_order(expires_at=NOON + SECOND))
    clock.advance(1)
    with pytest.raises(InvalidStateTransition) as refusal:
        book.cancel_order(ORDER)
    assert (refusal.value.from_, refusal.value.to) == ("EXPIRED", "CANCELLED")


@pytest.mark.parametrize("method", ["cancel_order", "order"])
def test_order__unknown__raises_order_not_found(book: OrderBook, method: str) -> None:
    with pytest.raises(OrderNotFound) as refusal:
        getattr(book, method)(ORDER)
    assert refusal.value.order_id == ORDER


def test_advance_order__follows_its_deal(book: OrderBook) -> None:
    escrow(book)
    for status in (OrderStatus.RUNNING, OrderStatus.COMPLETED, OrderStatus.SETTLED):
        book.advance_order(ORDER, status)
        assert book.order(ORDER).status is status


def test_advance_order__step_left_out__raises_invalid_state_transition(book: OrderBook) -> None:
    escrow(book)
    with pytest.raises(InvalidStateTransition) as refusal:
        book.advance_order(ORDER, OrderStatus.SETTLED)
    assert (refusal.value.from_, refusal.value.to) == ("ESCROWED", "SETTLED")


@pytest.mark.parametrize("status", ["MATCHED", "CANCELLED", "EXPIRED", "ESCROWED", "PENDING"])
def test_advance_order__status_that_the_book_keeps__raises_invalid_state_transition(
    book: OrderBook, status: str
) -> None:
    """An order cannot become MATCHED without GPUs being held for it."""
    book.submit_order(make_order())
    with pytest.raises(InvalidStateTransition) as refusal:
        book.advance_order(ORDER, OrderStatus[status])
    assert (refusal.value.from_, refusal.value.to) == ("PENDING", status)


def escrow(book: OrderBook) -> None:
    book.add_offer(make_offer())
    [match] = book.match_order(make_order())
    book.confirm(book.reserve(match, NOON + SECOND), DEAL_ID)
