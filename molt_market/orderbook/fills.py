"""How an order is filled, whole or in parts: by one provider, or by several."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from molt_market.domain.amounts import Amount
from molt_market.domain.matches import OrderMatch
from molt_market.domain.orders import JobOrder
from molt_market.errors import InsufficientCapacity, MarketError, PriceExceedsBudget
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.matcher import nothing_fits
from molt_market.orderbook.ranked import Ranked
from molt_market.orderbook.reservations import Reservation


@dataclass(frozen=True, slots=True)
class Fill:
    """What an order gets: matches that together bring `gpu_count` GPUs, the best offer first.

    One match of all that was asked is of the order itself. Else each match is of a part: an order of its own,
    whose budget is what it costs. Parts on one slot come with the smaller offer first, which is how the
    contract opens them.
    """

    order: JobOrder
    matches: tuple[OrderMatch, ...]

    @property
    def gpu_count(self) -> int:
        return sum(match.gpu_count for match in self.matches)

    @property
    def total_cost(self) -> Amount:
        costs = (match.total_cost for match in self.matches)
        return sum(costs, start=Amount.zero(self.order.budget.token))


@dataclass(frozen=True, slots=True)
class Execution:
    """What was done with an order: the fill, with a reservation for each match of it, or the obstacle to one.

    `resting` GPUs of the order wait in the book.
    """

    order: JobOrder
    fill: Fill | None
    reservations: tuple[Reservation, ...]
    resting: int
    obstacle: MarketError | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """What of an order is still to be filled: `demand` is for its GPUs and money, `least` for one fill.

    `numbers` are those that its next parts may have. `is_whole` unless some of it was filled before.
    """

    order: JobOrder
    demand: Demand
    least: int
    numbers: Iterator[int] = field(default_factory=lambda: count(1), compare=False)
    is_whole: bool = True


Part = tuple[Ranked, int]


def fill(rest: Open, ranked: Sequence[Ranked]) -> Fill | None:
    """Fill what is open of an order by offers that meet its needs and price limit, ranked, the best first.

    Of all fills with the most GPUs that the budget allows, it is the one with the most GPUs of the best
    offer, then of the second, and so on. None if that is less than the least.
    """
    parts = _of_several(ranked, rest.demand) if rest.order.split else _of_one(ranked, rest.demand)
    if sum(gpus for _, gpus in parts) < rest.least:
        return None
    if [gpus for _, gpus in parts] == [rest.demand.gpu_count]:
        return whole(rest, parts[0][0])
    ordered = _in_order_of_opening(parts)
    numbered = zip(ordered, rest.numbers, strict=False)  # there is always another number
    return Fill(rest.order, tuple(_match(rest, number, *part) for part, number in numbered))


def whole(rest: Open, ranked: Ranked) -> Fill:
    """Fill all that is open of an order by one offer that fits it."""
    if rest.is_whole:
        return Fill(rest.order, (ranked.match(rest.order, rest.demand),))
    number = next(rest.numbers)
    return Fill(rest.order, (_match(rest, number, ranked, rest.demand.gpu_count),))


def unfilled(rest: Open, near: Sequence[Listing]) -> MarketError:
    """Say why the least quantity cannot be had of what meets the needs, money and free GPUs apart.

    The GPUs come first: InsufficientCapacity with the most there are at any price. Else it is the money:
    PriceExceedsBudget with the total at the price that brings enough of them, if that is above the limit, or
    with the cheapest total.
    """
    if not near:
        return nothing_fits()
    least = replace(rest.demand, gpu_count=rest.least, budget=_ENOUGH)
    by_price = sorted(near, key=lambda listing: listing.price)
    count = _total if rest.order.split else _largest
    most = count(by_price, least)
    if most < rest.least:
        return InsufficientCapacity(rest.least, most)
    first = bisect_left(by_price, rest.least, key=lambda o: count(_up_to(o.price, by_price), least))
    price = by_price[first].price
    cost = least.total_at(price)
    if rest.order.split and price <= rest.demand.price_limit:
        cost = _cheapest(by_price, least)
    spendable = replace(rest.demand, gpu_count=rest.least).spendable
    return PriceExceedsBudget(Amount(cost, least.token), Amount(spendable, least.token))


# ------------------------------------------------------------------------------------ which offers, how many


def _of_one(ranked: Sequence[Ranked], demand: Demand) -> list[Part]:
    """Take the offer that brings the most GPUs, of several the best."""
    parts = [(each, _affordable(each.listing, demand)) for each in ranked]
    return [max(parts, key=lambda part: part[1])] if parts else []


def _affordable(listing: Listing, demand: Demand) -> int:
    return min(demand.gpu_count, listing.free, demand.budget // (demand.hours * listing.price))


def _of_several(ranked: Sequence[Ranked], demand: Demand) -> list[Part]:
    by_price = sorted(enumerate(ranked), key=lambda each: each[1].listing.price)
    money_is_short = demand.spendable < demand.total_at(demand.price_limit)
    parts: list[Part] = []
    taken, missing, money = Taken(), demand.gpu_count, demand.budget
    most = _most([each.listing for _, each in by_price], demand, taken, missing, money)
    for place, each in enumerate(ranked):
        if not most:
            break
        listing, unit = each.listing, demand.hours * each.listing.price
        gpus = min(missing, taken.room(listing), money // unit)
        others = [other.listing for at, other in by_price if at > place] if money_is_short else []
        while (
            money_is_short
            and gpus + _most(others, demand, taken.and_(listing, gpus), missing - gpus, money - gpus * unit)
            < most
        ):
            gpus -= 1  # that many would leave too little money for the rest
        if gpus:
            parts.append((each, gpus))
            taken = taken.and_(listing, gpus)
            missing, money, most = missing - gpus, money - gpus * unit, most - gpus
    return parts


class Taken:
    """GPUs taken for parts: the limit of an offer counts all that smaller ones of its slot bring as well."""

    def __init__(self, parts: tuple[tuple[Listing, int], ...] = ()) -> None:
        self._parts = parts

    def and_(self, listing: Listing, gpus: int) -> Taken:
        return Taken((*self._parts, (listing, gpus))) if gpus else self

    def room(self, listing: Listing) -> int:
        """Return how many more GPUs a listing can bring."""
        beside = [(each.free, gpus) for each, gpus in self._parts if each.pool is listing.pool]
        limits = {listing.free, *(free for free, _ in beside if free > listing.free)}
        return min(limit - sum(gpus for free, gpus in beside if free <= limit) for limit in limits)


def _most(by_price: Iterable[Listing], demand: Demand, taken: Taken, missing: int, money: int) -> int:
    return sum(gpus for _, gpus in _cheapest_parts(by_price, demand, taken, missing, money))


def _cheapest_parts(
    by_price: Iterable[Listing], demand: Demand, taken: Taken, missing: int, money: int
) -> list[tuple[Listing, int]]:
    """Take the cheapest GPUs until none is missing or the money is used up: no other way brings more.

    The GPUs that can be had together are a matroid (in each slot a chain of limits, one within the other):
    there the cheapest first are the cheapest of their number (J. Edmonds, Matroids and the greedy algorithm,
    1971).
    """
    parts = []
    for listing in by_price:
        unit = demand.hours * listing.price
        gpus = min(missing, taken.room(listing), money // unit)
        if not gpus:
            if money < unit or not missing:
                break
            continue
        parts.append((listing, gpus))
        taken = taken.and_(listing, gpus)
        missing, money = missing - gpus, money - gpus * unit
    return parts


# ------------------------------------------------------------------------------------ why not

_ENOUGH = 2**256  # more than any total


def _up_to(price: int, by_price: Sequence[Listing]) -> Sequence[Listing]:
    return by_price[: bisect_right(by_price, price, key=lambda listing: listing.price)]


def _largest(by_price: Sequence[Listing], demand: Demand) -> int:
    return max(_affordable(listing, demand) for listing in by_price)


def _total(by_price: Sequence[Listing], demand: Demand) -> int:
    return _most(by_price, demand, Taken(), demand.gpu_count, demand.budget)


def _cheapest(by_price: Sequence[Listing], demand: Demand) -> int:
    parts = _cheapest_parts(by_price, demand, Taken(), demand.gpu_count, demand.budget)
    return sum(gpus * demand.hours * listing.price for listing, gpus in parts)


# ------------------------------------------------------------------------------------ parts as matches


def _match(rest: Open, number: int, ranked: Ranked, gpus: int) -> OrderMatch:
    demand = replace(rest.demand, gpu_count=gpus)
    cost = Amount(demand.total_at(ranked.listing.price), demand.token)
    return ranked.match(rest.order.part(number, gpus, cost), demand)


def _in_order_of_opening(parts: list[Part]) -> list[Part]:
    """Let parts on one slot change places so that smaller offers come first."""
    pools: dict[int, list[Part]] = {}
    for part in parts:
        pools.setdefault(id(part[0].listing.pool), []).append(part)
    rising = {pool: iter(sorted(each, key=lambda part: part[0].listing.free)) for pool, each in pools.items()}
    return [next(rising[id(part[0].listing.pool)]) for part in parts]
