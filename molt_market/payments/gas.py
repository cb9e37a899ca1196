"""How much gas is paid for others: so much for each token that they hold, in each period.

What is really paid, by the receipts, is spent. Before something is sent, the most that it should cost is
reserved, so that any number of relayers together never promise more than there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from molt_market.domain.amounts import Amount
from molt_market.domain.fields import moment, seconds
from molt_market.domain.ids import Address, TransactionId
from molt_market.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class GasPolicy:
    """The wei of gas that are paid for an account in each period.

    Args:
        wei_per_token: for each whole token that it holds in the escrow.
        most: whatever it holds (default: without a limit).
        period: after which a budget is whole again; periods count from 1970.

    >>> GasPolicy(wei_per_token=1_000).allowance(Amount.from_molt("2.5"))
    2500
    """

    wei_per_token: int
    most: int | None = None
    period: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        if self.wei_per_token < 0 or (self.most is not None and self.most < 0):
            raise InvalidValue("gas below zero: give wei of 0 or more")
        if self.period < timedelta(seconds=1) or self.period % timedelta(seconds=1):
            raise InvalidValue(f"a period of {self.period}: give whole seconds, at least one")

    def allowance(self, held: Amount) -> int:
        """Return the wei for an account that holds so much."""
        unit: int = 10**held.token.decimals
        wei = held.base_units * self.wei_per_token // unit
        return wei if self.most is None else min(wei, self.most)

    def period_of(self, now: datetime) -> int:
        """Return the number of the period that a time is in."""
        return seconds(now) // self._seconds

    def renews_at(self, now: datetime) -> datetime:
        """Return when the next period begins."""
        return moment((self.period_of(now) + 1) * self._seconds)

    @property
    def _seconds(self) -> int:
        return int(self.period.total_seconds())


@dataclass(frozen=True, slots=True)
class GasBudget:
    """What an account has, in wei. `used` is paid or reserved in this period, which ends at `renews_at`."""

    account: Address
    allowance: int
    used: int
    renews_at: datetime

    @property
    def left(self) -> int:
        return max(self.allowance - self.used, 0)


@dataclass(frozen=True, slots=True)
class Charge:
    """What is reserved for a payment, by its key, and by whom: only he may give it back."""

    key: str
    holder: str


class Budgets(Protocol):
    """Keeps what was spent. Any number of processes may share one; each method is one transaction."""

    def used(self, account: Address, period: int) -> int:
        """Return the wei that are paid or reserved for an account in a period."""
        ...

    def reserve(self, key: str, account: Address, wei: int, *, allowance: int, period: int) -> Charge | None:
        """Reserve wei for a payment, instead of what was before; None: fewer are left."""
        ...

    def give_back(self, charge: Charge) -> None:
        """Give back what was reserved for a payment that was not sent, unless another one reserved anew."""
        ...

    def settle(self, key: str, transaction_id: TransactionId, wei: int, *, holder: str | None = None) -> None:
        """Write down what a payment's transaction cost, once, instead of what was reserved.

        With a `holder`: unless another one has reserved for it meanwhile.
        """
        ...

    def open_charges(self, account: Address) -> list[Charge]:
        """Return what is reserved for an account and not settled."""
        ...
