"""MarketError's nine cases, each on a path that a user walks, with its figures; and which one comes first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from molt_market.chain.client import MoltClient
from molt_market.domain.ids import OfferId, OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.orders import OrderStatus
from molt_market.errors import (
    EscrowError,
    Expired,
    InsufficientCapacity,
    InsufficientTokens,
    InvalidStateTransition,
    MarketError,
    NoMatchingOffers,
    NotYet,
    OfferNotFound,
    OrderNotFound,
    PaymentFailed,
    PriceExceedsBudget,
    Refused,
    TransactionPending,
)
from molt_market.orderbook import OrderBook
from molt_market.payments.service import PaymentService
from molt_market.refusals import CapacityExceeded
from molt_market.testing import Devnet
from tests.integration.scene import Scene, molt


@pytest.fixture
def book(net: Devnet) -> OrderBook:
    return OrderBook(net.clock)


@pytest.fixture
def payments(net: Devnet, book: OrderBook) -> PaymentService:
    return net.payments(net.buyer, book=book)


def listed(scene: Scene, book: OrderBook, **offer: Any) -> OfferId:
    return book.add_offer(scene.offer(**{"id": OfferId.new(), **offer}))


# ---------------------------------------------------------------- OrderNotFound, OfferNotFound


def test_order_not_found__on_cancelling_an_order_that_was_never_submitted(
    scene: Scene, book: OrderBook
) -> None:
    order = scene.order()
    with pytest.raises(OrderNotFound) as missing:
        book.cancel_order(order.id)
    assert missing.value.order_id == order.id


def test_offer_not_found__on_removing_it_twice(scene: Scene, book: OrderBook) -> None:
    offer_id = listed(scene, book)
    book.remove_offer(offer_id)
    with pytest.raises(OfferNotFound) as missing:
        book.remove_offer(offer_id)
    assert missing.value.offer_id == offer_id


def test_offer_not_found__on_opening_a_match_whose_offer_has_left_the_book(
    scene: Scene, net: Devnet, book: OrderBook, payments: PaymentService
) -> None:
    listed(scene, book)
    match = book.match_order(scene.order())[0]
    book.remove_offer(match.offer_id)
    before = scene.escrow_holds()
    with pytest.raises(OfferNotFound):
        payments.create_job_escrow(match, net.buyer)
    assert scene.escrow_holds() == before


# ---------------------------------------------------------------- what match_order says


def test_no_matching_offers__in_an_empty_book(scene: Scene, book: OrderBook) -> None:
    with pytest.raises(NoMatchingOffers):
        book.match_order(scene.order())


def test_no_matching_offers__where_no_offer_meets_the_needs_whatever_its_price(
    scene: Scene, book: OrderBook
) -> None:
    listed(scene, book, price_per_hour=molt(99))
    with pytest.raises(NoMatchingOffers):
        book.match_order(scene.order(min_vram_gb=141))


def test_insufficient_capacity__tells_the_most_that_is_free(
    scene: Scene, net: Devnet, book: OrderBook, payments: PaymentService
) -> None:
    """Of 8 GPUs a deal uses 4, and a smaller offer has 3."""
    listed(scene, book)
    payments.create_job_escrow(book.match_order(scene.order())[0], net.buyer)
    listed(scene, book, gpu_count=3, slot=1)
    with pytest.raises(InsufficientCapacity) as small:
        book.match_order(scene.order(min_gpu_count=5))
    assert (small.value.required, small.value.available) == (5, 4)


def test_price_exceeds_budget__tells_the_cheapest_total(scene: Scene, book: OrderBook) -> None:
    for price in ("2.5", "2", "4"):
        listed(scene, book, price_per_hour=molt(price))
    with pytest.raises(PriceExceedsBudget) as dear:
        book.match_order(scene.order(max_budget=molt(100)))
    assert (dear.value.price, dear.value.budget) == (molt(2 * 4 * 24), molt(100))


def test_price_exceeds_budget__for_the_references_own_order(scene: Scene, book: OrderBook) -> None:
    """8 GPUs for 24 hours at up to 12 each, with 300 in all: the field's words say per GPU."""
    listed(scene, book, price_per_hour=molt(10))
    order = scene.order(min_gpu_count=8, max_price_per_hour=molt(12), max_budget=molt(300))
    with pytest.raises(PriceExceedsBudget) as dear:
        book.match_order(order)
    assert (dear.value.price, dear.value.budget) == (molt(1_920), molt(300))


# ---------------------------------------------------------------- EscrowError, PaymentFailed


def test_escrow_error__with_code_and_figures__when_the_contract_refuses(scene: Scene, net: Devnet) -> None:
    offer = scene.offer()
    scene.open(offer=offer, min_gpu_count=8)
    with pytest.raises(EscrowError) as refused:
        scene.open(offer=offer)
    assert isinstance(refused.value, Refused)
    assert type(refused.value) is CapacityExceeded
    assert (refused.value.code, refused.value.actual, refused.value.limit) == (CapacityExceeded.code, 12, 8)


def test_escrow_error__with_the_time__when_a_step_is_not_due(scene: Scene) -> None:
    escrow = scene.open()
    with pytest.raises(EscrowError) as early:
        scene.buyer.refund_payment(escrow, "changed my mind")
    assert isinstance(early.value, NotYet)
    assert early.value.due_at == escrow.locked_until


def test_payment_failed__when_the_buyer_has_too_few_tokens(scene: Scene) -> None:
    match = scene.match(
        max_price_per_hour=molt(2_000), offer=scene.offer(price_per_hour=molt(2_000)), min_gpu_count=8
    )
    with pytest.raises(PaymentFailed) as poor:
        scene.buyer.create_job_escrow(match, scene.net.buyer)
    assert isinstance(poor.value, InsufficientTokens)
    assert (poor.value.needed, poor.value.available) == (molt(384_000), scene.wealth(scene.net.buyer))


@contextmanager
def nothing_is_mined(net: Devnet) -> Iterator[None]:
    net.node.request("evm_setAutomine", False)
    try:
        yield
    finally:
        net.node.request("anvil_dropAllTransactions")
        net.node.request("evm_setAutomine", True)


def test_payment_failed__while_the_opening_does_not_land__frees_its_reservation(
    scene: Scene, net: Devnet, book: OrderBook
) -> None:
    listed(scene, book)
    match = book.match_order(scene.order())[0]
    client = MoltClient(net.network, deployment=net.deployment, account=net.buyer, timeout_seconds=1)
    payments = PaymentService(client, book=book)
    with nothing_is_mined(net), pytest.raises(PaymentFailed) as lost:
        payments.create_job_escrow(match, net.buyer)
    assert isinstance(lost.value, TransactionPending)
    assert book.order(match.order_id).status is OrderStatus.PENDING
    assert book.match_order(scene.order(min_gpu_count=8))
    assert payments.create_job_escrow(match, net.buyer).order_id == match.order_id  # and it goes on


# ---------------------------------------------------------------- InvalidStateTransition, Expired


def test_invalid_state_transition__on_cancelling_an_order_that_has_a_deal(
    scene: Scene, net: Devnet, book: OrderBook, payments: PaymentService
) -> None:
    listed(scene, book)
    match = book.match_order(scene.order())[0]
    payments.create_job_escrow(match, net.buyer)
    with pytest.raises(InvalidStateTransition) as refused:
        book.cancel_order(match.order_id)
    assert (refused.value.from_, refused.value.to) == ("ESCROWED", "CANCELLED")


def test_invalid_state_transition__on_refunding_what_was_paid(scene: Scene) -> None:
    escrow = scene.open()
    scene.provider.release_payment(escrow, scene.proof(escrow, "24"), scene.voucher(escrow, "24"))
    with pytest.raises(InvalidStateTransition) as refused:
        scene.buyer.refund_payment(escrow, "too late")
    assert (refused.value.from_, refused.value.to) == ("RELEASED", "REFUNDED")


def test_expired__by_the_chains_clock(scene: Scene, net: Devnet, book: OrderBook) -> None:
    listed(scene, book)
    order = scene.order(expires_at=net.clock.now() + timedelta(hours=1))
    book.submit_order(order)
    scene.run(1)
    with pytest.raises(Expired) as over:
        book.match_order(order)
    assert order.id in over.value.what
    assert book.order(order.id).status is OrderStatus.EXPIRED


def test_expired__on_listing_an_offer_whose_time_is_over(scene: Scene, net: Devnet, book: OrderBook) -> None:
    offer = scene.offer(expires_at=net.clock.now() + timedelta(hours=1))
    scene.run(1)
    with pytest.raises(Expired) as over:
        book.add_offer(offer)
    assert offer.id in over.value.what


# ---------------------------------------------------------------- which one comes first


def answer(book: OrderBook, scene: Scene, **order: Any) -> type[MarketError] | list[OrderMatch]:
    try:
        return book.match_order(scene.order(**order))
    except MarketError as error:
        return type(error)


def test_order__comes_before_the_offers(scene: Scene, net: Devnet, book: OrderBook) -> None:
    """An order that is over finds nothing, but that is not why."""
    order = scene.order(id=OrderId.new(), expires_at=net.clock.now() + timedelta(hours=1))
    book.submit_order(order)
    book.cancel_order(order.id)
    with pytest.raises(InvalidStateTransition):
        book.match_order(order)
    scene.run(1)
    with pytest.raises(Expired):
        book.match_order(order)


def test_needs__come_before_money_and_count(scene: Scene, book: OrderBook) -> None:
    listed(scene, book, price_per_hour=molt(99))
    assert answer(book, scene, min_gpu_count=9, min_vram_gb=141) is NoMatchingOffers


def test_money__alone_in_the_way(scene: Scene, book: OrderBook) -> None:
    """What fails for other reasons too is not looked at."""
    listed(scene, book, price_per_hour=molt(4))
    listed(scene, book, price_per_hour=molt(1), gpu_model="A100", available_hours=1)
    listed(scene, book, price_per_hour=molt(5), gpu_count=2)
    assert answer(book, scene) is PriceExceedsBudget


def test_count__alone_in_the_way(scene: Scene, book: OrderBook) -> None:
    listed(scene, book, gpu_count=2)
    listed(scene, book, price_per_hour=molt(5), gpu_count=2)
    assert answer(book, scene) is InsufficientCapacity


def test_reasons__that_are_mixed__give_an_empty_list(scene: Scene, book: OrderBook) -> None:
    listed(scene, book, price_per_hour=molt(4))
    listed(scene, book, gpu_count=2)
    assert answer(book, scene) == []


def test_a_fitting_offer__answers_whatever_else_there_is(scene: Scene, book: OrderBook) -> None:
    for other in ({"price_per_hour": molt(4)}, {"gpu_count": 2}, {}):
        listed(scene, book, **other)
    found = answer(book, scene)
    assert isinstance(found, list)
    assert len(found) == 1
