"""An offer as the matcher sees it: plain integers and texts, and the pool that its GPUs come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from molt_market.domain.amounts import Token
from molt_market.domain.gpus import feature_bits
from molt_market.domain.ids import Hash32, PartyId
from molt_market.domain.offers import CapacityOffer, OfferStatus


class Pool:
    """The GPUs of one provider's slot that reservations and deals hold, whatever offers share the slot."""

    __slots__ = ("_held", "_watchers")

    def __init__(self) -> None:
        self._held = 0
        self._watchers: tuple[Callable[[Pool], None], ...] = ()

    @property
    def held(self) -> int:
        return self._held

    @held.setter
    def held(self, gpus: int) -> None:
        self._held = gpus
        for told in self._watchers:
            told(self)

    def watch(self, told: Callable[[Pool], None]) -> None:
        """Tell an index, from now on, when GPUs are held or let go."""
        if told not in self._watchers:
            self._watchers += (told,)


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """An offer in the book. `price` is base units per GPU-hour, `features` the contract's mask."""

    offer: CapacityOffer
    offer_hash: Hash32 | None
    pool: Pool
    price: int
    token: Token
    model: str
    gpu_count: int
    vram_gb: int
    features: int
    region: str | None
    country: str | None
    available_hours: int
    min_commitment_hours: int
    provider: PartyId
    agent: str
    policy_id: Hash32 | None
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, offer: CapacityOffer, pool: Pool, offer_hash: Hash32 | None) -> Self:
        gpus, place = offer.gpu_capacity, offer.location
        return cls(
            offer=offer,
            offer_hash=offer_hash,
            pool=pool,
            price=offer.price_per_hour.base_units,
            token=offer.price_per_hour.token,
            model=gpus.gpu_model,
            gpu_count=gpus.gpu_count,
            vram_gb=gpus.vram_gb,
            features=feature_bits(offer.features),
            region=place.region if place else None,
            country=place.country if place else None,
            available_hours=offer.available_hours,
            min_commitment_hours=offer.min_commitment_hours,
            provider=offer.provider_id,
            agent=offer.agent or offer.provider_id,
            policy_id=offer.policy_id,
            created_at=offer.created_at,
            expires_at=offer.expires_at,
        )

    @property
    def free(self) -> int:
        """The GPUs that nobody holds; a shared slot may hold more than this one offer has."""
        return max(self.gpu_count - self.pool.held, 0)

    def status(self, now: datetime) -> OfferStatus:
        if now >= self.expires_at:
            return OfferStatus.EXPIRED
        return OfferStatus.ACTIVE if self.free else OfferStatus.FILLED
