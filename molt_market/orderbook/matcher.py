"""What fits a demand, the best first; and if nothing does, what stands in the way."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from datetime import datetime
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import OfferId
from molt_market.domain.matches import OrderMatch, ScorePart
from molt_market.domain.orders import JobOrder
from molt_market.errors import InsufficientCapacity, MarketError, NoMatchingOffers, PriceExceedsBudget
from molt_market.orderbook.constraints import Kind, broken, fits
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.index import Group, OfferIndex
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.scoring import Scoring


class Ranked(NamedTuple):
    """A listing that fits, with its score in millionths and what makes it up."""

    listing: Listing
    score: int
    parts: tuple[ScorePart, ...]

    def place(self) -> tuple[int, int, datetime, OfferId]:
        """Sort by this: score, then price, then time, then id."""
        listing = self.listing
        return -self.score, listing.price, listing.created_at, listing.offer.id

    def match(self, order: JobOrder, demand: Demand) -> OrderMatch:
        offer = self.listing.offer
        return OrderMatch(
            order_id=order.id,
            offer_id=offer.id,
            provider_id=offer.provider_id,
            gpu_count=demand.gpu_count,
            price_per_hour=offer.price_per_hour,
            hours=demand.hours,
            total_cost=Amount(demand.total_at(self.listing.price), demand.token),
            score_millionths=self.score,
            reasons=self.parts,
            offer=offer,
            order=order,
        )


class Head(NamedTuple):
    """The next place of a group, and where the best of what is left of it could stand: score and price.

    `group_id` only keeps two heads from being compared any further.
    """

    at_best: tuple[int, int]
    group_id: int
    place: int
    group: Group


class Matcher:
    """Looks a demand up in an index and ranks what fits."""

    def __init__(self, index: OfferIndex, scoring: Scoring) -> None:
        self._index = index
        self._scoring = scoring

    def find(self, demand: Demand) -> list[Ranked]:
        """Return all that fits, the best first."""
        groups = self._index.candidates(demand)
        found = (group.listing(place) for group in groups for place in range(len(group)))
        return self.rank((o for o in found if fits(o, demand)), demand)

    def best(self, demand: Demand, limit: int) -> list[Ranked]:
        """Return the first `limit` of what `find` returns, without looking at all that fits.

        Each group of the index comes by price, so that what is next in it says how good the rest of it can
        be at most. The groups are gone through by that, until nothing better can come: the threshold
        algorithm of Fagin, Lotem and Naor, Optimal Aggregation Algorithms for Middleware, 2003.
        """
        groups = [group for group in self._index.candidates(demand) if len(group)]
        heads = [self._head(group, 0, demand) for group in groups]
        heapify(heads)
        found: list[Ranked] = []
        while limit and heads and (len(found) < limit or found[-1].place() > heads[0].at_best):
            _, _, place, group = heads[0]
            if place + 1 < len(group):
                heapreplace(heads, self._head(group, place + 1, demand))
            else:
                heappop(heads)
            listing = group.listing(place)
            if fits(listing, demand):
                insort(found, self._ranked(listing, demand), key=Ranked.place)
                del found[limit:]
        return found

    def _head(self, group: Group, place: int, demand: Demand) -> Head:
        price = group.price(place)
        at_most = self._scoring.at_most(price, group.model, group.features, demand)
        return Head((-at_most, price), id(group), place, group)

    def rank(self, listings: Iterable[Listing], demand: Demand) -> list[Ranked]:
        """Sort listings, none above the price limit, the best first."""
        return sorted((self._ranked(listing, demand) for listing in listings), key=Ranked.place)

    def near(self, demand: Demand) -> list[Listing]:
        """Return what has free GPUs and meets all but money and the GPU count."""
        found = self._index.candidates_at_any_price(demand)
        return [o for o in found if o.free and Kind.NEEDS not in broken(o, demand)]

    def obstacle(self, demand: Demand) -> MarketError | None:
        """Say why nothing fits; None if there are several reasons."""
        return obstacle(self._index.candidates_at_any_price(demand), demand)

    def _ranked(self, listing: Listing, demand: Demand) -> Ranked:
        parts = self._scoring.parts(listing, demand)
        return Ranked(listing, sum(part.millionths for part in parts), parts)


def obstacle(listings: Iterable[Listing], demand: Demand) -> MarketError | None:
    """Say what alone keeps listings that do not fit from fitting: money, or GPUs; None if both do."""
    near = [(o, kinds) for o in listings if Kind.NEEDS not in (kinds := broken(o, demand))]
    if not near:
        return nothing_fits()
    dear = [o for o, kinds in near if kinds == {Kind.MONEY}]
    small = [o for o, kinds in near if kinds == {Kind.GPUS}]
    if dear and not small:
        cheapest = min(demand.total_at(o.price) for o in dear)
        return PriceExceedsBudget(Amount(cheapest, demand.token), Amount(demand.spendable, demand.token))
    if small and not dear:
        return InsufficientCapacity(demand.gpu_count, max(o.free for o in small))
    return None


def nothing_fits() -> NoMatchingOffers:
    return NoMatchingOffers(
        "no active offer meets the order, price and GPU count apart: ask for less, or wait for providers"
    )
