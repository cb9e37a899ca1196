"""All that fits, sorted."""

from __future__ import annotations

import numpy as np
from numba import njit

from molt_market.orderbook.compiled.kernels.fitting import advisory, in_group, mark, may_fit, rows_up_to
from molt_market.orderbook.compiled.kernels.prices import (
    MILLION,
    MISSING,
    U32,
    Array,
    Flag,
    Int,
    estimate_of,
    exact,
    is_less,
)
from molt_market.orderbook.compiled.layout import ROWS

BASES = 32  # what groups score whatever the price, at most so many different figures are ranked
TIED = np.uint64(1 << 31)
PLACE = np.uint64((1 << 31) - 1)


@njit(cache=True)
def find(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    asks: Array,
    shares: Array,
    fits: Array,
    keys: Array,
    spare: Array,
) -> Int:
    """Find all rows that fit, sorted as `best` does, in `spare`; return how many.

    Each is a key, from the upper bits down: 1,000,000 less its score (20), what puts most of the same score
    in the order of their prices (12), whether nothing sets it apart from the one before it (1), its block
    and row (31).
    """
    ask = asks[0]
    bases = _bases(groups, ask, shares)
    marks: Array = np.empty(ROWS, np.uint8)
    n = 0
    for g in range(len(groups)):
        group = groups[g]
        base = in_group(group, ask, shares)
        if base == MISSING:
            continue
        rank = np.searchsorted(bases, base)
        for at in range(group.count):
            b = order[group.start + at]
            zone = zones[b]
            if is_less(ask.cap_hi, ask.cap_lo, np.uint64(zone.hi), zone.lo):
                break
            if not may_fit(zone, ask):
                continue
            block = blocks[b]
            end = rows_up_to(block, zone.count, ask.cap_hi, ask.cap_lo)
            for each in range(mark(block, zone, end, ask, fits, marks)):
                i = fits[each]
                hi, lo = np.uint64(block.hi[i]), block.lo[i]
                estimate = estimate_of(ask, hi, lo)
                worth = ask.price_weight * exact(ask, hi, lo, estimate) // MILLION
                missing = MILLION - base - worth - advisory(block, i, ask)
                fine = _fine(ask, rank, worth, estimate) if len(bases) else 0
                keys[n] = np.uint64((missing << 12) | fine) << U32 | np.uint64(b * ROWS + i)
                n += 1
    _sort_by(keys, spare, n, np.uint64(32))
    _sort_by(spare, keys, n, np.uint64(43))
    _sort_by(keys, spare, n, np.uint64(54))
    _sort_runs(blocks, spare, keys, n)
    return n


@njit(cache=True)
def _bases(groups: Array, ask: Array, shares: Array) -> Array:
    """Return what the groups score whatever the price, rising; nothing if it is too much to be ranked so.

    Of two rows of the same score, the one of the group that scores less has the higher share of the price's
    part, and so the lower price. That is so while only price and group make a score.
    """
    found = np.empty(BASES, np.int64)
    n = 0
    for g in range(len(groups)):
        base = in_group(groups[g], ask, shares)
        at = np.searchsorted(found[:n], base)
        if base == MISSING or (at < n and found[at] == base):
            continue
        if n == BASES or ask.idle_weight or ask.bandwidth_weight:
            return found[:0]
        for i in range(n, at, -1):
            found[i] = found[i - 1]
        found[at] = base
        n += 1
    return found[:n]


@njit(cache=True, inline="always")
def _fine(ask: Array, rank: Int, worth: Int, estimate: Int) -> Int:
    """Return twelve bits that rise with the price among rows of one score: the group's rank, then seven of
    the price.

    `estimate` falls as the price rises; of it counts what it is worth beyond the whole millionths of the
    score.
    """
    beyond = (ask.price_weight * np.int64(estimate >> np.uint64(23)) >> 20) - worth * MILLION
    return rank << 7 | (127 - min(max(beyond >> 14, 0), 127))


@njit(cache=True)
def _sort_by(source: Array, target: Array, n: Int, shift: Int) -> None:
    """Sort by eleven bits, and leave what has the same ones in its order: one pass of a radix sort."""
    starts = np.zeros(2**11 + 1, np.int64)
    mask = np.uint64(2**11 - 1)
    for i in range(n):
        starts[np.int64((source[i] >> shift) & mask) + 1] += 1
    for i in range(2**11):
        starts[i + 1] += starts[i]
    for i in range(n):
        digit = np.int64((source[i] >> shift) & mask)
        target[starts[digit]] = source[i]
        starts[digit] += 1


@njit(cache=True)
def _sort_runs(blocks: Array, keys: Array, spare: Array, n: Int) -> None:
    """Sort what has the same score by price and time, and mark what is still the same."""
    start = 0
    while start < n:
        end = start + 1
        while end < n and keys[end] >> U32 == keys[start] >> U32:
            end += 1
        if end - start > 1:
            _merge_sort(blocks, keys, spare, start, end)
            for i in range(end - 1, start, -1):
                if not _comes_first(blocks, keys[i - 1], keys[i]):
                    keys[i] |= TIED
        start = end


@njit(cache=True)
def _merge_sort(blocks: Array, keys: Array, spare: Array, start: Int, end: Int) -> None:
    width = 1
    while width < end - start:
        for left in range(start, end, 2 * width):
            middle, right = min(left + width, end), min(left + 2 * width, end)
            _merge(blocks, keys, spare, left, middle, right)
        width *= 2


@njit(cache=True)
def _merge(blocks: Array, keys: Array, spare: Array, left: Int, middle: Int, right: Int) -> None:
    """Merge two neighbouring sorted stretches; nothing is done where they are in order as they lie."""
    if middle == right or not _comes_first(blocks, keys[middle], keys[middle - 1]):
        return
    spare[left:middle] = keys[left:middle]
    i, j, k = left, middle, left
    while i < middle:
        if j < right and _comes_first(blocks, keys[j], spare[i]):
            keys[k] = keys[j]
            j += 1
        else:
            keys[k] = spare[i]
            i += 1
        k += 1


@njit(cache=True, inline="always")
def _comes_first(blocks: Array, one: Int, other: Int) -> Flag:
    x, y = np.int64(one & PLACE), np.int64(other & PLACE)
    a, b = blocks[x // ROWS], blocks[y // ROWS]
    i, j = x % ROWS, y % ROWS
    if a.hi[i] != b.hi[j] or a.lo[i] != b.lo[j]:
        return is_less(a.hi[i], a.lo[i], b.hi[j], b.lo[j])
    return a.created[i] < b.created[j]
