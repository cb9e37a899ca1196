"""The compiled part of a round: many demands in turn, each for the best offer that the earlier ones left.

It works on a copy of what stands, which is thrown away after the round: rows leave it as they are used up, so
that no demand looks at the cheap end of the book in vain.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from molt_market.orderbook.compiled.kernels.few import go_on, is_ahead, sink
from molt_market.orderbook.compiled.kernels.fitting import FEATURES, advisory, in_group, may_fit, score_of
from molt_market.orderbook.compiled.kernels.prices import MILLION, MISSING, Array, Flag, Int, is_less, saved
from molt_market.orderbook.compiled.kernels.rows import copy_row, measure
from molt_market.orderbook.compiled.layout import ROWS

SURE, BY_HAND, NOTHING = 0, 1, 2  # the kernel answers a demand; the caller has to; nothing can fit
FILL = ROWS - ROWS // 4
SWEPT = 8  # rows change until those that are used up leave their block


# ------------------------------------------------------------------------------------ the copy


@njit(cache=True, inline="always")
def _stands(block: Array, i: Int, soonest: Int, latest: Int) -> Flag:
    return block.free[i] > 0 and block.expires[i] > soonest and block.created[i] <= latest


@njit(cache=True)
def count(blocks: Array, zones: Array, groups: Array, order: Array, soonest: Int, latest: Int) -> Array:
    """Count the rows of each group that stand at a moment between two."""
    counts = np.zeros(len(groups), np.int64)
    for g in range(len(groups)):
        for at in range(groups[g].count):
            b = order[groups[g].start + at]
            for i in range(zones[b].count):
                counts[g] += _stands(blocks[b], i, soonest, latest)
    return counts


@njit(cache=True)
def copy(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    soonest: Int,
    latest: Int,
    sources: Array,
    new_blocks: Array,
    new_zones: Array,
    new_groups: Array,
    place_of: Array,
) -> None:
    """Copy what `count` counted of the groups `sources`, and note the place of each row by its number."""
    for to in range(len(sources)):
        source, group = groups[sources[to]], new_groups[to]
        for at in range(source.count):
            old = order[source.start + at]
            for i in range(zones[old].count):
                if not _stands(blocks[old], i, soonest, latest):
                    continue
                if group.count == 0 or new_zones[group.start + group.count - 1].count == FILL:
                    group.count += 1
                b = group.start + group.count - 1
                j = new_zones[b].count
                copy_row(blocks[old], i, new_blocks[b], j)
                new_zones[b].count = j + 1
                place_of[blocks[old].handle[i]] = b * ROWS + j
    for b in range(len(new_zones)):
        measure(new_blocks, new_zones, b)


# ------------------------------------------------------------------------------------ what is taken


@njit(cache=True)
def take(
    blocks: Array, zones: Array, changes: Array, place_of: Array, next_of: Array, number: Int, gpus: Int
) -> None:
    """Take GPUs of an offer: all offers on its slot have so many less."""
    each = number
    while True:
        if place_of[each] != MISSING:
            b = place_of[each] // ROWS
            free, i = blocks[b].free, place_of[each] % ROWS
            free[i] = max(np.int64(free[i]) - gpus, 0)
            changes[b] += 1
            if changes[b] % SWEPT == 0:
                _sweep(blocks, zones, b, place_of)
            else:
                zones[b].free = _most_free(free, zones[b].count)
        each = next_of[each]
        if each == number:
            break


@njit(cache=True)
def _most_free(free: Array, rows: Int) -> Int:
    most = np.uint16(0)
    for i in range(rows):
        most = max(most, free[i])
    return most


@njit(cache=True)
def _sweep(blocks: Array, zones: Array, b: Int, place_of: Array) -> None:
    """Drop the rows of a block that are used up, and make its zone anew."""
    block, kept = blocks[b], 0
    for i in range(zones[b].count):
        if block.free[i] == 0:
            place_of[block.handle[i]] = MISSING
            continue
        if kept < i:
            copy_row(block, i, block, kept)
            place_of[block.handle[kept]] = b * ROWS + kept
        kept += 1
    if kept == 0:  # a block keeps a row that says its price
        zones[b].free = 0
        return
    zones[b].count = kept
    measure(blocks, zones, b)


# ------------------------------------------------------------------------------------ the round


@njit(cache=True)
def match(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    families: Array,
    asks: Array,
    kinds: Array,
    choices: Array,
    chosen: Array,
    shares: Array,
    heads: Array,
    heap: Array,
    bests: Array,
    changes: Array,
    place_of: Array,
    next_of: Array,
    taken: Array,
    first: Int,
) -> Int:
    """Match demands in turn, from `first` on; return the first one that the caller has to answer.

    `taken` gets the number of the offer whose GPUs each takes, MISSING if nothing that is left fits.
    """
    best = bests[0]
    for n in range(first, len(asks)):
        taken[n] = MISSING
        if kinds[n] == BY_HAND:
            return n
        if kinds[n] == NOTHING:
            continue
        ask, choice = asks[n], choices[n]
        shares[:] = choice.others
        for each in range(choice.start, choice.end):
            shares[chosen[each].model] = chosen[each].share
        _find(blocks, zones, groups, order, families, ask, shares, heads, heap, best)
        if best.handle == MISSING:
            continue
        if best.is_tied:
            return n
        taken[n] = best.handle
        take(blocks, zones, changes, place_of, next_of, best.handle, ask.free)
    return len(asks)


@njit(cache=True)
def _find(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    families: Array,
    ask: Array,
    shares: Array,
    heads: Array,
    heap: Array,
    best: Array,
) -> None:
    """Find the best row, as `few.best` does; but a family of groups is opened only when it is its turn,
    by the most that any offer of it can score."""
    most = ask.idle_weight + ask.bandwidth_weight
    best.handle = MISSING
    size = used = _head_families(families, ask, shares, heads, heap)
    while size and not _is_settled(best, heads[heap[0]]):
        head = heads[heap[0]]
        if head.group < 0:
            family = families[MISSING - head.group]
            size -= 1
            heap[0] = heap[size]
            sink(heads, heap, size, 0)
            _tighten(family, groups, zones, order)
            for g in range(family.start, family.end):
                group, new = groups[g], heads[used]
                new.base, new.at, new.group = in_group(group, ask, shares), 0, g
                if new.base != MISSING and go_on(zones, group, order, ask, most, new):
                    heap[size] = used
                    used += 1
                    size += 1
                    _rise(heads, heap, size - 1)
            continue
        group = groups[head.group]
        b = order[group.start + head.at]
        if may_fit(zones[b], ask):
            _look_through(blocks[b], zones[b].count, ask, head.base, most, best)
        head.at += 1
        if head.at == group.count or not go_on(zones, group, order, ask, most, head):
            size -= 1
            heap[0] = heap[size]
        sink(heads, heap, size, 0)


@njit(cache=True)
def _head_families(families: Array, ask: Array, shares: Array, heads: Array, heap: Array) -> Int:
    """Make a heap of the families that may do; return how many there are."""
    size = 0
    for f in range(len(families)):
        family, share = families[f], shares[families[f].model]
        hi, lo = np.uint64(family.hi), family.lo
        if share < 0 or family.token != ask.token or ask.features & ~family.features:
            continue
        if is_less(ask.cap_hi, ask.cap_lo, hi, lo):
            continue
        extra, beyond = family.features & ~ask.features, 0
        while extra:
            beyond += extra & 1
            extra >>= 1
        head = heads[size]
        head.score = (
            ask.base
            + ask.idle_weight
            + ask.bandwidth_weight
            + ask.model_weight * share // MILLION
            + ask.features_weight * (beyond * MILLION // FEATURES) // MILLION
            + ask.price_weight * saved(ask, hi, lo) // MILLION
        )
        head.hi, head.lo, head.group = family.hi, family.lo, MISSING - f
        heap[size] = size
        size += 1
    for i in range(size // 2 - 1, -1, -1):
        sink(heads, heap, size, i)
    return size


@njit(cache=True)
def _tighten(family: Array, groups: Array, zones: Array, order: Array) -> None:
    """Leave blocks behind that are used up, and say anew what the cheapest offer of a family costs."""
    family.hi, family.lo = 2**32 - 1, np.uint64(2**64 - 1)
    for g in range(family.start, family.end):
        group = groups[g]
        while group.count and zones[order[group.start]].free == 0:
            group.start += 1
            group.count -= 1
        if group.count:
            zone = zones[order[group.start]]
            if is_less(np.uint64(zone.hi), zone.lo, np.uint64(family.hi), family.lo):
                family.hi, family.lo = zone.hi, zone.lo


@njit(cache=True, inline="always")
def _is_settled(best: Array, head: Array) -> Flag:
    """Whether all that is left is worse than what was found."""
    if best.handle == MISSING or head.score > best.score:
        return False
    return head.score < best.score or is_less(np.uint64(best.hi), best.lo, np.uint64(head.hi), head.lo)


@njit(cache=True)
def _rise(heads: Array, heap: Array, i: Int) -> None:
    """Put the head at a place of the heap where it belongs above it."""
    head = heap[i]
    while i and is_ahead(heads, head, heap[(i - 1) // 2]):
        heap[i] = heap[(i - 1) // 2]
        i = (i - 1) // 2
    heap[i] = head


@njit(cache=True)
def _look_through(block: Array, count: Int, ask: Array, base: Int, most: Int, best: Array) -> None:
    """Look at the rows of a block, one by one, as far as they can be better than the best."""
    for i in range(count):
        if not _fits(block, i, ask):
            continue
        hi, lo, created = np.uint64(block.hi[i]), block.lo[i], np.int64(block.created[i])
        if is_less(ask.cap_hi, ask.cap_lo, hi, lo):
            break
        score = score_of(block, i, ask, base)
        order = _compared(score, hi, lo, created, best)
        if order > 0:
            best.score, best.hi, best.lo, best.created = score, block.hi[i], lo, created
            best.handle, best.is_tied = np.int64(block.handle[i]), 0
        elif order == 0:
            best.is_tied = 1
        if score - advisory(block, i, ask) + most < best.score:
            break  # what comes behind is dearer
        if most == 0 and i + 1 < count and (np.uint64(block.hi[i + 1]) != hi or block.lo[i + 1] != lo):
            break


@njit(cache=True, inline="always")
def _compared(score: Int, hi: Int, lo: Int, created: Int, best: Array) -> Int:
    """Return 1 if a row is better than the best, -1 if it is worse, 0 if nothing but its id says which."""
    if best.handle == MISSING or score > best.score:
        return 1
    if score < best.score:
        return -1
    if hi != np.uint64(best.hi) or lo != best.lo:
        return 1 if is_less(hi, lo, np.uint64(best.hi), best.lo) else -1
    if created != np.int64(best.created):
        return 1 if created < np.int64(best.created) else -1
    return 0


@njit(cache=True, inline="always")
def _fits(block: Array, i: Int, ask: Array) -> Flag:
    return (
        (ask.region < 0 or block.region[i] == ask.region)
        and (ask.country < 0 or block.country[i] == ask.country)
        and block.free[i] >= ask.free
        and block.available[i] >= ask.hours
        and block.commitment[i] <= ask.hours
        and block.vram[i] >= ask.vram
        and (ask.policy < 0 or block.policy[i] == ask.policy or block.policy[i] == 0)
        and block.expires[i] > ask.now
        and block.created[i] <= ask.born
    )
