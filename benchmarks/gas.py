"""Gas of each operation, as whole transactions (intrinsic gas and calldata included) on a real Anvil.

Steady means that all words touched were written before: accounts, the slot's lane, the order's group. The
baseline is a prototype of this contract of about 470 lines, measured under the same rules (prague, via IR,
1,000,000 optimizer runs); the goals are its figures, rounded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from benchmarks._rows import Row, report
from molt_market import (
    Amount,
    CapacityOffer,
    GpuCapacity,
    JobOrder,
    JobRequirements,
    Policy,
    Wallet,
    sign_offer,
    sign_order,
    sign_voucher,
)
from molt_market.attestation.receipts import assemble_proof, countersign
from molt_market.domain.ids import EscrowId
from molt_market.domain.proofs import ExecutionProof
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call
from molt_market.signing.hashes import deal_id, policy_id, terms_of
from molt_market.signing.statements import sign_receipt
from molt_market.testing import Devnet, devnet

HOUR = 3_600
BATCHES = (1, 10, 50, 100)

# name: (goal, baseline); None where the prototype was not measured
GOALS: dict[str, tuple[int | None, int | None]] = {
    "open, 10 % bond": (107_000, 107_000),
    "open, no bond": (102_000, 101_500),
    "release, interim": (52_000, 52_200),
    "release, full": (60_000, 59_600),
    "claim, 3 attestors": (71_000, 70_900),
    "finalize, claimed": (53_000, 52_800),
    "finalize, no claim": (48_000, 48_200),
    "100 vouchers in one multicall, each": (26_000, 25_500),
    "100 finalizes in one multicall, each": (19_000, 18_800),
}


@dataclass(frozen=True)
class Deal:
    """An opened deal of the benchmark."""

    id: EscrowId
    terms: Terms


class Bench:
    """A market with one buyer and one provider, and what was measured."""

    def __init__(self, net: Devnet) -> None:
        self.net = net
        self.sender = net.client(net.operator)
        self.slots = count()
        self.rows: list[Row] = []
        attestors = tuple(wallet.address for wallet in net.attestors)
        windows = {"challenge_seconds": HOUR, "threshold": 3, "attestors": attestors}
        self.bonded = Policy(arbiter=net.arbiter.address, bond_bps=1_000, **windows)
        self.unbonded = Policy(arbiter=net.arbiter.address, bond_bps=0, **windows)
        for policy in (self.bonded, self.unbonded):
            self.sender.register_policy(policy)

    def measure(self, name: str, call: Call, wallet: Wallet | None = None, *, n: int = 1) -> None:
        """Send a call and note what it cost, per item of `n`."""
        client = self.sender if wallet is None else self.net.client(wallet)
        gas = client.send(call).gas_used / n
        goal, baseline = GOALS.get(name, (None, None))
        self.rows.append(Row.ceiling(name, gas, unit="gas", metric="gas", goal=goal, baseline=baseline, n=n))

    def opening(self, policy: Policy, *, gpus: int = 4, hours: int = 24) -> tuple[Call, Deal]:
        """Return the call that opens the next deal, both parties' signatures inside."""
        buyer, provider, domain = self.net.buyer, self.net.provider, self.net.domain
        offer = CapacityOffer(
            provider_id=provider.address,
            gpu_capacity=GpuCapacity(gpu_count=200, gpu_model="H100", vram_gb=80),
            price_per_hour=Amount.from_molt("1.9712"),
            available_hours=168,
            agent=self.net.agent.address,
            policy_id=policy_id(policy),
            created_at=self.net.clock.now(),
        )
        needs = JobRequirements(
            min_gpu_count=gpus,
            min_vram_gb=80,
            max_price_per_hour=Amount.from_molt(2),
            estimated_hours=hours,
            required_models=("H100",),
        )
        order = JobOrder(
            buyer_id=buyer.address, requirements=needs, slot=next(self.slots), created_at=self.net.clock.now()
        )
        offer = sign_offer(offer, provider, domain)
        order = sign_order(order, buyer, domain, offer=offer)
        terms = terms_of(offer, order, domain)
        return self.sender.calls.open(offer, order), Deal(deal_id(terms, domain), terms)

    def opened(self, policy: Policy, **sizes: int) -> Deal:
        call, deal = self.opening(policy, **sizes)
        self.sender.send(call)
        return deal

    def release(self, deal: Deal, gpu_seconds: int) -> Call:
        voucher = sign_voucher(deal.id, gpu_seconds, self.net.buyer, self.net.domain)
        return self.sender.calls.release(deal.terms, voucher)

    def proof(self, deal: Deal, gpu_seconds: int) -> ExecutionProof:
        receipt = sign_receipt(deal.id, gpu_seconds, self.net.agent, self.net.domain)
        signed = [countersign(receipt, attestor, self.net.domain) for attestor in self.net.attestors]
        return assemble_proof(receipt, signed, self.bonded)


def main() -> None:
    with devnet() as net:
        bench = Bench(net)
        money(bench)
        deals(bench)
        for size in BATCHES:
            batch(bench, size)
        report("gas", bench.rows)


def money(bench: Bench) -> None:
    """Deposits and withdrawals."""
    buyer, calls = bench.net.buyer, bench.sender.calls
    units = Amount.from_molt(10_000).base_units
    bench.net.client(buyer).send(calls.approve(10 * units))
    bench.measure("deposit, first of the account", calls.deposit(buyer.address, units), buyer)
    bench.measure("deposit, steady", calls.deposit(buyer.address, units), buyer)
    bench.measure("request a withdrawal", calls.request_withdraw(buyer.address, units), buyer)
    bench.net.warp(bench.net.deployment.withdraw_delay_seconds)
    bench.measure("withdraw", calls.withdraw(buyer.address, buyer.address), buyer)


def deals(bench: Bench) -> None:
    """Single deals: opened, released, claimed, finalized."""
    bench.measure("open, first of the lane and of the orders' group", bench.opening(bench.bonded)[0])
    for name, policy in (("open, 10 % bond", bench.bonded), ("open, no bond", bench.unbonded)):
        bench.measure(name, bench.opening(policy)[0])
    released, claimed, idle = (bench.opened(bench.bonded) for _ in range(3))
    bench.measure("release, first of the fee account", bench.release(released, HOUR))
    bench.measure("release, interim", bench.release(released, 2 * HOUR))
    bench.measure("release, full", bench.release(released, released.terms.gpu_seconds))
    bench.net.warp(24 * HOUR)
    proof = bench.proof(claimed, claimed.terms.gpu_seconds * 47 // 48)
    bench.measure("claim, 3 attestors", bench.sender.calls.claim(claimed.terms, proof))
    bench.net.warp(HOUR)
    bench.measure("finalize, claimed", bench.sender.calls.finalize(claimed.terms))
    bench.net.warp(24 * HOUR)
    bench.measure("finalize, no claim", bench.sender.calls.finalize(idle.terms))


def batch(bench: Bench, size: int) -> None:
    """Many vouchers, and many finalizes, in one multicall that skips what is refused."""
    for what, calls in batches(bench, size):
        bundle = bench.sender.calls.bundle(calls, skip=True)
        bench.measure(f"{size} {what} in one multicall, each", bundle, n=size)


def batches(bench: Bench, size: int) -> Iterator[tuple[str, list[Call]]]:
    opened = [bench.opened(bench.bonded, gpus=1, hours=1) for _ in range(size)]
    yield "vouchers", [bench.release(deal, HOUR // 2) for deal in opened]
    bench.net.warp(48 * HOUR)
    yield "finalizes", [bench.sender.calls.finalize(deal.terms) for deal in opened]


if __name__ == "__main__":
    main()
