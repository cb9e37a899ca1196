"""The provider claims without attestors: it goes straight to the arbiter, and falls if he is silent."""

from __future__ import annotations

import pytest

from molt_market.domain.deals import DealStatus
from molt_market.domain.disputes import DisputeOutcome
from molt_market.domain.endings import (
    quote_default,
    quote_ruling,
    quote_unattested_claim,
)
from molt_market.domain.events import DealDisputed
from molt_market.domain.settlement import gpu_seconds
from molt_market.errors import (
    InvalidStateTransition,
    WrongSigner,
)
from molt_market.payments.service import PaymentService
from molt_market.refusals import (
    AboveElapsed,
    TooEarly,
    TooLate,
)
from molt_market.signing.agreements import (
    sign_unattested_claim,
)
from molt_market.testing import Devnet
from tests.integration.endings import CLAIM, WEEK, contest, ran, require_resolved
from tests.integration.scene import HOURS, Scene, molt


@pytest.fixture
def arbiter(net: Devnet) -> PaymentService:
    return net.payments(net.arbiter)


@pytest.fixture
def stranger(net: Devnet) -> PaymentService:
    """An account that is no party, with a journal of its own."""
    return net.payments(net.stranger)


def test_unattested__goes_straight_to_the_arbiter(scene: Scene, net: Devnet) -> None:
    escrow = ran(scene)
    quote = quote_unattested_claim(escrow, gpu_seconds(CLAIM, 4))
    claim = scene.provider.claim_unattested(escrow, CLAIM)
    present = scene.client.escrow(escrow.id)
    assert (present.status, present.attested) == (DealStatus.DISPUTED, False)
    [event] = [each for each in scene.client.deal_events(escrow.id) if isinstance(each, DealDisputed)]
    assert (event.to_provider, event.fee, event.to_buyer, event.stake) == (
        quote.to_provider.base_units,
        quote.platform_fee.base_units,
        quote.to_buyer.base_units,
        0,
    )
    assert claim == scene.provider.claim_unattested(escrow, CLAIM)
    assert claim == net.payments(net.provider).claim_unattested(escrow, CLAIM)
    assert scene.client.gpus_in_use(net.provider.address, 0) == 0


def test_unattested__buyer_asks_how_it_stands(scene: Scene) -> None:
    escrow = ran(scene)
    scene.provider.claim_unattested(escrow, CLAIM)
    found = scene.buyer.handle_dispute(escrow, contest(escrow, "0"))
    assert found.outcome == DisputeOutcome.Pending(until=scene.client.escrow(escrow.id).locked_until)
    assert found.stake == molt(0)


@pytest.mark.parametrize("hours", ["0", "12", "23.5"])
def test_unattested__ruled(scene: Scene, net: Devnet, arbiter: PaymentService, hours: str) -> None:
    escrow = ran(scene)
    scene.provider.claim_unattested(escrow, CLAIM)
    present = scene.client.escrow(escrow.id)
    quote = quote_ruling(present, gpu_seconds(hours, 4), arbiter_share_bps=net.policy.arbiter_share_bps)
    arbiter.resolve(escrow, hours)
    require_resolved(scene, escrow, DisputeOutcome.Ruled(arbiter=net.arbiter.address), quote)


def test_unattested__silent_arbiter__it_falls(scene: Scene) -> None:
    escrow = scene.open()
    scene.provider.redeem(escrow, scene.voucher(escrow, "6"))
    scene.run(HOURS)
    scene.provider.claim_unattested(escrow, CLAIM)
    present = scene.client.escrow(escrow.id)
    quote = quote_default(present)
    scene.run_past(escrow)
    scene.buyer.refund_payment(escrow, "nobody ruled")
    found = require_resolved(scene, escrow, DisputeOutcome.TimedOut(), quote)
    assert found.gpu_seconds == gpu_seconds(6, 4)


def test_unattested__buyer_concedes(scene: Scene, net: Devnet) -> None:
    escrow = ran(scene)
    scene.provider.claim_unattested(escrow, CLAIM)
    quote = quote_ruling(scene.client.escrow(escrow.id), gpu_seconds(CLAIM, 4))
    scene.buyer.concede(escrow)
    require_resolved(scene, escrow, DisputeOutcome.Conceded(by=net.buyer.address), quote)


def test_unattested__by_signature__anyone_sends_it(
    scene: Scene, net: Devnet, stranger: PaymentService
) -> None:
    escrow = ran(scene)
    until = net.clock.now() + WEEK
    claim = sign_unattested_claim(escrow.id, gpu_seconds(CLAIM, 4), net.provider, net.domain, until=until)
    stranger.claim_unattested(escrow, claim=claim)
    assert scene.client.escrow(escrow.id).claimed_gpu_seconds == gpu_seconds(CLAIM, 4)


def test_unattested__by_the_agent__is_refused(scene: Scene, net: Devnet) -> None:
    escrow = ran(scene)
    with pytest.raises(WrongSigner):
        net.payments(net.agent).claim_unattested(escrow, CLAIM)
    until = net.clock.now() + WEEK
    claim = sign_unattested_claim(escrow.id, gpu_seconds(CLAIM, 4), net.agent, net.domain, until=until)
    with pytest.raises(WrongSigner):
        net.payments(net.agent).claim_unattested(escrow, claim=claim)


def test_unattested__before_the_end__or_after_the_deadline__is_refused(scene: Scene) -> None:
    escrow = scene.open()
    with pytest.raises(TooEarly):
        scene.provider.claim_unattested(escrow, CLAIM)
    scene.run_past(escrow)
    with pytest.raises(TooLate):
        scene.provider.claim_unattested(escrow, CLAIM)


def test_unattested__for_more_than_it_ran__is_refused(scene: Scene) -> None:
    with pytest.raises(AboveElapsed):
        scene.provider.claim_unattested(ran(scene), "24.5")


def test_unattested__another_figure_afterwards__is_refused(scene: Scene) -> None:
    escrow = ran(scene)
    scene.provider.claim_unattested(escrow, CLAIM)
    with pytest.raises(InvalidStateTransition):
        scene.provider.claim_unattested(escrow, "23")
