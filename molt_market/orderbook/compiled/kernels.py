"""The compiled part of the compiled index: rows are put in, taken out and looked through here.

Compiled by numba when first called, and kept beside this file (or where NUMBA_CACHE_DIR says) for the next
process. Integers only; unsigned and signed ones never meet in one expression, which numba would turn into
floats.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from molt_market.orderbook.compiled.layout import BLOCKS_USED, FREE_BLOCK, PLACES_USED, ROWS, SIZES

# What numba makes of a parameter, not Python, decides its type: unsigned words for prices, signed ones for
# the rest.
Array = Any
Int = Any
Flag = Any

DONE, NO_BLOCK, NO_PLACE = 0, 1, 2  # what an insertion comes to: the arrays may have to grow first
MISSING = -1

MILLION = 1_000_000
FULL_BANDWIDTH = 8_000
FEATURES = 5
REMEASURED = 8  # rows are removed until the zone of their block is made anew
THIN = ROWS // 4  # rows; a block of fewer is joined to the one behind it, if both fill no more than 3/4

U32 = np.uint64(32)
LOW_32 = np.uint64(2**32 - 1)
U_MILLION = np.uint64(MILLION)
BASES = 32  # what groups score whatever the price, at most so many different figures are ranked
TIED = np.uint64(1 << 31)
PLACE = np.uint64((1 << 31) - 1)
FEW_ROWS = 4
AT_ONCE = 32  # blocks of one group that are passed over before the other groups are looked at
PLACES = np.uint64(43)  # binary places of an estimate
REST = np.uint64(2**43 - 1)
NEAR = np.uint64(2**33)  # 2^-10: an estimate so near to a whole number is compared exactly


# ------------------------------------------------------------------------------------ prices


@njit(cache=True, inline="always")
def is_less(hi: Int, lo: Int, than_hi: Int, than_lo: Int) -> Flag:
    return hi < than_hi or (hi == than_hi and lo < than_lo)


@njit(cache=True)
def _is_product_less(hi: Int, lo: Int, factor: Int, than_hi: Int, than_lo: Int, than_factor: Int) -> Flag:
    """Compare two products of a 96-bit and a 20-bit number, exactly, in limbs of 32 bits."""
    a = (lo & LOW_32) * factor
    b = (lo >> U32) * factor + (a >> U32)
    c = hi * factor + (b >> U32)
    x = (than_lo & LOW_32) * than_factor
    y = (than_lo >> U32) * than_factor + (x >> U32)
    z = than_hi * than_factor + (y >> U32)
    if c != z:
        return c < z
    return is_less(b & LOW_32, a & LOW_32, y & LOW_32, x & LOW_32)


@njit(cache=True, inline="always")
def _estimate(ask: Array, hi: Int, lo: Int) -> Int:
    """Return (limit - price) * 1,000,000 / limit, nearly, with 43 binary places, for a price up to the limit.

    Both are shifted below 2^32, and multiplied by floor(2^63 / limit) instead of divided: each of the two
    makes the quotient wrong by at most 2^-31, so that the estimate is less than 2^-10 from the truth. A
    higher price never has a higher estimate.
    """
    left_lo = ask.limit_lo - lo
    left_hi = ask.limit_hi - hi - np.uint64(ask.limit_lo < lo)
    if ask.shift == 0:
        left = left_lo
    elif ask.shift < 64:  # what a shift by 64 gives is undefined
        left = (left_hi << (np.uint64(64) - ask.shift)) | (left_lo >> ask.shift)
    else:
        left = left_hi
    return ((left * ask.reciprocal) >> np.uint64(20)) * U_MILLION


@njit(cache=True, inline="always")
def _exact(ask: Array, hi: Int, lo: Int, estimate: Int) -> Int:
    """Return (limit - price) * 1,000,000 // limit: where an estimate is near a whole number, by
    comparison."""
    share, rest = estimate >> PLACES, estimate & REST
    if NEAR < rest < REST - NEAR:
        return np.int64(share)
    left_lo = ask.limit_lo - lo
    left_hi = ask.limit_hi - hi - np.uint64(ask.limit_lo < lo)
    whole = share if rest <= NEAR else share + np.uint64(1)
    if _is_product_less(left_hi, left_lo, U_MILLION, ask.limit_hi, ask.limit_lo, whole):
        return np.int64(whole) - 1
    return np.int64(whole)


@njit(cache=True, inline="always")
def saved(ask: Array, hi: Int, lo: Int) -> Int:
    """Return (limit - price) * 1,000,000 // limit, exactly, for a price up to the limit."""
    return _exact(ask, hi, lo, _estimate(ask, hi, lo))


# ------------------------------------------------------------------------------------ rows of a block


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


# ------------------------------------------------------------------------------------ looking


@njit(cache=True, inline="always")
def may_fit(zone: Array, ask: Array) -> Flag:
    return (
        zone.free >= ask.free
        and zone.vram >= ask.vram
        and zone.commitment <= ask.hours
        and zone.available >= ask.hours
        and np.int64(zone.latest) > ask.now
        and (ask.region < 0 or (zone.regions[ask.size] >> np.uint64(ask.region & 63)) & np.uint64(1) != 0)
        and (ask.country < 0 or (zone.countries >> np.uint64(ask.country & 63)) & np.uint64(1) != 0)
    )


@njit(cache=True)
def _mark(block: Array, zone: Array, count: Int, ask: Array, fits: Array, marks: Array) -> Int:
    """List the rows that fit, but for their price, and return how many.

    A loop of one comparison runs on many rows at once, so that it pays to look at a whole column, unless
    all rows keep what is asked, or only few rows are of the place that is asked for: those are looked at
    one by one.
    """
    for i in range(count):
        marks[i] = 1
    if ask.region >= 0 or ask.country >= 0:
        n = _of_place(block, count, ask, fits, marks)
        if n <= FEW_ROWS:
            return _one_by_one(block, n, ask, fits)
    _by_columns(block, zone, count, ask, marks)
    return _listed(marks, count, fits)


@njit(cache=True)
def _of_place(block: Array, count: Int, ask: Array, fits: Array, marks: Array) -> Int:
    if ask.region >= 0:
        regions, region = block.region, np.uint16(ask.region)
        for i in range(count):
            marks[i] = np.uint8(regions[i] == region)
    if ask.country >= 0:
        countries, country = block.country, np.uint8(ask.country)
        for i in range(count):
            marks[i] &= np.uint8(countries[i] == country)
    return _listed(marks, count, fits)


@njit(cache=True)
def _listed(marks: Array, count: Int, fits: Array) -> Int:
    n = 0
    for i in range(count):
        fits[n] = i
        n += marks[i]
    return n


@njit(cache=True)
def _one_by_one(block: Array, n: Int, ask: Array, fits: Array) -> Int:
    kept = 0
    for each in range(n):
        i = fits[each]
        if (
            block.free[i] >= ask.free
            and block.vram[i] >= ask.vram
            and block.available[i] >= ask.hours
            and block.commitment[i] <= ask.hours
            and block.created[i] <= ask.born
            and block.expires[i] > ask.now
            and (ask.policy < 0 or block.policy[i] == ask.policy or block.policy[i] == 0)
        ):
            fits[kept] = i
            kept += 1
    return kept


@njit(cache=True)
def _by_columns(block: Array, zone: Array, count: Int, ask: Array, marks: Array) -> None:
    free, free_least = block.free, np.uint16(ask.free)
    for i in range(count):
        marks[i] &= np.uint8(free[i] >= free_least)
    if zone.soonest <= ask.now:
        expires, now = block.expires, np.uint32(ask.now)
        for i in range(count):
            marks[i] &= np.uint8(expires[i] > now)
    if zone.least_vram < ask.vram:
        vram, vram_least = block.vram, np.uint16(ask.vram)
        for i in range(count):
            marks[i] &= np.uint8(vram[i] >= vram_least)
    hours = np.uint16(ask.hours)
    if zone.least_available < ask.hours:
        available = block.available
        for i in range(count):
            marks[i] &= np.uint8(available[i] >= hours)
    if zone.most_commitment > ask.hours:
        commitment = block.commitment
        for i in range(count):
            marks[i] &= np.uint8(commitment[i] <= hours)
    if zone.youngest > ask.born:
        created, born = block.created, np.uint32(ask.born)
        for i in range(count):
            marks[i] &= np.uint8(created[i] <= born)
    if ask.policy >= 0:
        policy, policies = np.uint8(ask.policy), block.policy
        for i in range(count):
            marks[i] &= np.uint8(policies[i] == policy) | np.uint8(policies[i] == 0)


@njit(cache=True, inline="always")
def in_group(group: Array, ask: Array, shares: Array) -> Int:
    """Return what each offer of a group scores whatever its price; MISSING if none can fit."""
    share = shares[group.model]
    if share < 0 or group.count == 0 or group.token != ask.token or ask.features & ~group.features:
        return MISSING
    extra, beyond = group.features & ~ask.features, 0
    while extra:
        beyond += extra & 1
        extra >>= 1
    return (
        ask.base
        + ask.model_weight * share // MILLION
        + ask.features_weight * (beyond * MILLION // FEATURES) // MILLION
    )


@njit(cache=True, inline="always")
def advisory(block: Array, i: Int, ask: Array) -> Int:
    idle = np.int64(block.idle[i]) * (MILLION // 100)
    bandwidth = np.int64(block.bandwidth[i]) * MILLION // FULL_BANDWIDTH
    return ask.idle_weight * idle // MILLION + ask.bandwidth_weight * bandwidth // MILLION


@njit(cache=True, inline="always")
def score_of(block: Array, i: Int, ask: Array, base: Int) -> Int:
    share = saved(ask, np.uint64(block.hi[i]), block.lo[i])
    return base + ask.price_weight * share // MILLION + advisory(block, i, ask)


@njit(cache=True, inline="always")
def _rows_up_to(block: Array, count: Int, hi: Int, lo: Int) -> Int:
    """Return how many rows of a block cost no more than a price."""
    if count == 0 or not is_less(hi, lo, np.uint64(block.hi[count - 1]), block.lo[count - 1]):
        return count
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if is_less(hi, lo, np.uint64(block.hi[middle]), block.lo[middle]):
            high = middle
        else:
            low = middle + 1
    return low


# ------------------------------------------------------------------------------------ the best few


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
    end = _rows_up_to(block, zone.count, ask.cap_hi, ask.cap_lo)
    marked = _mark(block, zone, end, ask, fits, marks)
    for each in range(marked):
        i = fits[each]
        hi, lo, created = np.uint64(block.hi[i]), block.lo[i], np.int64(block.created[i])
        score = score_of(block, i, ask, base)
        if n < count or _is_before(score, hi, lo, created, found[n - 1]):
            n = _take(found, n, count, score, hi, lo, created, np.int64(block.handle[i]))
        elif score - advisory(block, i, ask) + most < found[n - 1].score:
            break  # what comes behind is dearer
    return n


# ------------------------------------------------------------------------------------ all that fits


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
            end = _rows_up_to(block, zone.count, ask.cap_hi, ask.cap_lo)
            for each in range(_mark(block, zone, end, ask, fits, marks)):
                i = fits[each]
                hi, lo = np.uint64(block.hi[i]), block.lo[i]
                estimate = _estimate(ask, hi, lo)
                worth = ask.price_weight * _exact(ask, hi, lo, estimate) // MILLION
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
