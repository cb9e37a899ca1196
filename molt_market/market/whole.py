"""Questions that take all offers of a market: searches, and explanations of why nothing matches."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from molt_market.domain.clock import Clock
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.market.ports import MarketStore
from molt_market.orderbook import Explanation
from molt_market.orderbook.replica import ReplicaBook
from molt_market.orderbook.search import parse_query

ITEMS_AT_ONCE = 1_000


class WholeBook:
    """A copy of a market's book for such questions alone, with all offers in memory from the first one on.

    Each takes seconds of a large book, and the first one a minute. They wait for each other; whoever asks the
    market's own copy waits for none of them.
    """

    def __init__(self, book: ReplicaBook, store: MarketStore, clock: Clock) -> None:
        self._like = book
        self._store = store
        self._clock = clock
        self._book: ReplicaBook | None = None
        self._asking = threading.Lock()

    def search(self, query: str, limit: int) -> Sequence[CapacityOffer]:
        """Answer as `OrderBook.search`."""
        asked = parse_query(query)  # a mistake need not wait to be told
        with self._asking:
            return self._current().search(asked, limit)

    def explain(self, order: JobOrder, limit: int) -> Explanation:
        """Answer as `OrderBook.explain`."""
        with self._asking:
            return self._current().explain(order, limit)

    def _current(self) -> ReplicaBook:
        """Bring the copy up to the store's last step."""
        if self._book is None:
            self._book = self._like.another()
            self._book.start(self._store.standing(self._clock.now()))
        while items := self._store.feed(self._book.sequence, ITEMS_AT_ONCE):
            for item in items:
                self._book.apply(item)
        return self._book
