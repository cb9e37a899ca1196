"""Depth, best prices, trades and percentiles are what one would count by hand."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molt_market.domain.amounts import MOLT, Amount, Token
from molt_market.domain.gpus import Location
from molt_market.domain.ids import EscrowId
from molt_market.domain.offers import CapacityOffer
from molt_market.errors import InvalidValue, UnknownModel
from molt_market.orderbook import OrderBook, PriceLevel, ScoreWeights, Trade
from molt_market.orderbook.market_data import RETENTION, TradeTape, percentile
from molt_market.testing import ManualClock
from tests.factories import DEAL_ID, NOON, PROVIDER, STRANGER, make_offer, make_order
from tests.oracle import market_data as oracle
from tests.oracle.market import Market
from tests.unit.orderbook import strategies as some
from tests.unit.orderbook.mirror import offer_as_dict, order_as_dict, second

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
EU, US = Location(region="eu-1", country="DE"), Location(region="us-1", country="US")


def molt(tokens: int) -> Amount:
    return Amount.from_molt(tokens)


def levels(found: tuple[PriceLevel, ...]) -> list[tuple[int, int]]:
    """Return (base units, GPUs) of each level."""
    return [(level.price.base_units, level.gpu_count) for level in found]


def in_molt(found: tuple[PriceLevel, ...]) -> list[tuple[str, int]]:
    return [(str(level.price), level.gpu_count) for level in found]


def trade(**overrides: Any) -> Trade:
    fields = {
        "time": NOON,
        "deal_id": DEAL_ID,
        "gpu_model": "H100",
        "region": "eu-1",
        "country": "DE",
        "price_per_hour": molt(10),
        "gpu_count": 1,
        "hours": 1,
    }
    return Trade(**{**fields, **overrides})


@pytest.fixture
def offered(book: OrderBook) -> OrderBook:
    """Eight H100 in Europe at 10, four in the USA at 9, and four A100 at 5."""
    book.add_offer(make_offer(id="eu", location=EU))
    book.add_offer(make_offer(id="us", slot=1, gpu_count=4, price_per_hour=molt(9), location=US))
    book.add_offer(make_offer(id="a100", slot=2, gpu_count=4, gpu_model="A100", price_per_hour=molt(5)))
    return book


# ---------------------------------------------------------------------------------- depth


def test_depth__of_all__of_a_model__of_a_region(offered: OrderBook) -> None:
    assert in_molt(offered.depth().asks) == [("5 MOLT", 4), ("9 MOLT", 4), ("10 MOLT", 8)]
    assert in_molt(offered.depth("NVIDIA H100 80GB").asks) == [("9 MOLT", 4), ("10 MOLT", 8)]
    assert in_molt(offered.depth("h100", "EU-1").asks) == [("10 MOLT", 8)]
    assert offered.depth("H200").asks == ()


def test_depth__model_unknown__is_refused(offered: OrderBook) -> None:
    with pytest.raises(UnknownModel):
        offered.depth("H1000")
    with pytest.raises(UnknownModel):
        offered.trades(gpu_model="H1000")


def test_depth__what_is_held__is_not_to_be_had(offered: OrderBook) -> None:
    offered.reserve(offered.match_order(make_order(required_models=["A100"]))[0], NOON + SECOND)
    assert in_molt(offered.depth().asks) == [("9 MOLT", 4), ("10 MOLT", 8)]


def test_depth__offers_of_one_slot__count_a_gpu_once(book: OrderBook) -> None:
    book.add_offer(make_offer(id="dear", gpu_count=8, price_per_hour=molt(12)))
    book.add_offer(make_offer(id="cheap", gpu_count=6, price_per_hour=molt(10)))
    assert in_molt(book.depth().asks) == [("10 MOLT", 6), ("12 MOLT", 2)]


def test_depth__another_token__is_another_market(offered: OrderBook) -> None:
    usdc = Token("USDC", 6)
    offered.add_offer(make_offer(id="usdc", slot=3, price_per_hour=usdc.amount(2)))
    assert in_molt(offered.depth(token=usdc).asks) == [("2 USDC", 8)]
    assert len(offered.depth().asks) == 3
    assert [best.price for best in offered.best_prices(token=usdc)] == [usdc.amount(2)]


def test_depth__bids__are_what_waiting_orders_would_still_take(offered: OrderBook) -> None:
    offered.submit_order(make_order(id="any", max_price_per_hour=molt(8)))
    offered.submit_order(make_order(id="h100", required_models=["H100"], max_price_per_hour=molt(8)))
    offered.submit_order(make_order(id="us", location=US, max_price_per_hour=molt(9)))
    offered.submit_order(make_order(id="later", created_at=NOON + SECOND))
    big = make_order(id="big", slot=None, min_gpu_count=9, min_quantity=1, required_models=["H100"])
    offered.execute(big, NOON + SECOND)
    assert in_molt(offered.depth().bids) == [("15 MOLT", 1), ("9 MOLT", 4), ("8 MOLT", 8)]
    assert in_molt(offered.depth("A100", "eu-1").bids) == [("8 MOLT", 4)]


# ---------------------------------------------------------------------------------- best prices


def test_best_prices__by_model_and_region__no_region_last(offered: OrderBook) -> None:
    offered.add_offer(make_offer(id="somewhere", slot=3, price_per_hour=molt(7), gpu_count=2))
    assert [(b.gpu_model, b.region, str(b.price), b.gpu_count) for b in offered.best_prices()] == [
        ("A100", None, "5 MOLT", 4),
        ("H100", "eu-1", "10 MOLT", 8),
        ("H100", "us-1", "9 MOLT", 4),
        ("H100", None, "7 MOLT", 2),
    ]


# ---------------------------------------------------------------------------------- trades


def test_trades__a_confirmed_deal_is_one(offered: OrderBook, clock: ManualClock) -> None:
    reservation = offered.reserve(offered.match_order(make_order())[0], NOON + 60 * SECOND)
    assert offered.trades() == []
    clock.advance(5)
    for _ in range(2):
        offered.confirm(reservation, DEAL_ID)
    [found] = offered.trades()
    assert found == Trade(NOON + 5 * SECOND, DEAL_ID, "A100", None, None, molt(5), 4, 8)
    assert found.gpu_hours == 32


def test_trades__between_times__the_first_included(offered: OrderBook, clock: ManualClock) -> None:
    for number in range(3):
        order = make_order(id=f"o-{number}", slot=number, min_gpu_count=1)
        reservation = offered.reserve(offered.match_order(order)[0], clock.now() + 60 * SECOND)
        offered.confirm(reservation, EscrowId(f"0x{number:064x}"))
        clock.advance(10)
    times = [NOON, NOON + 10 * SECOND, NOON + 20 * SECOND]
    assert [each.time for each in offered.trades()] == times
    assert [each.time for each in offered.trades(times[1], times[2])] == times[1:2]
    assert len(offered.trades(gpu_model="A100")) == 3
    assert offered.trades(gpu_model="H100") == offered.trades(region="eu-1") == []


def test_trades__time_without_a_zone__is_refused(book: OrderBook) -> None:
    with pytest.raises(InvalidValue, match="no time zone"):
        book.trades(datetime(2026, 1, 1))  # noqa: DTZ001


def test_tape__keeps_thirty_days__whatever_order_trades_come_in() -> None:
    tape = TradeTape()
    for days in (1, 0, 31, 30):
        tape.note(trade(time=NOON + days * DAY))
    assert [each.time - NOON for each in tape.between(None, None)] == [DAY, 30 * DAY, 31 * DAY]
    assert RETENTION == 30 * DAY


# ---------------------------------------------------------------------------------- percentiles


def test_price_percentiles__are_weighted_by_gpu_hours(book: OrderBook, clock: ManualClock) -> None:
    """One GPU-hour at 20, 32 at 5: the median is 5, and only the last three percent are at 20."""
    book.add_offer(make_offer(price_per_hour=molt(5)))
    book.add_offer(make_offer(id="dear", slot=1, price_per_hour=molt(15)))
    for number, (gpus, hours) in enumerate([(4, 8), (1, 1)]):
        order = make_order(id=f"o-{number}", slot=number, min_gpu_count=gpus, estimated_hours=hours)
        match = book.match_order(order)[number]
        book.confirm(book.reserve(match, clock.now() + SECOND), EscrowId(f"0x{number:064x}"))
    [found] = book.price_percentiles(DAY, (1, 50, 96, 97, 100))
    assert (found.gpu_model, found.region, found.trades, found.gpu_hours) == ("H100", None, 2, 33)
    assert [(percent, str(price)) for percent, price in found.percentiles] == [
        (1, "5 MOLT"),
        (50, "5 MOLT"),
        (96, "5 MOLT"),
        (97, "15 MOLT"),
        (100, "15 MOLT"),
    ]


def test_price_percentiles__only_of_the_window_and_the_token(book: OrderBook, clock: ManualClock) -> None:
    book.add_offer(make_offer())
    reservation = book.reserve(book.match_order(make_order())[0], NOON + SECOND)
    book.confirm(reservation, DEAL_ID)
    assert book.price_percentiles(DAY, token=Token("USDC", 6)) == ()
    clock.advance(60)
    assert len(book.price_percentiles(60 * SECOND)) == 1
    assert book.price_percentiles(59 * SECOND) == ()


def test_price_percentiles__a_clock_that_was_set_back__counts_nothing_that_is_to_come(
    book: OrderBook, clock: ManualClock
) -> None:
    book.add_offer(make_offer())
    clock.advance(60)
    book.confirm(book.reserve(book.match_order(make_order())[0], clock.now() + SECOND), DEAL_ID)
    clock.advance(-1)
    assert book.price_percentiles(DAY) == ()


@pytest.mark.parametrize(
    ("window", "percents", "says"),
    [
        (timedelta(0), (50,), "more than nothing"),
        (RETENTION + SECOND, (50,), "at most 30 days"),
        (DAY, (0,), "from 1 to 100"),
        (DAY, (50, 101), "101 is not a percent"),
        (DAY, (50.0,), "whole numbers"),
    ],
)
def test_price_percentiles__bad_question__is_refused(
    book: OrderBook, window: timedelta, percents: Any, says: str
) -> None:
    with pytest.raises(InvalidValue, match=says):
        book.price_percentiles(window, percents)


# ---------------------------------------------------------------------------------- any market


@st.composite
def some_offers(draw: st.DrawFn) -> list[CapacityOffer]:
    return [
        make_offer(
            id=f"offer-{number}",
            provider_id=draw(st.sampled_from([PROVIDER, STRANGER])),
            slot=draw(st.integers(0, 1)),
            gpu_count=draw(st.integers(1, 5)),
            gpu_model=draw(some.models),
            price_per_hour=Amount(draw(st.integers(1, 5))),
            location=draw(st.sampled_from([None, EU, US])),
            created_at=draw(some.mostly(NOON, NOON + SECOND)),
        )
        for number in range(draw(st.integers(0, 8)))
    ]


@given(some_offers(), st.integers(0, 5))
def test_depth_and_best_prices__any_book__equal_the_oracle(offers: list[CapacityOffer], held: int) -> None:
    book, market, now = OrderBook(ManualClock(NOON)), Market(asdict(ScoreWeights())), second(NOON)
    for offer in offers:
        book.add_offer(offer)
        market.add_offer(offer_as_dict(offer), now)
    order = make_order(min_gpu_count=held or 1, min_vram_gb=0, max_price_per_hour=Amount(5))
    explained = book.explain(order)
    if held and explained.fitting:
        match = book.match_order(order)[0]
        book.reserve(match, NOON + SECOND)
        market.reserve(offer_as_dict(match.offer), order_as_dict(order), now + 1, now)
    assert levels(book.depth().asks) == oracle.asks(market, now)
    assert levels(book.depth("H100").asks) == oracle.asks(market, now, model="H100")
    assert levels(book.depth("H100", "eu-1").asks) == oracle.asks(market, now, model="H100", region="eu-1")
    best = {(b.gpu_model, b.region, b.price.base_units, b.gpu_count) for b in book.best_prices()}
    assert best == oracle.best_prices(market, now)


@given(some_offers(), st.integers(1, 5))
def test_depth__up_to_a_price__is_what_one_order_can_get(offers: list[CapacityOffer], limit: int) -> None:
    book = OrderBook(ManualClock(NOON))
    for offer in offers:
        book.add_offer(offer)
    order = make_order(
        slot=None,
        min_gpu_count=99,
        min_quantity=1,
        split=True,
        min_vram_gb=0,
        max_price_per_hour=Amount(limit),
    )
    deep = sum(gpus for price, gpus in levels(book.depth().asks) if price <= limit)
    fill = book.quote(order).fill
    assert deep == (fill.gpu_count if fill else 0)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=6),
    st.integers(1, 100),
)
def test_percentile__any_trades__is_that_of_single_gpu_hours(
    figures: list[tuple[int, int, int]], percent: int
) -> None:
    trades = [trade(price_per_hour=Amount(p, MOLT), gpu_count=g, hours=h) for p, g, h in figures]
    plain = [{"price": p, "gpus": g, "hours": h} for p, g, h in figures]
    assert percentile(trades, percent).base_units == oracle.percentile(plain, percent)
