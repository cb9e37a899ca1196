"""The orders of the book, and where each stands."""

from __future__ import annotations

from datetime import datetime

from molt_market.domain.ids import OrderId
from molt_market.domain.orders import JobOrder, OrderStatus
from molt_market.errors import Expired, InvalidStateTransition, OrderNotFound, utc


class Orders:
    """Orders by id, as they came in. A pending one expires by itself."""

    def __init__(self) -> None:
        self._orders: dict[OrderId, JobOrder] = {}

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
            raise Expired(f"order {order.id} (until {utc(order.expires_at)})")
        self._orders[order.id] = order

    def get(self, order_id: OrderId, now: datetime) -> JobOrder:
        """Return an order in its present status. Raises OrderNotFound."""
        if order_id not in self._orders:
            raise OrderNotFound(order_id)
        order = self._orders[order_id]
        if order.status is OrderStatus.PENDING and now >= order.expires_at:
            return order.with_status(OrderStatus.EXPIRED)
        return order

    def move(self, order_id: OrderId, to: OrderStatus, now: datetime) -> None:
        """Let an order go on to another status. Raises OrderNotFound, InvalidStateTransition."""
        self.replace(self.get(order_id, now).with_status(to))

    def replace(self, order: JobOrder) -> None:
        self._orders[order.id] = order

    def pending(self, now: datetime) -> list[JobOrder]:
        return [o for o in self._orders.values() if o.status is OrderStatus.PENDING and now < o.expires_at]
