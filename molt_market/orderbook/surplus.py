"""What a clearing for most surplus comes to: who gets which offer, and how much more there could be at most.

The surplus of a match is what its order can spend (the lesser of its budget and of its limit price x GPUs x
hours) less what it costs, in base units of their token: (bid - ask) x GPUs x hours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from molt_market.domain.matches import MILLION
from molt_market.orderbook.listing import Listing

Refused = Mapping[int, Collection[Listing]]
"""Offers that a demand must not get, by the demand's place among all."""

PRICE_TIME, LARGEST_FIRST, AUCTION = "price-time", "largest surplus first", "auction"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What each demand gets, None: nothing. Money is base units.

    `surplus` is what all of them gain together; no outcome gains more than `bound`. `method` found it.
    """

    method: str
    listings: tuple[Listing | None, ...]
    surplus: int
    bound: int

    def within(self, bound: int) -> Outcome:
        return replace(self, bound=min(self.bound, bound))


def gap_millionths(surplus: int, bound: int) -> int:
    """Return how far a surplus is below a bound, in millionths of that, rounded up."""
    return -(-(bound - surplus) * MILLION // bound) if bound else 0
