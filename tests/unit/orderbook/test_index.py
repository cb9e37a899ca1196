"""An index may find too much, never too little; and any index will do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molt_market.domain.amounts import Amount
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobRequirements
from molt_market.orderbook import OrderBook, PriceIndex
from molt_market.orderbook.constraints import Kind, broken, fits
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.index import Group, GroupedIndex, ListedGroup
from molt_market.orderbook.listing import Listing, Pool
from molt_market.testing import ManualClock
from tests.factories import NOON, make_offer, make_requirements
from tests.unit.orderbook import strategies as some

OFFERS = st.lists(
    some.offers(st.uuids().map(lambda each: each.hex)), max_size=12, unique_by=lambda offer: offer.id
)


def listed(groups: Iterator[Group]) -> Iterator[Listing]:
    return (group.listing(place) for group in groups for place in range(len(group)))


class WholeList(GroupedIndex):
    """The simplest index there is."""

    def __init__(self) -> None:
        self._listings: list[Listing] = []

    def add(self, listing: Listing) -> None:
        self._listings.append(listing)

    def remove(self, listing: Listing) -> None:
        self._listings.remove(listing)

    def candidates(self, demand: Demand) -> Iterator[Group]:
        for each in self._listings:
            if each.price <= demand.price_limit:
                yield ListedGroup(each.model, each.features, [each], 1)

    def candidates_at_any_price(self, demand: Demand) -> Iterator[Listing]:
        return iter(self._listings)


@given(OFFERS, some.requirements(), st.data())
def test_price_index__leaves_out_nothing_that_fits(
    offers: list[CapacityOffer], needs: JobRequirements, data: st.DataObject
) -> None:
    listings = [Listing.of(offer, Pool(), None) for offer in offers]
    gone = data.draw(st.lists(st.sampled_from(listings), unique_by=id)) if listings else []
    index = PriceIndex()
    for listing in listings:
        index.add(listing)
    for listing in gone:
        index.remove(listing)
    left = {o.offer.id: o for o in listings if o not in gone}
    demand = Demand.of_requirements(needs, NOON)

    found = {o.offer.id for o in listed(index.candidates(demand))}
    assert {name for name, o in left.items() if fits(o, demand)} <= found <= left.keys()
    found = {o.offer.id for o in index.candidates_at_any_price(demand)}
    assert {name for name, o in left.items() if Kind.NEEDS not in broken(o, demand)} <= found <= left.keys()


def test_price_index__looks_at_the_wanted_models_up_to_the_limit_only() -> None:
    index = PriceIndex()
    for model in ("H100", "A100"):
        for price in (11, 9, 10):
            offer = make_offer(id=f"{model}-{price}", gpu_model=model, price_per_hour=Amount.from_molt(price))
            index.add(Listing.of(offer, Pool(), None))
    demand = Demand.of_requirements(
        make_requirements(required_models=["H100"], max_price_per_hour=Amount.from_molt(10)), NOON
    )
    assert [o.offer.id for o in listed(index.candidates(demand))] == ["H100-9", "H100-10"]
    assert len(list(index.candidates_at_any_price(demand))) == 3


@given(OFFERS, some.requirements())
def test_price_index__groups__are_of_one_model_and_the_same_features__the_cheapest_first(
    offers: list[CapacityOffer], needs: JobRequirements
) -> None:
    index = PriceIndex()
    for offer in offers:
        index.add(Listing.of(offer, Pool(), None))
    for group in index.candidates(Demand.of_requirements(needs, NOON)):
        listings = [group.listing(place) for place in range(len(group))]
        assert {(o.model, o.features) for o in listings} <= {(group.model, group.features)}
        assert [group.price(place) for place in range(len(group))] == sorted(o.price for o in listings)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_price_index__equal_offers__removes_the_one_that_is_meant(gone: int) -> None:
    listings = [Listing.of(make_offer(id=f"offer-{number}"), Pool(), None) for number in (1, 0, 2)]
    index = PriceIndex()
    for listing in listings:
        index.add(listing)
    index.remove(listings.pop(gone))
    left = index.candidates(Demand.of_requirements(make_requirements(), NOON))
    assert {o.offer.id for o in listed(left)} == {o.offer.id for o in listings}


@given(OFFERS, some.requirements())
def test_order_book__any_index__gives_the_same_answers(
    offers: list[CapacityOffer], needs: JobRequirements
) -> None:
    books = [OrderBook(ManualClock(NOON), index=index) for index in (PriceIndex(), WholeList())]
    for offer in offers:
        if offer.status.name == "ACTIVE" and offer.expires_at > NOON:
            for book in books:
                book.add_offer(offer)
    first, second = (book.best_offers(needs, 12) for book in books)
    assert first == second
