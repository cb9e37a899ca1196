"""A book that asks the chain: what could not be opened is not handed out, and it is said why."""

from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import OfferId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.errors import MarketError, NoMatchingOffers
from molt_market.orderbook import OrderBook
from molt_market.orderbook.openable import ENOUGH, MOST_ASKED, WHATEVER_THE_OFFER
from molt_market.refusals import OfferCancelled, Paused, ProviderBalance
from molt_market.testing import ManualClock
from tests.factories import NOON, make_offer, make_order

NO_BOND = ProviderBalance(0, 1)
CANCELLED = OfferCancelled(1, 2)


class Chain:
    """Refuses these offers, or all others too, and remembers which it was asked about."""

    def __init__(self, refused: dict[int, MarketError], others: MarketError | None = None) -> None:
        self.refused = refused
        self.others = others
        self.asked: list[int] = []

    def check(self, offer: CapacityOffer, _order: JobOrder) -> MarketError | None:
        number = int(offer.id.removeprefix("offer-"))
        self.asked.append(number)
        return self.refused.get(number, self.others)


def filled(clock: ManualClock, count: int, chain: Chain) -> OrderBook:
    """Make a book of so many offers, the first the best."""
    book = OrderBook(clock, check=chain.check)
    for number in range(count):
        price = Amount.from_molt(1) + Amount(number)
        book.add_offer(make_offer(id=OfferId(f"offer-{number}"), slot=number, price_per_hour=price))
    return book


def found(book: OrderBook) -> list[int]:
    return [int(match.offer_id.removeprefix("offer-")) for match in book.match_order(make_order())]


def test_match_order__goes_on_to_the_next_offer(clock: ManualClock) -> None:
    chain = Chain({0: NO_BOND, 2: NO_BOND})
    assert found(filled(clock, 5, chain)) == [1, 3, 4]
    assert chain.asked == [0, 1, 2, 3, 4]


def test_match_order__nothing_can_be_opened__says_why_of_the_best(clock: ManualClock) -> None:
    chain = Chain({0: CANCELLED}, others=NO_BOND)
    with pytest.raises(OfferCancelled) as refused:
        found(filled(clock, 3, chain))
    assert refused.value is CANCELLED
    assert chain.asked == [0, 1, 2]


@pytest.mark.parametrize("kind", WHATEVER_THE_OFFER, ids=lambda kind: kind.__name__)
def test_match_order__no_other_offer_would_help__asks_no_further(
    clock: ManualClock, kind: type[Paused]
) -> None:
    chain = Chain({1: kind(1, 2)})
    with pytest.raises(kind):
        found(filled(clock, 5, chain))
    assert chain.asked == [0, 1]


def test_match_order__hands_out_a_few_and_asks_no_further(clock: ManualClock) -> None:
    chain = Chain({3: NO_BOND})
    assert found(filled(clock, 20, chain)) == [number for number in range(ENOUGH + 1) if number != 3]
    assert chain.asked == list(range(ENOUGH + 1))


def test_match_order__many_are_refused__asks_about_so_many_and_no_more(clock: ManualClock) -> None:
    chain = Chain({}, others=NO_BOND)
    with pytest.raises(ProviderBalance):
        found(filled(clock, MOST_ASKED + 5, chain))
    assert chain.asked == list(range(MOST_ASKED))


def test_match_order__nothing_fits__is_not_asked(clock: ManualClock) -> None:
    chain = Chain({})
    book = filled(clock, 3, chain)
    with pytest.raises(NoMatchingOffers):
        book.match_order(make_order(min_vram_gb=999))
    assert chain.asked == []


def test_book__without_a_check__hands_out_all_that_fits(clock: ManualClock) -> None:
    book = filled(clock, 20, Chain({}, others=NO_BOND))
    book.check = None
    assert found(book) == list(range(20))


def test_reservation__is_the_books_alone(clock: ManualClock) -> None:
    """Who opens a match asks the chain himself, at that time."""
    chain = Chain({})
    book = filled(clock, 1, chain)
    [match] = book.match_order(make_order())
    chain.others = NO_BOND
    book.reserve(match, NOON + timedelta(seconds=60))
    assert chain.asked == [0]
