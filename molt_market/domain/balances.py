"""What an account has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molt_market.domain.amounts import Amount


@dataclass(frozen=True, slots=True)
class Balances:
    """An account's tokens: in its own `wallet`, and in the `escrow` as its free balance.

    `withdrawing` is the part of the free balance that is marked to be withdrawn from `unlock_at` on (None
    while nothing is marked); until then a deal may still spend it.
    """

    wallet: Amount
    escrow: Amount
    withdrawing: Amount
    unlock_at: datetime | None = None

    @property
    def total(self) -> Amount:
        """All that a deal could be paid from."""
        return self.wallet + self.escrow

    @property
    def staying(self) -> Amount:
        """What is left in the escrow once the marked part is withdrawn; deals may have spent some of that."""
        return self.escrow - min(self.withdrawing, self.escrow)
