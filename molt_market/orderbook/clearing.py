"""Clearing for most surplus: orders that wait are planned together, and the chain is asked about the plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import OfferId, OrderId
from molt_market.domain.orders import JobOrder
from molt_market.orderbook.fills import Execution, Open
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.openable import WHATEVER_THE_OFFER, Check
from molt_market.orderbook.surplus import Outcome, Refused, gap_millionths

MOST_PLANS = 8  # how often is planned anew because the chain would refuse something


@dataclass(frozen=True, slots=True)
class Clearing:
    """What a clearing for most surplus did with the orders in one token.

    `surplus` is what the orders that are filled gain together: of each what it could spend (the lesser of its
    budget and of its limit price x GPUs x hours), less what it costs. No way to fill them from the offers
    of the book gains more than `bound`. `method` is what found it: "auction", or, if that did no better,
    "price-time" (the oldest order first) or "largest surplus first".
    """

    executions: tuple[Execution, ...]
    surplus: Amount
    bound: Amount
    method: str

    @property
    def gap_millionths(self) -> int:
        """How far the surplus can be below the best one: millionths of the bound, rounded up."""
        return gap_millionths(self.surplus.base_units, self.bound.base_units)


@dataclass(frozen=True, slots=True)
class Plan:
    """What orders in one token would get."""

    opened: tuple[Open, ...]
    outcome: Outcome

    def pairs(self) -> Iterator[tuple[Open, Listing]]:
        """Give what is matched: of offers on one slot the smaller one first, which is how they are opened."""
        both = zip(self.opened, self.outcome.listings, strict=True)
        found = [(rest, listing) for rest, listing in both if listing is not None]
        return iter(sorted(found, key=lambda pair: pair[1].gpu_count))


class Answers:
    """What the chain said about pairs of an order and an offer; without a check, all can be opened."""

    def __init__(self, check: Check | None) -> None:
        self._check = check
        self._openable: set[tuple[OrderId, OfferId]] = set()
        self._refused: dict[OrderId, list[Listing]] = defaultdict(list)
        self._out: set[OrderId] = set()

    def are_good(self, rest: Open, listing: Listing) -> bool:
        """Tell whether a pair can be opened for all that is known."""
        return self._check is None or (rest.order.id, listing.offer.id) in self._openable

    def have(self, plans: Iterable[Plan]) -> bool:
        return all(self.are_good(*pair) for plan in plans for pair in plan.pairs())

    def ask(self, plans: Iterable[Plan]) -> None:
        """Ask about all that is planned and not known yet."""
        for rest, listing in (pair for plan in plans for pair in plan.pairs()):
            if self._check is None or self.are_good(rest, listing):
                continue
            obstacle = self._check(listing.offer, rest.order)
            if obstacle is None:
                self._openable.add((rest.order.id, listing.offer.id))
            elif isinstance(obstacle, WHATEVER_THE_OFFER):
                self._out.add(rest.order.id)
            else:
                self._refused[rest.order.id].append(listing)

    def may_take_part(self, order: JobOrder) -> bool:
        return order.id not in self._out

    def refused(self, opened: Iterable[Open]) -> Refused:
        """Return what was refused to these orders, by their places."""
        orders = enumerate(rest.order.id for rest in opened)
        return {n: self._refused[order_id] for n, order_id in orders if order_id in self._refused}
