"""Settling a finished job."""

from __future__ import annotations

from collections.abc import Sequence

from molt_market.domain.deals import EscrowAccount
from molt_market.domain.ids import EscrowId
from molt_market.domain.settlement import JobSettlementInput, SettlementResult, quote_settlement
from molt_market.errors import MoltError
from molt_market.payments.desk import Deal
from molt_market.payments.service import PaymentService
from molt_market.payments.steps import CLOSED


def settle_job(job: JobSettlementInput, payments: PaymentService) -> SettlementResult:
    """Bring a finished job one transaction closer to settled money, and say how it stands.

    With the buyer's confirmation it is released in one transaction. If that confirms the whole allocation,
    or if the proof can be claimed, the deal is closed by it: `Success`, or `PartialRefund` with the rest
    back at the buyer. If it confirms less and nothing can be claimed (no attestors, or before the end
    without a result), what is confirmed is paid, the rest stays locked, and the answer is `Pending`.

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
    escrow = _required(job, payments.present(job.escrow_id))
    payments.advance(escrow, job.proof, job.buyer_confirmation)
    return payments.settlement(job.escrow_id)


def settle_jobs(
    jobs: Sequence[JobSettlementInput], payments: PaymentService
) -> list[SettlementResult | MoltError]:
    """Settle many jobs in few transactions: for each, in their order, what `settle_job` returns or raises.

    One that fails leaves the others. To call it again, with the same jobs or some of them, is harmless.
    """
    answers: dict[int, SettlementResult | MoltError] = {}
    ready: dict[int, EscrowAccount] = {}
    present = payments.present_all({job.escrow_id: None for job in jobs})
    for place, job in enumerate(jobs):
        try:
            ready[place] = _required(job, present[job.escrow_id])
        except MoltError as error:
            answers[place] = error
    steps = [(escrow, jobs[place].proof, jobs[place].buyer_confirmation) for place, escrow in ready.items()]
    settled: dict[EscrowId, SettlementResult | MoltError] = {}
    failures = payments.advance_all(steps, lambda paid: settled.update(payments.settlements(paid)))
    deals = [escrow.id for escrow in ready.values()]
    settled |= payments.settlements(
        [deal for deal in deals if not isinstance(settled.get(deal), SettlementResult)]
    )
    for (place, escrow), failure in zip(ready.items(), failures, strict=True):
        answers[place] = failure or settled[escrow.id]
    return [answers[place] for place in range(len(jobs))]


def _required(job: JobSettlementInput, present: EscrowAccount | Deal | MoltError) -> EscrowAccount:
    """Return the present state of a job's deal. Raises what no settlement can come to."""
    if isinstance(present, MoltError):
        raise present
    escrow = present[0] if isinstance(present, tuple) else present
    gpu_seconds = job.agreed_gpu_seconds(escrow.terms)
    if escrow.status not in CLOSED:
        quote_settlement(escrow, gpu_seconds)
    return escrow
