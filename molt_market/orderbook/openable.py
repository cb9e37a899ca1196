"""What the book asks the chain before it hands a match out: pause, fee, bond, cancels, GPUs, used slots.

The book does not know these facts, and they change without it. Who asks is a port, so that the book itself
does no I/O; without one, all that fits is handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from molt_market.domain.ids import OfferId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.errors import MarketError
from molt_market.orderbook.fills import Fill
from molt_market.refusals import (
    NotOpener,
    OrderAlreadyOpened,
    OrderCancelled,
    OrderExpired,
    OrderNotYetValid,
    Paused,
)

ENOUGH = 8  # matches that are handed out
MOST_ASKED = 64  # offers that are asked about, however many are refused

Check = Callable[[CapacityOffer, JobOrder], MarketError | None]
"""Says what stands in the way of a deal from an offer and an order now: `client.obstacle`; None: nothing."""

WHATEVER_THE_OFFER = (Paused, NotOpener, OrderNotYetValid, OrderExpired, OrderCancelled, OrderAlreadyOpened)


def openable(matches: Sequence[OrderMatch], check: Check) -> list[OrderMatch]:
    """Return the best of these matches that could be opened now, in their order.

    Raises what stands in the way of the best one if none could; and at once what no other offer would mend.
    """
    kept: list[OrderMatch] = []
    first: MarketError | None = None
    for match in matches[:MOST_ASKED]:
        obstacle = check(match.offer, match.order)
        if isinstance(obstacle, WHATEVER_THE_OFFER):
            raise obstacle
        if obstacle is None:
            kept.append(match)
        first = first or obstacle
        if len(kept) == ENOUGH:
            break
    if first is not None and not kept:
        raise first
    return kept


def openable_fill(
    plan: Callable[[Collection[OfferId]], Fill], check: Check
) -> tuple[Fill, frozenset[OfferId]]:
    """Plan a fill without the offers that could not be opened now; return it, and those offers.

    Raises what `plan` raises, or instead of it what stands in the way of the first such offer.
    """
    refused: dict[OfferId, MarketError] = {}
    while True:
        try:
            fill = plan(refused.keys())
        except MarketError:
            if refused:
                raise next(iter(refused.values())) from None
            raise
        obstacles = {match.offer_id: check(match.offer, match.order) for match in fill.matches}
        found = {offer_id: obstacle for offer_id, obstacle in obstacles.items() if obstacle is not None}
        if not found:
            return fill, frozenset(refused)
        refused |= found
        for obstacle in found.values():
            if isinstance(obstacle, WHATEVER_THE_OFFER) or len(refused) > MOST_ASKED:
                raise obstacle
