"""How an order is filled in parts, by trying every way there is.

A way gives each offer a number of GPUs. It can be had if its deals can be opened one after the other, in some
order: the contract opens one while all that is taken of the slot is within the offer's count.
"""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

from tests.oracle.market import Market, Offer, Order, Refusal, score

Way = tuple[int, ...]


def fill(market: Market, order: Order, now: int) -> dict[str, int]:
    """Return the GPUs of each offer that takes part, by its id."""
    near = [
        o for o in market.offers if market.failing(o, order, now) <= {"money", "GPUs"} and market.free(o, now)
    ]
    ranked = sorted((o for o in near if o["price"] <= order["limit"]), key=lambda o: _place(o, order, market))
    ways = [way for way in _ways(market, ranked, order, now) if _cost(ranked, way, order) <= _budget(order)]
    best = max(ways, key=lambda way: (sum(way), way))
    if sum(best) < order["least"]:
        raise _reason(market, near, order, now)
    return {offer["id"]: gpus for offer, gpus in zip(ranked, best, strict=True) if gpus}


def can_be_opened(market: Market, parts: list[tuple[Offer, int]], now: int) -> bool:
    """Tell whether these deals can be opened one after the other, as they stand."""
    taken: dict[Any, int] = {}
    for offer, gpus in parts:
        slot = (offer["provider"], offer["slot"])
        taken[slot] = taken.get(slot, 0) + gpus
        if market.held(*slot, now) + taken[slot] > offer["gpus"]:
            return False
    return True


def _ways(market: Market, offers: list[Offer], order: Order, now: int) -> list[Way]:
    counts = [range(min(market.free(offer, now), order["gpus"]) + 1) for offer in offers]
    found = []
    for way in product(*counts):
        parts = [(offer, gpus) for offer, gpus in zip(offers, way, strict=True) if gpus]
        if sum(way) > order["gpus"] or (len(parts) > 1 and not order["split"]):
            continue
        if any(can_be_opened(market, list(each), now) for each in permutations(parts)):
            found.append(way)
    return found


def _reason(market: Market, near: list[Offer], order: Order, now: int) -> Refusal:
    if not near:
        return Refusal("NoMatchingOffers")
    least = order["least"]
    wanted = order | {"gpus": least}
    most = max(sum(way) for way in _ways(market, near, wanted, now))
    if most < least:
        return Refusal("InsufficientCapacity", least, most)
    full = [way for way in _ways(market, near, wanted, now) if sum(way) == least]
    dearest = min(max(o["price"] for o, gpus in zip(near, way, strict=True) if gpus) for way in full)
    needed = dearest * least * order["hours"]
    if order["split"] and dearest <= order["limit"]:
        needed = min(_cost(near, way, order) for way in full)
    spendable = min(_budget(order), order["limit"] * least * order["hours"])
    return Refusal("PriceExceedsBudget", needed, spendable)


def _cost(offers: list[Offer], way: Way, order: Order) -> int:
    return sum(o["price"] * gpus * order["hours"] for o, gpus in zip(offers, way, strict=True))


def _budget(order: Order) -> int:
    at_limit = order["limit"] * order["gpus"] * order["hours"]
    return int(at_limit if order["budget"] is None else order["budget"])


def _place(offer: Offer, order: Order, market: Market) -> tuple[int, int, int, str]:
    return (-score(offer, order, market.weights), offer["price"], offer["created"], offer["id"])
