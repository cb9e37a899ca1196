"""What the log says of every account, deal, policy and pool."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod
from typing import Any

from molt_market.domain import events
from molt_market.domain.deals import ATTESTED, EXCUSED, STOPPED, Deal, DealStatus
from molt_market.domain.ids import ZERO_ADDRESS, ZERO_HASH, Address, EscrowId, Hash32
from molt_market.domain.policies import Policy
from molt_market.domain.settlement import bond, price
from molt_market.domain.terms import Terms

FOREVER = 2**40 - 1
LIVE = (DealStatus.LOCKED, DealStatus.CLAIMED, DealStatus.DISPUTED)


@dataclass
class Account:
    """In the order of the contract's `accountOf`."""

    balance: int = 0
    withdrawing: int = 0
    unlock_at: int = 0
    nonce: int = 0


@dataclass
class OpenedDeal:
    """`held` is what has come in for the deal and not gone out again, event by event."""

    terms: Terms
    deal: Deal
    held: int

    @property
    def is_live(self) -> bool:
        return self.deal.status in LIVE


@dataclass
class Books:
    """The contract's state, as far as it moves money, made of its events alone.

    The log does not name the fee's recipient: he is a constant of the contract's code.
    """

    fee_recipient: Address
    accounts: defaultdict[Address, Account] = field(default_factory=lambda: defaultdict(Account))
    deals: dict[EscrowId, OpenedDeal] = field(default_factory=dict)
    policies: dict[Hash32, Policy] = field(default_factory=dict)
    cutoffs: dict[tuple[Address, int, int], tuple[int, int]] = field(default_factory=dict)
    approvals: dict[tuple[Address, Hash32], int] = field(default_factory=dict)
    roles: dict[int, tuple[Address, Address]] = field(default_factory=dict)
    paused_until: int = 0
    announced_fee: tuple[int, int] | None = None
    deposited: int = 0
    entered: int = 0

    def follow(self, logged: Iterable[events.Event]) -> None:
        """Enter events, in their order."""
        for event in logged:
            self._enter(event)
            self.entered += 1

    # ---------------------------------------------------------------- what follows from them

    def live(self) -> dict[EscrowId, OpenedDeal]:
        """Return the deals that still hold money, those first that are due first."""
        found = {id_: deal for id_, deal in self.deals.items() if deal.is_live}
        return dict(sorted(found.items(), key=lambda item: item[1].deal.deadline))

    def gpus_in_use(self) -> dict[tuple[Address, int], int]:
        """Count the GPUs of LOCKED deals, by provider and slot."""
        pools: dict[tuple[Address, int], int] = {}
        for known in self.deals.values():
            pool = (known.terms.provider, known.terms.slot)
            locked = known.terms.gpu_count if known.deal.status == DealStatus.LOCKED else 0
            pools[pool] = pools.get(pool, 0) + locked
        return pools

    def total_balance(self) -> int:
        return sum(account.balance for account in self.accounts.values())

    def total_held(self) -> int:
        return sum(deal.held for deal in self.deals.values())

    # ---------------------------------------------------------------- event by event

    @singledispatchmethod
    def _enter(self, event: events.Event) -> None:
        """An event that changes nothing here: a skipped item of a batch."""

    @_enter.register
    def _(self, event: events.Deposited) -> None:
        self.accounts[event.account].balance += event.amount
        self.deposited += event.amount

    @_enter.register
    def _(self, event: events.WithdrawRequested) -> None:
        account = self.accounts[event.account]
        account.withdrawing = event.amount
        account.unlock_at = event.unlock_at
        account.nonce += 1

    @_enter.register
    def _(self, event: events.Withdrawn) -> None:
        account = self.accounts[event.account]
        account.balance -= event.amount
        account.withdrawing = 0
        account.nonce += 1

    @_enter.register
    def _(self, event: events.OrdersCancelled) -> None:
        group = (event.account, event.side, event.group)
        _, present = self.cutoffs.get(group, (0, 0))
        self.cutoffs[group] = (present, event.cutoff_at)

    @_enter.register
    def _(self, event: events.DigestApproved) -> None:
        self.approvals[event.account, event.digest] = FOREVER

    @_enter.register
    def _(self, event: events.DigestRevoked) -> None:
        self.approvals[event.account, event.digest] = event.until

    @_enter.register
    def _(self, event: events.RoleOffered) -> None:
        self.roles[event.role] = (event.holder, event.pending)

    @_enter.register
    def _(self, event: events.RoleAccepted) -> None:
        self.roles[event.role] = (event.holder, ZERO_ADDRESS)

    @_enter.register
    def _(self, event: events.OpeningsPaused) -> None:
        self.paused_until = event.until

    @_enter.register
    def _(self, event: events.FeeAnnounced) -> None:
        self.announced_fee = (event.fee_bps, event.from_)

    @_enter.register
    def _(self, event: events.PolicyRegistered) -> None:
        self.policies[event.policy_id] = event.policy

    # ---------------------------------------------------------------- deals

    @_enter.register
    def _(self, event: events.DealOpened) -> None:
        whole = price(event.terms)
        stake = bond(whole, event.deal.bond_bps)
        self.accounts[event.terms.buyer].balance -= whole
        self.accounts[event.terms.provider].balance -= stake
        self.deals[event.deal_id] = OpenedDeal(event.terms, event.deal, whole + stake)

    @_enter.register
    def _(self, event: events.DealPaid) -> None:
        self._pay(event.deal_id, event.to_provider, event.fee)
        self._change(event.deal_id, paid=event.gpu_seconds)

    @_enter.register
    def _(self, event: events.DealStopped) -> None:
        self._change(event.deal_id, ends_at=event.ends_at, deadline=event.deadline)
        self._flag(event.deal_id, STOPPED | (EXCUSED if event.excused else 0))

    @_enter.register
    def _(self, event: events.DealClaimed) -> None:
        claimed = {"status": DealStatus.CLAIMED, "claim": event.gpu_seconds, "deadline": event.deadline}
        self._change(event.deal_id, **claimed)
        self._flag(event.deal_id, ATTESTED | (EXCUSED if event.result_digest != ZERO_HASH else 0))

    @_enter.register
    def _(self, event: events.DealDisputed) -> None:
        known = self.deals[event.deal_id]
        self._pay(event.deal_id, event.to_provider, event.fee, event.to_buyer)
        self.accounts[known.terms.buyer].balance -= event.stake
        known.held += event.stake
        contested = {"paid": event.counter, "claim": event.gpu_seconds, "deadline": event.deadline}
        self._change(event.deal_id, status=DealStatus.DISPUTED, **contested)

    @_enter.register
    def _(self, event: events.DealRuled) -> None:
        self.accounts[event.arbiter].balance += event.share
        self.deals[event.deal_id].held -= event.share

    @_enter.register
    def _(self, event: events.DealClosed) -> None:
        self._pay(event.deal_id, event.to_provider, event.fee, event.to_buyer)
        self._change(event.deal_id, status=event.status, paid=event.gpu_seconds)

    def _pay(self, deal_id: EscrowId, to_provider: int, fee: int, to_buyer: int = 0) -> None:
        known = self.deals[deal_id]
        self.accounts[known.terms.provider].balance += to_provider
        self.accounts[self.fee_recipient].balance += fee
        self.accounts[known.terms.buyer].balance += to_buyer
        known.held -= to_provider + fee + to_buyer

    def _change(self, deal_id: EscrowId, **fields: Any) -> None:
        known = self.deals[deal_id]
        known.deal = replace(known.deal, **fields)

    def _flag(self, deal_id: EscrowId, flags: int) -> None:
        known = self.deals[deal_id]
        known.deal = replace(known.deal, flags=known.deal.flags | flags)
