"""A deal is closed and the next one opened on its GPUs in one transaction: both, or neither."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.endings import quote_split
from molt_market.domain.events import DealClosed, DealOpened
from molt_market.domain.ids import OfferId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.errors import InsufficientCapacity, InvalidSignature, MatchMismatch
from molt_market.orderbook import OrderBook
from molt_market.refusals import OfferExpired
from molt_market.testing import Devnet
from tests.integration.endings import require_paid_out, split
from tests.integration.scene import Scene, molt

ALL_GPUS = 4  # the offer has no more: nobody else may get them in between


def offer(scene: Scene, **fields: Any) -> CapacityOffer:
    capacity = scene.offer().gpu_capacity.model_copy(update={"gpu_count": ALL_GPUS})
    return scene.offer(gpu_capacity=capacity, slot=7, **fields)


def ran(scene: Scene) -> EscrowAccount:
    """Open a deal on all GPUs of a slot, and let six hours pass."""
    escrow = scene.open(offer=offer(scene))
    scene.run(6)
    return scene.client.escrow(escrow.id)


def next_match(scene: Scene, **fields: Any) -> OrderMatch:
    return scene.match(offer=offer(scene, **fields), estimated_hours=48)


def test_extension__is_one_transaction__to_the_unit(scene: Scene, net: Devnet) -> None:
    first = ran(scene)
    agreement = split(scene, first, "6", net.buyer, net.provider)
    quote = quote_split(first, agreement.gpu_seconds)
    before = scene.wealth(net.buyer)
    second = scene.buyer.extend(first, agreement, next_match(scene), net.buyer)
    assert second.status is DealStatus.LOCKED
    assert scene.client.gpus_in_use(net.provider.address, 7) == ALL_GPUS
    [closed] = [each for each in scene.client.deal_events(first.id) if isinstance(each, DealClosed)]
    [opened] = [each for each in scene.client.deal_events(second.id) if isinstance(each, DealOpened)]
    assert closed.transaction_id == opened.transaction_id
    require_paid_out(scene, first, quote)
    assert second.amount == molt(480)
    assert before + quote.buyer_refund - scene.wealth(net.buyer) == second.amount
    assert scene.client.balances(net.buyer.address).escrow.base_units == 0  # no more than it takes


def test_extension__again__returns_the_next_deal_and_sends_nothing(scene: Scene, net: Devnet) -> None:
    first = ran(scene)
    agreement, match = split(scene, first, "6", net.buyer, net.provider), next_match(scene)
    second = scene.buyer.extend(first, agreement, match, net.buyer)
    sent = scene.sent(net.buyer)
    assert scene.buyer.extend(first, agreement, match, net.buyer).id == second.id
    assert scene.sent(net.buyer) == sent


def test_extension__whose_next_deal_is_refused__leaves_the_first_one_open(scene: Scene, net: Devnet) -> None:
    first = ran(scene)
    agreement = split(scene, first, "6", net.buyer, net.provider)
    match = next_match(scene, expires_at=net.clock.now() + timedelta(minutes=10))
    net.warp(600)
    before = (scene.wealth(net.buyer), scene.wealth(net.provider))
    with pytest.raises(OfferExpired):
        scene.buyer.extend(first, agreement, match, net.buyer)
    assert scene.client.escrow(first.id) == first
    assert (scene.wealth(net.buyer), scene.wealth(net.provider)) == before


def test_extension__that_one_party_has_not_signed__is_refused(scene: Scene, net: Devnet) -> None:
    first = ran(scene)
    with pytest.raises(InvalidSignature):
        scene.buyer.extend(first, split(scene, first, "6", net.buyer), next_match(scene), net.buyer)
    own = split(scene, first, "6", net.provider)  # the buyer sends it: that is his word
    assert scene.buyer.extend(first, own, next_match(scene), net.buyer).status is DealStatus.LOCKED


def test_extension__on_other_gpus__is_refused(scene: Scene, net: Devnet) -> None:
    first = ran(scene)
    agreement = split(scene, first, "6", net.buyer, net.provider)
    with pytest.raises(MatchMismatch, match="slot 7"):
        scene.buyer.extend(first, agreement, scene.match(slot=None, offer=scene.offer(slot=8)), net.buyer)
    other = scene.match(offer=scene.offer(net.providers[1], slot=7))
    with pytest.raises(MatchMismatch, match="have the provider sign"):
        scene.buyer.extend(first, agreement, other, net.buyer)


def test_extension__the_book_has_the_gpus_in_the_next_deal(scene: Scene, net: Devnet) -> None:
    book = OrderBook(clock=net.clock)
    payments = net.payments(net.buyer, book=book)
    book.add_offer(offer(scene))
    first = payments.create_job_escrow(book.match_order(scene.order())[0], net.buyer)
    longer = offer(scene, id=OfferId("longer"))
    book.add_offer(longer)
    match = scene.match(offer=longer)
    second = payments.extend(first, split(scene, first, "1", net.buyer, net.provider), match, net.buyer)
    assert second.status is DealStatus.LOCKED
    with pytest.raises(InsufficientCapacity):
        book.match_order(scene.order(min_gpu_count=1))
    book.follow(second.id, DealStatus.RELEASED)
    assert book.match_order(scene.order(min_gpu_count=ALL_GPUS))
