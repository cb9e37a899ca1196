"""Relays over HTTP: accounts without any coin of the chain, a server of its own that pays within budgets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from molt_market.cli.root import ExitCode
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import Address, TransactionId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.domain.requests import Side
from molt_market.domain.settlement import SettlementStatus
from molt_market.errors import (
    Expired,
    GasBudgetUsedUp,
    InvalidSignature,
    InvalidValue,
    NotOffered,
    ProofMismatch,
    ServerUnreachable,
    WrongSigner,
)
from molt_market.payments.fees import GWEI
from molt_market.payments.gas import GasPolicy
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.provider import Provider
from molt_market.signing.agreements import sign_stop
from molt_market.signing.relays import sign_relay_request
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.databases import KINDS, database_url
from tests.integration.commands import refused
from tests.integration.endings import WEEK, split
from tests.integration.relays import GAS
from tests.integration.scene import Scene, molt
from tests.service import PASSWORD, hosted, server

RELAYS = ("--relay-gas", str(10**7))  # gwei for each token: 10^16 wei
BOTH = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def key_file(tmp_path: Path, net: Devnet) -> Path:
    path = tmp_path / "operator.json"
    path.write_text(json.dumps(Account.encrypt(net.operator._account.key, PASSWORD, iterations=2)))
    return path


Start = Callable[..., Any]


@pytest.fixture
def start(net: Devnet, tmp_path: Path) -> Start:
    @contextmanager
    def started(relays: GasPolicy | None = GAS, kind: str = "sqlite") -> Iterator[str]:
        with (
            database_url(kind, tmp_path) as database,
            hosted(net, database, account=net.operator, relays=relays) as url,
        ):
            yield url

    return started


@pytest.fixture
def running(start: Start) -> Iterator[str]:
    with start() as started:
        yield started


def reach(net: Devnet) -> dict[str, Any]:
    return {"rpc_url": net.url, "deployment": net.deployment}


def newcomer(net: Devnet, tokens: int = 1_000) -> Wallet:
    """Make an account that has tokens, and no coin for gas."""
    wallet = Wallet(Account.create())
    net.mint(wallet.address, molt(tokens))
    assert coin(net, wallet.address) == 0
    return wallet


def coin(net: Devnet, account: Address) -> int:
    return net.node.number("eth_getBalance", account, "latest")


def sent(net: Devnet) -> int:
    return net.node.number("eth_getTransactionCount", net.operator.address, "latest")


def deposit(party: Buyer | Provider, tokens: int) -> None:
    permit = party.client.permit(party.wallet, molt(tokens).base_units)
    assert permit is not None
    party.relay(permit)


def make_order(net: Devnet, buyer: Buyer, **fields: Any) -> JobOrder:
    needs = JobRequirements(min_gpu_count=2, min_vram_gb=80, estimated_hours=8, max_price_per_hour=molt(3))
    created = net.clock.now()
    return JobOrder(buyer_id=buyer.wallet.address, requirements=needs, created_at=created, **fields)


def make_offer(net: Devnet, provider: Provider) -> CapacityOffer:
    return CapacityOffer(
        provider_id=provider.wallet.address,
        gpu_capacity=GpuCapacity(gpu_count=2, gpu_model="H100", vram_gb=80),
        price_per_hour=molt(2),
        available_hours=24,
        policy_id=net.policy_id,
        created_at=net.clock.now(),
    )


@BOTH
def test_buyer_without_coin__deposits_cancels_and_withdraws(net: Devnet, start: Start, kind: str) -> None:
    wallet = newcomer(net)
    with start(kind=kind) as running, Buyer(running, wallet, **reach(net)) as buyer:
        assert buyer.api.market().relayer == net.operator.address
        assert buyer.gas_budget().allowance == 0
        deposit(buyer, 400)
        assert net.client().balances(wallet.address).escrow == molt(400)
        first = buyer.gas_budget()
        assert (first.allowance, first.account) == (400 * 10**16, wallet.address)
        assert 0 < first.used < first.allowance

        posted = buyer.post(make_order(net, buyer, policy_id=net.policy_id))
        cancelled = buyer.cancel(posted.order, relayed=True)
        assert cancelled.was_listed
        assert net.client().cutoff_of(wallet.address, Side.ORDERS, 0) > 0
        delay = timedelta(seconds=net.deployment.cancel_delay_seconds)
        assert timedelta(0) < cancelled.stands_until - buyer.client.now() <= delay

        buyer.relay(buyer.client.withdrawal_request(wallet, molt(150)))
        net.warp(net.deployment.withdraw_delay_seconds)
        withdrawal = buyer.client.withdrawal(wallet)
        done, count = buyer.relay(withdrawal), sent(net)
        assert buyer.relay(withdrawal) == done, "the same again, for nothing"
        assert sent(net) == count
        left = net.client().balances(wallet.address)
        assert (left.escrow, left.wallet) == (molt(250), molt(750))
        assert coin(net, wallet.address) == 0


def test_provider_without_coin__deposits_a_bond__and_redeems_a_voucher(net: Devnet, running: str) -> None:
    wallet = newcomer(net)
    with (
        Provider(running, wallet, **reach(net)) as provider,
        Buyer(running, net.buyer, **reach(net)) as buyer,
    ):
        deposit(provider, 300)
        provider.offer(make_offer(net, provider))
        escrow = buyer.open(buyer.match(make_order(net, buyer))[0])
        voucher, before = buyer.release(escrow), provider.gas_budget()
        paid = provider.redeem(escrow.id, relayed=True)
        assert isinstance(paid.status, SettlementStatus.Success)
        assert paid.provider_payment + paid.platform_fee == escrow.amount
        after, count = provider.gas_budget(), sent(net)
        assert after.used > before.used, "he is charged"
        assert buyer.gas_budget().used == 0, "and not the buyer"
        assert provider.relay(voucher) in paid.transactions
        assert sent(net) == count
        assert coin(net, wallet.address) == 0


def test_split__brought_for_one_party__and_a_stop(net: Devnet, scene: Scene, running: str) -> None:
    escrow = scene.open()
    with Buyer(running, net.buyer, **reach(net)) as buyer:
        until = net.clock.now() + WEEK
        assert buyer.relay(sign_stop(escrow.id, net.buyer, net.domain, until=until))
        agreement = split(scene, scene.client.escrow(escrow.id), "3", net.buyer, net.provider)
        done = buyer.relay(agreement)
        assert buyer.relay(agreement) == done
        assert scene.client.escrow(escrow.id).status.name == "RELEASED"
        assert buyer.gas_budget().used > 0
        assert buyer.api.gas_budget(net.provider.address).used == 0


def opened(net: Devnet, scene: Scene) -> EscrowAccount:
    net.client(net.provider).deposit(molt(10))
    return scene.open()


def test_account__forged__is_refused_before_anything_is_paid(net: Devnet, scene: Scene, running: str) -> None:
    escrow = opened(net, scene)
    voucher, other = scene.voucher(escrow, "6"), scene.voucher(escrow, "5")
    until = net.clock.now() + timedelta(minutes=5)
    asked = sign_relay_request(voucher, net.provider, net.domain, until=until)
    buyers = sign_relay_request(voucher, net.buyer, net.domain, until=until)
    strangers = sign_relay_request(voucher, net.stranger, net.domain, until=until)
    before = net.clock.now() - timedelta(seconds=5)
    late = sign_relay_request(voucher, net.provider, net.domain, until=before)
    elsewhere = sign_relay_request(other, net.provider, net.domain, until=until)
    count = sent(net)
    with Buyer(running, net.buyer, **reach(net)) as buyer:
        for wrong, error in (
            (buyers.model_copy(update={"account": net.provider.address}), WrongSigner),
            (asked.model_copy(update={"until": until + timedelta(hours=1)}), WrongSigner),
            (asked.model_copy(update={"digest": elsewhere.digest}), ProofMismatch),
            (elsewhere, ProofMismatch),
            (late, Expired),
            (strangers, InvalidValue),
        ):
            with pytest.raises(error):
                buyer.api.relay(voucher, wrong)
        forged = voucher.model_copy(update={"gpu_seconds": voucher.gpu_seconds + 1})
        with pytest.raises(WrongSigner):
            buyer.relay(forged)
        with pytest.raises((InvalidSignature, WrongSigner)):
            buyer.relay(sign_stop(escrow.id, net.stranger, net.domain, until=until))
        with pytest.raises(ValueError, match="asked"):
            buyer.api.relay(voucher)
        assert buyer.gas_budget().used == buyer.api.gas_budget(net.provider.address).used == 0
        assert sent(net) == count
        assert buyer.api.relay(voucher, asked)
        assert buyer.api.gas_budget(net.provider.address).used > 0


def test_budget__used_up__is_refused_with_its_figures__before_anything_is_paid(
    net: Devnet, start: Start
) -> None:
    wallet = newcomer(net)
    with start(GasPolicy(GWEI)) as running, Buyer(running, wallet, **reach(net)) as buyer:
        count = sent(net)
        with pytest.raises(GasBudgetUsedUp) as refused:
            deposit(buyer, 400)
        error = refused.value
        assert (error.account, error.left) == (wallet.address, 400 * 10**9)
        assert error.needed > error.left
        assert error.renews_at > net.clock.now()
        assert sent(net) == count
        assert buyer.gas_budget().used == 0


def test_most__caps_what_an_account_costs(net: Devnet, tmp_path: Path, key_file: Path) -> None:
    net.client(net.buyer).deposit(molt(500))
    given: dict[str, Any] = {"wallet": key_file, "options": (*RELAYS, "--relay-most", "5")}
    with (
        server(net, f"sqlite:///{tmp_path / 'market.db'}", tmp_path, **given) as served,
        Buyer(served.url, net.buyer, **reach(net)) as buyer,
    ):
        assert buyer.gas_budget().allowance == 5 * 10**9
        with pytest.raises(GasBudgetUsedUp):
            buyer.relay(buyer.client.withdrawal_request(net.buyer, molt(1)))


def test_message__posted_by_many_at_once__is_sent_once(net: Devnet, running: str) -> None:
    wallet = newcomer(net)
    with Buyer(running, wallet, **reach(net)) as buyer:
        permit = buyer.client.permit(wallet, molt(200).base_units)
        assert permit is not None
        count = sent(net)
        with ThreadPoolExecutor(8) as threads:
            done = list(threads.map(buyer.relay, [permit] * 16))
        assert len(set(done)) == 1
        assert sent(net) == count + 1


def test_server_that_does_not_relay__says_so(net: Devnet, start: Start) -> None:
    with start(None) as running, Buyer(running, net.buyer, **reach(net)) as buyer:
        assert buyer.api.market().relayer is None
        with pytest.raises(NotOffered):
            buyer.gas_budget()
        with pytest.raises(NotOffered):
            buyer.relay(buyer.client.withdrawal_request(net.buyer, molt(1)))


def test_server__killed_while_a_relay_waits_for_its_block__goes_on_with_it(
    net: Devnet, tmp_path: Path, key_file: Path
) -> None:
    wallet = newcomer(net)
    database = f"sqlite:///{tmp_path / 'market.db'}"
    again: dict[str, Any] = {"wallet": key_file, "options": RELAYS}
    count, patience = sent(net), time.monotonic() + 20
    with server(net, database, tmp_path, **again) as served:
        port = int(served.url.rpartition(":")[2])
        with Buyer(served.url, wallet, **reach(net)) as buyer, ThreadPoolExecutor(1) as threads:
            permit = buyer.client.permit(wallet, molt(200).base_units)
            assert permit is not None
            net.node.request("evm_setAutomine", False)
            try:
                waiting = threads.submit(buyer.relay, permit)
                while pooled(net) == count and time.monotonic() < patience:
                    time.sleep(0.02)
                assert pooled(net) == count + 1
                served.kill()
            finally:
                net.node.request("evm_setAutomine", True)
                net.node.request("evm_mine")
            with server(net, database, tmp_path, port=port, **again):
                assert isinstance(waiting.exception(60), ServerUnreachable | None)
                done = buyer.relay(permit)
                assert sent(net) == count + 1
                assert buyer.gas_budget().used == cost(net, buyer, done)


def pooled(net: Devnet) -> int:
    return net.node.number("eth_getTransactionCount", net.operator.address, "pending")


def cost(net: Devnet, buyer: Buyer, transaction: TransactionId) -> int:
    receipt = buyer.client.transactions.receipt(transaction)
    assert receipt is not None
    return receipt.gas_used * receipt.gas_price


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--relay-gas", "1"), "give --wallet"),
        (("--relay-most", "1"), "give both"),
        (("--alerts-private",), "give both"),
    ],
)
def test_serve__with_half_of_what_it_needs__is_refused(
    folder: Path, options: tuple[str, ...], told: str
) -> None:
    database = f"sqlite:///{folder / 'market.db'}"
    arguments = ("--database", database, "serve", "--port", "0", *options)
    assert told in refused(*arguments, code=ExitCode.BAD_INPUT)
