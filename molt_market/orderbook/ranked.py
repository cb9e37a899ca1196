"""A listing that fits, and how well."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import OfferId
from molt_market.domain.matches import OrderMatch, ScorePart
from molt_market.domain.orders import JobOrder
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.scoring import Scoring


class Ranked(NamedTuple):
    """A listing that fits, with its score in millionths and what makes it up."""

    listing: Listing
    score: int
    parts: tuple[ScorePart, ...]

    @classmethod
    def of(cls, listing: Listing, demand: Demand, scoring: Scoring) -> Ranked:
        parts = scoring.parts(listing, demand)
        return cls(listing, sum(part.millionths for part in parts), parts)

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
