"""Settlements per second, from a match in hand to money that is final, on a real Anvil with timed blocks.

A settlement is a deal that is opened, with the deposit that it takes, and paid by the buyer's confirmation
of all of it; it is final with CONFIRMATIONS blocks on top. What is compared, in the same run:

- plain loop: send, wait for receipt and confirmations, next; no journal, no checks, nothing simulated;
- one by one: `create_job_escrow` and `settle_job`;
- batched: `create_job_escrows` and `settle_jobs`;
- Anvil itself: the calls of the batched run, signed before, on the chain as it was before. Once as deals are
  lived, the settlements when the openings are final, and once all at the same moment.

Ours are written to a journal in a database file that survives a power cut (SQLite, synchronous FULL), their
signatures are checked, and every call is simulated before it is signed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._rows import Row, report
from molt_market import (
    Amount,
    CapacityOffer,
    GpuCapacity,
    JobOrder,
    JobRequirements,
    JobSettlementInput,
    OrderBook,
    OrderMatch,
    PaymentService,
    SettlementResult,
    SettlementStatus,
    settle_job,
    settle_jobs,
    sign_offer,
    sign_order,
    sign_receipt,
    sign_voucher,
)
from molt_market.attestation.receipts import assemble_proof
from molt_market.chain.client import MoltClient
from molt_market.chain.node import Node
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.transactions import SignedTransaction
from molt_market.payments.journal import Journal
from molt_market.signing.hashes import deal_id, terms_of
from molt_market.signing.signers import LocalSigner
from molt_market.storage.database import Database
from molt_market.storage.journal import SqlJournal
from molt_market.testing import Devnet, devnet

BLOCK_SECONDS = 1
CONFIRMATIONS = 2
ONE_BY_ONE = 3
BATCHED = 1_000
HOURS = 1
PRICE = Amount.from_molt(1)


@dataclass(frozen=True)
class Run:
    """How long so many settlements took, and what gas."""

    n: int
    seconds: float
    gas: int

    @property
    def per_second(self) -> float:
        return self.n / self.seconds


class Market:
    """One buyer, one provider with GPUs enough, and matches of one GPU for an hour."""

    def __init__(self, net: Devnet) -> None:
        self.net = net
        self._slots = count()
        self._book = OrderBook(net.clock)
        self.offer = sign_offer(
            CapacityOffer(
                provider_id=net.provider.address,
                agent=net.agent.address,
                gpu_capacity=GpuCapacity(gpu_count=4 * BATCHED, gpu_model="H100", vram_gb=80),
                price_per_hour=PRICE,
                available_hours=HOURS,
                created_at=net.clock.now(),
                policy_id=net.policy_id,
            ),
            net.provider,
            net.domain,
        )
        self._book.add_offer(self.offer)

    def client(self) -> MoltClient:
        net = self.net
        return MoltClient(
            net.network, deployment=net.deployment, account=net.buyer, confirmations=CONFIRMATIONS
        )

    def matches(self, n: int) -> list[OrderMatch]:
        return [self._match(next(self._slots)) for _ in range(n)]

    def _match(self, slot: int) -> OrderMatch:
        needs = JobRequirements(
            min_gpu_count=1, min_vram_gb=80, max_price_per_hour=PRICE, estimated_hours=HOURS
        )
        order = JobOrder(
            buyer_id=self.net.buyer.address,
            requirements=needs,
            created_at=self.offer.created_at,
            slot=slot,
        )
        return self._book.match_order(order)[0]

    def job(self, escrow: EscrowAccount) -> JobSettlementInput:
        """Make what a job is settled by; without attestors: the buyer confirms all of it."""
        net, units = self.net, escrow.terms.gpu_seconds
        receipt = sign_receipt(escrow.id, units, net.agent, net.domain)
        return JobSettlementInput(
            escrow_id=escrow.id,
            actual_hours=HOURS,
            proof=assemble_proof(receipt, [], net.policy),
            provider_attestation=receipt,
            buyer_confirmation=sign_voucher(escrow.id, units, net.buyer, net.domain),
        )


# ---------------------------------------------------------------- what is compared


def plain_loop(market: Market, n: int) -> Run:
    net, client = market.net, market.client()
    gas, started = 0, time.monotonic()
    for match in market.matches(n):
        order = sign_order(match.order, net.buyer, net.domain, offer=match.offer)
        terms = terms_of(match.offer, order, net.domain)
        permit = client.permit(net.buyer, match.total_cost.base_units)
        opening = client.calls.open(match.offer, order)
        funded = (
            opening
            if permit is None
            else client.calls.bundle([client.calls.deposit_with_permit(permit), opening])
        )
        voucher = sign_voucher(deal_id(terms, net.domain), terms.gpu_seconds, net.buyer, net.domain)
        for call in (funded, client.calls.release(terms, voucher)):
            gas += client.send_unchecked(call, gas=400_000)[0].gas_used
    return Run(n, time.monotonic() - started, gas)


def one_by_one(market: Market, payments: PaymentService, journal: Journal, n: int) -> Run:
    started = time.monotonic()
    for match in market.matches(n):
        escrow = payments.create_job_escrow(match, market.net.buyer)
        require_paid(settle_job(market.job(escrow), payments))
    return Run(n, time.monotonic() - started, gas_of(market, journal))


def batched(market: Market, payments: PaymentService, journal: Journal, matches: Sequence[OrderMatch]) -> Run:
    n = len(matches)
    started = time.monotonic()
    opened = payments.create_job_escrows(matches, market.net.buyer, max_budget=PRICE * n)
    if opened.failures:
        raise opened.failures[0].error
    for result in settle_jobs([market.job(escrow) for escrow in opened.escrows], payments):
        require_paid(result)
    return Run(n, time.monotonic() - started, gas_of(market, journal))


def anvil_itself(market: Market, steps: Sequence[Sequence[SignedTransaction]], n: int) -> Run:
    """Send the same calls, signed before at the fee of now; each step when the one before is final."""
    transactions, wallet = market.client().transactions, market.net.buyer
    fee = transactions.market_fee().with_room()
    signed = [
        [transactions.sign(each.call, wallet, nonce=each.nonce, gas=each.gas, fee=fee) for each in step]
        for step in steps
    ]
    started = time.monotonic()
    for step in signed:
        send_until_final(market, step)
    seconds = time.monotonic() - started
    receipts = [transactions.receipt(each.id) for step in signed for each in step]
    if not all(receipt and receipt.succeeded for receipt in receipts):
        raise AssertionError("a transaction failed that had succeeded before")
    return Run(n, seconds, sum(receipt.gas_used for receipt in receipts if receipt))


def send_until_final(market: Market, signed: Sequence[SignedTransaction]) -> None:
    transactions, sender = market.client().transactions, signed[-1].sender
    head = transactions.head()
    while transactions.used_nonces(sender, confirmed=True) <= signed[-1].nonce:
        used = transactions.used_nonces(sender)
        for each in signed:
            if each.nonce >= used:  # again: Anvil forgets those behind one that its block had no room for
                transactions.broadcast(each)
        transactions.until_next_block(head, transactions.timeout)
        head = transactions.head()


def require_paid(result: object) -> None:
    if not isinstance(result, SettlementResult) or not isinstance(result.status, SettlementStatus.Success):
        raise AssertionError(f"not settled: {result}")


def sent_by(journal: Journal, market: Market, what: str = "") -> list[SignedTransaction]:
    """Return what was sent for payments whose keys begin so."""
    dispatches = journal.final_since(market.net.buyer.address, 0)
    wanted = [each for each in dispatches if journal.carried(each.id)[0].key.startswith(what)]
    return [next(t for t in each.transactions if t.id == each.mined) for each in wanted]


def gas_of(market: Market, journal: Journal) -> int:
    transactions = market.client().transactions
    receipts = [transactions.receipt(each.id) for each in sent_by(journal, market)]
    return sum(receipt.gas_used for receipt in receipts if receipt)


# ---------------------------------------------------------------- where the time goes


PLACES: tuple[tuple[Any, str, str], ...] = (
    (Node, "ask", "asking the node, one thing"),
    (Node, "attempts", "asking the node, many things at once"),
    *(
        (SqlJournal, name, "the journal, durably")
        for name in ("plan_all", "fail", "sign", "move", "carried", "get_all", "in_flight_of", "dispatch")
    ),
    (LocalSigner, "sign", "signing"),
    (time, "sleep", "waiting for blocks"),
)


@contextmanager
def watched(seconds: dict[str, float], calls: dict[str, int]) -> Iterator[None]:
    """Count calls of some of our functions, and the seconds that they take."""
    originals = [(owner, name, getattr(owner, name), what) for owner, name, what in PLACES]
    for owner, name, original, what in originals:
        setattr(owner, name, _timed(original, what, seconds, calls))
    try:
        yield
    finally:
        for owner, name, original, _ in originals:
            setattr(owner, name, original)


def _timed(
    act: Callable[..., Any], what: str, seconds: dict[str, float], calls: dict[str, int]
) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.monotonic()
        try:
            return act(*args, **kwargs)
        finally:
            seconds[what] += time.monotonic() - started
            calls[what] += 1

    return timed


# ---------------------------------------------------------------- the table


def main() -> None:
    with devnet(block_time=BLOCK_SECONDS) as net, TemporaryDirectory() as folder:
        market = Market(net)
        with net.isolated():
            plain = plain_loop(market, ONE_BY_ONE)
        with net.isolated():
            journal = SqlJournal(Database(Path(folder) / "one.db"), "bench")
            single = one_by_one(market, PaymentService(market.client(), journal=journal), journal, ONE_BY_ONE)
        seconds: dict[str, float] = defaultdict(float)
        calls: dict[str, int] = defaultdict(int)
        with net.isolated():
            journal = SqlJournal(Database(Path(folder) / "many.db"), "bench")
            payments = PaymentService(market.client(), journal=journal)
            matches = market.matches(BATCHED)
            with watched(seconds, calls):
                many = batched(market, payments, journal, matches)
            openings, endings = sent_by(journal, market, "open:"), sent_by(journal, market, "release:")
        with net.isolated():
            in_steps = anvil_itself(market, [openings, endings], BATCHED)
        with net.isolated():
            at_once = anvil_itself(market, [[*openings, *endings]], BATCHED)
    seconds["the rest: hashing, checking signatures, encoding"] = many.seconds - sum(seconds.values())
    report("payments", [*figures(plain, single, many, in_steps, at_once), *shares(many, seconds, calls)])


def figures(plain: Run, single: Run, many: Run, in_steps: Run, at_once: Run) -> list[Row]:
    rows = [
        _row("plain loop of send and wait", plain, None, None),
        _row("one by one", single, plain, None),
        _row("batched", many, plain, 20 * plain.per_second),
        _row("Anvil, signed before, in two steps", in_steps, plain, None),
        _row("Anvil, signed before, all at once", at_once, plain, None),
        _against("batched against Anvil in two steps", many, in_steps),
        _against("batched against Anvil all at once", many, at_once),
    ]
    for name, run in (("plain loop", plain), ("one by one", single), ("batched", many)):
        rows.append(
            Row.ceiling(
                f"gas of a settlement, {name}",
                round(run.gas / run.n),
                unit="gas",
                metric="gas",
                goal=None,
                baseline=round(plain.gas / plain.n),
                n=run.n,
            )
        )
    return rows


def _against(name: str, run: Run, bare: Run) -> Row:
    return Row(
        name,
        run.n,
        "seconds",
        round(run.seconds, 2),
        "s",
        round(2 * bare.seconds, 2),
        run.seconds <= 2 * bare.seconds,
        round(bare.seconds, 2),
        round(run.seconds / bare.seconds, 3),
    )


def _row(name: str, run: Run, baseline: Run | None, goal: float | None) -> Row:
    return Row(
        name,
        run.n,
        "throughput",
        round(run.per_second, 3),
        "settlements/s",
        None if goal is None else round(goal, 3),
        None if goal is None else run.per_second >= goal,
        None if baseline is None else round(baseline.per_second, 3),
        None if baseline is None else round(run.per_second / baseline.per_second, 2),
    )


def shares(many: Run, seconds: dict[str, float], calls: dict[str, int]) -> list[Row]:
    return [
        Row.ceiling(
            f"batched: {what}" + (f", {calls[what]} times" if calls[what] else ""),
            round(spent, 2),
            unit="s",
            metric="seconds",
            goal=None,
            baseline=round(many.seconds, 2),
            n=many.n,
        )
        for what, spent in sorted(seconds.items(), key=lambda each: -each[1])
    ]


if __name__ == "__main__":
    main()
