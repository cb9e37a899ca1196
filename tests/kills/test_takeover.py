"""A server dies between holding GPUs for orders that wait and opening their deals; others open them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from molt_market.app import journal_in
from molt_market.chain.client import MoltClient
from molt_market.chain.deployments import Deployment
from molt_market.chain.networks import Network
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements, OrderStatus
from molt_market.domain.updates import DealOpened, Released, Reserved
from molt_market.market.market import Market
from molt_market.market.resting import HELD_FOR, LEFT_AFTER, RestingOrders
from molt_market.payments.journal import opening_key
from molt_market.sdk.api import MarketApi
from molt_market.signing.statements import sign_offer, sign_order
from molt_market.storage.database import Database
from molt_market.storage.market import SqlMarket
from molt_market.testing import Devnet, dev_wallet, devnet
from tests.databases import KINDS, database_url
from tests.service import key_file, server

ORDERS = 3
OPERATOR = 0  # in the devnet's accounts


@pytest.fixture
def net() -> Iterator[Devnet]:
    with devnet() as net:
        yield net


def market_in(database: Database, client: MoltClient) -> SqlMarket:
    return SqlMarket(database, f"{client.chain_name()}:{client.deployment.escrow}", client.token)


def hold_and_die(network: Network, deployment: Deployment, url: str) -> None:
    """Match what waits as a server does, and be killed when it is held."""
    opener = dev_wallet(OPERATOR)
    client = MoltClient(network, deployment=deployment, account=opener)
    market = Market(market_in(Database(url), client), client, client.domain, client.clock)

    def die(_: Sequence[OrderMatch]) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    RestingOrders(market, client.clock, opener.address, die, lambda _: False).match_once()


def post(net: Devnet, market: Market, slots: range) -> list[OrderId]:
    """Post one offer, and orders that wait for a GPU of it each; return the orders' ids."""
    token, now = net.client().token, net.clock.now()
    offer = CapacityOffer(
        provider_id=net.provider.address,
        gpu_capacity=GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80),
        price_per_hour=token.amount(2),
        available_hours=24,
        policy_id=net.policy_id,
        slot=0,
        created_at=now,
    )
    market.post_offers([sign_offer(offer, net.provider, net.domain)])
    needs = JobRequirements(
        min_gpu_count=1, min_vram_gb=80, estimated_hours=2, max_price_per_hour=token.amount(2)
    )
    net.client(net.buyer).deposit(token.amount(4 * len(slots)))
    orders = [
        JobOrder(
            buyer_id=net.buyer.address,
            requirements=needs,
            slot=slot,
            created_at=now,
            policy_id=net.policy_id,
            opener=net.operator.address,
        )
        for slot in slots
    ]
    return [
        each.id for each in market.post_orders([sign_order(each, net.buyer, net.domain) for each in orders])
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_killed_between_holding_and_opening__other_servers_open_each_deal_once(
    net: Devnet, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with database_url(kind, tmp_path) as url:
        database, client = Database(url), net.client(net.operator)
        market = Market(market_in(database, client), client, client.domain, net.clock)
        waiting = post(net, market, range(ORDERS))

        dying = multiprocessing.get_context("spawn").Process(
            target=hold_and_die, args=(net.network, net.deployment, url)
        )
        dying.start()
        dying.join(60)
        assert dying.exitcode == -signal.SIGKILL
        states = [market.order(each) for each in waiting]
        assert {each.order.status for each in states} == {OrderStatus.MATCHED}
        deals = [each.deal_id for each in states if each.deal_id is not None]
        journal = journal_in(database, client)
        assert [journal.get(opening_key(each)) for each in deals] == [None] * ORDERS
        with capsys.disabled():
            print(f"\n{kind}: at the death {ORDERS} orders were held, none signed for")  # noqa: T201

        wallet = key_file(net, tmp_path)
        nonce = client.transactions.used_nonces(net.operator.address)
        net.warp(int(LEFT_AFTER.total_seconds()) + 1)
        with server(net, url, tmp_path, wallet=wallet) as one, server(net, url, tmp_path, wallet=wallet):
            until = time.monotonic() + HELD_FOR.total_seconds()
            with MarketApi(one.url) as api:
                while any(api.order(each).order.status is not OrderStatus.ESCROWED for each in waiting):
                    assert time.monotonic() < until
                    time.sleep(0.1)
        told = [item.update for item in market.store.feed(0, 1_000)]
        reserved = [each.deal_id for each in told if isinstance(each, Reserved)]
        assert sorted(reserved) == sorted(deals)  # what the dead one held was used
        assert sorted(each.deal_id for each in told if isinstance(each, DealOpened)) == sorted(deals)
        assert not [each for each in told if isinstance(each, Released)]
        assert client.transactions.used_nonces(net.operator.address) == nonce + 1  # nobody paid for a refusal
        database.close()
