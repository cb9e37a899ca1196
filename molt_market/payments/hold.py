"""The GPUs of a match, held in the book while its deal is opened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from logging import WARNING
from typing import Any, Self

from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import EscrowId
from molt_market.domain.matches import OrderMatch
from molt_market.errors import MarketError
from molt_market.payments.carrier import UNCERTAIN
from molt_market.payments.ports import ReservationBook
from molt_market.telling import tell

RESERVED_FOR = timedelta(seconds=110)  # the book allows 120; its clock may differ a little from the chain's


class Hold:
    """A reservation that is released when its block is left by an error. Without a book it does nothing."""

    def __init__(
        self,
        book: ReservationBook[Any] | None,
        match: OrderMatch,
        deal_id: EscrowId,
        now: Callable[[], datetime],
    ) -> None:
        self._book = book
        self._match = match
        self._deal_id = deal_id
        self._now = now
        self._reservation: Any = None

    def take(self) -> None:
        """Reserve. Raises what the book has against it."""
        if self._book is not None:
            self._reservation = self._book.reserve(self._match, self._now() + RESERVED_FOR)

    def try_to_take(self) -> None:
        """Reserve unless it is, if the book has nothing against it: for a deal that may be open already."""
        if self._reservation is None:
            with suppress(MarketError):
                self.take()

    def confirm(self, _: object = None) -> None:
        """Note that the deal is open. The book may be late to learn it, the chain counts the GPUs anyway."""
        if self._book is None or self._reservation is None:
            return
        try:
            self._book.confirm(self._reservation, self._deal_id)
        except MarketError as error:
            tell("reservation_not_confirmed", level=WARNING, deal_id=self._deal_id, reason=error)
        self._reservation = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None:
            self.give_back(error)

    def give_back(self, error: BaseException) -> None:
        """Release what is held, as the deal was not opened because of this error."""
        if self._book is None:
            return
        if self._reservation is not None:
            self._book.release(self._reservation)
            self._reservation = None
        elif not isinstance(error, UNCERTAIN):  # confirmed once, and then its block was reorganised away
            with suppress(MarketError):
                self._book.follow(self._deal_id, DealStatus.REFUNDED)
