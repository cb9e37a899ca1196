"""The search for offers by a query (docs/search.md): what stands now and passes, the best first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from molt_market.domain.amounts import MAX_DECIMALS, MOLT
from molt_market.domain.offers import OfferStatus
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.matcher import Matcher
from molt_market.orderbook.ranked import Ranked
from molt_market.orderbook.search_fields import FIELDS, SCORE
from molt_market.orderbook.search_query import Query, SortKey


def parse_query(text: str) -> Query:
    """Read a query. An empty one lets everything pass. Raises InvalidQuery, which points at the mistake.

    >>> parse_query("vram_gb >= 80 country in [de, FR] --sort price")
    Query('vram_gb>=80 country in [DE,FR] --sort price')
    """
    from molt_market.orderbook.search_reader import read  # noqa: PLC0415 - loads lark, which few programs need

    return read(text)


def search(query: Query, listings: Iterable[Listing], matcher: Matcher, now: datetime) -> list[Ranked]:
    """Return what stands, has GPUs free and passes all filters, sorted.

    The score is that of an order which asks for nothing in particular, at the dearest price that was found.
    """
    found = [_in_whole_tokens(o) for o in listings if _stands(o, now) and _passes(o, query)]
    dearest = max((listing.price for listing in found), default=1)
    ranked = matcher.rank(found, _for_anything(dearest, now))
    for key in reversed(query.sort):  # every sort is stable: what comes first decides last
        ranked = _sorted(ranked, key)
    return ranked


def _stands(listing: Listing, now: datetime) -> bool:
    return listing.created_at <= now and listing.status(now) is OfferStatus.ACTIVE


def _passes(listing: Listing, query: Query) -> bool:
    return all(each.keeps(listing) for each in query.filters)


def _in_whole_tokens(listing: Listing) -> Listing:
    """Bring a price to the unit of 18 decimals, so that prices in several tokens can be ranked together."""
    missing = MAX_DECIMALS - listing.token.decimals
    return replace(listing, price=listing.price * 10**missing) if missing else listing


def _for_anything(price_limit: int, now: datetime) -> Demand:
    return Demand(
        now=now,
        gpu_count=1,
        hours=1,
        price_limit=price_limit,
        budget=price_limit,
        token=MOLT,  # no part of a score looks at it
        min_vram_gb=0,
        features=0,
        region=None,
        country=None,
        required_models=frozenset(),
        preferred_models=(),
    )


def _sorted(ranked: list[Ranked], key: SortKey) -> list[Ranked]:
    """Sort by one key, and put what does not state it last in either direction."""
    values: list[tuple[Any, Ranked]] = [(_value(each, key.field), each) for each in ranked]
    stated = [pair for pair in values if pair[0] is not None]
    stated.sort(key=lambda pair: pair[0], reverse=key.descending)
    return [each for _, each in stated] + [each for value, each in values if value is None]


def _value(ranked: Ranked, field: str) -> Any:
    return ranked.score if field == SCORE else FIELDS[field].stated(ranked.listing)
