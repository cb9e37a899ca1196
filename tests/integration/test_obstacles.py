"""A book that asks the chain hands out nothing that the chain would refuse, and says why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from molt_market.app import connect
from molt_market.domain.amounts import Amount
from molt_market.domain.ids import ZERO_ADDRESS, OfferId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.policies import Policy
from molt_market.domain.requests import Side
from molt_market.errors import MarketError, PolicyNotFound, PolicyWarning, UnsignedOffer
from molt_market.orderbook import OrderBook, Reservation
from molt_market.refusals import (
    BadSignature,
    BuyerBalance,
    CapacityExceeded,
    FeeAboveLimit,
    NotOpener,
    OfferCancelled,
    OrderAlreadyOpened,
    OrderCancelled,
    Paused,
    PolicyUnknown,
    ProviderBalance,
)
from molt_market.signing.hashes import policy_id
from molt_market.signing.statements import sign_order
from molt_market.signing.wallet import Wallet
from molt_market.testing import Devnet
from tests.integration.scene import Scene, molt

WEEK = 7 * 24 * 3_600


@pytest.fixture
def book(net: Devnet) -> OrderBook:
    return net.book()


def listed(book: OrderBook, *offers: CapacityOffer) -> None:
    for offer in offers:
        book.add_offer(offer)


def dearer(scene: Scene, **fields: Any) -> CapacityOffer:
    """Make the second best offer, of another provider."""
    other = scene.net.providers[1]
    return scene.offer(other, id=OfferId("dearer"), price_per_hour=molt("2.6"), **fields)


def ids(book: OrderBook, order: JobOrder) -> list[str]:
    return [match.offer_id for match in book.match_order(order)]


# ---------------------------------------------------------------- an offer that cannot be taken: the next one


def fee_above_limit(scene: Scene) -> CapacityOffer:
    scene.net.client(scene.net.fee_setter).schedule_fee(200)
    scene.net.warp(WEEK - 60)
    offer = scene.offer(max_fee_bps=199)
    scene.net.warp(60)
    return offer


def cancelled(scene: Scene) -> CapacityOffer:
    offer = scene.offer()
    scene.net.client(scene.net.provider).cancel(Side.OFFERS, 0)
    scene.net.warp(scene.net.deployment.cancel_delay_seconds)
    return offer


def without_bond(scene: Scene) -> CapacityOffer:
    provider = scene.net.client(scene.net.provider)
    provider.request_withdraw(provider.balances(scene.net.provider.address).escrow)
    scene.net.warp(scene.net.deployment.withdraw_delay_seconds)
    provider.withdraw()
    return scene.offer()


def bond_about_to_leave(scene: Scene) -> CapacityOffer:
    """The contract would still open it; by the time of the opening the money may be gone."""
    provider = scene.net.client(scene.net.provider)
    provider.request_withdraw(provider.balances(scene.net.provider.address).escrow)
    return scene.offer()


def in_use(scene: Scene) -> CapacityOffer:
    """Deals that this book has not heard of."""
    offer = scene.offer()
    scene.open(offer=offer, min_gpu_count=8)
    return offer


def of_no_policy(scene: Scene) -> CapacityOffer:
    return scene.offer(policy_id=policy_id(Policy(arbiter=scene.net.stranger.address)))


def unsigned(scene: Scene) -> CapacityOffer:
    return scene.offer().model_copy(update={"signature": None})


def forged(scene: Scene) -> CapacityOffer:
    return scene.offer().model_copy(update={"price_per_hour": Amount(1, scene.client.token)})


REFUSED: list[tuple[Callable[[Scene], CapacityOffer], type[MarketError]]] = [
    (fee_above_limit, FeeAboveLimit),
    (cancelled, OfferCancelled),
    (without_bond, ProviderBalance),
    (bond_about_to_leave, ProviderBalance),
    (in_use, CapacityExceeded),
    (of_no_policy, PolicyUnknown),
    (unsigned, UnsignedOffer),
    (forged, BadSignature),
]
EACH = pytest.mark.parametrize(("make", "why"), REFUSED, ids=lambda each: each.__name__)


@EACH
def test_match__that_the_chain_would_refuse__is_not_handed_out(
    scene: Scene, book: OrderBook, make: Callable[[Scene], CapacityOffer], why: type[MarketError]
) -> None:
    listed(book, make(scene))
    with pytest.raises(why):
        book.match_order(scene.order())


@EACH
def test_match__goes_on_to_the_next_offer(
    scene: Scene, book: OrderBook, make: Callable[[Scene], CapacityOffer], why: type[MarketError]
) -> None:
    refused = make(scene)
    listed(book, refused, dearer(scene))
    order = scene.order()
    assert ids(book, order) == ["dearer"]
    book.check = None
    assert ids(book, order) == [refused.id, "dearer"]


# ---------------------------------------------------------------- no offer would help


def test_match__while_paused__says_until_when(scene: Scene, net: Devnet, book: OrderBook) -> None:
    listed(book, scene.offer(), dearer(scene))
    net.client(net.guardian).pause()
    with pytest.raises(Paused):
        book.match_order(scene.order())
    net.client(net.guardian).unpause()
    assert ids(book, scene.order()) == ["offer-1", "dearer"]


def test_match__of_a_cancelled_order__says_so(scene: Scene, net: Devnet, book: OrderBook) -> None:
    order = scene.order()
    net.client(net.buyer).cancel(Side.ORDERS, 0)
    net.warp(net.deployment.cancel_delay_seconds)
    listed(book, scene.offer(), dearer(scene))
    with pytest.raises(OrderCancelled):
        book.match_order(order)
    assert ids(book, scene.order()) == ["offer-1", "dearer"]


def test_match__of_a_used_slot__says_so(scene: Scene, book: OrderBook) -> None:
    scene.open(slot=0, min_gpu_count=1)
    listed(book, scene.offer(), dearer(scene))
    with pytest.raises(OrderAlreadyOpened):
        book.match_order(scene.order(slot=0))
    assert ids(book, scene.order(slot=1)) == ["offer-1", "dearer"]


# ---------------------------------------------------------------- the buyer's money


def test_match__of_a_buyer_with_too_few_tokens__says_so(scene: Scene, net: Devnet, book: OrderBook) -> None:
    listed(book, scene.offer())
    has = scene.client.balances(net.stranger.address).total
    assert has == molt(0)
    with pytest.raises(BuyerBalance) as refused:
        book.match_order(scene.order(buyer_id=net.stranger.address))
    assert (refused.value.actual, refused.value.limit) == (0, molt(240).base_units)


def test_match__of_a_buyer_with_tokens_in_his_wallet__he_brings_them_along(
    scene: Scene, net: Devnet, book: OrderBook
) -> None:
    listed(book, scene.offer())
    [match] = book.match_order(scene.order())
    assert net.payments(net.buyer, book=book).create_job_escrow(match, net.buyer).amount == molt(240)


def test_match__of_a_buyer_who_is_only_a_name__asks_about_the_offer(
    scene: Scene, net: Devnet, book: OrderBook
) -> None:
    order = scene.order(buyer_id="buyer-456")
    listed(book, scene.offer())
    assert ids(book, order) == ["offer-1"]
    net.client(net.guardian).pause()
    with pytest.raises(Paused):
        book.match_order(order)


def resting(scene: Scene, **fields: Any) -> JobOrder:
    """Sign an order for any offer that fits; somebody else is to open it."""
    order = scene.order(slot=0, policy_id=scene.net.policy_id, **fields)
    return sign_order(order, scene.net.buyer, scene.net.domain)


def test_resting_order__is_paid_by_what_lies_in_the_escrow(
    scene: Scene, net: Devnet, book: OrderBook
) -> None:
    listed(book, scene.offer())
    order = resting(scene, opener=net.operator.address)
    with pytest.raises(BuyerBalance) as refused:
        book.match_order(order)
    assert refused.value.actual == 0
    buyer = net.client(net.buyer)
    buyer.deposit(molt(240))
    assert ids(book, order) == ["offer-1"]
    buyer.request_withdraw(molt(1))
    with pytest.raises(BuyerBalance) as refused:
        book.match_order(order)
    assert refused.value.actual == molt(239).base_units


@pytest.mark.parametrize("anyone", [True, False])
def test_resting_order__that_the_book_hands_out__is_opened_by_its_opener(
    scene: Scene, net: Devnet, book: OrderBook, *, anyone: bool
) -> None:
    net.client(net.buyer).deposit(molt(240))
    listed(book, scene.offer())
    order = resting(scene, opener=ZERO_ADDRESS if anyone else net.operator.address)
    [match] = book.match_order(order)
    operator = net.client(net.operator)
    operator.send(operator.calls.open(match.offer, match.order))
    assert scene.client.gpus_in_use(net.provider.address, 0) == 4


def test_resting_order__of_a_forger__is_not_handed_out(scene: Scene, net: Devnet, book: OrderBook) -> None:
    net.client(net.buyer).deposit(molt(240))
    listed(book, scene.offer())
    order = resting(scene, opener=net.operator.address)
    with pytest.raises(BadSignature):
        book.match_order(order.model_copy(update={"opener": net.stranger.address}))


# ---------------------------------------------------------------- the payment service asks too


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (fee_above_limit, FeeAboveLimit),
        (cancelled, OfferCancelled),
        (without_bond, ProviderBalance),
        (in_use, CapacityExceeded),
        (of_no_policy, PolicyNotFound),
    ],
    ids=lambda each: each.__name__,
)
def test_open__refused_by_the_check__sends_and_reserves_nothing(
    scene: Scene, net: Devnet, make: Callable[[Scene], CapacityOffer], why: type[MarketError]
) -> None:
    match = scene.match(offer=make(scene))
    with pytest.raises(why):
        open_by(scene, net.buyer, match)


def test_open__while_paused__sends_and_reserves_nothing(scene: Scene, net: Devnet) -> None:
    net.client(net.guardian).pause()
    with pytest.raises(Paused):
        open_by(scene, net.buyer, scene.match())


def test_open__by_another_than_the_opener__sends_and_reserves_nothing(scene: Scene, net: Devnet) -> None:
    match = scene.match(opener=net.operator.address)
    with pytest.raises(NotOpener) as refused:
        open_by(scene, net.stranger, match)
    assert refused.value.limit == net.operator.address.number()
    assert net.payments(net.operator).create_job_escrow(match, net.buyer).buyer == net.buyer.address


def open_by(scene: Scene, payer: Wallet, match: OrderMatch) -> None:
    """Open a match whose order is in a book; look that nothing happens to either if it fails."""
    book = Untouched(scene.net.clock)
    book.add_offer(match.offer)
    sent = [scene.sent(account) for account in (payer, scene.net.buyer)]
    try:
        scene.net.payments(payer, book=book).create_job_escrow(match, scene.net.buyer)
    finally:
        assert [scene.sent(account) for account in (payer, scene.net.buyer)] == sent


class Untouched(OrderBook):
    """A book in which nothing may be reserved."""

    def reserve(self, match: OrderMatch, until: datetime) -> Reservation:
        raise AssertionError(f"{match.offer_id} was reserved until {until}")


# ---------------------------------------------------------------- who asks whom


def test_connect__lets_the_book_ask_its_chain(scene: Scene, net: Devnet) -> None:
    book = OrderBook(net.clock)
    listed(book, without_bond(scene))
    assert ids(book, scene.order()) == ["offer-1"]
    connect(net.network, net.buyer, deployment=net.deployment, book=book)
    with pytest.raises(ProviderBalance):
        book.match_order(scene.order())


def test_connect__leaves_a_check_alone_that_is_there(net: Devnet) -> None:
    def silent(_offer: CapacityOffer, _order: JobOrder) -> None:
        return None

    book = OrderBook(net.clock, check=silent)
    connect(net.network, net.buyer, deployment=net.deployment, book=book)
    assert book.check is silent


# ---------------------------------------------------------------- a policy that protects little


def test_policy__with_a_low_bond__is_warned_of(scene: Scene, net: Devnet) -> None:
    policy = Policy(arbiter=net.arbiter.address, bond_bps=499)
    with pytest.warns(PolicyWarning, match="a bond of 499 bps"):
        net.client(net.operator).register_policy(policy)
    with pytest.warns(PolicyWarning, match="a bond of 499 bps"):
        scene.open(offer=scene.offer(policy_id=policy_id(policy)))


def test_policy__with_a_notice_as_long_as_the_deal__is_warned_of(scene: Scene, net: Devnet) -> None:
    policy = Policy(arbiter=net.arbiter.address, bond_bps=500, notice_minutes=240)
    net.client(net.operator).register_policy(policy)
    offer = scene.offer(policy_id=policy_id(policy))
    with pytest.warns(PolicyWarning, match="a notice of 240 minutes"):
        scene.open(offer=offer, estimated_hours=4, min_gpu_count=1)
    assert scene.open(offer=offer, estimated_hours=5, min_gpu_count=1).notice_minutes == 240
