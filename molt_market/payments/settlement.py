"""Settling a finished job."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.events import DealClaimed, DealClosed, DealPaid, Event
from molt_market.domain.fields import SECONDS_PER_HOUR
from molt_market.domain.ids import DisputeId
from molt_market.domain.settlement import (
    JobSettlementInput,
    SettlementResult,
    SettlementStatus,
    quote_settlement,
)
from molt_market.errors import EscrowError
from molt_market.payments.service import PaymentService


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
        DealNotFound: the contract has no such deal.
        Refused: the contract refuses it, for example TooLate or Quorum. Nothing moved.
        TransactionPending, NodeUnreachable, NodeError: it may have been sent; call again.

    >>> result = settle_job(job, payments)  # doctest: +SKIP
    >>> match result.status:  # doctest: +SKIP
    ...     case SettlementStatus.Success(): print(f"paid {result.provider_payment}")
    ...     case SettlementStatus.Pending(claimable_at=when): print(f"call again at {when}")
    """
    escrow = payments.escrow(job.escrow_id)
    job.agreed_gpu_seconds(escrow.terms)
    payments.advance(escrow, job.proof, job.buyer_confirmation)
    return settlement_of(payments.escrow(job.escrow_id), payments.deal_events(job.escrow_id))


def settlement_of(escrow: EscrowAccount, events: Iterable[Event]) -> SettlementResult:
    """Return what the log says of a deal's money so far.

    Raises:
        EscrowError: a closed deal's figures are not those of `quote_settlement`; that must never happen.
    """
    moves = [each for each in events if isinstance(each, (DealPaid, DealClaimed, DealClosed))]
    paid = [each for each in moves if isinstance(each, DealPaid)]
    to_provider = sum(each.to_provider for each in paid)
    fee = sum(each.fee for each in paid)
    to_buyer = 0
    for closed in moves:
        if isinstance(closed, DealClosed):
            quote = quote_settlement(escrow, closed.gpu_seconds)
            to_provider += closed.to_provider - quote.bond_to_provider.base_units
            fee += closed.fee
            to_buyer = closed.to_buyer - quote.bond_to_buyer.base_units
            quoted = (quote.provider_payment, quote.platform_fee, quote.buyer_refund)
            if (to_provider, fee, to_buyer) != tuple(amount.base_units for amount in quoted):
                raise EscrowError(f"deal {escrow.id} was closed with other figures than quoted: report this")
    return SettlementResult(
        status=_status(escrow),
        provider_payment=Amount(to_provider, escrow.token),
        buyer_refund=Amount(to_buyer, escrow.token),
        platform_fee=Amount(fee, escrow.token),
        transactions=tuple(dict.fromkeys(each.transaction_id for each in moves)),
    )


def _status(escrow: EscrowAccount) -> SettlementStatus:
    if escrow.status is DealStatus.DISPUTED:
        return SettlementStatus.Disputed(dispute_id=DisputeId(escrow.id))
    if escrow.status not in {DealStatus.RELEASED, DealStatus.REFUNDED}:
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
