"""The market's store: no GPU is promised twice, whoever asks, and the feed tells every step without a gap."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from molt_market.domain.amounts import MOLT, Token
from molt_market.domain.deals import Deal, DealStatus
from molt_market.domain.documents import Document
from molt_market.domain.events import Block
from molt_market.domain.fields import seconds
from molt_market.domain.gpus import Location
from molt_market.domain.ids import EscrowId, Hash32, OfferId, OrderId, PartyId, TransactionId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import OfferStatus
from molt_market.domain.orders import OrderStatus
from molt_market.domain.terms import Terms
from molt_market.domain.updates import OfferPosted, OrderPosted
from molt_market.errors import (
    InsufficientCapacity,
    InvalidStateTransition,
    MarketError,
    OfferNotFound,
    OrderNotFound,
    TooManyDocuments,
    TooManyReservations,
)
from molt_market.indexer.ports import Checkpoint
from molt_market.indexer.records import DealRecord
from molt_market.orderbook import Depth, OrderBook
from molt_market.orderbook.replica import ReplicaBook
from molt_market.refusals import OrderAlreadyOpened
from molt_market.signing.statements import sign_voucher
from molt_market.signing.typed_data import Domain
from molt_market.storage import documents
from molt_market.storage.database import Database
from molt_market.storage.facts import SqlFacts
from molt_market.storage.holding import MOST_HELD
from molt_market.storage.market import SqlMarket
from molt_market.storage.schema import feed, pools, reservations
from molt_market.testing import ManualClock
from tests.factories import NOON, PROVIDER, make_match, make_offer, make_order, make_terms
from tests.unit.signing import keys

HERE = "31337:0xabc"
DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
SOON = NOON + timedelta(seconds=100)


@pytest.fixture
def market(database: Database) -> SqlMarket:
    return SqlMarket(database, HERE, MOLT)


def word(number: int) -> str:
    return f"0x{number:064x}"


def offer(number: int = 1, **fields: Any) -> Any:
    return make_offer(id=OfferId(word(number)), **fields)


def order(number: int = 1, **fields: Any) -> Any:
    return make_order(**{"id": OrderId(word(1_000 + number)), "slot": number, **fields})


def match(offered: Any, wanted: Any) -> OrderMatch:
    return make_match(offer=offered, order=wanted)


def deal(wanted: Any) -> EscrowId:
    return EscrowId(word(10**6 + int(wanted.id, 16)))


def reserve(market: SqlMarket, offered: Any, wanted: Any) -> Any:
    return market.reserve(match(offered, wanted), deal(wanted), SOON, NOON)


def held(database: Database) -> dict[tuple[str, int], int]:
    with database.reading() as connection:
        return {(row.provider, row.slot): row.held for row in connection.execute(select(pools))}


def kinds(market: SqlMarket) -> list[str]:
    items = market.feed(0, 1_000)
    assert [item.sequence for item in items] == list(range(1, len(items) + 1))
    return [item.update.kind for item in items]


def copy(market: SqlMarket) -> ReplicaBook:
    book = ReplicaBook(ManualClock(NOON), market)
    book.start(market.standing(NOON))
    return book


# ---------------------------------------------------------------- posting


def test_post__again__changes_nothing(market: SqlMarket) -> None:
    market.post_offers([offer(1), offer(2)], NOON)
    market.post_offers([offer(2), offer(3)], NOON)
    market.post_orders([order(1)], NOON)
    market.post_orders([order(1)], NOON)
    assert kinds(market) == ["offer_posted"] * 3 + ["order_posted"]
    assert market.offer(OfferId(word(3))) == offer(3)
    assert market.order(order(1).id).order == order(1)


def test_feed__tells_what_was_posted__which_is_written_once(market: SqlMarket, database: Database) -> None:
    market.post_offers([offer(1)], NOON)
    market.post_orders([order(1)], NOON)
    told = [item.update for item in market.feed(0, 10)]
    assert told == [OfferPosted(offer=offer(1)), OrderPosted(order=order(1))]
    with database.reading() as connection:
        assert connection.execute(select(feed.c.update)).scalars().all() == [None, None]


def test_remove__what_stood__is_off_the_book(market: SqlMarket) -> None:
    market.post_offers([offer(1), offer(2)], NOON)
    assert set(market.remove_offers([offer(1).id, offer(9).id], NOON)) == {offer(1).id}
    assert not market.remove_offers([offer(1).id], NOON)
    assert market.offer(offer(1).id).status is OfferStatus.CANCELLED
    assert [each.id for each in copy(market).active_offers()] == [offer(2).id]
    assert kinds(market)[2:] == ["offer_removed"]


def test_depth__is_that_of_a_book_that_has_read_all_offers(market: SqlMarket) -> None:
    chosen = random.Random(7)
    offered = [
        offer(
            number,
            slot=number % 9,
            gpu_count=chosen.randint(1, 8),
            gpu_model=chosen.choice(["H100", "A100"]),
            location=chosen.choice([None, Location(region="eu-west-1"), Location(country="DE")]),
            price_per_hour=make_offer().price_per_hour * chosen.randint(1, 5),
            created_at=NOON + timedelta(seconds=chosen.choice([-1, 0, 1])),
        )
        for number in range(1, 60)
    ]
    over = offer(99, created_at=NOON - timedelta(hours=2), expires_at=NOON)
    market.post_offers([*offered, over], NOON)
    for number in (1, 2, 3, 12):
        wanted = order(number, min_gpu_count=offered[number].gpu_capacity.gpu_count)
        with suppress(InsufficientCapacity):
            reserve(market, offered[number], wanted)
    market.remove_offers([each.id for each in offered[::5]], NOON)
    market.post_orders([order(50)], NOON)
    book = copy(market)
    for asked in [(), ("H100",), ("A100", "eu-west-1"), (None, "eu-west-1"), ("L40S",)]:
        whole = OrderBook.depth(book, *asked)
        assert book.depth(*asked) == whole
        assert book.depth(*asked, levels=2) == Depth(whole.asks[:2], whole.bids[:2])
    assert book.best_prices() == OrderBook.best_prices(book)
    assert book.best_prices(token=Token("USDC", 6)) == ()


def test_documents__more_than_a_deal_may_have__are_refused(
    market: SqlMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MOST", 3)
    vouchers = [
        Document(voucher=sign_voucher(deal(order(1)), number, keys.BUYER, DOMAIN)) for number in range(1, 5)
    ]
    for voucher in vouchers[:3]:
        market.post_document(voucher, keys.BUYER.address, NOON)
    with pytest.raises(TooManyDocuments):
        market.post_document(vouchers[3], keys.BUYER.address, NOON)
    assert market.post_document(vouchers[0], keys.BUYER.address, NOON) == 1  # it is there
    assert len(market.documents(deal(order(1)), 0, 10)) == 3


def test_unknown__is_told(market: SqlMarket) -> None:
    with pytest.raises(OfferNotFound):
        market.offer(OfferId(word(9)))
    with pytest.raises(OrderNotFound):
        market.order(OrderId(word(9)))
    assert market.buyer_of(EscrowId(word(9))) is None


# ---------------------------------------------------------------- holding


def test_reserve__until_all_are_taken__then_says_how_many_are_free(
    market: SqlMarket, database: Database
) -> None:
    market.post_offers([offer(1)], NOON)
    first = reserve(market, offer(1), order(1, min_gpu_count=5))
    assert (first.gpu_count, first.until, first.order_id) == (5, SOON, order(1).id)
    with pytest.raises(InsufficientCapacity) as refusal:
        reserve(market, offer(1), order(2, min_gpu_count=4))
    assert (refusal.value.required, refusal.value.available) == (4, 3)
    reserve(market, offer(1), order(3, min_gpu_count=3))
    assert held(database) == {(PROVIDER, 0): 8}
    with pytest.raises(OrderNotFound):  # what was refused left nothing
        market.order(order(2).id)


def test_reserve__offers_of_one_slot__share_its_gpus(market: SqlMarket) -> None:
    large, elsewhere = offer(2, gpu_count=16), offer(3, slot=1)
    market.post_offers([offer(1), large, elsewhere], NOON)
    reserve(market, offer(1), order(1, min_gpu_count=8))
    with pytest.raises(InsufficientCapacity):
        reserve(market, offer(1), order(2, min_gpu_count=1))
    reserve(market, large, order(3, min_gpu_count=8))
    reserve(market, elsewhere, order(4, min_gpu_count=8))


def test_reserve__again__keeps_the_reservation(market: SqlMarket, database: Database) -> None:
    market.post_offers([offer(1)], NOON)
    first = reserve(market, offer(1), order(1))
    again = market.reserve(match(offer(1), order(1)), deal(order(1)), SOON + timedelta(9), NOON)
    assert again == first
    assert held(database) == {(PROVIDER, 0): 4}


def test_reserve__an_order_that_is_matched__is_refused(market: SqlMarket) -> None:
    market.post_offers([offer(1), offer(2, slot=1)], NOON)
    reserve(market, offer(1), order(1))
    with pytest.raises(InvalidStateTransition):
        market.reserve(match(offer(2, slot=1), order(1)), EscrowId(word(77)), SOON, NOON)


def test_reserve__another_order_of_the_same_slot__is_refused(market: SqlMarket, database: Database) -> None:
    market.post_offers([offer(1)], NOON)
    reserve(market, offer(1), order(1, slot=7))
    with pytest.raises(OrderAlreadyOpened) as refusal:
        reserve(market, offer(1), order(2, slot=7))
    assert refusal.value.actual == 7
    assert held(database) == {(PROVIDER, 0): 4}


def test_reserve__of_an_offer_that_does_not_stand__is_refused(market: SqlMarket) -> None:
    with pytest.raises(OfferNotFound):
        reserve(market, offer(1), order(1))
    market.post_offers([offer(1)], NOON)
    market.remove_offers([offer(1).id], NOON)
    with pytest.raises(OfferNotFound):
        reserve(market, offer(1), order(1))
    market.post_offers([offer(2, expires_at=NOON + timedelta(seconds=5))], NOON)
    with pytest.raises(OfferNotFound):
        market.reserve(match(offer(2), order(1)), deal(order(1)), SOON, NOON + timedelta(seconds=5))


def test_reserve__more_than_anyone_may__is_refused(market: SqlMarket) -> None:
    large = offer(1, gpu_count=100)
    market.post_offers([large], NOON)
    for number in range(MOST_HELD):
        reserve(market, large, order(number, min_gpu_count=1))
    with pytest.raises(TooManyReservations) as refusal:
        reserve(market, large, order(MOST_HELD, min_gpu_count=1))
    assert refusal.value.most == MOST_HELD
    assert market.release(deal(order(3)), NOON)
    reserve(market, large, order(MOST_HELD, min_gpu_count=1))


def test_release__gives_back_once__and_the_order_waits_again(market: SqlMarket, database: Database) -> None:
    market.post_offers([offer(1)], NOON)
    market.post_orders([order(1)], NOON)
    reserve(market, offer(1), order(1))
    assert market.order(order(1).id).order.status is OrderStatus.MATCHED
    assert market.release(deal(order(1)), NOON)
    assert not market.release(deal(order(1)), NOON)
    assert held(database) == {(PROVIDER, 0): 0}
    assert market.order(order(1).id).order.status is OrderStatus.PENDING
    assert [each.id for each in copy(market).pending_orders()] == [order(1).id]
    reserve(market, offer(1), order(1))
    assert kinds(market)[2:] == ["reserved", "released", "reserved"]


def test_release__of_an_order_that_came_for_one_match__does_not_let_it_wait(market: SqlMarket) -> None:
    market.post_offers([offer(1)], NOON)
    reserve(market, offer(1), order(1))
    market.release(deal(order(1)), NOON)
    assert copy(market).pending_orders() == []
    reserve(market, offer(1), order(1))  # but it may be tried again


def test_cancel__an_order_that_is_matched__frees_its_gpus(market: SqlMarket, database: Database) -> None:
    market.post_offers([offer(1)], NOON)
    market.post_orders([order(1), order(2)], NOON)
    reserve(market, offer(1), order(1))
    assert set(market.cancel_orders([order(1).id, order(2).id, order(3).id], NOON)) == {
        order(1).id,
        order(2).id,
    }
    assert not market.cancel_orders([order(1).id], NOON)
    assert held(database) == {(PROVIDER, 0): 0}
    with pytest.raises(InvalidStateTransition):
        reserve(market, offer(1), order(1))
    assert copy(market).pending_orders() == []


def test_tidy__lets_go_what_ran_out_of_time(market: SqlMarket, database: Database) -> None:
    market.post_offers([offer(1), offer(2, expires_at=SOON)], NOON)
    market.post_orders([order(1), order(2, expires_at=SOON)], NOON)
    reserve(market, offer(1), order(1))
    before = SOON - timedelta(seconds=1)
    assert market.tidy(before) == 0
    assert market.tidy(SOON) == 3
    assert market.tidy(SOON) == 0
    assert held(database) == {(PROVIDER, 0): 0}
    assert market.order(order(1).id).order.status is OrderStatus.PENDING
    assert market.order(order(2).id).order.status is OrderStatus.EXPIRED
    assert sorted(kinds(market)[5:]) == ["offer_removed", "order_removed", "released"]


# ---------------------------------------------------------------- what the chain says


class Chain:
    """The facts of deals, written as the follower writes them."""

    def __init__(self, database: Database) -> None:
        self.facts = SqlFacts(database, HERE)
        self.number = 0

    def says(self, *records: DealRecord, gone: tuple[EscrowId, ...] = ()) -> None:
        self.number += 1
        block = Block(self.number, Hash32(word(self.number)), Hash32(word(0)), seconds(NOON) + self.number)
        at = self.facts.cursor()
        if gone:
            assert at is not None
            assert self.facts.rewind(at, Checkpoint(self.number, block.hash, block.time), records, gone)
        else:
            assert self.facts.append(at, [block], records)


def record(wanted: Any, status: DealStatus = DealStatus.LOCKED, **terms: Any) -> DealRecord:
    made: Terms = make_terms(
        order_hash=Hash32(wanted.id), gpu_count=wanted.requirements.min_gpu_count, **terms
    )
    opened_at = seconds(NOON)
    stored = Deal(status, 0, 100, 1_000, opened_at, opened_at + 9, opened_at + 99, 0, 0, 15)
    return DealRecord(deal(wanted), made, stored, TransactionId(word(1)))


def test_note__a_deal_that_was_reserved__holds_the_same_gpus_until_it_is_not_locked(
    market: SqlMarket, database: Database
) -> None:
    chain = Chain(database)
    market.post_offers([offer(1)], NOON)
    market.post_orders([order(1)], NOON)
    reserve(market, offer(1), order(1))
    chain.says(record(order(1)))
    assert market.note_deals(NOON, [deal(order(1))]) == 1
    assert market.note_deals(NOON) == 0
    assert held(database) == {(PROVIDER, 0): 4}
    assert market.tidy(NOON + timedelta(days=8)) == 1  # the offer; a deal does not lapse
    assert held(database) == {(PROVIDER, 0): 4}
    posted = market.order(order(1).id)
    assert (posted.order.status, posted.deal_id) == (OrderStatus.ESCROWED, deal(order(1)))
    [trade] = market.trades(NOON)
    assert (trade.deal_id, trade.gpu_model, trade.gpu_count, trade.hours) == (deal(order(1)), "H100", 4, 8)
    chain.says(record(order(1), DealStatus.RELEASED))
    assert market.note_deals(NOON, [deal(order(1))]) == 1
    assert held(database) == {(PROVIDER, 0): 0}
    assert market.order(order(1).id).order.status is OrderStatus.SETTLED
    assert kinds(market)[2:] == ["reserved", "deal_opened", "offer_removed", "deal_freed"]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("lapsed", [True, False])
def test_note__a_deal_that_was_closed_before_anybody_looked__is_told_too(
    market: SqlMarket, database: Database, *, named: bool, lapsed: bool
) -> None:
    chain = Chain(database)
    market.post_offers([offer(1)], NOON)
    market.post_orders([order(1)], NOON)
    reserve(market, offer(1), order(1))
    if lapsed:
        market.tidy(SOON)
    before = kinds(market)
    chain.says(record(order(1), DealStatus.RELEASED))
    told = named or not lapsed  # nobody looks through all that ever lapsed
    assert market.note_deals(NOON, [deal(order(1))] if named else None) == (2 if told else 0)
    assert market.note_deals(NOON, [deal(order(1))] if named else None) == 0
    assert kinds(market)[len(before) :] == (["deal_opened", "deal_freed"] if told else [])
    assert held(database) == {(PROVIDER, 0): 0}
    if told:
        assert market.order(order(1).id).order.status is OrderStatus.SETTLED
        [trade] = market.trades(NOON)
        assert trade.deal_id == deal(order(1))


def test_note__a_deal_that_nobody_reserved__holds_its_gpus(market: SqlMarket, database: Database) -> None:
    chain = Chain(database)
    market.post_offers([offer(1)], NOON)
    chain.says(record(order(1, min_gpu_count=6)))
    assert market.note_deals(NOON) == 1
    with pytest.raises(InsufficientCapacity):
        reserve(market, offer(1), order(2, min_gpu_count=3))
    assert market.trades(NOON) == []
    assert held(database) == {(PROVIDER, 0): 6}


def test_note__a_deal_whose_reservation_has_lapsed__holds_again(
    market: SqlMarket, database: Database
) -> None:
    chain = Chain(database)
    market.post_offers([offer(1)], NOON)
    reserve(market, offer(1), order(1))
    market.tidy(SOON)
    reserve(market, offer(1), order(2))  # by now the GPUs went on
    chain.says(record(order(1)))
    market.note_deals(NOON)
    assert held(database) == {(PROVIDER, 0): 8}
    assert len(market.trades(NOON)) == 1


def test_note__a_deal_that_a_reorganisation_took__lets_its_order_wait(
    market: SqlMarket, database: Database
) -> None:
    chain = Chain(database)
    market.post_offers([offer(1)], NOON)
    market.post_orders([order(1)], NOON)
    reserve(market, offer(1), order(1))
    chain.says(record(order(1)))
    market.note_deals(NOON)
    chain.says(gone=(deal(order(1)),))
    assert market.note_deals(NOON) == 1
    assert held(database) == {(PROVIDER, 0): 0}
    assert market.order(order(1).id).order.status is OrderStatus.PENDING
    chain.says(record(order(1)))
    market.note_deals(NOON)
    assert held(database) == {(PROVIDER, 0): 4}


# ---------------------------------------------------------------- whatever comes


class Walk:
    """Random steps of a market, some of which it refuses."""

    STEPS = ("offer", "order", "reserve", "reserve", "release", "cancel", "open", "close", "tidy")

    def __init__(self, market: SqlMarket, database: Database, seed: int) -> None:
        self.market, self.database, self.chain = market, database, Chain(database)
        self.dice, self.now, self.done = random.Random(seed), NOON, Counter[str]()
        self.offers = [offer(number, slot=number % 3, gpu_count=8) for number in range(5)]
        sizes = [self.dice.randint(3, 7) for _ in range(30)]
        self.orders = [order(n, min_gpu_count=size, slot=n % 20) for n, size in enumerate(sizes)]

    def step(self) -> None:
        self.now += timedelta(seconds=self.dice.randint(0, 15))
        name = self.dice.choice(self.STEPS)
        try:
            getattr(self, name)(self.dice.choice(self.offers), self.dice.choice(self.orders))
            self.done[name] += 1
        except MarketError as refusal:
            self.done[type(refusal).__name__] += 1

    def offer(self, offered: Any, _: Any) -> None:
        self.market.post_offers([offered], self.now)

    def order(self, _: Any, wanted: Any) -> None:
        self.market.post_orders([wanted], self.now)

    def reserve(self, offered: Any, wanted: Any) -> None:
        until = self.now + timedelta(seconds=100)
        self.market.reserve(match(offered, wanted), deal(wanted), until, self.now)

    def release(self, _: Any, wanted: Any) -> None:
        self.market.release(deal(wanted), self.now)

    def cancel(self, _: Any, wanted: Any) -> None:
        if self.dice.random() < 0.2:
            self.market.cancel_orders([wanted.id], self.now)

    def open(self, *_: Any) -> None:
        for row in self.rows("held")[:1]:
            opened = next(each for each in self.orders if deal(each) == row.deal_id)
            self.chain.says(record(opened, slot=row.slot))
            self.market.note_deals(self.now)

    def close(self, *_: Any) -> None:
        for row in self.rows("opened")[:1]:
            closed = next(each for each in self.orders if deal(each) == row.deal_id)
            self.chain.says(record(closed, DealStatus.REFUNDED))
            self.market.note_deals(self.now, [deal(closed)])

    def tidy(self, *_: Any) -> None:
        self.market.tidy(self.now)

    def rows(self, *states: str) -> list[Any]:
        with self.database.reading() as connection:
            return list(connection.execute(select(reservations).where(reservations.c.state.in_(states))))


def test_random_steps__what_is_held_is_what_reservations_and_deals_hold(
    market: SqlMarket, database: Database
) -> None:
    """Also: a copy that followed the feed is the same as one that begins now."""
    walk, follower = Walk(market, database, seed=7), copy(market)
    for _ in range(400):
        walk.step()
        counted = Counter[tuple[str, int]]()
        for row in walk.rows("held", "opened"):
            counted[row.provider, row.slot] += row.gpu_count
        assert {place: n for place, n in held(database).items() if n} == dict(counted)
        assert max(counted.values(), default=0) <= 8
    done = walk.done
    assert min(done[each] for each in ("reserve", "open", "close", "InsufficientCapacity")) > 3, done
    for item in market.feed(0, 10_000):
        follower.apply(item)
    fresh = copy(market)
    assert follower.sequence == fresh.sequence == market.last()
    for slot in range(3):
        place = PartyId(PROVIDER), slot
        assert follower._reservations.pool(*place).held == fresh._reservations.pool(*place).held


WORKER = """
import sys
from tests.unit.storage.test_market import *

url, first = sys.argv[1], int(sys.argv[2])
market = SqlMarket(Database(url), HERE, MOLT)
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, first + 30):
    wanted = order(number, min_gpu_count=1, buyer_id="0x" + f"{number + 1:040x}")
    try:
        reserve(market, offer(1 + number % 2, slot=number % 2), wanted)
        print("held", flush=True)
    except InsufficientCapacity:
        print("refused", flush=True)
"""


def test_reserve__by_processes_at_once__no_gpu_is_promised_twice(
    market: SqlMarket, database: Database, url: str
) -> None:
    market.post_offers([offer(1), offer(2, slot=1)], NOON)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, url, str(100 * number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:  # all of them start at once
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    answers = Counter(line for worker in workers for line in worker.communicate()[0].splitlines())
    assert answers == {"held": 16, "refused": 74}
    assert held(database) == {(PROVIDER, 0): 8, (PROVIDER, 1): 8}
    assert kinds(market).count("reserved") == 16
