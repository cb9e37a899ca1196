"""A provider's offer of GPUs."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from molt_market.domain.amounts import Price
from molt_market.domain.fields import (
    BPS,
    Hours,
    Moment,
    Uint64,
    Value,
    just_now,
    lasting,
    require_expiry_after_creation,
    whole,
)
from molt_market.domain.gpus import Features, GpuCapacity, Location
from molt_market.domain.ids import ZERO_ADDRESS, ZERO_HASH, Address, Hash32, OfferId, PartyId, Signature
from molt_market.errors import InvalidValue

LIFETIME = timedelta(days=7)


class OfferStatus(StrEnum):
    """Where an offer stands in the book."""

    ACTIVE = "active"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class CapacityOffer(Value):
    """A provider's GPUs at a price per GPU-hour.

    Offers on one `slot` share one pool of GPUs. `agent` (the provider if left out) signs receipts,
    `policy_id` names judge, attestors and windows; both matter only once the offer is signed.

    >>> from molt_market.domain.amounts import Amount
    >>> gpus = GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80)
    >>> offer = CapacityOffer(
    ...     provider_id="provider-456",
    ...     gpu_capacity=gpus,
    ...     price_per_hour=Amount.from_molt(10),
    ...     available_hours=24,
    ... )
    >>> offer.min_commitment_hours
    1
    """

    id: OfferId = Field(default_factory=OfferId.new)
    provider_id: PartyId
    gpu_capacity: GpuCapacity
    price_per_hour: Price
    available_hours: Hours
    min_commitment_hours: Hours = 1
    created_at: Moment = Field(default_factory=just_now)
    expires_at: Moment = Field(default_factory=lasting(LIFETIME))
    status: OfferStatus = OfferStatus.ACTIVE
    features: Features = ()
    location: Location | None = None

    agent: Address | None = None
    slot: Uint64 = 0
    policy_id: Hash32 | None = None
    max_fee_bps: Annotated[int, whole(0, BPS)] = 300
    metadata_hash: Hash32 = ZERO_HASH
    signature: Signature | None = None

    @field_validator("agent")
    @classmethod
    def _check_agent(cls, agent: Address | None) -> Address | None:
        if agent == ZERO_ADDRESS:
            raise InvalidValue("the agent cannot be the zero address: leave it out to name the provider")
        return agent

    @model_validator(mode="after")
    def _check_hours(self) -> CapacityOffer:
        if self.min_commitment_hours > self.available_hours:
            raise InvalidValue(
                f"min_commitment_hours {self.min_commitment_hours} is above available_hours"
                f" {self.available_hours}: lower it or offer more hours"
            )
        return self

    @model_validator(mode="after")
    def _check_times(self) -> CapacityOffer:
        require_expiry_after_creation(self.created_at, self.expires_at)
        return self
