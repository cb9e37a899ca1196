"""The escrow in plain Python: what each account, deal and pool of GPUs must show after each step.

It is written from ESCROW's rules and imports nothing of the product. Where the contract adds differences, it
keeps totals: after `paid` GPU-seconds the provider has got due(paid) - fee(paid), whatever the steps were.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

EXCUSED, ATTESTED = 1, 2
NONE, LOCKED, CLAIMED, DISPUTED, RELEASED, REFUNDED = range(6)
BPS = 10_000


class Payout(NamedTuple):
    """What one step brings whom, in base units."""

    provider: int
    fee: int
    buyer: int = 0


@dataclass
class Deal:
    """A deal that has been opened. Times in Unix seconds, `price` per GPU-hour, usage in GPU-seconds."""

    buyer: str
    provider: str
    price: int
    gpus: int
    duration: int
    slot: int
    fee_bps: int
    bond_bps: int
    notice_minutes: int
    challenge: int
    opened_at: int
    ends_at: int
    deadline: int
    paid: int = 0
    claim: int = 0
    status: int = LOCKED
    flags: int = 0

    @property
    def allocation(self) -> int:
        return self.gpus * self.duration

    def due(self, units: int) -> int:
        return units * self.price // 3_600

    def fee(self, units: int) -> int:
        return self.due(units) * self.fee_bps // BPS

    @property
    def cost(self) -> int:
        return self.due(self.allocation)

    @property
    def bond(self) -> int:
        return self.cost * self.bond_bps // BPS

    def bond_of(self, units: int) -> int:
        """The part of the bond that a delivery of so much earns back."""
        cap = min(self.allocation, self.gpus * (self.ends_at - self.opened_at))
        started_late_at_most = units + self.gpus * self.notice_minutes * 60 >= cap
        return self.bond if units > 0 and started_late_at_most else self.bond * units // cap

    @property
    def held(self) -> int:
        """What the contract still keeps for this deal."""
        return self.cost - self.due(self.paid) + self.bond if self.status in {LOCKED, CLAIMED} else 0

    def pay(self, units: int) -> Payout:
        fee = self.fee(units) - self.fee(self.paid)
        whole = self.due(units) - self.due(self.paid)
        self.paid = units
        return Payout(provider=whole - fee, fee=fee)

    def close(self, units: int) -> Payout:
        """Pay up to `units`, give the provider the bond he earned and the buyer all the rest."""
        held = self.held
        earned = self.bond if self.flags & EXCUSED else self.bond_of(units)
        provider, fee, _ = self.pay(units)
        self.status = RELEASED if units else REFUNDED
        return Payout(provider=provider + earned, fee=fee, buyer=held - provider - earned - fee)

    def word(self) -> tuple[int, ...]:
        """The fields of the deal as `dealOf` gives them."""
        return (
            self.status,
            self.flags,
            self.fee_bps,
            self.bond_bps,
            self.opened_at,
            self.ends_at,
            self.deadline,
            self.paid,
            self.claim,
            self.notice_minutes,
        )


@dataclass
class Account:
    balance: int = 0
    withdrawing: int = 0
    unlock_at: int = 0
    nonce: int = 0

    def word(self) -> tuple[int, ...]:
        """The fields as `accountOf` gives them."""
        return (self.balance, self.withdrawing, self.unlock_at, self.nonce)


@dataclass
class Model:
    """All accounts and deals of one escrow."""

    fee_recipient: str
    accounts: dict[str, Account] = field(default_factory=lambda: defaultdict(Account))
    deals: dict[str, Deal] = field(default_factory=dict)
    opened_orders: set[tuple[str, int]] = field(default_factory=set)
    donated: int = 0  # tokens that came without a deposit: nobody's

    def deposit(self, to: str, amount: int) -> None:
        self.accounts[to].balance += amount

    def request_withdraw(self, account: str, amount: int, unlock_at: int) -> None:
        self.accounts[account].withdrawing = amount
        self.accounts[account].unlock_at = unlock_at
        self.accounts[account].nonce += 1

    def withdraw(self, account: str) -> int:
        owner = self.accounts[account]
        amount = min(owner.withdrawing, owner.balance)
        owner.balance -= amount
        owner.withdrawing = 0
        owner.nonce += 1
        return amount

    def open(self, deal_id: str, deal: Deal, order_slot: int) -> None:
        self.accounts[deal.buyer].balance -= deal.cost
        self.accounts[deal.provider].balance -= deal.bond
        self.deals[deal_id] = deal
        self.opened_orders.add((deal.buyer, order_slot))

    def release(self, deal_id: str, units: int) -> Payout:
        deal = self.deals[deal_id]
        most = deal.allocation if deal.status == LOCKED else deal.claim
        units = min(units, most)
        return self._credit(deal, deal.close(units) if units == most else deal.pay(units))

    def claim(self, deal_id: str, units: int, *, completed: bool, time: int) -> None:
        deal = self.deals[deal_id]
        deal.status = CLAIMED
        deal.claim = units
        deal.flags |= ATTESTED | (EXCUSED if completed else 0)
        deal.deadline = time + deal.challenge

    def finalize(self, deal_id: str) -> Payout:
        deal = self.deals[deal_id]
        return self._credit(deal, deal.close(deal.claim if deal.status == CLAIMED else deal.paid))

    def _credit(self, deal: Deal, payout: Payout) -> Payout:
        self.accounts[deal.provider].balance += payout.provider
        self.accounts[self.fee_recipient].balance += payout.fee
        self.accounts[deal.buyer].balance += payout.buyer
        return payout

    @property
    def tokens(self) -> int:
        """The tokens that the contract must own."""
        balances = sum(account.balance for account in self.accounts.values())
        return balances + sum(deal.held for deal in self.deals.values()) + self.donated

    def gpus_in_use(self, provider: str, slot: int) -> int:
        locked = [deal for deal in self.deals.values() if deal.status == LOCKED]
        return sum(deal.gpus for deal in locked if (deal.provider, deal.slot) == (provider, slot))

    def pools(self) -> set[tuple[str, int]]:
        return {(deal.provider, deal.slot) for deal in self.deals.values()}
