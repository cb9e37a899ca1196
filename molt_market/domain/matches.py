"""A pair of order and offer that fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

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

    @classmethod
    def of(
        cls,
        offer: CapacityOffer,
        order: JobOrder,
        *,
        score_millionths: int = 0,
        reasons: tuple[ScorePart, ...] = (),
    ) -> Self:
        """Make the match of a whole order; its figures follow from both. Whether they fit is not asked."""
        needs = order.requirements
        return cls(
            order_id=order.id,
            offer_id=offer.id,
            provider_id=offer.provider_id,
            gpu_count=needs.min_gpu_count,
            price_per_hour=offer.price_per_hour,
            hours=needs.estimated_hours,
            total_cost=needs.cost_at(offer.price_per_hour),
            score_millionths=score_millionths,
            reasons=reasons,
            offer=offer,
            order=order,
        )

    @property
    def score(self) -> float:
        """The score from 0 to 1, for display; compare `score_millionths`."""
        return self.score_millionths / MILLION
