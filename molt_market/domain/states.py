"""How the status of an order goes with that of its deal: the one table, docs/states.md in code.

The chain knows a deal's status only. An order's says more (has the job run?), so that several go with one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType

from molt_market.domain.deals import DealStatus
from molt_market.domain.orders import TRANSITIONS, OrderStatus
from molt_market.errors import InvalidStateTransition

ORDER_STATUSES: Mapping[DealStatus, frozenset[OrderStatus]] = MappingProxyType(
    {
        DealStatus.NONE: frozenset({OrderStatus.MATCHED}),
        DealStatus.LOCKED: frozenset(
            {OrderStatus.ESCROWED, OrderStatus.RUNNING, OrderStatus.COMPLETED, OrderStatus.FAILED}
        ),
        DealStatus.CLAIMED: frozenset({OrderStatus.COMPLETED}),
        DealStatus.DISPUTED: frozenset({OrderStatus.DISPUTED}),
        DealStatus.RELEASED: frozenset({OrderStatus.RESOLVED, OrderStatus.SETTLED}),
        DealStatus.REFUNDED: frozenset({OrderStatus.RESOLVED, OrderStatus.REFUNDED}),
    }
)

# What an order comes to when nobody says more than the chain.
_COMES_TO = {
    DealStatus.NONE: OrderStatus.MATCHED,
    DealStatus.LOCKED: OrderStatus.ESCROWED,
    DealStatus.CLAIMED: OrderStatus.COMPLETED,
    DealStatus.DISPUTED: OrderStatus.DISPUTED,
    DealStatus.RELEASED: OrderStatus.SETTLED,
    DealStatus.REFUNDED: OrderStatus.REFUNDED,
}


def agree(order: OrderStatus, deal: DealStatus) -> bool:
    """Tell whether an order may stand there while its deal stands here."""
    return order in ORDER_STATUSES[deal]


def way_to(order: OrderStatus, deal: DealStatus, *, paid: bool = False) -> tuple[OrderStatus, ...]:
    """Return the statuses that an order goes through, one after the other, to follow its deal.

    `paid` says that a voucher was redeemed: the job runs. Empty if the order stands right already. It goes
    through DISPUTED only where no other way leads.

    Raises:
        InvalidStateTransition: no way leads there.

    >>> [status.name for status in way_to(OrderStatus.ESCROWED, DealStatus.RELEASED)]
    ['RUNNING', 'COMPLETED', 'SETTLED']
    """
    target = _COMES_TO[deal]
    if deal is DealStatus.LOCKED:
        if agree(order, deal) and not (paid and order is OrderStatus.ESCROWED):
            return ()
        target = OrderStatus.RUNNING if paid else target
    undisputed = _shortest(order, target, without=OrderStatus.DISPUTED)
    way = _shortest(order, target) if undisputed is None else undisputed
    if way is None:
        raise InvalidStateTransition(order.name, target.name)
    return way


def _shortest(
    from_: OrderStatus, to: OrderStatus, *, without: OrderStatus | None = None
) -> tuple[OrderStatus, ...] | None:
    ways: deque[tuple[OrderStatus, tuple[OrderStatus, ...]]] = deque([(from_, ())])
    seen = {from_, without}
    while ways:
        at, way = ways.popleft()
        if at is to:
            return way
        for following in OrderStatus:  # in this order, so that equal ways do not depend on a set
            if following in TRANSITIONS[at] and following not in seen:
                seen.add(following)
                ways.append((following, (*way, following)))
    return None
