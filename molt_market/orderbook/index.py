"""Where offers are looked up. A port, so that a compiled index can take the place of this readable one."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from itertools import chain, islice
from typing import Protocol

from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing


class OfferIndex(Protocol):
    """Narrows a question down to the offers that may be the answer.

    To give an offer that does not fit is only slow; to leave one out that fits is wrong.
    """

    def add(self, listing: Listing) -> None: ...

    def remove(self, listing: Listing) -> None: ...

    def candidates(self, demand: Demand) -> Iterator[Iterator[Listing]]:
        """Give at least all that fit, in groups of one model with the same features, the cheapest first."""
        ...

    def candidates_at_any_price(self, demand: Demand) -> Iterator[Listing]:
        """Give at least all that would fit if neither money nor the GPU count mattered, in any order."""
        ...


class PriceIndex:
    """Offers by model and features, each group by price."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, int], list[Listing]] = {}

    def add(self, listing: Listing) -> None:
        insort(self._groups.setdefault((listing.model, listing.features), []), listing, key=_place)

    def remove(self, listing: Listing) -> None:
        listings = self._groups[listing.model, listing.features]
        del listings[bisect_right(listings, _place(listing), key=_place) - 1]

    def candidates(self, demand: Demand) -> Iterator[Iterator[Listing]]:
        for listings in self._wanted(demand):
            yield islice(listings, bisect_right(listings, demand.price_limit, key=_price))

    def candidates_at_any_price(self, demand: Demand) -> Iterator[Listing]:
        return chain.from_iterable(self._wanted(demand))

    def _wanted(self, demand: Demand) -> Iterator[list[Listing]]:
        for (model, features), listings in self._groups.items():
            if not demand.features & ~features and (
                not demand.required_models or model in demand.required_models
            ):
                yield listings


def _price(listing: Listing) -> int:
    return listing.price


def _place(listing: Listing) -> tuple[int, str]:
    return listing.price, listing.offer.id
