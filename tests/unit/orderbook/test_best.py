"""The best few are the first of all that fits, found without looking at the rest."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from molt_market.domain.amounts import Amount
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobRequirements
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.index import Group, GroupedIndex, ListedGroup, PriceIndex
from molt_market.orderbook.listing import Listing, Pool
from molt_market.orderbook.matcher import Matcher
from molt_market.orderbook.scoring import Reliability, ScoreWeights, Scoring
from tests.factories import NOON, make_offer, make_requirements
from tests.unit.orderbook import strategies as some
from tests.unit.orderbook.test_index import OFFERS


def matcher(
    offers: list[CapacityOffer], weights: ScoreWeights, reliability: Reliability
) -> tuple[Matcher, PriceIndex]:
    index = PriceIndex()
    for offer in offers:
        index.add(Listing.of(offer, Pool(), None))
    return Matcher(index, Scoring(weights, reliability)), index


@given(OFFERS, some.requirements(), st.integers(0, 13), st.data())
def test_best__is_the_head_of_all_that_fits(
    offers: list[CapacityOffer], needs: JobRequirements, limit: int, data: st.DataObject
) -> None:
    known = {each.provider_id: data.draw(st.none() | st.integers(0, 10**6)) for each in offers}
    parts = data.draw(st.lists(st.integers(1, 10), min_size=6, max_size=6))
    weights = [10**6 * part // sum(parts) for part in parts]
    weights[0] += 10**6 - sum(weights)
    found, _ = matcher(offers, ScoreWeights(*weights), known.get)
    demand = Demand.of_requirements(needs, NOON)
    assert found.best(demand, limit) == found.find(demand)[:limit]


def test_best__of_many__looks_at_few() -> None:
    dice = random.Random(5)
    offers = [
        make_offer(id=f"{number}", price_per_hour=Amount(dice.randint(1, 10**6)), gpu_model=model)
        for model in ("H100", "A100", "L40S")
        for number in (f"{model}-{each}" for each in range(2_000))
    ]
    found, index = matcher(offers, ScoreWeights(), lambda _: None)
    found._scoring._bounds = lambda: (500_000, 500_000)
    looked = 0

    class Counting(ListedGroup):
        def listing(self, place: int) -> Listing:
            nonlocal looked
            looked += 1
            return self.listings[place]

    class CountingIndex(GroupedIndex):
        def candidates(self, demand: Demand) -> Iterator[Group]:
            groups = (cast(ListedGroup, group) for group in index.candidates(demand))
            return (Counting(each.model, each.features, each.listings, each.end) for each in groups)

    demand = Demand.of_requirements(make_requirements(max_price_per_hour=Amount(10**6)), NOON)
    expected = found.find(demand)[:10]
    found._index = CountingIndex()  # type: ignore[assignment]
    assert found.best(demand, 10) == expected
    assert looked < 20
