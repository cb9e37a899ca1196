"""Matching the orders that wait, and having their deals opened."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from logging import DEBUG, WARNING

from molt_market.domain.clock import Clock
from molt_market.domain.ids import ZERO_ADDRESS, Address, EscrowId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.orders import JobOrder
from molt_market.errors import MarketError, MoltError
from molt_market.market.market import Market
from molt_market.orderbook.priority import in_turn
from molt_market.telling import tell

HELD_FOR = timedelta(seconds=110)
TRY_SECONDS = 10.0
AT_ONCE = 100  # deals that are opened at a time
LEFT_AFTER = timedelta(seconds=30)  # that GPUs are held and no opening is on its way: who held them is gone
TIME_TO_OPEN = timedelta(seconds=30)  # that a reservation has to last for a deal to be opened with it

Open = Callable[[Sequence[OrderMatch]], Sequence[EscrowId | MoltError]]
"""Opens deals whose orders are signed: `PaymentService.open_resting`."""

IsOpening = Callable[[EscrowId], bool]
"""Tells whether a transaction is on its way that opens a deal, whoever has sent it."""


class RestingOrders:
    """Matches what waits in a market, by class and time, and opens it as `opener`.

    Any number of processes may do so: an order is held by one of them. Where that one dies before it opens
    the deal, or finds no node, another one does it, once the GPUs were held for LEFT_AFTER. What cannot be
    opened waits again when the reservation lapses.
    """

    def __init__(
        self, market: Market, clock: Clock, opener: Address, open_: Open, is_opening: IsOpening
    ) -> None:
        self._market = market
        self._clock = clock
        self._opener = opener
        self._open = open_
        self._is_opening = is_opening
        self._taken_over: set[EscrowId] = set()  # of what is held now: each is tried once more, not for ever
        self._tried = (-1, float("-inf"))  # the feed's number, and this machine's time, of the last turn

    def match_once(self) -> list[EscrowId]:
        """Match each order that waits once; return the deals that are open now.

        Nothing is tried again while the market stands still, but for once in TRY_SECONDS: money comes and
        cancels end without the market being told.
        """
        book = self._market.book
        sequence, at = self._tried
        if sequence == book.sequence and time.monotonic() - at < TRY_SECONDS:
            return []
        self._tried = book.sequence, time.monotonic()
        waiting = [each for each in book.pending_orders() if self._may_open(each)]
        held = []
        for order in in_turn(waiting, book.funds):
            match = self._hold(order)
            if match is not None:
                held.append(match)
            if len(held) == AT_ONCE:
                break
        held += self._left_behind()
        return self._opened(held) if held else []

    def _may_open(self, order: JobOrder) -> bool:
        return order.opener in {None, ZERO_ADDRESS, self._opener} and order.created_at <= self._clock.now()

    def _hold(self, order: JobOrder) -> OrderMatch | None:
        """Reserve the best match of an order; None: it has none, or another process was first."""
        try:
            for match in self._market.book.match_order(order):
                self._market.reserve(match, self._clock.now() + HELD_FOR)
                return match
        except MarketError as error:
            tell("order_waits_on", level=DEBUG, order_id=order.id, reason=error)
        return None

    def _left_behind(self) -> list[OrderMatch]:
        """Return matches that are held and that nobody is opening."""
        now = self._clock.now()
        found = self._market.store.held_for_book(now + TIME_TO_OPEN, now + HELD_FOR - LEFT_AFTER)
        self._taken_over &= {deal for deal, _, _ in found}
        left = [
            (deal, OrderMatch.of(offer, order))
            for deal, offer, order in found
            if deal not in self._taken_over and self._may_open(order) and not self._is_opening(deal)
        ][:AT_ONCE]
        self._taken_over |= {deal for deal, _ in left}
        return [match for _, match in left]

    def _opened(self, matches: Sequence[OrderMatch]) -> list[EscrowId]:
        answers = self._open(matches)
        for match, answer in zip(matches, answers, strict=True):
            if isinstance(answer, MoltError):
                tell("order_not_opened", level=WARNING, order_id=match.order_id, reason=answer)
        return [answer for answer in answers if not isinstance(answer, MoltError)]
