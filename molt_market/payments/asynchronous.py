"""The same payments for asyncio: each verb runs in a thread, so that there is one logic and no second one.

Whoever cancels a task stops waiting; the payment goes on, and the journal has it.
"""

from __future__ import annotations

from collections.abc import Sequence

from molt_market.domain.settlement import JobSettlementInput, SettlementResult
from molt_market.errors import MoltError
from molt_market.payments.service import PaymentService
from molt_market.payments.settlement import settle_job, settle_jobs
from molt_market.threads import THREADS, InThreads, in_thread


def _settle_job(payments: PaymentService, job: JobSettlementInput) -> SettlementResult:
    """Settle a job: `molt_market.settle_job`."""
    return settle_job(job, payments)


def _settle_jobs(
    payments: PaymentService, jobs: Sequence[JobSettlementInput]
) -> list[SettlementResult | MoltError]:
    """Settle many jobs: `molt_market.settle_jobs`."""
    return settle_jobs(jobs, payments)


class AsyncPaymentService(InThreads[PaymentService]):
    """The verbs of PaymentService to `await`, with the same arguments, results and errors.

    >>> async with AsyncPaymentService(connect(Network.LOCAL, "buyer.json")) as payments:  # doctest: +SKIP
    ...     escrow = await payments.create_job_escrow(match, wallet)
    """

    def __init__(self, payments: PaymentService, *, threads: int = THREADS) -> None:
        super().__init__(lambda: payments, threads=threads)
        self.payments = payments

    escrow = in_thread(PaymentService.escrow)
    present = in_thread(PaymentService.present)
    deal_events = in_thread(PaymentService.deal_events)
    deals = in_thread(PaymentService.deals)
    settlement = in_thread(PaymentService.settlement)
    settlements = in_thread(PaymentService.settlements)
    resolution = in_thread(PaymentService.resolution)

    create_job_escrow = in_thread(PaymentService.create_job_escrow)
    create_job_escrows = in_thread(PaymentService.create_job_escrows)
    extend = in_thread(PaymentService.extend)
    open_resting = in_thread(PaymentService.open_resting)
    release_payment = in_thread(PaymentService.release_payment)
    refund_payment = in_thread(PaymentService.refund_payment)
    handle_dispute = in_thread(PaymentService.handle_dispute)
    redeem = in_thread(PaymentService.redeem)
    stop = in_thread(PaymentService.stop)
    cancel = in_thread(PaymentService.cancel)
    settle_split = in_thread(PaymentService.settle_split)
    claim_unattested = in_thread(PaymentService.claim_unattested)
    concede = in_thread(PaymentService.concede)
    resolve = in_thread(PaymentService.resolve)
    rule = in_thread(PaymentService.rule)
    present_all = in_thread(PaymentService.present_all)
    advance = in_thread(PaymentService.advance)
    advance_all = in_thread(PaymentService.advance_all)
    finalize_all = in_thread(PaymentService.finalize_all)
    reconcile = in_thread(PaymentService.reconcile)
    settle_job = in_thread(_settle_job)
    settle_jobs = in_thread(_settle_jobs)
