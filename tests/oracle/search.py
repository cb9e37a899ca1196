"""Which offers a search is for, by looking at each; conditions and sort keys come as values, not as text.

A condition is (field, operator, values). What an offer does not state meets no condition and is sorted last.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.oracle.market import Market, Offer, score

Condition = tuple[str, str, list[Any]]
SortKey = tuple[str, bool]


def search(market: Market, conditions: list[Condition], sort: list[SortKey], now: int) -> list[str]:
    """Return the ids of the offers that stand, have a GPU free and meet all conditions, in order."""
    found = [
        o
        for o in market.offers
        if o["created"] <= now < o["expires"]
        and market.free(o, now)
        and all(
            meets(value(o, field, market, now), operator, values) for field, operator, values in conditions
        )
    ]
    dearest = max((o["price"] for o in found), default=0)
    plain: dict[str, Any] = {"limit": dearest, "preferred_models": (), "features": set()}
    scores = {o["id"]: score(o, plain, market.weights) for o in found}
    found.sort(key=lambda o: (-scores[o["id"]], o["price"], o["created"], o["id"]))
    for field, descending in reversed(sort):
        values = [scores[o["id"]] if field == "score" else value(o, field, market, now) for o in found]
        known = sorted((v, i) for i, v in enumerate(values) if v is not None)
        if descending:
            known.sort(key=lambda pair: pair[1])
            known.sort(key=lambda pair: pair[0], reverse=True)
        found = [found[i] for _, i in known] + [o for o, v in zip(found, values, strict=True) if v is None]
    return [o["id"] for o in found]


def meets(have: Any, operator: str, values: list[Any]) -> bool:
    if have is None:
        return False
    if isinstance(have, set):
        has_one = bool(have & set(values))
        return has_one if operator in ("=", "in") else not has_one
    one = values[0]
    return bool(
        {
            "=": have == one,
            "!=": have != one,
            "in": have in values,
            "not in": have not in values,
            "<": isinstance(have, type(one)) and have < one,
            "<=": isinstance(have, type(one)) and have <= one,
            ">": isinstance(have, type(one)) and have > one,
            ">=": isinstance(have, type(one)) and have >= one,
        }[operator]
    )


def value(offer: Offer, field: str, market: Market, now: int) -> Any:
    """Look a field of the language up in an offer; prices are whole tokens of 18 decimals."""
    names = {
        "gpu_model": "model",
        "vram_gb": "vram",
        "gpu_count": "gpus",
        "available_hours": "available",
        "min_commitment_hours": "commitment",
        "memory_bandwidth": "bandwidth",
        "current_utilization": "utilization",
    }
    if field == "free_gpus":
        return market.free(offer, now)
    if field == "price":
        return Fraction(offer["price"], 10**18)
    if field == "features":
        return {name.lower() for name in offer["features"]}
    return offer[names.get(field, field)]
