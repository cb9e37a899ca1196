"""A book whose offers lie on a shelf answers as one that has them in memory, whenever what was read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from molt_market.domain.amounts import Token
from molt_market.domain.gpus import feature_bits
from molt_market.domain.ids import Hash32, OfferId
from molt_market.domain.offers import CapacityOffer, OfferStatus
from molt_market.domain.orders import JobRequirements
from molt_market.domain.updates import FeedItem, OfferPosted, OfferRemoved, Update
from molt_market.orderbook import OrderBook
from molt_market.orderbook.market_data import Ask
from molt_market.orderbook.replica import ReplicaBook, Standing
from molt_market.orderbook.stored import Priced
from molt_market.testing import ManualClock
from tests.factories import NOON, make_offer, make_requirements
from tests.unit.orderbook import strategies as some

WORDS = st.integers(1, 2**255).map(lambda number: f"0x{number:064x}")
OFFERS = st.lists(
    some.offers(WORDS).filter(lambda each: each.status is OfferStatus.ACTIVE and each.expires_at > NOON),
    max_size=12,
    unique_by=lambda offer: offer.id,
)


class Cupboard:
    """The simplest shelf there is; it counts what is read."""

    def __init__(self) -> None:
        self.there: dict[OfferId, CapacityOffer] = {}
        self.standing: set[OfferId] = set()
        self.reads = 0

    def post(self, offer: CapacityOffer) -> None:
        self.there[offer.id] = offer
        self.standing.add(offer.id)

    def models(self) -> Collection[str]:
        return {each.gpu_capacity.gpu_model for each in self.there.values() if each.id in self.standing}

    def priced(self, models: Collection[str] | None) -> Iterator[Priced]:
        for offer in self.there.values():
            model, price = offer.gpu_capacity.gpu_model, offer.price_per_hour.base_units
            if offer.id in self.standing and (models is None or model in models):
                yield Priced(model, feature_bits(offer.features), price, offer.id)

    def offers(self, offer_ids: Collection[OfferId]) -> Iterable[tuple[CapacityOffer, bool]]:
        self.reads += len(offer_ids)
        return [(self.there[each], each in self.standing) for each in offer_ids if each in self.there]

    def asks(self, token: Token, model: str | None, now: datetime) -> Iterator[Ask]:
        for each in map(self.there.__getitem__, self.standing):
            gpus, place = each.gpu_capacity, each.location
            is_asked = each.price_per_hour.token == token and model in {None, gpus.gpu_model}
            if is_asked and each.created_at <= now < each.expires_at:
                pool, region = (each.provider_id, each.slot), place.region if place else None
                yield Ask(each.price_per_hour.base_units, gpus.gpu_count, pool, gpus.gpu_model, region)


def in_memory(offers: Iterable[CapacityOffer]) -> OrderBook:
    book = OrderBook(ManualClock(NOON))
    for offer in offers:
        book.add_offer(offer, offer_hash=Hash32(offer.id))
    return book


def require_same(book: ReplicaBook, cupboard: Cupboard, needs: JobRequirements) -> None:
    expected = in_memory(cupboard.there[each] for each in cupboard.there if each in cupboard.standing)
    assert book.best_offers(needs, 5) == expected.best_offers(needs, 5)
    assert book.depth() == expected.depth()
    assert book.depth("H100", "eu-west-1") == expected.depth("H100", "eu-west-1")
    assert book.best_prices() == expected.best_prices()
    found = book.search("price>0 --sort price", 50)
    assert {each.id for each in found} == {each.id for each in expected.search("price>0 --sort price", 50)}


@given(OFFERS, st.lists(some.requirements(), min_size=1, max_size=3), st.data())
def test_stored_book__whatever_is_posted_and_removed__answers_as_one_in_memory(
    offers: list[CapacityOffer], needs: list[JobRequirements], data: st.DataObject
) -> None:
    """The feed may lag behind the shelf: what was read already comes again."""
    cupboard, waiting, sequence = Cupboard(), list[Update](), 0
    book = ReplicaBook(ManualClock(NOON), cupboard)
    book.start(Standing(0))
    for offer in offers:
        cupboard.post(offer)
        waiting.append(OfferPosted(offer=offer))
        if data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(cupboard.there)))
            if gone in cupboard.standing:
                cupboard.standing.discard(gone)
                waiting.append(OfferRemoved(offer_id=gone, reason="cancelled"))
        if data.draw(st.booleans()):
            book.read_on()
        if data.draw(st.booleans()):
            book.best_offers(data.draw(st.sampled_from(needs)), 3)  # reads some of it, perhaps too early
        if data.draw(st.booleans()):
            for update in waiting:
                sequence += 1
                book.apply(FeedItem(sequence=sequence, time=NOON, update=update))
            waiting.clear()
            require_same(book, cupboard, data.draw(st.sampled_from(needs)))


def test_stored_book__asked_for_one_model__reads_few_offers() -> None:
    cupboard = Cupboard()
    for number in range(3_000):
        model = ("H100", "A100", "L40S")[number % 3]
        price = make_offer().price_per_hour * (number + 1)
        cupboard.post(make_offer(id=f"0x{number:064x}", gpu_model=model, price_per_hour=price))
    book = ReplicaBook(ManualClock(NOON), cupboard)
    book.start(Standing(0))
    limit = make_offer().price_per_hour * 10_000
    needs = make_requirements(required_models=["A100"], max_price_per_hour=limit)
    assert [int(each.id, 16) for each in book.best_offers(needs, 3)] == [1, 4, 7]
    assert cupboard.reads < 200
    read = cupboard.reads
    assert book.read_on()
    assert not book.is_read
    assert not book.read_on()
    assert book.is_read
    assert cupboard.reads == read  # prices only
    anything = make_requirements(max_price_per_hour=limit)
    assert [int(each.id, 16) for each in book.best_offers(anything, 2)] == [0, 1]
