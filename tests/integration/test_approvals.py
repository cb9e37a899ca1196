"""An account that makes no signatures approves digests on the chain; so it is a party like any other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.events import DigestApproved, DigestRevoked, WithdrawRequested
from molt_market.domain.fields import seconds
from molt_market.domain.ids import APPROVED, Hash32
from molt_market.domain.settlement import gpu_seconds
from molt_market.errors import InvalidSignature
from molt_market.payments.service import PaymentService
from molt_market.refusals import BadSignature
from molt_market.signing.agreements import (
    sign_cancellation,
    sign_concession,
    sign_dispute,
    sign_ruling,
    sign_split,
    sign_stop,
    sign_unattested_claim,
)
from molt_market.signing.hashes import offer_hash, order_hash
from molt_market.signing.signers import ApprovingSigner
from molt_market.signing.statements import sign_offer, sign_order, sign_voucher
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.integration.endings import WEEK, claimed, contest, disputed, ran
from tests.integration.scene import Scene, molt


@pytest.fixture
def relayer(net: Devnet) -> PaymentService:
    return net.payments(net.stranger)


def approving(net: Devnet, account: Wallet) -> ApprovingSigner:
    """Sign by transactions of the account, as a contract would."""
    return ApprovingSigner(account.address, net.client(account).approve_digest)


# ---------------------------------------------------------------- offers and orders


def test_offer__approved__opens_a_deal(scene: Scene, net: Devnet) -> None:
    offer = sign_offer(scene.offer(), approving(net, net.provider), net.domain)
    assert offer.signature == APPROVED
    assert scene.client.is_approved(net.provider.address, offer_hash(offer, net.domain))
    assert scene.open(offer=offer).provider == net.provider.address


def test_offer__not_approved__is_refused_before_anything_is_sent(scene: Scene, net: Devnet) -> None:
    offer = scene.offer().model_copy(update={"signature": APPROVED})
    sent = scene.sent(net.buyer)
    with pytest.raises(InvalidSignature, match="no approval"):
        scene.open(offer=offer)
    refused = scene.client.obstacle(offer, scene.order())
    assert isinstance(refused, BadSignature)
    assert scene.sent(net.buyer) == sent


def test_approval__taken_back__counts_until_the_delay_is_over(scene: Scene, net: Devnet) -> None:
    provider = net.client(net.provider)
    offer = sign_offer(scene.offer(), approving(net, net.provider), net.domain)
    digest = offer_hash(offer, net.domain)
    revoked = provider.revoke_digest(digest).only(DigestRevoked)
    assert (revoked.account, revoked.digest) == (net.provider.address, digest)
    assert scene.open(offer=offer, min_gpu_count=1).status is DealStatus.LOCKED
    net.warp(revoked.until - seconds(net.clock.now()))
    assert not scene.client.is_approved(net.provider.address, digest)
    with pytest.raises(InvalidSignature):
        scene.open(offer=offer, min_gpu_count=1)
    approved = provider.approve_digest(digest).only(DigestApproved)
    assert (approved.account, approved.digest) == (net.provider.address, digest)
    assert scene.open(offer=offer, min_gpu_count=1).status is DealStatus.LOCKED


def test_order__approved__is_opened_by_a_stranger(scene: Scene, net: Devnet) -> None:
    net.client(net.buyer).deposit(molt(240))
    offer = scene.offer()
    order = sign_order(scene.order(slot=3), approving(net, net.buyer), net.domain, offer)
    assert scene.client.is_approved(net.buyer.address, order_hash(order, net.domain))
    client = net.client(net.stranger)
    assert client.check(offer, order, net.stranger.address) is None
    client.send(client.calls.open(offer, order))
    assert scene.client.gpus_in_use(net.provider.address, offer.slot) == 4


# ---------------------------------------------------------------- a deal's statements


def stopped(scene: Scene, net: Devnet, relayer: PaymentService) -> EscrowAccount:
    escrow = scene.open()
    until = net.clock.now() + WEEK
    relayer.stop(escrow, sign_stop(escrow.id, approving(net, net.buyer), net.domain, until=until))
    return escrow


def given_up(scene: Scene, net: Devnet, relayer: PaymentService) -> EscrowAccount:
    escrow = scene.open()
    until = net.clock.now() + WEEK
    relayer.cancel(
        escrow, sign_cancellation(escrow.id, approving(net, net.provider), net.domain, until=until)
    )
    return escrow


def redeemed(scene: Scene, net: Devnet, relayer: PaymentService) -> EscrowAccount:
    escrow = scene.open()
    relayer.redeem(escrow, sign_voucher(escrow.id, 3_600, approving(net, net.buyer), net.domain))
    return escrow


def unattested(scene: Scene, net: Devnet, relayer: PaymentService) -> EscrowAccount:
    escrow, until = ran(scene), net.clock.now() + WEEK
    claim = sign_unattested_claim(escrow.id, 3_600, approving(net, net.provider), net.domain, until=until)
    relayer.claim_unattested(escrow, claim=claim)
    return escrow


def contested(scene: Scene, net: Devnet, relayer: PaymentService) -> EscrowAccount:
    net.client(net.buyer).deposit(molt(50))
    escrow, until = claimed(scene), net.clock.now() + WEEK
    signer = approving(net, net.buyer)
    relayer.handle_dispute(escrow, sign_dispute(contest(escrow), escrow, signer, net.domain, until=until))
    return escrow


def conceded(scene: Scene, net: Devnet, relayer: PaymentService) -> EscrowAccount:
    escrow, until = disputed(scene), net.clock.now() + WEEK
    signer, counter = approving(net, net.provider), gpu_seconds("20", 4)
    relayer.concede(escrow, sign_concession(escrow.id, counter, signer, net.domain, until=until))
    return escrow


def ruled(scene: Scene, net: Devnet, relayer: PaymentService) -> EscrowAccount:
    escrow, until = disputed(scene), net.clock.now() + WEEK
    signer, units = approving(net, net.arbiter), gpu_seconds("21", 4)
    relayer.resolve(escrow, ruling=sign_ruling(escrow.id, units, signer, net.domain, until=until))
    return escrow


def split(scene: Scene, net: Devnet, relayer: PaymentService) -> EscrowAccount:
    escrow = scene.open()
    agreement = SplitAgreement(deal_id=escrow.id, gpu_seconds=7_200, until=net.clock.now() + WEEK)
    for party in (net.buyer, net.provider):
        agreement = sign_split(agreement, approving(net, party), escrow.terms, net.domain)
    relayer.settle_split(escrow, agreement)
    return escrow


Act = Callable[[Scene, Devnet, PaymentService], EscrowAccount]


@pytest.mark.parametrize(
    ("act", "after"),
    [
        (stopped, (DealStatus.LOCKED, 0)),
        (given_up, (DealStatus.REFUNDED, 0)),
        (redeemed, (DealStatus.LOCKED, 3_600)),
        (unattested, (DealStatus.DISPUTED, 0)),
        (contested, (DealStatus.DISPUTED, gpu_seconds("20", 4))),
        (conceded, (DealStatus.RELEASED, gpu_seconds("20", 4))),
        (ruled, (DealStatus.RELEASED, gpu_seconds("21", 4))),
        (split, (DealStatus.RELEASED, 7_200)),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_statement__approved__counts_like_a_signed_one(
    scene: Scene, net: Devnet, relayer: PaymentService, act: Act, after: tuple[DealStatus, int]
) -> None:
    present = scene.client.escrow(act(scene, net, relayer).id)
    assert (present.status, present.paid_gpu_seconds) == after


def test_statement__not_approved__is_refused_before_anything_is_sent(
    scene: Scene, net: Devnet, relayer: PaymentService
) -> None:
    escrow, sent = scene.open(), scene.sent(net.stranger)
    digests: list[Hash32] = []
    signer = ApprovingSigner(net.buyer.address, digests.append)
    with pytest.raises(InvalidSignature, match="no approval"):
        relayer.stop(escrow, sign_stop(escrow.id, signer, net.domain, until=net.clock.now() + WEEK))
    assert (len(digests), scene.sent(net.stranger)) == (1, sent)


def test_request__approved__counts_like_a_signed_one(scene: Scene, net: Devnet) -> None:
    net.client(net.buyer).deposit(molt(2))
    client = net.client(net.stranger)
    request = client.withdrawal_request(approving(net, net.buyer), molt(2))
    assert client.relay(request).only(WithdrawRequested).amount == molt(2).base_units
