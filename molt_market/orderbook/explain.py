"""Why an order does not match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from molt_market.domain.orders import MAX_ID_OF_PARTS, JobOrder
from molt_market.orderbook.constraints import CONSTRAINTS, names_broken
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.fills import Fill, Open, fill
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.matcher import Matcher
from molt_market.orderbook.relaxations import Relaxation, relaxations


@dataclass(frozen=True, slots=True)
class Exclusion:
    """How many offers break a constraint, and how many of them break no other one."""

    constraint: str
    offers: int
    alone: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the book has for an order from one provider.

    `fitting` of the `offers` that are listed fit; what excludes the others, the most frequent first; and the
    relaxations that would make it match, the fewest changes first, then the cheapest. `in_parts` is how
    several providers would fill it as it is, where one does not and they would.
    """

    order: JobOrder
    offers: int
    fitting: int
    exclusions: tuple[Exclusion, ...]
    relaxations: tuple[Relaxation, ...]
    in_parts: Fill | None

    def __str__(self) -> str:
        lines = [f"{self.fitting} of {self.offers} offers fit order {self.order.id}"]
        lines += [
            f"  {each.constraint}: excludes {each.offers}"
            + (f", {each.alone} by itself" if each.alone else "")
            for each in self.exclusions
        ]
        if self.in_parts:
            parts = " and ".join(f"{each.gpu_count} of {each.offer_id}" for each in self.in_parts.matches)
            lines += [f"it can be split: {parts} for {self.in_parts.total_cost}"]
        lines += ["it would match if you"] if self.relaxations else []
        lines += [f"  {relaxation}" for relaxation in self.relaxations]
        return "\n".join(lines)


def explain(
    listings: Sequence[Listing], order: JobOrder, demand: Demand, matcher: Matcher, limit: int
) -> Explanation:
    """Explain what listings have to do with an order; see OrderBook.explain."""
    implied = frozenset({"budget"} if order.max_budget is None else ())  # by the price limit
    broken = [names_broken(listing, demand) - implied for listing in listings]
    fitting = sum(not names for names in broken)
    found = [] if fitting else relaxations(listings, order, demand.now, matcher)
    told = tuple(found[: max(limit, 0)])
    can_be_split = not order.is_bound and len(order.id) <= MAX_ID_OF_PARTS
    in_parts = _in_parts(order, demand, matcher) if can_be_split and not fitting else None
    return Explanation(order, len(listings), fitting, _exclusions(broken), told, in_parts)


def _in_parts(order: JobOrder, demand: Demand, matcher: Matcher) -> Fill | None:
    """Fill the whole order by several providers, if they can."""
    split = order.model_copy(update={"split": True, "min_quantity": None})
    usable = [listing for listing in matcher.near(demand) if listing.price <= demand.price_limit]
    return fill(Open(split, demand, demand.gpu_count), matcher.rank(usable, demand))


def _exclusions(broken: Sequence[frozenset[str]]) -> tuple[Exclusion, ...]:
    found = [
        Exclusion(
            each.name, sum(each.name in names for names in broken), broken.count(frozenset({each.name}))
        )
        for each in CONSTRAINTS
    ]
    return tuple(sorted((each for each in found if each.offers), key=lambda each: -each.offers))
