"""The single steps: release_payment and refund_payment."""

import pytest

from molt_market.domain.deals import DealStatus, EscrowState
from molt_market.errors import InvalidStateTransition, NotYet, ProofMismatch
from molt_market.payments.journal import MemoryJournal
from molt_market.testing import Devnet
from tests.integration.scene import HOURS, Scene, molt


def test_release__with_a_confirmation__closes(scene: Scene) -> None:
    escrow = scene.open()
    transaction = scene.provider.release_payment(
        escrow, scene.proof(escrow, "24"), scene.voucher(escrow, "24")
    )
    after = scene.provider.escrow(escrow.id)
    assert (after.state, after.paid_gpu_seconds) == (EscrowState.RELEASED, escrow.terms.gpu_seconds)
    assert after.released_at is not None
    assert scene.provider.deal_events(escrow.id)[-1].transaction_id == transaction


def test_release__step_by_step__claims_says_when_and_finalizes(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    proof = scene.proof(escrow, "23.5")
    scene.run(HOURS)
    claim = scene.provider.release_payment(escrow, proof)
    with pytest.raises(NotYet) as early:
        scene.provider.release_payment(escrow, proof)
    assert early.value.due_at == scene.client.escrow(escrow.id).locked_until
    net.warp(net.policy.challenge_seconds)
    closing = scene.provider.release_payment(escrow, proof)
    assert closing != claim
    assert scene.provider.release_payment(escrow, proof) == closing


def test_release__proof_of_another_deal__is_refused(scene: Scene) -> None:
    first, second = scene.open(), scene.open()
    with pytest.raises(ProofMismatch):
        scene.provider.release_payment(first, scene.proof(second, "24"))


def test_release__confirmation_for_other_hours__is_refused(scene: Scene) -> None:
    escrow = scene.open()
    with pytest.raises(ProofMismatch):
        scene.provider.release_payment(escrow, scene.proof(escrow, "24"), scene.voucher(escrow, "23"))


def test_refund__provider_never_claimed__gives_the_buyer_price_and_bond(scene: Scene, net: Devnet) -> None:
    before = scene.wealth(net.buyer)
    journal = MemoryJournal()
    escrow = scene.open()
    scene.run_past(escrow)
    buyer = net.payments(net.buyer, journal=journal)
    transaction = buyer.refund_payment(escrow, "never started")
    assert scene.wealth(net.buyer) - before == molt(24)
    assert scene.client.escrow(escrow.id).status is DealStatus.REFUNDED
    entry = journal.get(f"finalize:{escrow.id}")
    assert entry is not None
    assert entry.note == "never started"
    assert buyer.refund_payment(escrow, "again") == transaction


def test_refund__before_the_deadline__says_when(scene: Scene) -> None:
    escrow = scene.open()
    with pytest.raises(NotYet) as early:
        scene.buyer.refund_payment(escrow, "changed my mind")
    assert early.value.due_at == escrow.locked_until


def test_refund__part_was_paid__gives_back_the_rest(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    scene.run(12)
    scene.provider.release_payment(escrow, scene.proof(escrow, "12"), scene.voucher(escrow, "12"))
    before = scene.wealth(net.buyer)
    scene.run_past(escrow)
    scene.buyer.refund_payment(escrow, "it stopped at half")
    assert scene.wealth(net.buyer) - before == molt(120) + molt(12)  # and half of the bond
    assert scene.client.escrow(escrow.id).state is EscrowState.RELEASED


def test_refund__everything_was_paid__is_refused(scene: Scene) -> None:
    escrow = scene.open()
    scene.provider.release_payment(escrow, scene.proof(escrow, "24"), scene.voucher(escrow, "24"))
    with pytest.raises(InvalidStateTransition):
        scene.buyer.refund_payment(escrow, "too late")
