"""What the market is and looks like: descriptor, health, depth, trades, prices, feed."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import PlainTextResponse

from molt_market import metrics
from molt_market.api.aside import AsidePrices
from molt_market.api.common import Here, limited
from molt_market.api.service import VERSION, Service
from molt_market.domain.fields import Moment
from molt_market.wire.messages import (
    BestPriceAnswer,
    DepthAnswer,
    FeedPage,
    Health,
    MarketInfo,
    Prices,
    StatisticsAnswer,
    TradeAnswer,
    Trades,
)

router = APIRouter(tags=["market data"], dependencies=[Depends(limited)])

Model = Annotated[str | None, Query(max_length=100, description="A GPU model; all if left out.")]
Region = Annotated[str | None, Query(max_length=31, description="A region; all if left out.")]
MOST_TRADES = 1_000
MOST_LEVELS = 1_000  # more would keep the server from answering others while it writes them
LARGEST = 2**63 - 1  # number that a database counts to


@router.get("/market", operation_id="market")
def market(here: Here) -> MarketInfo:
    """Say which chain, contract and token this market is for, and what a deal costs in fees."""
    deployment, config = here.client.deployment, here.client.config()
    return MarketInfo(
        chain_id=deployment.chain_id,
        escrow=deployment.escrow,
        token=here.client.token,
        code_hash=deployment.code_hash,
        fee_bps=config.fee_bps,
        paused_until=config.paused_until,
        opener=here.opener,
        relayer=None if here.relays is None else here.relays.payer,
        alerts=here.alerts is not None,
        policies=here.policies,
        version=VERSION,
    )


@router.get("/health", operation_id="health")
def health(here: Here) -> Health:
    """Say that the server answers, and how far it has followed chain and feed."""
    cursor = here.facts.cursor()
    return Health(
        status="ok",
        book_is_read=here.market.book.is_read,
        followed_block=None if cursor is None else cursor.number,
        time=here.clock.now(),
        sequence=here.market.book.sequence,
    )


@router.get("/metrics", operation_id="metrics", response_class=PlainTextResponse)
def prometheus() -> str:
    """Return this process's figures in Prometheus's text form."""
    return metrics.text()


@router.get("/depth", operation_id="depth")
async def depth(
    here: Here,
    aside: AsidePrices,
    model: Model = None,
    region: Region = None,
    levels: Annotated[
        int, Query(ge=1, le=MOST_LEVELS, description="How many prices of each side at most.")
    ] = MOST_LEVELS,
) -> DepthAnswer:
    """Return the GPUs to be had and wanted at each price, the best prices first."""
    book, token = here.market.book, here.client.token
    return await aside.answer(lambda: DepthAnswer.of(book.depth(model, region, token=token, levels=levels)))


@router.get("/trades", operation_id="trades")
def trades(
    here: Here,
    model: Model = None,
    region: Region = None,
    since: Annotated[Moment | None, Query(description="From this time on; at most 30 days ago.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_TRADES)] = 100,
) -> Trades:
    """Return the latest deals as market data tell them, the oldest first."""
    found = here.market.book.trades(since, gpu_model=model, region=region)
    return Trades(trades=tuple(TradeAnswer.of(each) for each in found[-limit:]))


@router.get("/prices", operation_id="prices")
async def prices(
    here: Here,
    aside: AsidePrices,
    days: Annotated[int, Query(ge=1, le=30, description="Of how many days to tell.")] = 7,
) -> Prices:
    """Return the best prices now, and the 10th, 50th and 90th percentile of what was traded."""
    return await aside.answer(lambda: _prices(here, days))


def _prices(here: Service, days: int) -> Prices:
    book, token = here.market.book, here.client.token
    traded = book.price_percentiles(timedelta(days=days), token=token)
    return Prices(
        best=tuple(BestPriceAnswer.of(each) for each in book.best_prices(token=token)),
        traded=tuple(StatisticsAnswer.of(each) for each in traded),
    )


@router.get("/feed", operation_id="feed")
def feed(
    here: Here,
    after: Annotated[int, Query(ge=0, le=LARGEST, description="The last sequence number that you have.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> FeedPage:
    """Return the steps of the market behind a sequence number.

    The WebSocket /feed/live?after=N sends them as they come.
    """
    store = here.market.store
    items = tuple(item.shown for item in store.feed(after, limit))
    return FeedPage(items=items, last=store.last())
