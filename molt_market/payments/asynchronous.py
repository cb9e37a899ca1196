"""The same payments for asyncio: each verb runs in a thread, so that there is one logic and no second one.

A verb waits for blocks, not for the processor: threads cost nothing there. Whoever cancels a task stops
waiting; the payment goes on, and the journal has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from molt_market.domain.settlement import JobSettlementInput, SettlementResult
from molt_market.errors import MoltError
from molt_market.payments.service import PaymentService
from molt_market.payments.settlement import settle_job, settle_jobs

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 64  # payments that may wait at the same time


def _in_thread(
    verb: Callable[Concatenate[PaymentService, P], T],
) -> Callable[Concatenate[AsyncPaymentService, P], Coroutine[Any, Any, T]]:
    """Make the asynchronous form of a verb."""

    @wraps(verb)
    async def call(self: AsyncPaymentService, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(partial(verb, self.payments, *args, **kwargs))

    return call


def _settle_job(payments: PaymentService, job: JobSettlementInput) -> SettlementResult:
    """Settle a job: `molt_market.settle_job`."""
    return settle_job(job, payments)


def _settle_jobs(
    payments: PaymentService, jobs: Sequence[JobSettlementInput]
) -> list[SettlementResult | MoltError]:
    """Settle many jobs: `molt_market.settle_jobs`."""
    return settle_jobs(jobs, payments)


class AsyncPaymentService:
    """The verbs of PaymentService to `await`, with the same arguments, results and errors.

    >>> async with AsyncPaymentService(connect(Network.LOCAL, "buyer.json")) as payments:  # doctest: +SKIP
    ...     escrow = await payments.create_job_escrow(match, wallet)
    """

    def __init__(self, payments: PaymentService, *, threads: int = THREADS) -> None:
        self.payments = payments
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="payments")

    async def run(self, act: Callable[[], T]) -> T:
        """Run something in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, act)

    def close(self) -> None:
        """Wait for what is being done, and take no more."""
        self._threads.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    escrow = _in_thread(PaymentService.escrow)
    present = _in_thread(PaymentService.present)
    deal_events = _in_thread(PaymentService.deal_events)
    deals = _in_thread(PaymentService.deals)
    settlement = _in_thread(PaymentService.settlement)
    settlements = _in_thread(PaymentService.settlements)
    resolution = _in_thread(PaymentService.resolution)

    create_job_escrow = _in_thread(PaymentService.create_job_escrow)
    create_job_escrows = _in_thread(PaymentService.create_job_escrows)
    open_resting = _in_thread(PaymentService.open_resting)
    release_payment = _in_thread(PaymentService.release_payment)
    refund_payment = _in_thread(PaymentService.refund_payment)
    handle_dispute = _in_thread(PaymentService.handle_dispute)
    redeem = _in_thread(PaymentService.redeem)
    stop = _in_thread(PaymentService.stop)
    cancel = _in_thread(PaymentService.cancel)
    settle_split = _in_thread(PaymentService.settle_split)
    claim_unattested = _in_thread(PaymentService.claim_unattested)
    concede = _in_thread(PaymentService.concede)
    resolve = _in_thread(PaymentService.resolve)
    rule = _in_thread(PaymentService.rule)
    present_all = _in_thread(PaymentService.present_all)
    advance = _in_thread(PaymentService.advance)
    advance_all = _in_thread(PaymentService.advance_all)
    finalize_all = _in_thread(PaymentService.finalize_all)
    reconcile = _in_thread(PaymentService.reconcile)
    settle_job = _in_thread(_settle_job)
    settle_jobs = _in_thread(_settle_jobs)
