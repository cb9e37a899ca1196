"""The buyer ends a deal early: 24 hours agreed, a notice of 15 minutes, a commitment of an hour."""

from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.domain.endings import quote_default
from molt_market.errors import (
    InvalidStateTransition,
    WalletError,
    WrongSigner,
)
from molt_market.payments.service import PaymentService
from molt_market.payments.settlement import settle_job
from molt_market.refusals import StopTooLate, TooLate
from molt_market.signing.agreements import sign_stop
from molt_market.testing import Devnet
from tests.integration.endings import WEEK, require_paid_out
from tests.integration.scene import DONE, HOURS, Scene, molt


@pytest.fixture
def stranger(net: Devnet) -> PaymentService:
    """An account that is no party, with a journal of its own."""
    return net.payments(net.stranger)


def test_stop__at_once__excuses_the_bond(scene: Scene) -> None:
    escrow = scene.open()
    scene.buyer.stop(escrow)
    stopped = scene.buyer.escrow(escrow.id)
    assert (stopped.stopped, stopped.excused) == (True, True)
    assert stopped.ends_at == escrow.created_at + timedelta(hours=1)  # not before the commitment
    quote = quote_default(stopped)
    scene.run_past(escrow)
    scene.buyer.refund_payment(escrow, "not needed")
    assert quote.bond_to_provider == molt(24)
    require_paid_out(scene, escrow, quote)


def test_stop__later__ends_one_notice_later_and_keeps_the_bond_at_stake(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    scene.run(6)
    scene.buyer.stop(escrow)
    stopped = scene.buyer.escrow(escrow.id)
    now = net.clock.now()
    notice = timedelta(minutes=net.policy.notice_minutes)
    assert timedelta(0) <= now + notice - (stopped.ends_at or now) <= timedelta(seconds=5)
    assert (stopped.stopped, stopped.excused) == (True, False)


def test_stop__what_ran_is_claimed_after_it(scene: Scene) -> None:
    escrow = scene.open()
    scene.run(6)
    scene.buyer.stop(escrow)
    scene.run(1)
    settle_job(scene.job(escrow, "6.25"), scene.provider)
    claimed = scene.client.escrow(escrow.id)
    quote = quote_default(claimed)
    assert quote.bond_to_provider == molt(24)  # all that could be delivered
    scene.run_past(escrow)
    settle_job(scene.job(escrow, "6.25"), scene.provider)
    require_paid_out(scene, escrow, quote)


def test_stop__again__returns_the_first_transaction(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    first = scene.buyer.stop(escrow)
    assert first == scene.buyer.stop(escrow) == net.payments(net.buyer).stop(escrow)


def test_stop__by_signature__anyone_sends_it(scene: Scene, net: Devnet, stranger: PaymentService) -> None:
    escrow = scene.open()
    request = sign_stop(escrow.id, net.buyer, net.domain, until=net.clock.now() + WEEK)
    stranger.stop(escrow, request)
    assert scene.client.escrow(escrow.id).stopped


def test_stop__request_has_lapsed__is_refused(scene: Scene, net: Devnet, stranger: PaymentService) -> None:
    escrow = scene.open()
    with pytest.raises(TooLate):
        stranger.stop(escrow, sign_stop(escrow.id, net.buyer, net.domain, until=net.clock.now()))


def test_stop__by_the_provider__is_refused(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    with pytest.raises(WrongSigner) as caught:
        scene.provider.stop(escrow)
    assert (caught.value.expected, caught.value.actual) == (net.buyer.address, net.provider.address)


def test_stop__when_it_ends_anyway__is_refused(scene: Scene) -> None:
    escrow = scene.open()
    scene.run(HOURS)
    with pytest.raises(StopTooLate):
        scene.buyer.stop(escrow)


def test_stop__claimed__is_refused(scene: Scene) -> None:
    escrow = scene.open()
    scene.run(12)
    scene.provider.release_payment(escrow, scene.proof(escrow, "12", result=DONE))
    with pytest.raises(InvalidStateTransition) as caught:
        scene.buyer.stop(escrow)
    assert (caught.value.from_, caught.value.to) == ("CLAIMED", "STOPPED")


def test_stop__without_an_account__says_so(scene: Scene, net: Devnet) -> None:
    with pytest.raises(WalletError):
        net.payments().stop(scene.open())
