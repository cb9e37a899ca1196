"""What one account does with its money and its offers, and what a client refuses to connect to."""

import json
import time
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest

from molt_market.app import connect
from molt_market.chain.client import MoltClient
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.transactions import Transactions
from molt_market.domain.amounts import Token
from molt_market.domain.deals import DealStatus
from molt_market.domain.events import (
    Deposited,
    OrdersCancelled,
    PolicyRegistered,
    Withdrawn,
    WithdrawRequested,
)
from molt_market.domain.fields import seconds
from molt_market.domain.ids import EscrowId, Hash32, OrderId
from molt_market.domain.policies import Policy
from molt_market.errors import (
    DealNotFound,
    DeploymentMismatch,
    DeploymentNotFound,
    InsufficientTokens,
    InvalidValue,
    NodeUnreachable,
    PolicyNotFound,
    TokenMismatch,
    WalletError,
    WrongChain,
)
from molt_market.refusals import (
    BuyerBalance,
    InsufficientBalance,
    OfferCancelled,
    OrderCancelled,
    PolicyMismatch,
    TooEarly,
    ZeroAmount,
)
from molt_market.signing.hashes import policy_id
from molt_market.signing.messages import Side
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.integration.scene import Scene, molt


@pytest.fixture
def buyer(net: Devnet) -> MoltClient:
    return net.client(net.buyer)


# ---------------------------------------------------------------- money in and out


def test_deposit__by_permit__takes_one_transaction(scene: Scene, net: Devnet, buyer: MoltClient) -> None:
    sent, wallet = scene.sent(net.buyer), buyer.balance_of(net.buyer.address)
    receipt = buyer.deposit(molt("1.5"))
    assert receipt.only(Deposited).amount == molt("1.5").base_units
    assert scene.sent(net.buyer) == sent + 1
    after = buyer.balances(net.buyer.address)
    assert (wallet - after.wallet, after.escrow) == (molt("1.5"), molt("1.5"))


def test_deposit__token_without_permits__approves_first(
    scene: Scene, net: Devnet, buyer: MoltClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buyer, "permit", lambda *_: None)
    sent = scene.sent(net.buyer)
    buyer.deposit(molt(2))
    assert scene.sent(net.buyer) == sent + 2
    assert buyer.balances(net.buyer.address).escrow == molt(2)


def test_deposit__more_than_the_wallet_has__sends_nothing(
    scene: Scene, net: Devnet, buyer: MoltClient
) -> None:
    sent, available = scene.sent(net.buyer), buyer.balance_of(net.buyer.address)
    with pytest.raises(InsufficientTokens) as refused:
        buyer.deposit(available + molt(1))
    assert (refused.value.needed, refused.value.available) == (available + molt(1), available)
    assert scene.sent(net.buyer) == sent


def test_deposit__another_token__is_refused(buyer: MoltClient) -> None:
    with pytest.raises(TokenMismatch):
        buyer.deposit(Token("USDC", 6).amount(1))


def test_withdraw__after_the_delay__pays(net: Devnet, buyer: MoltClient) -> None:
    buyer.deposit(molt(10))
    requested = buyer.request_withdraw(molt(4)).only(WithdrawRequested)
    marked = buyer.balances(net.buyer.address)
    assert (marked.escrow, marked.withdrawing) == (molt(10), molt(4))
    assert marked.unlock_at is not None
    assert seconds(marked.unlock_at) == requested.unlock_at
    net.warp(net.deployment.withdraw_delay_seconds)
    assert buyer.withdraw().only(Withdrawn).amount == molt(4).base_units
    after = buyer.balances(net.buyer.address)
    assert (after.escrow, after.withdrawing, after.unlock_at) == (molt(6), molt(0), None)


def test_withdraw__to_another_account__pays_it(net: Devnet, buyer: MoltClient) -> None:
    buyer.deposit(molt(1))
    buyer.request_withdraw(molt(1))
    net.warp(net.deployment.withdraw_delay_seconds)
    buyer.withdraw(net.stranger.address)
    assert buyer.balance_of(net.stranger.address) == molt(1)


def test_withdraw__before_the_delay__says_when(buyer: MoltClient) -> None:
    buyer.deposit(molt(10))
    requested = buyer.request_withdraw(molt(4)).only(WithdrawRequested)
    with pytest.raises(TooEarly) as early:
        buyer.withdraw()
    assert early.value.limit == requested.unlock_at


def test_withdraw__nothing_marked__is_refused(buyer: MoltClient) -> None:
    with pytest.raises(ZeroAmount):
        buyer.withdraw()


def test_request_withdraw__more_than_the_balance__is_refused(buyer: MoltClient) -> None:
    buyer.deposit(molt(1))
    with pytest.raises(InsufficientBalance) as refused:
        buyer.request_withdraw(molt(2))
    assert (refused.value.actual, refused.value.limit) == (molt(1).base_units, molt(2).base_units)


# ---------------------------------------------------------------- policies, cancels, views


def test_register_policy__can_be_read_back_whole(net: Devnet, buyer: MoltClient) -> None:
    policy = Policy(arbiter=net.stranger.address, threshold=1, attestors=(net.attestors[0].address,))
    assert not buyer.has_policy(policy_id(policy))
    assert buyer.register_policy(policy).only(PolicyRegistered).policy == policy
    assert buyer.has_policy(policy_id(policy))
    assert buyer.policy(policy_id(policy)) == policy


def test_policy__unknown__is_not_found(buyer: MoltClient) -> None:
    with pytest.raises(PolicyNotFound):
        buyer.policy(Hash32("0x" + "12" * 32))


def test_cancel__offers__kills_them_after_the_delay(scene: Scene, net: Devnet) -> None:
    offer = scene.offer()
    cancelled = net.client(net.provider).cancel(Side.OFFERS, 0).only(OrdersCancelled)
    scene.open(offer=offer)
    net.warp(net.deployment.cancel_delay_seconds)
    with pytest.raises(OfferCancelled) as refused:
        scene.open(offer=offer)
    assert refused.value.limit == cancelled.cutoff_at


def test_cancel__orders__kills_them_after_the_delay(scene: Scene, net: Devnet) -> None:
    order = scene.order()
    net.client(net.buyer).cancel(Side.ORDERS, 0)
    net.warp(net.deployment.cancel_delay_seconds)
    with pytest.raises(OrderCancelled):
        scene.buyer.create_job_escrow(scene.match(order=order), net.buyer)
    assert scene.open().status is DealStatus.LOCKED


def test_escrow__of_another_machine__has_the_chains_names(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    found = net.client().escrow(escrow.id)
    assert found.order_id == OrderId(escrow.terms.order_hash)
    assert found.offer_id == f"{net.provider.address}:0"
    assert found.model_copy(update={"order_id": escrow.order_id, "offer_id": escrow.offer_id}) == escrow


def test_escrow__unknown_deal__is_not_found(buyer: MoltClient) -> None:
    with pytest.raises(DealNotFound):
        buyer.escrow(EscrowId("0x" + "12" * 32))


def test_check__tells_what_open_would(scene: Scene, net: Devnet, buyer: MoltClient) -> None:
    match = scene.match(slot=0, policy_id=net.policy_id)
    buyer.deposit(molt(240))
    from_signed = buyer.check(match.offer, match.order, net.buyer.address)
    assert from_signed is None  # the buyer himself needs no signature


def test_check_all__says_of_each_what_check_says(scene: Scene, net: Devnet, buyer: MoltClient) -> None:
    fits, stranger = (scene.match(slot=slot, policy_id=net.policy_id) for slot in (0, 1))
    unknown = Hash32("0x" + "77" * 32)
    changed = stranger.order.model_copy(update={"policy_id": unknown})
    pairs = [(fits.offer, fits.order), (stranger.offer, changed), (fits.offer, fits.order)]
    opener = net.buyer.address
    poor = [buyer.check(*pair, opener) for pair in pairs]
    assert [type(each) for each in poor] == [BuyerBalance, PolicyMismatch, BuyerBalance]
    assert list(map(str, buyer.check_all(pairs, opener))) == list(map(str, poor))
    rich = buyer.check_all(pairs, opener, balances={opener: molt(1_000)})
    assert [type(each) for each in rich] == [type(None), PolicyMismatch, type(None)]
    assert buyer.check_all([], opener) == []


def test_order_slots__go_on_in_the_next_group(net: Devnet, buyer: MoltClient) -> None:
    assert list(islice(buyer.order_slots(net.buyer.address, range(1, 127)), 3)) == [0, 127, 128]


def test_enough__guesses_that_are_not__are_none(net: Devnet, buyer: MoltClient) -> None:
    sender, call = net.buyer.address, buyer.calls.mint(net.buyer.address, 1)
    estimate = buyer.transactions.gas(call, sender)
    guesses = [estimate + 1, estimate // 2]
    assert buyer.transactions.enough([call, call], guesses, sender) == [estimate + 1, None]
    assert buyer.transactions.enough([], [], sender) == []
    nowhere = Transactions(Node("http://127.0.0.1:1"), net.deployment.chain_id)
    assert nowhere.enough([call, call], guesses, sender) == [None, None]
    with pytest.raises(NodeUnreachable):
        nowhere.gas(call, sender)


def test_until_next_block__comes_back_with_it_or_when_the_time_is_over(
    buyer: MoltClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = time.sleep

    def sleep_noted(pause: float) -> None:
        pauses.append(pause)
        sleep(pause)

    monkeypatch.setattr(time, "sleep", sleep_noted)
    head = buyer.transactions.head()
    buyer.transactions.until_next_block(head - 1, timedelta(seconds=1))
    assert pauses == []
    buyer.transactions.until_next_block(head, timedelta(milliseconds=50))
    assert 0 < sum(pauses) <= 0.05


def test_next_order_slot__skips_those_in_use(net: Devnet, buyer: MoltClient) -> None:
    assert buyer.next_order_slot(net.buyer.address) == 0
    assert buyer.next_order_slot(net.buyer.address, {0, 1, 3}) == 2
    assert buyer.next_order_slot(net.buyer.address, range(128)) == 128


def test_command__without_an_account__is_refused(net: Devnet) -> None:
    with pytest.raises(WalletError):
        net.client().deposit(molt(1))


# ---------------------------------------------------------------- connecting


def test_connect__key_file_and_deployment_file__pays(
    scene: Scene, net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOLT_WALLET_PASSWORD", "secret")
    monkeypatch.setenv("MOLT_DEPLOYMENTS", str(tmp_path))
    wallet = Wallet.create(tmp_path / "buyer.json", "secret", iterations=2)
    net.deployment.save()
    payments = connect(net.network, tmp_path / "buyer.json")
    assert payments.client.account is not None
    assert payments.client.account.address == wallet.address
    escrow = scene.open()
    assert payments.escrow(escrow.id).id == escrow.id


def test_connect__nobody_there__says_where(net: Devnet) -> None:
    with pytest.raises(NodeUnreachable) as unreachable:
        MoltClient(Network.LOCAL, rpc_url="http://127.0.0.1:1", deployment=net.deployment)
    assert unreachable.value.url == "http://127.0.0.1:1"


def test_connect__another_chain__names_both(net: Devnet) -> None:
    with pytest.raises(WrongChain) as wrong:
        MoltClient(Network.SEPOLIA, rpc_url=net.url, deployment=net.deployment)
    assert (wrong.value.expected, wrong.value.actual) == (11_155_111, 31_337)


def test_connect__no_address__asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOLT_RPC_URL", raising=False)
    with pytest.raises(InvalidValue, match="MOLT_RPC_URL"):
        MoltClient(Network.SEPOLIA)


def test_connect__address_from_the_environment__is_used(net: Devnet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLT_RPC_URL", net.url)
    with pytest.raises(WrongChain):
        MoltClient(Network.SEPOLIA)


def test_connect__no_deployment_file__says_where_it_looked(net: Devnet, tmp_path: Path) -> None:
    with pytest.raises(DeploymentNotFound) as missing:
        MoltClient(net.network, deployment=tmp_path / "31337.json")
    assert missing.value.chain_id == 31_337
    assert str(tmp_path) in str(missing.value)


def test_connect__other_code_at_the_address__is_refused(net: Devnet) -> None:
    """One byte is enough: nobody's money goes to a contract that is not ours."""
    code = bytearray(net.node.code(net.deployment.escrow))
    code[100] ^= 1
    net.node.request("hardhat_setCode", net.deployment.escrow, "0x" + code.hex())
    with pytest.raises(DeploymentMismatch):
        net.client()


def test_connect__no_code_at_the_address__is_refused(net: Devnet) -> None:
    elsewhere = net.deployment.model_copy(update={"escrow": net.stranger.address})
    with pytest.raises(DeploymentMismatch, match="no code"):
        MoltClient(net.network, deployment=elsewhere)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("withdraw_delay_seconds", 1),
        ("cancel_delay_seconds", 1),
        ("fee_recipient", "0x" + "b1" * 20),
        ("code_hash", Hash32("0x" + "12" * 32)),
    ],
)
def test_connect__file_that_says_otherwise__is_refused(net: Devnet, field: str, value: object) -> None:
    changed = type(net.deployment).model_validate({**net.deployment.model_dump(), field: value})
    with pytest.raises(DeploymentMismatch):
        MoltClient(net.network, deployment=changed)


def test_connect__other_token__is_refused(net: Devnet) -> None:
    other = Token("MOLT", 18, net.stranger.address)
    with pytest.raises(DeploymentMismatch, match="token"):
        MoltClient(net.network, deployment=net.deployment.model_copy(update={"token": other}))


def test_connect__other_decimals__is_refused(net: Devnet) -> None:
    other = Token("MOLT", 7, net.deployment.token_address)
    with pytest.raises(DeploymentMismatch, match="decimals"):
        MoltClient(net.network, deployment=net.deployment.model_copy(update={"token": other}))


def test_connect__deployment_of_another_chain__is_refused(net: Devnet) -> None:
    with pytest.raises(DeploymentMismatch):
        MoltClient(net.network, deployment=net.deployment.model_copy(update={"chain_id": 1}))


def test_deployment__saved__is_the_same_when_loaded(net: Devnet, tmp_path: Path) -> None:
    path = net.deployment.save(tmp_path)
    assert path.name == "31337.json"
    assert json.loads(path.read_text("utf-8"))["escrow"] == net.deployment.escrow
    assert MoltClient(net.network, deployment=path).deployment == net.deployment
