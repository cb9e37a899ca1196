"""The asynchronous SDK against a server of its own: many at once, and a feed that is followed beside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from molt_market import AsyncAttestor, AsyncBuyer, AsyncMarketApi, AsyncProvider
from molt_market.attestation.receipts import issue_receipt
from molt_market.attestation.usage import UsageLog
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.domain.settlement import SettlementStatus
from molt_market.domain.updates import DealOpened
from molt_market.errors import InsufficientCapacity, ServerUnreachable
from molt_market.sdk.api import MarketApi
from molt_market.sdk.transport import Transport
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.integration.scene import molt
from tests.service import Server, server

HOUR = 3_600


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'market.db'}"


@pytest.fixture
def running(net: Devnet, database: str, tmp_path: Path) -> Iterator[Server]:
    with server(net, database, tmp_path) as started:
        yield started


def reach(net: Devnet) -> dict[str, Any]:
    return {"rpc_url": net.url, "deployment": net.deployment}


def make_offer(net: Devnet, gpus: int) -> CapacityOffer:
    return CapacityOffer(
        provider_id=net.provider.address,
        gpu_capacity=GpuCapacity(gpu_count=gpus, gpu_model="H100", vram_gb=80),
        price_per_hour=molt(2),
        available_hours=24,
        policy_id=net.policy_id,
        created_at=net.clock.now(),
    )


def make_order(net: Devnet, buyer: Wallet, *, gpus: int = 2, ago: int = 0, **fields: Any) -> JobOrder:
    needs = JobRequirements(min_gpu_count=gpus, min_vram_gb=80, estimated_hours=8, max_price_per_hour=molt(3))
    created = net.clock.now() - timedelta(seconds=ago)
    return JobOrder(buyer_id=buyer.address, requirements=needs, created_at=created, **fields)


def test_buyers__many_at_once__each_gets_a_deal_and_the_feed_tells_all(net: Devnet, running: Server) -> None:
    async def buy(wallet: Wallet) -> EscrowAccount:
        async with AsyncBuyer(running.url, wallet, **reach(net)) as buyer:
            [match] = await buyer.match(make_order(net, wallet))
            escrow = await buyer.open(match)
            await buyer.release(escrow)
            return escrow

    async def opened(api: AsyncMarketApi, buyer: AsyncBuyer, count: int) -> list[int]:
        steps, deals = [], 0
        async with aclosing(buyer.feed()) as feed:
            async for item in feed:
                steps.append(item.sequence)
                deals += isinstance(item.update, DealOpened)
                if deals == count:
                    break
        assert (await api.health()).sequence >= steps[-1]
        return steps

    async def main() -> None:
        async with (
            AsyncProvider(running.url, net.provider, **reach(net)) as provider,
            AsyncBuyer(running.url, net.buyers[0], **reach(net)) as watcher,
            AsyncMarketApi(running.url) as api,
        ):
            offer = await provider.offer(make_offer(net, 6))
            assert [each.id for each in await provider.offers()] == [offer.id]
            watching = asyncio.create_task(opened(api, watcher, 3))
            escrows = await asyncio.gather(*map(buy, net.buyers[:3]))
            assert len({each.id for each in escrows}) == 3
            steps = await asyncio.wait_for(watching, 20)
            assert steps == list(range(1, steps[-1] + 1))
            with pytest.raises(InsufficientCapacity):
                await watcher.match(make_order(net, net.buyer, gpus=9))
            paid = await asyncio.gather(*(provider.redeem(each.id) for each in escrows))
            assert all(isinstance(each.status, SettlementStatus.Success) for each in paid)
            assert {deal.deal_id for deal in await provider.deals()} == {each.id for each in escrows}
            assert (await watcher.escrow(escrows[0].id)).status is DealStatus.RELEASED

    asyncio.run(main())


def test_orders__posted_at_once_by_one_buyer__have_a_slot_each(net: Devnet, running: Server) -> None:
    async def main() -> None:
        async with AsyncBuyer(running.url, net.buyer, **reach(net)) as buyer:
            orders = [
                make_order(net, net.buyer, ago=ago, opener=net.operator.address, policy_id=net.policy_id)
                for ago in range(5)
            ]
            await buyer.deposit(molt(500))
            posted = await asyncio.gather(*map(buyer.post, orders))
            assert sorted(each.order.slot or 0 for each in posted) == [0, 1, 2, 3, 4]
            assert len(await buyer.orders()) == 5
            cancelled = await asyncio.gather(*(buyer.cancel(each.order) for each in posted))
            assert all(each.was_listed for each in cancelled)

    asyncio.run(main())


def test_claim__with_attestors_at_once(net: Devnet, running: Server) -> None:
    async def attest(wallet: Wallet, escrow: EscrowAccount) -> None:
        async with AsyncAttestor(running.url, wallet, **reach(net)) as attestor:
            [found] = await attestor.receipts(escrow.id)
            await attestor.attest(found)

    async def main() -> None:
        async with (
            AsyncProvider(running.url, net.provider, **reach(net)) as provider,
            AsyncBuyer(running.url, net.buyer, **reach(net)) as buyer,
        ):
            await provider.offer(make_offer(net, 2))
            escrow = await buyer.open((await buyer.match(make_order(net, net.buyer)))[0])
            net.warp(8 * HOUR)
            receipt = issue_receipt(UsageLog(escrow.id), 2 * 8 * HOUR, net.provider, net.domain)
            await provider.post_receipt(receipt)
            await asyncio.gather(*(attest(wallet, escrow) for wallet in net.attestors[:2]))
            assert isinstance((await provider.claim(receipt)).status, SettlementStatus.Pending)

    asyncio.run(main())


def test_feed__goes_on_behind_its_last_step__when_the_server_was_killed(
    net: Devnet, database: str, tmp_path: Path, running: Server
) -> None:
    async def main() -> None:
        async with (
            AsyncProvider(running.url, net.provider, **reach(net)) as provider,
            aclosing(provider.feed()) as feed,
        ):
            first = await provider.offer(make_offer(net, 1))
            assert (await anext(feed)).sequence == 1
            await asyncio.to_thread(running.kill)
            port = int(running.url.rpartition(":")[2])
            again = await asyncio.to_thread(Server, net, database, tmp_path, port)
            try:
                await provider.cancel(first)
                assert (await asyncio.wait_for(anext(feed), 15)).sequence == 2
            finally:
                await asyncio.to_thread(again.stop)

    asyncio.run(main())


def test_feed__cancelled__ends_at_once(net: Devnet, running: Server) -> None:
    async def main() -> None:
        async with AsyncBuyer(running.url, net.buyer, **reach(net)) as buyer:

            async def watch() -> None:
                async for _ in buyer.feed():
                    pass

            watching = asyncio.create_task(watch())
            await asyncio.sleep(0.3)
            watching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(watching, 2)

    asyncio.run(main())


def test_server_that_is_not_there__is_told_when_the_block_begins(net: Devnet, running: Server) -> None:
    async def enter(buyer: AsyncBuyer) -> None:
        async with buyer:
            raise AssertionError("the block does not begin")

    running.stop()
    gone = MarketApi(Transport(running.url, attempts=1))
    with pytest.raises(ServerUnreachable):
        asyncio.run(enter(AsyncBuyer(gone, net.buyer, **reach(net))))
