"""Small values for tests, each with every field overridable. Actors are named by their role."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import Address, EscrowId, Hash32, OfferId, OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.domain.policies import Policy
from molt_market.domain.settlement import bond, price
from molt_market.domain.terms import Terms

BUYER = Address("0x" + "b1" * 20)
PROVIDER = Address("0x" + "c2" * 20)
AGENT = Address("0x" + "d3" * 20)
VOUCHER_SIGNER = Address("0x" + "e4" * 20)
ARBITER = Address("0x" + "a5" * 20)
ATTESTORS = tuple(Address(f"0x{number:040x}") for number in (0x1001, 0x1002, 0x1003))
STRANGER = Address("0x" + "f6" * 20)

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
POLICY_ID = Hash32("0x" + "90" * 32)
ORDER_HASH = Hash32("0x" + "0d" * 32)
DEAL_ID = EscrowId("0x" + "de" * 32)


def make_gpus(**overrides: Any) -> GpuCapacity:
    return GpuCapacity(**{"gpu_count": 8, "gpu_model": "H100", "vram_gb": 80, **overrides})


def make_offer(**overrides: Any) -> CapacityOffer:
    """Make an offer of 8 H100 at 10 MOLT for up to 24 hours; fields of the GPUs are taken too."""
    gpus = {name: overrides.pop(name) for name in GpuCapacity.model_fields if name in overrides}
    fields = {
        "id": OfferId("offer-1"),
        "provider_id": PROVIDER,
        "agent": AGENT,
        "gpu_capacity": make_gpus(**gpus),
        "price_per_hour": Amount.from_molt(10),
        "available_hours": 24,
        "created_at": NOON,
        "policy_id": POLICY_ID,
    }
    return CapacityOffer(**{**fields, **overrides})


def make_requirements(**overrides: Any) -> JobRequirements:
    fields = {
        "min_gpu_count": 4,
        "min_vram_gb": 40,
        "max_price_per_hour": Amount.from_molt(15),
        "estimated_hours": 8,
    }
    return JobRequirements(**{**fields, **overrides})


def make_order(**overrides: Any) -> JobOrder:
    """Make an order of 4 GPUs for 8 hours at up to 15 MOLT; fields of the requirements are taken too."""
    needed = {name: overrides.pop(name) for name in JobRequirements.model_fields if name in overrides}
    fields = {
        "id": OrderId("order-1"),
        "buyer_id": BUYER,
        "voucher_signer": VOUCHER_SIGNER,
        "requirements": make_requirements(**needed),
        "created_at": NOON,
        "slot": 0,
        "policy_id": POLICY_ID,
    }
    return JobOrder(**{**fields, **overrides})


def make_match(**overrides: Any) -> OrderMatch:
    """Make the match of an offer and an order (`offer`, `order`), whether they fit or not."""
    offer: CapacityOffer = overrides.pop("offer", None) or make_offer()
    order: JobOrder = overrides.pop("order", None) or make_order()
    fields = {
        "order_id": order.id,
        "offer_id": offer.id,
        "provider_id": offer.provider_id,
        "gpu_count": order.requirements.min_gpu_count,
        "price_per_hour": offer.price_per_hour,
        "hours": order.requirements.estimated_hours,
        "total_cost": order.requirements.cost_at(offer.price_per_hour),
        "score_millionths": 500_000,
        "reasons": (),
        "offer": offer,
        "order": order,
    }
    return OrderMatch(**{**fields, **overrides})


def make_policy(**overrides: Any) -> Policy:
    """Make a policy of 2 in 3 attestors."""
    return Policy(**{"arbiter": ARBITER, "threshold": 2, "attestors": ATTESTORS, **overrides})


def make_terms(**overrides: Any) -> Terms:
    """Make the terms of make_offer and make_order: 4 GPUs for 8 hours at 10 MOLT."""
    fields = {
        "buyer": BUYER,
        "voucher_signer": VOUCHER_SIGNER,
        "provider": PROVIDER,
        "agent": AGENT,
        "price_per_gpu_hour": 10 * 10**18,
        "gpu_count": 4,
        "duration": 8 * 3_600,
        "commitment": 3_600,
        "slot": 0,
        "policy_id": POLICY_ID,
        "order_hash": ORDER_HASH,
    }
    return Terms(**{**fields, **overrides})


def make_escrow(**overrides: Any) -> EscrowAccount:
    """Make a LOCKED deal of `terms`, with 1 % fee and 10 % bond, opened at noon."""
    terms: Terms = overrides.pop("terms", None) or make_terms()
    bond_bps: int = overrides.get("bond_bps", 1_000)
    ends_at = NOON + timedelta(seconds=terms.duration)
    fields = {
        "id": DEAL_ID,
        "order_id": OrderId("order-1"),
        "offer_id": OfferId("offer-1"),
        "buyer": terms.buyer,
        "provider": terms.provider,
        "amount": Amount(price(terms)),
        "created_at": NOON,
        "locked_until": ends_at + timedelta(days=1),
        "status": DealStatus.LOCKED,
        "terms": terms,
        "bond": Amount(bond(price(terms), bond_bps)),
        "fee_bps": 100,
        "bond_bps": bond_bps,
        "notice_minutes": 15,
        "opened_at": NOON,
        "ends_at": ends_at,
    }
    return EscrowAccount(**{**fields, **overrides})
