"""What the log says of every account, deal, policy and pool."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import singledispatchmethod

from molt_market.domain import events
from molt_market.domain.deals import DealStatus
from molt_market.domain.events import DealEvent
from molt_market.domain.ids import ZERO_ADDRESS, Address, EscrowId, Hash32
from molt_market.domain.policies import Policy
from molt_market.domain.settlement import price
from molt_market.errors import NodeError
from molt_market.indexer.records import DealRecord, after, opened

FOREVER = 2**40 - 1


@dataclass
class Account:
    """In the order of the contract's `accountOf`."""

    balance: int = 0
    withdrawing: int = 0
    unlock_at: int = 0
    nonce: int = 0


@dataclass
class Books:
    """The contract's state, as far as it moves money, made of its events alone.

    The log does not name the fee's recipient: he is a constant of the contract's code.
    """

    fee_recipient: Address
    accounts: defaultdict[Address, Account] = field(default_factory=lambda: defaultdict(Account))
    deals: dict[EscrowId, DealRecord] = field(default_factory=dict)
    policies: dict[Hash32, Policy] = field(default_factory=dict)
    cutoffs: dict[tuple[Address, int, int], tuple[int, int]] = field(default_factory=dict)
    approvals: dict[tuple[Address, Hash32], int] = field(default_factory=dict)
    roles: dict[int, tuple[Address, Address]] = field(default_factory=dict)
    paused_until: int = 0
    announced_fee: tuple[int, int] | None = None
    entered: int = 0

    def follow(self, logged: Iterable[events.Event]) -> None:
        """Enter events, in their order.

        Raises:
            NodeError: one cannot follow on those before it, so that some are missing; it is not entered.
        """
        for event in logged:
            self._enter(event)
            self.entered += 1

    # ---------------------------------------------------------------- what follows from them

    def live(self) -> dict[EscrowId, DealRecord]:
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
        record = opened(event)
        self.accounts[event.terms.buyer].balance -= price(event.terms)
        self.accounts[event.terms.provider].balance -= record.held - price(event.terms)
        self.deals[event.deal_id] = record

    @_enter.register(events.DealPaid | events.DealStopped | events.DealClaimed)
    @_enter.register(events.DealDisputed | events.DealRuled | events.DealClosed)
    def _(self, event: DealEvent) -> None:
        before = self.deals.get(event.deal_id)
        if before is None:
            raise NodeError(f"the log of deal {event.deal_id} does not begin with its opening")
        now = self.deals[event.deal_id] = after(before, event)
        self.accounts[now.terms.provider].balance += now.to_provider - before.to_provider
        self.accounts[self.fee_recipient].balance += now.fee - before.fee
        self.accounts[now.terms.buyer].balance += now.to_buyer - before.to_buyer - (now.stake - before.stake)
        if isinstance(event, events.DealRuled):
            self.accounts[event.arbiter].balance += event.share
