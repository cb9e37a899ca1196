"""What the escrow contract logs. Amounts are base units, times Unix seconds, usage GPU-seconds.

The fields are the contract's, in its order; `transaction_id`, `block` and `log_index` say where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass

from molt_market.domain.deals import Deal, DealStatus
from molt_market.domain.ids import Address, EscrowId, Hash32, TransactionId
from molt_market.domain.policies import Policy
from molt_market.domain.roles import Role
from molt_market.domain.terms import Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the chain's log."""

    transaction_id: TransactionId
    block: int
    log_index: int


@dataclass(frozen=True, slots=True)
class Block:
    """A block, and all that the escrow logged in it, in order. `time` is a Unix second."""

    number: int
    hash: Hash32
    parent: Hash32
    time: int
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposited(Event):
    account: Address
    sender: Address
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawRequested(Event):
    account: Address
    amount: int
    unlock_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn(Event):
    account: Address
    to: Address
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersCancelled(Event):
    account: Address
    side: int
    group: int
    cutoff_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestApproved(Event):
    """From now on `digest` counts as signed by the account."""

    account: Address
    digest: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestRevoked(Event):
    account: Address
    digest: Hash32
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleOffered(Event):
    role: Role
    holder: Address
    pending: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAccepted(Event):
    role: Role
    holder: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningsPaused(Event):
    """No deal opens before `until`; a time that is over ends a pause."""

    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeAnnounced(Event):
    """Deals that open from `from_` on have this fee."""

    fee_bps: int
    from_: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRegistered(Event):
    policy_id: Hash32
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class DealOpened(Event):
    deal_id: EscrowId
    terms: Terms
    deal: Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class DealPaid(Event):
    """A voucher paid `gpu_seconds` in all so far; the deal stays open."""

    deal_id: EscrowId
    gpu_seconds: int
    to_provider: int
    fee: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DealClaimed(Event):
    deal_id: EscrowId
    gpu_seconds: int
    result_digest: Hash32
    usage_root: Hash32
    deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DealStopped(Event):
    """The buyer ends the deal at `ends_at`, earlier than agreed."""

    deal_id: EscrowId
    ends_at: int
    deadline: int
    excused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DealDisputed(Event):
    """A claim is contested, or lacks a quorum. `stake` is the buyer's; the other amounts have gone out."""

    deal_id: EscrowId
    counter: int
    gpu_seconds: int
    evidence: Hash32
    stake: int
    deadline: int
    to_provider: int
    fee: int
    to_buyer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DealRuled(Event):
    """The arbiter ruled; `share` of the stakes is his."""

    deal_id: EscrowId
    arbiter: Address
    gpu_seconds: int
    share: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DealClosed(Event):
    """The end of a deal: where all that was still held has gone. The provider's part includes his bond."""

    deal_id: EscrowId
    status: DealStatus
    gpu_seconds: int
    to_provider: int
    fee: int
    to_buyer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRefused(Event):
    """An item of a batch was refused and changed nothing; `refusal(code, actual, limit)` says it in words."""

    index: int
    code: int
    actual: int
    limit: int


DealEvent = DealOpened | DealPaid | DealClaimed | DealStopped | DealDisputed | DealRuled | DealClosed
DEAL_EVENTS = (DealOpened, DealPaid, DealClaimed, DealStopped, DealDisputed, DealRuled, DealClosed)
