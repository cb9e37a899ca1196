"""What an account signs, another brings and pays the gas for; it works once, and until it lapses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from molt_market.chain.client import MoltClient
from molt_market.domain.amounts import Token
from molt_market.domain.events import Deposited, OrdersCancelled, Withdrawn, WithdrawRequested
from molt_market.domain.fields import seconds
from molt_market.domain.requests import Side, SignedRequest
from molt_market.errors import TokenMismatch
from molt_market.refusals import (
    BadSignature,
    CancelPending,
    InsufficientBalance,
    OfferCancelled,
    PermitRefused,
    TooEarly,
    TooLate,
)
from molt_market.signing.requests import sign_withdrawal, verify_request
from molt_market.testing import Devnet
from tests.integration.scene import Scene, molt

SECOND = timedelta(seconds=1)


@pytest.fixture
def relayer(net: Devnet) -> MoltClient:
    """An account that is nobody to those whose requests it brings."""
    return net.client(net.stranger)


@pytest.fixture
def funded(net: Devnet) -> None:
    net.client(net.buyer).deposit(molt(10))


def cancels(client: MoltClient, net: Devnet) -> SignedRequest:
    return client.orders_cancellation(net.buyer, Side.ORDERS, 7)


def requests(client: MoltClient, net: Devnet) -> SignedRequest:
    return client.withdrawal_request(net.buyer, molt(4))


Make = Callable[[MoltClient, Devnet], SignedRequest]
EACH = pytest.mark.parametrize("make", [cancels, requests])


# ---------------------------------------------------------------- each request


def test_cancel__by_signature__kills_the_group_for_anothers_gas(
    scene: Scene, net: Devnet, relayer: MoltClient
) -> None:
    offer = scene.offer(slot=5)
    sent = scene.sent(net.provider)
    request = relayer.orders_cancellation(net.provider, Side.OFFERS, 1)
    assert (request.cutoff_at, verify_request(request, net.domain)) == (0, net.provider.address)
    cancelled = relayer.relay(request).only(OrdersCancelled)
    assert (cancelled.account, cancelled.group) == (net.provider.address, 1)
    assert scene.sent(net.provider) == sent
    net.warp(net.deployment.cancel_delay_seconds)
    with pytest.raises(OfferCancelled):
        scene.open(offer=offer)


def test_cancel__again__needs_a_new_signature(scene: Scene, net: Devnet, relayer: MoltClient) -> None:
    request = relayer.orders_cancellation(net.provider, Side.OFFERS, 1)
    first = relayer.relay(request).only(OrdersCancelled)
    pending = relayer.orders_cancellation(net.provider, Side.OFFERS, 1)
    assert pending.cutoff_at == first.cutoff_at
    with pytest.raises(CancelPending):
        relayer.relay(pending)
    net.warp(net.deployment.cancel_delay_seconds)
    with pytest.raises(BadSignature):
        relayer.relay(request)
    assert relayer.relay(pending).only(OrdersCancelled).cutoff_at > first.cutoff_at


def test_withdrawal__by_two_signatures__pays_whom_the_owner_named(
    scene: Scene, net: Devnet, relayer: MoltClient, funded: None
) -> None:
    sent = scene.sent(net.buyer)
    marked = relayer.relay(relayer.withdrawal_request(net.buyer, molt(4))).only(WithdrawRequested)
    assert (marked.account, marked.amount) == (net.buyer.address, molt(4).base_units)
    payment = relayer.withdrawal(net.buyer, net.fee_recipient.address)
    with pytest.raises(TooEarly):
        relayer.relay(payment)
    net.warp(net.deployment.withdraw_delay_seconds)
    assert relayer.relay(payment).only(Withdrawn).to == net.fee_recipient.address
    assert relayer.balance_of(net.fee_recipient.address) == molt(4)
    assert scene.sent(net.buyer) == sent
    assert relayer.balances(net.buyer.address).escrow == molt(6)


def test_withdrawal__both_signed_at_once__counts_on(net: Devnet, relayer: MoltClient, funded: None) -> None:
    """An owner who is away when the delay is over signs the payment with the nonce that it will have."""
    request = relayer.withdrawal_request(net.buyer, molt(1))
    payment = sign_withdrawal(
        net.buyer.address, net.buyer, net.domain, nonce=request.nonce + 1, until=request.until
    )
    relayer.relay(request)
    net.warp(net.deployment.withdraw_delay_seconds)
    assert relayer.relay(payment).only(Withdrawn).amount == molt(1).base_units


def test_deposit__by_permit__for_anothers_gas(scene: Scene, net: Devnet, relayer: MoltClient) -> None:
    sent = scene.sent(net.buyer)
    permit = relayer.permit(net.buyer, molt(3).base_units)
    assert permit is not None
    deposited = relayer.relay(permit).only(Deposited)
    assert (deposited.account, deposited.amount) == (net.buyer.address, molt(3).base_units)
    assert scene.sent(net.buyer) == sent
    with pytest.raises(PermitRefused):
        relayer.relay(permit)


# ---------------------------------------------------------------- once, in time, as it was signed


@EACH
def test_request__until__is_the_first_second_that_is_too_late(
    net: Devnet, relayer: MoltClient, funded: None, make: Make
) -> None:
    request = make(relayer, net)
    net.node.request("evm_setNextBlockTimestamp", seconds(request.until))
    with pytest.raises(TooLate) as refused:
        relayer.relay(request)
    assert refused.value.limit == seconds(request.until)


@EACH
def test_request__in_its_last_second__counts(
    net: Devnet, relayer: MoltClient, funded: None, make: Make
) -> None:
    request = make(relayer, net)
    net.node.request("evm_setNextBlockTimestamp", seconds(request.until - SECOND))
    assert relayer.relay(request).succeeded


@EACH
def test_request__changed_by_the_relayer__is_refused(
    net: Devnet, relayer: MoltClient, funded: None, make: Make
) -> None:
    request = make(relayer, net).model_copy(update={"account": net.provider.address})
    with pytest.raises(BadSignature) as refused:
        relayer.relay(request)
    assert refused.value.limit == net.provider.address.number()


def test_request__brought_twice__counts_once(net: Devnet, relayer: MoltClient, funded: None) -> None:
    """The nonce goes up with every request and withdrawal, also with those that the account sends itself."""
    request = relayer.withdrawal_request(net.buyer, molt(4))
    relayer.relay(request)
    with pytest.raises(BadSignature):
        relayer.relay(request)
    older = relayer.withdrawal_request(net.buyer, molt(5))
    net.client(net.buyer).request_withdraw(molt(1))
    with pytest.raises(BadSignature):
        relayer.relay(older)
    assert relayer.balances(net.buyer.address).withdrawing == molt(1)


def test_request__more_than_there_is__is_refused(net: Devnet, relayer: MoltClient) -> None:
    with pytest.raises(InsufficientBalance):
        relayer.relay(relayer.withdrawal_request(net.buyer, molt(1)))


def test_request__in_another_token__is_not_signed(net: Devnet, relayer: MoltClient) -> None:
    with pytest.raises(TokenMismatch):
        relayer.withdrawal_request(net.buyer, Token("USDC", 6).amount(1))
