"""The compiled part of a round: many demands in turn, each for the best offer that the earlier ones left.

It works on a copy of what stands, which is thrown away after the round: what is used up leaves it at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from molt_market.orderbook.compiled.kernels import (
    FEATURES,
    MILLION,
    MISSING,
    Array,
    Flag,
    Int,
    _advisory,
    _copy_row,
    _go_on,
    _in_group,
    _is_ahead,
    _is_less,
    _mark,
    _may_fit,
    _measure,
    _rows_up_to,
    _score,
    _sink,
    saved,
)
from molt_market.orderbook.compiled.layout import CLASSES, ROWS

SURE, BY_HAND, NOTHING = 0, 1, 2  # how a question is to be answered
FILL = ROWS - ROWS // 4  # TUNE
SWEPT = 8  # rows change until the zone of their block is made anew


@njit(cache=True, inline="always")
def _class_of(free: Int) -> Int:
    size = 0
    while size < CLASSES - 1 and free >= 2 << size:
        size += 1
    return size


@njit(cache=True, inline="always")
def _stands(block: Array, i: Int, soonest: Int, latest: Int) -> Flag:
    return block.free[i] > 0 and block.expires[i] > soonest and block.created[i] <= latest


@njit(cache=True)
def count(blocks: Array, zones: Array, groups: Array, order: Array, soonest: Int, latest: Int) -> Array:
    """Count the rows that stand at some moment of a round: by group, and by how many GPUs are free."""
    counts = np.zeros((len(groups), CLASSES), np.int64)
    for g in range(len(groups)):
        for at in range(groups[g].count):
            b = order[groups[g].start + at]
            block = blocks[b]
            for i in range(zones[b].count):
                if _stands(block, i, soonest, latest):
                    counts[g, _class_of(block.free[i])] += 1
    return counts


@njit(cache=True)
def copy(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    soonest: Int,
    latest: Int,
    targets: Array,
    new_blocks: Array,
    new_zones: Array,
    new_groups: Array,
    new_order: Array,
    place_of: Array,
) -> None:
    """Copy what `count` counted into groups of the same size; `targets` says which, by group and size."""
    for g in range(len(groups)):
        for at in range(groups[g].count):
            old = order[groups[g].start + at]
            block = blocks[old]
            for i in range(zones[old].count):
                if not _stands(block, i, soonest, latest):
                    continue
                group = new_groups[targets[g, _class_of(block.free[i])]]
                b = group.start + group.count - 1
                if group.count == 0 or new_zones[b].count == FILL:
                    b += 1
                    group.count += 1
                    new_order[b] = b
                j = new_zones[b].count
                _copy_row(block, i, new_blocks[b], j)
                new_zones[b].count = j + 1
                place_of[block.handle[i]] = b * ROWS + j
    for b in range(len(new_zones)):
        _measure(new_blocks, new_zones, b)


@njit(cache=True)
def take(
    blocks: Array, zones: Array, changed: Array, place_of: Array, next_of: Array, number: Int, gpus: Int
) -> None:
    """Take GPUs from the slot of an offer: all offers on it have so many less."""
    each = number
    while True:
        if place_of[each] != MISSING:
            b = place_of[each] // ROWS
            i = place_of[each] - b * ROWS
            left = np.int64(blocks[b].free[i]) - gpus
            blocks[b].free[i] = max(left, 0)
            changed[b] += 1
            if changed[b] == SWEPT:
                changed[b] = 0
                _sweep(blocks, zones, b, place_of)
            else:
                _bound_free(blocks[b], zones[b])
        each = next_of[each]
        if each == number:
            break


@njit(cache=True, inline="always")
def _bound_free(block: Array, zone: Array) -> None:
    free, most = block.free, np.uint16(0)
    for i in range(zone.count):
        most = max(most, free[i])
    zone.free = most


@njit(cache=True)
def _sweep(blocks: Array, zones: Array, b: Int, place_of: Array) -> None:
    """Drop the rows of a block that are used up, and make its zone anew."""
    block, kept = blocks[b], 0
    for i in range(zones[b].count):
        if block.free[i] == 0:
            place_of[block.handle[i]] = MISSING
        else:
            if kept < i:
                _copy_row(block, i, block, kept)
                place_of[block.handle[kept]] = b * ROWS + kept
            kept += 1
    if kept:
        zones[b].count = kept
        _measure(blocks, zones, b)
    else:
        zones[b].free = 0


@njit(cache=True, inline="always")
def _bits(features: Int) -> Int:
    n = 0
    while features:
        n += features & 1
        features >>= 1
    return n


@njit(cache=True)
def _rise(heads: Array, heap: Array, i: Int) -> None:
    head = heap[i]
    while i and _is_ahead(heads, head, heap[(i - 1) // 2]):
        heap[i] = heap[(i - 1) // 2]
        i = (i - 1) // 2
    heap[i] = head


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
    fits: Array,
    changed: Array,
    place_of: Array,
    next_of: Array,
    taken: Array,
    first: Int,
) -> Int:
    """Match demands from `first` on in turn; return the first one that is to be answered by hand.

    `taken` gets the number of the offer that each takes, MISSING if nothing is left for it.
    """
    marks: Array = np.empty(ROWS, np.uint8)
    for n in range(first, len(asks)):
        taken[n] = MISSING
        if kinds[n] == NOTHING:
            continue
        if kinds[n] == BY_HAND:
            return n
        ask, choice = asks[n], choices[n]
        shares[:] = choice.others
        for each in range(choice.start, choice.end):
            shares[chosen[each].model] = chosen[each].share
        number, is_tied = _best(
            blocks, zones, groups, order, families, ask, shares, heads, heap, fits, marks
        )
        if is_tied:
            return n
        if number != MISSING:
            taken[n] = number
            take(blocks, zones, changed, place_of, next_of, number, ask.free)
    return len(asks)


@njit(cache=True)
def _best(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    families: Array,
    ask: Array,
    shares: Array,
    heads: Array,
    heap: Array,
    fits: Array,
    marks: Array,
) -> Any:
    """Return the number of the best offer, and whether another one differs from it by nothing but its id."""
    most = ask.idle_weight + ask.bandwidth_weight
    size = 0
    for f in range(len(families)):
        family = families[f]
        share = shares[family.model]
        if share < 0 or family.token != ask.token or ask.features & ~family.features:
            continue
        hi, lo = np.uint64(family.hi), family.lo
        if _is_less(ask.cap_hi, ask.cap_lo, hi, lo):
            continue
        extra = _bits(family.features & ~ask.features) * MILLION // FEATURES
        head = heads[size]
        head.base = ask.base + ask.model_weight * share // MILLION + ask.features_weight * extra // MILLION
        head.score = head.base + most + ask.price_weight * saved(ask, hi, lo) // MILLION
        head.hi, head.lo, head.group = family.hi, family.lo, -1 - f
        heap[size] = size
        size += 1
    for i in range(size // 2 - 1, -1, -1):
        _sink(heads, heap, size, i)
    used = size
    number, is_tied = MISSING, False
    score, hi, lo, created = 0, np.uint64(0), np.uint64(0), 0
    while size:
        top = heap[0]
        head = heads[top]
        if number != MISSING and (
            head.score < score
            or (head.score == score and _is_less(hi, lo, np.uint64(head.hi), head.lo))
        ):
            break
        if head.group < 0:
            family = families[-1 - head.group]
            size -= 1
            heap[0] = heap[size]
            _sink(heads, heap, size, 0)
            family.hi, family.lo = 2**32 - 1, np.uint64(2**64 - 1)
            for g in range(family.start, family.end):
                group = groups[g]
                while group.count and zones[order[group.start]].free == 0:
                    group.start += 1
                    group.count -= 1
                if group.count == 0:
                    continue
                zone = zones[order[group.start]]
                if _is_less(np.uint64(zone.hi), zone.lo, np.uint64(family.hi), family.lo):
                    family.hi, family.lo = zone.hi, zone.lo
                if group.room < ask.free:
                    continue
                base = _in_group(group, ask, shares)
                if base == MISSING:
                    continue
                new = heads[used]
                new.base, new.at, new.group = base, 0, g
                if _go_on(zones, group, order, ask, most, new):
                    heap[size] = used
                    used += 1
                    _rise(heads, heap, size)
                    size += 1
            continue
        group = groups[head.group]
        b = order[group.start + head.at]
        if _may_fit(zones[b], ask):
            block, zone = blocks[b], zones[b]
            end = _rows_up_to(block, zone.count, ask.cap_hi, ask.cap_lo)
            marked = _mark(block, zone, end, ask, fits, marks)
            for each in range(marked):
                i = fits[each]
                its_hi, its_lo, its_created = np.uint64(block.hi[i]), block.lo[i], np.int64(block.created[i])
                its_score = _score(block, i, ask, head.base)
                if number == MISSING or its_score > score:
                    better = True
                elif its_score == score:
                    if its_hi == hi and its_lo == lo:
                        better = its_created < created
                        if its_created == created:
                            is_tied = True
                    else:
                        better = _is_less(its_hi, its_lo, hi, lo)
                else:
                    better = False
                if better:
                    score, hi, lo, created = its_score, its_hi, its_lo, its_created
                    number, is_tied = np.int64(block.handle[i]), False
                elif its_score - _advisory(block, i, ask) + most < score:
                    break
        head.at += 1
        if head.at == group.count or not _go_on(zones, group, order, ask, most, head):
            size -= 1
            heap[0] = heap[size]
        _sink(heads, heap, size, 0)
    return number, is_tied
