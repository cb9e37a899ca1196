"""When a gateway claims, redeems and finalizes, and what it leaves alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from molt_market.agent.money import MARGIN, Money
from molt_market.agent.ports import Ended
from molt_market.attestation.receipts import countersign
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.documents import Document
from molt_market.domain.handling import HandlingPhase
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.policies import Policy
from molt_market.domain.proofs import Attestation, Confirmation, ExecutionProof
from molt_market.errors import NotYet
from molt_market.signing.statements import sign_voucher
from molt_market.storage.database import Database
from tests.factories import NOON
from tests.unit.agent.machine import BATCH, HOUR, Play, deal_id, record
from tests.unit.attestation.deals import DOMAIN, escrow, policy
from tests.unit.signing.keys import ATTESTORS, BUYER

ALL = 2 * HOUR


@dataclass
class Payments:
    """The chain as the payments of the gateway's account see it; what is sent is listed."""

    play: Play
    sent: list[str] = field(default_factory=list)
    proof: ExecutionProof | None = None
    fails: bool = False

    def present(self, of: EscrowId) -> EscrowAccount:
        known = self.play.facts.records[of]
        return escrow(
            id=of,
            terms=known.terms,
            status=known.deal.status,
            paid_gpu_seconds=known.deal.paid,
            claimed_gpu_seconds=known.deal.claim,
        )

    def advance(self, of: EscrowAccount, proof: ExecutionProof) -> None:
        self.sent.append("claim")
        self.proof = proof

    def redeem(self, of: EscrowAccount, voucher: Confirmation) -> None:
        self.sent.append(f"redeem {voucher.gpu_seconds}")

    def finalize_all(self, deals: list[EscrowId]) -> list[Any]:
        self.sent.append("finalize")
        return [NotYet("it", NOON) if self.fails else None for _ in deals]

    def reconcile(self) -> None:
        """Nothing is under way here."""


@dataclass
class Policies:
    """The registered policies: one."""

    it: Policy

    def policy(self, _: Hash32) -> Policy:
        return self.it


@pytest.fixture
def play(database: Database, tmp_path: Path) -> Play:
    return Play(database, tmp_path)


def money(play: Play, **of_policy: Any) -> tuple[Money, Payments]:
    payments = Payments(play)
    return Money(play.here, Policies(policy(**of_policy)), payments), payments  # type: ignore[arg-type] # played


def ended(play: Play) -> Attestation:
    """Let a job run and end; return the agent's receipt."""
    play.facts.put(record(1))
    play.hand_over(1, BATCH)
    play.go(times=3)
    play.machine.jobs[deal_id(1)] = Ended(0)
    play.go(times=2)
    left = play.usage.left(deal_id(1), "receipt")
    assert left is not None
    assert left.receipt is not None
    return left.receipt


def pay(play: Play, gpu_seconds: int) -> None:
    play.market.post_document(Document(voucher=sign_voucher(deal_id(1), gpu_seconds, BUYER, DOMAIN)))
    play.go()


def test_claim__waits_for_the_quorum_and_takes_no_forged_signature(play: Play) -> None:
    receipt = ended(play)
    gateway, payments = money(play)
    first, second = ATTESTORS[:2]
    play.market.post_document(Document(receipt=countersign(receipt, first, DOMAIN)))
    forged = countersign(receipt, second, DOMAIN).model_copy(update={"signature": receipt.signature})
    play.market.post_document(Document(receipt=forged))
    gateway.look()
    assert payments.sent == []
    play.market.post_document(Document(receipt=countersign(receipt, second, DOMAIN)))
    gateway.look()
    assert payments.sent == ["claim"]
    assert payments.proof is not None
    assert payments.proof.receipt == receipt
    assert {each.signer for each in payments.proof.attestations} == {first.address, second.address}


def test_voucher__of_a_running_job__is_kept_for_later(play: Play) -> None:
    play.facts.put(record(1))
    play.go()
    pay(play, ALL)
    gateway, payments = money(play)
    gateway.look()
    assert payments.sent == []  # redeemed, it would close the deal, and end the job


def test_voucher__for_a_part_of_an_ended_job__waits_for_the_claim_until_it_is_late(play: Play) -> None:
    ended(play)
    pay(play, 20)
    gateway, payments = money(play)
    gateway.look()
    assert payments.sent == []
    play.later(1, deadline=int((play.clock.now() + MARGIN).timestamp()))
    gateway.look()
    assert payments.sent == ["redeem 20"]


def test_voucher__that_comes_once_the_deal_is_claimed__closes_it(play: Play) -> None:
    receipt = ended(play)
    play.later(1, status=DealStatus.CLAIMED, claim=receipt.gpu_seconds)
    play.go()
    assert play.of(1).phase is HandlingPhase.CLOSED
    gateway, payments = money(play)
    gateway.look()
    assert payments.sent == []
    pay(play, receipt.gpu_seconds)
    gateway.look()
    assert payments.sent == [f"redeem {receipt.gpu_seconds}"]


def test_voucher__where_no_claim_can_be__is_redeemed_at_the_end(play: Play) -> None:
    ended(play)
    pay(play, 20)
    gateway, payments = money(play, threshold=0, attestors=())
    gateway.look()
    assert payments.sent == ["redeem 20"]


def test_voucher__for_all__closes_an_ended_deal_at_once(play: Play) -> None:
    ended(play)
    pay(play, ALL)
    gateway, payments = money(play)
    gateway.look()
    assert payments.sent == [f"redeem {ALL}"]


def test_voucher__for_the_claim__closes_it_before_its_window_is_over(play: Play) -> None:
    receipt = ended(play)
    pay(play, receipt.gpu_seconds - 1)
    play.later(1, status=DealStatus.CLAIMED, claim=receipt.gpu_seconds)
    gateway, payments = money(play)
    gateway.look()
    assert payments.sent == []
    play.later(1, status=DealStatus.LOCKED)
    pay(play, receipt.gpu_seconds)
    play.later(1, status=DealStatus.CLAIMED)
    gateway.look()
    assert payments.sent == [f"redeem {receipt.gpu_seconds}"]


def test_what_is_paid_already__is_not_redeemed_again(play: Play) -> None:
    ended(play)
    pay(play, 20)
    play.later(1, paid=20)
    gateway, payments = money(play, threshold=0, attestors=())
    gateway.look()
    assert payments.sent == []


def test_deadline__is_when_it_finalizes__and_a_failure_leaves_the_others(play: Play) -> None:
    play.facts.put(record(1), record(2))
    play.go()
    gateway, payments = money(play)
    play.clock.advance(26 * HOUR)
    payments.fails = True
    gateway.look()
    assert payments.sent == ["finalize", "finalize"]


def test_voucher__that_is_due__does_not_wait_for_a_market_that_is_down(play: Play) -> None:
    ended(play)
    pay(play, ALL)
    gateway, payments = money(play)
    play.market.is_down = True
    gateway.look()
    assert payments.sent == [f"redeem {ALL}"]
