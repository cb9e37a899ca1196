"""Try a deployment with tiny deals, one for each ending: `python scripts/smoke.py FILE --wallet KEYFILE`.

One account pays, and is the buyer of all deals; every other party is a key made for the run, whose
signatures that account brings. Endings that wait for a window are skipped, unless the chain is an Anvil whose
clock may be turned. It says what it will spend, and asks; on a main network it refuses.
docs/deploying.md has the rest.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import sleep

from molt_market.attestation.receipts import assemble_proof, countersign
from molt_market.chain.client import MoltClient
from molt_market.chain.deployments import load_deployment
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.cli.wallet import coins
from molt_market.config import settings
from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus
from molt_market.domain.disputes import Dispute
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.domain.policies import DAY, HOUR, Policy
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call
from molt_market.errors import InsufficientTokens, InvalidValue, MoltError
from molt_market.signing.agreements import (
    sign_cancellation,
    sign_concession,
    sign_dispute,
    sign_ruling,
    sign_split,
    sign_stop,
    sign_unattested_claim,
)
from molt_market.signing.hashes import deal_id, policy_id, terms_of
from molt_market.signing.statements import sign_offer, sign_order, sign_receipt, sign_voucher
from molt_market.signing.wallet import Wallet
from scripts.verify import chain_of

PRICE = 36_000  # base units for a GPU-hour: 10 for each second
WHOLE, EARLY = HOUR, 2  # GPU-seconds of a deal of one hour, and what a job had used that ended at once
DONE = Hash32("0x" + "d0" * 32)
GAS_OF_STEP = 250_000  # more than any of the steps takes
STEPS_OF_ENDING = 4  # at most, the opening included
TEST_NETWORKS = (Network.SEPOLIA, Network.BASE_SEPOLIA, Network.ARBITRUM_SEPOLIA)


def _new_key() -> Wallet:
    return Wallet.from_private_key(os.urandom(32))


class Failed(Exception):
    """An ending came out otherwise than it should."""


@dataclass(frozen=True)
class Deal:
    """An open deal of one GPU."""

    id: EscrowId
    terms: Terms


@dataclass(frozen=True)
class Ending:
    """How a deal is brought to its end, and what should come of it.

    `paid` is in GPU-seconds; `waits` says which windows have to pass, "" if none.
    """

    name: str
    play: Callable[[Smoke, Deal], None]
    status: DealStatus
    paid: int
    waits: str = ""
    hours: int = 1


@dataclass
class Smoke:
    """The parties of one run, and the verbs that they sign. The payer brings them all."""

    client: MoltClient
    payer: Wallet
    turns_clock: bool
    provider: Wallet = field(default_factory=_new_key)
    agent: Wallet = field(default_factory=_new_key)
    attestor: Wallet = field(default_factory=_new_key)
    arbiter: Wallet = field(default_factory=_new_key)
    sent: int = 0

    def __post_init__(self) -> None:
        self.policy = Policy(
            arbiter=self.arbiter.address,
            challenge_seconds=HOUR,
            grace_seconds=HOUR,
            notice_minutes=1,
            arbitration_seconds=DAY,
            threshold=1,
            attestors=(self.attestor.address,),
        )

    # ---------------------------------------------------------------- before the deals

    def fund(self, endings: Sequence[Ending]) -> None:
        """Put what the deals lock into the escrow: the buyer's prices, and the provider's bond."""
        calls = self.client.calls
        prices, bond = needed(endings)
        self.send(calls.approve(prices + bond))
        self.send(calls.deposit(self.payer.address, prices))
        self.send(calls.deposit(self.provider.address, bond))
        self.send(calls.register_policy(self.policy))

    def open(self, hours: int, slot: int) -> Deal:
        client, price = self.client, Amount(PRICE, self.client.token)
        offer = CapacityOffer(
            provider_id=self.provider.address,
            agent=self.agent.address,
            gpu_capacity=GpuCapacity(gpu_count=1, gpu_model="H100", vram_gb=80),
            price_per_hour=price,
            available_hours=hours,
            policy_id=policy_id(self.policy),
            slot=slot,
            created_at=client.now(),
        )
        offer = sign_offer(offer, self.provider, client.domain)
        order = JobOrder(
            buyer_id=self.payer.address,
            requirements=JobRequirements(
                min_gpu_count=1, min_vram_gb=80, estimated_hours=hours, max_price_per_hour=price
            ),
            slot=client.next_order_slot(self.payer.address),
            created_at=client.now(),
        )
        order = sign_order(order, self.payer, client.domain, offer=offer)
        self.send(client.calls.open(offer, order))
        terms = terms_of(offer, order, client.domain)
        return Deal(deal_id(terms, client.domain), terms)

    # ---------------------------------------------------------------- verbs

    def voucher(self, deal: Deal, units: int) -> None:
        voucher = sign_voucher(deal.id, units, self.payer, self.client.domain)
        self.send(self.client.calls.release(deal.terms, voucher))

    def give_up(self, deal: Deal) -> None:
        word = sign_cancellation(deal.id, self.provider, self.client.domain, until=self.soon())
        self.send(self.client.calls.cancel_deal(deal.terms, word))

    def stop(self, deal: Deal) -> None:
        word = sign_stop(deal.id, self.payer, self.client.domain, until=self.soon())
        self.send(self.client.calls.stop(deal.terms, word))

    def split(self, deal: Deal, units: int) -> None:
        agreed = SplitAgreement(deal_id=deal.id, gpu_seconds=units, until=self.soon())
        for party in (self.payer, self.provider):
            agreed = sign_split(agreed, party, deal.terms, self.client.domain)
        self.send(self.client.calls.settle(deal.terms, agreed))

    def claim_early(self, deal: Deal) -> None:
        """Claim as agent and attestor do for a job that completed at once."""
        self.wait_for(deal, seconds=EARLY)
        domain = self.client.domain
        receipt = sign_receipt(deal.id, EARLY, self.agent, domain, result_digest=DONE)
        proof = assemble_proof(receipt, [countersign(receipt, self.attestor, domain)], self.policy)
        self.send(self.client.calls.claim(deal.terms, proof))

    def claim_unattested(self, deal: Deal, units: int) -> None:
        word = sign_unattested_claim(deal.id, units, self.provider, self.client.domain, until=self.soon())
        self.send(self.client.calls.claim_unattested(deal.terms, units, word))

    def contest(self, deal: Deal) -> None:
        """Claim early, and have the buyer accept nothing of it."""
        self.claim_early(deal)
        escrow = self.client.escrow(deal.id)
        dispute = Dispute(escrow_id=deal.id, counter_gpu_seconds=0)
        signed = sign_dispute(dispute, escrow, self.payer, self.client.domain, until=self.soon())
        self.send(self.client.calls.dispute(deal.terms, signed))

    def concede(self, deal: Deal, party: Wallet, units: int) -> None:
        word = sign_concession(deal.id, units, party, self.client.domain, until=self.soon())
        self.send(self.client.calls.concede(deal.terms, units, word))

    def rule(self, deal: Deal, units: int) -> None:
        word = sign_ruling(deal.id, units, self.arbiter, self.client.domain, until=self.soon())
        self.send(self.client.calls.resolve(deal.terms, units, word))

    def finalize(self, deal: Deal) -> None:
        """Close the deal when its present window is over."""
        present = self.client.escrow(deal.id)
        self.turn_to(present.locked_until)
        self.send(self.client.calls.finalize(deal.terms))

    def run_to_the_end(self, deal: Deal) -> None:
        ends_at = self.client.escrow(deal.id).ends_at
        if ends_at is not None:
            self.turn_to(ends_at)

    # ---------------------------------------------------------------- time, and sending

    def soon(self) -> datetime:
        return self.client.now() + timedelta(hours=1)

    def wait_for(self, deal: Deal, seconds: int) -> None:
        """Wait until a deal has run for so long, by the chain's clock."""
        opened_at = self.client.escrow(deal.id).opened_at
        while opened_at is None or self.client.now() < opened_at + timedelta(seconds=seconds):
            if self.turns_clock and opened_at is not None:
                self.turn_to(opened_at + timedelta(seconds=seconds))
            else:
                sleep(1)

    def turn_to(self, moment: datetime) -> None:
        ahead = moment - self.client.now()
        if ahead > timedelta(0):
            self.client.node.request("evm_increaseTime", int(ahead.total_seconds()))
            self.client.node.request("evm_mine")

    def send(self, call: Call) -> None:
        self.client.send(call)
        self.sent += 1

    # ---------------------------------------------------------------- one ending, and the way out

    def run(self, ending: Ending, slot: int) -> None:
        """Open a deal, end it, and look whether status, usage and every base unit are as they should be."""
        before = self.together()
        deal = self.open(ending.hours, slot)
        ending.play(self, deal)
        found = self.client.escrow(deal.id)
        if (found.status, found.paid_gpu_seconds) != (ending.status, ending.paid):
            said = f"{found.status.name} at {found.paid_gpu_seconds} GPU-seconds"
            raise Failed(f"it is {said}, not {ending.status.name} at {ending.paid}")
        due = ending.paid * PRICE // HOUR
        fee = due * found.fee_bps // 10_000
        left = 0 if self.client.deployment.fee_recipient == self.payer.address else -fee
        if self.together() - before != left:
            raise Failed(f"the parties have {self.together() - before:+} base units together, not {left:+}")

    def together(self) -> int:
        """Return what payer, provider and arbiter have in the escrow, in base units."""
        parties = (self.payer, self.provider, self.arbiter)
        return sum(self.client.balances(each.address).escrow.base_units for each in parties)

    def take_out(self) -> None:
        """Pay all that the run left in the escrow to the payer."""
        leaving = [each for each in (self.payer, self.provider, self.arbiter) if self.balance(each)]
        for each in leaving:
            request = self.client.withdrawal_request(each, self.client.balances(each.address).escrow)
            self.send(self.client.calls.relayed(request))
        unlock_at = [self.client.balances(each.address).unlock_at for each in leaving]
        self.turn_to(max(at for at in unlock_at if at is not None))
        for each in leaving:
            self.send(self.client.calls.relayed(self.client.withdrawal(each, self.payer.address)))

    def balance(self, party: Wallet) -> int:
        return self.client.balances(party.address).escrow.base_units


# ---------------------------------------------------------------- the endings


def _half(smoke: Smoke, deal: Deal) -> None:
    smoke.voucher(deal, WHOLE // 2)
    smoke.give_up(deal)


def _stopped(smoke: Smoke, deal: Deal) -> None:
    smoke.stop(deal)
    smoke.give_up(deal)


def _early(smoke: Smoke, deal: Deal) -> None:
    smoke.claim_early(deal)
    smoke.voucher(deal, EARLY)


def _contested(then: Callable[[Smoke, Deal], None]) -> Callable[[Smoke, Deal], None]:
    def play(smoke: Smoke, deal: Deal) -> None:
        smoke.contest(deal)
        then(smoke, deal)

    return play


def _uncontested(smoke: Smoke, deal: Deal) -> None:
    smoke.claim_early(deal)
    smoke.finalize(deal)


def _stopped_and_due(smoke: Smoke, deal: Deal) -> None:
    smoke.stop(deal)
    smoke.finalize(deal)


def _unattested(then: Callable[[Smoke, Deal], None]) -> Callable[[Smoke, Deal], None]:
    def play(smoke: Smoke, deal: Deal) -> None:
        smoke.run_to_the_end(deal)
        smoke.claim_unattested(deal, WHOLE // 2)
        then(smoke, deal)

    return play


RELEASED, REFUNDED = DealStatus.RELEASED, DealStatus.REFUNDED
ENDINGS = (
    Ending("a voucher for all of it", lambda smoke, deal: smoke.voucher(deal, WHOLE), RELEASED, WHOLE),
    Ending("given up at once", Smoke.give_up, REFUNDED, 0),
    Ending("a voucher for half of it, then given up", _half, RELEASED, WHOLE // 2),
    Ending("a split", lambda smoke, deal: smoke.split(deal, 1_200), RELEASED, 1_200),
    Ending("stopped, then given up", _stopped, REFUNDED, 0, hours=2),
    Ending("claimed early, and a voucher for the claim", _early, RELEASED, EARLY),
    Ending(
        "contested, the provider concedes",
        _contested(lambda smoke, deal: smoke.concede(deal, smoke.provider, 0)),
        REFUNDED,
        0,
    ),
    Ending(
        "contested, the buyer concedes",
        _contested(lambda smoke, deal: smoke.concede(deal, smoke.payer, EARLY)),
        RELEASED,
        EARLY,
    ),
    Ending("contested, ruled", _contested(lambda smoke, deal: smoke.rule(deal, 1)), RELEASED, 1),
    Ending("contested, a split", _contested(lambda smoke, deal: smoke.split(deal, 1)), RELEASED, 1),
    Ending("claimed, nobody contests", _uncontested, RELEASED, EARLY, "1 h to contest"),
    Ending("nobody claims", Smoke.finalize, REFUNDED, 0, "1 h of the deal, 1 h of grace"),
    Ending("stopped, nobody claims", _stopped_and_due, REFUNDED, 0, "1 h of the deal, 1 h of grace", 2),
    Ending(
        "claimed without attestors, ruled",
        _unattested(lambda smoke, deal: smoke.rule(deal, 900)),
        RELEASED,
        900,
        "1 h of the deal",
    ),
    Ending(
        "claimed without attestors, nobody rules",
        _unattested(Smoke.finalize),
        REFUNDED,
        0,
        "1 h of the deal, 1 d to rule",
    ),
    Ending("contested, nobody rules", _contested(Smoke.finalize), RELEASED, EARLY, "1 d to rule"),
)


def needed(endings: Sequence[Ending]) -> tuple[int, int]:
    """Return the base units that the buyer locks in all at most, and the provider at any time."""
    return sum(each.hours for each in endings) * PRICE, max(each.hours for each in endings) * PRICE


# ---------------------------------------------------------------- the command


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Try a deployment with tiny deals, one for each ending.")
    parser.add_argument("file", type=Path, help="a deployment's file: deployments/<chain-id>.json")
    parser.add_argument("--rpc-url", help="address of a node (default: MOLT_RPC_URL)")
    parser.add_argument("--wallet", type=Path, help="key file of who pays (default: MOLT_WALLET)")
    parser.add_argument("--turn-clock", action="store_true", help="turn an Anvil's clock, and skip nothing")
    parser.add_argument("--yes", action="store_true", help="spend without asking")
    given = parser.parse_args(arguments)
    try:
        smoke = _smoke(given.file, given.rpc_url, given.wallet, turns_clock=given.turn_clock)
        endings = [each for each in ENDINGS if smoke.turns_clock or not each.waits]
        plan(smoke, endings)
        if not given.yes and input("Spend this? [y/N] ").strip().lower() != "y":
            print("Nothing was sent.")
            return 1
        return play(smoke, endings)
    except EOFError:
        print("\nNothing was sent: nobody answered, and there is no --yes.", file=sys.stderr)
    except MoltError as error:
        print(error, file=sys.stderr)
    return 1


def _smoke(file: Path, rpc_url: str | None, wallet: Path | None, *, turns_clock: bool) -> Smoke:
    deployment = load_deployment(chain_of(file), file)
    known = Network.numbered(deployment.chain_id) or Network(file.stem, deployment.chain_id)
    address = rpc_url or known.node_address(settings().rpc_url)
    require_test_chain(Node(address), deployment.chain_id, turns_clock=turns_clock)
    key_file = wallet or settings().wallet
    if key_file is None:
        raise InvalidValue("nobody pays: give --wallet, or set MOLT_WALLET")
    payer = Wallet.from_file(key_file)
    network = Network(known.name, deployment.chain_id, address)
    return Smoke(MoltClient(network, deployment=deployment, account=payer), payer, turns_clock)


def require_test_chain(node: Node, chain_id: int, *, turns_clock: bool) -> None:
    """Raise InvalidValue unless a chain's money is worth nothing, and its clock can be turned if it is to."""
    is_anvil = chain_id != Network.MAINNET.chain_id and is_test_node(node)
    if not is_anvil and chain_id not in {each.chain_id for each in TEST_NETWORKS}:
        names = ", ".join(each.name for each in TEST_NETWORKS)
        raise InvalidValue(f"chain {chain_id} may have real money: only {names}, or an Anvil, are tried")
    if turns_clock and not is_anvil:
        raise InvalidValue(f"the clock of chain {chain_id} cannot be turned: leave --turn-clock out")


def is_test_node(node: Node) -> bool:
    """Tell whether a node is an Anvil, whatever the id of its chain."""
    return str(node.request("web3_clientVersion")).lower().startswith("anvil")


def plan(smoke: Smoke, endings: Sequence[Ending]) -> None:
    """Say what the run will spend at most. Raises InsufficientTokens."""
    client, payer = smoke.client, smoke.payer.address
    tokens = Amount(sum(needed(endings)), client.token)
    gas = (len(endings) * STEPS_OF_ENDING + 12) * GAS_OF_STEP
    wei = gas * client.transactions.market_fee().with_room().most
    print(f"chain    {client.deployment.chain_id}, escrow {client.deployment.escrow}")
    print(f"account  {payer}, has {coins(client.node.number('eth_getBalance', payer, 'latest'))}")
    print(f"endings  {len(endings)} of {len(ENDINGS)}, a deal of 1 GPU each")
    print(f"locked   {tokens} in all")
    print(f"gas      {gas:,} at most, for {coins(wei)} at most")
    if client.balance_of(payer) < tokens:
        raise InsufficientTokens(tokens, client.balance_of(payer))


def play(smoke: Smoke, endings: Sequence[Ending]) -> int:
    """Play the endings; say what came of each, what was skipped, and the cost. Return the exit status."""
    client, payer = smoke.client, smoke.payer.address
    coin = client.node.number("eth_getBalance", payer, "latest")
    total = client.balances(payer).total
    failures = 0
    smoke.fund(endings)
    for slot, ending in enumerate(endings):
        try:
            smoke.run(ending, slot)
            print(f"OK       {ending.name}: {ending.status.name}, {ending.paid} GPU-seconds paid")
        except (Failed, MoltError) as error:
            failures += 1
            print(f"FAIL     {ending.name}: {error}")
    if smoke.turns_clock:
        smoke.take_out()
        print("OK       all taken out of the escrow")
    for ending in ENDINGS:
        if ending not in endings:
            print(f"SKIP     {ending.name}: it takes {ending.waits}")
    if not smoke.turns_clock:
        left = Amount(smoke.balance(smoke.provider) + smoke.balance(smoke.arbiter), client.token)
        delay = client.deployment.withdraw_delay_seconds
        print(f"SKIP     taking out: it takes {delay} s; {left} stay with keys that are gone now")
    after = client.balances(payer).total
    spent = coin - client.node.number("eth_getBalance", payer, "latest")
    print(f"cost     {total - after} and {spent:,} wei of gas, in {smoke.sent} transactions")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
