"""How the compiled index lies in memory: whole numbers only, a block of rows after the other.

A price is base units below 2^96, in two words: `hi` are its upper 32 bits, `lo` the lower 64.
"""

from __future__ import annotations

import struct

import numpy as np

ROWS = 128  # of a block: enough for the processor to look at many at once, few enough to shift on an insert

# What a column cannot hold is written as its greatest value. A question for that value or above is answered
# by more rows than fit, which are then looked at one by one (`Question.is_exact`).
MOST_2 = 2**16 - 1
MOST_4 = 2**32 - 1
OTHER = 255  # the code of every country, and of every policy, that came when all other codes were given away

SIZES = 6  # of free GPUs, of which a zone knows the regions: any, 1, 2, 4, 8, 16 or more

COLUMNS = (
    ("lo", "u8"),
    ("hi", "u4"),
    ("handle", "u4"),  # the number of the listing
    ("created", "u4"),  # Unix seconds
    ("expires", "u4"),
    ("free", "u2"),  # GPUs
    ("vram", "u2"),  # GB of each GPU
    ("available", "u2"),  # hours
    ("commitment", "u2"),
    ("region", "u2"),  # codes; 0: not stated
    ("bandwidth", "u2"),  # GB/s up to what counts in full; 0: not stated
    ("country", "u1"),
    ("policy", "u1"),
    ("idle", "u1"),  # 100 - utilization in percent; 0: not stated
)

ROW = np.dtype(list(COLUMNS))
PACK_ROW = struct.Struct("<Q4I6H3B").pack_into

BLOCK = np.dtype([(name, kind, (ROWS,)) for name, kind in COLUMNS])

ZONE = np.dtype(
    [
        ("lo", "u8"),  # the price of the first row
        ("regions", "u8", (SIZES,)),  # bit (code mod 64) of each region, for rows of so many free GPUs
        ("countries", "u8"),
        ("hi", "u4"),
        ("latest", "u4"),  # the last moment at which a row expires
        ("free", "u2"),  # the most of any row
        ("vram", "u2"),
        ("available", "u2"),
        ("commitment", "u2"),  # the least
        ("least_vram", "u2"),  # and the opposites: what all rows keep need not be looked at in each
        ("least_available", "u2"),
        ("most_commitment", "u2"),
        ("soonest", "u4"),
        ("youngest", "u4"),  # the last creation
        ("count", "i4"),  # rows
        ("next", "i4"),  # of a block that is not in use: the next such block
    ]
)
"""What a block holds at most, to pass it over unread: a zone map, or small materialized aggregate (G.
Moerkotte, Small Materialized Aggregates, VLDB 1998)."""

GROUP = np.dtype(
    [
        ("start", "i8"),  # where the group's blocks are listed, by price
        ("count", "i8"),
        ("room", "i8"),
        ("token", "i4"),
        ("model", "i4"),
        ("features", "i8"),
    ]
)

QUESTION = np.dtype(
    [
        ("limit_lo", "u8"),  # the limit price, which the score is measured by
        ("limit_hi", "u8"),
        ("cap_lo", "u8"),  # the dearest price that limit and budget allow
        ("cap_hi", "u8"),
        ("shift", "u8"),  # bits that the limit price is above 2^32
        ("reciprocal", "u8"),  # 2^63 over the limit price so shifted
        ("price_weight", "i8"),
        ("model_weight", "i8"),
        ("idle_weight", "i8"),
        ("bandwidth_weight", "i8"),
        ("features_weight", "i8"),
        ("base", "i8"),  # what each offer scores by reliability
        ("token", "i8"),
        ("features", "i8"),
        ("now", "i8"),  # Unix seconds; what expires later stands
        ("born", "i8"),  # the same; what was created by then stands
        ("free", "i8"),
        ("size", "i8"),  # which of the sizes that is
        ("vram", "i8"),
        ("hours", "i8"),
        ("region", "i8"),  # -1: any
        ("country", "i8"),
        ("policy", "i8"),
    ]
)
PACK_QUESTION = struct.Struct("<6Q17q").pack_into

FAMILY = np.dtype(
    [
        ("lo", "u8"),  # no offer of it costs less
        ("hi", "u4"),
        ("token", "i4"),
        ("model", "i4"),
        ("start", "i4"),  # its groups
        ("end", "i4"),
        ("features", "i8"),  # that any of them has
    ]
)
"""The groups of one token and model."""

CHOICE = np.dtype([("others", "i8"), ("start", "i8"), ("end", "i8")])
"""What models are worth to a demand: those it names, and all others (-1: they do not do)."""

CHOSEN = np.dtype([("model", "i8"), ("share", "i8")])

HEAD = np.dtype([("score", "i8"), ("lo", "u8"), ("hi", "u4"), ("group", "i4"), ("at", "i8"), ("base", "i8")])
"""The next block of a group, the most that a row of it or of later ones scores, and the least that they
cost."""

FOUND = np.dtype([("score", "i8"), ("lo", "u8"), ("hi", "u4"), ("created", "u4"), ("handle", "i8")])

BEST = np.dtype([*FOUND.descr, ("is_tied", "i8")])
"""The best row of a round's demand; `is_tied` if another one differs from it by nothing but its id."""

# places in the array that holds the index's own figures
BLOCKS_USED, FREE_BLOCK, PLACES_USED, FIGURES = 0, 1, 2, 3

BIDDER = np.dtype(
    [
        ("worth", "i8"),  # the most that an order can spend, in units; -1: nothing fits it
        ("unit", "i8"),  # its GPUs x hours
        ("least", "i8"),  # what is not remembered is worth no more
        ("kept", "i4"),
        ("start", "i4"),  # its offers, if they are listed
        ("end", "i4"),
    ]
)
"""An order that bids in a clearing for most surplus."""

REMEMBERED = np.dtype([("cost", "i8"), ("value", "i8"), ("pool", "i4"), ("number", "i4")])
"""An offer that a bidder remembers: what it costs him, what it was worth beyond that, its slot and number."""

EDGE = np.dtype([("gain", "i8"), ("order", "i4"), ("pool", "i4"), ("number", "i4")])
"""An offer that fits an order, its slot, and what the order can spend less what it costs."""
