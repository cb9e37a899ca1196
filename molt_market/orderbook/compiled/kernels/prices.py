"""Prices of two words, and what the kernels have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# What numba makes of a parameter, not Python, decides its type: unsigned words for prices, signed ones for
# the rest.
Array = Any
Int = Any
Flag = Any

MISSING = -1
MILLION = 1_000_000

U32 = np.uint64(32)
LOW_32 = np.uint64(2**32 - 1)
U_MILLION = np.uint64(MILLION)
PLACES = np.uint64(43)  # binary places of an estimate
REST = np.uint64(2**43 - 1)
NEAR = np.uint64(2**33)  # 2^-10: an estimate so near to a whole number is compared exactly


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
def estimate_of(ask: Array, hi: Int, lo: Int) -> Int:
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
def exact(ask: Array, hi: Int, lo: Int, estimate: Int) -> Int:
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
    return exact(ask, hi, lo, estimate_of(ask, hi, lo))
