"""Our values and answers in the oracle's words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import Hash32
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.errors import MoltError
from tests.oracle.market import Answer, Refusal

FIELDS_OF_ERRORS = {
    "InvalidStateTransition": ("from_", "to"),
    "OfferNotFound": ("offer_id",),
    "OrderNotFound": ("order_id",),
    "InsufficientCapacity": ("required", "available"),
    "PriceExceedsBudget": ("price", "budget"),
    "OrderNotYetValid": ("actual", "limit"),
    "OrderAlreadyOpened": ("actual",),
    "InvalidQuery": ("position", "args"),
}


def ours(action: Callable[[], Any]) -> Any:
    """Do it, and return the answer or the error with its values."""
    try:
        return action()
    except MoltError as error:
        name = type(error).__name__
        values = (getattr(error, field) for field in FIELDS_OF_ERRORS.get(name, ()))
        return (name, *(value.base_units if isinstance(value, Amount) else value for value in values))


def theirs(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Refusal as refusal:
        return refusal.answer


def offer_as_dict(offer: CapacityOffer, offer_hash: Hash32 | None = None) -> dict[str, Any]:
    place = offer.location
    return {
        "id": offer.id,
        "provider": offer.provider_id,
        "agent": offer.agent,
        "slot": offer.slot,
        "policy": offer.policy_id,
        "hash": offer_hash,
        "model": offer.gpu_capacity.gpu_model,
        "gpus": offer.gpu_capacity.gpu_count,
        "vram": offer.gpu_capacity.vram_gb,
        "features": {feature.name for feature in offer.features},
        "country": place.country if place else None,
        "region": place.region if place else None,
        "price": offer.price_per_hour.base_units,
        "token": offer.price_per_hour.token.symbol,
        "available": offer.available_hours,
        "commitment": offer.min_commitment_hours,
        "created": second(offer.created_at),
        "expires": second(offer.expires_at),
        "status": offer.status.name,
        "utilization": offer.gpu_capacity.current_utilization,
        "bandwidth": offer.gpu_capacity.memory_bandwidth,
    }


def order_as_dict(order: JobOrder) -> dict[str, Any]:
    needs = order.requirements
    place = needs.location
    return {
        "id": order.id,
        "buyer": order.buyer_id,
        "voucher_signer": order.voucher_signer,
        "slot": order.slot,
        "policy": order.policy_id,
        "offer_hash": order.offer_hash,
        "gpus": needs.min_gpu_count,
        "vram": needs.min_vram_gb,
        "features": {feature.name for feature in needs.required_features},
        "country": place.country if place else None,
        "region": place.region if place else None,
        "required_models": needs.required_models,
        "preferred_models": needs.preferred_models,
        "limit": needs.max_price_per_hour.base_units,
        "budget": order.max_budget.base_units if order.max_budget else None,
        "hours": needs.estimated_hours,
        "least": order.least_gpus,
        "split": order.split,
        "token": needs.max_price_per_hour.token.symbol,
        "created": second(order.created_at),
        "expires": second(order.expires_at),
        "status": order.status.name,
    }


def match_as_answer(match: OrderMatch) -> Answer:
    parts = tuple((part.name, part.millionths) for part in match.reasons)
    return (match.offer_id, match.total_cost.base_units, match.score_millionths, parts)


def second(moment: datetime) -> int:
    return int(moment.timestamp())
