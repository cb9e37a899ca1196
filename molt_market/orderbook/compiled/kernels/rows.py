"""Rows are put into blocks and taken out of them, and zones kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from molt_market.orderbook.compiled.kernels.prices import MISSING, Array, Flag, Int, is_less
from molt_market.orderbook.compiled.layout import BLOCKS_USED, FREE_BLOCK, PLACES_USED, ROWS, SIZES

DONE, NO_BLOCK, NO_PLACE = 0, 1, 2  # what an insertion comes to: the arrays may have to grow first
REMEASURED = 8  # rows are removed until the zone of their block is made anew
THIN = ROWS // 4  # rows; a block of fewer is joined to the one behind it, if both fill no more than 3/4


@njit(cache=True)
def _shift_rows(block: Array, start: Int, end: Int, by: Int) -> None:
    """Move rows from `start` on, before `end`, by one place down or up."""
    _shift(block.lo, start, end, by)
    _shift(block.hi, start, end, by)
    _shift(block.handle, start, end, by)
    _shift(block.created, start, end, by)
    _shift(block.expires, start, end, by)
    _shift(block.free, start, end, by)
    _shift(block.vram, start, end, by)
    _shift(block.available, start, end, by)
    _shift(block.commitment, start, end, by)
    _shift(block.region, start, end, by)
    _shift(block.bandwidth, start, end, by)
    _shift(block.country, start, end, by)
    _shift(block.policy, start, end, by)
    _shift(block.idle, start, end, by)


@njit(cache=True, inline="always")
def _shift(column: Array, start: Int, end: Int, by: Int) -> None:
    if by > 0:
        for i in range(end - 1, start - 1, -1):
            column[i + 1] = column[i]
    else:
        for i in range(start, end):
            column[i - 1] = column[i]


@njit(cache=True, inline="always")
def copy_row(source: Array, i: Int, target: Array, j: Int) -> None:
    target.lo[j] = source.lo[i]
    target.hi[j] = source.hi[i]
    target.handle[j] = source.handle[i]
    target.created[j] = source.created[i]
    target.expires[j] = source.expires[i]
    target.free[j] = source.free[i]
    target.vram[j] = source.vram[i]
    target.available[j] = source.available[i]
    target.commitment[j] = source.commitment[i]
    target.region[j] = source.region[i]
    target.bandwidth[j] = source.bandwidth[i]
    target.country[j] = source.country[i]
    target.policy[j] = source.policy[i]
    target.idle[j] = source.idle[i]


@njit(cache=True, inline="always")
def _put_row(row: Array, target: Array, j: Int) -> None:
    target.lo[j] = row.lo
    target.hi[j] = row.hi
    target.handle[j] = row.handle
    target.created[j] = row.created
    target.expires[j] = row.expires
    target.free[j] = row.free
    target.vram[j] = row.vram
    target.available[j] = row.available
    target.commitment[j] = row.commitment
    target.region[j] = row.region
    target.bandwidth[j] = row.bandwidth
    target.country[j] = row.country
    target.policy[j] = row.policy
    target.idle[j] = row.idle


@njit(cache=True)
def measure(blocks: Array, zones: Array, b: Int) -> None:
    """Make the zone of a block anew, of rows in number as it says."""
    block, zone = blocks[b], zones[b]
    zone.countries = np.uint64(0)
    for size in range(SIZES):
        zone.regions[size] = np.uint64(0)
    zone.latest, zone.free, zone.vram, zone.available = 0, 0, 0, 0
    zone.commitment, zone.least_vram, zone.least_available = 2**16 - 1, 2**16 - 1, 2**16 - 1
    zone.most_commitment, zone.soonest, zone.youngest = 0, 2**32 - 1, 0
    for i in range(zone.count):
        _widen(zone, block, i)
    zone.lo, zone.hi = block.lo[0], block.hi[0]


@njit(cache=True, inline="always")
def _widen(zone: Array, block: Array, i: Int) -> None:
    """Let a zone hold one more row."""
    region, size = np.uint64(1) << np.uint64(block.region[i] & 63), 0
    while size < SIZES and block.free[i] >= (1 << size) >> 1:
        zone.regions[size] |= region
        size += 1
    zone.countries |= np.uint64(1) << np.uint64(block.country[i] & 63)
    zone.latest = max(zone.latest, block.expires[i])
    zone.free = max(zone.free, block.free[i])
    zone.vram = max(zone.vram, block.vram[i])
    zone.available = max(zone.available, block.available[i])
    zone.commitment = min(zone.commitment, block.commitment[i])
    zone.least_vram = min(zone.least_vram, block.vram[i])
    zone.least_available = min(zone.least_available, block.available[i])
    zone.most_commitment = max(zone.most_commitment, block.commitment[i])
    zone.soonest = min(zone.soonest, block.expires[i])
    zone.youngest = max(zone.youngest, block.created[i])


# ------------------------------------------------------------------------------------ the blocks of a group


@njit(cache=True)
def _first_not_below(zones: Array, group: Array, order: Array, hi: Int, lo: Int) -> Int:
    """Return the place of the first block that begins at a price or above."""
    low, high = 0, group.count
    while low < high:
        middle = (low + high) // 2
        zone = zones[order[group.start + middle]]
        if is_less(np.uint64(zone.hi), zone.lo, hi, lo):
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def _place(blocks: Array, zones: Array, group: Array, order: Array, hi: Int, lo: Int, handle: Int) -> Any:
    """Return where a row is: the place of its block in the group, and of the row in that; MISSING if
    nowhere."""
    at = max(_first_not_below(zones, group, order, hi, lo) - 1, 0)
    while at < group.count:
        b = order[group.start + at]
        if is_less(hi, lo, np.uint64(zones[b].hi), zones[b].lo):
            break
        block = blocks[b]
        for i in range(zones[b].count):
            if block.handle[i] == handle:
                return at, i
        at += 1
    return MISSING, MISSING


@njit(cache=True)
def _new_block(zones: Array, figures: Array) -> Int:
    """Take a block that is not in use; MISSING if there is none."""
    b = figures[FREE_BLOCK]
    if b != MISSING:
        figures[FREE_BLOCK] = zones[b].next
    elif figures[BLOCKS_USED] < len(zones):
        b = figures[BLOCKS_USED]
        figures[BLOCKS_USED] += 1
    return b


@njit(cache=True)
def _has_place(group: Array, order: Array, figures: Array) -> Flag:
    """Have room for one more block in the list of a group: at the end of all lists, if it has outgrown its
    own."""
    if group.count < group.room:
        return True
    room = max(2 * group.room, 4)
    if figures[PLACES_USED] + room > len(order):
        return False
    start = figures[PLACES_USED]
    figures[PLACES_USED] += room
    for i in range(group.count):
        order[start + i] = order[group.start + i]
    group.start, group.room = start, room
    return True


@njit(cache=True)
def _list_block(group: Array, order: Array, at: Int, b: Int) -> None:
    for i in range(group.start + group.count, group.start + at, -1):
        order[i] = order[i - 1]
    order[group.start + at] = b
    group.count += 1


@njit(cache=True)
def _unlist_block(zones: Array, group: Array, order: Array, figures: Array, at: Int) -> None:
    b = order[group.start + at]
    for i in range(group.start + at, group.start + group.count - 1):
        order[i] = order[i + 1]
    group.count -= 1
    zones[b].next = figures[FREE_BLOCK]
    figures[FREE_BLOCK] = b


@njit(cache=True)
def _split(blocks: Array, zones: Array, group: Array, order: Array, at: Int, b: Int) -> None:
    """Move the upper half of a full block to another one, which is listed behind it."""
    old = order[group.start + at]
    kept = ROWS // 2
    for i in range(kept, ROWS):
        copy_row(blocks[old], i, blocks[b], i - kept)
    zones[old].count, zones[b].count = kept, ROWS - kept
    measure(blocks, zones, old)
    measure(blocks, zones, b)
    _list_block(group, order, at + 1, b)


@njit(cache=True)
def insert(
    blocks: Array, zones: Array, groups: Array, order: Array, figures: Array, rows: Array, g: Int
) -> Int:
    """Put a row into a group, behind those of its price. NO_BLOCK, NO_PLACE: nothing was done, for want of
    room."""
    row, group = rows[0], groups[g]
    hi, lo = np.uint64(row.hi), row.lo
    if not _has_place(group, order, figures):
        return NO_PLACE
    at = max(_first_not_below(zones, group, order, hi, lo) - 1, 0)
    if group.count == 0 or zones[order[group.start + at]].count == ROWS:
        b = _new_block(zones, figures)
        if b == MISSING:
            return NO_BLOCK
        if group.count == 0:
            zones[b].count = 0
            _list_block(group, order, 0, b)
        else:
            _split(blocks, zones, group, order, at, b)
            if not is_less(hi, lo, np.uint64(zones[b].hi), zones[b].lo):
                at += 1
    b = order[group.start + at]
    block, zone = blocks[b], zones[b]
    i, end = 0, zone.count
    while i < end:
        middle = (i + end) // 2
        if is_less(hi, lo, np.uint64(block.hi[middle]), block.lo[middle]):
            end = middle
        else:
            i = middle + 1
    _shift_rows(block, i, zone.count, 1)
    _put_row(row, block, i)
    zone.count += 1
    if zone.count == 1:
        measure(blocks, zones, b)
    else:
        _widen(zone, block, i)
        zone.lo, zone.hi = block.lo[0], block.hi[0]
    return DONE


@njit(cache=True)
def remove(
    blocks: Array,
    zones: Array,
    groups: Array,
    order: Array,
    figures: Array,
    g: Int,
    hi: Int,
    lo: Int,
    handle: Int,
) -> Flag:
    """Take a row out of a group; False if it is not there."""
    group = groups[g]
    at, i = _place(blocks, zones, group, order, np.uint64(hi), np.uint64(lo), handle)
    if at == MISSING:
        return False
    b = order[group.start + at]
    _shift_rows(blocks[b], i + 1, zones[b].count, -1)
    zones[b].count -= 1
    if zones[b].count == 0:
        _unlist_block(zones, group, order, figures, at)
        return True
    if zones[b].count < THIN and at + 1 < group.count:
        _join(blocks, zones, group, order, figures, at)
    elif zones[b].count % REMEASURED != 0:  # a zone that says too much is only slow
        zones[b].lo, zones[b].hi = blocks[b].lo[0], blocks[b].hi[0]
        return True
    measure(blocks, zones, b)
    return True


@njit(cache=True)
def _join(blocks: Array, zones: Array, group: Array, order: Array, figures: Array, at: Int) -> None:
    """Take over the rows of the block behind a thin one, if they are few enough."""
    b, behind = order[group.start + at], order[group.start + at + 1]
    count = zones[b].count
    if count + zones[behind].count > ROWS * 3 // 4:
        return
    for i in range(zones[behind].count):
        copy_row(blocks[behind], i, blocks[b], count + i)
    zones[b].count += zones[behind].count
    _unlist_block(zones, group, order, figures, at + 1)


@njit(cache=True)
def set_free(
    blocks: Array, zones: Array, groups: Array, order: Array, g: Int, hi: Int, lo: Int, handle: Int, free: Int
) -> Flag:
    """Note how many GPUs of a row are free now; False if it is not there."""
    group = groups[g]
    at, i = _place(blocks, zones, group, order, np.uint64(hi), np.uint64(lo), handle)
    if at == MISSING:
        return False
    b = order[group.start + at]
    blocks[b].free[i] = free
    measure(blocks, zones, b)
    return True


@njit(cache=True)
def load(blocks: Array, zones: Array, group: Array, order: Array, figures: Array, rows: Array) -> None:
    """Fill an empty group with rows that are sorted by price; there has to be room."""
    fill = ROWS - ROWS // 16
    group[0].start = figures[PLACES_USED]
    group[0].room = (len(rows) + fill - 1) // fill + 4
    figures[PLACES_USED] += group[0].room
    for first in range(0, len(rows), fill):
        b = figures[BLOCKS_USED]
        figures[BLOCKS_USED] += 1
        zones[b].count = min(fill, len(rows) - first)
        for i in range(zones[b].count):
            _put_row(rows[first + i], blocks[b], i)
        measure(blocks, zones, b)
        order[group[0].start + group[0].count] = b
        group[0].count += 1
