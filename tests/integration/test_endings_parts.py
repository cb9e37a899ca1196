"""An order over several providers, and several offers on one pool of GPUs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from molt_market.app import let_ask
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import OfferId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.orders import OrderStatus, Priority, TimeInForce
from molt_market.errors import InsufficientCapacity, InsufficientTokens, InvalidValue, PriceExceedsBudget
from molt_market.orderbook import OrderBook
from molt_market.orderbook.priority import in_turn
from molt_market.payments.settlement import settle_job
from molt_market.refusals import CapacityExceeded, OfferCancelled
from molt_market.signing.messages import Side
from molt_market.testing import Devnet
from tests.integration.scene import Scene, molt

# 12 GPUs for 24 hours: 8 at 2.5 MOLT and 4 at 2.6.
BUDGET = molt(730)
COST = molt("480") + molt("249.6")


@pytest.fixture
def book(scene: Scene, net: Devnet) -> OrderBook:
    """Two providers with 8 GPUs each."""
    book = OrderBook(net.clock)
    book.add_offer(scene.offer(id=OfferId("cheaper")))
    book.add_offer(scene.offer(net.providers[1], id=OfferId("dearer"), price_per_hour=molt("2.6")))
    return book


def matched_parts(scene: Scene, book: OrderBook) -> list[OrderMatch]:
    """Split an order of 12 GPUs over both."""
    parts = scene.order(min_gpu_count=12, max_budget=molt(864)).in_parts(8, 4)
    return [
        next(match for match in book.match_order(part) if match.offer_id == offer)
        for part, offer in zip(parts, ("cheaper", "dearer"), strict=True)
    ]


# ---------------------------------------------------------------- an order over several providers


def test_parts__each_is_a_deal_of_its_own__under_one_budget(
    scene: Scene, net: Devnet, book: OrderBook
) -> None:
    matches = matched_parts(scene, book)
    before = scene.wealth(net.buyer)
    payments = net.payments(net.buyer, book=book)
    opened = payments.create_job_escrows(matches, net.buyer, max_budget=BUDGET)
    assert opened.failures == ()
    assert [escrow.provider for escrow in opened.escrows] == [p.address for p in net.providers[:2]]
    assert before - scene.wealth(net.buyer) == COST
    assert [book.order(match.order_id).status for match in matches] == [OrderStatus.ESCROWED] * 2


def test_parts__go_out_in_one_transaction__with_one_deposit(
    scene: Scene, net: Devnet, book: OrderBook
) -> None:
    sent = scene.sent(net.buyer)
    payments = net.payments(net.buyer, book=book)
    opened = payments.create_job_escrows(matched_parts(scene, book), net.buyer, max_budget=BUDGET)
    assert len({escrow.transaction_id for escrow in opened.escrows}) == 1
    assert scene.sent(net.buyer) == sent + (1 if scene.client.permit(net.buyer, 1) else 2)
    assert scene.client.balances(net.buyer.address).escrow == molt(0)


def test_parts__token_without_permits__is_approved_first(
    scene: Scene, net: Devnet, book: OrderBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    payments, sent = net.payments(net.buyer, book=book), scene.sent(net.buyer)
    monkeypatch.setattr(payments.client, "permit", lambda *_: None)
    opened = payments.create_job_escrows(matched_parts(scene, book), net.buyer, max_budget=BUDGET)
    assert (len(opened.escrows), scene.sent(net.buyer)) == (2, sent + 2)
    assert scene.client.allowance(net.buyer.address) == 0


def test_parts__somebody_else_pays_the_gas__one_by_one(scene: Scene, net: Devnet, book: OrderBook) -> None:
    matches, sent = matched_parts(scene, book), scene.sent(net.buyer)
    for_others = [
        replace(each, order=each.order.model_copy(update={"opener": net.stranger.address}))
        for each in matches
    ]
    payments = net.payments(net.stranger, book=book)
    opened = payments.create_job_escrows(for_others, net.buyer, max_budget=BUDGET)
    assert opened.failures == ()
    assert (scene.sent(net.buyer), scene.sent(net.stranger)) == (sent, 2)


def test_parts__too_few_tokens_for_all__opens_none(scene: Scene, net: Devnet, book: OrderBook) -> None:
    matches = matched_parts(scene, book)
    spent = scene.wealth(net.buyer) - molt(500)
    dear = scene.offer(
        net.providers[2], id=OfferId("dear"), price_per_hour=spent, gpu_count=1, available_hours=1
    )
    scene.open(offer=dear, min_gpu_count=1, estimated_hours=1, max_price_per_hour=spent)
    payments = net.payments(net.buyer, book=book)
    opened = payments.create_job_escrows(matches, net.buyer, max_budget=BUDGET)
    assert [type(failure.error) for failure in opened.failures] == [InsufficientTokens] * 2
    assert {book.order(match.order_id).status for match in matches} == {OrderStatus.PENDING}


def test_parts__the_signatures_allow_no_more_than_the_parts_cost(
    scene: Scene, net: Devnet, book: OrderBook
) -> None:
    """So all of them together can never cost more than the budget, whoever gets hold of them."""
    payments = net.payments(net.buyer, book=book)
    payments.create_job_escrows(matched_parts(scene, book), net.buyer, max_budget=BUDGET)
    entries = payments._journal.openings(net.buyer.address)
    budgets = [entry.opening.order.budget for entry in entries if entry.opening]
    assert budgets == [molt(480), molt("249.6")]


def test_parts__dearer_than_the_budget__sends_nothing(scene: Scene, net: Devnet, book: OrderBook) -> None:
    sent = scene.sent(net.buyer)
    with pytest.raises(PriceExceedsBudget) as caught:
        scene.buyer.create_job_escrows(matched_parts(scene, book), net.buyer, max_budget=molt(729))
    assert (caught.value.price, caught.value.budget) == (COST, molt(729))
    assert scene.sent(net.buyer) == sent


def test_parts__one_fails__the_other_stands_and_it_is_told(
    scene: Scene, net: Devnet, book: OrderBook
) -> None:
    matches = matched_parts(scene, book)
    for match in matches:
        book.submit_order(match.order)
    scene.open(min_gpu_count=8)  # somebody else takes the cheaper one, and the book does not know it yet
    payments = net.payments(net.buyer, book=book)
    opened = payments.create_job_escrows(matches, net.buyer, max_budget=BUDGET)
    [failure] = opened.failures
    assert (failure.match.order_id, type(failure.error)) == (matches[0].order_id, CapacityExceeded)
    assert [escrow.provider for escrow in opened.escrows] == [net.providers[1].address]
    assert [book.order(match.order_id).status for match in matches] == [
        OrderStatus.PENDING,
        OrderStatus.ESCROWED,
    ]


def test_parts__again__opens_what_is_missing_and_nothing_twice(
    scene: Scene, net: Devnet, book: OrderBook
) -> None:
    matches = matched_parts(scene, book)
    blocking = scene.open(min_gpu_count=8)
    payments = net.payments(net.buyer, book=book)
    first = payments.create_job_escrows(matches, net.buyer, max_budget=BUDGET)
    scene.provider.cancel(blocking)
    again = payments.create_job_escrows(matches, net.buyer, max_budget=BUDGET)
    assert again.failures == ()
    assert again.escrows[1] == first.escrows[0]
    assert len(net.client().deal_events(again.escrows[0].id)) == 1


def test_parts__end_by_themselves(scene: Scene, net: Devnet, book: OrderBook) -> None:
    opened = scene.buyer.create_job_escrows(matched_parts(scene, book), net.buyer, max_budget=BUDGET)
    first, second = opened.escrows
    settle_job(scene.job(first, "24", confirmed=True), scene.provider)
    net.payments(net.providers[1]).cancel(second)
    statuses = [scene.client.escrow(escrow.id).status for escrow in opened.escrows]
    assert statuses == [DealStatus.RELEASED, DealStatus.REFUNDED]


def test_parts__an_order_twice__is_refused(scene: Scene, net: Devnet, book: OrderBook) -> None:
    match = matched_parts(scene, book)[0]
    with pytest.raises(InvalidValue, match="twice"):
        scene.buyer.create_job_escrows([match, match], net.buyer, max_budget=molt(1_000))


# ---------------------------------------------------------------- filled by the book


@pytest.fixture
def asking(net: Devnet, book: OrderBook) -> OrderBook:
    """The book of both providers, which asks the chain."""
    let_ask(book, net.client())
    return book


def test_execute__holds_all_parts__and_they_open_on_the_chain(
    scene: Scene, net: Devnet, asking: OrderBook
) -> None:
    order = scene.order(min_gpu_count=12, max_budget=BUDGET, split=True, time_in_force=TimeInForce.FOK)
    quote = asking.quote(order)
    assert (quote.least_cost, quote.most_cost, quote.missing_gpus) == (COST, COST, 0)
    done = asking.execute(order, net.clock.now() + timedelta(seconds=120))
    assert done.fill == quote.fill
    assert done.fill is not None
    payments = net.payments(net.buyer, book=asking)
    opened = payments.create_job_escrows(done.fill.matches, net.buyer, max_budget=order.budget)
    assert opened.failures == ()
    assert [escrow.terms.gpu_count for escrow in opened.escrows] == [8, 4]
    assert asking.order(order.id).status is OrderStatus.ESCROWED
    assert quote.dispute_reserve == sum((e.bond for e in opened.escrows), start=Amount.zero(COST.token))


def test_execute__one_provider_cannot_open__the_other_fills_what_it_can(
    scene: Scene, net: Devnet, asking: OrderBook
) -> None:
    scene.open(min_gpu_count=5)  # of the cheaper provider's 8, on the chain; the book does not know it
    with pytest.raises(CapacityExceeded):
        asking.fill(scene.order(min_gpu_count=12, split=True))
    order = scene.order(min_gpu_count=12, split=True, min_quantity=4)
    done = asking.execute(order, net.clock.now() + timedelta(seconds=120))
    assert done.fill is not None
    assert [(match.offer_id, match.gpu_count) for match in done.fill.matches] == [("dearer", 8)]
    assert done.resting == 4


def test_clear__urgent_with_money_in_the_escrow__is_served_first(
    scene: Scene, net: Devnet, asking: OrderBook
) -> None:
    first = scene.order(min_gpu_count=8, required_models=["H100"])
    urgent = scene.order(min_gpu_count=8, priority=Priority.URGENT, max_price_per_hour=molt("2.5"))
    asking.remove_offer(OfferId("dearer"))
    until = net.clock.now() + timedelta(seconds=120)
    for order in (first, urgent):
        asking.submit_order(order)
    client = net.client(net.buyer)
    client.deposit(urgent.budget * 2)
    [served] = asking.clear(until)
    assert served.order.id == urgent.id
    asking.release(served.reservations[0])
    client.request_withdraw(urgent.budget * 2)  # what is marked to leave backs nothing
    earlier = first.model_copy(update={"created_at": first.created_at - timedelta(seconds=1)})
    assert [order.id for order in in_turn([urgent, earlier], asking.funds)] == [first.id, urgent.id]


# ---------------------------------------------------------------- repricing on one slot


def test_reprice__on_the_slot__the_gpus_in_use_stay_in_use(scene: Scene, net: Devnet) -> None:
    """A new offer on the slot of an old one shares its pool, in the book and on the chain."""
    book = OrderBook(net.clock)
    payments = net.payments(net.buyer, book=book)
    old = scene.offer(slot=4)
    book.add_offer(old)
    running = payments.create_job_escrow(book.match_order(scene.order())[0], net.buyer)
    book.remove_offer(old.id)
    new = scene.offer(id=OfferId("repriced"), slot=4, price_per_hour=molt("2.8"))
    book.add_offer(new)
    with pytest.raises(InsufficientCapacity) as caught:
        book.match_order(scene.order(min_gpu_count=8))
    assert caught.value.available == 4
    second = payments.create_job_escrow(book.match_order(scene.order())[0], net.buyer)
    assert (running.terms.slot, second.terms.slot) == (4, 4)
    assert second.terms.price_per_gpu_hour == molt("2.8").base_units
    assert scene.client.gpus_in_use(net.provider.address, 4) == 8
    payments.redeem(running, scene.voucher(running, "24"))
    assert scene.client.gpus_in_use(net.provider.address, 4) == 4
    assert book.match_order(scene.order())


def test_reprice__a_match_of_the_old_price__cannot_double_the_gpus(scene: Scene, net: Devnet) -> None:
    """Both offers are signed and stand on the chain: together they give the slot's GPUs once."""
    old, new = scene.offer(slot=4), scene.offer(slot=4, price_per_hour=molt("2.8"))
    scene.open(offer=new, min_gpu_count=5)
    with pytest.raises(CapacityExceeded) as caught:
        scene.open(offer=old, min_gpu_count=4)
    assert (caught.value.actual, caught.value.limit) == (9, 8)


def test_reprice__cancelling_the_old_offer__takes_effect_after_the_delay(scene: Scene, net: Devnet) -> None:
    """The old price stands for the delay, so that no match that was made for it breaks; the new one lasts."""
    old = scene.offer(slot=4)
    net.client(net.provider).cancel(Side.OFFERS, 4 // 4)
    scene.open(offer=old, min_gpu_count=1)
    net.warp(net.deployment.cancel_delay_seconds)
    with pytest.raises(OfferCancelled):
        scene.open(offer=old, min_gpu_count=1)
    scene.open(offer=scene.offer(slot=4, price_per_hour=molt("2.8")), min_gpu_count=1)
    assert scene.client.gpus_in_use(net.provider.address, 4) == 2
