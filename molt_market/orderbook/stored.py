"""Offers that lie elsewhere, in a database for example, read when they are wanted.

A book of a million offers is there at once that way: of each GPU model that is asked for, the prices are read
once, and of the offers themselves only those that a question comes to.
"""

from __future__ import annotations

import gc
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import NamedTuple, Protocol, cast

from molt_market.domain.amounts import Token
from molt_market.domain.ids import Hash32, OfferId
from molt_market.domain.offers import CapacityOffer
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.index import Group, GroupedIndex
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.market_data import Ask
from molt_market.orderbook.reservations import Reservations

AT_ONCE = 64  # offers that are read together: who looks at one of a group often looks at the next
PART = 10_000  # offers of a whole shelf that are read together: no transaction of the shelf lasts long


class Priced(NamedTuple):
    """What is read of every offer: enough to say where it stands in its group. The price is base units."""

    model: str
    features: int
    price: int
    offer_id: OfferId


class Shelf(Protocol):
    """Where the offers lie."""

    def models(self) -> Collection[str]:
        """Return the GPU models of the offers that stand."""
        ...

    def priced(self, models: Collection[str] | None) -> Iterable[Priced]:
        """Return all offers of these models that stand, in any order; None: of all models."""
        ...

    def offers(self, offer_ids: Collection[OfferId]) -> Iterable[tuple[CapacityOffer, bool]]:
        """Return these offers, as far as they are there, each with whether it stands."""
        ...

    def asks(self, token: Token, model: str | None, now: datetime) -> Iterable[Ask]:
        """Return what all offers of a token that stand now ask, in any order; of one model, or of all."""
        ...


class StoredListings:
    """The listings of a shelf by their ids, as far as they stand; each is read when it is first asked for."""

    def __init__(self, shelf: Shelf, reservations: Reservations) -> None:
        self._shelf = shelf
        self._reservations = reservations
        self._read: dict[OfferId, Listing] = {}
        self._gone: set[OfferId] = set()
        self._has_all = False

    def __contains__(self, offer_id: object) -> bool:
        return self.known(cast(OfferId, offer_id)) is not None and offer_id not in self._gone

    def __getitem__(self, offer_id: OfferId) -> Listing:
        listing = self.known(offer_id)
        if listing is None or offer_id in self._gone:
            raise KeyError(offer_id)
        return listing

    def __setitem__(self, offer_id: OfferId, listing: Listing) -> None:
        self._read[offer_id] = listing
        self._gone.discard(offer_id)

    def __delitem__(self, offer_id: OfferId) -> None:
        self._gone.add(offer_id)

    def known(self, offer_id: OfferId) -> Listing | None:
        """Return a listing, whether it stands or not; None: the shelf has no such offer."""
        self.read([offer_id])
        return self._read.get(offer_id)

    def is_read(self, offer_id: OfferId) -> bool:
        return offer_id in self._read

    def values(self) -> list[Listing]:
        """Return all that stand, and have read them all by then."""
        if not self._has_all:
            standing = (each.offer_id for each in self._shelf.priced(None))
            while part := list(islice(standing, PART)):
                self.read(part)
                gc.freeze()  # they stay; who looks for garbage among millions of them stops everybody
            self._has_all = True  # from now on each comes by `__setitem__`
        return [listing for offer_id, listing in self._read.items() if offer_id not in self._gone]

    def listing_of(self, offer: CapacityOffer) -> Listing:
        """Make a listing whose GPUs come from its slot's pool."""
        pool = self._reservations.pool(offer.provider_id, offer.slot)
        return Listing.of(offer, pool, Hash32(offer.id))

    def read(self, offer_ids: Iterable[OfferId]) -> None:
        """Have these offers at hand, as far as they are on the shelf."""
        wanted = [each for each in offer_ids if each not in self._read]
        for offer, stands in self._shelf.offers(wanted) if wanted else ():
            self._read[offer.id] = self.listing_of(offer)
            if not stands:
                self._gone.add(offer.id)


Place = tuple[int, OfferId]


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group whose prices are known, and whose offers are read as one comes to them."""

    model: str
    features: int
    places: Sequence[Place]
    end: int
    listings: StoredListings

    def __len__(self) -> int:
        return self.end

    def price(self, place: int) -> int:
        return self.places[place][0]

    def listing(self, place: int) -> Listing:
        """Return an offer; it is read together with some behind it, if it was not before."""
        offer_id = self.places[place][1]
        if not self.listings.is_read(offer_id):
            self.listings.read(each for _, each in self.places[place : min(place + AT_ONCE, self.end)])
        listing = self.listings.known(offer_id)
        if listing is None:
            raise LookupError(f"the shelf has lost offer {offer_id}")
        return listing


class StoredIndex(GroupedIndex):
    """Offers by model and features, each group by price; a model is read when it is first asked for."""

    def __init__(self, shelf: Shelf, listings: StoredListings) -> None:
        self._shelf = shelf
        self._listings = listings
        self._groups: dict[tuple[str, int], list[Place]] = {}
        self._models: set[str] = set()
        self._has_all = False

    def add(self, listing: Listing) -> None:
        if self._knows(listing.model):
            places = self._groups.setdefault((listing.model, listing.features), [])
            place = _place(listing)
            at = bisect_left(places, place)
            if places[at : at + 1] != [place]:  # else it was there when the model was read
                places.insert(at, place)

    def remove(self, listing: Listing) -> None:
        places = self._groups.get((listing.model, listing.features), [])
        place = _place(listing)
        at = bisect_left(places, place)
        if places[at : at + 1] == [place]:
            del places[at]

    def candidates(self, demand: Demand) -> Iterator[Group]:
        for (model, features), places in self._wanted(demand):
            end = bisect_right(places, demand.price_limit, key=lambda place: place[0])
            yield StoredGroup(model, features, places, end, self._listings)

    def candidates_at_any_price(self, demand: Demand) -> Iterator[Listing]:
        for (model, features), places in self._wanted(demand):
            group = StoredGroup(model, features, places, len(places), self._listings)
            yield from map(group.listing, range(len(group)))

    def read_on(self) -> bool:
        """Read one more model ahead of all questions; False if none is left."""
        left = [] if self._has_all else sorted(set(self._shelf.models()) - self._models)
        if left:
            self._know(left[:1])
        return len(left) > 1

    def _wanted(self, demand: Demand) -> list[tuple[tuple[str, int], list[Place]]]:
        self._know(demand.required_models or None)
        return [(key, places) for key, places in self._groups.items() if demand.may_be_met_by(*key)]

    def _knows(self, model: str) -> bool:
        return self._has_all or model in self._models

    def _know(self, models: Collection[str] | None) -> None:
        """Have the prices of these models at hand; None: of all."""
        if self._has_all:
            return
        new = None if models is None else [each for each in models if each not in self._models]
        if new == []:
            return
        found: dict[tuple[str, int], list[Place]] = {}
        for model, features, price, offer_id in self._shelf.priced(new):
            if model not in self._models:
                found.setdefault((model, features), []).append((price, offer_id))
        for places in found.values():
            places.sort()
        self._groups |= found
        self._has_all = models is None
        self._models |= set(new or ())


def _place(listing: Listing) -> Place:
    return listing.price, listing.offer.id
