"""The market: what may be posted, who may take it back, who gets which GPUs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from molt_market.domain.clock import Clock
from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import Address, EscrowId, Hash32, OfferId, OrderId
from molt_market.domain.listings import Unlisting
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer, OfferStatus
from molt_market.domain.orders import JobOrder, OrderStatus, TimeInForce
from molt_market.domain.updates import FeedItem
from molt_market.errors import (
    Expired,
    InsufficientCapacity,
    InvalidValue,
    MatchMismatch,
    OfferNotFound,
    OrderNotFound,
    WrongSigner,
)
from molt_market.market.backing import Chain, require_backed_offer, require_backed_order
from molt_market.market.ports import MarketStore, PostedOrder
from molt_market.market.whole import ITEMS_AT_ONCE, WholeBook
from molt_market.orderbook import Reservation
from molt_market.orderbook.constraints import fits
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing, Pool
from molt_market.orderbook.matcher import obstacle
from molt_market.orderbook.replica import ReplicaBook
from molt_market.orderbook.reservations import require_in_time
from molt_market.signing.hashes import deal_id, offer_hash, order_hash, terms_of
from molt_market.signing.listings import verify_unlisting
from molt_market.signing.statements import verify_offer, verify_order
from molt_market.signing.typed_data import Domain


class Market:
    """One deployment's market over a store that any number of processes share. Any thread may call it.

    A wallet is the account: what is posted is what the contract checks, and counts by its signature alone.
    `book` is this process's copy of the order book, to ask; the store decides. `whole` is asked what takes
    all offers.

    Args:
        store: where the market is.
        chain: asked for signatures by approval, policies and balances (`MoltClient`).
        domain: of the escrow.
        clock: the chain's.
        book: a copy of the store's book that was not started (default: a new one).
        admit: told who has signed what comes, before anything is kept; it may raise TooManyRequests.
    """

    def __init__(
        self,
        store: MarketStore,
        chain: Chain,
        domain: Domain,
        clock: Clock,
        *,
        book: ReplicaBook | None = None,
        admit: Callable[[Address], None] = lambda _: None,
    ) -> None:
        self.store = store
        self.domain = domain
        self.book = ReplicaBook(clock, store) if book is None else book
        self.whole = WholeBook(self.book, store, clock)
        self._chain = chain
        self._clock = clock
        self.admit = admit
        self._catching_up = threading.Lock()
        self._listeners: list[Callable[[FeedItem], None]] = []
        self.book.start(store.standing(clock.now()))

    # ---------------------------------------------------------------- posting

    def post_offers(self, offers: Sequence[CapacityOffer]) -> list[CapacityOffer]:
        """List signed offers, all or none; return them under their ids here. To repeat it is harmless.

        Raises:
            UnsignedOffer, InvalidSignature, WrongSigner: it is not its provider's.
            Expired: it is over. TokenMismatch, PolicyNotFound, ProviderBalance: `require_backed_offer`.
        """
        posted = [self._checked_offer(offer) for offer in offers]
        self.store.post_offers(posted, self._clock.now())
        self.catch_up()
        return posted

    def post_orders(self, orders: Sequence[JobOrder]) -> list[JobOrder]:
        """Let signed orders wait, all or none; return them under their ids here. To repeat it is harmless.

        Raises:
            UnsignedOrder, InvalidSignature, WrongSigner: it is not its buyer's.
            InvalidValue: it does not wait. Expired: it is over.
            TokenMismatch, PolicyNotFound, BuyerBalance: `require_backed_order`.
        """
        posted = [self._checked_order(order) for order in orders]
        self.store.post_orders(posted, self._clock.now())
        self.catch_up()
        return posted

    def unlist(self, unlistings: Sequence[Unlisting]) -> list[Hash32]:
        """Take offers, orders and reservations back as their makers ask; return those that were there.

        Raises:
            Expired, InvalidSignature, WrongSigner: a request is over, or not its maker's; then none is done.
            OfferNotFound: nothing here has the digest.
        """
        now = self._clock.now()
        asked = [(each, self._kind(each, now)) for each in unlistings]
        gone: list[Hash32] = []
        for unlisting, kind in asked:
            if self._take_back(unlisting.digest, kind, now):
                gone.append(unlisting.digest)
        self.catch_up()
        return gone

    # ---------------------------------------------------------------- the port that payments drive

    def reserve(self, match: OrderMatch, until: datetime) -> Reservation:
        """Hold the GPUs of a match until a moment, at most 120 seconds ahead, against every other process.

        Offer and order are checked anew, signatures included; ids are theirs here, whatever the match says.

        Raises:
            UnsignedOffer, UnsignedOrder, InvalidSignature, WrongSigner: as posting does.
            InvalidValue: the time is over, or too far ahead. Expired: the order is over.
            NoMatchingOffers, PriceExceedsBudget, InsufficientCapacity: they do not fit.
            OfferNotFound, InvalidStateTransition, OrderAlreadyOpened, TooManyReservations: as the store.
        """
        return self._reserve(match, until)[0]

    def reserve_for(
        self, offer_id: OfferId, order: JobOrder, for_seconds: int
    ) -> tuple[Reservation, EscrowId]:
        """Hold the GPUs of an offer for an order, as `reserve`; return with it the deal's id."""
        match = OrderMatch.of(self.store.offer(offer_id), order)
        return self._reserve(match, self._clock.now() + timedelta(seconds=for_seconds))

    def confirm(self, reservation: Reservation, deal: EscrowId) -> None:
        """Do nothing: that a deal is open the market learns from the chain's log alone."""

    def release(self, reservation: Reservation) -> None:
        """Let reserved GPUs go. Repeating it is harmless."""
        self.release_deal(self._deal_of(reservation))

    def follow(self, deal: EscrowId, status: DealStatus, *, paid: bool = False) -> None:
        """Do nothing: how a deal stands the market learns from the chain's log alone."""

    def release_deal(self, deal: EscrowId) -> bool:
        """Let the GPUs go that are held for a deal; False if none are."""
        released = self.store.release(deal, self._clock.now())
        self.catch_up()
        return released

    # ---------------------------------------------------------------- reading

    def offer(self, offer_id: OfferId) -> CapacityOffer:
        """Return an offer as it is now. Raises OfferNotFound."""
        try:
            return self.book.offer(offer_id)
        except OfferNotFound:
            return self.store.offer(offer_id)

    def order(self, order_id: OrderId) -> PostedOrder:
        """Return an order as it is now. Raises OrderNotFound."""
        return self.store.order(order_id)

    # ---------------------------------------------------------------- keeping up

    def listen(self, listener: Callable[[FeedItem], None]) -> None:
        """Have `listener` told of every step of the market from now on, in order."""
        self._listeners.append(listener)

    def catch_up(self) -> int:
        """Bring the copy of the book up to the store's last step; return how many steps that were."""
        done = 0
        with self._catching_up:
            while items := self.store.feed(self.book.sequence, ITEMS_AT_ONCE):
                for item in items:
                    self.book.apply(item)
                    for listener in self._listeners:
                        listener(item)
                done += len(items)
                if len(items) < ITEMS_AT_ONCE:
                    break
        return done

    def note_deals(self, deal_ids: Collection[EscrowId] | None = None) -> None:
        """Bring what is held in line with the chain's log, as far as it was followed into the database."""
        self.store.note_deals(self._clock.now(), deal_ids)
        self.catch_up()

    def tidy(self) -> None:
        """Let go what has run out of time."""
        self.store.tidy(self._clock.now())
        self.catch_up()

    # ---------------------------------------------------------------- inside

    def _checked_offer(self, given: CapacityOffer) -> CapacityOffer:
        self.admit(verify_offer(given, self.domain, self._chain.is_approved))
        offer = self._own_offer(given)
        if (now := self._clock.now()) >= offer.expires_at:
            raise Expired.at(now, f"offer {offer.id}", offer.expires_at)
        require_backed_offer(offer, self._chain)
        return offer

    def _checked_order(self, given: JobOrder) -> JobOrder:
        self.admit(verify_order(given, self.domain, self._chain.is_approved))
        order = self._own_order(given)
        if order.time_in_force is not TimeInForce.GTC:
            raise InvalidValue(
                f"order {order.id} is {order.time_in_force}, so it never waits: reserve a match"
            )
        if (now := self._clock.now()) >= order.expires_at:
            raise Expired.at(now, f"order {order.id}", order.expires_at)
        require_backed_order(order, self._chain)
        return order

    def _own_offer(self, given: CapacityOffer) -> CapacityOffer:
        """Return an offer as it is kept here: under its hash, whatever else was said that nobody signed."""
        own = OfferId(offer_hash(given, self.domain))
        return given.model_copy(update={"id": own, "status": OfferStatus.ACTIVE})

    def _own_order(self, given: JobOrder) -> JobOrder:
        own = OrderId(order_hash(given, self.domain))
        return given.model_copy(update={"id": own, "status": OrderStatus.PENDING})

    def _own(self, match: OrderMatch) -> OrderMatch:
        """Return a match under the ids of its offer and order here, with figures that are theirs."""
        offer, order = self._own_offer(match.offer), self._own_order(match.order)
        return OrderMatch.of(offer, order, score_millionths=match.score_millionths, reasons=match.reasons)

    def _reserve(self, match: OrderMatch, until: datetime) -> tuple[Reservation, EscrowId]:
        now = self._clock.now()
        require_in_time(until, now)
        verify_offer(match.offer, self.domain, self._chain.is_approved)
        self.admit(verify_order(match.order, self.domain, self._chain.is_approved))
        here = self._own(match)
        self._require_fit(here, now)
        self.store.tidy(now)
        deal = deal_id(terms_of(here.offer, here.order, self.domain), self.domain)
        reservation = self.store.reserve(here, deal, until, now)
        self.catch_up()
        return reservation, deal

    def _require_fit(self, match: OrderMatch, now: datetime) -> None:
        if now >= match.order.expires_at:
            raise Expired.at(now, f"order {match.order.id}", match.order.expires_at)
        listing = Listing.of(match.offer, Pool(), Hash32(match.offer.id))
        demand = Demand.of_order(match.order, now)
        if not fits(listing, demand):
            raise obstacle([listing], demand) or InsufficientCapacity(demand.gpu_count, listing.free)

    def _deal_of(self, reservation: Reservation) -> EscrowId:
        order = self.store.order(reservation.order_id)
        if order.deal_id is None:
            raise MatchMismatch(f"order {reservation.order_id} has no reservation: reserve its match first")
        return order.deal_id

    def _kind(self, unlisting: Unlisting, now: datetime) -> str:
        """Find what a digest is of, and require that the signer made it."""
        self.admit(verify_unlisting(unlisting, self.domain, now, self._chain.is_approved))
        owner, kind = self._owner(unlisting.digest)
        if owner != unlisting.signer:
            raise WrongSigner(expected=owner, actual=unlisting.signer)
        return kind

    def _owner(self, digest: Hash32) -> tuple[str, str]:
        try:
            return self.store.offer(OfferId(digest)).provider_id, "offer"
        except OfferNotFound:
            pass
        try:
            return self.store.order(OrderId(digest)).order.buyer_id, "order"
        except OrderNotFound:
            pass
        buyer = self.store.buyer_of(EscrowId(digest))
        if buyer is None:
            raise OfferNotFound(digest)
        return buyer, "reservation"

    def _take_back(self, digest: Hash32, kind: str, now: datetime) -> bool:
        if kind == "offer":
            return bool(self.store.remove_offers([OfferId(digest)], now))
        if kind == "order":
            return bool(self.store.cancel_orders([OrderId(digest)], now))
        return self.store.release(EscrowId(digest), now)
