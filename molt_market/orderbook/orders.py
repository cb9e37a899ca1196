"""The orders of the book, the parts that they are filled in, and where each stands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import count

from molt_market.domain.ids import OrderId
from molt_market.domain.orders import JobOrder, OrderStatus, TimeInForce, part_id
from molt_market.errors import Expired, InvalidStateTransition, InvalidValue, OrderNotFound

GONE = frozenset({OrderStatus.CANCELLED, OrderStatus.EXPIRED})
# How far a part is: an order that is all filled stands where the part stands that is furthest behind.
PROGRESS = (
    OrderStatus.MATCHED,
    OrderStatus.ESCROWED,
    OrderStatus.RUNNING,
    OrderStatus.DISPUTED,
    OrderStatus.FAILED,
    OrderStatus.COMPLETED,
    OrderStatus.RESOLVED,
    OrderStatus.SETTLED,
    OrderStatus.REFUNDED,
)


class Orders:
    """Orders by id, as they came in. A pending one expires by itself; one in parts follows its parts."""

    def __init__(self) -> None:
        self._orders: dict[OrderId, JobOrder] = {}
        self._parts: dict[OrderId, list[OrderId]] = {}
        self._whole_of: dict[OrderId, OrderId] = {}

    def __contains__(self, order_id: OrderId) -> bool:
        return order_id in self._orders

    def add(self, order: JobOrder, now: datetime) -> None:
        """Take an order in. Raises InvalidStateTransition unless it is new and pending, and Expired."""
        if order.id in self._orders:
            present = self.get(order.id, now).status
            raise InvalidStateTransition(present.name, OrderStatus.PENDING.name)
        if order.status is not OrderStatus.PENDING:
            raise InvalidStateTransition(order.status.name, OrderStatus.PENDING.name)
        if now >= order.expires_at:
            raise Expired.at(now, f"order {order.id}", order.expires_at)
        self._orders[order.id] = order

    def put(self, order: JobOrder) -> None:
        """Take an order in as it stands, in place of what was there."""
        self._orders[order.id] = order

    def drop(self, order_id: OrderId) -> None:
        """Forget an order. To repeat it is harmless."""
        self._orders.pop(order_id, None)

    def add_part(self, order_id: OrderId, part: JobOrder, now: datetime) -> None:
        """Take in a part of an order."""
        self.add(part, now)
        self._parts.setdefault(order_id, []).append(part.id)
        self._whole_of[part.id] = order_id

    def get(self, order_id: OrderId, now: datetime) -> JobOrder:
        """Return an order in its present status. Raises OrderNotFound."""
        if order_id not in self._orders:
            raise OrderNotFound(order_id)
        order = self._orders[order_id]
        return order.model_copy(update={"status": self._status(order, now)})

    def move(self, order_id: OrderId, to: OrderStatus, now: datetime) -> None:
        """Let an order go on to another status; one in parts follows them (InvalidValue).

        Raises OrderNotFound, InvalidStateTransition.
        """
        if self.is_in_parts(order_id):
            raise InvalidValue(f"order {order_id} stands where its parts stand: name one of them")
        self._orders[order_id] = self.get(order_id, now).with_status(to)

    def cancel(self, order_id: OrderId) -> None:
        """Let nothing more of an order be filled that is not matched. To repeat it is harmless."""
        order = self._orders[order_id]
        if order.status is not OrderStatus.CANCELLED:  # as a part is from the moment when it is unmatched
            self._orders[order_id] = order.with_status(OrderStatus.CANCELLED)

    def unmatch(self, order_id: OrderId) -> None:
        """Take back a match: the order is pending again; a part is over, and the whole order has its GPUs."""
        self._orders[order_id] = self._orders[order_id].with_status(OrderStatus.PENDING)
        if order_id in self._whole_of:
            self.cancel(order_id)

    def pending(self, now: datetime) -> list[JobOrder]:
        return [o for o in self._orders.values() if self._status(o, now) is OrderStatus.PENDING]

    # ------------------------------------------------------------------------------------ parts

    def is_in_parts(self, order_id: OrderId) -> bool:
        return order_id in self._parts

    def parts(self, order_id: OrderId) -> list[JobOrder]:
        """Return all parts that an order was ever filled in, as they came."""
        return [self._orders[part] for part in self._parts.get(order_id, [])]

    def part_numbers(self, order_id: OrderId) -> Iterator[int]:
        """Count the numbers up that no part of an order has yet, nor any other order in its id."""
        first = len(self._parts.get(order_id, [])) + 1
        return (number for number in count(first) if part_id(order_id, number) not in self._orders)

    def filled(self, order_id: OrderId) -> list[JobOrder]:
        """Return the parts that are not over: whose GPUs are held, or have a deal."""
        return [part for part in self.parts(order_id) if part.status not in GONE]

    def open_gpus(self, order: JobOrder) -> int:
        """Return how many GPUs of an order have no part yet."""
        filled = sum(part.requirements.min_gpu_count for part in self.filled(order.id))
        return order.requirements.min_gpu_count - filled

    def _status(self, order: JobOrder, now: datetime) -> OrderStatus:
        if order.status is not OrderStatus.PENDING:
            return order.status
        if self.is_in_parts(order.id):
            if not self.open_gpus(order):
                return min((part.status for part in self.filled(order.id)), key=PROGRESS.index)
            if order.time_in_force is not TimeInForce.GTC:
                return OrderStatus.CANCELLED
        return OrderStatus.EXPIRED if now >= order.expires_at else OrderStatus.PENDING
