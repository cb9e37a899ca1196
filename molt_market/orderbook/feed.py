"""What the order book tells of the market: depth, best prices, trades, price percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from molt_market.domain.amounts import MOLT, Token
from molt_market.domain.catalogue import canonical_model
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.entries import alone
from molt_market.orderbook.holding import Holding
from molt_market.orderbook.listing import Listing
from molt_market.orderbook.market_data import (
    BestPrice,
    Depth,
    PriceLevel,
    PriceStatistics,
    Trade,
    asks,
    best_prices,
    bids,
    require_window,
    statistics,
)


class Feed(Holding):
    """Market data. The third layer of the OrderBook."""

    @alone
    def depth(
        self,
        gpu_model: str | None = None,
        region: str | None = None,
        *,
        token: Token = MOLT,
        levels: int | None = None,
    ) -> Depth:
        """Return the GPUs to be had and wanted at each price, of a model, in a region, or of all.

        With `levels`, no more than the best so many prices of each side.

        An order bids wherever it would take GPUs: for every model unless it requires some, for every region
        unless it names one. Raises UnknownModel.
        """
        model, region = segment(gpu_model, region)
        offered = [
            o for o in self._standing(token) if model in {None, o.model} and region in {None, o.region}
        ]
        return Depth(asks(offered, token, levels), self._bids(model, region, token)[:levels])

    @alone
    def best_prices(self, *, token: Token = MOLT) -> tuple[BestPrice, ...]:
        """Return the lowest price of each GPU model in each region, and the GPUs to be had at it."""
        return best_prices(self._standing(token), token)

    @alone
    def trades(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        gpu_model: str | None = None,
        region: str | None = None,
    ) -> list[Trade]:
        """Return the deals that were confirmed from `since` on and before `until`, at most 30 days ago.

        Raises InvalidValue for a time without a zone, UnknownModel.
        """
        model, region = segment(gpu_model, region)
        found = self._tape.between(since, until)
        return [each for each in found if model in {None, each.gpu_model} and region in {None, each.region}]

    @alone
    def price_percentiles(
        self, window: timedelta, percents: Sequence[int] = (10, 50, 90), *, token: Token = MOLT
    ) -> tuple[PriceStatistics, ...]:
        """Return the percentiles of the prices of the last time, weighted by GPU-hours, by model and region.

        Raises InvalidValue for a window that is empty or above 30 days, and percents outside 1 to 100.
        """
        require_window(window, percents)
        now = self._now()
        recent = [each for each in self._tape.between(now - window, None) if each.time <= now]
        return statistics([each for each in recent if each.price_per_hour.token == token], percents)

    @alone
    def _bids(self, model: str | None, region: str | None, token: Token) -> tuple[PriceLevel, ...]:
        now = self._now()
        demands = [
            (Demand.of_order(order, now), self._orders.open_gpus(order))
            for order in self._orders.pending(now)
            if order.created_at <= now and order.budget.token == token
        ]
        wanted = [(demand.price_limit, gpus) for demand, gpus in demands if demand.is_for(model, region)]
        return bids(wanted, token)

    def _standing(self, token: Token) -> list[Listing]:
        now = self._now()
        return [o for o in self._listings.values() if o.created_at <= now < o.expires_at and o.token == token]


def segment(gpu_model: str | None, region: str | None) -> tuple[str | None, str | None]:
    """Spell a model and a region as offers do."""
    model = None if gpu_model is None else canonical_model(gpu_model).name
    return model, None if region is None else region.lower()
