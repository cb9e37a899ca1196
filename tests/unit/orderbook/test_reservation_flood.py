"""A flood of reservations: it holds no GPUs longer than the time limit, and leaves nothing behind."""

from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.domain.ids import OfferId
from molt_market.errors import InsufficientCapacity
from molt_market.orderbook import MAX_RESERVATION_SECONDS, OrderBook
from molt_market.testing import ManualClock
from tests.factories import NOON, make_offer, make_order

OFFERS = 20
LIMIT = timedelta(seconds=MAX_RESERVATION_SECONDS)


@pytest.fixture
def flooded(book: OrderBook) -> OrderBook:
    """A book whose every GPU somebody has reserved, for as long as he may, and does not pay for."""
    for number in range(OFFERS):
        book.add_offer(make_offer(id=OfferId(f"offer-{number}"), slot=number))
    for number in range(2 * OFFERS):
        order = make_order(id=f"flood-{number}", slot=number)
        book.reserve(book.match_order(order)[0], NOON + LIMIT)
    return book


def test_reserve__flood__leaves_nothing_while_it_lasts(flooded: OrderBook, clock: ManualClock) -> None:
    clock.advance(MAX_RESERVATION_SECONDS - 1)
    assert flooded.active_offers() == []
    with pytest.raises(InsufficientCapacity):
        flooded.match_order(make_order(id="honest", slot=1_000))


def test_reserve__flood__is_over_at_the_time_limit(flooded: OrderBook, clock: ManualClock) -> None:
    """Nobody has to release anything: every GPU is on offer again, for whoever asks first."""
    clock.advance(MAX_RESERVATION_SECONDS)
    assert len(flooded.active_offers()) == OFFERS
    for number in range(2 * OFFERS):
        order = make_order(id=f"honest-{number}", slot=1_000 + number)
        flooded.reserve(flooded.match_order(order)[0], NOON + 2 * LIMIT)
    assert flooded.active_offers() == []


def test_reserve__flood_released__is_over_at_once(book: OrderBook) -> None:
    book.add_offer(make_offer())
    held = [
        book.reserve(book.match_order(make_order(id=f"flood-{number}", slot=number))[0], NOON + LIMIT)
        for number in range(2)
    ]
    assert book.active_offers() == []
    for reservation in held:
        book.release(reservation)
    assert len(book.active_offers()) == 1
