"""Offers, orders and policies in the contract's own units, each field overridable by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode
from eth_utils import keccak

from molt_market.signing import messages
from tests.contracts.actors import AGENT, ARBITER, ATTESTORS, BUYER, PROVIDER, VOUCHER_SIGNER, Actor
from tests.tokens import DECIMALS

UNIT = 10**DECIMALS  # one token; prices and balances are whole ones unless a test is about the dust
HOUR = 3_600
DAY = 24 * HOUR
ZERO_ADDRESS = "0x" + "00" * 20
ZERO = "0x" + "00" * 32

H100 = "0x" + keccak(text="H100").hex()
A100 = "0x" + keccak(text="A100").hex()
RESULT = "0x" + keccak(text="result").hex()
USAGE_ROOT = "0x" + keccak(text="usage").hex()


def text_word(text: str, length: int = 32) -> str:
    """Return ASCII as left-aligned bytes."""
    return "0x" + text.encode("ascii").ljust(length, b"\0").hex()


def make_offer(**overrides: Any) -> messages.Offer:
    """Make an offer of 8 GPUs at 10 MOLT for 2 to 24 hours, in lane 2 of group 1."""
    fields = {
        "provider": PROVIDER.address,
        "agent": AGENT.address,
        "price_per_gpu_hour": 10 * UNIT,
        "gpu_count": 8,
        "vram_gb": 80,
        "features": 0b01101,
        "country": text_word("DE", 2),
        "region": text_word("eu-central"),
        "model": H100,
        "available_hours": 24,
        "min_commitment_hours": 2,
        "created_at": 0,
        "expires_at": 2**40 - 1,
        "max_fee_bps": 300,
        "slot": 6,
        "policy_id": ZERO,
        "metadata_hash": ZERO,
    }
    return messages.Offer(**{**fields, **overrides})


def make_order(**overrides: Any) -> messages.Order:
    """Make an order of 4 GPUs for 8 hours at up to 12 MOLT, bit 2 of group 1."""
    fields = {
        "buyer": BUYER.address,
        "voucher_signer": VOUCHER_SIGNER.address,
        "max_price_per_gpu_hour": 12 * UNIT,
        "max_budget": 384 * UNIT,
        "gpu_count": 4,
        "min_vram_gb": 40,
        "features": 0b00101,
        "country": text_word("DE", 2),
        "region": text_word("eu-central"),
        "model": H100,
        "duration_hours": 8,
        "created_at": 0,
        "expires_at": 2**40 - 1,
        "slot": 130,
        "policy_id": ZERO,
        "offer_hash": ZERO,
        "opener": ZERO_ADDRESS,
        "job_spec_hash": ZERO,
    }
    return messages.Order(**{**fields, **overrides})


def make_policy(**overrides: Any) -> messages.Policy:
    """Make a policy of two in three attestors with 10 % bond."""
    fields = {
        "arbiter": ARBITER.address,
        "bond_bps": 1_000,
        "challenge": 2 * HOUR,
        "grace": 3 * HOUR,
        "notice_minutes": 15,
        "arbitration": 2 * DAY,
        "arbiter_share_bps": 500,
        "threshold": 2,
        "attestors_hash": attestors_hash(ATTESTORS),
    }
    return messages.Policy(**{**fields, **overrides})


def attestors_hash(attestors: Sequence[Actor]) -> str:
    return "0x" + keccak(encode(["address[]"], [addresses(attestors)])).hex()


def addresses(actors: Sequence[Actor]) -> list[str]:
    return [actor.address for actor in actors]


@dataclass(frozen=True)
class Match:
    """What `open` takes."""

    offer: messages.Offer
    order: messages.Order
    offer_sig: bytes
    order_sig: bytes

    def as_tuple(self) -> tuple[Any, ...]:
        return (self.offer.as_tuple(), self.order.as_tuple(), self.offer_sig, self.order_sig)


@dataclass(frozen=True)
class OpenDeal:
    """A deal that was opened, with what its parties know of it."""

    id: str
    terms: messages.Terms
    match: Match
    opened_at: int
    ends_at: int
    deadline: int

    @property
    def allocation(self) -> int:
        return self.terms.gpu_count * self.terms.duration
