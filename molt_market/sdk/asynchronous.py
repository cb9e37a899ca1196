"""Buyer, provider and attestor for asyncio: each call runs in a thread, so that there is one logic."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from molt_market.chain.deployments import Deployment
from molt_market.chain.networks import Network
from molt_market.domain.updates import FeedItem
from molt_market.payments.fees import FeePolicy
from molt_market.payments.journal import Journal
from molt_market.sdk.api import MarketApi
from molt_market.sdk.attestor import Attestor
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.feed import follow_feed_async
from molt_market.sdk.party import Party
from molt_market.sdk.provider import Provider
from molt_market.sdk.transport import Transport
from molt_market.signing.wallet import TransactionSigner
from molt_market.threads import THREADS, InThreads, in_thread, in_thread_all

Open_co = TypeVar("Open_co", bound=MarketApi | Party, covariant=True)
Party_co = TypeVar("Party_co", bound=Party, covariant=True)


class AtServer(InThreads[Open_co]):
    """What has connections to a server."""

    def close(self) -> None:
        """Wait for what is being done, and close the connections."""
        super().close()
        for each in self._made:
            each.close()


class AsyncMarketApi(AtServer[MarketApi]):
    """A market's server: the methods of MarketApi to `await`, with the same arguments, results and errors.

    >>> async with AsyncMarketApi("http://127.0.0.1:8080") as api:  # doctest: +SKIP
    ...     prices = await api.prices()
    """

    def __init__(self, url: str | Transport, *, threads: int = THREADS) -> None:
        super().__init__(lambda: MarketApi(url), threads=threads)

    market = in_thread(MarketApi.market)
    health = in_thread(MarketApi.health)
    depth = in_thread(MarketApi.depth)
    trades = in_thread(MarketApi.trades)
    prices = in_thread(MarketApi.prices)
    feed = in_thread(MarketApi.feed)
    post_offers = in_thread(MarketApi.post_offers)
    offer = in_thread(MarketApi.offer)
    offers = in_thread_all(MarketApi.offers)
    post_orders = in_thread(MarketApi.post_orders)
    order = in_thread(MarketApi.order)
    orders = in_thread_all(MarketApi.orders)
    unlist = in_thread(MarketApi.unlist)
    match = in_thread(MarketApi.match)
    quote = in_thread(MarketApi.quote)
    explain = in_thread(MarketApi.explain)
    search = in_thread(MarketApi.search)
    reserve = in_thread(MarketApi.reserve)
    relay = in_thread(MarketApi.relay)
    gas_budget = in_thread(MarketApi.gas_budget)
    subscribe_alerts = in_thread(MarketApi.subscribe_alerts)
    alert_subscriptions = in_thread(MarketApi.alert_subscriptions)
    unsubscribe_alerts = in_thread(MarketApi.unsubscribe_alerts)
    deal = in_thread(MarketApi.deal)
    deals = in_thread_all(MarketApi.deals)
    post_document = in_thread(MarketApi.post_document)
    documents = in_thread_all(MarketApi.documents)


class AsyncParty(AtServer[Party_co]):
    """One account at one market, and on its chain; the arguments are those of Buyer, Provider and Attestor.

    Server and chain are asked when the block of `async with` begins, or by the first call.
    """

    _kind: Any

    def __init__(
        self,
        server: str | MarketApi,
        wallet: TransactionSigner | str | Path,
        *,
        network: Network = Network.LOCAL,
        rpc_url: str | None = None,
        deployment: Deployment | Path | None = None,
        journal: Journal | None = None,
        fees: FeePolicy | None = None,
        threads: int = THREADS,
    ) -> None:
        self._url = server if isinstance(server, str) else server.transport.url
        make = partial(
            self._kind,
            server,
            wallet,
            network=network,
            rpc_url=rpc_url,
            deployment=deployment,
            journal=journal,
            fees=fees,
        )
        super().__init__(make, threads=threads)

    def feed(self, after: int = 0) -> AsyncGenerator[FeedItem]:
        """Yield the market's steps behind a sequence number, and then each as it comes. Never ends."""
        return follow_feed_async(self._url.rstrip("/"), after)

    deposit = in_thread(Party.deposit)
    relay = in_thread(Party.relay)
    gas_budget = in_thread(Party.gas_budget)
    subscribe_alerts = in_thread(Party.subscribe_alerts)
    alert_subscriptions = in_thread(Party.alert_subscriptions)
    unsubscribe_alerts = in_thread(Party.unsubscribe_alerts)
    deals = in_thread_all(Party.deals)
    escrow = in_thread(Party.escrow)
    settlement = in_thread(Party.settlement)
    lay_evidence = in_thread(Party.lay_evidence)


class AsyncBuyer(AsyncParty[Buyer]):
    """The calls of Buyer to `await`, with the same arguments, results and errors.

    >>> async with AsyncBuyer("http://127.0.0.1:8080", "buyer.json") as buyer:  # doctest: +SKIP
    ...     escrow = await buyer.open((await buyer.match(order))[0])
    """

    _kind = Buyer

    quote = in_thread(Buyer.quote)
    explain = in_thread(Buyer.explain)
    match = in_thread(Buyer.match)
    open = in_thread(Buyer.open)
    next_match = in_thread(Buyer.next_match)
    extend = in_thread(Buyer.extend)
    post = in_thread(Buyer.post)
    cancel = in_thread(Buyer.cancel)
    orders = in_thread_all(Buyer.orders)
    release = in_thread(Buyer.release)
    hand_over = in_thread(Buyer.hand_over)
    job_result = in_thread(Buyer.job_result)
    fetch = in_thread(Buyer.fetch)
    watch = in_thread(Buyer.watch)
    gateway = in_thread(Buyer.gateway)


class AsyncProvider(AsyncParty[Provider]):
    """The calls of Provider to `await`, with the same arguments, results and errors.

    >>> async with AsyncProvider("http://127.0.0.1:8080", "provider.json") as provider:  # doctest: +SKIP
    ...     offer = await provider.offer(offer)
    """

    _kind = Provider

    offer = in_thread(Provider.offer)
    offers = in_thread_all(Provider.offers)
    cancel = in_thread(Provider.cancel)
    vouchers = in_thread(Provider.vouchers)
    redeem = in_thread(Provider.redeem)
    post_receipt = in_thread(Provider.post_receipt)
    claim = in_thread(Provider.claim)
    proof = in_thread(Provider.proof)


class AsyncAttestor(AsyncParty[Attestor]):
    """The calls of Attestor to `await`, with the same arguments, results and errors.

    >>> async with AsyncAttestor("http://127.0.0.1:8080", "attestor.json") as attestor:  # doctest: +SKIP
    ...     await attestor.attest(receipt)
    """

    _kind = Attestor

    receipts = in_thread(Attestor.receipts)
    attest = in_thread(Attestor.attest)
