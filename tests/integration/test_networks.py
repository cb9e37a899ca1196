"""Chains of other kinds: quick blocks, fees for data on a chain below, no tips, a clock that runs ahead."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from molt_market.app import deployment_name, follow, journal_in, relayer
from molt_market.audit.contract import Contract
from molt_market.chain.client import MoltClient
from molt_market.chain.networks import Network
from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import EscrowId
from molt_market.domain.orders import JobOrder
from molt_market.domain.requests import Side
from molt_market.errors import DealNotFound, Expired, NodeError, utc
from molt_market.orderbook import OrderBook
from molt_market.payments.gas import GasPolicy
from molt_market.payments.service import PaymentService
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import Database
from molt_market.storage.facts import SqlFacts
from molt_market.testing import Devnet
from tests.integration.agents import until
from tests.integration.scene import HOURS, Scene, molt
from tests.integration.shapes import L1_FEE, SHAPES, ShapedProxy, shaped, short


@pytest.fixture(params=SHAPES)
def proxy(request: pytest.FixtureRequest, net: Devnet) -> Iterator[ShapedProxy]:
    with shaped(net.url, request.param) as made:
        yield made


def is_closed(facts: SqlFacts, deal_id: EscrowId) -> bool:
    record = facts.deal(deal_id)
    return record is not None and record.deal.status is DealStatus.RELEASED


def client_at(net: Devnet, url: str, account: Wallet, confirmations: int = 0) -> MoltClient:
    network = Network(f"other-{net.deployment.chain_id}", net.deployment.chain_id, url, confirmations)
    return MoltClient(network, deployment=net.deployment, account=account)


def test_life_of_a_deal__with_quick_blocks__is_paid_to_the_unit(
    scene: Scene, net: Devnet, proxy: ShapedProxy, tmp_path: Path
) -> None:
    """A block each second, three confirmations waited for, everything asked of such a node."""
    database = Database(tmp_path / "market.db")
    client = client_at(net, proxy.url, net.buyer, confirmations=3)
    payments = PaymentService(client, journal=journal_in(database, client))
    before = scene.wealth(net.provider), scene.wealth(net.buyer)
    net.node.request("evm_setIntervalMining", 1)
    try:
        escrow = payments.create_job_escrow(scene.match(), net.buyer)
        assert (escrow.status, escrow.amount) == (DealStatus.LOCKED, molt(240))
        assert escrow.created_at is not None
        assert escrow.ends_at == escrow.created_at + timedelta(hours=HOURS)
        payments.redeem(escrow, scene.voucher(escrow, str(HOURS)))
        follower, facts = follow(client, database), SqlFacts(database, deployment_name(client))
        until(lambda: follower.advance() and is_closed(facts, escrow.id))
    finally:
        net.node.request("evm_setAutomine", True)
    paid = payments.settlement(escrow.id)
    assert (paid.provider_payment, paid.platform_fee) == (molt("237.6"), molt("2.4"))
    assert scene.wealth(net.provider) - before[0] == paid.provider_payment
    assert before[1] - scene.wealth(net.buyer) == molt(240)
    assert proxy.shaped > 0
    database.close()


def test_node__that_gives_out_few_blocks_at_once__is_asked_in_spans_that_it_takes(
    scene: Scene, net: Devnet
) -> None:
    early = scene.open()
    scene.provider.redeem(early, scene.voucher(early, "6"))
    net.node.request("hardhat_mine", hex(2_000), "0xc")
    late = scene.open(slot=None)
    scene.provider.redeem(late, scene.voucher(late, str(HOURS)))
    net.node.request("hardhat_mine", hex(300), "0xc")
    whole = net.client(net.buyer)
    with short(net.url, 50) as proxy:
        client = client_at(net, proxy.url, net.buyer)
        with pytest.raises(DealNotFound):
            client.deal_events(EscrowId("0x" + "ab" * 32))
        assert client.escrow(late.id) == whole.escrow(late.id)
        assert proxy.asked["eth_getLogs"] < 30  # found by its second, not by reading 2,300 blocks
        for deal in (early, late):
            assert client.deal_events(deal.id) == whole.deal_events(deal.id)
        assert client.deals([early.id, late.id]) == whole.deals([early.id, late.id])
        assert client.policy(net.policy_id) == whole.policy(net.policy_id)
        assert client.live_deals() == whole.live_deals() == [early.id]
        assert client.deals_of(net.buyer.address) == [early.id, late.id]
        assert proxy.asked["refused"] < 10  # it learns once what the node takes
        last = net.node.number("eth_blockNumber")
        contracts = [Contract(node, net.deployment.escrow) for node in (client.node, net.node)]
        told, true = ([e for page in one.logged(0, last, 2_000) for e in page.events] for one in contracts)
        assert told == true != []
    with short(net.url, 0) as proxy, pytest.raises(NodeError, match="limited to a 0 blocks range"):
        client_at(net, proxy.url, net.buyer).escrow(late.id)


def test_relayed_gas__counts_what_the_chain_below_took(
    scene: Scene, net: Devnet, proxy: ShapedProxy, tmp_path: Path
) -> None:
    database = Database(tmp_path / "market.db")
    net.client(net.provider).deposit(molt(100))
    relay = relayer(client_at(net, proxy.url, net.stranger), database, GasPolicy(wei_per_token=10**16))
    done = relay.relay(scene.client.orders_cancellation(net.provider, Side.OFFERS, 1))
    receipt = scene.client.transactions.receipt(done)  # by the node itself, which knows of no such fee
    assert receipt is not None
    more = L1_FEE if proxy.shape == "op-stack" else 0
    assert relay.budget(net.provider.address).used == receipt.gas_used * receipt.gas_price + more
    database.close()


def test_clock__that_runs_ahead__is_the_one_that_counts(scene: Scene, net: Devnet) -> None:
    """Two days: a machine's own time is over for the chain. What it says has both times."""
    net.warp(2 * 86_400)
    book = OrderBook(clock=net.clock)
    payments = net.payments(net.buyer, book=book)
    book.add_offer(scene.offer())
    needs = scene.order().requirements
    by_own_clock = JobOrder(buyer_id=net.buyer.address, requirements=needs)
    with pytest.raises(Expired, match=f"until {utc(by_own_clock.expires_at)}, and the market's clock says"):
        book.match_order(by_own_clock)
    now = net.clock.now()
    by_the_chains = JobOrder(
        buyer_id=net.buyer.address, requirements=needs, created_at=now, expires_at=now + timedelta(hours=1)
    )
    escrow = payments.create_job_escrow(book.match_order(by_the_chains)[0], net.buyer)
    assert escrow.created_at is not None
    assert timedelta(0) <= escrow.created_at - now < timedelta(minutes=1)
    assert escrow.ends_at == escrow.created_at + timedelta(hours=HOURS)
    assert escrow.locked_until > escrow.ends_at
