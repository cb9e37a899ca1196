"""GPUs are held by one authority, for a time, and never twice."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import EscrowId, Hash32, OfferId, OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import OfferStatus
from molt_market.domain.orders import OrderStatus
from molt_market.errors import (
    Expired,
    InsufficientCapacity,
    InvalidStateTransition,
    InvalidValue,
    MarketError,
    NoMatchingOffers,
    NotReserved,
    OfferNotFound,
    ReservationLapsed,
)
from molt_market.orderbook import MAX_RESERVATION_SECONDS, OrderBook, Reservation
from molt_market.refusals import OrderAlreadyOpened
from molt_market.testing import ManualClock
from tests.factories import DEAL_ID, NOON, STRANGER, make_match, make_offer, make_order

SECOND = timedelta(seconds=1)
SOON = NOON + 60 * SECOND
ORDER = OrderId("order-1")
OTHER_DEAL = EscrowId("0x" + "0f" * 32)


def matched(book: OrderBook, number: int = 1, **overrides: Any) -> OrderMatch:
    """Match an order of its own slot against the book, and take the best."""
    order = make_order(**{"id": f"order-{number}", "slot": number, **overrides})
    return book.match_order(order)[0]


def status(book: OrderBook, order_id: str = "order-1") -> OrderStatus:
    return book.order(OrderId(order_id)).status


@pytest.fixture
def offered(book: OrderBook) -> OrderBook:
    """A book with 8 GPUs on offer; the orders of these tests take 4 each."""
    book.add_offer(make_offer())
    return book


# ---------------------------------------------------------------------------------- reserve


def test_reserve__holds_gpus_and_matches_the_order(offered: OrderBook) -> None:
    reservation = offered.reserve(matched(offered), SOON)
    assert (reservation.order_id, reservation.offer_id) == (ORDER, "offer-1")
    assert (reservation.gpu_count, reservation.until) == (4, SOON)
    assert status(offered) is OrderStatus.MATCHED
    with pytest.raises(InsufficientCapacity) as refusal:
        matched(offered, 2, min_gpu_count=5)
    assert (refusal.value.required, refusal.value.available) == (5, 4)


def test_reserve__gpus_gone_to_others__raises_insufficient_capacity(offered: OrderBook) -> None:
    matches = [matched(offered, number) for number in (1, 2, 3)]
    for match in matches[:2]:
        offered.reserve(match, SOON)
    with pytest.raises(InsufficientCapacity) as refusal:
        offered.reserve(matches[2], SOON)
    assert (refusal.value.required, refusal.value.available) == (4, 0)


def test_reserve__offers_of_one_slot__share_their_gpus(offered: OrderBook) -> None:
    """A re-priced offer stands beside the old one on the same GPUs."""
    offered.add_offer(make_offer(id="offer-2", price_per_hour=Amount.from_molt(9)))
    offered.reserve(matched(offered, min_gpu_count=8), SOON)
    assert offered.active_offers() == []


def test_reserve__smaller_offer_on_a_full_slot__has_none_free(offered: OrderBook) -> None:
    """The slot may hold more than this offer ever had."""
    offered.reserve(matched(offered, min_gpu_count=8), SOON)
    offered.remove_offer(OfferId("offer-1"))
    offered.add_offer(make_offer(id="offer-2", gpu_count=2))
    assert offered.offer(OfferId("offer-2")).status is OfferStatus.FILLED
    with pytest.raises(InsufficientCapacity) as refusal:
        matched(offered, 2, min_gpu_count=1)
    assert refusal.value.available == 0


def test_reserve__other_slot_or_provider__has_gpus_of_its_own(offered: OrderBook) -> None:
    offered.reserve(matched(offered, min_gpu_count=8), SOON)
    offered.add_offer(make_offer(id="offer-2", slot=1))
    offered.add_offer(make_offer(id="offer-3", provider_id="somebody-else"))
    assert [offer.id for offer in offered.active_offers()] == ["offer-2", "offer-3"]


def test_reserve__reserved_already__keeps_its_reservation(offered: OrderBook) -> None:
    match = matched(offered)
    reservation = offered.reserve(match, SOON)
    assert offered.reserve(match, SOON + 30 * SECOND) == reservation
    assert matched(offered, 2).gpu_count == 4  # of 8: they are held once


def test_reserve__somebody_elses_order_of_the_same_id__raises_invalid_state_transition(
    offered: OrderBook,
) -> None:
    offered.reserve(matched(offered), SOON)
    theirs = make_match(offer=make_offer(), order=make_order(buyer_id=STRANGER))
    with pytest.raises(InvalidStateTransition):
        offered.reserve(theirs, SOON)


def test_reserve__signed_under_the_address_of_a_name__keeps_its_reservation(offered: OrderBook) -> None:
    named = make_order(buyer_id="buyer-123", slot=None)
    reservation = offered.reserve(offered.match_order(named)[0], SOON)
    signed = make_match(offer=make_offer(), order=make_order(slot=None))
    assert offered.reserve(signed, SOON) == reservation


def test_reserve__order_matched_to_another_offer__raises_invalid_state_transition(offered: OrderBook) -> None:
    offered.add_offer(make_offer(id="offer-2", slot=1))
    first, second = offered.match_order(make_order())
    offered.reserve(first, SOON)
    with pytest.raises(InvalidStateTransition) as refusal:
        offered.reserve(second, SOON)
    assert (refusal.value.from_, refusal.value.to) == ("MATCHED", "MATCHED")


def test_reserve__slot_of_the_buyer_in_use__raises_order_already_opened(offered: OrderBook) -> None:
    """The contract would open only one of the two."""
    offered.reserve(matched(offered, 1, slot=7), SOON)
    with pytest.raises(OrderAlreadyOpened) as refusal:
        offered.reserve(matched(offered, 2, slot=7), SOON)
    assert refusal.value.actual == 7


def test_reserve__orders_without_slots_yet__do_not_collide(offered: OrderBook) -> None:
    """A slot is assigned when the order is signed for its opening."""
    for number in (1, 2):
        offered.reserve(matched(offered, number, slot=None), SOON)
    assert status(offered, "order-2") is OrderStatus.MATCHED


def test_reserve__slot_of_a_freed_deal__stays_used(offered: OrderBook) -> None:
    offered.confirm(offered.reserve(matched(offered, 1, slot=7), SOON), DEAL_ID)
    offered.free(DEAL_ID)
    with pytest.raises(OrderAlreadyOpened):
        offered.reserve(matched(offered, 2, slot=7), SOON)


def test_reserve__slot_of_a_released_reservation__is_unused_again(offered: OrderBook) -> None:
    offered.release(offered.reserve(matched(offered, 1, slot=7), SOON))
    offered.reserve(matched(offered, 2, slot=7), SOON)
    assert status(offered, "order-2") is OrderStatus.MATCHED


@pytest.mark.parametrize("seconds", [1, MAX_RESERVATION_SECONDS])
def test_reserve__time_limit_within_bounds__is_kept(offered: OrderBook, seconds: int) -> None:
    until = NOON + seconds * SECOND
    assert offered.reserve(matched(offered), until).until == until


@pytest.mark.parametrize("seconds", [-1, 0, MAX_RESERVATION_SECONDS + 1])
def test_reserve__time_limit_out_of_bounds__raises_invalid_value(offered: OrderBook, seconds: int) -> None:
    with pytest.raises(InvalidValue, match="until 2026-01-01"):
        offered.reserve(matched(offered), NOON + seconds * SECOND)
    assert offered.pending_orders() == []


def test_reserve__time_limit_without_zone__raises_invalid_value(offered: OrderBook) -> None:
    with pytest.raises(InvalidValue, match="no time zone"):
        offered.reserve(matched(offered), SOON.replace(tzinfo=None))


def test_reserve__offer_removed__raises_offer_not_found(offered: OrderBook) -> None:
    match = matched(offered)
    offered.remove_offer(OfferId("offer-1"))
    with pytest.raises(OfferNotFound):
        offered.reserve(match, SOON)


def test_reserve__offer_replaced_under_its_id__raises_offer_not_found(offered: OrderBook) -> None:
    match = matched(offered)
    offered.remove_offer(OfferId("offer-1"))
    offered.add_offer(make_offer(price_per_hour=Amount.from_molt(11)))
    with pytest.raises(OfferNotFound):
        offered.reserve(match, SOON)


def test_reserve__offer_expired__raises_expired(book: OrderBook, clock: ManualClock) -> None:
    book.add_offer(make_offer(expires_at=NOON + SECOND))
    match = matched(book)
    clock.advance(1)
    with pytest.raises(Expired, match="offer-1"):
        book.reserve(match, SOON)


def test_reserve__order_expired__raises_expired(offered: OrderBook, clock: ManualClock) -> None:
    match = matched(offered, expires_at=NOON + SECOND)
    clock.advance(1)
    with pytest.raises(Expired, match="order-1"):
        offered.reserve(match, SOON)


def test_reserve__match_that_never_fitted__raises_no_matching_offers(offered: OrderBook) -> None:
    with pytest.raises(NoMatchingOffers):
        offered.reserve(make_match(order=make_order(min_vram_gb=81)), SOON)


def test_reserve__match_too_dear_and_too_large__raises_insufficient_capacity(offered: OrderBook) -> None:
    order = make_order(max_price_per_hour=Amount.from_molt(9), min_gpu_count=9)
    with pytest.raises(InsufficientCapacity) as refusal:
        offered.reserve(make_match(order=order), SOON)
    assert (refusal.value.required, refusal.value.available) == (9, 8)


def test_reserve__figures_of_the_match_forged__holds_what_the_order_says(offered: OrderBook) -> None:
    match = replace(matched(offered), gpu_count=1, total_cost=Amount.from_molt(1))
    assert offered.reserve(match, SOON).gpu_count == 4


def test_reserve__order_signed_for_the_offer_afterwards__is_taken(offered: OrderBook) -> None:
    """The buyer binds his order to the offer he took; this book was given no hashes."""
    bound = make_order(offer_hash=Hash32("0x" + "07" * 32))
    assert offered.reserve(replace(matched(offered), order=bound), SOON).order_id == ORDER


def test_reserve__order_signed_for_another_offer__raises_no_matching_offers(book: OrderBook) -> None:
    book.add_offer(make_offer(), offer_hash=Hash32("0x" + "01" * 32))
    bound = make_order(offer_hash=Hash32("0x" + "07" * 32))
    with pytest.raises(NoMatchingOffers):
        book.reserve(replace(matched(book), order=bound), SOON)


def test_reserve__refused__leaves_no_trace(offered: OrderBook) -> None:
    with pytest.raises(NoMatchingOffers):
        offered.reserve(make_match(order=make_order(min_vram_gb=81)), SOON)
    assert offered.pending_orders() == []
    assert len(offered.match_order(make_order(min_gpu_count=8))) == 1


def test_reserve__many_threads__never_exceed_the_gpus(
    offered: OrderBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause between looking and taking gives every thread the chance to look first."""
    matches = [matched(offered, number, min_gpu_count=1) for number in range(40)]
    hold = offered._reservations.hold

    def hold_after_a_pause(*args: Any) -> Reservation:
        time.sleep(0.001)
        return hold(*args)

    monkeypatch.setattr(offered._reservations, "hold", hold_after_a_pause)

    def try_to_reserve(match: OrderMatch) -> bool:
        try:
            offered.reserve(match, SOON)
        except MarketError:
            return False
        return True

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert sum(pool.map(try_to_reserve, matches)) == 8


# ---------------------------------------------------------------------------------- lapse


def test_lapse__holds_until_the_second_before(offered: OrderBook, clock: ManualClock) -> None:
    offered.reserve(matched(offered, min_gpu_count=8), NOON + 60 * SECOND)
    clock.advance(59)
    assert offered.active_offers() == []
    assert status(offered) is OrderStatus.MATCHED
    clock.advance(1)
    assert len(offered.active_offers()) == 1
    assert status(offered) is OrderStatus.PENDING


def test_lapse__order_expired_meanwhile__is_expired(offered: OrderBook, clock: ManualClock) -> None:
    offered.reserve(matched(offered, expires_at=NOON + SECOND), SOON)
    clock.advance(60)
    assert status(offered) is OrderStatus.EXPIRED


def test_lapse__order_may_be_reserved_again(offered: OrderBook, clock: ManualClock) -> None:
    match = matched(offered)
    first = offered.reserve(match, SOON)
    clock.advance(60)
    second = offered.reserve(match, SOON + SECOND)
    assert second.id != first.id
    offered.release(first)
    assert status(offered) is OrderStatus.MATCHED


# ---------------------------------------------------------------------------------- confirm


def test_confirm__gpus_stay_held_beyond_the_time_limit(offered: OrderBook, clock: ManualClock) -> None:
    offered.confirm(offered.reserve(matched(offered, min_gpu_count=8), SOON), DEAL_ID)
    clock.advance(3_600)
    assert status(offered) is OrderStatus.ESCROWED
    assert offered.active_offers() == []


def test_confirm__again__is_harmless(offered: OrderBook, clock: ManualClock) -> None:
    reservation = offered.reserve(matched(offered), SOON)
    offered.confirm(reservation, DEAL_ID)
    offered.advance_order(ORDER, OrderStatus.RUNNING)
    clock.advance(3_600)
    offered.confirm(reservation, DEAL_ID)
    assert status(offered) is OrderStatus.RUNNING


def test_confirm__lapsed__raises_reservation_lapsed(offered: OrderBook, clock: ManualClock) -> None:
    reservation = offered.reserve(matched(offered), SOON)
    clock.advance(60)
    with pytest.raises(ReservationLapsed) as refusal:
        offered.confirm(reservation, DEAL_ID)
    assert refusal.value.lapsed_at == SOON


def test_confirm__released__raises_not_reserved(offered: OrderBook) -> None:
    reservation = offered.reserve(matched(offered), SOON)
    offered.release(reservation)
    with pytest.raises(NotReserved):
        offered.confirm(reservation, DEAL_ID)


def test_confirm__of_a_cancelled_order__raises_not_reserved(offered: OrderBook) -> None:
    reservation = offered.reserve(matched(offered), SOON)
    offered.cancel_order(ORDER)
    with pytest.raises(NotReserved):
        offered.confirm(reservation, DEAL_ID)


def test_confirm__of_another_book__raises_not_reserved(offered: OrderBook) -> None:
    reservation = offered.reserve(matched(offered), SOON)
    with pytest.raises(NotReserved):
        offered.confirm(replace(reservation, gpu_count=1), DEAL_ID)


def test_confirm__second_deal__raises_invalid_state_transition(offered: OrderBook) -> None:
    reservation = offered.reserve(matched(offered), SOON)
    offered.confirm(reservation, DEAL_ID)
    with pytest.raises(InvalidStateTransition):
        offered.confirm(reservation, OTHER_DEAL)


def test_confirm__deal_of_another_reservation__raises_invalid_state_transition(offered: OrderBook) -> None:
    offered.confirm(offered.reserve(matched(offered, 1), SOON), DEAL_ID)
    second = offered.reserve(matched(offered, 2), SOON)
    with pytest.raises(InvalidStateTransition):
        offered.confirm(second, DEAL_ID)
    assert status(offered, "order-2") is OrderStatus.MATCHED


def test_confirm__offer_removed_meanwhile__still_counts(offered: OrderBook) -> None:
    """Taking the offer down breaks no match; its GPUs count on the slot as before."""
    reservation = offered.reserve(matched(offered, min_gpu_count=8), SOON)
    offered.remove_offer(OfferId("offer-1"))
    offered.confirm(reservation, DEAL_ID)
    offered.add_offer(make_offer(id="offer-2"))
    assert offered.active_offers() == []


# ---------------------------------------------------------------------------------- release and free


def test_release__gpus_are_free_and_the_order_pending(offered: OrderBook) -> None:
    offered.release(offered.reserve(matched(offered, min_gpu_count=8), SOON))
    assert status(offered) is OrderStatus.PENDING
    assert len(offered.active_offers()) == 1


def test_release__again__frees_nothing_more(offered: OrderBook) -> None:
    reservation = offered.reserve(matched(offered, 1), SOON)
    offered.reserve(matched(offered, 2), SOON)
    offered.release(reservation)
    offered.release(reservation)
    with pytest.raises(InsufficientCapacity) as refusal:
        matched(offered, 3, min_gpu_count=5)
    assert refusal.value.available == 4


def test_release__confirmed__raises_invalid_state_transition(offered: OrderBook) -> None:
    reservation = offered.reserve(matched(offered), SOON)
    offered.confirm(reservation, DEAL_ID)
    with pytest.raises(InvalidStateTransition) as refusal:
        offered.release(reservation)
    assert (refusal.value.from_, refusal.value.to) == ("ESCROWED", "PENDING")


def test_free__gpus_of_the_deal_are_free_once(offered: OrderBook) -> None:
    offered.confirm(offered.reserve(matched(offered, min_gpu_count=8), SOON), DEAL_ID)
    assert offered.free(DEAL_ID)
    assert len(offered.match_order(make_order(id="order-2", min_gpu_count=8))) == 1
    assert not offered.free(DEAL_ID)


def test_free__unknown_deal__frees_nothing(offered: OrderBook) -> None:
    """A book that was restarted hears of deals it never reserved for."""
    assert not offered.free(OTHER_DEAL)


def test_free__order_keeps_its_status(offered: OrderBook) -> None:
    """GPUs are free from the claim on; what becomes of the money is another matter."""
    offered.confirm(offered.reserve(matched(offered), SOON), DEAL_ID)
    offered.free(DEAL_ID)
    assert status(offered) is OrderStatus.ESCROWED


def test_reservation__is_a_plain_value() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    fields = (1, ORDER, OfferId("o"), make_order().buyer_id, 0, make_offer().provider_id, 0, 4, 8, now)
    assert Reservation(*fields, make_offer()) == Reservation(*fields, make_offer())
    assert len({Reservation(*fields, make_offer()), Reservation(*fields, make_offer())}) == 1
