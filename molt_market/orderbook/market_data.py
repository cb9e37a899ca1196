"""What the market looks like: depth, best prices, trades, and the percentiles of their prices."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple, Protocol

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.ids import EscrowId
from molt_market.errors import InvalidValue
from molt_market.orderbook.reservations import Reservation

RETENTION = timedelta(days=30)
"""How long trades are kept."""

Segment = tuple[str, str | None]
"""A GPU model and a region, None for offers that name none."""


@dataclass(frozen=True, slots=True)
class PriceLevel:
    """GPUs at exactly this price per GPU-hour."""

    price: Amount
    gpu_count: int


@dataclass(frozen=True, slots=True)
class Depth:
    """GPUs to be had, the cheapest level first, and wanted by orders that wait, the highest limit first."""

    asks: tuple[PriceLevel, ...]
    bids: tuple[PriceLevel, ...]


@dataclass(frozen=True, slots=True)
class BestPrice:
    """The lowest price per GPU-hour of a model in a region, and the GPUs to be had at it."""

    gpu_model: str
    region: str | None
    price: Amount
    gpu_count: int


@dataclass(frozen=True, slots=True)
class Trade:
    """A deal as market data tell it: when the book learnt of it, what was taken, and at what price."""

    time: datetime
    deal_id: EscrowId
    gpu_model: str
    region: str | None
    country: str | None
    price_per_hour: Amount
    gpu_count: int
    hours: int

    @classmethod
    def of(cls, reservation: Reservation, deal_id: EscrowId, time: datetime) -> Trade:
        offer, place = reservation.offer, reservation.offer.location
        return cls(
            time=time,
            deal_id=deal_id,
            gpu_model=offer.gpu_capacity.gpu_model,
            region=place.region if place else None,
            country=place.country if place else None,
            price_per_hour=offer.price_per_hour,
            gpu_count=reservation.gpu_count,
            hours=reservation.hours,
        )

    @property
    def gpu_hours(self) -> int:
        return self.gpu_count * self.hours

    @property
    def segment(self) -> Segment:
        return self.gpu_model, self.region


@dataclass(frozen=True, slots=True)
class PriceStatistics:
    """What a model traded at in a region: `percentiles` are pairs of a percent and a price per GPU-hour."""

    gpu_model: str
    region: str | None
    trades: int
    gpu_hours: int
    percentiles: tuple[tuple[int, Amount], ...]


class TradeTape:
    """Trades in the order of their times. The oldest go when they are older than RETENTION."""

    def __init__(self) -> None:
        self._trades: list[Trade] = []

    def note(self, trade: Trade) -> None:
        insort(self._trades, trade, key=_time)
        del self._trades[: bisect_left(self._trades, self._trades[-1].time - RETENTION, key=_time)]

    def between(self, since: datetime | None, until: datetime | None) -> list[Trade]:
        """Return the trades from `since` on and before `until`. Raises InvalidValue without a time zone."""
        for moment in (since, until):
            if moment is not None and moment.tzinfo is None:
                raise InvalidValue(f"{moment} has no time zone: give it one, e.g. datetime.now(UTC)")
        first = 0 if since is None else bisect_left(self._trades, since, key=_time)
        last = len(self._trades) if until is None else bisect_left(self._trades, until, key=_time)
        return self._trades[first:last]


def _time(trade: Trade) -> datetime:
    return trade.time


# ------------------------------------------------------------------------------------ what stands


class Offered(Protocol):
    """What is asked of an offer that stands; a Listing tells it, and an Ask."""

    @property
    def price(self) -> int: ...

    @property
    def free(self) -> int: ...

    @property
    def pool(self) -> Hashable: ...

    @property
    def model(self) -> str: ...

    @property
    def region(self) -> str | None: ...


class Ask(NamedTuple):
    """An offer that stands, as far as market data need it. The price is base units, `pool` names its slot."""

    price: int
    free: int
    pool: tuple[str, int]
    model: str
    region: str | None


def asks(offered: Iterable[Offered], token: Token, most: int | None = None) -> tuple[PriceLevel, ...]:
    """Return the levels of offers that stand, the cheapest first; `most` is how many at most.

    Of a slot, what can be had up to a price is the most that one of its offers up to that price has free; so
    a dearer offer adds only what it has more than the cheaper ones.
    """
    counted: Counter[Hashable] = Counter()
    levels: Counter[int] = Counter()
    for each in sorted(offered, key=lambda each: each.price):
        more = each.free - counted[each.pool]
        if more > 0:
            counted[each.pool] += more
            levels[each.price] += more
    return tuple(PriceLevel(Amount(price, token), gpus) for price, gpus in islice(levels.items(), most))


def bids(wanted: Iterable[tuple[int, int]], token: Token) -> tuple[PriceLevel, ...]:
    """Return the levels of pairs of a limit price and the GPUs wanted at it, the highest first."""
    levels: Counter[int] = Counter()
    for price, gpus in wanted:
        levels[price] += gpus
    return tuple(PriceLevel(Amount(price, token), levels[price]) for price in sorted(levels, reverse=True))


def best_prices(offered: Iterable[Offered], token: Token) -> tuple[BestPrice, ...]:
    """Return the best price of each segment where something is free, by model and region, no region last."""
    segments: dict[Segment, list[Offered]] = {}  # the cheapest of each
    for each in offered:
        if each.free:
            cheapest = segments.setdefault((each.model, each.region), [])
            if cheapest and each.price < cheapest[0].price:
                cheapest.clear()
            if not cheapest or each.price == cheapest[0].price:
                cheapest.append(each)
    best = [(segment, asks(segments[segment], token)[0]) for segment in sorted(segments, key=_by_name)]
    return tuple(BestPrice(*segment, level.price, level.gpu_count) for segment, level in best)


def _by_name(segment: Segment) -> tuple[str, bool, str]:
    model, region = segment
    return model, region is None, region or ""


# ------------------------------------------------------------------------------------ what was traded


def statistics(trades: Iterable[Trade], percents: Sequence[int]) -> tuple[PriceStatistics, ...]:
    """Return the price percentiles of each segment, weighted by GPU-hours, by model and region."""
    segments: dict[Segment, list[Trade]] = {}
    for trade in trades:
        segments.setdefault(trade.segment, []).append(trade)
    return tuple(
        PriceStatistics(
            *segment,
            trades=len(segments[segment]),
            gpu_hours=sum(trade.gpu_hours for trade in segments[segment]),
            percentiles=tuple((percent, percentile(segments[segment], percent)) for percent in percents),
        )
        for segment in sorted(segments, key=_by_name)
    )


def percentile(trades: Sequence[Trade], percent: int) -> Amount:
    """Return the lowest price at or below which at least so many percent of all GPU-hours were traded.

    It is the inverse of the empirical distribution of a list that has the price of every single GPU-hour in
    it (Hyndman and Fan, Sample Quantiles in Statistical Packages, 1996, definition 1).
    """
    by_price = sorted(trades, key=lambda trade: trade.price_per_hour.base_units)
    needed = percent * sum(trade.gpu_hours for trade in trades)
    counted = 0
    for trade in by_price:
        counted += 100 * trade.gpu_hours
        if counted >= needed:
            break
    return trade.price_per_hour


def require_window(window: timedelta, percents: Sequence[int]) -> None:
    """Refuse a window that is empty or longer than trades are kept, and percents that are none."""
    if not timedelta(0) < window <= RETENTION:
        raise InvalidValue(f"a window of {window}: give more than nothing, and at most {RETENTION.days} days")
    wrong = [percent for percent in percents if type(percent) is not int or not 1 <= percent <= 100]
    if wrong:
        raise InvalidValue(f"{wrong[0]!r} is not a percent: give whole numbers from 1 to 100")
