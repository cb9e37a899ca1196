"""What GPU-seconds are worth: the contract's arithmetic, to the base unit.

Every figure is the floor of a cumulative value, so that splitting a payment changes nothing, and the dust
stays with what is still held, which goes to the buyer at the close. `fee_bps` and `bond_bps` are those of the
deal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from molt_market.domain.amounts import MAX_DIGITS, Amount
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.fields import BPS, MAX_HOURS, SECONDS_PER_HOUR, Value
from molt_market.domain.ids import DisputeId, EscrowId, TransactionId
from molt_market.domain.proofs import Attestation, Confirmation, ExecutionProof
from molt_market.domain.terms import Terms
from molt_market.errors import InexactAmount, InvalidValue, ProofMismatch

SECONDS_PER_MINUTE = 60


def due(terms: Terms, gpu_seconds: int) -> int:
    """Return the price of the first `gpu_seconds`, in base units."""
    return gpu_seconds * terms.price_per_gpu_hour // SECONDS_PER_HOUR


def price(terms: Terms) -> int:
    """Return the price of the whole allocation, in base units."""
    return due(terms, terms.gpu_seconds)


def bond(price_: int, bond_bps: int) -> int:
    """Return the provider's stake on a price, in base units."""
    return price_ * bond_bps // BPS


def held(terms: Terms, *, paid: int, bond_bps: int) -> int:
    """Return what a LOCKED or CLAIMED deal still holds after `paid` GPU-seconds, in base units."""
    return price(terms) + bond(price(terms), bond_bps) - due(terms, paid)


@dataclass(frozen=True, slots=True)
class Owed:
    """What one payment brings the provider and the fee account, in base units."""

    to_provider: int
    fee: int


def owed(terms: Terms, gpu_seconds: int, *, paid: int, fee_bps: int) -> Owed:
    """Return what raising the paid GPU-seconds from `paid` to `gpu_seconds` brings."""
    due_paid = due(terms, paid)
    due_now = due(terms, gpu_seconds)
    fee = due_now * fee_bps // BPS - due_paid * fee_bps // BPS
    return Owed(due_now - due_paid - fee, fee)


def bond_earned(
    terms: Terms, gpu_seconds: int, *, bond_bps: int, run_seconds: int, notice_minutes: int
) -> int:
    """Return the part of the bond that delivering `gpu_seconds` earns back, in base units.

    It is linear, but whole within one notice of all that could be delivered in `run_seconds` (the whole
    duration, or less after a stop): the tolerated start-up time.
    """
    whole = bond(price(terms), bond_bps)
    deliverable = terms.gpu_count * run_seconds
    tolerated = terms.gpu_count * notice_minutes * SECONDS_PER_MINUTE
    if gpu_seconds > 0 and gpu_seconds + tolerated >= deliverable:
        return whole
    return whole * gpu_seconds // deliverable


@dataclass(frozen=True, slots=True)
class SettlementQuote:
    """Where the money of a deal goes, over its whole life.

    provider_payment + platform_fee + buyer_refund is the price that was locked; bond_to_provider +
    bond_to_buyer + arbiter_share is the provider's bond, and in a dispute the buyer's `stake` beside it.
    """

    gpu_seconds: int
    provider_payment: Amount
    platform_fee: Amount
    buyer_refund: Amount
    bond_to_provider: Amount
    bond_to_buyer: Amount
    stake: Amount
    arbiter_share: Amount


def quote_settlement(escrow: EscrowAccount, gpu_seconds: int, *, completed: bool = False) -> SettlementQuote:
    """Say where the money goes if the deal closes at `gpu_seconds`, earlier releases included.

    `completed` says that an attested receipt carries a result: the job finished early, and that costs no
    bond. Raises InvalidValue if `gpu_seconds` is less than is paid already or more than the allocation.
    """
    terms = escrow.terms
    if not escrow.paid_gpu_seconds <= gpu_seconds <= terms.gpu_seconds:
        raise InvalidValue(
            f"{gpu_seconds} GPU-seconds: {escrow.paid_gpu_seconds} are paid, {terms.gpu_seconds} are"
            " allocated; settle at a number between them"
        )
    whole_bond = bond(price(terms), escrow.bond_bps)
    earned = whole_bond if completed or escrow.excused else bond_of(escrow, gpu_seconds)
    return quote_of(escrow, gpu_seconds, bond_to_provider=earned)


def quote_of(
    escrow: EscrowAccount, gpu_seconds: int, *, bond_to_provider: int, stake: int = 0, arbiter_share: int = 0
) -> SettlementQuote:
    """Return the quote of a deal that closes at `gpu_seconds` and goes so with bond and stakes."""
    terms = escrow.terms
    paid = owed(terms, gpu_seconds, paid=0, fee_bps=escrow.fee_bps)
    at_stake = bond(price(terms), escrow.bond_bps) + stake
    return SettlementQuote(
        gpu_seconds=gpu_seconds,
        provider_payment=Amount(paid.to_provider, escrow.token),
        platform_fee=Amount(paid.fee, escrow.token),
        buyer_refund=Amount(price(terms) - due(terms, gpu_seconds), escrow.token),
        bond_to_provider=Amount(bond_to_provider, escrow.token),
        bond_to_buyer=Amount(at_stake - bond_to_provider - arbiter_share, escrow.token),
        stake=Amount(stake, escrow.token),
        arbiter_share=Amount(arbiter_share, escrow.token),
    )


def bond_of(escrow: EscrowAccount, gpu_seconds: int) -> int:
    """Return the part of a deal's bond that `gpu_seconds` earn back, in base units."""
    return bond_earned(
        escrow.terms,
        gpu_seconds,
        bond_bps=escrow.bond_bps,
        run_seconds=escrow.run_seconds,
        notice_minutes=escrow.notice_minutes,
    )


def gpu_seconds(hours: Decimal | int | str, gpu_count: int) -> int:
    """Return what `hours` of the whole allocation bill: whole seconds, rounded down, of each GPU.

    Raises InexactAmount for a float.

    >>> gpu_seconds("23.5", 8)
    676800
    """
    return int(Fraction(exact_hours(hours)) * SECONDS_PER_HOUR) * gpu_count


def exact_hours(value: object) -> Decimal:
    """Return hours as a Decimal. Raises InexactAmount for a float, InvalidValue for no number of hours."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise InexactAmount(f'{value!r} hours: write an exact number, e.g. Decimal("23.5") or "23.5"')
    try:
        hours = Decimal(value)
    except InvalidOperation:
        raise InvalidValue(f"{value!r} is not a number of hours: write e.g. '23.5'") from None
    if not hours.is_finite() or not 0 <= hours <= MAX_HOURS:
        raise InvalidValue(f"{hours:.6g} hours: a deal runs for 0 to {MAX_HOURS}")
    if len(hours.as_tuple().digits) > MAX_DIGITS or abs(hours.adjusted()) > MAX_DIGITS:
        raise InvalidValue(f"too many digits: write hours with at most {MAX_DIGITS}")
    return hours


class JobSettlementInput(Value):
    """What a finished job is settled by. `actual_hours` is how long the allocation ran; a float is refused.

    With a buyer's confirmation the money moves at once; without one, the proof makes a claim that he may
    contest.
    """

    escrow_id: EscrowId
    actual_hours: Annotated[Decimal, BeforeValidator(exact_hours)]
    proof: ExecutionProof
    provider_attestation: Attestation
    buyer_confirmation: Confirmation | None = None

    def agreed_gpu_seconds(self, terms: Terms) -> int:
        """Return the GPU-seconds that input, proof and confirmation agree on. Raises ProofMismatch."""
        billed = gpu_seconds(self.actual_hours, terms.gpu_count)
        self._require_agreement("the proof", self.proof.receipt, billed)
        self._require_agreement("the provider's attestation", self.provider_attestation, billed)
        if self.buyer_confirmation is not None:
            self._require_agreement("the buyer's confirmation", self.buyer_confirmation, billed)
        if not self.provider_attestation.same_receipt_as(self.proof.receipt):
            raise ProofMismatch(
                "the provider's attestation is of another receipt than the proof: use one of them"
            )
        return billed

    def _require_agreement(self, who: str, statement: Attestation | Confirmation, billed: int) -> None:
        if statement.deal_id != self.escrow_id:
            raise ProofMismatch(f"{who} is about deal {statement.deal_id}, the input about {self.escrow_id}")
        if statement.gpu_seconds != billed:
            raise ProofMismatch(
                f"{who} says {statement.gpu_seconds} GPU-seconds, {self.actual_hours} actual hours are"
                f" {billed}: make them agree"
            )


class SettlementStatus:
    """How a settlement stands; match on its variants: `case SettlementStatus.PartialRefund(reason=why)`."""

    __slots__ = ()

    Success: ClassVar[type[_Success]]
    PartialRefund: ClassVar[type[_PartialRefund]]
    FullRefund: ClassVar[type[_FullRefund]]
    Disputed: ClassVar[type[_Disputed]]
    Pending: ClassVar[type[_Pending]]


@dataclass(frozen=True, slots=True)
class _Success(SettlementStatus):
    """The whole price went to the provider."""

    __qualname__ = "SettlementStatus.Success"


@dataclass(frozen=True, slots=True)
class _PartialRefund(SettlementStatus):
    """The provider was paid for a part, the rest went back to the buyer."""

    __qualname__ = "SettlementStatus.PartialRefund"
    reason: str


@dataclass(frozen=True, slots=True)
class _FullRefund(SettlementStatus):
    """Everything went back to the buyer."""

    __qualname__ = "SettlementStatus.FullRefund"
    reason: str


@dataclass(frozen=True, slots=True)
class _Disputed(SettlementStatus):
    """The arbiter has to rule on the contested part."""

    __qualname__ = "SettlementStatus.Disputed"
    dispute_id: DisputeId


@dataclass(frozen=True, slots=True)
class _Pending(SettlementStatus):
    """The claim stands until the buyer's time to contest it is over: settle again from `claimable_at` on."""

    __qualname__ = "SettlementStatus.Pending"
    claimable_at: datetime


SettlementStatus.Success = _Success
SettlementStatus.PartialRefund = _PartialRefund
SettlementStatus.FullRefund = _FullRefund
SettlementStatus.Disputed = _Disputed
SettlementStatus.Pending = _Pending


@dataclass(frozen=True, slots=True)
class SettlementResult:
    """What a settlement did: its figures are those of the whole deal, bonds left out."""

    status: SettlementStatus
    provider_payment: Amount
    buyer_refund: Amount
    platform_fee: Amount
    transactions: tuple[TransactionId, ...]
