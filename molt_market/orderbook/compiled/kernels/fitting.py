"""Which rows fit a question, and what they score."""

from __future__ import annotations

import numpy as np
from numba import njit

from molt_market.orderbook.compiled.kernels.prices import MILLION, MISSING, Array, Flag, Int, is_less, saved

FULL_BANDWIDTH = 8_000
FEATURES = 5
FEW_ROWS = 4


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
def mark(block: Array, zone: Array, count: Int, ask: Array, fits: Array, marks: Array) -> Int:
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
def rows_up_to(block: Array, count: Int, hi: Int, lo: Int) -> Int:
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
