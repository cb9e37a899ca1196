"""What would have to change for an order to match, by trying every change that any offer suggests.

A relaxation is a dict from what changes to how far it goes: a number, or the set of what is given up.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

from tests.oracle.market import Market, Order, total

Reach = int | frozenset[str]
Relaxation = dict[str, Reach]


def excluded(market: Market, order: Order, now: int) -> dict[str, tuple[int, int]]:
    """Count, for each constraint, the offers that break it, and those that break no other one."""
    broken = [market.broken(offer, order, now) for offer in market.offers]
    names = set().union(*broken)
    return {n: (sum(n in each for each in broken), sum(each == {n} for each in broken)) for n in names}


def number_of_tries(market: Market, order: Order, now: int) -> int:
    return prod(len(values) for values in _choices(market, order, now).values())


def relaxations(market: Market, order: Order, now: int) -> list[Relaxation]:
    """Return all that make the order match and than which no other one is less."""
    choices = _choices(market, order, now)
    found = []
    for values in product(*choices.values()):
        changed = order | dict(zip(choices, values, strict=True))
        totals = [total(o, changed) for o in market.offers if market.broken(o, changed, now) <= {"budget"}]
        if totals:
            if order["budget"] is not None:
                changed["budget"] = max(order["budget"], min(totals))
            found.append(_reaches(order, changed))
    return [each for each in found if not any(other != each and _is_less(other, each) for other in found)]


def _choices(market: Market, order: Order, now: int) -> dict[str, list[Any]]:
    """List, for each field, what was asked and what offers suggest instead."""
    offers = market.offers
    models = order["required_models"]
    hours = order["hours"]
    choices: dict[str, list[Any]] = {
        "limit": [o["price"] for o in offers if o["price"] > order["limit"]],
        "gpus": [free for o in offers if 0 < (free := market.free(o, now)) < order["gpus"]],
        "hours": [o["commitment"] for o in offers if o["commitment"] > hours]
        + [o["available"] for o in offers if o["available"] < hours],
        "required_models": [(*models, o["model"]) for o in offers if models and o["model"] not in models],
        "vram": [o["vram"] for o in offers if o["vram"] < order["vram"]],
        "features": [order["features"] & o["features"] for o in offers],
        "country": [None],
        "region": [None],
        "policy": [None],
        "offer_hash": [None],
    }
    return {field: _distinct([order[field], *others]) for field, others in choices.items()}


def _distinct(values: list[Any]) -> list[Any]:
    return [value for at, value in enumerate(values) if value not in values[:at]]


def _reaches(order: Order, changed: Order) -> Relaxation:
    found: Relaxation = {
        "price": changed["limit"] - order["limit"],
        "budget": (changed["budget"] or 0) - (order["budget"] or 0),
        "gpus": order["gpus"] - changed["gpus"],
        "longer": max(changed["hours"] - order["hours"], 0),
        "shorter": max(order["hours"] - changed["hours"], 0),
        "model": frozenset(changed["required_models"]) - frozenset(order["required_models"]),
        "vram": order["vram"] - changed["vram"],
        "features": frozenset(order["features"] - changed["features"]),
    }
    for name, field in (("country",) * 2, ("region",) * 2, ("policy",) * 2, ("named offer", "offer_hash")):
        found[name] = frozenset({name} if changed[field] != order[field] else ())
    return {name: reach for name, reach in found.items() if reach}


def _is_less(one: Relaxation, other: Relaxation) -> bool:
    return all(name in other and reach <= other[name] for name, reach in one.items())  # type: ignore[operator]
