"""The order book: offers, orders, what fits, and who holds which GPUs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from molt_market.domain.clock import Clock, SystemClock
from molt_market.domain.deals import DealStatus
from molt_market.domain.fields import seconds
from molt_market.domain.ids import EscrowId, Hash32, OfferId, OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer, OfferStatus
from molt_market.domain.orders import JobOrder, JobRequirements, OrderStatus
from molt_market.domain.states import way_to
from molt_market.errors import Expired, InsufficientCapacity, InvalidStateTransition, OfferNotFound, utc
from molt_market.orderbook.constraints import fits
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.index import OfferIndex, PriceIndex
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.matcher import Matcher, obstacle
from molt_market.orderbook.openable import Check, openable
from molt_market.orderbook.orders import Orders
from molt_market.orderbook.reservations import Reservation, Reservations, require_in_time
from molt_market.orderbook.scoring import Reliability, ScoreWeights, Scoring
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


def _alone(method: Callable[Concatenate[OrderBook, P], R]) -> Callable[Concatenate[OrderBook, P], R]:
    """Let one thread at a time in: between looking for free GPUs and taking them, nobody else may."""

    @wraps(method)
    def locked(self: OrderBook, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            return method(self, *args, **kwargs)

    return locked


class OrderBook:
    """An exact order book in memory. The same offers, orders and times give the same answers.

    Unsigned offers and orders are taken; only signed ones open deals. Any thread may call any method.

    Args:
        clock: tells the time; the chain's, where deals are opened (default: this machine's).
        weights: what the parts of a score are worth.
        reliability: how reliable a provider was, in millionths, or None while unknown (default: unknown).
        index: an empty index of offers (default: the readable one).
        check: asked before a match is handed out, `client.obstacle` (default: nobody; `connect` sets it).

    >>> from molt_market.domain.amounts import Amount
    >>> from molt_market.domain.gpus import GpuCapacity
    >>> book = OrderBook()
    >>> offer_id = book.add_offer(CapacityOffer(
    ...     provider_id="provider-123", gpu_capacity=GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80),
    ...     price_per_hour=Amount.from_molt(10), available_hours=24))
    >>> order = JobOrder(buyer_id="buyer-456", requirements=JobRequirements(
    ...     min_gpu_count=4, min_vram_gb=40, max_price_per_hour=Amount.from_molt(15), estimated_hours=8))
    >>> [str(match.total_cost) for match in book.match_order(order)]
    ['320 MOLT']
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        weights: ScoreWeights | None = None,
        reliability: Reliability | None = None,
        index: OfferIndex | None = None,
        check: Check | None = None,
    ) -> None:
        self.check = check
        self._clock = clock or SystemClock()
        self._index = PriceIndex() if index is None else index
        self._matcher = Matcher(self._index, Scoring(weights or ScoreWeights(), reliability))
        self._listings: dict[OfferId, Listing] = {}
        self._orders = Orders()
        self._reservations = Reservations()
        self._lock = threading.RLock()

    # ------------------------------------------------------------------------------------ offers

    @_alone
    def add_offer(self, offer: CapacityOffer, *, offer_hash: Hash32 | None = None) -> OfferId:
        """List an offer. Orders that name an offer match it only by the hash given here.

        Raises InvalidStateTransition if its id is listed already or its status is not ACTIVE, and Expired.
        """
        if offer.id in self._listings or offer.status is not OfferStatus.ACTIVE:
            raise InvalidStateTransition(offer.status.name, OfferStatus.ACTIVE.name)
        if self._now() >= offer.expires_at:
            raise _expired_offer(offer)
        pool = self._reservations.pool(offer.provider_id, offer.slot)
        listing = Listing.of(offer, pool, offer_hash)
        self._listings[offer.id] = listing
        self._index.add(listing)
        return offer.id

    @_alone
    def remove_offer(self, offer_id: OfferId) -> None:
        """Take an offer off the book; its GPUs that are held stay held. Raises OfferNotFound."""
        self._index.remove(self._listing(offer_id))
        del self._listings[offer_id]

    @_alone
    def offer(self, offer_id: OfferId) -> CapacityOffer:
        """Return an offer as it is now: ACTIVE, FILLED (no GPU is free) or EXPIRED. Raises OfferNotFound."""
        listing = self._listing(offer_id)
        return listing.offer.model_copy(update={"status": listing.status(self._now())})

    @_alone
    def active_offers(self) -> list[CapacityOffer]:
        """Return the offers that stand and have GPUs free, as they were added."""
        now = self._now()
        active = OfferStatus.ACTIVE
        return [o.offer for o in self._listings.values() if o.created_at <= now and o.status(now) is active]

    # ------------------------------------------------------------------------------------ orders

    @_alone
    def submit_order(self, order: JobOrder) -> OrderId:
        """Take an order in. Raises InvalidStateTransition unless it is new and PENDING, and Expired."""
        self._orders.add(order, self._now())
        return order.id

    @_alone
    def cancel_order(self, order_id: OrderId) -> None:
        """Cancel an order; what is reserved for it is free at once.

        Raises OrderNotFound, and InvalidStateTransition if a deal was opened or the order is over.
        """
        order = self._orders.get(order_id, self._now())
        if order.status is OrderStatus.MATCHED:
            self._reservations.release(self._reservations.of_order(order_id))
            order = order.with_status(OrderStatus.PENDING)
        self._orders.replace(order.with_status(OrderStatus.CANCELLED))

    @_alone
    def advance_order(self, order_id: OrderId, status: OrderStatus) -> None:
        """Note how the deal of an ESCROWED order went on: RUNNING, COMPLETED, SETTLED, ...

        Raises OrderNotFound, and InvalidStateTransition also for the statuses that the book itself keeps.
        """
        now = self._now()
        if status in OF_THE_BOOK:
            raise InvalidStateTransition(self._orders.get(order_id, now).status.name, status.name)
        self._orders.move(order_id, status, now)

    @_alone
    def order(self, order_id: OrderId) -> JobOrder:
        """Return an order in its present status. Raises OrderNotFound."""
        return self._orders.get(order_id, self._now())

    @_alone
    def pending_orders(self) -> list[JobOrder]:
        """Return the orders that wait for a match, as they came in."""
        return self._orders.pending(self._now())

    # ------------------------------------------------------------------------------------ matching

    def match_order(self, order: JobOrder) -> list[OrderMatch]:
        """Return every offer that fits, the best first. Changes nothing; the order need not be submitted.

        If the book has a `check`, return only what could be opened now, at most eight; if nothing could,
        raise what stands in the way of the best one, for example Paused, ProviderBalance or OfferCancelled.

        Sorted by score (highest first), price, the offer's creation time, the offer's id.

        If nothing fits, what stands in the way decides. Look at the offers that meet everything but money
        (price limit, budget) and the GPU count; each fails by money alone, by the count alone, or by both:

        1. there is no such offer, or no offer at all: NoMatchingOffers;
        2. some by money alone, none by the count alone: PriceExceedsBudget(the cheapest total, the budget);
        3. some by the count alone, none by money alone: InsufficientCapacity(asked for, most free);
        4. else the reasons are mixed: an empty list.

        The order itself comes first: Expired if it is over, InvalidStateTransition if it is not PENDING,
        OrderNotYetValid if its time has not come.
        """
        found = self._fitting(order)
        return found if self.check is None else openable(found, self.check)

    @_alone
    def _fitting(self, order: JobOrder) -> list[OrderMatch]:
        demand = self._demand(order, self._now())
        found = self._matcher.find(demand)
        if not found and (obstacle := self._matcher.obstacle(demand)):
            raise obstacle
        return [ranked.match(order, demand) for ranked in found]

    @_alone
    def best_offers(self, requirements: JobRequirements, limit: int) -> list[CapacityOffer]:
        """Return at most `limit` offers that fit these requirements, whoever asks, the best first."""
        demand = Demand.of_requirements(requirements, self._now())
        best = self._matcher.find(demand)[: max(limit, 0)]
        return [ranked.listing.offer for ranked in best]

    # ------------------------------------------------------------------------------------ reservations

    @_alone
    def reserve(self, match: OrderMatch, until: datetime) -> Reservation:
        """Hold the GPUs of a match until a moment, at most 120 seconds ahead; the order becomes MATCHED.

        Offer and order are checked anew; the match's own figures do not count. An order that was not
        submitted is taken in.

        Raises:
            InvalidValue: the time is over, or too far ahead.
            OfferNotFound: the offer has left the book, or is another one now.
            InsufficientCapacity: its GPUs went to others.
            OrderAlreadyOpened: another order of the buyer has the slot.
            Expired, InvalidStateTransition, NoMatchingOffers, PriceExceedsBudget: as `match_order`.
        """
        now = self._now()
        require_in_time(until, now)
        order = match.order
        listing = self._listing(match.offer.id)
        if listing.offer != match.offer:
            raise OfferNotFound(match.offer.id)
        if now >= listing.expires_at:
            raise _expired_offer(listing.offer)
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

    @_alone
    def confirm(self, reservation: Reservation, deal_id: EscrowId) -> None:
        """Note that the deal is open: it holds the GPUs until `free`, and the order is ESCROWED.

        Repeating it is harmless. Raises ReservationLapsed if it comes too late, NotReserved after a release,
        InvalidStateTransition if the reservation has another deal, or the deal another reservation.
        """
        now = self._now()
        if self._reservations.confirm(reservation, deal_id, now):
            self._orders.move(reservation.order_id, OrderStatus.ESCROWED, now)

    @_alone
    def release(self, reservation: Reservation) -> None:
        """Let reserved GPUs go; the order is PENDING again. Repeating it is harmless.

        Raises InvalidStateTransition if its deal is confirmed: such GPUs go by `free`.
        """
        now = self._now()
        if self._reservations.release(reservation):
            self._orders.move(reservation.order_id, OrderStatus.PENDING, now)

    @_alone
    def free(self, deal_id: EscrowId) -> bool:
        """Let the GPUs of a deal go that no longer uses them; False if it holds none here."""
        self._now()
        return self._reservations.free(deal_id)

    @_alone
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

    # ------------------------------------------------------------------------------------ inside

    def _now(self) -> datetime:
        """Return the time, after doing what it brings: reservations lapse."""
        now = self._clock.now()
        for reservation in self._reservations.lapse(now):
            self._orders.move(reservation.order_id, OrderStatus.PENDING, now)
        return now

    def _listing(self, offer_id: OfferId) -> Listing:
        if offer_id not in self._listings:
            raise OfferNotFound(offer_id)
        return self._listings[offer_id]

    def _demand(self, order: JobOrder, now: datetime) -> Demand:
        present = self._orders.get(order.id, now) if order.id in self._orders else order
        if now >= order.expires_at or present.status is OrderStatus.EXPIRED:
            raise Expired(f"order {order.id} (until {utc(order.expires_at)})")
        if present.status is not OrderStatus.PENDING:
            raise InvalidStateTransition(present.status.name, OrderStatus.MATCHED.name)
        if now < order.created_at:
            raise OrderNotYetValid(seconds(now), seconds(order.created_at))
        return Demand.of_order(order, now)


def _expired_offer(offer: CapacityOffer) -> Expired:
    return Expired(f"offer {offer.id} (until {utc(offer.expires_at)})")
