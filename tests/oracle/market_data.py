"""Depth, best prices and percentiles, GPU by GPU and GPU-hour by GPU-hour."""

from __future__ import annotations

from typing import Any

from tests.oracle.market import Market, Offer

Trade = dict[str, Any]


def asks(market: Market, now: int, **where: str | None) -> list[tuple[int, int]]:
    """Return (price, GPUs) of each level: what can be had up to a price, less what can be had for less."""
    offers = [o for o in market.offers if o["created"] <= now < o["expires"] and _lies(o, where)]
    levels = []
    before = 0
    for price in sorted({o["price"] for o in offers}):
        up_to = _to_be_had(market, [o for o in offers if o["price"] <= price], now)
        if up_to > before:
            levels.append((price, up_to - before))
        before = up_to
    return levels


def _to_be_had(market: Market, offers: list[Offer], now: int) -> int:
    """Count the GPUs that somebody could hold at once, number by number in each slot."""
    slots = {(o["provider"], o["slot"]) for o in offers}
    total = 0
    for slot in slots:
        free = [market.free(o, now) for o in offers if (o["provider"], o["slot"]) == slot]
        total += len({gpu for each in free for gpu in range(each)})
    return total


def best_prices(market: Market, now: int) -> set[tuple[str, str | None, int, int]]:
    segments = {(o["model"], o["region"]) for o in market.offers}
    levels = {segment: asks(market, now, model=segment[0], region=segment[1]) for segment in segments}
    return {(*segment, *found[0]) for segment, found in levels.items() if found}


def percentile(trades: list[Trade], percent: int) -> int:
    """Return the price of the GPU-hour below which, it included, so many percent lie."""
    hours = sorted(t["price"] for t in trades for _ in range(t["gpus"] * t["hours"]))
    return next(int(p) for at, p in enumerate(hours, start=1) if 100 * at >= percent * len(hours))


def _lies(offer: Offer, where: dict[str, str | None]) -> bool:
    return all(offer[field] == value for field, value in where.items())
