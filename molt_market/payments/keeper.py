"""Closing what is due, so that nobody's money waits for somebody to remember it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging import WARNING
from threading import Event

from molt_market.domain.ids import EscrowId, TransactionId
from molt_market.errors import MarketError, MoltError
from molt_market.payments.service import PaymentService
from molt_market.telling import tell

Due = Callable[[datetime], Sequence[EscrowId]]
"""Returns the open deals whose deadline is over at a time (UTC)."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at the due deals came to."""

    closed: tuple[EscrowId, ...] = ()
    failures: tuple[tuple[EscrowId, MoltError], ...] = ()


class Keeper:
    """Finalizes deals that are due. Any number of keepers may run: a deal is closed once.

    It needs no right, and pays the gas.

    Args:
        payments: of the account that pays.
        due: says which deals are due; whoever follows the chain's log knows.
    """

    def __init__(self, payments: PaymentService, due: Due) -> None:
        self._payments = payments
        self._due = due

    def look(self) -> Round:
        """Close all that is due now. What fails, fails by itself, and is tried again at the next look.

        Raises:
            NodeUnreachable, NodeError, StorageUnavailable: it cannot be said what is due.
        """
        deals = list(self._due(self._payments.client.now()))
        if not deals:
            return Round()
        outcomes = list(zip(deals, self._payments.finalize_all(deals), strict=True))
        for deal_id, outcome in outcomes:
            if isinstance(outcome, MoltError):
                tell("not_finalized", level=WARNING, deal_id=deal_id, reason=outcome)
            else:
                tell("finalized", deal_id=deal_id, hash=outcome)
        return Round(
            closed=tuple(deal for deal, outcome in outcomes if isinstance(outcome, TransactionId)),
            failures=tuple((deal, outcome) for deal, outcome in outcomes if isinstance(outcome, MoltError)),
        )

    def run(
        self,
        stop: Event,
        *,
        every: timedelta = timedelta(seconds=15),
        after: Callable[[Round], object] | None = None,
    ) -> None:
        """Look again and again until `stop` is set, and tell `after`; what goes wrong is logged."""
        while not stop.is_set():
            try:
                self._payments.reconcile()
                did = self.look()
                if after is not None:
                    after(did)
            except MarketError as error:
                tell("keeper_fails", level=WARNING, reason=error)
            stop.wait(every.total_seconds())
