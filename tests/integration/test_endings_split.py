"""Both parties close a deal at a figure of theirs; the whole bond goes back."""

from __future__ import annotations

import pytest

from molt_market.domain.deals import DealStatus
from molt_market.domain.endings import quote_split
from molt_market.domain.settlement import (
    gpu_seconds,
)
from molt_market.errors import (
    InvalidSignature,
    InvalidStateTransition,
    WrongSigner,
)
from molt_market.payments.service import PaymentService
from molt_market.payments.settlement import settle_job
from molt_market.refusals import SplitOutOfRange, TooLate
from molt_market.testing import Devnet
from tests.integration.endings import require_paid_out, split
from tests.integration.scene import HOURS, Scene, molt


@pytest.fixture
def stranger(net: Devnet) -> PaymentService:
    """An account that is no party, with a journal of its own."""
    return net.payments(net.stranger)


@pytest.mark.parametrize("hours", ["0", "7.5", "24"])
def test_split__closes_at_the_figure__with_the_whole_bond_back(scene: Scene, net: Devnet, hours: str) -> None:
    escrow = scene.open()
    agreement = split(scene, escrow, hours, net.buyer, net.provider)
    quote = quote_split(escrow, agreement.gpu_seconds)
    net.payments(net.stranger).settle_split(escrow, agreement)
    assert quote.bond_to_provider == molt(24)
    require_paid_out(scene, escrow, quote)


def test_split__above_what_vouchers_paid__counts_them_in(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    scene.provider.redeem(escrow, scene.voucher(escrow, "6"))
    quote = quote_split(scene.client.escrow(escrow.id), gpu_seconds(7, 4))
    scene.provider.settle_split(escrow, split(scene, escrow, "7", net.buyer, net.provider))
    require_paid_out(scene, escrow, quote)


def test_split__of_a_claim__closes_it(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    scene.run(HOURS)
    settle_job(scene.job(escrow, "23.5"), scene.provider)
    quote = quote_split(scene.client.escrow(escrow.id), gpu_seconds(20, 4))
    scene.provider.settle_split(escrow, split(scene, escrow, "20", net.buyer, net.provider))
    require_paid_out(scene, escrow, quote)


def test_split__the_senders_own_signature_may_be_missing(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    scene.provider.settle_split(escrow, split(scene, escrow, "7", net.buyer))
    assert scene.client.escrow(escrow.id).status is DealStatus.RELEASED


def test_split__again__returns_the_first_transaction(
    scene: Scene, net: Devnet, stranger: PaymentService
) -> None:
    escrow = scene.open()
    agreement = split(scene, escrow, "7", net.buyer, net.provider)
    first = scene.provider.settle_split(escrow, agreement)
    assert first == scene.provider.settle_split(escrow, agreement) == stranger.settle_split(escrow, agreement)


def test_split__another_figure_afterwards__is_refused(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    scene.provider.settle_split(escrow, split(scene, escrow, "7", net.buyer, net.provider))
    with pytest.raises(InvalidStateTransition):
        scene.provider.settle_split(escrow, split(scene, escrow, "8", net.buyer, net.provider))


def test_split__unsigned_by_one__is_refused(scene: Scene, net: Devnet, stranger: PaymentService) -> None:
    escrow = scene.open()
    with pytest.raises(InvalidSignature, match=net.provider.address):
        stranger.settle_split(escrow, split(scene, escrow, "7", net.buyer))


def test_split__changed_after_signing__is_refused(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    agreement = split(scene, escrow, "7", net.buyer)
    changed = agreement.model_copy(update={"gpu_seconds": agreement.gpu_seconds + 1})
    with pytest.raises(WrongSigner):
        scene.provider.settle_split(escrow, changed)


def test_split__out_of_range_or_lapsed__is_refused(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    parties = (net.buyer, net.provider)
    scene.provider.redeem(escrow, scene.voucher(escrow, "6"))
    with pytest.raises(SplitOutOfRange):
        scene.provider.settle_split(escrow, split(scene, escrow, "5", *parties))
    with pytest.raises(SplitOutOfRange):
        scene.provider.settle_split(escrow, split(scene, escrow, "25", *parties))
    with pytest.raises(TooLate):
        scene.provider.settle_split(escrow, split(scene, escrow, "7", *parties, until=net.clock.now()))
