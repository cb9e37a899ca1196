"""A buyer's dispute of a claim, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from molt_market.domain.amounts import Amount
from molt_market.domain.fields import Moment, Uint40, Value
from molt_market.domain.ids import ZERO_HASH, Address, DisputeId, EscrowId, Hash32, Signature, TransactionId
from molt_market.domain.settlement import exact_hours, gpu_seconds
from molt_market.domain.terms import Terms
from molt_market.errors import InvalidValue

MAX_TEXT = 2_000


class DisputeReason(StrEnum):
    """What the buyer holds against a claim."""

    NOT_DELIVERED = "not_delivered"
    LESS_THAN_CLAIMED = "less_than_claimed"
    UNREACHABLE = "unreachable"
    WRONG_HARDWARE = "wrong_hardware"
    WRONG_RESULT = "wrong_result"
    OTHER = "other"


class Dispute(Value):
    """The buyer's word that a claim is too high.

    He accepts `counter_hours` of the whole allocation (an exact decimal; a float is refused), or, to the
    second of a single GPU, `counter_gpu_seconds`. That much is paid at once; on the rest both sides stake,
    and the arbiter rules. Reason and text go to the buyer's journal, `evidence` (a hash) to the chain.

    `sign_dispute` fills `until` and `signature`, so that somebody else may send it, a watchtower for example.

    >>> Dispute(escrow_id="0x" + "de" * 32, counter_hours="23.5").counter_hours
    Decimal('23.5')
    """

    escrow_id: EscrowId
    counter_hours: Annotated[Decimal, BeforeValidator(exact_hours)] | None = None
    counter_gpu_seconds: Uint40 | None = None
    reason: DisputeReason = DisputeReason.LESS_THAN_CLAIMED
    text: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    evidence: Hash32 = ZERO_HASH
    until: Moment | None = None
    signature: Signature | None = None

    @model_validator(mode="after")
    def _check_counter(self) -> Self:
        if (self.counter_hours is None) == (self.counter_gpu_seconds is None):
            raise InvalidValue("say what you accept once: counter_hours, or counter_gpu_seconds")
        if (self.until is None) != (self.signature is None):
            raise InvalidValue("until and signature go together: sign_dispute fills both")
        return self

    def counter(self, terms: Terms) -> int:
        """Return the GPU-seconds of a deal that the buyer accepts."""
        if self.counter_gpu_seconds is not None:
            return self.counter_gpu_seconds
        return gpu_seconds(self.counter_hours or Decimal(0), terms.gpu_count)


class DisputeOutcome:
    """How a dispute stands; match on its variants: `case DisputeOutcome.Pending(until=when)`."""

    __slots__ = ()

    Pending: ClassVar[type[_Pending]]
    Ruled: ClassVar[type[_Ruled]]
    Conceded: ClassVar[type[_Conceded]]
    TimedOut: ClassVar[type[_TimedOut]]
    Settled: ClassVar[type[_Settled]]


@dataclass(frozen=True, slots=True)
class _Pending(DisputeOutcome):
    """The arbiter may rule before `until`; from then on, ask again and the dispute is closed without him."""

    __qualname__ = "DisputeOutcome.Pending"
    until: datetime


@dataclass(frozen=True, slots=True)
class _Ruled(DisputeOutcome):
    """The arbiter ruled."""

    __qualname__ = "DisputeOutcome.Ruled"
    arbiter: Address


@dataclass(frozen=True, slots=True)
class _Conceded(DisputeOutcome):
    """A party gave in."""

    __qualname__ = "DisputeOutcome.Conceded"
    by: Address


@dataclass(frozen=True, slots=True)
class _TimedOut(DisputeOutcome):
    """Nobody ruled in time: an attested claim stood, an unattested one fell."""

    __qualname__ = "DisputeOutcome.TimedOut"


@dataclass(frozen=True, slots=True)
class _Settled(DisputeOutcome):
    """Both parties closed it as they agreed."""

    __qualname__ = "DisputeOutcome.Settled"


DisputeOutcome.Pending = _Pending
DisputeOutcome.Ruled = _Ruled
DisputeOutcome.Conceded = _Conceded
DisputeOutcome.TimedOut = _TimedOut
DisputeOutcome.Settled = _Settled


@dataclass(frozen=True, slots=True)
class DisputeResolution:
    """How a dispute stands, and where the deal's money has gone so far, over its whole life.

    While the outcome is pending, `gpu_seconds` is the buyer's counter. At the end provider_payment +
    platform_fee + buyer_refund is the price, and bond_to_provider + bond_to_buyer + arbiter_share is the
    provider's bond and the buyer's `stake` together.
    """

    dispute_id: DisputeId
    outcome: DisputeOutcome
    gpu_seconds: int
    provider_payment: Amount
    buyer_refund: Amount
    platform_fee: Amount
    stake: Amount
    arbiter_share: Amount
    bond_to_provider: Amount
    bond_to_buyer: Amount
    transactions: tuple[TransactionId, ...]
