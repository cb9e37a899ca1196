"""Clearing for most surplus where orders share slots: each needs all its GPUs from one of them.

An edge is an offer that fits an order; edges come by their orders, and `edge_of` lists them by their slots.
Money is whole units, as in `surplus`: `gain` is what an order can spend less what an offer costs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from molt_market.orderbook.compiled.kernels.fitting import in_group, mark, may_fit, rows_up_to
from molt_market.orderbook.compiled.kernels.prices import MISSING, Array, Flag, Int, is_less
from molt_market.orderbook.compiled.kernels.rounds import NOTHING, SURE
from molt_market.orderbook.compiled.kernels.surplus import choose_models, scaled
from molt_market.orderbook.compiled.layout import EDGE, ROWS

LARGE = 512  # GPUs of a slot: above that it is filled by the gain of each GPU, not by trying all sums
HUNDRED = 100
MOVED = -2


# ------------------------------------------------------------------------------------ edges


@njit(cache=True)
def edges(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    asks: Array,
    kinds: Array,
    choices: Array,
    chosen: Array,
    shares: Array,
    bidders: Array,
    listed: Array,
    shift: Int,
    pool_of: Array,
    most: Int,
) -> Any:
    """List the offers that fit each order, the best of each slot, of more than `most` the cheapest; and where
    each order's begin."""
    fits, marks = np.zeros(ROWS + 1, np.int64), np.empty(ROWS, np.uint8)
    found = np.empty(4_096, EDGE)
    starts = np.zeros(len(asks) + 1, np.int64)
    seen = np.full(len(pool_of), MISSING, np.int64)  # the last edge to a slot
    n = 0
    for i in range(len(asks)):
        starts[i] = n
        bidder = bidders[i]
        if kinds[i] == NOTHING:
            continue
        for each in listed[bidder.start : bidder.end]:
            found = _with_room(found, n, 1)
            n = _put(found, n, starts[i], seen, i, each.pool, each.number, bidder.worth - each.cost)
        if kinds[i] != SURE:
            continue
        ask = asks[i]
        choose_models(shares, choices[i], chosen)
        for group in groups:
            if in_group(group, ask, shares) == MISSING:
                continue
            for at in range(group.count):
                b = order[group.start + at]
                zone, block = zones[b], blocks[b]
                if is_less(ask.cap_hi, ask.cap_lo, np.uint64(zone.hi), zone.lo):
                    break
                if not may_fit(zone, ask):
                    continue
                found = _with_room(found, n, ROWS)
                end = rows_up_to(block, zone.count, ask.cap_hi, ask.cap_lo)
                for each in range(mark(block, zone, end, ask, fits, marks)):
                    row = fits[each]
                    cost = bidder.unit * scaled(np.uint64(block.hi[row]), block.lo[row], shift)
                    number = np.int64(block.handle[row])
                    n = _put(found, n, starts[i], seen, i, pool_of[number], number, bidder.worth - cost)
        if n - starts[i] > most:
            n = _keep_best(found, starts[i], n, most)
    starts[len(asks)] = n
    return found[:n], starts


@njit(cache=True)
def _put(found: Array, n: Int, start: Int, seen: Array, i: Int, pool: Int, number: Int, gain: Int) -> Int:
    """Add an edge, or let it take the place of a worse one to the same slot; return how many there are."""
    before = seen[pool]
    if start <= before < n and found[before].pool == pool:
        if found[before].gain < gain:
            found[before].number, found[before].gain = number, gain
        return n
    found[n].order, found[n].pool, found[n].number, found[n].gain = i, pool, number, gain
    seen[pool] = n
    return n + 1


@njit(cache=True)
def _with_room(found: Array, n: Int, more: Int) -> Array:
    if n + more <= len(found):
        return found
    grown = np.empty(2 * len(found) + more, EDGE)
    grown[:n] = found[:n]
    return grown


@njit(cache=True)
def _keep_best(found: Array, start: Int, end: Int, most: Int) -> Int:
    gains = np.empty(end - start, np.int64)
    for e in range(start, end):
        gains[e - start] = -found[e].gain
    least = -np.partition(gains, most)[most]
    n = start
    for e in range(start, end):
        if found[e].gain > least:
            found[n] = found[e]
            n += 1
    return n


@njit(cache=True)
def by_slot(edges: Array, slots: Int) -> Any:
    """Return the edges of each slot, and where each slot's begin."""
    starts, edge_of = np.zeros(slots + 1, np.int64), np.empty(len(edges), np.int64)
    for edge in edges:
        starts[edge.pool + 1] += 1
    for each in range(slots):
        starts[each + 1] += starts[each]
    at = starts.copy()
    for e in range(len(edges)):
        edge_of[at[edges[e].pool]] = e
        at[edges[e].pool] += 1
    return edge_of, starts


# ------------------------------------------------------------------------------------ the prices of GPUs


@njit(cache=True)
def prices_of_gpus(
    edges: Array, starts: Array, gpus: Array, rooms: Array, step: Int, most: Int, prices: Array
) -> None:
    """Let each GPU that an order wants bid for itself, as if an order could be split over slots.

    A slot holds the highest bids; what a GPU of it costs is the lowest of them, once all are held. These
    prices leave little between what they prove and the linear program's optimum.
    """
    first = np.zeros(len(rooms) + 1, np.int64)
    for slot in range(len(rooms)):
        first[slot + 1] = first[slot] + rooms[slot]
    levels, owners = np.zeros(first[-1], np.int64), np.full(first[-1], MISSING, np.int64)
    missing, waits = gpus.copy(), np.ones(len(gpus), np.bool_)
    gains = np.empty(len(edges), np.int64)  # of each GPU
    for e in range(len(edges)):
        gains[e] = edges[e].gain // gpus[edges[e].order]
    queue = np.arange(len(gpus) + 1)
    head, tail, bids = 0, len(gpus), 0
    while head != tail and bids < most:
        i = queue[head]
        head = head + 1 if head < len(gpus) else 0
        waits[i] = False
        while missing[i]:
            slot, bid = _bid(edges, gains, prices, starts[i], starts[i + 1], step)
            if slot == MISSING:
                break
            bids += 1
            start, end = first[slot], first[slot + 1]
            while missing[i] and levels[start] < bid:
                loser = owners[start]
                _replace_lowest(levels, owners, start, end, bid, i)
                missing[i] -= 1
                if loser == MISSING:
                    continue
                missing[loser] += 1
                if loser != i and not waits[loser]:
                    waits[loser] = True
                    queue[tail] = loser
                    tail = tail + 1 if tail < len(gpus) else 0
            prices[slot] = levels[start]


@njit(cache=True)
def _bid(edges: Array, gains: Array, prices: Array, start: Int, end: Int, step: Int) -> Any:
    """Return the best slot for one more GPU of an order, and what it bids: a step above the price at which
    the second best is as good."""
    slot, best, second = MISSING, np.int64(0), np.int64(0)
    for e in range(start, end):
        value = gains[e] - prices[edges[e].pool]
        if value > best:
            slot, best, second = edges[e].pool, value, best
        elif value > second:
            second = value
    if slot == MISSING:
        return slot, best
    return slot, prices[slot] + best - second + step


@njit(cache=True)
def _replace_lowest(levels: Array, owners: Array, start: Int, end: Int, level: Int, owner: Int) -> None:
    """Let a higher bid take the place of the lowest one, which is the first of a heap."""
    i, count = 0, end - start
    while 2 * i + 1 < count:
        below = 2 * i + 1
        if below + 1 < count and levels[start + below + 1] < levels[start + below]:
            below += 1
        if levels[start + below] >= level:
            break
        levels[start + i], owners[start + i] = levels[start + below], owners[start + below]
        i = below
    levels[start + i], owners[start + i] = level, owner


# ------------------------------------------------------------------------------------ who gets which slot


@njit(cache=True)
def most_gained(edges: Array, gpus: Array, prices: Array) -> Array:
    """Return what each order gains by its best edge beyond the price of its GPUs."""
    most = np.zeros(len(gpus), np.int64)
    for edge in edges:
        most[edge.order] = max(most[edge.order], _worth(edge, gpus, prices, HUNDRED))
    return most


@njit(cache=True)
def in_turn(edges: Array, starts: Array, gpus: Array, rooms: Array, queue: Array, taken: Array) -> None:
    """Let orders in turn take the edge that gains most and has room; `taken` gets their edges."""
    free, no_prices = rooms.copy(), np.zeros(len(rooms), np.int64)
    taken[:] = MISSING
    for i in queue:
        _place(edges, starts, gpus, no_prices, free, taken, i, 0)


@njit(cache=True)
def _worth(edge: Array, gpus: Array, prices: Array, part: Int) -> Int:
    """Return what an edge gains beyond so many hundredths of the price of its GPUs."""
    return edge.gain - gpus[edge.order] * prices[edge.pool] // HUNDRED * part


@njit(cache=True)
def _place(
    edges: Array, starts: Array, gpus: Array, prices: Array, free: Array, taken: Array, i: Int, part: Int
) -> Flag:
    best = np.int64(0)
    for e in range(starts[i], starts[i + 1]):
        if free[edges[e].pool] >= gpus[i]:
            worth = _worth(edges[e], gpus, prices, part)
            if worth > best:
                best, taken[i] = worth, e
    if taken[i] >= 0:
        free[edges[taken[i]].pool] -= gpus[i]
    return taken[i] >= 0


@njit(cache=True)
def improve(
    edges: Array,
    starts: Array,
    edge_of: Array,
    slot_starts: Array,
    gpus: Array,
    rooms: Array,
    prices: Array,
    parts: Array,
    queue: Array,
    found: Array,
) -> None:
    """Search for a good outcome: slot by slot, the best orders for each are chosen anew.

    An order that leaves a slot leaves GPUs free there, which are worth their price, or so many hundredths of
    it as `parts` says: fewer in each pass, until only what is really gained counts. `found` gets the best.
    """
    taken, free = np.full(len(gpus), MISSING, np.int64), rooms.copy()
    for i in queue:
        _place(edges, starts, gpus, prices, free, taken, i, HUNDRED)
    most = np.int64(0)
    for slot in range(len(rooms)):
        most = max(most, slot_starts[slot + 1] - slot_starts[slot])
    sums = np.zeros(LARGE + 1, np.int64)
    is_in, wanted, gains = (
        np.zeros((most, LARGE + 1), np.bool_),
        np.zeros(most, np.int64),
        np.zeros(most, np.int64),
    )
    best = np.int64(0)
    for part in parts:
        for slot in range(len(rooms)):
            own = edge_of[slot_starts[slot] : slot_starts[slot + 1]]
            if len(own) == 0:
                continue
            room, n = _wanted(edges, starts, own, gpus, prices, free, taken, slot, part, wanted, gains)
            if room <= LARGE:
                _choose(edges, gpus, wanted, gains, n, room, sums, is_in)
            else:
                _choose_by_gpu(edges, gpus, wanted, gains, n, room)
            _change(edges, starts, own, gpus, prices, free, taken, slot, part, wanted, gains, n)
        value = np.int64(0)
        for i in range(len(gpus)):
            if taken[i] == MISSING:
                _place(edges, starts, gpus, prices, free, taken, i, 0)
            if taken[i] >= 0:
                value += edges[taken[i]].gain
        if value > best:
            best = value
            found[:] = taken


@njit(cache=True)
def _wanted(
    edges: Array,
    starts: Array,
    own: Array,
    gpus: Array,
    prices: Array,
    free: Array,
    taken: Array,
    slot: Int,
    part: Int,
    wanted: Array,
    gains: Array,
) -> Any:
    """List what could gain by a slot, and how much more than where it is, or could go; return its room."""
    room, n = free[slot], 0
    for e in own:
        i = edges[e].order
        if taken[i] >= 0 and edges[taken[i]].pool == slot:
            room += gpus[i]
    for e in own:
        i = edges[e].order
        if gpus[i] > room:
            continue
        other = np.int64(0)
        if taken[i] >= 0 and edges[taken[i]].pool != slot:
            other = _worth(edges[taken[i]], gpus, prices, part)
        elif taken[i] >= 0:
            for f in range(starts[i], starts[i + 1]):
                if edges[f].pool != slot and free[edges[f].pool] >= gpus[i]:
                    other = max(other, _worth(edges[f], gpus, prices, part))
        if edges[e].gain > other:
            wanted[n], gains[n] = e, edges[e].gain - other
            n += 1
    return room, n


@njit(cache=True)
def _choose(
    edges: Array, gpus: Array, wanted: Array, gains: Array, n: Int, room: Int, sums: Array, is_in: Array
) -> None:
    """Choose what gains most in a slot, by trying all sums of GPUs; the gain of what is not chosen is 0."""
    sums[: room + 1] = 0
    for x in range(n):
        size = gpus[edges[wanted[x]].order]
        is_in[x, : room + 1] = False
        for c in range(room, size - 1, -1):
            if sums[c - size] + gains[x] > sums[c]:
                sums[c] = sums[c - size] + gains[x]
                is_in[x, c] = True
    for x in range(n - 1, -1, -1):
        if is_in[x, room]:
            room -= gpus[edges[wanted[x]].order]
        else:
            gains[x] = 0


@njit(cache=True)
def _choose_by_gpu(edges: Array, gpus: Array, wanted: Array, gains: Array, n: Int, room: Int) -> None:
    each = np.empty(n, np.int64)
    for x in range(n):
        each[x] = -(gains[x] // gpus[edges[wanted[x]].order])
    for x in np.argsort(each):
        size = gpus[edges[wanted[x]].order]
        if size <= room:
            room -= size
        else:
            gains[x] = 0


@njit(cache=True)
def _change(
    edges: Array,
    starts: Array,
    own: Array,
    gpus: Array,
    prices: Array,
    free: Array,
    taken: Array,
    slot: Int,
    part: Int,
    wanted: Array,
    gains: Array,
    n: Int,
) -> None:
    """Let what was chosen have the slot, and what had it go where there is room."""
    for e in own:
        i = edges[e].order
        if taken[i] >= 0 and edges[taken[i]].pool == slot:
            taken[i] = MOVED
            free[slot] += gpus[i]
    for x in range(n):
        i = edges[wanted[x]].order
        if gains[x] == 0 or (taken[i] >= 0 and edges[taken[i]].pool == slot):
            continue
        if taken[i] >= 0:
            free[edges[taken[i]].pool] += gpus[i]
        taken[i] = wanted[x]
        free[slot] -= gpus[i]
    for e in own:
        i = edges[e].order
        if taken[i] == MOVED:
            taken[i] = MISSING
            _place(edges, starts, gpus, prices, free, taken, i, part)
