"""Whoever asks much of a market keeps nobody else from it."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from threading import Event

import httpx
import pytest

from molt_market.api.limits import Limits
from molt_market.domain.gpus import GpuCapacity
from molt_market.domain.ids import OfferId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.errors import TooManyRequests
from molt_market.orderbook.stored import AT_ONCE
from molt_market.sdk.api import MarketApi
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.provider import Provider
from molt_market.sdk.transport import Transport
from molt_market.signing.statements import sign_offer
from molt_market.storage.database import Database
from molt_market.storage.market import SqlMarket
from molt_market.testing import Devnet
from tests.factories import make_offer
from tests.integration.test_service import make_offer as signable
from tests.service import serving

ALL = 2 * AT_ONCE  # offers: more than a quote reads together
THREADS = 40  # that a server has for quick answers
SEARCH = "{}/search?q=free_gpus%3E%3D1&limit={}"


def before_the_start(net: Devnet, folder: Path, now: datetime) -> None:
    """Let offers lie in the database that a server is started over, dearer than what the test is about."""
    database, client = Database(folder / "market.db"), net.client()
    store = SqlMarket(database, f"{client.chain_name()}:{client.deployment.escrow}", client.token)
    dear = [make_offer(id=OfferId(f"0x{n:064x}"), created_at=now, slot=n) for n in range(ALL)]
    store.post_offers(dear, now)
    database.close()


def test_all_offers_being_read__others_are_answered_meanwhile(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More ask than there are threads, and the first of them stands still in the middle of its reading."""
    now, token = net.clock.now(), net.deployment.money
    before_the_start(net, tmp_path, now)
    with serving(net, tmp_path) as (url, market):
        store = market.store
        reading, go_on, read = Event(), Event(), store.offers

        def offers(offer_ids: Collection[OfferId]) -> object:
            if len(offer_ids) > AT_ONCE:
                reading.set()
                assert go_on.wait(60)
            return read(offer_ids)

        monkeypatch.setattr(store, "offers", offers)
        limits = range(1, THREADS + 6)
        with (
            ThreadPoolExecutor(len(limits)) as pool,
            Provider(url, net.provider, rpc_url=net.url, deployment=net.deployment) as provider,
            Buyer(url, net.buyer, rpc_url=net.url, deployment=net.deployment) as buyer,
        ):
            try:
                asked = [pool.submit(httpx.get, SEARCH.format(url, limit), timeout=60) for limit in limits]
                assert reading.wait(60)
                offer = provider.offer(
                    CapacityOffer(
                        provider_id=net.provider.address,
                        gpu_capacity=GpuCapacity(gpu_count=8, gpu_model="H100", vram_gb=80),
                        price_per_hour=token.amount("0.5"),
                        available_hours=24,
                        policy_id=net.policy_id,
                        created_at=now,
                    )
                )
                needs = JobRequirements(
                    min_gpu_count=4, min_vram_gb=80, estimated_hours=8, max_price_per_hour=token.amount(1)
                )
                order = JobOrder(buyer_id=net.buyer.address, requirements=needs, created_at=now)
                assert buyer.quote(order).offers == 1
                [match] = buyer.match(order)
                assert match.offer_id == offer.id
                assert buyer.api.depth("H100").asks[0].price == offer.price_per_hour
                assert buyer.api.prices().best[0].price == offer.price_per_hour
                assert not any(each.done() for each in asked)
            finally:
                go_on.set()
            lists = [each.result().json()["offers"] for each in asked]
        assert [len(each) for each in lists] == list(limits)


def test_forgeries_in_somebodys_name__use_nothing_of_his_up(net: Devnet, tmp_path: Path) -> None:
    """A signer may post so often; who only says that he is he is counted by his network address alone."""
    few = Limits(per_second=0.001, burst=2)
    with (
        serving(net, tmp_path, policies=[net.policy_id], limits=few) as (url, _),
        Provider(url, net.provider, rpc_url=net.url, deployment=net.deployment) as provider,
    ):
        offers = [signable(provider, slot=slot) for slot in range(3)]
        forged = sign_offer(offers[0], net.provider, net.domain).model_copy(update={"slot": 9})
        unsigned = forged.model_copy(update={"signature": None})
        for bad in (forged, unsigned) * 5:
            response = httpx.post(f"{url}/offers", json={"offers": [bad.model_dump(mode="json")]})
            assert response.status_code == 403
        for offer in offers[:2]:
            provider.offer(offer)
        once = Transport(url, attempts=1)
        with MarketApi(once) as api, pytest.raises(TooManyRequests):
            api.post_offers([sign_offer(offers[2], net.provider, net.domain)])
