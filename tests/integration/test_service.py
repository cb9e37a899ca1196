"""The market as a service: a server of its own, SDK clients, a real chain, both databases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

import pytest

from molt_market.app import follow
from molt_market.attestation.receipts import issue_receipt
from molt_market.attestation.usage import UsageLog
from molt_market.domain.deals import DealStatus
from molt_market.domain.documents import Document
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import Hash32
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements, OrderStatus
from molt_market.domain.settlement import SettlementStatus
from molt_market.domain.updates import (
    DealFreed,
    DealOpened,
    DocumentPosted,
    OfferPosted,
    OrderPosted,
    Reserved,
)
from molt_market.errors import (
    InsufficientCapacity,
    OfferNotFound,
    ServerUnreachable,
    WrongSigner,
)
from molt_market.refusals import BuyerBalance, Paused, ProviderBalance
from molt_market.sdk.api import MarketApi
from molt_market.sdk.attestor import Attestor
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.provider import Provider
from molt_market.sdk.transport import Transport
from molt_market.signing.listings import sign_unlisting
from molt_market.storage.database import Database
from molt_market.testing import Devnet
from tests.databases import KINDS, database_url
from tests.service import Server, key_file, server

Answer = TypeVar("Answer")
HOUR = 3_600


both = pytest.mark.parametrize("database", KINDS, indirect=True)


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database_url(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def running(net: Devnet, database: str, tmp_path: Path) -> Iterator[Server]:
    with server(net, database, tmp_path) as started:
        yield started


@pytest.fixture
def provider(net: Devnet, running: Server) -> Iterator[Provider]:
    with Provider(running.url, net.provider, rpc_url=net.url, deployment=net.deployment) as party:
        yield party


@pytest.fixture
def buyer(net: Devnet, running: Server) -> Iterator[Buyer]:
    with Buyer(running.url, net.buyer, rpc_url=net.url, deployment=net.deployment) as party:
        yield party


def make_offer(provider: Provider, **fields: Any) -> CapacityOffer:
    token = provider.client.token
    given = {
        "provider_id": provider.wallet.address,
        "gpu_capacity": GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80),
        "price_per_hour": token.amount("2.5"),
        "available_hours": 24,
        "policy_id": provider.api.market().policies[0].policy_id,
        "created_at": provider.client.now(),
    }
    return CapacityOffer(**given | fields)


def make_order(buyer: Buyer, gpus: int = 4, **fields: Any) -> JobOrder:
    token = buyer.client.token
    needs = JobRequirements(
        min_gpu_count=gpus, min_vram_gb=80, estimated_hours=8, max_price_per_hour=token.amount(3)
    )
    given = {"buyer_id": buyer.wallet.address, "requirements": needs, "created_at": buyer.client.now()}
    return JobOrder(**given | fields)


def soon(ask: Callable[[], Answer], wanted: Callable[[Answer], bool]) -> Answer:
    """Ask until the answer is as wanted: what the server follows of the chain comes a little later."""
    until = time.monotonic() + 15
    while not wanted(answer := ask()):
        assert time.monotonic() < until, answer
        time.sleep(0.05)
    return answer


@both
def test_from_offers_to_settled_money(net: Devnet, running: Server, provider: Provider, buyer: Buyer) -> None:
    offer = provider.offer(make_offer(provider))
    order = make_order(buyer)
    assert buyer.quote(order).offers == 1
    [match] = buyer.match(order)
    assert match.total_cost == buyer.client.token.amount(80)
    escrow = buyer.open(match)
    assert escrow.status is DealStatus.LOCKED

    assert soon(lambda: [deal.deal_id for deal in buyer.deals()], bool) == [escrow.id]
    with pytest.raises(InsufficientCapacity) as refusal:
        soon(lambda: buyer.match(make_order(buyer, 5)), lambda _: False)
    assert (refusal.value.required, refusal.value.available) == (5, 4)

    buyer.release(escrow)
    paid = provider.redeem(escrow.id)
    assert isinstance(paid.status, SettlementStatus.Success)
    assert paid.provider_payment + paid.platform_fee == match.total_cost
    [order_state] = buyer.orders()
    settled = soon(lambda: next(buyer.orders()), lambda each: each.order.status is OrderStatus.SETTLED)
    assert settled.deal_id == order_state.deal_id == escrow.id
    [trade] = buyer.api.trades().trades
    assert (trade.deal_id, trade.price_per_hour, trade.gpu_model) == (escrow.id, offer.price_per_hour, "H100")
    soon(lambda: [each.gpu_count for each in buyer.api.depth().asks], lambda asks: asks == [8])
    assert buyer.match(make_order(buyer, 8))  # the GPUs are free again

    with closing(buyer.feed()) as feed:
        kinds = [type(next(feed).update) for _ in range(5)]
    assert kinds == [OfferPosted, Reserved, DealOpened, DocumentPosted, DealFreed]


def test_claim__with_attestors_who_found_the_receipt_at_the_market__is_paid(
    net: Devnet, running: Server, provider: Provider, buyer: Buyer
) -> None:
    provider.offer(make_offer(provider))
    escrow = buyer.open(buyer.match(make_order(buyer))[0])
    net.warp(8 * HOUR)
    receipt = issue_receipt(UsageLog(escrow.id), 4 * 6 * HOUR, net.provider, net.domain)
    provider.post_receipt(receipt)
    for wallet in net.attestors[:2]:
        with Attestor(running.url, wallet, rpc_url=net.url, deployment=net.deployment) as attestor:
            [found] = attestor.receipts(escrow.id)
            attestor.attest(found)
    claimed = provider.claim(receipt)
    assert isinstance(claimed.status, SettlementStatus.Pending)
    net.warp(2 * HOUR)
    paid = provider.claim(receipt)
    assert paid.provider_payment + paid.platform_fee == buyer.client.token.amount(60)
    assert paid.buyer_refund == buyer.client.token.amount(20)


def test_deal__that_another_process_has_followed__is_known_here_too(
    net: Devnet, database: str, provider: Provider, buyer: Buyer
) -> None:
    provider.offer(make_offer(provider))
    stop, store = Event(), Database(database)
    other = follow(net.client(), store)  # a keeper over the same database, say
    looking = Thread(target=other.run, args=(stop,), kwargs={"every": timedelta(milliseconds=20)})
    looking.start()
    try:
        escrow = buyer.open(buyer.match(make_order(buyer))[0])
        [state] = buyer.orders()
        soon(lambda: buyer.api.order(state.order.id), lambda each: each.order.status is OrderStatus.ESCROWED)
        buyer.release(escrow)
        provider.redeem(escrow.id)
        soon(lambda: buyer.api.order(state.order.id), lambda each: each.order.status is OrderStatus.SETTLED)
        soon(lambda: buyer.api.depth().asks, lambda asks: [each.gpu_count for each in asks] == [8])
    finally:
        stop.set()
        looking.join()
        store.close()


def test_order_that_waits__needs_money_and_can_be_taken_back(
    net: Devnet, provider: Provider, buyer: Buyer
) -> None:
    order = make_order(buyer, opener=net.operator.address, policy_id=net.policy_id)
    with pytest.raises(BuyerBalance):
        buyer.post(order)
    buyer.deposit(order.budget)
    posted = buyer.post(order)
    assert posted.rests
    [level] = buyer.api.depth().bids
    assert level.gpu_count == 4
    cancelled = buyer.cancel(posted.order, on_chain=True)
    assert cancelled.was_listed
    delay = timedelta(seconds=net.deployment.cancel_delay_seconds)
    assert timedelta(0) < cancelled.stands_until - buyer.client.now() <= delay
    assert buyer.api.order(posted.order.id).order.status is OrderStatus.CANCELLED
    assert not buyer.cancel(posted.order).was_listed


def test_order__is_shown_without_its_signature(net: Devnet, running: Server, buyer: Buyer) -> None:
    order = make_order(buyer, opener=net.operator.address, policy_id=net.policy_id)
    buyer.deposit(order.budget)
    posted = buyer.post(order)
    [listed] = buyer.orders()
    [paged] = buyer.api.feed()
    with closing(buyer.feed()) as feed:
        told = next(feed)
    assert isinstance(told.update, OrderPosted)
    assert isinstance(paged.update, OrderPosted)
    shown = (
        posted.order,
        listed.order,
        buyer.api.order(posted.order.id).order,
        told.update.order,
        paged.update.order,
    )
    assert all(each.signature is None and each.id == posted.order.id for each in shown)


def test_order_that_waits__is_matched_when_an_offer_comes__and_opened_by_the_market(
    net: Devnet, database: str, tmp_path: Path
) -> None:
    here: dict[str, Any] = {"rpc_url": net.url, "deployment": net.deployment}
    with (
        server(net, database, tmp_path, wallet=key_file(net, tmp_path)) as running,
        Buyer(running.url, net.buyer, **here) as buyer,
        Provider(running.url, net.provider, **here) as provider,
    ):
        assert buyer.api.market().opener == net.operator.address
        buyer.deposit(buyer.client.token.amount(300))
        policy_id = buyer.api.market().policies[0].policy_id
        earlier = buyer.client.now() - timedelta(seconds=5)
        first = buyer.post(make_order(buyer, 6, policy_id=policy_id, created_at=earlier))
        second = buyer.post(make_order(buyer, 4, policy_id=policy_id))
        provider.offer(make_offer(provider))
        opened = soon(lambda: buyer.api.order(first.order.id), lambda each: each.order.status == "escrowed")
        assert opened.deal_id is not None
        escrow = buyer.escrow(opened.deal_id)
        assert (escrow.buyer, escrow.terms.gpu_count) == (net.buyer.address, 6)
        assert buyer.api.order(second.order.id).order.status == "pending"  # 2 GPUs are left
        buyer.release(escrow)
        provider.redeem(escrow.id)
        soon(lambda: buyer.api.order(second.order.id), lambda each: each.order.status == "escrowed")


def test_offer__needs_a_bond_and_can_be_taken_back(net: Devnet, running: Server, provider: Provider) -> None:
    dear = make_offer(provider, price_per_hour=provider.client.token.amount(10**6))
    with pytest.raises(ProviderBalance):
        provider.offer(dear)
    offer = provider.offer(make_offer(provider))
    assert [each.id for each in provider.offers()] == [offer.id]
    theft = sign_unlisting(
        Hash32(offer.id), net.stranger, net.domain, until=net.clock.now() + timedelta(minutes=1)
    )
    with pytest.raises(WrongSigner):
        provider.api.unlist([theft])
    cancelled = provider.cancel(offer)
    assert cancelled.was_listed
    assert cancelled.stands_until == offer.expires_at
    assert list(provider.offers()) == []
    until = net.clock.now() + timedelta(minutes=1)
    unknown = sign_unlisting(Hash32("0x" + "12" * 32), net.stranger, net.domain, until=until)
    with pytest.raises(OfferNotFound):
        provider.api.unlist([unknown])


def test_reservation__released_when_the_opening_fails(
    net: Devnet, provider: Provider, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.offer(make_offer(provider))
    [match] = buyer.match(make_order(buyer))
    guardian = net.client(net.guardian)
    reserve = buyer.api.reserve

    def pause_meanwhile(*arguments: Any, **named: Any) -> Any:
        held = reserve(*arguments, **named)
        guardian.pause()
        return held

    monkeypatch.setattr(buyer.api, "reserve", pause_meanwhile)
    with pytest.raises(Paused):
        buyer.open(match)
    guardian.unpause()
    assert buyer.match(make_order(buyer, 8))


@both
def test_server__killed_and_started_again__has_lost_nothing(
    database: str, tmp_path: Path, provider: Provider, buyer: Buyer, running: Server
) -> None:
    net = running.net
    offer = provider.offer(make_offer(provider))
    escrow = buyer.open(buyer.match(make_order(buyer))[0])
    running.kill()
    with MarketApi(Transport(running.url, attempts=1)) as api, pytest.raises(ServerUnreachable):
        api.market()
    buyer.api.close()
    with (
        server(net, database, tmp_path) as again,
        Buyer(again.url, net.buyer, rpc_url=net.url, deployment=net.deployment) as same,
    ):
        assert same.api.offer(offer.id).id == offer.id
        with pytest.raises(InsufficientCapacity):
            soon(lambda: same.match(make_order(same, 5)), lambda _: False)
        assert soon(lambda: [deal.deal_id for deal in same.deals()], bool) == [escrow.id]


def test_server_of_another_market__is_refused(net: Devnet, running: Server) -> None:
    other = net.deployment.model_copy(update={"chain_id": 31_337, "escrow": net.stranger.address})
    with pytest.raises(Exception, match="not this version's MoltEscrow"):
        Buyer(running.url, net.buyer, rpc_url=net.url, deployment=other)
    with MarketApi(running.url) as api:
        told = api.market()
    assert told.escrow == net.deployment.escrow
    assert [each.policy_id for each in told.policies] == [net.policy_id]
    assert told.fee_bps == 100


def test_documents__only_of_those_they_may_be_of(net: Devnet, provider: Provider, buyer: Buyer) -> None:
    provider.offer(make_offer(provider))
    escrow = buyer.open(buyer.match(make_order(buyer))[0])
    mine = issue_receipt(UsageLog(escrow.id), HOUR, net.stranger, net.domain)
    with pytest.raises(WrongSigner):
        provider.api.post_document(Document(receipt=mine))
    buyer.release(escrow, HOUR)
    buyer.release(escrow, HOUR)  # the same one: kept once
    buyer.release(escrow, 2 * HOUR)
    assert [voucher.gpu_seconds for voucher in provider.vouchers(escrow)] == [HOUR, 2 * HOUR]
