"""Where offers are looked up. A port, so that a compiled index can take the place of this readable one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple, Protocol

from molt_market.errors import InvalidValue
from molt_market.orderbook.constraints import fits
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.ranked import Ranked
from molt_market.orderbook.scoring import Scoring
from molt_market.orderbook.surplus import Outcome, Refused


class OfferIndex(Protocol):
    """Keeps the offers of a book, and finds those that fit a demand, ranked by a score.

    All indexes give the same answers. An answer is to be read before an offer comes or goes, or GPUs are
    held or let go: it may look at what it needs only then.
    """

    def add(self, listing: Listing) -> None: ...

    def remove(self, listing: Listing) -> None: ...

    def find(self, demand: Demand, scoring: Scoring) -> Sequence[Ranked]:
        """Return all that fits, the best first."""
        ...

    def best(self, demand: Demand, scoring: Scoring, limit: int) -> Sequence[Ranked]:
        """Return the first `limit` of what `find` returns, without looking at all that fits."""
        ...

    def match_round(self, demands: Sequence[Demand], scoring: Scoring) -> list[Listing | None]:
        """Let many demands in turn each take all its GPUs from the best offer that fits what is left by then.

        Returns the offer that each gets, None where nothing fits. What an offer has left goes to the demands
        behind; offers on one slot share its GPUs. It is a plan: nothing is held when it is there.
        """
        ...

    def prepare_for_surplus(self) -> None:
        """Get ready for `most_surplus`, which may take its time once. Raises InvalidValue if it never is."""
        ...

    def most_surplus(self, demands: Sequence[Demand], refused: Refused, *, share_slots: bool) -> Outcome:
        """Assign offers to demands in one token, each to be filled whole, for the most surplus.

        A slot serves one demand, or as many as its GPUs do. It is a plan, as that of `match_round`.
        """
        ...

    def candidates_at_any_price(self, demand: Demand) -> Iterable[Listing]:
        """Give at least all that would fit if neither money nor the GPU count mattered, in any order."""
        ...


class Group(Protocol):
    """Offers of one model with the same features, the cheapest first, by their places from 0 up."""

    @property
    def model(self) -> str: ...

    @property
    def features(self) -> int: ...

    def __len__(self) -> int: ...

    def price(self, place: int) -> int: ...

    def listing(self, place: int) -> Listing: ...


class Head(NamedTuple):
    """The next place of a group, and where the best of what is left of it could stand: score and price.

    `group_id` only keeps two heads from being compared any further.
    """

    at_best: tuple[int, int]
    group_id: int
    place: int
    group: Group


class GroupedIndex(ABC):
    """Finds what fits in groups that come by price."""

    @abstractmethod
    def candidates(self, demand: Demand) -> Iterator[Group]:
        """Give at least all that fit, none above the price limit.

        To give an offer that does not fit is only slow; to leave one out that fits is wrong.
        """

    def find(self, demand: Demand, scoring: Scoring) -> list[Ranked]:
        groups = self.candidates(demand)
        found = (group.listing(place) for group in groups for place in range(len(group)))
        return ranking((o for o in found if fits(o, demand)), demand, scoring)

    def best(self, demand: Demand, scoring: Scoring, limit: int) -> list[Ranked]:
        """Return the first `limit` of what `find` returns, without looking at all that fits.

        Each group comes by price, so that what is next in it says how good the rest of it can be at most. The
        groups are gone through by that, until nothing better can come: the threshold algorithm of Fagin,
        Lotem and Naor, Optimal Aggregation Algorithms for Middleware, 2003.
        """
        groups = [group for group in self.candidates(demand) if len(group)]
        heads = [_head(group, 0, demand, scoring) for group in groups]
        heapify(heads)
        found: list[Ranked] = []
        while limit and heads and (len(found) < limit or found[-1].place() > heads[0].at_best):
            _, _, place, group = heads[0]
            if place + 1 < len(group):
                heapreplace(heads, _head(group, place + 1, demand, scoring))
            else:
                heappop(heads)
            listing = group.listing(place)
            if fits(listing, demand):
                insort(found, Ranked.of(listing, demand, scoring), key=Ranked.place)
                del found[limit:]
        return found

    def match_round(self, demands: Sequence[Demand], scoring: Scoring) -> list[Listing | None]:
        return one_by_one(self.best, demands, scoring)

    def prepare_for_surplus(self) -> None:
        raise _cannot_clear()

    def most_surplus(
        self,
        demands: Sequence[Demand],  # noqa: ARG002 - nothing that is asked for helps
        refused: Refused,  # noqa: ARG002
        *,
        share_slots: bool,  # noqa: ARG002
    ) -> Outcome:
        raise _cannot_clear()


def _cannot_clear() -> InvalidValue:
    return InvalidValue(
        "this book's index cannot clear for surplus: pip install 'molt-market[matcher]', and give the"
        " book another one, OrderBook(index=CompiledIndex())"
    )


def one_by_one(
    find_best: Callable[[Demand, Scoring, int], Sequence[Ranked]],
    demands: Sequence[Demand],
    scoring: Scoring,
) -> list[Listing | None]:
    """Match demands in turn, and hold the GPUs of each for so long."""
    taken: list[Listing | None] = []
    try:
        for demand in demands:
            best = find_best(demand, scoring, 1)
            listing = best[0].listing if best else None
            if listing is not None:
                listing.pool.held += demand.gpu_count
            taken.append(listing)
    finally:
        for demand, listing in zip(demands, taken, strict=False):
            if listing is not None:
                listing.pool.held -= demand.gpu_count
    return taken


def _head(group: Group, place: int, demand: Demand, scoring: Scoring) -> Head:
    price = group.price(place)
    at_most = scoring.at_most(price, group.model, group.features, demand)
    return Head((-at_most, price), id(group), place, group)


def ranking(listings: Iterable[Listing], demand: Demand, scoring: Scoring) -> list[Ranked]:
    """Sort listings, none above the price limit, the best first."""
    return sorted((Ranked.of(listing, demand, scoring) for listing in listings), key=Ranked.place)


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


class PriceIndex(GroupedIndex):
    """Offers by model and features, each group by price."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, int], list[Listing]] = {}

    def add(self, listing: Listing) -> None:
        insort(self._groups.setdefault((listing.model, listing.features), []), listing, key=_place)

    def remove(self, listing: Listing) -> None:
        listings = self._groups[listing.model, listing.features]
        del listings[bisect_right(listings, _place(listing), key=_place) - 1]

    def listings(self) -> Iterator[Listing]:
        """Give all that are in it."""
        for listings in self._groups.values():
            yield from listings

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
