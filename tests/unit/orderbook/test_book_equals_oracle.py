"""Random books, orders and sequences of operations: the book answers as the brute-force oracle does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from molt_market.domain.ids import EscrowId, Hash32, OfferId, OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, JobRequirements
from molt_market.orderbook import OfferIndex, OrderBook, PriceIndex, Reservation, ScoreWeights
from molt_market.testing import ManualClock
from tests.factories import NOON, make_match
from tests.oracle.market import Market
from tests.unit.orderbook import strategies as some
from tests.unit.orderbook.indexes import compiled_index, with_both_indexes
from tests.unit.orderbook.mirror import (
    match_as_answer,
    offer_as_dict,
    order_as_dict,
    ours,
    second,
    theirs,
)

OFFER_IDS = [f"offer-{number}" for number in range(12)]
ORDER_IDS = [f"order-{number}" for number in range(9)]
DEAL_IDS = [EscrowId(f"0x{number:064x}") for number in range(4)]

ORDER_SLOTS = st.sampled_from([None, 0, 1, 2, 3, 4, 5])

hashes = some.mostly(None, *some.OFFER_HASHES)
any_offer = some.plain_offers(st.sampled_from(OFFER_IDS)) | some.offers(st.sampled_from(OFFER_IDS))
any_order = some.plain_orders(st.sampled_from(ORDER_IDS), ORDER_SLOTS) | some.orders(
    st.sampled_from(ORDER_IDS), ORDER_SLOTS
)


@st.composite
def books(draw: st.DrawFn) -> list[tuple[CapacityOffer, Hash32 | None]]:
    size = draw(st.integers(0, len(OFFER_IDS)))
    return [(draw(some.offers(st.just(each))), draw(hashes)) for each in OFFER_IDS[:size]]


@with_both_indexes
@given(books(), some.orders(st.sampled_from(ORDER_IDS), st.just(0)), some.weights())
def test_match_order__any_book__equals_the_oracle(
    make_index: Callable[[], OfferIndex],
    offers: list[tuple[CapacityOffer, Hash32 | None]],
    order: JobOrder,
    weights: ScoreWeights,
) -> None:
    """Matches, their order, totals and scores; or the error with its values."""
    book, market, now = filled(make_index(), offers, weights)
    assert ours(lambda: answers(book, order)) == theirs(lambda: market.match_order(order_as_dict(order), now))


@with_both_indexes
@given(books(), some.requirements(), st.integers(0, 13), some.weights())
def test_best_offers__any_book__equals_the_oracle(
    make_index: Callable[[], OfferIndex],
    offers: list[tuple[CapacityOffer, Hash32 | None]],
    needs: JobRequirements,
    limit: int,
    weights: ScoreWeights,
) -> None:
    book, market, now = filled(make_index(), offers, weights)
    wanted = order_as_dict(make_match().order.model_copy(update={"requirements": needs}))
    assert [o.id for o in book.best_offers(needs, limit)] == market.best_offers(wanted, limit, now)


@with_both_indexes
@given(
    books(),
    st.lists(some.orders(st.just("any"), ORDER_SLOTS) | some.plain_orders(st.just("any"), st.none())),
    some.weights(),
)
def test_clear__any_book__equals_the_oracle(
    make_index: Callable[[], OfferIndex],
    offers: list[tuple[CapacityOffer, Hash32 | None]],
    orders: list[JobOrder],
    weights: ScoreWeights,
) -> None:
    """Orders that wait are served by time and id, each with the best offer that is left."""
    book, market, now = filled(make_index(), offers, weights)
    for number, order in enumerate(orders):
        named = order.model_copy(update={"id": f"order-{number:03d}"})
        mine = ours(lambda: book.submit_order(named))  # noqa: B023 - called at once
        assert mine == (theirs(lambda: market.submit_order(order_as_dict(named), now)) or named.id)  # noqa: B023
    until = NOON + timedelta(seconds=60)
    fills = [(done.order.id, done.fill.matches) for done in book.clear(until) if done.fill is not None]
    mine = [(order_id, match_as_answer(match)) for order_id, matches in fills for match in matches]
    assert mine == market.clear(second(until), now)
    assert [o.id for o in book.pending_orders()] == market.pending_orders(now)
    assert [o.id for o in book.active_offers()] == market.active_offers(now)


def filled(
    index: OfferIndex, offers: list[tuple[CapacityOffer, Hash32 | None]], weights: ScoreWeights
) -> tuple[OrderBook, Market, int]:
    clock = ManualClock(NOON)
    now = second(clock.now())
    book, market = OrderBook(clock, weights=weights, index=index), Market(asdict(weights))
    for offer, offer_hash in offers:
        mine = ours(partial(book.add_offer, offer, offer_hash=offer_hash))
        its = theirs(partial(market.add_offer, offer_as_dict(offer, offer_hash), now))
        assert mine == (its or offer.id)
    return book, market, now


def answers(book: OrderBook, order: JobOrder) -> list[Any]:
    return [match_as_answer(match) for match in book.match_order(order)]


class BookMachine(RuleBasedStateMachine):
    """The book beside the oracle, operation by operation, as time goes on."""

    matches = Bundle("matches")
    reservations = Bundle("reservations")
    make_index: Callable[[], OfferIndex] = PriceIndex

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(NOON)
        self.book = OrderBook(self.clock, index=self.make_index())
        self.market = Market(asdict(ScoreWeights()))
        self.hashes: dict[OfferId, Hash32 | None] = {}

    @property
    def now(self) -> int:
        return second(self.clock.now())

    @initialize(offers=st.lists(any_offer, min_size=3, max_size=6))
    def open_the_market(self, offers: list[CapacityOffer]) -> None:
        for offer in offers:
            self.add_offer(offer, None)

    @rule(seconds=st.sampled_from([1, 10, 59, 60]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(offer=any_offer, offer_hash=hashes)
    def add_offer(self, offer: CapacityOffer, offer_hash: Hash32 | None) -> None:
        mine = ours(lambda: self.book.add_offer(offer, offer_hash=offer_hash))
        its = theirs(lambda: self.market.add_offer(offer_as_dict(offer, offer_hash), self.now))
        assert mine == (its or offer.id)
        if its is None:
            self.hashes[offer.id] = offer_hash

    @rule(offer_id=st.sampled_from(OFFER_IDS))
    def remove_offer(self, offer_id: str) -> None:
        mine = ours(lambda: self.book.remove_offer(OfferId(offer_id)))
        assert mine == theirs(lambda: self.market.remove_offer(offer_id))

    @rule(order=any_order)
    def submit_order(self, order: JobOrder) -> None:
        mine = ours(lambda: self.book.submit_order(order))
        assert mine == (theirs(lambda: self.market.submit_order(order_as_dict(order), self.now)) or order.id)

    @rule(order_id=st.sampled_from(ORDER_IDS))
    def cancel_order(self, order_id: str) -> None:
        mine = ours(lambda: self.book.cancel_order(OrderId(order_id)))
        assert mine == theirs(lambda: self.market.cancel_order(order_id, self.now))

    @rule(target=matches, order=any_order)
    def match_order(self, order: JobOrder) -> Any:
        found = ours(lambda: self.book.match_order(order))
        mine = [match_as_answer(m) for m in found] if isinstance(found, list) else found
        assert mine == theirs(lambda: self.market.match_order(order_as_dict(order), self.now))
        return multiple(*found[:3]) if isinstance(found, list) else multiple()

    @rule(target=reservations, order=some.plain_orders(st.sampled_from(ORDER_IDS), ORDER_SLOTS))
    def take_the_best(self, order: JobOrder) -> Any:
        found = ours(lambda: self.book.match_order(order))
        return self.reserve(found[0], 60) if isinstance(found, list) and found else multiple()

    @rule(target=reservations, match=matches, seconds=st.sampled_from([0, 1, 60, 120, 121]))
    def reserve(self, match: OrderMatch, seconds: int) -> Any:
        until = self.clock.now() + timedelta(seconds=seconds)
        offer = offer_as_dict(match.offer, self.hashes.get(match.offer_id))
        before = len(self.market.holds)
        mine = ours(lambda: self.book.reserve(match, until))
        its = theirs(lambda: self.market.reserve(offer, order_as_dict(match.order), second(until), self.now))
        if not isinstance(mine, Reservation):
            assert mine == its
            return multiple()
        assert mine.id == its + 1  # also of a match that was reserved before
        if its == before:  # else nothing more is held
            held = self.market.held(mine.provider_id, mine.slot, self.now)
            assert held <= match.offer.gpu_capacity.gpu_count
        return mine

    @rule(reservation=reservations, deal_id=st.sampled_from(DEAL_IDS))
    def confirm(self, reservation: Reservation, deal_id: EscrowId) -> None:
        mine = ours(lambda: self.book.confirm(reservation, deal_id))
        assert mine == theirs(lambda: self.market.confirm(reservation.id - 1, deal_id, self.now))

    @rule(reservation=reservations)
    def release(self, reservation: Reservation) -> None:
        mine = ours(lambda: self.book.release(reservation))
        assert mine == theirs(lambda: self.market.release(reservation.id - 1))

    @rule(deal_id=st.sampled_from(DEAL_IDS))
    def free(self, deal_id: EscrowId) -> None:
        assert self.book.free(deal_id) == self.market.free_deal(deal_id)

    @invariant()
    def stands_as_the_oracle_says(self) -> None:
        assert [o.id for o in self.book.active_offers()] == self.market.active_offers(self.now)
        assert [o.id for o in self.book.pending_orders()] == self.market.pending_orders(self.now)
        for entry in self.market.orders:
            status = self.book.order(OrderId(entry["order"]["id"])).status
            assert status.name == self.market.status(entry, self.now)
        for offer in self.market.offers:
            status_ = self.book.offer(OfferId(offer["id"])).status
            assert status_.name == self.market.offer_status(offer["id"], self.now)


class CompiledBookMachine(BookMachine):
    """The same, with the compiled index."""

    make_index = staticmethod(compiled_index)


TestBookMachine = BookMachine.TestCase
TestCompiledBookMachine = CompiledBookMachine.TestCase
