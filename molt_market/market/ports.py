"""What a market needs of its store: each method is one transaction, done whole or not at all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from molt_market.domain.documents import Document, DocumentKind, PostedDocument
from molt_market.domain.ids import Address, EscrowId, OfferId, OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.updates import FeedItem
from molt_market.orderbook import Reservation, Trade
from molt_market.orderbook.replica import Standing
from molt_market.orderbook.stored import Shelf


@dataclass(frozen=True, slots=True)
class PostedOrder:
    """An order as the store has it: with its status, and whether it waits in the book."""

    order: JobOrder
    rests: bool
    deal_id: EscrowId | None


class MarketStore(Shelf, Protocol):
    """Offers, orders and reservations of one deployment, shared by any number of processes.

    Times are the chain's. Every change appends to the feed in the same transaction. All of them raise
    StorageUnavailable.
    """

    def post_offers(self, offers: Sequence[CapacityOffer], now: datetime) -> None:
        """Take offers in, each under its hash. One that was posted before is left as it is."""
        ...

    def remove_offers(self, offer_ids: Collection[OfferId], now: datetime) -> Collection[OfferId]:
        """Take offers off the book; return those that stood. What is held of them stays held."""
        ...

    def post_orders(self, orders: Sequence[JobOrder], now: datetime) -> None:
        """Let orders wait, each under its hash. One that was posted before is left as it is."""
        ...

    def cancel_orders(self, order_ids: Collection[OrderId], now: datetime) -> Collection[OrderId]:
        """Let orders wait no longer, and what is reserved for them go; return those that were cancelled now.

        One whose deal is open is left as it is.
        """
        ...

    def reserve(self, match: OrderMatch, deal_id: EscrowId, until: datetime, now: datetime) -> Reservation:
        """Hold the GPUs of a match whose offer and order fit, under their hashes, by one conditional update.

        A deal that is reserved already keeps its reservation.

        Raises:
            OfferNotFound: the offer does not stand. InsufficientCapacity: its GPUs are held by others.
            InvalidStateTransition: the order is matched with another offer, open or cancelled.
            OrderAlreadyOpened: another order of the buyer has the slot.
            TooManyReservations: the buyer holds as many as anyone may.
        """
        ...

    def held_for_book(
        self, after: datetime, until: datetime
    ) -> Sequence[tuple[EscrowId, CapacityOffer, JobOrder]]:
        """Return the deals that GPUs are held for until a moment after one and not after another.

        Of the orders that the book has alone; each deal with its offer and order, the first to lapse first.
        """
        ...

    def release(self, deal_id: EscrowId, now: datetime) -> bool:
        """Let the GPUs of a reservation go; False if none is held for this deal."""
        ...

    def tidy(self, now: datetime) -> int:
        """Let go what has run out of time: reservations, orders, offers, each in its own transaction.

        Return how many.
        """
        ...

    def note_deals(self, now: datetime, deal_ids: Collection[EscrowId] | None = None) -> int:
        """Bring what is held in line with the deals that were followed of the chain; return what changed.

        Idempotent. `deal_ids` are those that may have changed; None: look at all that are live or held.
        """
        ...

    def offer(self, offer_id: OfferId) -> CapacityOffer:
        """Return an offer in its present status. Raises OfferNotFound."""
        ...

    def order(self, order_id: OrderId) -> PostedOrder:
        """Return an order. Raises OrderNotFound."""
        ...

    def offers_of(self, provider: Address, after: str | None, limit: int) -> Sequence[CapacityOffer]:
        """Return the offers of a provider that stand, by their ids, behind one of them."""
        ...

    def orders_of(self, buyer: Address, after: str | None, limit: int) -> Sequence[PostedOrder]:
        """Return all orders of a buyer, by their ids, behind one of them."""
        ...

    def buyer_of(self, deal_id: EscrowId) -> Address | None:
        """Return whose match was reserved that opens a deal; None: none was."""
        ...

    def post_document(self, document: Document, sender: Address, now: datetime) -> int:
        """Keep a document of a deal, and return its number there. To repeat it is harmless.

        Raises TooManyDocuments if the deal has as many as any may have.
        """
        ...

    def documents(
        self, deal_id: EscrowId, after: int, limit: int, kind: DocumentKind | None = None
    ) -> Sequence[PostedDocument]:
        """Return the documents of a deal behind a number, in their order; of one kind, or all."""
        ...

    def standing(self, now: datetime) -> Standing:
        """Return what a copy of the book begins with."""
        ...

    def trades(self, since: datetime) -> Sequence[Trade]:
        """Return the deals that opened since a moment, the oldest first, of offers that are known here."""
        ...

    def feed(self, after: int, limit: int) -> Sequence[FeedItem]:
        """Return the items behind a sequence number, in their order."""
        ...

    def last(self) -> int:
        """Return the sequence number of the last item; 0: there is none."""
        ...
