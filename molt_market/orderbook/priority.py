"""Who is served first: priority classes, which have to be backed by money in the escrow."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import PartyId
from molt_market.domain.orders import JobOrder, Priority

BACKING = {Priority.URGENT: 2, Priority.HIGH: 1}
"""How many times its budget a buyer has to have in the escrow for an order of a class."""

RANK = {Priority.URGENT: 0, Priority.HIGH: 1, Priority.NORMAL: 2, Priority.LOW: 3}

Funds = Callable[[PartyId], Amount]
"""Says what a buyer has in the escrow, less what is marked to be withdrawn."""


def in_turn(orders: Iterable[JobOrder], funds: Funds | None) -> list[JobOrder]:
    """Sort orders as they are served: by class, then by creation time, then by id.

    A class above NORMAL counts as far as it is backed: URGENT by twice the order's budget, HIGH by once. The
    same money backs one order, an earlier one first; URGENT that is backed once counts as HIGH, and what is
    not backed at all counts as NORMAL.
    """
    left: dict[PartyId, Amount] = {}
    classes: dict[str, Priority] = {}
    queue = sorted(orders, key=lambda order: (order.created_at, order.id))
    for order in queue:
        if order.priority in BACKING and funds is not None and order.buyer_id not in left:
            left[order.buyer_id] = funds(order.buyer_id)
        classes[order.id] = _backed(order, left)
    return sorted(queue, key=lambda order: RANK[classes[order.id]])


def _backed(order: JobOrder, left: dict[PartyId, Amount]) -> Priority:
    """Return the class that counts, and use up the money that backs it."""
    if order.priority not in BACKING:
        return order.priority
    money = left.get(order.buyer_id)
    for wanted in (Priority.URGENT, Priority.HIGH):
        needed = order.budget * BACKING[wanted]
        if RANK[wanted] < RANK[order.priority] or money is None or money.token != needed.token:
            continue
        if needed <= money:
            left[order.buyer_id] = money - needed
            return wanted
    return Priority.NORMAL
