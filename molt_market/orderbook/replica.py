"""A copy of a market's book in memory, brought up to date by the market's feed. It decides nothing.

The market's store is the one authority: who reserves does it there, and a copy that lags only proposes what
the store then refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import singledispatchmethod

from molt_market.domain.amounts import MOLT, Token
from molt_market.domain.clock import Clock
from molt_market.domain.ids import OrderId, PartyId
from molt_market.domain.orders import JobOrder, OrderStatus
from molt_market.domain.updates import (
    DealFreed,
    DealOpened,
    DocumentPosted,
    FeedItem,
    OfferPosted,
    OfferRemoved,
    OrderPosted,
    OrderRemoved,
    Released,
    Reserved,
)
from molt_market.orderbook.book import OrderBook
from molt_market.orderbook.feed import segment
from molt_market.orderbook.market_data import BestPrice, Depth, Trade, asks, best_prices
from molt_market.orderbook.matcher import Matcher
from molt_market.orderbook.scoring import ScoreWeights, Scoring
from molt_market.orderbook.stored import Shelf, StoredIndex, StoredListings


@dataclass(frozen=True, slots=True)
class Standing:
    """All of a book at one sequence number of its feed. `held` is GPUs by provider and slot."""

    sequence: int
    orders: Iterable[JobOrder] = ()
    held: Mapping[tuple[PartyId, int], int] = field(default_factory=dict)
    trades: Iterable[Trade] = ()


class ReplicaBook(OrderBook):
    """An order book to ask, not to change: `start` and `apply` alone write to it.

    Its offers lie on a shelf, and are read when a question comes to them; `is_read` tells whether the prices
    of all are at hand. What they ask in all (`depth`, `best_prices`) the shelf tells: nobody waits for that.
    """

    def __init__(self, clock: Clock, shelf: Shelf) -> None:
        super().__init__(clock)
        self._shelf = shelf
        self.sequence = 0
        self.is_read = False
        self._stored = StoredListings(shelf, self._reservations)
        self._stored_index = StoredIndex(shelf, self._stored)
        self._listings, self._index = self._stored, self._stored_index
        self._matcher = Matcher(
            self._index, Scoring(ScoreWeights(), self._reliability, self._reliability_bounds)
        )

    def another(self) -> ReplicaBook:
        """Return a book over the same shelf that asks the same, and was not started."""
        book = ReplicaBook(self._clock, self._shelf)
        book.check, book.bond_bps, book.funds = self.check, self.bond_bps, self.funds
        book.reliability = self.reliability
        return book

    def depth(
        self,
        gpu_model: str | None = None,
        region: str | None = None,
        *,
        token: Token = MOLT,
        levels: int | None = None,
    ) -> Depth:
        model, region = segment(gpu_model, region)
        offered = self._shelf.asks(token, model, self._clock.now())
        here = (each for each in offered if region in {None, each.region})
        return Depth(asks(here, token, levels), self._bids(model, region, token)[:levels])

    def best_prices(self, *, token: Token = MOLT) -> tuple[BestPrice, ...]:
        return best_prices(self._shelf.asks(token, None, self._clock.now()), token)

    def start(self, standing: Standing) -> None:
        """Begin with what stands."""
        with self._lock:
            for order in standing.orders:
                self._orders.put(order)
            for (provider, slot), held in standing.held.items():
                self._reservations.pool(provider, slot).held = held
            for trade in standing.trades:
                self._tape.note(trade)
            self.sequence = standing.sequence

    def read_on(self) -> bool:
        """Have the prices of one more GPU model at hand before anyone asks; False if none is left."""
        with self._lock:
            self.is_read = not self._stored_index.read_on()
            return not self.is_read

    def apply(self, item: FeedItem) -> None:
        """Go on by one step; one that was made already is passed over."""
        with self._lock:
            if item.sequence <= self.sequence:
                return
            self._apply(item.update, item)
            self.sequence = item.sequence

    @singledispatchmethod
    def _apply(self, update: object, _: FeedItem) -> None:
        raise TypeError(f"{type(update).__name__} is no step of a market")  # pragma: no cover

    @_apply.register
    def _(self, update: OfferPosted, _: FeedItem) -> None:
        listing = self._stored.listing_of(update.offer)
        self._stored[update.offer.id] = listing
        self._index.add(listing)

    @_apply.register
    def _(self, update: OfferRemoved, _: FeedItem) -> None:
        listing = self._stored.known(update.offer_id)
        if listing is not None:
            self._index.remove(listing)
            del self._stored[update.offer_id]

    @_apply.register
    def _(self, update: OrderPosted, _: FeedItem) -> None:
        self._orders.put(update.order)

    @_apply.register
    def _(self, update: OrderRemoved, _: FeedItem) -> None:
        self._orders.drop(update.order_id)

    @_apply.register
    def _(self, update: Reserved, _: FeedItem) -> None:
        self._let_hold(update, OrderStatus.MATCHED)

    @_apply.register
    def _(self, update: Released, _: FeedItem) -> None:
        self._let_hold(update, OrderStatus.PENDING if update.waits else None)

    @_apply.register
    def _(self, update: DealOpened, item: FeedItem) -> None:
        self._let_hold(update, None)
        if update.gpu_model is not None:
            self._tape.note(trade_of(update, item))

    @_apply.register
    def _(self, update: DealFreed, _: FeedItem) -> None:
        self._let_hold(update, None)

    @_apply.register
    def _(self, update: DocumentPosted, _: FeedItem) -> None:
        """Documents are between the parties of a deal: no business of the book's."""

    def _let_hold(
        self, update: Reserved | Released | DealOpened | DealFreed, order: OrderStatus | None
    ) -> None:
        self._reservations.pool(PartyId(update.provider), update.slot).held = update.held
        if update.order_id in self._orders:
            self._turn(update.order_id, order)

    def _turn(self, order_id: OrderId, status: OrderStatus | None) -> None:
        """Let an order of the book go on; None: it is not the book's any more."""
        if status is None:
            self._orders.drop(order_id)
        else:
            self._orders.put(self._orders.get(order_id, self._now()).model_copy(update={"status": status}))


def trade_of(update: DealOpened, item: FeedItem) -> Trade:
    """Return the trade that an opening is."""
    return Trade(
        time=item.time,
        deal_id=update.deal_id,
        gpu_model=update.gpu_model or "",
        region=update.region,
        country=update.country,
        price_per_hour=update.price_per_hour,
        gpu_count=update.gpu_count,
        hours=update.hours,
    )
