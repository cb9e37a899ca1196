"""What the order book consists of: offers, orders, and how each of them stands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from molt_market.domain.clock import Clock
from molt_market.domain.fields import seconds
from molt_market.domain.ids import Hash32, OfferId, OrderId
from molt_market.domain.offers import CapacityOffer, OfferStatus
from molt_market.domain.orders import JobOrder, OrderStatus, TimeInForce
from molt_market.errors import Expired, InvalidStateTransition, InvalidValue, OfferNotFound
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.fills import Open
from molt_market.orderbook.index import OfferIndex
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.orders import Orders
from molt_market.orderbook.reservations import Reservations
from molt_market.refusals import OrderNotYetValid

OF_THE_BOOK = frozenset(
    {
        OrderStatus.PENDING,
        OrderStatus.MATCHED,
        OrderStatus.ESCROWED,
        OrderStatus.CANCELLED,
        OrderStatus.EXPIRED,
    }
)

P = ParamSpec("P")
R = TypeVar("R")
Book = TypeVar("Book", bound="Entries")


def alone(method: Callable[Concatenate[Book, P], R]) -> Callable[Concatenate[Book, P], R]:
    """Let one thread at a time in: between looking for free GPUs and taking them, nobody else may."""

    @wraps(method)
    def locked(self: Book, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            return method(self, *args, **kwargs)

    return locked


class Listings(Protocol):
    """Listings by the ids of their offers; a dict is one."""

    def __contains__(self, offer_id: object, /) -> bool: ...

    def __getitem__(self, offer_id: OfferId, /) -> Listing: ...

    def __setitem__(self, offer_id: OfferId, listing: Listing, /) -> None: ...

    def __delitem__(self, offer_id: OfferId, /) -> None: ...

    def values(self) -> Iterable[Listing]: ...


class Entries:
    """Offers and orders as they come, change and go. The first layer of the OrderBook."""

    def __init__(self, clock: Clock, index: OfferIndex) -> None:
        self._clock = clock
        self._index = index
        self._listings: Listings = {}
        self._orders = Orders()
        self._reservations = Reservations()
        self._lock = threading.RLock()

    # ------------------------------------------------------------------------------------ offers

    @alone
    def add_offer(self, offer: CapacityOffer, *, offer_hash: Hash32 | None = None) -> OfferId:
        """List an offer. Orders that name an offer match it only by the hash given here.

        Raises InvalidStateTransition if its id is listed already or its status is not ACTIVE, and Expired.
        """
        if offer.id in self._listings or offer.status is not OfferStatus.ACTIVE:
            raise InvalidStateTransition(offer.status.name, OfferStatus.ACTIVE.name)
        if (now := self._now()) >= offer.expires_at:
            raise expired(offer, now)
        pool = self._reservations.pool(offer.provider_id, offer.slot)
        listing = Listing.of(offer, pool, offer_hash)
        self._listings[offer.id] = listing
        self._index.add(listing)
        return offer.id

    @alone
    def remove_offer(self, offer_id: OfferId) -> None:
        """Take an offer off the book; its GPUs that are held stay held. Raises OfferNotFound."""
        self._index.remove(self._listing(offer_id))
        del self._listings[offer_id]

    @alone
    def offer(self, offer_id: OfferId) -> CapacityOffer:
        """Return an offer as it is now: ACTIVE, FILLED (no GPU is free) or EXPIRED. Raises OfferNotFound."""
        listing = self._listing(offer_id)
        return listing.offer.model_copy(update={"status": listing.status(self._now())})

    @alone
    def active_offers(self) -> list[CapacityOffer]:
        """Return the offers that stand and have GPUs free, as they were added."""
        now = self._now()
        active = OfferStatus.ACTIVE
        return [o.offer for o in self._listings.values() if o.created_at <= now and o.status(now) is active]

    # ------------------------------------------------------------------------------------ orders

    @alone
    def submit_order(self, order: JobOrder) -> OrderId:
        """Take an order in, to wait. An order that does not wait is for `execute` (InvalidValue).

        Raises InvalidStateTransition unless it is new and PENDING, and Expired.
        """
        if order.time_in_force is not TimeInForce.GTC:
            raise InvalidValue(f"order {order.id} is {order.time_in_force}, so it never waits: execute it")
        self._orders.add(order, self._now())
        return order.id

    @alone
    def cancel_order(self, order_id: OrderId) -> None:
        """Cancel an order; what is reserved for it, or for its parts, is free at once. Open deals stay.

        Raises OrderNotFound, and InvalidStateTransition if nothing of it is pending or matched.
        """
        status = self._orders.get(order_id, self._now()).status
        if status not in {OrderStatus.PENDING, OrderStatus.MATCHED}:
            raise InvalidStateTransition(status.name, OrderStatus.CANCELLED.name)
        for each in (order_id, *(part.id for part in self._orders.parts(order_id))):
            if (reservation := self._reservations.of_order(each)) is not None:
                self._reservations.release(reservation)
                self._orders.unmatch(each)
        self._orders.cancel(order_id)

    @alone
    def advance_order(self, order_id: OrderId, status: OrderStatus) -> None:
        """Note how the deal of an ESCROWED order went on: RUNNING, COMPLETED, SETTLED, ...

        Raises OrderNotFound, and InvalidStateTransition also for the statuses that the book itself keeps.
        """
        now = self._now()
        if status in OF_THE_BOOK:
            raise InvalidStateTransition(self._orders.get(order_id, now).status.name, status.name)
        self._orders.move(order_id, status, now)

    @alone
    def order(self, order_id: OrderId) -> JobOrder:
        """Return an order in its present status. Raises OrderNotFound."""
        return self._orders.get(order_id, self._now())

    @alone
    def pending_orders(self) -> list[JobOrder]:
        """Return the orders that wait for a match, as they came in."""
        return self._orders.pending(self._now())

    # ------------------------------------------------------------------------------------ inside

    def _now(self) -> datetime:
        """Return the time, after doing what it brings: reservations lapse."""
        now = self._clock.now()
        for reservation in self._reservations.lapse(now):
            self._orders.unmatch(reservation.order_id)
        return now

    def _listing(self, offer_id: OfferId) -> Listing:
        if offer_id not in self._listings:
            raise OfferNotFound(offer_id)
        return self._listings[offer_id]

    def _demand(self, order: JobOrder, now: datetime) -> Demand:
        self._require_pending(order, now)
        if self._orders.is_in_parts(order.id):
            raise InvalidValue(f"order {order.id} is filled in parts: ask for its fill, or execute it")
        return Demand.of_order(order, now)

    @alone
    def _open(self, order: JobOrder) -> Open:
        """Return what is still to be filled of an order; of one in parts, as it was when it came in."""
        now = self._now()
        self._require_pending(order, now)
        in_parts = self._orders.is_in_parts(order.id)
        asked = self._orders.get(order.id, now) if in_parts else order
        demand = Demand.of_order(asked, now)
        spent = sum(part.budget.base_units for part in self._orders.filled(order.id))
        gpus = self._orders.open_gpus(asked)
        rest = replace(demand, gpu_count=gpus, budget=demand.budget - spent)
        numbers = self._orders.part_numbers(order.id)
        return Open(asked, rest, min(asked.least_gpus, gpus), numbers, is_whole=not in_parts)

    def _require_pending(self, order: JobOrder, now: datetime) -> None:
        present = self._orders.get(order.id, now) if order.id in self._orders else order
        if now >= order.expires_at or present.status is OrderStatus.EXPIRED:
            raise Expired.at(now, f"order {order.id}", order.expires_at)
        if present.status is not OrderStatus.PENDING:
            raise InvalidStateTransition(present.status.name, OrderStatus.MATCHED.name)
        if now < order.created_at:
            raise OrderNotYetValid(seconds(now), seconds(order.created_at))


def expired(offer: CapacityOffer, now: datetime) -> Expired:
    return Expired.at(now, f"offer {offer.id}", offer.expires_at)
