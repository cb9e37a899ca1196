"""The most surplus of a market by trying every way to match orders with offers, in whole numbers.

Money is base units. A slot is a provider's: offers on one slot share its GPUs.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tests.oracle.market import Market, Offer, Order, most, total

Pairs = tuple[tuple[Order, Offer], ...]


def gain(order: Order, offer: Offer) -> int:
    """Return what an order can spend less what it costs."""
    return most(order) - total(offer, order)


def gained(pairs: Pairs) -> int:
    return sum(gain(order, offer) for order, offer in pairs)


def is_allowed(market: Market, pairs: Pairs, now: int, *, share_slots: bool) -> bool:
    """Tell whether all of this can be held: one order a slot, or as many as the GPUs of its offers allow.

    Offers of a slot are opened with the smaller ones first: each has to have room for its order by then.
    """
    slots: dict[tuple[Any, Any], int] = {}
    for order, offer in sorted(pairs, key=lambda pair: int(pair[1]["gpus"])):
        slot = (offer["provider"], offer["slot"])
        held = slots.get(slot, 0)
        if held and not share_slots:
            return False
        if market.failing(offer, order, now) or order["gpus"] > market.free(offer, now) - held:
            return False
        slots[slot] = held + order["gpus"]
    return True


def best(market: Market, orders: list[Order], now: int, *, share_slots: bool) -> int:
    """Return the most surplus that any way to fill these orders, each whole or not at all, gains."""

    def rest(at: int, pairs: Pairs) -> int:
        if at == len(orders):
            return gained(pairs)
        found = rest(at + 1, pairs)
        for offer in market.offers:
            more = (*pairs, (orders[at], offer))
            if is_allowed(market, more, now, share_slots=share_slots):
                found = max(found, rest(at + 1, more))
        return found

    return rest(0, ())


def in_turn(market: Market, orders: list[Order], now: int, *, share_slots: bool) -> int:
    """Return what orders gain if each in turn takes the cheapest offer that fits and is left."""
    pairs: Pairs = ()
    for order in orders:
        ways = [(*pairs, (order, offer)) for offer in market.offers]
        fitting = [way for way in ways if is_allowed(market, way, now, share_slots=share_slots)]
        if fitting:
            pairs = max(fitting, key=gained)
    return gained(pairs)


def best_assignment(gains: list[list[int | None]]) -> int:
    """Return the most that rows gain, each by a column of its own or by none; None is no way.

    It goes through the rows, and keeps the best for each set of columns that are used by then.
    """
    columns = len(gains[0]) if gains else 0

    @cache
    def rest(row: int, used: int) -> int:
        if row == len(gains):
            return 0
        ways = [rest(row + 1, used)]
        for column in range(columns):
            worth = gains[row][column]
            if worth is not None and not used >> column & 1:
                ways.append(worth + rest(row + 1, used | 1 << column))
        return max(ways)

    return rest(0, 0)
