"""What is asked of the book, at one moment: an order, or bare requirements, as plain integers and texts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.gpus import feature_bits
from molt_market.domain.ids import Hash32, PartyId
from molt_market.domain.orders import JobOrder, JobRequirements


@dataclass(frozen=True, slots=True)
class Demand:
    """A question to the book. Money is base units; an empty set or None leaves a thing open."""

    now: datetime
    gpu_count: int
    hours: int
    price_limit: int
    budget: int
    token: Token
    min_vram_gb: int
    features: int
    region: str | None
    country: str | None
    required_models: frozenset[str]
    preferred_models: tuple[str, ...]
    buyer: PartyId | None = None
    voucher_signer: str | None = None
    policy_id: Hash32 | None = None
    offer_hash: Hash32 | None = None

    @classmethod
    def of_order(cls, order: JobOrder, now: datetime) -> Self:
        return cls._of(
            order.requirements,
            now,
            order.budget,
            order.buyer_id,
            order.voucher_signer or order.buyer_id,
            order.policy_id,
            order.offer_hash,
        )

    @classmethod
    def of_requirements(cls, needs: JobRequirements, now: datetime) -> Self:
        return cls._of(needs, now, needs.cost_at(needs.max_price_per_hour))

    @classmethod
    def _of(  # noqa: PLR0917 - named by its two callers above
        cls,
        needs: JobRequirements,
        now: datetime,
        budget: Amount,
        buyer: PartyId | None = None,
        voucher_signer: str | None = None,
        policy_id: Hash32 | None = None,
        offer_hash: Hash32 | None = None,
    ) -> Self:
        place = needs.location
        return cls(
            now=now,
            gpu_count=needs.min_gpu_count,
            hours=needs.estimated_hours,
            price_limit=needs.max_price_per_hour.base_units,
            budget=budget.base_units,
            token=budget.token,
            min_vram_gb=needs.min_vram_gb,
            features=feature_bits(needs.required_features),
            region=place.region if place else None,
            country=place.country if place else None,
            required_models=frozenset(needs.required_models),
            preferred_models=needs.preferred_models,
            buyer=buyer,
            voucher_signer=voucher_signer,
            policy_id=policy_id,
            offer_hash=offer_hash,
        )

    @property
    def spendable(self) -> int:
        """What the order can come to at most: its budget, or less if the limit price allows no more."""
        return min(self.budget, self.total_at(self.price_limit))

    def may_be_met_by(self, model: str, features: int) -> bool:
        """Tell whether an offer of this model with these features may do."""
        return not self.features & ~features and (not self.required_models or model in self.required_models)

    def is_for(self, model: str | None, region: str | None) -> bool:
        """Tell whether a model, in a region, would do; None: whatever it is."""
        return (model is None or not self.required_models or model in self.required_models) and (
            region is None or self.region in {None, region}
        )

    def total_at(self, price: int) -> int:
        """Return what the allocation costs at a price per GPU-hour, in base units."""
        return price * self.gpu_count * self.hours
