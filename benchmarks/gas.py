"""Gas of each operation, as whole transactions (intrinsic gas and calldata included) on a real Anvil.

`python -m benchmarks.gas` prints the table and writes it; with `--check` it writes nothing, and fails when
a figure is higher than the committed one. Keys, times and addresses are the same in each run, so figures
are exact.

Unless a row's name says otherwise, the call is the party's own where a party acts, and all words touched
were written before: both parties' accounts, the fee account, the slot's lane, the word of the order's group.
A word that is new costs 17,100 more ("first"). The baseline is a prototype of this contract of about 470
lines, measured under the same rules (prague, via IR, 1,000,000 optimizer runs); the goals are its figures,
rounded.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

from benchmarks._rows import RESULTS, Row, report
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
from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.disputes import Dispute
from molt_market.domain.ids import EscrowId
from molt_market.domain.proofs import ExecutionProof
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call
from molt_market.signing.agreements import sign_split, sign_stop
from molt_market.signing.hashes import deal_id, policy_id, terms_of
from molt_market.signing.messages import Side
from molt_market.signing.statements import sign_receipt
from molt_market.testing import Devnet, devnet

HOUR = 3_600
DAY = 24 * HOUR
START = 1_893_456_000  # 2030-01-01: later than any run, so that every run has the same times
BATCHES = (1, 10, 50, 100)
NEW_WORD = 17_100

# name: (goal, baseline); rows that are not named have neither
GOALS: dict[str, tuple[int, int | None]] = {
    "open, 10 % bond": (107_000, 107_000),
    "open, no bond": (102_000, 101_500),
    "open, first of the orders' group": (107_000 + NEW_WORD, 107_000 + NEW_WORD),
    "open, first of the lanes and of the orders' group": (107_000 + 2 * NEW_WORD, 107_000 + 2 * NEW_WORD),
    "release, interim": (52_000, 52_200),
    "release, full": (60_000, 59_600),
    "claim, 3 attestors": (71_000, 70_900),
    "finalize, claimed": (53_000, 52_800),
    "finalize, no claim": (48_000, 48_200),
    "stop": (36_000, 35_400),
    "cancelDeal, nothing paid": (48_000, 48_400),
    "dispute": (56_000, 55_800),
    "resolve, no share": (62_000, 61_700),
    "resolve, arbiter's share": (67_000, 66_700),
    "settle, two signatures": (71_000, 70_600),
    "vouchers, 100 in one multicall, each": (26_000, 25_500),
    "finalizes, 100 in one multicall, each": (19_000, 18_800),
}

# what others have published, and under which conditions
PEERS = (
    (
        "base/commerce-payments authorize",
        155_657,
        "its gas snapshot; inside forge, without base fee and calldata",
    ),
    ("base/commerce-payments capture", 69_915, "the same"),
    ("base/commerce-payments void", 55_079, "the same"),
    ("Polymarket CTF exchange v2, match of one maker", 134_594, "its README; without base fee and calldata"),
    (
        "CoW GPv2, settlement of one order",
        187_000,
        "gp-v2-contracts PR 471 (2021)",
    ),
    ("Sablier, create a stream", 110_000, "its docs, lowest of 110k to 138k; execution only"),
    ("Sablier, cancel a stream", 56_800, "its docs; execution only"),
)


@dataclass(frozen=True)
class Deal:
    """An opened deal of the benchmark."""

    id: EscrowId
    terms: Terms

    @property
    def units(self) -> int:
        return self.terms.gpu_seconds


class Bench:
    """A market with one buyer and one provider, and what was measured."""

    def __init__(self, net: Devnet) -> None:
        net.node.request("anvil_setBlockTimestampInterval", 1)
        net.node.request("evm_setNextBlockTimestamp", START)
        net.node.request("evm_mine")
        self.net = net
        self.sender = net.client(net.operator)
        self.calls = self.sender.calls
        self.slots = count()
        self.rows: list[Row] = []
        self.bonded = self.policy(1_000)
        self.unbonded = self.policy(0)
        self.sharing = self.policy(1_000, arbiter_share_bps=500)

    def policy(self, bond_bps: int, **options: int) -> Policy:
        attestors = tuple(wallet.address for wallet in self.net.attestors)
        judged = Policy(
            arbiter=self.net.arbiter.address,
            bond_bps=bond_bps,
            challenge_seconds=HOUR,
            threshold=3,
            attestors=attestors,
            **{"arbiter_share_bps": 0, **options},
        )
        self.sender.register_policy(judged)
        return judged

    def warp(self, seconds: int) -> None:
        now = int(self.net.clock.now().timestamp())
        self.net.node.request("evm_setNextBlockTimestamp", now + seconds)
        self.net.node.request("evm_mine")

    def measure(self, name: str, call: Call, wallet: Wallet | None = None, *, n: int = 1) -> None:
        """Send a call and note what it cost, per item of `n`."""
        client = self.sender if wallet is None else self.net.client(wallet)
        gas = client.send(call).gas_used / n
        goal, baseline = GOALS.get(name, (None, None))
        self.rows.append(Row.ceiling(name, gas, unit="gas", metric="gas", goal=goal, baseline=baseline, n=n))

    # ---------------------------------------------------------------- deals

    def opening(self, policy: Policy, *, gpus: int = 4, hours: int = 24, pool: int = 0) -> tuple[Call, Deal]:
        """Return the call that opens the next deal, both parties' signatures inside."""
        buyer, provider, domain = self.net.buyer, self.net.provider, self.net.domain
        now = self.net.clock.now()
        offer = CapacityOffer(
            provider_id=provider.address,
            gpu_capacity=GpuCapacity(gpu_count=400, gpu_model="H100", vram_gb=80),
            price_per_hour=Amount.from_molt("1.9712"),
            available_hours=168,
            agent=self.net.agent.address,
            policy_id=policy_id(policy),
            slot=pool,
            created_at=now,
        )
        needs = JobRequirements(
            min_gpu_count=gpus,
            min_vram_gb=80,
            max_price_per_hour=Amount.from_molt(2),
            estimated_hours=hours,
            required_models=("H100",),
        )
        order = JobOrder(buyer_id=buyer.address, requirements=needs, slot=next(self.slots), created_at=now)
        offer = sign_offer(offer, provider, domain)
        order = sign_order(order, buyer, domain, offer=offer)
        terms = terms_of(offer, order, domain)
        return self.calls.open(offer, order), Deal(deal_id(terms, domain), terms)

    def opened(self, policy: Policy, **sizes: int) -> Deal:
        call, deal = self.opening(policy, **sizes)
        self.sender.send(call)
        return deal

    def claimed(self, policy: Policy) -> Deal:
        """Open a deal, let it end and claim all of it but half an hour."""
        deal = self.opened(policy)
        self.warp(DAY)
        self.sender.send(self.claim(deal, deal.units * 47 // 48))
        return deal

    def disputed(self, policy: Policy) -> Deal:
        deal = self.claimed(policy)
        self.net.client(self.net.buyer).send(self.dispute(deal))
        return deal

    # ---------------------------------------------------------------- calls

    def release(self, deal: Deal, gpu_seconds: int) -> Call:
        voucher = sign_voucher(deal.id, gpu_seconds, self.net.buyer, self.net.domain)
        return self.calls.release(deal.terms, voucher)

    def claim(self, deal: Deal, gpu_seconds: int) -> Call:
        return self.calls.claim(deal.terms, self.proof(deal, gpu_seconds))

    def proof(self, deal: Deal, gpu_seconds: int) -> ExecutionProof:
        receipt = sign_receipt(deal.id, gpu_seconds, self.net.agent, self.net.domain)
        signed = [countersign(receipt, attestor, self.net.domain) for attestor in self.net.attestors]
        return assemble_proof(receipt, signed, self.bonded)

    def dispute(self, deal: Deal) -> Call:
        """Contest a claim in the buyer's own call: half of the deal was delivered."""
        evidence = "0x" + "e5" * 32
        return self.calls.dispute(
            deal.terms, Dispute(escrow_id=deal.id, counter_gpu_seconds=deal.units // 2, evidence=evidence)
        )

    def split(self, deal: Deal) -> Call:
        until = self.net.clock.now() + timedelta(hours=1)
        split = SplitAgreement(deal_id=deal.id, gpu_seconds=deal.units // 3, until=until)
        for party in (self.net.buyer, self.net.provider):
            split = sign_split(split, party, deal.terms, self.net.domain)
        return self.calls.settle(deal.terms, split)


def main(arguments: Sequence[str] = ()) -> int:
    with devnet() as net:
        bench = Bench(net)
        for measured in (money, openings, payments, endings, disputes, *map(batches, BATCHES)):
            measured(bench)
    if "--check" in arguments:
        return check(bench.rows)
    report("gas", bench.rows)
    peers()
    return 0


def money(bench: Bench) -> None:
    """Deposits, withdrawals, and what is written before a deal."""
    buyer, calls = bench.net.buyer, bench.calls
    client = bench.net.client(buyer)
    units = Amount.from_molt(10_000).base_units
    client.send(calls.approve(10 * units))
    bench.measure("deposit, first of the account", calls.deposit(buyer.address, units), buyer)
    bench.measure("deposit", calls.deposit(buyer.address, units), buyer)
    permit = client.permit(buyer, units)
    assert permit is not None
    bench.measure("depositWithPermit", calls.deposit_with_permit(permit), buyer)
    bench.measure("requestWithdraw", calls.request_withdraw(buyer.address, units), buyer)
    bench.warp(bench.net.deployment.withdraw_delay_seconds)
    bench.measure("withdraw", calls.withdraw(buyer.address, buyer.address), buyer)
    bench.measure("cancel, first of the group", calls.cancel(buyer.address, Side.ORDERS, 1 << 40), buyer)
    unknown = bench.bonded.model_copy(update={"bond_bps": 1_234})
    bench.measure("registerPolicy, 3 attestors", calls.register_policy(unknown))


def openings(bench: Bench) -> None:
    bench.measure("open, first of the lanes and of the orders' group", bench.opening(bench.bonded)[0])
    bench.measure("open, 10 % bond", bench.opening(bench.bonded)[0])
    bench.measure("open, no bond", bench.opening(bench.unbonded)[0])
    bench.slots = count(128)  # the next group of orders
    bench.measure("open, first of the orders' group", bench.opening(bench.bonded)[0])


def payments(bench: Bench) -> None:
    """Paid by voucher, or by claim and time."""
    released, claimed, idle = (bench.opened(bench.bonded) for _ in range(3))
    bench.measure("release, first of the fee account", bench.release(released, HOUR))
    bench.measure("release, interim", bench.release(released, 2 * HOUR))
    bench.measure("release, full", bench.release(released, released.units))
    bench.warp(DAY)
    bench.measure("claim, 3 attestors", bench.claim(claimed, claimed.units * 47 // 48))
    bench.warp(HOUR)
    bench.measure("finalize, claimed", bench.calls.finalize(claimed.terms))
    bench.warp(DAY)
    bench.measure("finalize, no claim", bench.calls.finalize(idle.terms))


def endings(bench: Bench) -> None:
    """Ended early, or by agreement."""
    buyer, provider = bench.net.buyer, bench.net.provider
    stopped, relayed, no_show, given_up, agreed = (bench.opened(bench.bonded) for _ in range(5))
    for deal in (given_up, agreed):
        bench.sender.send(bench.release(deal, HOUR))
    bench.measure("stop", bench.calls.stop(stopped.terms), buyer)
    until = bench.net.clock.now() + timedelta(hours=1)
    request = sign_stop(relayed.id, buyer, bench.net.domain, until=until)
    bench.measure("stop, by signature", bench.calls.stop(relayed.terms, request))
    bench.measure("cancelDeal, nothing paid", bench.calls.cancel_deal(no_show.terms), provider)
    bench.measure("cancelDeal, after a voucher", bench.calls.cancel_deal(given_up.terms), provider)
    bench.measure("settle, two signatures", bench.split(agreed))


def disputes(bench: Bench) -> None:
    """Contested at half: the counter is paid, the rest is ruled on at three quarters."""
    buyer, provider, arbiter = bench.net.buyer, bench.net.provider, bench.net.arbiter
    contested = bench.claimed(bench.bonded)
    bench.measure("dispute", bench.dispute(contested), buyer)
    bench.measure(
        "resolve, no share", bench.calls.resolve(contested.terms, contested.units * 3 // 4), arbiter
    )
    for name in ("resolve, first of the arbiter's account", "resolve, arbiter's share"):
        ruled = bench.disputed(bench.sharing)
        bench.measure(name, bench.calls.resolve(ruled.terms, ruled.units * 3 // 4), arbiter)
    conceded = bench.disputed(bench.bonded)
    bench.measure("concede", bench.calls.concede(conceded.terms, conceded.units // 2), provider)
    unattested = bench.opened(bench.bonded)
    bench.warp(DAY)
    half = unattested.units // 2
    bench.measure("claimUnattested", bench.calls.claim_unattested(unattested.terms, half), provider)


def batches(size: int) -> Callable[[Bench], None]:
    """Many of a kind in one multicall that skips what is refused: one buyer, one provider."""

    def measured(bench: Bench) -> None:
        def bundle(what: str, calls: list[Call]) -> None:
            name = f"{what}, {size} in one multicall, each"
            bench.measure(name, bench.calls.bundle(calls, skip=True), n=size)

        pairs = [bench.opening(bench.bonded, gpus=1, hours=1) for _ in range(size)]
        deals = [deal for _, deal in pairs]
        bundle("opens", [call for call, _ in pairs])
        bundle("vouchers", [bench.release(deal, HOUR // 2) for deal in deals])
        bench.warp(HOUR)
        bundle("claims", [bench.claim(deal, HOUR * 47 // 48) for deal in deals])
        bench.warp(HOUR)
        bundle("finalizes", [bench.calls.finalize(deal.terms) for deal in deals])

    return measured


def check(rows: Sequence[Row]) -> int:
    """Compare with the committed figures: print what rose, and fail; say what fell, and ask to commit it."""
    committed = {row["name"]: row["value"] for row in json.loads((RESULTS / "gas.json").read_text("utf-8"))}
    measured = {row.name: row.value for row in rows}
    if committed.keys() != measured.keys():
        print("other operations are committed than measured: run `make bench NAME=gas` and commit it")
        return 1
    rose = [name for name, value in measured.items() if value > committed[name]]
    fell = [name for name, value in measured.items() if value < committed[name]]
    for name in rose:
        print(f"{name}: {measured[name]:,.2f} gas, committed {committed[name]:,.2f}")
    if fell:
        print(f"cheaper than committed, run `make bench NAME=gas` and commit it: {', '.join(fell)}")
    return 1 if rose else 0


def peers() -> None:
    print("\nPublished by others (ours above are whole transactions: 21,000 and the calldata are in them):")
    for name, gas, conditions in PEERS:
        print(f"{name:46} {gas:>8,}  {conditions}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
