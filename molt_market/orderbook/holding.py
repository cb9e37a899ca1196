"""Who holds the GPUs of the book's offers: the port that payments drive."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from molt_market.domain.clock import Clock
from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import EscrowId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.orders import OrderStatus
from molt_market.domain.states import way_to
from molt_market.errors import InsufficientCapacity, OfferNotFound
from molt_market.orderbook.constraints import fits
from molt_market.orderbook.entries import Entries, alone, expired
from molt_market.orderbook.index import OfferIndex
from molt_market.orderbook.market_data import Trade, TradeTape
from molt_market.orderbook.matcher import obstacle
from molt_market.orderbook.reservations import Reservation, require_in_time


class Holding(Entries):
    """GPUs reserved for a match, held by a deal, and let go. The second layer of the OrderBook."""

    def __init__(self, clock: Clock, index: OfferIndex) -> None:
        super().__init__(clock, index)
        self._tape = TradeTape()

    @alone
    def reserve(self, match: OrderMatch, until: datetime) -> Reservation:
        """Hold the GPUs of a match until a moment, at most 120 seconds ahead; the order becomes MATCHED.

        Offer and order are checked anew; the match's own figures do not count. An order that was not
        submitted is taken in. A match that is reserved already, for example by `execute`, keeps its
        reservation.

        Raises:
            InvalidValue: the time is over, or too far ahead; or the order is filled in parts.
            OfferNotFound: the offer has left the book, or is another one now.
            InsufficientCapacity: its GPUs went to others.
            OrderAlreadyOpened: another order of the buyer has the slot.
            Expired, InvalidStateTransition, NoMatchingOffers, PriceExceedsBudget: as `match_order`.
        """
        now = self._now()
        require_in_time(until, now)
        order = match.order
        held = self._reservations.of_order(order.id)
        if held is not None and held.is_for(match):
            return held
        listing = self._listing(match.offer.id)
        if listing.offer != match.offer:
            raise OfferNotFound(match.offer.id)
        if now >= listing.expires_at:
            raise expired(listing.offer, now)
        demand = self._demand(order, now)
        if listing.offer_hash is None:  # the match itself says which offer the order names
            demand = replace(demand, offer_hash=None)
        if not fits(listing, demand):
            raise obstacle([listing], demand) or InsufficientCapacity(demand.gpu_count, listing.free)
        reservation = self._reservations.hold(listing.offer, order, until)
        if order.id not in self._orders:
            self._orders.add(order, now)
        self._orders.move(order.id, OrderStatus.MATCHED, now)
        return reservation

    @alone
    def confirm(self, reservation: Reservation, deal_id: EscrowId) -> None:
        """Note that the deal is open: it holds the GPUs until `free`, and the order is ESCROWED.

        Repeating it is harmless. Raises ReservationLapsed if it comes too late, NotReserved after a release,
        InvalidStateTransition if the reservation has another deal, or the deal another reservation.
        """
        now = self._now()
        if self._reservations.confirm(reservation, deal_id, now):
            self._tape.note(Trade.of(reservation, deal_id, now))
            self._orders.move(reservation.order_id, OrderStatus.ESCROWED, now)

    @alone
    def release(self, reservation: Reservation) -> None:
        """Let reserved GPUs go; the order is PENDING again. Repeating it is harmless.

        Raises InvalidStateTransition if its deal is confirmed: such GPUs go by `free`.
        """
        self._now()
        if self._reservations.release(reservation):
            self._orders.unmatch(reservation.order_id)

    @alone
    def free(self, deal_id: EscrowId) -> bool:
        """Let the GPUs of a deal go that no longer uses them; False if it holds none here."""
        self._now()
        return self._reservations.free(deal_id)

    @alone
    def follow(self, deal_id: EscrowId, status: DealStatus, *, paid: bool = False) -> None:
        """Note how a confirmed deal stands now: its order follows, and its GPUs are free unless it is LOCKED.

        `paid` says that a voucher was redeemed, so the job runs. Repeating it is harmless; a deal that was
        not confirmed here is left alone. Raises InvalidStateTransition if no way of the order leads there.
        """
        now = self._now()
        order_id = self._reservations.order_of(deal_id)
        if order_id is None:
            return
        if status is not DealStatus.LOCKED:
            self._reservations.free(deal_id)
        for step in way_to(self._orders.get(order_id, now).status, status, paid=paid):
            self._orders.move(order_id, step, now)
