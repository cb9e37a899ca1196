"""Clearing for most surplus: orders bid for slots, and what they bid proves how good the outcome is.

Money is whole numbers of a unit in which all of it fits 62 bits. What an order can spend (`worth`), less its
GPUs x hours x the price, less what the slot has been bid up to, is the value of an offer to an order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from molt_market.orderbook.compiled.kernels.fitting import in_group, mark, may_fit, rows_up_to
from molt_market.orderbook.compiled.kernels.prices import MISSING, Array, Int, is_less
from molt_market.orderbook.compiled.kernels.rounds import SURE
from molt_market.orderbook.compiled.layout import ROWS

KEPT = 16  # offers that an order remembers, so that it need not look through the book for each bid
MILLION = 1_000_000


@njit(cache=True, inline="always")
def scaled(hi: Int, lo: Int, shift: Int) -> Int:
    """Return a price in whole units, rounded down; one that an order can pay fits into 62 bits."""
    if shift == 0:
        return np.int64(lo)
    if shift < 64:  # what a shift by 64 gives is undefined
        return np.int64((hi << np.uint64(64 - shift)) | (lo >> np.uint64(shift)))
    return np.int64(hi >> np.uint64(shift - 64))


@njit(cache=True)
def choose_models(shares: Array, choice: Array, chosen: Array) -> None:
    """Write down which models do for an order."""
    shares[:] = choice.others
    for each in range(choice.start, choice.end):
        shares[chosen[each].model] = chosen[each].share


@njit(cache=True)
def pools(numbers: Array, next_of: Array) -> Array:
    """Return, by an offer's number, the least number of those that share its slot; MISSING if not asked."""
    pool_of = np.full(len(next_of), MISSING, np.int32)
    for first in numbers:
        if pool_of[first] != MISSING:
            continue
        least, each = first, next_of[first]
        while each != first:
            least, each = min(least, each), next_of[each]
        pool_of[first], each = least, next_of[first]
        while each != first:
            pool_of[each], each = least, next_of[each]
    return pool_of


# ------------------------------------------------------------------------------------ what an order remembers


@njit(cache=True)
def _remember(own: Array, n: Int, cost: Int, pool: Int, number: Int, value: Int) -> Int:
    """Insert an offer among the best that an order remembers; return how many there are."""
    i = n if n < KEPT else KEPT - 1
    while i > 0 and own[i - 1].value < value:
        own[i] = own[i - 1]
        i -= 1
    own[i].cost, own[i].pool, own[i].number, own[i].value = cost, pool, number, value
    return min(n + 1, KEPT)


@njit(cache=True)
def _look(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    families: Array,
    ask: Array,
    shares: Array,
    bidder: Array,
    own: Array,
    shift: Int,
    pool_of: Array,
    prices: Array,
    fits: Array,
    marks: Array,
) -> None:
    """Let an order remember the offers of the highest value; families come by their first price."""
    least = bidder.least  # offers worth no more are of no interest
    n = 0
    for family in families:
        if shares[family.model] < 0 or family.token != ask.token or ask.features & ~family.features:
            continue
        if is_less(ask.cap_hi, ask.cap_lo, np.uint64(family.hi), family.lo):
            break
        if bidder.worth - bidder.unit * scaled(np.uint64(family.hi), family.lo, shift) <= least:
            break
        for g in range(family.start, family.end):
            group = groups[g]
            if ask.features & ~group.features:
                continue
            for at in range(group.count):
                b = order[group.start + at]
                zone = zones[b]
                hi, lo = np.uint64(zone.hi), zone.lo
                if is_less(ask.cap_hi, ask.cap_lo, hi, lo):
                    break
                if bidder.worth - bidder.unit * scaled(hi, lo, shift) <= least:
                    break
                if not may_fit(zone, ask):
                    continue
                block = blocks[b]
                end = rows_up_to(block, zone.count, ask.cap_hi, ask.cap_lo)
                for each in range(mark(block, zone, end, ask, fits, marks)):
                    i = fits[each]
                    cost = bidder.unit * scaled(np.uint64(block.hi[i]), block.lo[i], shift)
                    if bidder.worth - cost <= least:
                        break
                    pool = pool_of[block.handle[i]]
                    value = bidder.worth - cost - prices[pool]
                    if value > least:
                        n = _remember(own, n, cost, pool, np.int64(block.handle[i]), value)
                        if n == KEPT:
                            least = own[n - 1].value
    bidder.kept, bidder.least = n, least


@njit(cache=True)
def _look_at_listed(bidder: Array, own: Array, listed: Array, prices: Array) -> None:
    n, least = 0, bidder.least
    for each in listed[bidder.start : bidder.end]:
        value = bidder.worth - each.cost - prices[each.pool]
        if value > least:
            n = _remember(own, n, each.cost, each.pool, each.number, value)
            if n == KEPT:
                least = own[n - 1].value
    bidder.kept, bidder.least = n, least


@njit(cache=True)
def _best_of(bidder: Array, own: Array, prices: Array) -> Any:
    """Return the place and the value of the best remembered offer, and the value of the second."""
    at, best, second = MISSING, np.int64(0), np.int64(0)
    for i in range(bidder.kept):
        value = bidder.worth - own[i].cost - prices[own[i].pool]
        own[i].value = value
        if value > best:
            at, best, second = i, value, best
        elif value > second:
            second = value
    return at, best, second


@njit(cache=True)
def _find(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    families: Array,
    asks: Array,
    choices: Array,
    chosen: Array,
    shares: Array,
    bidders: Array,
    own: Array,
    listed: Array,
    shift: Int,
    pool_of: Array,
    prices: Array,
    fits: Array,
    marks: Array,
    i: Int,
    wanted: Int,
) -> Any:
    """Return the place of the best offer for an order among those that it remembers, its value, the second's.

    The book is looked through anew only if something that is not remembered may be as good: prices of slots
    only rise, so what was worth no more than `least` still is.
    """
    bidder, kept = bidders[i], own[i]
    at, best, second = _best_of(bidder, kept, prices)
    if (second if wanted == 2 else best) >= bidder.least:
        return at, best, second
    bidder.least = 0
    if bidder.kept == KEPT:  # there are so many that are worth that much
        bidder.least = kept[0].value
        for each in range(1, KEPT):
            bidder.least = min(bidder.least, kept[each].value)
        bidder.least = max(bidder.least - 1, 0)
    if bidder.start < bidder.end:
        _look_at_listed(bidder, kept, listed, prices)
    else:
        choose_models(shares, choices[i], chosen)
        _look(
            blocks,
            zones,
            groups,
            order,
            families,
            asks[i],
            shares,
            bidder,
            kept,
            shift,
            pool_of,
            prices,
            fits,
            marks,
        )
    return _best_of(bidder, kept, prices)


# ------------------------------------------------------------------------------------ one order a slot


@njit(cache=True)
def look(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    families: Array,
    asks: Array,
    choices: Array,
    chosen: Array,
    shares: Array,
    bidders: Array,
    own: Array,
    listed: Array,
    shift: Int,
    pool_of: Array,
    queue: Array,
) -> None:
    """Let each order of a queue remember the offers that gain it most while slots cost nothing."""
    fits, marks = np.zeros(ROWS + 1, np.int64), np.empty(ROWS, np.uint8)
    prices = np.zeros(len(pool_of), np.int64)
    for i in queue:
        _find(
            blocks,
            zones,
            groups,
            order,
            families,
            asks,
            choices,
            chosen,
            shares,
            bidders,
            own,
            listed,
            shift,
            pool_of,
            prices,
            fits,
            marks,
            i,
            2,
        )


@njit(cache=True)
def in_turn(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    families: Array,
    asks: Array,
    choices: Array,
    chosen: Array,
    shares: Array,
    bidders: Array,
    own: Array,
    listed: Array,
    shift: Int,
    pool_of: Array,
    queue: Array,
    taken: Array,
) -> None:
    """Let orders of a queue in turn each take the slot of the cheapest offer that fits and is left."""
    fits, marks = np.zeros(ROWS + 1, np.int64), np.empty(ROWS, np.uint8)
    prices = np.zeros(len(pool_of), np.int64)
    taken[:] = MISSING
    for i in queue:
        at, value, _ = _find(
            blocks,
            zones,
            groups,
            order,
            families,
            asks,
            choices,
            chosen,
            shares,
            bidders,
            own,
            listed,
            shift,
            pool_of,
            prices,
            fits,
            marks,
            i,
            1,
        )
        if at != MISSING and value > 0:
            taken[i] = own[i][at].number
            prices[own[i][at].pool] = np.int64(2) ** 62


@njit(cache=True)
def auction(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    families: Array,
    asks: Array,
    choices: Array,
    chosen: Array,
    shares: Array,
    bidders: Array,
    own: Array,
    listed: Array,
    shift: Int,
    pool_of: Array,
    step: Int,
    share: Int,
    most: Int,
    taken: Array,
    prices: Array,
) -> Int:
    """Let orders bid for slots until each has the one that is worth most to it, within its last step.

    A bid raises the price of the best slot until it is worth as much as the second best, less a step:
    `step`, and `share` millionths of its value; but by no more than it gains. Who is outbid bids again.
    Returns the number of bids, at most `most`.
    """
    fits, marks = np.zeros(ROWS + 1, np.int64), np.empty(ROWS, np.uint8)
    owner = np.full(len(pool_of), MISSING, np.int32)
    queue = np.arange(len(bidders) + 1)
    head, tail, bids = 0, len(bidders), 0
    taken[:] = MISSING
    prices[:] = 0
    while head != tail and bids < most:
        i = queue[head]
        head = head + 1 if head < len(bidders) else 0
        at, best, second = _find(
            blocks,
            zones,
            groups,
            order,
            families,
            asks,
            choices,
            chosen,
            shares,
            bidders,
            own,
            listed,
            shift,
            pool_of,
            prices,
            fits,
            marks,
            i,
            2,
        )
        if at == MISSING or best <= 0:
            continue
        bids += 1
        pool = own[i][at].pool
        prices[pool] += min(best - second + step + best // MILLION * share, best)
        if owner[pool] != MISSING:
            taken[owner[pool]] = MISSING
            queue[tail] = owner[pool]
            tail = tail + 1 if tail < len(bidders) else 0
        owner[pool], taken[i] = i, own[i][at].number
    return bids


# ------------------------------------------------------------------------------------ the proof


@njit(cache=True)
def most_gained(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    asks: Array,
    choices: Array,
    chosen: Array,
    shares: Array,
    kinds: Array,
    bidders: Array,
    shift: Int,
    pool_of: Array,
    prices: Array,
    sizes: Array,
    gains: Array,
) -> None:
    """Raise `gains` to the most that an offer of the index could gain each order at these prices of slots, of
    which it takes so much.

    It looks at the index itself, not at what the auction used. A worth is rounded up and a price down, so
    that no gain is too low.
    """
    fits, marks = np.zeros(ROWS + 1, np.int64), np.empty(ROWS, np.uint8)
    for n in range(len(asks)):
        if kinds[n] != SURE:
            continue
        ask, worth, unit, most = asks[n], bidders[n].worth + 1, bidders[n].unit, gains[n]
        choose_models(shares, choices[n], chosen)
        for group in groups:
            if in_group(group, ask, shares) == MISSING:
                continue
            for at in range(group.count):
                b = order[group.start + at]
                zone = zones[b]
                hi, lo = np.uint64(zone.hi), zone.lo
                if is_less(ask.cap_hi, ask.cap_lo, hi, lo) or worth - unit * scaled(hi, lo, shift) <= most:
                    break
                if not may_fit(zone, ask):
                    continue
                block = blocks[b]
                end = rows_up_to(block, zone.count, ask.cap_hi, ask.cap_lo)
                for each in range(mark(block, zone, end, ask, fits, marks)):
                    i = fits[each]
                    gain = worth - unit * scaled(np.uint64(block.hi[i]), block.lo[i], shift)
                    if gain <= most:
                        break
                    most = max(most, gain - sizes[n] * prices[pool_of[block.handle[i]]])
        gains[n] = most
