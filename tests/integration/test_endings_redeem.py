"""Vouchers while the job runs: each pays what it adds, once."""

from __future__ import annotations

import pytest

from molt_market.domain.settlement import (
    SettlementStatus,
    gpu_seconds,
)
from molt_market.errors import (
    InvalidStateTransition,
    ProofMismatch,
    WrongSigner,
)
from molt_market.payments.service import PaymentService
from molt_market.payments.settlement import settle_job
from molt_market.refusals import NotAbovePaid
from molt_market.signing.statements import sign_voucher
from molt_market.testing import Devnet
from tests.integration.scene import HOURS, Scene, molt


@pytest.fixture
def stranger(net: Devnet) -> PaymentService:
    """An account that is no party, with a journal of its own."""
    return net.payments(net.stranger)


def test_redeem__pays_what_is_new__and_leaves_the_rest_locked(scene: Scene) -> None:
    escrow = scene.open()
    scene.provider.redeem(escrow, scene.voucher(escrow, "6"))
    scene.provider.redeem(escrow, scene.voucher(escrow, "10"))
    result = scene.provider.settlement(escrow.id)
    assert result.provider_payment == molt(99)
    assert result.status == SettlementStatus.Pending(claimable_at=escrow.locked_until)
    assert scene.client.escrow(escrow.id).paid_gpu_seconds == gpu_seconds(10, 4)


def test_redeem__again__returns_the_first_transaction(scene: Scene, stranger: PaymentService) -> None:
    escrow = scene.open()
    voucher = scene.voucher(escrow, "6")
    first = scene.provider.redeem(escrow, voucher)
    sent = scene.sent(scene.net.provider)
    assert first == scene.provider.redeem(escrow, voucher) == stranger.redeem(escrow, voucher)
    assert scene.sent(scene.net.provider) == sent


def test_redeem__an_older_voucher__returns_what_paid_it_already(scene: Scene) -> None:
    escrow = scene.open()
    paid = scene.provider.redeem(escrow, scene.voucher(escrow, "6"))
    assert scene.provider.redeem(escrow, scene.voucher(escrow, "5")) == paid


def test_redeem__for_more_than_is_allocated__closes_and_is_repeatable(scene: Scene) -> None:
    escrow = scene.open()
    voucher = scene.voucher(escrow, "25")
    closing = scene.provider.redeem(escrow, voucher)
    assert scene.provider.redeem(escrow, voucher) == closing
    assert scene.provider.settlement(escrow.id).status == SettlementStatus.Success()


def test_redeem__all_that_is_claimed__closes(scene: Scene) -> None:
    escrow = scene.open()
    scene.run(HOURS)
    settle_job(scene.job(escrow, "23.5"), scene.provider)
    scene.provider.redeem(escrow, scene.voucher(escrow, "24"))
    assert scene.client.escrow(escrow.id).paid_gpu_seconds == gpu_seconds("23.5", 4)


def test_redeem__after_the_end__is_refused(scene: Scene) -> None:
    escrow = scene.open()
    scene.provider.cancel(escrow)
    with pytest.raises(InvalidStateTransition) as caught:
        scene.provider.redeem(escrow, scene.voucher(escrow, "6"))
    assert (caught.value.from_, caught.value.to) == ("REFUNDED", "PAID")


def test_redeem__voucher_of_another_deal_or_signer__is_refused(scene: Scene, net: Devnet) -> None:
    first, second = scene.open(), scene.open()
    with pytest.raises(ProofMismatch):
        scene.provider.redeem(first, scene.voucher(second, "6"))
    with pytest.raises(WrongSigner):
        scene.provider.redeem(first, scene.voucher(first, "6", net.stranger))


def test_redeem__nothing__is_refused_by_the_contract(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    with pytest.raises(NotAbovePaid):
        scene.provider.redeem(escrow, sign_voucher(escrow.id, 0, net.buyer, net.domain))
