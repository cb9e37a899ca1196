"""What a deal is about, in the contract's own units."""

from __future__ import annotations

from dataclasses import dataclass

from molt_market.domain.fields import MAX_UINT32, MAX_UINT40, MAX_UINT64, MAX_UINT96
from molt_market.domain.ids import Address, Hash32
from molt_market.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Terms:
    """What offer and order imply; its EIP-712 hash is the deal's id. Price in base units, times in seconds.

    The fields are the contract's, in its order. `slot` is the offer's.
    """

    buyer: Address
    voucher_signer: Address
    provider: Address
    agent: Address
    price_per_gpu_hour: int
    gpu_count: int
    duration: int
    commitment: int
    slot: int
    policy_id: Hash32
    order_hash: Hash32

    def __post_init__(self) -> None:
        for name in ("buyer", "voucher_signer", "provider", "agent"):
            object.__setattr__(self, name, Address(getattr(self, name)))
        for name in ("policy_id", "order_hash"):
            object.__setattr__(self, name, Hash32(getattr(self, name)))
        _require_within("price_per_gpu_hour", self.price_per_gpu_hour, 1, MAX_UINT96)
        _require_within("gpu_count", self.gpu_count, 1, MAX_UINT32)
        _require_within("duration", self.duration, 1, MAX_UINT32)
        _require_within("commitment", self.commitment, 0, MAX_UINT32)
        _require_within("slot", self.slot, 0, MAX_UINT64)
        _require_within("gpu_count x duration", self.gpu_seconds, 1, MAX_UINT40)

    @property
    def parties(self) -> tuple[Address, ...]:
        """Who has a part in the deal: buyer, voucher signer, provider and agent; some may be the same."""
        return self.buyer, self.voucher_signer, self.provider, self.agent

    @property
    def gpu_seconds(self) -> int:
        """The whole allocation."""
        return self.gpu_count * self.duration


def _require_within(name: str, value: int, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise InvalidValue(f"{name} is {value!r}: it has to be a whole number of {least} to {most}")
