"""Offers come, stand, expire and go."""

from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.domain.ids import OfferId
from molt_market.domain.offers import OfferStatus
from molt_market.errors import Expired, InvalidStateTransition, NoMatchingOffers, OfferNotFound
from molt_market.orderbook import OrderBook
from molt_market.testing import ManualClock
from tests.factories import DEAL_ID, NOON, make_offer, make_order

SECOND = timedelta(seconds=1)
OFFER = OfferId("offer-1")


def test_add_offer__returns_its_id(book: OrderBook) -> None:
    assert book.add_offer(make_offer()) == OFFER
    assert book.offer(OFFER) == make_offer()


def test_add_offer__id_already_listed__raises_invalid_state_transition(book: OrderBook) -> None:
    book.add_offer(make_offer())
    with pytest.raises(InvalidStateTransition) as refusal:
        book.add_offer(make_offer(vram_gb=24))
    assert (refusal.value.from_, refusal.value.to) == ("ACTIVE", "ACTIVE")
    assert book.active_offers() == [make_offer()]


def test_add_offer__not_active__raises_invalid_state_transition(book: OrderBook) -> None:
    with pytest.raises(InvalidStateTransition) as refusal:
        book.add_offer(make_offer(status=OfferStatus.CANCELLED))
    assert (refusal.value.from_, refusal.value.to) == ("CANCELLED", "ACTIVE")


def test_add_offer__expired__raises_expired(book: OrderBook, clock: ManualClock) -> None:
    offer = make_offer(expires_at=NOON + SECOND)
    clock.advance(1)
    with pytest.raises(Expired, match=r"offer-1 \(until 2026-01-01 12:00:01 UTC, and the market.s clock "):
        book.add_offer(offer)
    assert book.active_offers() == []


def test_remove_offer__is_gone(book: OrderBook) -> None:
    book.add_offer(make_offer())
    book.remove_offer(OFFER)
    assert book.active_offers() == []
    with pytest.raises(NoMatchingOffers):
        book.match_order(make_order())


def test_remove_offer__may_be_added_again(book: OrderBook) -> None:
    book.add_offer(make_offer())
    book.remove_offer(OFFER)
    assert book.add_offer(make_offer()) == OFFER


@pytest.mark.parametrize("method", ["remove_offer", "offer"])
def test_offer__unknown__raises_offer_not_found(book: OrderBook, method: str) -> None:
    with pytest.raises(OfferNotFound) as refusal:
        getattr(book, method)(OFFER)
    assert refusal.value.offer_id == OFFER


def test_offer__no_gpu_free__is_filled_and_active_again_when_freed(
    book: OrderBook, clock: ManualClock
) -> None:
    book.add_offer(make_offer(gpu_count=4))
    [match] = book.match_order(make_order())
    book.confirm(book.reserve(match, NOON + SECOND), DEAL_ID)
    assert book.offer(OFFER).status is OfferStatus.FILLED
    assert book.active_offers() == []
    book.free(DEAL_ID)
    assert book.offer(OFFER).status is OfferStatus.ACTIVE
    assert book.active_offers() == [make_offer(gpu_count=4)]


def test_offer__time_over__is_expired(book: OrderBook, clock: ManualClock) -> None:
    book.add_offer(make_offer(expires_at=NOON + SECOND))
    clock.advance(1)
    assert book.offer(OFFER).status is OfferStatus.EXPIRED
    assert book.active_offers() == []


def test_active_offers__as_they_were_added__without_those_to_come(book: OrderBook) -> None:
    for number, created_at in enumerate([NOON, NOON + SECOND, NOON - SECOND]):
        book.add_offer(make_offer(id=f"offer-{number}", created_at=created_at))
    assert [offer.id for offer in book.active_offers()] == ["offer-0", "offer-2"]
