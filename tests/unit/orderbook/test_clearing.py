"""Clearing for most surplus: held to an oracle that tries everything, and to what the book would reserve."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molt_market.domain.amounts import Amount
from molt_market.domain.fields import MAX_UINT96
from molt_market.domain.ids import Hash32, OfferId, OrderId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, OrderStatus
from molt_market.errors import InvalidValue, MarketError
from molt_market.orderbook import Clearing, OrderBook
from molt_market.orderbook.compiled.blocks import BlockIndex
from molt_market.orderbook.compiled.surplus import Clearing as OneEach
from molt_market.orderbook.compiled.surplus import Sharing
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.index import PriceIndex
from molt_market.orderbook.listing import Listing, Pool
from molt_market.refusals import OrderCancelled, ProviderBalance
from molt_market.testing import ManualClock
from tests.factories import BUYER, NOON, STRANGER, make_offer, make_requirements
from tests.oracle import surplus as oracle
from tests.oracle.market import Market
from tests.unit.orderbook import strategies as some
from tests.unit.orderbook.indexes import compiled_index
from tests.unit.orderbook.mirror import offer_as_dict, order_as_dict

UNTIL = NOON + timedelta(seconds=60)
SECOND = int(NOON.timestamp())
MODES = pytest.mark.parametrize("share_slots", [False, True], ids=["one order a slot", "slots are shared"])

# equal prices, prices that differ in the last of 18 decimals, and any that can be paid for
PRICES = st.sampled_from([10**18, 10**18 + 1, 10**18 + 2, 2 * 10**18]) | st.integers(1, MAX_UINT96 // 100)


def make_book() -> OrderBook:
    return OrderBook(ManualClock(NOON), index=compiled_index())


def order_of(number: int, limit: int, gpus: int = 4, **fields: object) -> JobOrder:
    needs = make_requirements(
        max_price_per_hour=Amount(limit), min_gpu_count=gpus, estimated_hours=1, min_vram_gb=0
    )
    given = {"id": f"order-{number}", "buyer_id": BUYER, "requirements": needs, "created_at": NOON, **fields}
    return JobOrder(**given)


def offer_of(number: int, price: int, gpus: int = 4, slot: int | None = None) -> CapacityOffer:
    slot = number if slot is None else slot
    return make_offer(id=f"offer-{number}", price_per_hour=Amount(price), gpu_count=gpus, slot=slot)


def pairs(cleared: list[Clearing]) -> dict[OrderId, OfferId]:
    found = [each.fill for clearing in cleared for each in clearing.executions if each.fill is not None]
    return {match.order_id: match.offer_id for fill in found for match in fill.matches}


# ------------------------------------------------------------------------------------ held to the oracle


@MODES
@settings(max_examples=60)
@given(
    offers=st.lists(some.offers(st.just("any")), max_size=5),
    orders=st.lists(some.orders(st.just("any"), st.sampled_from([None, None, None, 1])), max_size=4),
    hashes=st.lists(some.mostly(None, *some.OFFER_HASHES), min_size=5, max_size=5),
)
def test_clear_for_surplus__any_small_market__is_between_the_greedy_ways_and_the_optimum(
    share_slots: bool,  # noqa: FBT001
    offers: list[CapacityOffer],
    orders: list[JobOrder],
    hashes: list[Hash32 | None],
) -> None:
    book, market = make_book(), Market({})
    for number, (offer, named) in enumerate(zip(offers, hashes, strict=False)):
        listed = offer.model_copy(update={"id": OfferId(f"{number}")})
        try:
            book.add_offer(listed, offer_hash=named)
        except MarketError:
            continue
        market.add_offer(offer_as_dict(listed, named), SECOND)
    taking_part, slots = [], set()
    for number, order in enumerate(sorted(orders, key=lambda order: order.created_at)):
        each = order.model_copy(update={"id": OrderId(f"{number}")})
        try:
            book.submit_order(each)
        except MarketError:
            continue
        slot = (each.buyer_id, each.slot)
        if each.created_at <= NOON and (each.slot is None or slot not in slots):
            taking_part.append(order_as_dict(each))
            slots.add(slot)
    cleared = book.clear_for_surplus(UNTIL, share_slots=share_slots)
    by_token = {clearing.surplus.token.symbol: clearing for clearing in cleared}
    assert by_token.keys() == {order["token"] for order in taking_part}
    for token, clearing in by_token.items():
        own = [order for order in taking_part if order["token"] == token]
        held = tuple(
            (next(o for o in own if o["id"] == order), next(o for o in market.offers if o["id"] == offer))
            for order, offer in pairs([clearing]).items()
        )
        assert oracle.is_allowed(market, held, SECOND, share_slots=share_slots)
        value, bound = clearing.surplus.base_units, clearing.bound.base_units
        assert value == oracle.gained(held)
        assert value <= oracle.best(market, own, SECOND, share_slots=share_slots) <= bound
        assert clearing.gap_millionths * bound >= (bound - value) * 1_000_000
        assert value >= oracle.in_turn(market, own, SECOND, share_slots=share_slots)
    assert all(book.order(order_id).status is OrderStatus.MATCHED for order_id in pairs(cleared))


@given(
    limits=st.lists(PRICES, min_size=1, max_size=9),
    prices=st.lists(PRICES, min_size=1, max_size=8),
    hours=st.sampled_from([1, 7, 24]),
)
def test_clear_for_surplus__one_order_a_slot__is_within_its_gap_of_the_optimum(
    limits: list[int], prices: list[int], hours: int
) -> None:
    book = make_book()
    for number, price in enumerate(prices):
        book.add_offer(offer_of(number, price))
    for number, limit in enumerate(limits):
        needs = make_requirements(
            max_price_per_hour=Amount(limit), min_gpu_count=1 + number % 4, estimated_hours=hours
        )
        book.submit_order(order_of(number, limit, requirements=needs))
    gains = [
        [(limit - price) * (1 + n % 4) * hours if price <= limit else None for price in prices]
        for n, limit in enumerate(limits)
    ]
    (cleared,) = book.clear_for_surplus(UNTIL, share_slots=False)
    optimum = oracle.best_assignment(gains)
    assert cleared.surplus.base_units <= optimum <= cleared.bound.base_units
    assert len(set(pairs([cleared]).values())) == len(cleared.executions)
    if max(limits) < 2**62 // 4 // hours:  # no unit was rounded: all that is left of a gap is the last steps
        assert cleared.bound.base_units - optimum <= optimum // 100 + 10 * len(limits)


@MODES
@given(
    limits=st.lists(PRICES, min_size=1, max_size=5),
    asks=st.lists(PRICES, min_size=1, max_size=5),
    paid=st.lists(PRICES | st.just(0), min_size=5, max_size=5),
)
def test_bound__whatever_the_slots_cost__is_not_below_the_optimum(
    share_slots: bool,  # noqa: FBT001
    limits: list[int],
    asks: list[int],
    paid: list[int],
) -> None:
    index = BlockIndex()
    for number, price in enumerate(asks):
        index.add(Listing.of(offer_of(number, price), Pool(), None))
    demands = [Demand.of_order(order_of(n, limit), NOON) for n, limit in enumerate(limits)]
    clearing = (Sharing if share_slots else OneEach)(index, demands, {})
    clearing._prepare()
    if isinstance(clearing, Sharing):
        clearing._gpus = np.full(len(demands), 4)
        clearing._rooms = clearing._free_of_slots()
    prices = np.array([min(each >> clearing._shift, 2**57) for each in paid[: len(asks)]], np.int64)
    gains = [[4 * (limit - price) if price <= limit else None for price in asks] for limit in limits]
    assert clearing._bound(prices) >= oracle.best_assignment(gains)


# ------------------------------------------------------------------------------------ examples


@MODES
def test_clear_for_surplus__more_gpus_than_a_column_holds__are_counted(
    share_slots: bool,  # noqa: FBT001
) -> None:
    book = make_book()
    book.add_offer(offer_of(0, 1, gpus=2**16 + 10))
    for number, gpus in enumerate((2**16, 9, 2, 1)):
        book.submit_order(order_of(number, 9, gpus))
    (cleared,) = book.clear_for_surplus(UNTIL, share_slots=share_slots)
    filled = {"order-0", "order-1", "order-3"} if share_slots else {"order-0"}
    assert pairs([cleared]).keys() == filled
    assert cleared.surplus == Amount(8 * (2**16 + (9 + 1) * share_slots))
    assert cleared.surplus <= cleared.bound


def test_clear_for_surplus__the_older_order_would_take_what_only_another_one_can_use() -> None:
    """By age 0 takes the cheap offer and 1 gets nothing: 20 - 1. Together they gain (20 - 8) + (5 - 1)."""
    book = make_book()
    book.add_offer(offer_of(0, 1))
    book.add_offer(offer_of(1, 8))
    book.submit_order(order_of(0, 10))
    book.submit_order(order_of(1, 9))
    book.submit_order(order_of(2, 1))
    (cleared,) = book.clear_for_surplus(UNTIL, share_slots=False)
    assert cleared.surplus == Amount(4 * (10 - 1 + 9 - 8))
    assert cleared.surplus <= cleared.bound <= cleared.surplus + Amount(6)
    assert book.order(OrderId("order-2")).status is OrderStatus.PENDING
    assert [book.offer(OfferId(f"offer-{each}")).status.name for each in (0, 1)] == ["FILLED", "FILLED"]
    assert not book.clear(UNTIL)


def test_clear_for_surplus__age_would_cost_surplus__the_auction_wins() -> None:
    book = make_book()
    book.add_offer(offer_of(0, 10 * 10**18))
    book.submit_order(order_of(0, 11 * 10**18))
    book.submit_order(order_of(1, 30 * 10**18, created_at=NOON))
    (cleared,) = book.clear_for_surplus(UNTIL, share_slots=False)
    assert pairs([cleared]) == {"order-1": "offer-0"}
    assert cleared.method == "auction"
    assert cleared.gap_millionths <= 1_000


@MODES
def test_clear_for_surplus__nothing_to_match__says_so(share_slots: bool) -> None:  # noqa: FBT001
    book = make_book()
    assert book.clear_for_surplus(UNTIL, share_slots=share_slots) == []
    book.add_offer(offer_of(0, 5))
    assert book.clear_for_surplus(UNTIL, share_slots=share_slots) == []
    book.submit_order(order_of(0, 4))
    (cleared,) = book.clear_for_surplus(UNTIL, share_slots=share_slots)
    assert (cleared.executions, cleared.surplus.base_units) == ((), 0)
    book.remove_offer(OfferId("offer-0"))
    (cleared,) = book.clear_for_surplus(UNTIL, share_slots=share_slots)
    assert cleared.surplus.base_units == 0 <= cleared.bound.base_units


def test_clear_for_surplus__in_parts_or_of_the_future__waits() -> None:
    book = make_book()
    book.add_offer(offer_of(0, 1, gpus=8))
    book.submit_order(order_of(0, 9, split=True))
    book.submit_order(order_of(1, 9, created_at=NOON + timedelta(seconds=1)))
    assert book.clear_for_surplus(UNTIL) == []


def test_clear_for_surplus__readable_index__names_the_other_one() -> None:
    book = OrderBook(ManualClock(NOON))
    book.submit_order(order_of(0, 9))
    with pytest.raises(InvalidValue, match=r"pip install 'molt-market\[matcher\]'.*index=CompiledIndex"):
        book.clear_for_surplus(UNTIL)
    with pytest.raises(InvalidValue, match="cannot clear for surplus"):
        PriceIndex().most_surplus([], {}, share_slots=True)


@pytest.mark.parametrize("seconds", [0, 121])
def test_clear_for_surplus__a_moment_that_cannot_be__is_refused(seconds: int) -> None:
    with pytest.raises(InvalidValue, match="until"):
        make_book().clear_for_surplus(NOON + timedelta(seconds=seconds))


# ------------------------------------------------------------------------------------ the chain


@MODES
def test_clear_for_surplus__the_chain_refuses_pairs__plans_anew_without_them(
    share_slots: bool,  # noqa: FBT001
) -> None:
    asked = []

    def check(offer: CapacityOffer, order: JobOrder) -> MarketError | None:
        asked.append((order.id, offer.id))
        if order.id == "order-2":
            return OrderCancelled(0, 1)
        return ProviderBalance(0, 1) if offer.id == "offer-0" else None

    book = make_book()
    book.check = check
    for number, price in enumerate((1, 2, 3)):
        book.add_offer(offer_of(number, price))
    for number in range(3):
        book.submit_order(order_of(number, 9 + number, buyer_id=STRANGER))
    (cleared,) = book.clear_for_surplus(UNTIL, share_slots=share_slots)
    assert pairs([cleared]).keys() == {"order-0", "order-1"}
    assert set(pairs([cleared]).values()) == {"offer-1", "offer-2"}
    assert len(asked) == len(set(asked))


def test_clear_for_surplus__the_chain_refuses_more_and_more__holds_what_it_does_not() -> None:
    book = make_book()
    book.check = lambda _, order: None if order.id == "order-0" else ProviderBalance(0, 1)
    for number in range(12):
        book.add_offer(offer_of(number, 1 + number))
    book.submit_order(order_of(0, 99))
    book.submit_order(order_of(1, 99))
    (cleared,) = book.clear_for_surplus(UNTIL, share_slots=False)
    assert pairs([cleared]).keys() == {"order-0"}
    assert book.order(OrderId("order-1")).status is OrderStatus.PENDING
