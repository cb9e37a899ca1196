"""Settling a finished job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.events import DealClaimed, DealClosed, DealDisputed, DealPaid, DealRuled, Event
from molt_market.domain.fields import SECONDS_PER_HOUR
from molt_market.domain.ids import DisputeId, TransactionId
from molt_market.domain.settlement import (
    JobSettlementInput,
    SettlementQuote,
    SettlementResult,
    SettlementStatus,
    quote_settlement,
)
from molt_market.errors import EscrowError
from molt_market.payments.service import PaymentService
from molt_market.payments.steps import CLOSED

MOVES = (DealPaid, DealClaimed, DealDisputed, DealRuled, DealClosed)


def settle_job(job: JobSettlementInput, payments: PaymentService) -> SettlementResult:
    """Bring a finished job one transaction closer to settled money, and say how it stands.

    With the buyer's confirmation it is released in one transaction. If that confirms the whole allocation,
    or if
    the proof can be claimed, the deal is closed by it: `Success`, or `PartialRefund` with the rest back at
    the buyer. If it confirms less and nothing can be claimed (no attestors, or before the end without a
    result), what is confirmed is paid, the rest stays locked, and the answer is `Pending`.

    Without a confirmation the proof is claimed, and the answer is `Pending` until the buyer's time to
    contest it is over. It never waits: call it again from `claimable_at` on, and it finalizes. To call it
    again at any time is harmless.

    The figures are those of the whole deal so far, read from the chain's log; bonds are left out.

    Raises:
        ProofMismatch: input, proof and confirmation name different deals or hours. Nothing is sent.
        WrongSigner: the receipt is not the agent's, or the confirmation not the voucher signer's. Nothing
        is sent.
        InvalidValue: the hours are more than the allocation's, or less than is paid already. Nothing is sent.
        DealNotFound: the contract has no such deal.
        Refused: the contract refuses it, for example TooLate or Quorum. Nothing moved.
        TransactionPending, NodeUnreachable, NodeError: it may have been sent; call again.

    >>> result = settle_job(job, payments)  # doctest: +SKIP
    >>> match result.status:  # doctest: +SKIP
    ...     case SettlementStatus.Success(): print(f"paid {result.provider_payment}")
    ...     case SettlementStatus.Pending(claimable_at=when): print(f"call again at {when}")
    """
    escrow = payments.escrow(job.escrow_id)
    gpu_seconds = job.agreed_gpu_seconds(escrow.terms)
    if escrow.status not in CLOSED:
        quote_settlement(escrow, gpu_seconds)  # refuses what no settlement can come to
    payments.advance(escrow, job.proof, job.buyer_confirmation)
    return settlement_of(payments.escrow(job.escrow_id), payments.deal_events(job.escrow_id))


def settlement_of(escrow: EscrowAccount, events: Iterable[Event]) -> SettlementResult:
    """Return what the log says of a deal's money so far.

    Raises:
        EscrowError: the log of a closed deal does not add up to what was locked; that must never happen.
    """
    log = Ledger.of(events)
    quote = quote_settlement(escrow, escrow.paid_gpu_seconds)
    closed = escrow.status in CLOSED
    if closed:
        log.require_sums(escrow, quote)
    return SettlementResult(
        status=_status(escrow),
        provider_payment=quote.provider_payment,
        buyer_refund=quote.buyer_refund if closed else Amount.zero(escrow.token),
        platform_fee=Amount(log.fee, escrow.token),
        transactions=log.transactions,
    )


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the log says went where, in base units; bond and stakes included."""

    to_provider: int
    fee: int
    to_buyer: int
    to_arbiter: int
    staked: int
    transactions: tuple[TransactionId, ...]

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        moves = [event for event in events if isinstance(event, MOVES)]
        return cls(
            to_provider=_total(moves, "to_provider"),
            fee=_total(moves, "fee"),
            to_buyer=_total(moves, "to_buyer"),
            to_arbiter=_total(moves, "share"),
            staked=_total(moves, "stake"),
            transactions=tuple(dict.fromkeys(event.transaction_id for event in moves)),
        )

    def require_sums(self, escrow: EscrowAccount, quote: SettlementQuote) -> None:
        """Raise unless all that went in came out, the fee is the quoted one, and the price was paid."""
        went_in = (escrow.amount + escrow.bond).base_units + self.staked
        came_out = self.to_provider + self.fee + self.to_buyer + self.to_arbiter
        quoted = (quote.provider_payment.base_units, quote.platform_fee.base_units)
        if went_in != came_out or self.to_provider < quoted[0] or self.fee != quoted[1]:
            raise EscrowError(
                f"deal {escrow.id} held {went_in} base units; {self.to_provider} went to the provider,"
                f" {self.fee} in fees, {came_out} in all: stop, and report this"
            )


def _total(events: Iterable[Event], name: str) -> int:
    return sum(getattr(event, name, 0) for event in events)


def _status(escrow: EscrowAccount) -> SettlementStatus:
    if escrow.status is DealStatus.DISPUTED:
        return SettlementStatus.Disputed(dispute_id=DisputeId(escrow.id))
    if escrow.status not in CLOSED:
        return SettlementStatus.Pending(claimable_at=escrow.locked_until)
    if escrow.paid_gpu_seconds == escrow.terms.gpu_seconds:
        return SettlementStatus.Success()
    delivered = (
        f"{_hours(escrow, escrow.paid_gpu_seconds)} of {_hours(escrow, escrow.terms.gpu_seconds)} hours"
    )
    if escrow.paid_gpu_seconds == 0:
        return SettlementStatus.FullRefund(reason=f"{delivered} delivered")
    return SettlementStatus.PartialRefund(reason=f"{delivered} delivered")


def _hours(escrow: EscrowAccount, gpu_seconds: int) -> str:
    """Write GPU-seconds as hours of the whole allocation, to a ten-thousandth."""
    hours = Decimal(gpu_seconds) / (escrow.terms.gpu_count * SECONDS_PER_HOUR)
    return f"{hours.quantize(Decimal('0.0001')).normalize():f}"
