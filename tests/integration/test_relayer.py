"""A relayer on a real chain: what others signed, once, within the gas that is paid for them."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from molt_market.app import deployment_name, relayer
from molt_market.domain.deals import DealStatus
from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address, Signature, TransactionId
from molt_market.domain.requests import OrdersCancellation, Side
from molt_market.errors import GasBudgetUsedUp, InsufficientGas, InvalidSignature, InvalidValue, WrongSigner
from molt_market.payments.gas import GasPolicy
from molt_market.payments.relayer import Relayed, Relayer
from molt_market.refusals import BadSignature, PermitRefused
from molt_market.signing.agreements import (
    sign_concession,
    sign_dispute,
    sign_ruling,
    sign_stop,
    sign_unattested_claim,
)
from molt_market.signing.requests import sign_orders_cancellation
from molt_market.signing.wallet import Wallet
from molt_market.storage.budgets import SqlBudgets
from molt_market.storage.database import Database
from molt_market.testing import Devnet
from tests.databases import KINDS, database_url
from tests.integration.endings import WEEK, cancellation, claimed, contest, disputed, ran, split
from tests.integration.relays import GAS
from tests.integration.scene import Scene, molt

Make = Callable[[Scene], tuple[Relayed, Address, Address | None]]
"""Makes what is relayed; who is charged, and who has to be named for that."""


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with database_url(request.param, tmp_path) as url:
        database = Database(url)
        yield database
        database.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "market.db")
    yield database
    database.close()


def relays(scene: Scene, database: Database, gas: GasPolicy = GAS) -> Relayer:
    return relayer(scene.net.client(scene.net.stranger), database, gas)


def deposit(scene: Scene, wallet: Wallet, tokens: int = 100) -> None:
    scene.net.client(wallet).deposit(molt(tokens))


def coin(net: Devnet, account: Wallet) -> int:
    """Return an account's wei."""
    return net.node.number("eth_getBalance", account.address, "latest")


def cost(scene: Scene, transaction: TransactionId) -> int:
    receipt = scene.client.transactions.receipt(transaction)
    assert receipt is not None
    return receipt.gas_used * receipt.gas_price


# ---------------------------------------------------------------- everything that is relayed


def cancels(scene: Scene) -> tuple[Relayed, Address, Address | None]:
    deposit(scene, scene.net.provider)
    message = scene.client.orders_cancellation(scene.net.provider, Side.OFFERS, 1)
    return message, scene.net.provider.address, None


def asks_for_money(scene: Scene) -> tuple[Relayed, Address, Address | None]:
    deposit(scene, scene.net.buyer)
    return scene.client.withdrawal_request(scene.net.buyer, molt(4)), scene.net.buyer.address, None


def withdraws(scene: Scene) -> tuple[Relayed, Address, Address | None]:
    """All that there is: the account holds it until it is paid."""
    deposit(scene, scene.net.buyer)
    scene.net.client(scene.net.buyer).request_withdraw(molt(100))
    scene.net.warp(scene.net.deployment.withdraw_delay_seconds)
    return scene.client.withdrawal(scene.net.buyer), scene.net.buyer.address, None


def permits(scene: Scene) -> tuple[Relayed, Address, Address | None]:
    """By an account that has nothing in the escrow yet."""
    permit = scene.client.permit(scene.net.buyers[1], molt(30).base_units)
    assert permit is not None
    return permit, scene.net.buyers[1].address, None


def stops(scene: Scene) -> tuple[Relayed, Address, Address | None]:
    """All that the buyer has is in the deal."""
    until = scene.net.clock.now() + WEEK
    return sign_stop(scene.open().id, scene.net.buyer, scene.net.domain, until=until), buyer(scene), None


def gives_up(scene: Scene) -> tuple[Relayed, Address, Address | None]:
    return cancellation(scene, scene.open()), scene.net.provider.address, None


def redeems(scene: Scene) -> tuple[Relayed, Address, Address | None]:
    return scene.voucher(scene.open(), "6"), scene.net.provider.address, scene.net.provider.address


def splits(scene: Scene) -> tuple[Relayed, Address, Address | None]:
    agreement = split(scene, scene.open(), "6", scene.net.buyer, scene.net.provider)
    return agreement, buyer(scene), buyer(scene)


def claims_unattested(scene: Scene) -> tuple[Relayed, Address, Address | None]:
    escrow, until = ran(scene), scene.net.clock.now() + WEEK
    units = escrow.terms.gpu_seconds
    message = sign_unattested_claim(escrow.id, units, scene.net.provider, scene.net.domain, until=until)
    return message, scene.net.provider.address, None


def contests(scene: Scene) -> tuple[Relayed, Address, Address | None]:
    escrow, until = claimed(scene), scene.net.clock.now() + WEEK
    deposit(scene, scene.net.buyer)
    message = sign_dispute(contest(escrow), escrow, scene.net.buyer, scene.net.domain, until=until)
    return message, buyer(scene), None


def concedes(scene: Scene) -> tuple[Relayed, Address, Address | None]:
    escrow, until = disputed(scene), scene.net.clock.now() + WEEK
    message = sign_concession(
        escrow.id, escrow.claimed_gpu_seconds, scene.net.buyer, scene.net.domain, until=until
    )
    return message, buyer(scene), None


def rules(scene: Scene) -> tuple[Relayed, Address, Address | None]:
    escrow, until = disputed(scene), scene.net.clock.now() + WEEK
    scene.net.mint(scene.net.arbiter.address, molt(100))
    deposit(scene, scene.net.arbiter)
    message = sign_ruling(
        escrow.id, escrow.claimed_gpu_seconds, scene.net.arbiter, scene.net.domain, until=until
    )
    return message, scene.net.arbiter.address, None


def buyer(scene: Scene) -> Address:
    return scene.net.buyer.address


EACH = pytest.mark.parametrize(
    "make",
    [
        cancels,
        asks_for_money,
        withdraws,
        permits,
        stops,
        gives_up,
        redeems,
        splits,
        claims_unattested,
        contests,
        concedes,
        rules,
    ],
    ids=lambda make: make.__name__,
)


@EACH
def test_relay__brings_it_once__and_charges_what_it_cost(
    scene: Scene, database: Database, make: Make
) -> None:
    message, charged, named = make(scene)
    relay, payer = relays(scene, database), scene.net.stranger
    before, sent, signers_coin = coin(scene.net, payer), scene.sent(payer), scene_coin(scene)
    done = relay.relay(message, account=named)
    assert relay.relay(message, account=named) == done
    assert relays(scene, database).relay(message, account=named) == done, "nor by another process"
    assert scene.sent(payer) == sent + 1
    assert scene_coin(scene) == signers_coin, "nobody else paid for gas"
    spent = before - coin(scene.net, payer)
    assert spent == cost(scene, done) == relay.budget(charged).used
    budgets = SqlBudgets(database, deployment_name(scene.client))
    assert budgets.open_charges(charged) == []


def scene_coin(scene: Scene) -> int:
    net = scene.net
    return sum(coin(net, each) for each in (*net.buyers, *net.providers, net.arbiter))


@EACH
def test_relay__without_a_budget__sends_nothing_and_says_what_is_left(
    scene: Scene, sqlite: Database, make: Make
) -> None:
    message, charged, named = make(scene)
    relay, sent = relays(scene, sqlite, GasPolicy(wei_per_token=1)), scene.sent(scene.net.stranger)
    with pytest.raises(GasBudgetUsedUp) as refused:
        relay.relay(message, account=named)
    error = refused.value
    assert error.account == charged
    assert 0 < error.left < 1_000_000 < error.needed, "a wei for each token that he holds"
    assert error.renews_at == GAS.renews_at(scene.net.clock.now())
    assert relay.budget(charged).used == 0
    assert scene.sent(scene.net.stranger) == sent
    relays(scene, sqlite).relay(message, account=named)
    assert scene.sent(scene.net.stranger) == sent + 1


# ---------------------------------------------------------------- what is not relayed


def test_forged__is_refused_before_anything_is_paid(scene: Scene, sqlite: Database) -> None:
    deposit(scene, scene.net.provider)
    net, relay, sent = scene.net, relays(scene, sqlite), scene.sent(scene.net.stranger)
    escrow, until = scene.open(), net.clock.now() + WEEK
    cancel = scene.client.orders_cancellation(net.provider, Side.OFFERS, 1)
    wrong: list[tuple[Relayed, Address | None]] = [
        (cancel.model_copy(update={"group": 2}), None),
        (cancel.model_copy(update={"account": net.buyer.address}), None),
        (cancel.model_copy(update={"signature": Signature("0x")}), None),
        (sign_stop(escrow.id, net.buyers[1], net.domain, until=until), None),
        (scene.voucher(escrow, "6", net.buyers[1]), net.provider.address),
        (split(scene, escrow, "6", net.buyer), net.provider.address),
        (contest(escrow), None),
    ]
    for message, account in wrong:
        with pytest.raises((InvalidSignature, WrongSigner)):
            relay.relay(message, account=account)
    assert scene.sent(net.stranger) == sent
    for account in (net.provider.address, net.buyer.address):
        assert relay.budget(account).used == 0


def test_forged_permit__is_refused_by_the_simulation(scene: Scene, sqlite: Database) -> None:
    deposit(scene, scene.net.provider)
    permit = scene.client.permit(scene.net.buyer, molt(30).base_units)
    assert permit is not None
    relay, sent = relays(scene, sqlite), scene.sent(scene.net.stranger)
    forged = type(permit)(
        scene.net.provider.address, permit.value, permit.deadline, permit.v, permit.r, permit.s
    )
    with pytest.raises(PermitRefused):
        relay.relay(forged)
    assert scene.sent(scene.net.stranger) == sent
    assert relay.budget(scene.net.provider.address).used == 0


def test_brought_by_somebody_else_meanwhile__costs_nothing(scene: Scene, sqlite: Database) -> None:
    deposit(scene, scene.net.buyer)
    message = scene.client.withdrawal_request(scene.net.buyer, molt(4))
    scene.net.client(scene.net.guardian).relay(message)
    relay, sent = relays(scene, sqlite), scene.sent(scene.net.stranger)
    with pytest.raises(BadSignature):
        relay.relay(message)
    assert scene.sent(scene.net.stranger) == sent
    assert relay.budget(scene.net.buyer.address).used == 0


def test_voucher__is_charged_to_the_party_that_is_named(scene: Scene, sqlite: Database) -> None:
    escrow, net = scene.open(), scene.net
    relay, voucher = relays(scene, sqlite), scene.voucher(escrow, "6")
    for account in (None, net.stranger.address, net.providers[1].address):
        with pytest.raises(InvalidValue, match="is no party"):
            relay.relay(voucher, account=account)
    relay.relay(voucher, account=net.buyer.address)
    assert relay.budget(net.buyer.address).used > 0
    assert relay.budget(net.provider.address).used == 0


def test_signed__is_charged_to_nobody_but_its_signer(scene: Scene, sqlite: Database) -> None:
    message, _, _ = cancels(scene)
    with pytest.raises(InvalidValue, match="leave the account out"):
        relays(scene, sqlite).relay(message, account=scene.net.buyer.address)


def test_relayer__that_is_a_party_itself__relays_nothing_there(scene: Scene, sqlite: Database) -> None:
    """Its call would count as its word: a split that it has not signed would be agreed to."""
    escrow, net = scene.open(), scene.net
    own = relayer(net.client(net.provider), sqlite, GAS)
    agreement = split(scene, escrow, "0", net.buyer)
    for message, account in (
        (agreement, net.buyer.address),
        (scene.client.orders_cancellation(net.provider, Side.OFFERS, 1), None),
    ):
        with pytest.raises(InvalidValue, match="is a party here"):
            own.relay(message, account=account)
    assert scene.client.escrow(escrow.id).status is DealStatus.LOCKED


# ---------------------------------------------------------------- budgets


def cancellations(scene: Scene, number: int) -> list[OrdersCancellation]:
    """Have the provider cancel so many groups."""
    return [
        scene.client.orders_cancellation(scene.net.provider, Side.OFFERS, group) for group in range(number)
    ]


def price_of_one(scene: Scene, database: Database) -> int:
    """Return the wei that are reserved for a cancellation now."""
    with pytest.raises(GasBudgetUsedUp) as refused:
        relays(scene, database, GasPolicy(0)).relay(cancellations(scene, 1)[0])
    return refused.value.needed


def test_budget__is_used_up__and_whole_again_in_the_next_period(scene: Scene, sqlite: Database) -> None:
    deposit(scene, scene.net.provider)
    most, account = 3 * price_of_one(scene, sqlite), scene.net.provider.address
    gas = GasPolicy(wei_per_token=10**30, most=most, period=timedelta(hours=6))
    relay, messages, brought = relays(scene, sqlite, gas), cancellations(scene, 40), list[TransactionId]()
    with pytest.raises(GasBudgetUsedUp):
        brought.extend(map(relay.relay, messages))
    spent = sum(cost(scene, each) for each in brought)
    assert len(brought) >= 3
    assert relay.budget(account).used == spent <= most
    left = seconds(relay.budget(account).renews_at) - seconds(scene.net.clock.now())
    scene.net.warp(left)
    later = scene.client.orders_cancellation(scene.net.provider, Side.OFFERS, 90)
    done = relay.relay(later)
    assert relay.budget(account).used == cost(scene, done)


def test_budget__grows_with_what_the_account_holds(scene: Scene, sqlite: Database) -> None:
    relay, account = relays(scene, sqlite, GasPolicy(wei_per_token=1_000)), scene.net.provider.address
    before = relay.budget(account).allowance
    deposit(scene, scene.net.provider, 3)
    assert relay.budget(account).allowance == relay.budget(account).left == before + 3_000


def test_relayer__that_cannot_pay__has_charged_nobody(scene: Scene, net: Devnet, sqlite: Database) -> None:
    message, charged, _ = cancels(scene)
    relay, rich = relays(scene, sqlite), coin(net, net.stranger)
    net.node.request("hardhat_setBalance", net.stranger.address, hex(1_000))
    with pytest.raises(InsufficientGas):
        relay.relay(message)
    assert relay.budget(charged).used == 0
    assert SqlBudgets(sqlite, deployment_name(scene.client)).open_charges(charged) == []
    net.node.request("hardhat_setBalance", net.stranger.address, hex(rich))
    done = relay.relay(message)
    assert relay.budget(charged).used == cost(scene, done)


def test_two_relayers__at_once__do_not_overspend(scene: Scene, database: Database) -> None:
    """Two wallets, each with connections of its own, race with the same messages, and with others."""
    net = scene.net
    deposit(scene, net.provider)
    most, account = 4 * price_of_one(scene, database), net.provider.address
    url = database.url.render_as_string(hide_password=False)
    gas, messages = GasPolicy(wei_per_token=10**30, most=most), cancellations(scene, 30)
    opened = [Database(url) for _ in range(2)]
    wallets = (net.stranger, net.guardian)
    both = [relayer(net.client(wallet), each, gas) for wallet, each in zip(wallets, opened, strict=True)]
    before, refused = sum(coin(net, wallet) for wallet in wallets), list[OrdersCancellation]()

    def bring(relay: Relayer) -> set[TransactionId]:
        done = set()
        for message in messages:
            try:
                done.add(relay.relay(message))
            except GasBudgetUsedUp:
                refused.append(message)
        return done

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(bring, both)
    spent = before - sum(coin(net, wallet) for wallet in wallets)
    brought = first | second
    assert spent == sum(cost(scene, each) for each in brought) == both[0].budget(account).used
    assert 0 < spent <= most
    assert len(brought) >= 4
    assert len(refused) > len(messages)
    for each in opened:
        each.close()


def test_killed_again_and_again__each_is_brought_once__and_charged_to_the_wei(
    scene: Scene, net: Devnet, database: Database, tmp_path: Path
) -> None:
    deposit(scene, net.provider)
    number, payer, account = 40, net.stranger, net.provider.address
    url, file = database.url.render_as_string(hide_password=False), net.deployment.save(tmp_path)
    until = net.clock.now() + WEEK
    messages = [
        sign_orders_cancellation(Side.OFFERS, group, net.provider, net.domain, cutoff_at=0, until=until)
        for group in range(number)
    ]
    requests = tmp_path / "requests.json"
    requests.write_text(json.dumps([each.model_dump(mode="json") for each in messages]), "utf-8")
    before, sent, chance = coin(net, payer), scene.sent(payer), random.Random(3)
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.relays", net.url, url, str(file), str(requests)]
        )
        there, patience = scene.sent(payer), time.monotonic() + 60
        while scene.sent(payer) <= there + chance.randint(0, 4) and time.monotonic() < patience:
            time.sleep(chance.random() / 50)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert sent < scene.sent(payer) < sent + number, "it was killed on its way"
    relay = relays(scene, database)
    brought = {relay.relay(message) for message in messages}
    assert len(brought) == number
    assert scene.sent(payer) == sent + number, "each of them once, and no nonce for anything else"
    spent = before - coin(net, payer)
    assert spent == sum(cost(scene, each) for each in brought) == relay.budget(account).used


def test_reverted__costs_what_it_cost__and_may_be_brought_again(
    scene: Scene, net: Devnet, sqlite: Database
) -> None:
    """Somebody is first while the relayer's transaction waits: it is mined in vain, and charged."""
    deposit(scene, net.buyer)
    message = scene.client.withdrawal_request(net.buyer, molt(4))
    relay, before = relays(scene, sqlite), coin(net, net.stranger)
    net.node.request("evm_setAutomine", False)
    try:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(relay.relay, message)
            sent = scene.sent(net.stranger)
            while scene.sent(net.stranger) == sent:
                time.sleep(0.02)
            rival = net.client(net.guardian)
            call = rival.calls.relayed(message)
            fee = rival.transactions.market_fee()
            raw = rival.transactions.sign(
                call,
                net.guardian,
                nonce=scene.sent(net.guardian),
                gas=300_000,
                fee=type(fee)(100 * 10**9, 100 * 10**9),
            )
            rival.transactions.broadcast(raw)
            net.node.request("evm_mine")
            with pytest.raises(BadSignature):
                waiting.result(60)
    finally:
        net.node.request("evm_setAutomine", True)
    spent = before - coin(net, net.stranger)
    assert spent > 0
    assert relay.budget(net.buyer.address).used == spent
