"""A pair of order and offer that fits."""

from __future__ import annotations

from dataclasses import dataclass

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import OfferId, OrderId, PartyId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class ScorePart:
    """One reason of a score: what it is about, how many millionths it adds, and that in words."""

    name: str
    millionths: int
    text: str


@dataclass(frozen=True, slots=True)
class OrderMatch:
    """An offer that fits an order: GPUs and hours allocated, price per GPU-hour, and what all of it costs."""

    order_id: OrderId
    offer_id: OfferId
    provider_id: PartyId
    gpu_count: int
    price_per_hour: Amount
    hours: int
    total_cost: Amount
    score_millionths: int
    reasons: tuple[ScorePart, ...]
    offer: CapacityOffer
    order: JobOrder

    @property
    def score(self) -> float:
        """The score from 0 to 1, for display; compare `score_millionths`."""
        return self.score_millionths / MILLION
