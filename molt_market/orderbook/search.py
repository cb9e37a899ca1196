"""The offers that a query is for, in its order."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from molt_market.domain.orders import JobRequirements
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.matcher import Matcher, Ranked
from molt_market.orderbook.query import SCORE, Filter, Query, SortKey
from molt_market.orderbook.query_fields import FIELDS

_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def search(query: Query, listings: Iterable[Listing], now: datetime, matcher: Matcher) -> list[Listing]:
    """Return the listings that pass all filters, sorted; ties go by score, price, time and id.

    The score is that of an order that asks for nothing more and prefers nothing, up to the dearest price of
    what is found.
    """
    found = [listing for listing in listings if all(_passes(each, listing) for each in query.filters)]
    if not found:
        return []
    dearest = max(found, key=lambda listing: listing.price).offer.price_per_hour
    anything = JobRequirements(min_gpu_count=1, min_vram_gb=0, estimated_hours=1, max_price_per_hour=dearest)
    ranked = matcher.rank(found, Demand.of_requirements(anything, now))
    for key in reversed(query.sort):  # each sort keeps the order of what is equal by it
        ranked = _sorted(ranked, key)
    return [each.listing for each in ranked]


def _passes(wanted: Filter, listing: Listing) -> bool:
    stated = FIELDS[wanted.field].of(listing)
    if stated is None:  # nothing is known of it, so it is not even unequal
        return False
    if compare := _ORDER.get(wanted.operator):
        return compare(stated, wanted.values[0])
    has = stated if isinstance(stated, frozenset) else frozenset({stated})
    return has.isdisjoint(wanted.values) == (wanted.operator in {"!=", "not in"})


def _sorted(ranked: list[Ranked], key: SortKey) -> list[Ranked]:
    """Sort by one key; what an offer does not state comes last, whatever the direction."""

    def value(each: Ranked) -> Any:
        return each.score if key.field == SCORE else FIELDS[key.field].of(each.listing)

    stated = [each for each in ranked if value(each) is not None]
    rest = [each for each in ranked if value(each) is None]
    return sorted(stated, key=value, reverse=key.descending) + rest
