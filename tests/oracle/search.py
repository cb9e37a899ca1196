"""The search by brute force: what a query finds, from filters in plain words and offers as dicts.

An offer is the one of tests/oracle/market.py, and has also `decimals` of its token, the `form_factor` of its
model, and the `capability` that it states, as text. A filter is (field, operator, values).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.oracle.market import Market, Offer, score

KEYS = {
    "gpu_model": "model",
    "form_factor": "form_factor",
    "vram_gb": "vram",
    "gpu_count": "gpus",
    "token": "token",
    "available_hours": "available",
    "min_commitment_hours": "commitment",
    "country": "country",
    "region": "region",
    "provider": "provider",
    "memory_bandwidth": "bandwidth",
    "current_utilization": "utilization",
}
Filter = tuple[str, str, list[Any]]


def search(market: Market, filters: list[Filter], sort: list[str], limit: int, now: int) -> list[str]:
    """Return the ids of what a query finds; a sort key with - in front goes down."""
    active = market.active_offers(now)
    offers = [o for o in market.offers if o["id"] in active]
    found = [o for o in offers if all(passes(market, o, each, now) for each in filters)]
    scores = {o["id"]: score_of(o, found, market.weights) for o in found}
    found.sort(key=lambda o: (-scores[o["id"]], price(o), o["created"], o["id"]))
    for key in reversed(sort):
        field = key.removeprefix("-")
        values = {
            o["id"]: scores[o["id"]] if field == "score" else stated(market, o, field, now) for o in found
        }
        with_value = [o for o in found if values[o["id"]] is not None]
        without = [o for o in found if values[o["id"]] is None]
        with_value.sort(key=lambda o: values[o["id"]], reverse=key.startswith("-"))
        found = with_value + without
    return [o["id"] for o in found][: max(limit, 0)]


def passes(market: Market, offer: Offer, each: Filter, now: int) -> bool:
    field, operator, values = each
    have = stated(market, offer, field, now)
    if have is None:
        return False
    wanted = [capability(value) if field == "compute_capability" else value for value in values]
    many = have if field == "features" else [have]
    if operator in ("=", "in"):
        return any(one in wanted for one in many)
    if operator in ("!=", "not in"):
        return all(one not in wanted for one in many)
    if operator == "<":
        return bool(have < wanted[0])
    if operator == "<=":
        return bool(have <= wanted[0])
    if operator == ">":
        return bool(have > wanted[0])
    assert operator == ">="
    return bool(have >= wanted[0])


def stated(market: Market, offer: Offer, field: str, now: int) -> Any:
    """Say what an offer states, or has; None if nothing."""
    if field == "free_gpus":
        return market.free(offer, now)
    if field == "price":
        return price(offer)
    if field == "features":
        return sorted(name.lower() for name in offer["features"])
    if field == "compute_capability":
        return None if offer["capability"] is None else capability(offer["capability"])
    return offer[KEYS[field]]


def price(offer: Offer) -> Fraction:
    """Count in whole tokens."""
    return Fraction(offer["price"], 10 ** offer["decimals"])


def capability(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def score_of(offer: Offer, found: list[Offer], weights: dict[str, int]) -> int:
    """Score it for an order that asks for nothing, at the dearest price among what was found."""
    order = {"limit": max(map(price, found)), "preferred_models": (), "features": set()}
    return score(offer | {"price": price(offer)}, order, weights)
