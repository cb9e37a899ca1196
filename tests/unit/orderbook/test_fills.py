"""Whole and partial fills, by one provider and by several; what they cost; and why there is none."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import EscrowId, OfferId, OrderId
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, OrderStatus, TimeInForce
from molt_market.errors import (
    Expired,
    InsufficientCapacity,
    InvalidStateTransition,
    InvalidValue,
    MarketError,
    NoMatchingOffers,
    PriceExceedsBudget,
)
from molt_market.orderbook import OrderBook, ScoreWeights
from molt_market.refusals import Paused, ProviderBalance
from molt_market.testing import ManualClock
from tests.factories import AGENT, NOON, PROVIDER, STRANGER, make_offer, make_order
from tests.oracle import fills as oracle
from tests.oracle.market import Market
from tests.unit.orderbook import strategies as some
from tests.unit.orderbook.mirror import offer_as_dict, order_as_dict, ours, second, theirs

SECOND = timedelta(seconds=1)
SOON = NOON + 60 * SECOND
ORDER = OrderId("order-1")


def molt(tokens: int) -> Amount:
    return Amount.from_molt(tokens)


def need(gpus: int, **overrides: Any) -> JobOrder:
    """Make an order of so many GPUs for one hour, not bound to a slot, at up to 15 MOLT."""
    return make_order(**{"min_gpu_count": gpus, "estimated_hours": 1, "slot": None, **overrides})


def listed(book: OrderBook, *offers: tuple[int, int], **overrides: Any) -> None:
    """List offers of (GPUs, MOLT), each with a slot of its own."""
    for number, (gpus, price) in enumerate(offers, start=1):
        fields = {"id": f"offer-{number}", "slot": number, "gpu_count": gpus, "price_per_hour": molt(price)}
        book.add_offer(make_offer(**{**fields, **overrides}))


def parts(book: OrderBook, order: JobOrder) -> list[tuple[str, str, int]]:
    return [(match.order_id, match.offer_id, match.gpu_count) for match in book.fill(order).matches]


def status(book: OrderBook, order_id: str = ORDER) -> OrderStatus:
    return book.order(OrderId(order_id)).status


# ---------------------------------------------------------------------------------- what an order may say


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"min_quantity": 9}, "above the 8 GPUs"),
        ({"min_quantity": 4, "time_in_force": TimeInForce.FOK}, "fill-or-kill"),
        ({"min_quantity": 4, "slot": 3}, "has a slot"),
        ({"split": True, "offer_hash": "0x" + "01" * 32}, "an offer"),
        ({"min_quantity": 0}, "greater than or equal to 1"),
        ({"split": True, "id": "x" * 118}, "at most 117 characters"),
    ],
)
def test_order__that_cannot_be_filled_so__is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        need(8, **fields)


def test_submit_order__that_does_not_wait__is_for_execute(book: OrderBook) -> None:
    with pytest.raises(InvalidValue, match="execute it"):
        book.submit_order(need(8, time_in_force=TimeInForce.IOC))


# ---------------------------------------------------------------------------------- fill


def test_fill__whole_by_one__is_the_best_match_of_the_order_itself(book: OrderBook) -> None:
    listed(book, (8, 10), (8, 9))
    order = need(8)
    assert list(book.fill(order).matches) == book.match_order(order)[:1]
    assert book.fill(order).total_cost == molt(72)


def test_fill__less_than_the_least_of_one__raises_insufficient_capacity(book: OrderBook) -> None:
    listed(book, (5, 10), (4, 9))
    with pytest.raises(InsufficientCapacity) as refusal:
        book.fill(need(8, min_quantity=6))
    assert (refusal.value.required, refusal.value.available) == (6, 5)


def test_fill__minimum_quantity__is_the_most_that_one_brings(book: OrderBook) -> None:
    listed(book, (5, 10), (4, 9))
    assert parts(book, need(8, min_quantity=4)) == [("order-1.1", "offer-1", 5)]


def test_fill__split__takes_the_best_first(book: OrderBook) -> None:
    listed(book, (4, 10), (4, 8), (8, 12))
    order = need(12, split=True)
    assert parts(book, order) == [
        ("order-1.1", "offer-2", 4),
        ("order-1.2", "offer-1", 4),
        ("order-1.3", "offer-3", 4),
    ]
    assert book.fill(order).total_cost == molt(120)
    assert [match.order.budget for match in book.fill(order).matches] == [molt(32), molt(40), molt(48)]


def test_fill__budget_for_the_sum__leaves_the_best_offer_as_far_as_the_rest_needs_it(book: OrderBook) -> None:
    """The preferred H100 costs 12, the others 7: 8 GPUs for 66 are two H100 and six others."""
    listed(book, (8, 12))
    book.add_offer(make_offer(id="a100", slot=9, gpu_model="A100", price_per_hour=molt(7)))
    order = need(8, split=True, max_budget=molt(66), preferred_models=["H100"])
    assert parts(book, order) == [("order-1.1", "offer-1", 2), ("order-1.2", "a100", 6)]


def test_fill__budget_too_small__raises_with_the_cheapest_total(book: OrderBook) -> None:
    listed(book, (4, 12), (4, 6))
    with pytest.raises(PriceExceedsBudget) as refusal:
        book.fill(need(8, split=True, max_budget=molt(71)))
    assert (refusal.value.price, refusal.value.budget) == (molt(72), molt(71))


def test_fill__limit_too_low__raises_with_the_price_that_brings_enough(book: OrderBook) -> None:
    listed(book, (4, 18), (4, 6))
    with pytest.raises(PriceExceedsBudget) as refusal:
        book.fill(need(8, split=True))
    assert (refusal.value.price, refusal.value.budget) == (molt(144), molt(120))


def test_fill__nothing_meets_the_needs__raises_no_matching_offers(book: OrderBook) -> None:
    listed(book, (4, 10))
    with pytest.raises(NoMatchingOffers):
        book.fill(need(4, split=True, min_vram_gb=141))


def test_fill__two_offers_of_one_slot__share_its_gpus__the_smaller_is_opened_first(book: OrderBook) -> None:
    """An offer of eight at 12, and on the same GPUs one of four at 10: eight GPUs in all."""
    for each, gpus, price in (("dear", 8, 12), ("cheap", 4, 10)):
        book.add_offer(make_offer(id=each, slot=1, gpu_count=gpus, price_per_hour=molt(price)))
    order = need(12, split=True, min_quantity=1)
    assert parts(book, order) == [("order-1.1", "cheap", 4), ("order-1.2", "dear", 4)]
    assert book.execute(order, SOON).resting == 4
    assert book.offer(OfferId("dear")).status == "filled"


def test_fill__changes_nothing(book: OrderBook) -> None:
    listed(book, (4, 10), (4, 8))
    order = need(8, split=True)
    assert book.fill(order) == book.fill(order)
    assert book.pending_orders() == []


# ---------------------------------------------------------------------------------- execute


def test_execute__good_till_cancelled__the_rest_waits_and_is_filled_later(book: OrderBook) -> None:
    listed(book, (4, 10))
    first = book.execute(need(12, split=True, min_quantity=2), SOON)
    assert [r.gpu_count for r in first.reservations] == [4]
    assert (first.resting, status(book), status(book, "order-1.1")) == (8, "pending", "matched")
    book.add_offer(make_offer(id="later", slot=7))
    (second_,) = book.clear(SOON)
    assert [(r.order_id, r.gpu_count) for r in second_.reservations] == [("order-1.2", 8)]
    assert (second_.resting, status(book)) == (0, "matched")
    assert book.clear(SOON) == []


def test_execute__nothing_there__good_till_cancelled_waits(book: OrderBook) -> None:
    done = book.execute(need(4), SOON)
    assert (done.fill, done.reservations, done.resting) == (None, (), 4)
    assert isinstance(done.obstacle, NoMatchingOffers)
    assert status(book) == "pending"


@pytest.mark.parametrize("type_", [TimeInForce.IOC, TimeInForce.FOK])
def test_execute__nothing_there__the_others_do_not(book: OrderBook, type_: TimeInForce) -> None:
    with pytest.raises(NoMatchingOffers):
        book.execute(need(4, time_in_force=type_), SOON)
    assert book.pending_orders() == []


def test_execute__immediate_or_cancel__the_rest_is_cancelled(book: OrderBook) -> None:
    listed(book, (4, 10))
    done = book.execute(need(12, split=True, min_quantity=2, time_in_force=TimeInForce.IOC), SOON)
    assert (done.resting, status(book), status(book, "order-1.1")) == (0, "cancelled", "matched")


def test_execute__fill_or_kill__takes_all_or_holds_nothing(book: OrderBook) -> None:
    listed(book, (4, 10), (4, 8))
    order = need(9, split=True, time_in_force=TimeInForce.FOK)
    with pytest.raises(InsufficientCapacity):
        book.execute(order, SOON)
    assert len(book.match_order(need(4, id="order-2"))) == 2  # nothing is held
    done = book.execute(need(8, split=True, time_in_force=TimeInForce.FOK), SOON)
    assert sum(r.gpu_count for r in done.reservations) == 8
    assert book.active_offers() == []


def test_execute__times_as_reserve__changes_nothing(book: OrderBook) -> None:
    listed(book, (4, 10))
    with pytest.raises(InvalidValue, match="more than 120 seconds"):
        book.execute(need(4), NOON + 121 * SECOND)
    with pytest.raises(Expired):
        book.execute(need(4, created_at=NOON - 9 * SECOND, expires_at=NOON), SOON)
    assert book.pending_orders() == []


def test_execute__twice__nothing_is_matched_twice(book: OrderBook) -> None:
    listed(book, (8, 10))
    book.execute(need(4), SOON)
    with pytest.raises(InvalidStateTransition):
        book.execute(need(4), SOON)


def test_parts__lapse__and_their_gpus_are_the_orders_again(book: OrderBook, clock: ManualClock) -> None:
    listed(book, (4, 10), (4, 8))
    book.execute(need(8, split=True), SOON)
    clock.advance(60)
    assert (status(book), status(book, "order-1.1")) == ("pending", "cancelled")
    assert parts(book, need(8, split=True)) == [("order-1.3", "offer-2", 4), ("order-1.4", "offer-1", 4)]


def test_parts__open_and_closed__the_order_stands_where_the_last_one_stands(book: OrderBook) -> None:
    listed(book, (4, 10), (4, 8))
    done = book.execute(need(8, split=True), SOON)
    for number, reservation in enumerate(done.reservations, start=1):
        assert status(book) == "matched"
        book.confirm(reservation, EscrowId(f"0x{number:064x}"))
    assert status(book) == "escrowed"
    book.advance_order(OrderId("order-1.1"), OrderStatus.RUNNING)
    assert status(book) == "escrowed"
    book.advance_order(OrderId("order-1.2"), OrderStatus.RUNNING)
    assert status(book) == "running"
    with pytest.raises(InvalidValue, match="name one of them"):
        book.advance_order(ORDER, OrderStatus.COMPLETED)


def test_cancel_order__in_parts__frees_what_is_reserved__and_leaves_open_deals(book: OrderBook) -> None:
    listed(book, (4, 10), (4, 8), (4, 9))
    done = book.execute(need(16, split=True, min_quantity=1), SOON)
    book.confirm(done.reservations[0], EscrowId("0x" + "01" * 32))
    book.cancel_order(ORDER)
    assert (status(book), status(book, "order-1.1"), status(book, "order-1.2")) == (
        "cancelled",
        "escrowed",
        "cancelled",
    )
    assert [offer.id for offer in book.active_offers()] == ["offer-1", "offer-3"]


def test_budget__of_later_parts__is_what_earlier_ones_left(book: OrderBook) -> None:
    order = need(8, split=True, min_quantity=1, max_budget=molt(70))
    listed(book, (4, 10))
    book.execute(order, SOON)
    book.add_offer(make_offer(id="later", slot=7, price_per_hour=molt(11)))
    assert parts(book, order) == [("order-1.2", "later", 2)]  # 30 are left


def test_match_order__filled_in_parts__asks_for_its_fill(book: OrderBook) -> None:
    listed(book, (4, 10))
    order = need(8, split=True, min_quantity=1)
    book.execute(order, SOON)
    with pytest.raises(InvalidValue, match="filled in parts"):
        book.match_order(order)


def test_cancel_order__a_part__gives_its_gpus_back_to_the_order(book: OrderBook) -> None:
    listed(book, (4, 10))
    book.execute(need(8, min_quantity=1), SOON)
    book.cancel_order(OrderId("order-1.1"))
    assert (status(book), status(book, "order-1.1")) == ("pending", "cancelled")
    assert parts(book, need(8, min_quantity=1)) == [("order-1.2", "offer-1", 4)]


def test_execute__somebody_has_the_id_of_a_part__takes_the_next_number(book: OrderBook) -> None:
    """Whoever knows an order's id could otherwise keep it from being filled."""
    listed(book, (4, 10), (4, 9))
    for number in (1, 3):
        book.submit_order(need(1, id=f"order-1.{number}", buyer_id=STRANGER, max_price_per_hour=molt(1)))
    done = book.execute(need(8, split=True), SOON)
    assert [r.order_id for r in done.reservations] == ["order-1.2", "order-1.4"]
    assert (status(book, "order-1.1"), status(book, "order-1.3")) == ("pending", "pending")


def test_execute__an_order_in_parts__is_filled_as_it_came_in(book: OrderBook) -> None:
    listed(book, (4, 10))
    book.execute(need(8, split=True, min_quantity=1), SOON)
    book.add_offer(make_offer(id="later", slot=7))
    for gpus in (2, 99):  # whatever the same id comes with
        assert parts(book, need(gpus, split=True, min_quantity=1)) == [("order-1.2", "later", 4)]


# ---------------------------------------------------------------------------------- what the chain says


def test_fill__an_offer_that_could_not_be_opened__is_left_out(book: OrderBook) -> None:
    listed(book, (4, 10), (4, 8))
    book.check = lambda offer, order: ProviderBalance(0, 5) if offer.id == "offer-2" else None  # noqa: ARG005
    assert parts(book, need(8, split=True, min_quantity=1)) == [("order-1.1", "offer-1", 4)]
    with pytest.raises(ProviderBalance):
        book.fill(need(8, split=True))
    held = book.execute(need(8, split=True, min_quantity=1), SOON).reservations
    assert [(r.offer_id, r.gpu_count) for r in held] == [("offer-1", 4)]


def test_fill__what_no_other_offer_mends__is_raised_at_once(book: OrderBook) -> None:
    listed(book, (4, 10), (4, 8))
    asked = []

    def check(offer: CapacityOffer, order: JobOrder) -> MarketError | None:
        asked.append((offer.id, order.id))
        return Paused(0, 1)

    book.check = check
    with pytest.raises(Paused):
        book.fill(need(4))
    assert asked == [("offer-2", ORDER)]


# ---------------------------------------------------------------------------------- any book


@st.composite
def some_offers(draw: st.DrawFn) -> list[CapacityOffer]:
    """Make up to four offers, some of them on slots that they share, some of them on slots partly in use."""
    count = draw(st.integers(0, 4))
    return [
        make_offer(
            id=f"offer-{number}",
            provider_id=draw(st.sampled_from([PROVIDER, AGENT])),
            agent=None,
            slot=draw(st.integers(0, 1)),
            gpu_count=draw(st.integers(1, 5)),
            price_per_hour=Amount(draw(some.prices)),
            gpu_model=draw(some.models),
            vram_gb=draw(some.mostly(80, 24)),
            policy_id=None,
        )
        for number in range(count)
    ]


@st.composite
def some_orders(draw: st.DrawFn) -> JobOrder:
    gpus = draw(st.integers(1, 8))
    limit = draw(some.prices)
    return make_order(
        slot=None,
        policy_id=None,
        min_gpu_count=gpus,
        estimated_hours=draw(st.integers(1, 2)),
        min_quantity=draw(st.none() | st.integers(1, gpus)),
        split=draw(st.booleans()),
        max_price_per_hour=Amount(limit),
        max_budget=draw(st.none() | st.integers(1, 9 * 8 * 10**18).map(Amount)),
        preferred_models=draw(some.model_lists),
    )


@given(some_offers(), st.none() | st.integers(1, 3), some_orders(), some.weights())
def test_fill__any_book__is_what_the_oracle_finds_by_trying_all(
    offers: list[CapacityOffer], held: int | None, order: JobOrder, weights: ScoreWeights
) -> None:
    book, market = OrderBook(ManualClock(NOON), weights=weights), Market(asdict(weights))
    for offer in offers:
        book.add_offer(offer)
        market.add_offer(offer_as_dict(offer), second(NOON))
    if held and offers and held <= offers[0].gpu_capacity.gpu_count:
        hold(book, market, offers[0], held)
    asked, now = order_as_dict(order), second(NOON)
    its = theirs(lambda: oracle.fill(market, asked, now))
    mine = ours(lambda: book.fill(order))
    if isinstance(its, tuple):
        assert mine == its
        return
    assert {match.offer_id: match.gpu_count for match in mine.matches} == its
    assert mine.total_cost <= order.budget
    opened = [(offer_as_dict(match.offer), match.gpu_count) for match in mine.matches]
    assert oracle.can_be_opened(market, opened, now)
    done = book.execute(order, SOON)
    assert [r.gpu_count for r in done.reservations] == [gpus for _, gpus in opened]
    assert done.resting == order.requirements.min_gpu_count - mine.gpu_count


def hold(book: OrderBook, market: Market, offer: CapacityOffer, gpus: int) -> None:
    """Let somebody have some of an offer's GPUs."""
    other = make_order(
        id="other",
        buyer_id=STRANGER,
        policy_id=None,
        min_gpu_count=gpus,
        min_vram_gb=0,
        estimated_hours=1,
        max_price_per_hour=offer.price_per_hour,
    )
    matches = [match for match in book.match_order(other) if match.offer_id == offer.id]
    assume(matches)
    book.reserve(matches[0], SOON)
    market.reserve(offer_as_dict(offer), order_as_dict(other), second(SOON), second(NOON))
