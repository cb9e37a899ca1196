"""Who holds which GPUs: the one authority, so that none is promised twice.

A reservation holds GPUs for at most two minutes: until its deal is confirmed, it is released, or its time is
over. A confirmed deal holds them until it is freed. The chain counts alike while a deal is locked.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from molt_market.domain.ids import EscrowId, OfferId, OrderId, PartyId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, OrderStatus
from molt_market.errors import InvalidStateTransition, InvalidValue, NotReserved, ReservationLapsed, utc
from molt_market.orderbook.listing import Pool
from molt_market.refusals import OrderAlreadyOpened

MAX_RESERVATION_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Reservation:
    """GPUs of a provider's `slot`, held for a match until, not including, a moment."""

    id: int
    order_id: OrderId
    offer_id: OfferId
    buyer_id: PartyId
    order_slot: int | None
    provider_id: PartyId
    slot: int
    gpu_count: int
    hours: int
    until: datetime
    offer: CapacityOffer = field(compare=False, repr=False)

    def is_for(self, match: OrderMatch) -> bool:
        """Whether this holds what a match is about, for its buyer; a name becomes an address by signing."""
        same = (self.order_id, self.offer_id, self.gpu_count, self.hours)
        buyer = match.order.buyer_id
        is_his = self.buyer_id == buyer or (self.buyer_id.address is None and buyer.address is not None)
        return is_his and same == (match.order_id, match.offer_id, match.gpu_count, match.hours)


def require_in_time(until: datetime, now: datetime) -> None:
    """Refuse a time limit that lies in the past or too far ahead."""
    if until.tzinfo is None:
        raise InvalidValue(f"until {until} has no time zone: give it one, e.g. datetime.now(UTC)")
    if until <= now:
        raise InvalidValue(f"until {utc(until)} is over, it is {utc(now)}: give a later time")
    if until - now > timedelta(seconds=MAX_RESERVATION_SECONDS):
        most = MAX_RESERVATION_SECONDS
        raise InvalidValue(
            f"until {utc(until)} is more than {most} seconds after {utc(now)}: reserve for less"
        )


class Reservations:
    """All GPUs that are held, by reservations and by deals."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._pools: dict[tuple[PartyId, int], Pool] = {}
        self._open: dict[OrderId, Reservation] = {}
        self._deadlines: list[tuple[datetime, int, Reservation]] = []
        self._deals: dict[EscrowId, Reservation] = {}  # all that were ever confirmed
        self._deal_of: dict[Reservation, EscrowId] = {}
        self._in_use: set[EscrowId] = set()
        self._used_order_slots: set[tuple[PartyId, int]] = set()

    def pool(self, provider_id: PartyId, slot: int) -> Pool:
        return self._pools.setdefault((provider_id, slot), Pool())

    def hold(self, offer: CapacityOffer, order: JobOrder, until: datetime) -> Reservation:
        """Hold GPUs that the caller has found to be free. Raises OrderAlreadyOpened."""
        if order.slot is not None and self.is_used(order):
            raise OrderAlreadyOpened(order.slot, order.slot)
        reservation = Reservation(
            id=next(self._ids),
            order_id=order.id,
            offer_id=offer.id,
            buyer_id=order.buyer_id,
            order_slot=order.slot,
            provider_id=offer.provider_id,
            slot=offer.slot,
            gpu_count=order.requirements.min_gpu_count,
            hours=order.requirements.estimated_hours,
            until=until,
            offer=offer,
        )
        self._open[order.id] = reservation
        heapq.heappush(self._deadlines, (until, reservation.id, reservation))
        if order.slot is not None:
            self._used_order_slots.add((order.buyer_id, order.slot))
        self.pool(offer.provider_id, offer.slot).held += reservation.gpu_count
        return reservation

    def is_used(self, order: JobOrder) -> bool:
        """Whether another order has the buyer's slot already."""
        return order.slot is not None and (order.buyer_id, order.slot) in self._used_order_slots

    def confirm(self, reservation: Reservation, deal_id: EscrowId, now: datetime) -> bool:
        """Let a deal hold the GPUs from now on; False if it did already."""
        if reservation in self._deal_of or deal_id in self._deals:
            if self._deal_of.get(reservation) == deal_id:
                return False
            raise InvalidStateTransition(OrderStatus.ESCROWED.name, OrderStatus.ESCROWED.name)
        if not self._is_open(reservation):
            raise ReservationLapsed(reservation.until) if now >= reservation.until else NotReserved()
        del self._open[reservation.order_id]
        self._deals[deal_id] = reservation
        self._deal_of[reservation] = deal_id
        self._in_use.add(deal_id)
        return True

    def release(self, reservation: Reservation) -> bool:
        """Let the GPUs go; False if the reservation was over already."""
        if reservation in self._deal_of:
            raise InvalidStateTransition(OrderStatus.ESCROWED.name, OrderStatus.PENDING.name)
        if not self._is_open(reservation):
            return False
        del self._open[reservation.order_id]
        if reservation.order_slot is not None:
            self._used_order_slots.remove((reservation.buyer_id, reservation.order_slot))
        self._give_back(reservation)
        return True

    def of_order(self, order_id: OrderId) -> Reservation | None:
        """Return the reservation that an order has while it is matched."""
        return self._open.get(order_id)

    def free(self, deal_id: EscrowId) -> bool:
        """Let the GPUs of a deal go; False if it held none."""
        if deal_id not in self._in_use:
            return False
        self._in_use.remove(deal_id)
        self._give_back(self._deals[deal_id])
        return True

    def order_of(self, deal_id: EscrowId) -> OrderId | None:
        """Return the order of a confirmed deal; None for a deal of others."""
        return self._deals[deal_id].order_id if deal_id in self._deals else None

    def lapse(self, now: datetime) -> list[Reservation]:
        """Release what has run out of time, and return it."""
        lapsed = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, reservation = heapq.heappop(self._deadlines)
            if self._is_open(reservation):
                self.release(reservation)
                lapsed.append(reservation)
        return lapsed

    def _is_open(self, reservation: Reservation) -> bool:
        return self._open.get(reservation.order_id) == reservation

    def _give_back(self, reservation: Reservation) -> None:
        self.pool(reservation.provider_id, reservation.slot).held -= reservation.gpu_count
