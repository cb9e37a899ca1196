"""The best few of what fits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from molt_market.orderbook.compiled.kernels.fitting import (
    advisory,
    in_group,
    mark,
    may_fit,
    rows_up_to,
    score_of,
)
from molt_market.orderbook.compiled.kernels.prices import MILLION, MISSING, Array, Flag, Int, is_less, saved
from molt_market.orderbook.compiled.layout import ROWS

AT_ONCE = 32  # blocks of one group that are passed over before the other groups are looked at


@njit(cache=True, inline="always")
def is_ahead(heads: Array, one: Int, other: Int) -> Flag:
    if heads[one].score != heads[other].score:
        return heads[one].score > heads[other].score
    return is_less(heads[one].hi, heads[one].lo, heads[other].hi, heads[other].lo)


@njit(cache=True)
def sink(heads: Array, heap: Array, count: Int, i: Int) -> None:
    """Put the head at a place of the heap where it belongs below it."""
    head = heap[i]
    while 2 * i + 1 < count:
        below = 2 * i + 1
        if below + 1 < count and is_ahead(heads, heap[below + 1], heap[below]):
            below += 1
        if not is_ahead(heads, heap[below], head):
            break
        heap[i] = heap[below]
        i = below
    heap[i] = head


@njit(cache=True)
def go_on(zones: Array, group: Array, order: Array, ask: Array, most: Int, head: Array) -> Flag:
    """Let a head go on to the next block that may hold what fits; False if there is none up to the cap.

    After some blocks in vain it rests: others may be ahead of what is left here.
    """
    end = min(head.at + AT_ONCE, group.count)
    while head.at < end and not may_fit(zones[order[group.start + head.at]], ask):
        head.at += 1
    if head.at == group.count:
        return False
    zone = zones[order[group.start + head.at]]
    hi, lo = np.uint64(zone.hi), zone.lo
    if is_less(ask.cap_hi, ask.cap_lo, hi, lo):
        return False
    share = saved(ask, hi, lo)
    head.score = head.base + most + ask.price_weight * share // MILLION
    head.hi, head.lo = zone.hi, zone.lo
    return True


@njit(cache=True)
def _take(found: Array, n: Int, count: Int, score: Int, hi: Int, lo: Int, created: Int, handle: Int) -> Int:
    """Insert a row among the best, and return how many there are now."""
    i = n if n < count else count - 1
    while i > 0 and _is_before(score, hi, lo, created, found[i - 1]):
        found[i].score, found[i].hi, found[i].lo = found[i - 1].score, found[i - 1].hi, found[i - 1].lo
        found[i].created, found[i].handle = found[i - 1].created, found[i - 1].handle
        i -= 1
    found[i].score, found[i].hi, found[i].lo = score, hi, lo
    found[i].created, found[i].handle = created, handle
    return min(n + 1, count)


@njit(cache=True, inline="always")
def _is_before(score: Int, hi: Int, lo: Int, created: Int, other: Array) -> Flag:
    if score != other.score:
        return score > other.score
    if hi != np.uint64(other.hi) or lo != other.lo:
        return is_less(hi, lo, np.uint64(other.hi), other.lo)
    return created < np.int64(other.created)


@njit(cache=True)
def best(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    asks: Array,
    shares: Array,
    heads: Array,
    heap: Array,
    fits: Array,
    found: Array,
    count: Int,
) -> Any:
    """Find the `count` rows of the highest score, then the lowest price, then the earliest.

    Returns how many there are, how many of them nothing sets apart from the one before, and whether
    the last is such a one.

    The groups are gone through block by block, by the most that the next block may hold, until that is less
    than the last of what was found: as in `orderbook.index`, but for whole blocks.
    """
    ask = asks[0]
    most = ask.idle_weight + ask.bandwidth_weight
    open_groups = 0
    for g in range(len(groups)):
        base = in_group(groups[g], ask, shares)
        if base == MISSING:
            continue
        head = heads[open_groups]
        head.base, head.at, head.group = base, 0, g
        if go_on(zones, groups[g], order, ask, most, head):
            heap[open_groups] = open_groups
            open_groups += 1
    for i in range(open_groups // 2 - 1, -1, -1):
        sink(heads, heap, open_groups, i)
    marks: Array = np.empty(ROWS, np.uint8)
    n = 0
    while open_groups and count:
        head = heads[heap[0]]
        if n == count and (
            head.score < found[n - 1].score
            or (
                head.score == found[n - 1].score
                and is_less(found[n - 1].hi, found[n - 1].lo, head.hi, head.lo)
            )
        ):
            break
        group = groups[head.group]
        b = order[group.start + head.at]
        if may_fit(zones[b], ask):
            n = _look_through(blocks[b], zones[b], ask, head.base, most, fits, marks, found, n, count)
        head.at += 1
        if head.at == group.count or not go_on(zones, group, order, ask, most, head):
            open_groups -= 1
            heap[0] = heap[open_groups]
        sink(heads, heap, open_groups, 0)
    ties, is_last = 0, False
    for i in range(1, n):
        one, other = found[i - 1], found[i]
        is_last = one.score == other.score and one.lo == other.lo and one.hi == other.hi
        is_last = is_last and one.created == other.created
        if is_last:
            ties += 1
    return n, ties, is_last


@njit(cache=True)
def _look_through(
    block: Array,
    zone: Array,
    ask: Array,
    base: Int,
    most: Int,
    fits: Array,
    marks: Array,
    found: Array,
    n: Int,
    count: Int,
) -> Int:
    end = rows_up_to(block, zone.count, ask.cap_hi, ask.cap_lo)
    marked = mark(block, zone, end, ask, fits, marks)
    for each in range(marked):
        i = fits[each]
        hi, lo, created = np.uint64(block.hi[i]), block.lo[i], np.int64(block.created[i])
        score = score_of(block, i, ask, base)
        if n < count or _is_before(score, hi, lo, created, found[n - 1]):
            n = _take(found, n, count, score, hi, lo, created, np.int64(block.handle[i]))
        elif score - advisory(block, i, ask) + most < found[n - 1].score:
            break  # what comes behind is dearer
    return n
