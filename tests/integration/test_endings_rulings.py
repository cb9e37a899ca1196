"""A dispute ends: by the arbiter, by a party that gives in, by both, or because nobody says anything.

The arbiter's share is 5 % of the stakes.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.domain.deals import DealStatus
from molt_market.domain.disputes import DisputeOutcome
from molt_market.domain.endings import (
    quote_default,
    quote_ruling,
    quote_split,
)
from molt_market.domain.fields import seconds
from molt_market.domain.ids import DisputeId
from molt_market.domain.settlement import SettlementStatus, gpu_seconds
from molt_market.errors import (
    InvalidStateTransition,
    InvalidValue,
    ProofMismatch,
    WrongSigner,
)
from molt_market.payments.service import PaymentService
from molt_market.payments.settlement import settle_job
from molt_market.refusals import (
    RulingOutOfRange,
    TooLate,
)
from molt_market.signing.agreements import (
    sign_concession,
    sign_ruling,
)
from molt_market.testing import Devnet
from tests.integration.endings import CLAIM, WEEK, claimed, contest, disputed, require_resolved, split
from tests.integration.scene import Scene, molt


@pytest.fixture
def arbiter(net: Devnet) -> PaymentService:
    return net.payments(net.arbiter)


@pytest.fixture
def stranger(net: Devnet) -> PaymentService:
    """An account that is no party, with a journal of its own."""
    return net.payments(net.stranger)


# ---------------------------------------------------------------- the arbiter rules


@pytest.mark.parametrize("hours", ["20", "22", "23.5"])
def test_ruling__splits_stakes_as_the_bond(
    scene: Scene, net: Devnet, arbiter: PaymentService, hours: str
) -> None:
    escrow = disputed(scene)
    share = net.policy.arbiter_share_bps
    quote = quote_ruling(escrow, gpu_seconds(hours, 4), arbiter_share_bps=share)
    before = scene.wealth(net.arbiter)
    ruling = arbiter.resolve(escrow, hours)
    found = require_resolved(scene, escrow, DisputeOutcome.Ruled(arbiter=net.arbiter.address), quote)
    assert scene.wealth(net.arbiter) - before == found.arbiter_share == molt("0.35")
    assert found.transactions[-1] == ruling


def test_ruling__again__returns_the_first(scene: Scene, net: Devnet, arbiter: PaymentService) -> None:
    escrow = disputed(scene)
    first = arbiter.resolve(escrow, "22")
    assert first == arbiter.resolve(escrow, "22") == net.payments(net.arbiter).resolve(escrow, "22")
    with pytest.raises(InvalidStateTransition):
        arbiter.resolve(escrow, "21")


@pytest.mark.parametrize("hours", ["19.9", "23.6"])
def test_ruling__out_of_bounds__is_refused(scene: Scene, arbiter: PaymentService, hours: str) -> None:
    with pytest.raises(RulingOutOfRange):
        arbiter.resolve(disputed(scene), hours)


def test_ruling__by_another__is_refused(scene: Scene) -> None:
    escrow = disputed(scene)
    with pytest.raises(WrongSigner):
        scene.buyer.resolve(escrow, "20")


def test_ruling__by_signature__is_brought_by_anyone(
    scene: Scene, net: Devnet, stranger: PaymentService
) -> None:
    escrow, sent = disputed(scene), scene.sent(net.arbiter)
    units, until = gpu_seconds("22", 4), net.clock.now() + WEEK
    ruling = sign_ruling(escrow.id, units, net.arbiter, net.domain, until=until)
    brought = stranger.resolve(escrow, ruling=ruling)
    quote = quote_ruling(escrow, units, arbiter_share_bps=net.policy.arbiter_share_bps)
    found = require_resolved(scene, escrow, DisputeOutcome.Ruled(arbiter=net.arbiter.address), quote)
    assert (found.transactions[-1], scene.sent(net.arbiter)) == (brought, sent)
    assert scene.buyer.resolve(escrow, ruling=ruling) == brought


def test_ruling__signed_by_another__is_refused(scene: Scene, net: Devnet, stranger: PaymentService) -> None:
    escrow, until = disputed(scene), net.clock.now() + WEEK
    ruling = sign_ruling(escrow.id, gpu_seconds("22", 4), net.stranger, net.domain, until=until)
    with pytest.raises(WrongSigner) as refused:
        stranger.resolve(escrow, ruling=ruling)
    assert (refused.value.expected, refused.value.actual) == (net.arbiter.address, net.stranger.address)


def test_ruling__signed_for_another_deal__is_refused(
    scene: Scene, net: Devnet, stranger: PaymentService
) -> None:
    escrow, until = disputed(scene), net.clock.now() + WEEK
    other = scene.open()
    ruling = sign_ruling(other.id, gpu_seconds("22", 4), net.arbiter, net.domain, until=until)
    with pytest.raises(ProofMismatch):
        stranger.resolve(escrow, ruling=ruling)


def test_ruling__by_signature__lapses(scene: Scene, net: Devnet, stranger: PaymentService) -> None:
    escrow, until = disputed(scene), net.clock.now() + timedelta(hours=1)
    ruling = sign_ruling(escrow.id, gpu_seconds("22", 4), net.arbiter, net.domain, until=until)
    scene.run(1)
    with pytest.raises(TooLate) as refused:
        stranger.resolve(escrow, ruling=ruling)
    assert refused.value.limit == seconds(until)


def test_ruling__when_the_time_is_over__is_refused(scene: Scene, arbiter: PaymentService) -> None:
    escrow = disputed(scene)
    scene.run_past(escrow)
    with pytest.raises(TooLate):
        arbiter.resolve(escrow, "22")


def test_ruling__on_nothing__is_refused(scene: Scene, arbiter: PaymentService) -> None:
    with pytest.raises(InvalidStateTransition):
        arbiter.resolve(claimed(scene), "22")


def test_ruling__says_how_long_once(scene: Scene, arbiter: PaymentService) -> None:
    escrow = disputed(scene)
    with pytest.raises(InvalidValue):
        arbiter.resolve(escrow)
    with pytest.raises(InvalidValue):
        arbiter.resolve(escrow, "22", gpu_seconds=1)
    arbiter.resolve(escrow, gpu_seconds=escrow.paid_gpu_seconds + 1)
    assert scene.client.escrow(escrow.id).paid_gpu_seconds == escrow.paid_gpu_seconds + 1


def test_ruling__settle_job_tells_it(scene: Scene, arbiter: PaymentService) -> None:
    escrow = disputed(scene)
    job = scene.job(escrow, CLAIM)
    assert settle_job(job, scene.provider).status == SettlementStatus.Disputed(DisputeId(escrow.id))
    assert settle_job(job, scene.provider).buyer_refund == molt(5)
    arbiter.resolve(escrow, "22")
    assert settle_job(job, scene.provider).status == SettlementStatus.PartialRefund(
        reason="22 of 24 hours, as ruled"
    )


def test_ruling__for_nothing_at_all__is_a_full_refund(scene: Scene, arbiter: PaymentService) -> None:
    escrow = disputed(scene, "0")
    arbiter.resolve(escrow, 0)
    assert scene.client.escrow(escrow.id).status is DealStatus.REFUNDED
    assert scene.provider.settlement(escrow.id).status == SettlementStatus.FullRefund(
        reason="0 of 24 hours, as ruled"
    )


# ---------------------------------------------------------------- without a ruling


def test_concession__of_the_provider__to_the_counter(scene: Scene, net: Devnet) -> None:
    escrow = disputed(scene)
    quote = quote_ruling(escrow, gpu_seconds(20, 4))
    first = scene.provider.concede(escrow)
    require_resolved(scene, escrow, DisputeOutcome.Conceded(by=net.provider.address), quote)
    assert first == scene.provider.concede(escrow) == net.payments(net.provider).concede(escrow)
    with pytest.raises(InvalidStateTransition):
        scene.buyer.concede(escrow)


def test_concession__of_the_buyer__to_the_claim(scene: Scene, net: Devnet) -> None:
    escrow = disputed(scene)
    quote = quote_ruling(escrow, gpu_seconds(CLAIM, 4))
    scene.buyer.concede(escrow)
    require_resolved(scene, escrow, DisputeOutcome.Conceded(by=net.buyer.address), quote)
    assert scene.buyer.settlement(escrow.id).status == SettlementStatus.PartialRefund(
        reason="23.5 of 24 hours, as conceded"
    )


def test_concession__by_signature__anyone_sends_it(
    scene: Scene, net: Devnet, stranger: PaymentService
) -> None:
    escrow = disputed(scene)
    until = net.clock.now() + timedelta(hours=1)
    given = sign_concession(escrow.id, escrow.paid_gpu_seconds, net.provider, net.domain, until=until)
    stranger.concede(escrow, given)
    assert scene.buyer.resolution(escrow.id).outcome == DisputeOutcome.Conceded(by=net.provider.address)


def test_concession__by_a_stranger__is_refused(scene: Scene, net: Devnet, stranger: PaymentService) -> None:
    escrow = disputed(scene)
    with pytest.raises(WrongSigner):
        stranger.concede(escrow)
    forged = sign_concession(
        escrow.id, escrow.paid_gpu_seconds, net.stranger, net.domain, until=net.clock.now() + WEEK
    )
    with pytest.raises(WrongSigner):
        stranger.concede(escrow, forged)


def test_concession__of_a_figure_in_between__is_refused(scene: Scene, net: Devnet) -> None:
    escrow = disputed(scene)
    between = sign_concession(
        escrow.id, gpu_seconds(21, 4), net.provider, net.domain, until=net.clock.now() + WEEK
    )
    with pytest.raises(RulingOutOfRange):
        scene.buyer.concede(escrow, between)


@pytest.mark.parametrize("hours", ["20", "21", "23.5"])
def test_split__of_a_dispute__gives_each_his_stake(scene: Scene, net: Devnet, hours: str) -> None:
    escrow = disputed(scene)
    quote = quote_split(escrow, gpu_seconds(hours, 4))
    scene.buyer.settle_split(escrow, split(scene, escrow, hours, net.buyer, net.provider))
    require_resolved(scene, escrow, DisputeOutcome.Settled(), quote)


def test_split__of_a_dispute_after_its_time__counts_as_agreed(scene: Scene, net: Devnet) -> None:
    escrow = disputed(scene)
    scene.run_past(escrow)
    quote = quote_split(escrow, escrow.claimed_gpu_seconds)
    scene.buyer.settle_split(escrow, split(scene, escrow, CLAIM, net.buyer, net.provider))
    require_resolved(scene, escrow, DisputeOutcome.Settled(), quote)
    assert scene.buyer.settlement(escrow.id).status == SettlementStatus.PartialRefund(
        reason="23.5 of 24 hours, as agreed"
    )


def test_silent_arbiter__an_attested_claim_stands(scene: Scene) -> None:
    escrow = disputed(scene)
    quote = quote_default(escrow)
    scene.run_past(escrow)
    found = scene.buyer.handle_dispute(escrow, contest(escrow))
    assert found == require_resolved(scene, escrow, DisputeOutcome.TimedOut(), quote)
    assert found.gpu_seconds == escrow.claimed_gpu_seconds
    assert scene.buyer.handle_dispute(escrow, contest(escrow)) == found


def test_silent_arbiter__settle_job_finalizes_too(scene: Scene) -> None:
    escrow = disputed(scene)
    scene.run_past(escrow)
    result = settle_job(scene.job(escrow, CLAIM), scene.provider)
    assert result.status == SettlementStatus.PartialRefund(reason="23.5 of 24 hours, as nobody ruled")
