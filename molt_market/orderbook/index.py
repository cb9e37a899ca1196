"""Where offers are looked up. A port, so that a compiled index can take the place of this readable one."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing


class Group(Protocol):
    """Offers of one model with the same features, the cheapest first, by their places from 0 up."""

    @property
    def model(self) -> str: ...

    @property
    def features(self) -> int: ...

    def __len__(self) -> int: ...

    def price(self, place: int) -> int: ...

    def listing(self, place: int) -> Listing: ...


class OfferIndex(Protocol):
    """Narrows a question down to the offers that may be the answer.

    To give an offer that does not fit is only slow; to leave one out that fits is wrong.
    """

    def add(self, listing: Listing) -> None: ...

    def remove(self, listing: Listing) -> None: ...

    def candidates(self, demand: Demand) -> Iterator[Group]:
        """Give at least all that fit, none above the price limit."""
        ...

    def candidates_at_any_price(self, demand: Demand) -> Iterator[Listing]:
        """Give at least all that would fit if neither money nor the GPU count mattered, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class ListedGroup:
    """A group out of a list of listings, up to an end."""

    model: str
    features: int
    listings: Sequence[Listing]
    end: int

    def __len__(self) -> int:
        return self.end

    def price(self, place: int) -> int:
        return self.listings[place].price

    def listing(self, place: int) -> Listing:
        return self.listings[place]


class PriceIndex:
    """Offers by model and features, each group by price."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, int], list[Listing]] = {}

    def add(self, listing: Listing) -> None:
        insort(self._groups.setdefault((listing.model, listing.features), []), listing, key=_place)

    def remove(self, listing: Listing) -> None:
        listings = self._groups[listing.model, listing.features]
        del listings[bisect_right(listings, _place(listing), key=_place) - 1]

    def candidates(self, demand: Demand) -> Iterator[Group]:
        for (model, features), listings in self._groups.items():
            if demand.may_be_met_by(model, features):
                end = bisect_right(listings, demand.price_limit, key=_price)
                yield ListedGroup(model, features, listings, end)

    def candidates_at_any_price(self, demand: Demand) -> Iterator[Listing]:
        for (model, features), listings in self._groups.items():
            if demand.may_be_met_by(model, features):
                yield from listings


def _price(listing: Listing) -> int:
    return listing.price


def _place(listing: Listing) -> tuple[int, str]:
    return listing.price, listing.offer.id
