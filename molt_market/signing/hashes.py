"""From offers, orders and policies to what is signed, and to the ids that follow from it.

What is signed for an escrow (offer, order, deal) is named by its full EIP-712 digest; a policy, the same
everywhere, by its struct hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from functools import cache, lru_cache
from typing import Any

from eth_abi.abi import encode
from eth_utils import keccak

from molt_market.domain.catalogue import canonical_model
from molt_market.domain.fields import SECONDS_PER_HOUR, seconds
from molt_market.domain.gpus import Location, feature_bits
from molt_market.domain.ids import ZERO_ADDRESS, ZERO_HASH, Address, EscrowId, Hash32, PartyId
from molt_market.domain.jobs import JobResult, JobSpec
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.policies import Policy, by_number
from molt_market.domain.terms import Terms
from molt_market.errors import InvalidValue
from molt_market.signing import messages
from molt_market.signing.typed_data import Domain

_NO_COUNTRY = "0x0000"
_TERMS = [field.name for field in fields(Terms)]


def offer_message(offer: CapacityOffer) -> messages.Offer:
    """Return the offer as its provider signs it. Raises InvalidValue if it names no account or no policy."""
    provider = _account(offer.provider_id, "provider", "sign_offer")
    gpus = offer.gpu_capacity
    return messages.Offer(
        provider=provider,
        agent=offer.agent or provider,
        price_per_gpu_hour=offer.price_per_hour.base_units,
        gpu_count=gpus.gpu_count,
        vram_gb=gpus.vram_gb,
        features=feature_bits(offer.features),
        country=_country(offer.location),
        region=_region(offer.location),
        model=model_hash(gpus.gpu_model),
        available_hours=offer.available_hours,
        min_commitment_hours=offer.min_commitment_hours,
        created_at=seconds(offer.created_at),
        expires_at=seconds(offer.expires_at),
        max_fee_bps=offer.max_fee_bps,
        slot=offer.slot,
        policy_id=_policy(offer.policy_id, f"offer {offer.id}"),
        metadata_hash=offer.metadata_hash,
    )


def order_message(order: JobOrder) -> messages.Order:
    """Return the order as its buyer signs it.

    Raises:
        InvalidValue: it names no account, policy or slot, or several models without the offer that it takes.
    """
    buyer = _account(order.buyer_id, "buyer", "sign_order")
    needs = order.requirements
    return messages.Order(
        buyer=buyer,
        voucher_signer=order.voucher_signer or buyer,
        max_price_per_gpu_hour=needs.max_price_per_hour.base_units,
        max_budget=order.budget.base_units,
        gpu_count=needs.min_gpu_count,
        min_vram_gb=needs.min_vram_gb,
        features=feature_bits(needs.required_features),
        country=_country(needs.location),
        region=_region(needs.location),
        model=_required_model(order),
        duration_hours=needs.estimated_hours,
        created_at=seconds(order.created_at),
        expires_at=seconds(order.expires_at),
        slot=_slot(order),
        policy_id=_policy(order.policy_id, f"order {order.id}"),
        offer_hash=order.offer_hash or ZERO_HASH,
        opener=order.opener or ZERO_ADDRESS,
        job_spec_hash=order.job_spec_hash,
    )


def _account(party: PartyId, role: str, remedy: str) -> Address:
    if party.address is None:
        raise InvalidValue(f"{role} {party!r} is not an account: {remedy} puts its address there")
    return party.address


def _policy(policy: Hash32 | None, whose: str) -> Hash32:
    if policy is None:
        raise InvalidValue(f"{whose} names no policy: set policy_id, e.g. to policy_id(policy)")
    return policy


def _slot(order: JobOrder) -> int:
    if order.slot is None:
        raise InvalidValue(
            f"order {order.id} has no slot: create_job_escrow assigns one, or set one that no other order has"
        )
    return order.slot


def _country(location: Location | None) -> str:
    if location is None or location.country is None:
        return _NO_COUNTRY
    return "0x" + location.country.encode("ascii").hex()


def _region(location: Location | None) -> str:
    if location is None or location.region is None:
        return ZERO_HASH
    return "0x" + location.region.encode("ascii").ljust(32, b"\0").hex()


def _required_model(order: JobOrder) -> str:
    names = order.requirements.required_models
    if len(names) == 1:
        return model_hash(names[0])
    if names and order.offer_hash is None:
        raise InvalidValue(
            f"order {order.id} allows {len(names)} models, which only an offer's hash can bind: sign it for"
            " one offer, or name one model"
        )
    return ZERO_HASH


@cache
def model_hash(name: str) -> Hash32:
    """Hash the canonical name of a GPU model. Raises UnknownModel."""
    return Hash32.of(keccak(text=canonical_model(name).name))


@lru_cache(maxsize=4096)
def offer_hash(offer: CapacityOffer, domain: Domain) -> Hash32:
    """Return what the provider signs, and what an order that takes this offer names."""
    return Hash32.of(offer_message(offer).digest(domain))


def order_hash(order: JobOrder, domain: Domain) -> Hash32:
    """Return what the buyer signs."""
    return Hash32.of(order_message(order).digest(domain))


def terms_of(offer: CapacityOffer, order: JobOrder, domain: Domain) -> Terms:
    """Return the terms of the deal that offer and order make. Whether they fit is not asked here."""
    given, wanted = offer_message(offer), order_message(order)
    return Terms(
        buyer=wanted.buyer,
        voucher_signer=wanted.voucher_signer,
        provider=given.provider,
        agent=given.agent,
        price_per_gpu_hour=given.price_per_gpu_hour,
        gpu_count=wanted.gpu_count,
        duration=wanted.duration_hours * SECONDS_PER_HOUR,
        commitment=given.min_commitment_hours * SECONDS_PER_HOUR,
        slot=given.slot,
        policy_id=Hash32(given.policy_id),
        order_hash=Hash32.of(wanted.digest(domain)),
    )


def terms_message(terms: Terms) -> messages.Terms:
    """Return the terms as the contract takes them."""
    return messages.Terms(**{name: getattr(terms, name) for name in _TERMS})


@lru_cache(maxsize=4096)  # asked for at each step of a deal
def deal_id(terms: Terms, domain: Domain) -> EscrowId:
    """Return the id of the deal, known before it is opened."""
    return EscrowId.of(terms_message(terms).digest(domain))


def policy_message(policy: Policy) -> messages.Policy:
    """Return the policy as the contract takes it."""
    return messages.Policy(
        arbiter=policy.arbiter,
        bond_bps=policy.bond_bps,
        challenge=policy.challenge_seconds,
        grace=policy.grace_seconds,
        notice_minutes=policy.notice_minutes,
        arbitration=policy.arbitration_seconds,
        arbiter_share_bps=policy.arbiter_share_bps,
        threshold=policy.threshold,
        attestors_hash=attestors_hash(policy.attestors),
    )


def policy_id(policy: Policy) -> Hash32:
    """Return the id that offer and order sign, the same on every chain."""
    return Hash32.of(policy_message(policy).hash_struct())


def attestors_hash(attestors: Iterable[Address]) -> Hash32:
    """Hash a set of attestors, in whatever order it comes."""
    return Hash32.of(keccak(encode(["address[]"], [by_number(tuple(attestors))])))


def json_hash(value: Any) -> Hash32:
    """Hash a value of texts, integers, lists and objects by its canonical JSON.

    Canonical is: keys sorted, no spaces, ASCII only.

    >>> json_hash({"b": 1, "a": [None]}) == json_hash({"a": [None], "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Hash32.of(keccak(text=text))


def job_spec_hash(spec: JobSpec) -> Hash32:
    """Return what an order names of its job: the hash of the spec's canonical JSON."""
    return json_hash(spec.model_dump(mode="json"))


def result_digest(result: JobResult) -> Hash32:
    """Return what a receipt names of a job's result: the hash of its canonical JSON."""
    return json_hash(result.model_dump(mode="json"))
