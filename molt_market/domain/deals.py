"""A deal as the contract and the reference see it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Self

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.fields import Moment, Uint8, Uint16, Uint40, Value
from molt_market.domain.ids import Address, EscrowId, OfferId, OrderId, TransactionId
from molt_market.domain.terms import Terms


class DealStatus(IntEnum):
    """The contract's status of a deal, by its numbers."""

    NONE = 0
    LOCKED = 1
    CLAIMED = 2
    DISPUTED = 3
    RELEASED = 4  # closed, something was paid
    REFUNDED = 5  # closed, nothing was paid


class EscrowState(StrEnum):
    """The coarser status of the reference."""

    CREATED = "created"  # signed and broadcast, not confirmed
    LOCKED = "locked"  # also while claimed: claimed_gpu_seconds and locked_until say so
    RELEASED = "released"
    REFUNDED = "refunded"
    DISPUTED = "disputed"

    @classmethod
    def of(cls, status: DealStatus) -> EscrowState:
        """Return the state that a deal's status is."""
        return _STATE_OF[status]


_STATE_OF = {
    DealStatus.NONE: EscrowState.CREATED,
    DealStatus.LOCKED: EscrowState.LOCKED,
    DealStatus.CLAIMED: EscrowState.LOCKED,
    DealStatus.DISPUTED: EscrowState.DISPUTED,
    DealStatus.RELEASED: EscrowState.RELEASED,
    DealStatus.REFUNDED: EscrowState.REFUNDED,
}


EXCUSED = 1  # the bond is not at stake any more
ATTESTED = 2  # a quorum of attestors signed the claim
STOPPED = 4  # the buyer moved the end


@dataclass(frozen=True, slots=True)
class Deal:
    """All that changes in a deal, as the contract keeps it. Times are Unix seconds, usage GPU-seconds.

    `deadline` is that of the present status: from then on anyone may finalize.
    """

    status: DealStatus
    flags: int
    fee_bps: int
    bond_bps: int
    opened_at: int
    ends_at: int
    deadline: int
    paid: int
    claim: int
    notice_minutes: int

    @classmethod
    def unpack(cls, word: int) -> Self:
        """Read the word that the contract stores and logs: from the lowest bit, the fields in their order."""
        values = []
        for width in _WIDTHS:
            values.append(word & ((1 << width) - 1))
            word >>= width
        return cls(DealStatus(values[0]), *values[1:])

    @property
    def excused(self) -> bool:
        return bool(self.flags & EXCUSED)

    @property
    def attested(self) -> bool:
        return bool(self.flags & ATTESTED)

    @property
    def stopped(self) -> bool:
        return bool(self.flags & STOPPED)


_WIDTHS = (8, 8, 16, 16, 40, 40, 40, 40, 40, 8)


class EscrowAccount(Value):
    """A deal and the money in it.

    `amount` is the price of the whole allocation, `bond` the provider's stake. `locked_until` is the deadline
    of the present status: from then on anyone may finalize. `ends_at` is when the allocation ends (a stop
    moves it), `opened_at` is when the chain opened it; neither is known before it is confirmed. Usage is in
    GPU-seconds.

    `attested`: a quorum signed the claim. `stopped`: the buyer moved the end. `excused`: the provider's
    bond is not at stake. In a dispute `paid_gpu_seconds` is the buyer's counter.
    """

    id: EscrowId
    order_id: OrderId
    offer_id: OfferId
    buyer: Address
    provider: Address
    amount: Amount
    created_at: Moment
    locked_until: Moment
    released_at: Moment | None = None
    transaction_id: TransactionId | None = None

    status: DealStatus = DealStatus.NONE
    terms: Terms
    bond: Amount
    paid_gpu_seconds: Uint40 = 0
    claimed_gpu_seconds: Uint40 = 0
    fee_bps: Uint16
    bond_bps: Uint16
    notice_minutes: Uint8
    opened_at: Moment | None = None
    ends_at: Moment | None = None
    excused: bool = False
    attested: bool = False
    stopped: bool = False

    @property
    def state(self) -> EscrowState:
        """The state in the reference's words."""
        return EscrowState.of(self.status)

    @property
    def token(self) -> Token:
        return self.amount.token

    @property
    def run_seconds(self) -> int:
        """How long the allocation runs: its whole duration, or less after a stop."""
        if self.opened_at is None or self.ends_at is None:
            return self.terms.duration
        return int((self.ends_at - self.opened_at).total_seconds())
