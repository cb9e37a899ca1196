"""What an order would get now, what it costs, what to keep for a dispute, and what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import Hash32
from molt_market.errors import Expired, InsufficientCapacity, NoMatchingOffers, PolicyNotFound
from molt_market.orderbook import OrderBook
from molt_market.refusals import Paused
from tests.factories import NOON, POLICY_ID, make_offer, make_order


def molt(tokens: int) -> Amount:
    return Amount.from_molt(tokens)


@pytest.fixture
def offered(book: OrderBook) -> OrderBook:
    """Eight GPUs at 10 and eight at 12; the orders of these tests take 4 for 8 hours."""
    book.add_offer(make_offer())
    book.add_offer(make_offer(id="offer-2", slot=1, price_per_hour=molt(12)))
    return book


def test_quote__fits__is_what_execute_does(offered: OrderBook) -> None:
    quote = offered.quote(make_order())
    assert (quote.offers, quote.missing_gpus, quote.obstacle) == (2, 0, None)
    assert (quote.least_cost, quote.most_cost) == (molt(320), molt(384))
    assert quote.fill == offered.execute(make_order(), NOON.replace(second=59)).fill


def test_quote__changes_nothing(offered: OrderBook) -> None:
    assert offered.quote(make_order()) == offered.quote(make_order())
    assert offered.pending_orders() == []


def test_quote__in_parts__costs_the_sum__and_tells_what_is_missing(offered: OrderBook) -> None:
    quote = offered.quote(make_order(min_gpu_count=20, slot=None, split=True, min_quantity=1))
    assert quote.fill is not None
    assert [match.gpu_count for match in quote.fill.matches] == [8, 8]
    assert (quote.offers, quote.missing_gpus) == (0, 4)
    assert quote.least_cost == quote.most_cost == molt(8 * 8 * 22)


def test_quote__nothing__tells_why(book: OrderBook, offered: OrderBook) -> None:
    quote = offered.quote(make_order(min_gpu_count=9))
    assert (quote.fill, quote.least_cost, quote.most_cost, quote.missing_gpus) == (None, None, None, 9)
    assert isinstance(quote.obstacle, InsufficientCapacity)
    assert isinstance(offered.quote(make_order(min_vram_gb=141)).obstacle, NoMatchingOffers)


def test_quote__the_chain_is_asked__tells_its_refusal(offered: OrderBook) -> None:
    offered.check = lambda _offer, _order: Paused(0, 1)
    quote = offered.quote(make_order())
    assert isinstance(quote.obstacle, Paused)
    assert (quote.fill, quote.offers) == (None, 2)


def test_quote__order_over__raises(book: OrderBook) -> None:
    with pytest.raises(Expired):
        book.quote(make_order(created_at=NOON.replace(hour=1), expires_at=NOON))


def test_dispute_reserve__is_the_bond_of_each_part(offered: OrderBook) -> None:
    asked: list[Hash32] = []

    def bond_bps(policy_id: Hash32) -> int:
        asked.append(policy_id)
        return 1_000

    offered.bond_bps = bond_bps
    assert offered.quote(make_order()).dispute_reserve == molt(32)
    both = offered.quote(make_order(min_gpu_count=16, slot=None, split=True))
    assert both.dispute_reserve == molt(64 + 76) + Amount(8 * 10**17)
    assert set(asked) == {POLICY_ID}


@pytest.mark.parametrize("fields", [{"policy_id": None}, {}])
def test_dispute_reserve__policy_not_known__is_none(book: OrderBook, fields: dict[str, Any]) -> None:
    def bond_bps(policy_id: Hash32) -> int:
        raise PolicyNotFound(policy_id)

    book.add_offer(make_offer(**fields))
    assert book.quote(make_order(**fields)).dispute_reserve is None  # nobody is there to ask
    book.bond_bps = bond_bps
    assert book.quote(make_order(**fields)).dispute_reserve is None
