"""Where offers are looked up. A port, so that a compiled index can take the place of this readable one."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from typing import Protocol

from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing


class OfferIndex(Protocol):
    """Narrows a question down to the offers that may be the answer.

    To give an offer that does not fit is only slow; to leave one out that fits is wrong. Any order will do.
    """

    def add(self, listing: Listing) -> None: ...

    def remove(self, listing: Listing) -> None: ...

    def candidates(self, demand: Demand) -> Iterator[Listing]:
        """Give at least all that fit."""
        ...

    def candidates_at_any_price(self, demand: Demand) -> Iterator[Listing]:
        """Give at least all that would fit if neither money nor the GPU count mattered."""
        ...


class PriceIndex:
    """Offers by model, each model's by price."""

    def __init__(self) -> None:
        self._models: dict[str, list[Listing]] = {}

    def add(self, listing: Listing) -> None:
        insort(self._models.setdefault(listing.model, []), listing, key=_place)

    def remove(self, listing: Listing) -> None:
        listings = self._models[listing.model]
        del listings[bisect_right(listings, _place(listing), key=_place) - 1]

    def candidates(self, demand: Demand) -> Iterator[Listing]:
        for listings in self._wanted(demand):
            yield from listings[: bisect_right(listings, demand.price_limit, key=_price)]

    def candidates_at_any_price(self, demand: Demand) -> Iterator[Listing]:
        for listings in self._wanted(demand):
            yield from listings

    def _wanted(self, demand: Demand) -> Iterator[list[Listing]]:
        for model in demand.required_models or self._models:
            yield self._models.get(model, [])


def _price(listing: Listing) -> int:
    return listing.price


def _place(listing: Listing) -> tuple[int, str]:
    return listing.price, listing.offer.id
