"""A match becomes a deal: once, in one transaction, and only if everything fits."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from molt_market.domain.amounts import Token
from molt_market.domain.deals import DealStatus, EscrowState
from molt_market.domain.events import DealOpened
from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address, OfferId, OrderId, PartyId, Signature
from molt_market.domain.matches import OrderMatch
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder, OrderStatus
from molt_market.domain.policies import Policy
from molt_market.domain.transactions import TransactionReceipt
from molt_market.errors import (
    InsufficientCapacity,
    InsufficientTokens,
    InvalidSignature,
    MarketError,
    MatchMismatch,
    MoltError,
    OfferNotFound,
    OrderNotFound,
    PolicyNotFound,
    Refused,
    TokenMismatch,
    UnsignedOffer,
    WrongSigner,
)
from molt_market.orderbook import OrderBook
from molt_market.payments.journal import EntryState, MemoryJournal
from molt_market.refusals import (
    BadSignature,
    CapacityExceeded,
    NotOpener,
    OfferExpired,
    OrderAlreadyOpened,
    OrderExpired,
    PriceAboveLimit,
    ProviderBalance,
)
from molt_market.signing.hashes import deal_id, policy_id, terms_of
from molt_market.signing.statements import sign_order
from molt_market.testing import Devnet
from tests.integration.scene import HOURS, Scene, molt


def test_open__fitting_match__locks_price_and_bond(scene: Scene, net: Devnet) -> None:
    match = scene.match()
    before = (scene.wealth(net.buyer), scene.wealth(net.provider))
    escrow = scene.buyer.create_job_escrow(match, net.buyer)
    assert (escrow.state, escrow.status) == (EscrowState.LOCKED, DealStatus.LOCKED)
    assert (escrow.amount, escrow.bond, escrow.fee_bps) == (molt(240), molt(24), 100)
    assert (escrow.order_id, escrow.offer_id) == (match.order_id, match.offer_id)
    assert escrow.ends_at == escrow.created_at + timedelta(hours=HOURS)
    assert (before[0] - scene.wealth(net.buyer), before[1] - scene.wealth(net.provider)) == (
        molt(240),
        molt(24),
    )
    assert scene.client.gpus_in_use(net.provider.address, 0) == 4


def test_open__id__is_known_before_and_is_the_chains(scene: Scene, net: Devnet) -> None:
    match = scene.match(slot=5)
    order = sign_order(match.order, net.buyer, net.domain, offer=match.offer)
    expected = deal_id(terms_of(match.offer, order, net.domain), net.domain)
    assert scene.buyer.create_job_escrow(match, net.buyer).id == expected


def test_open__without_balance__permits_deposits_and_opens_in_one_transaction(
    scene: Scene, net: Devnet
) -> None:
    sent = scene.sent(net.buyer)
    scene.open()
    assert scene.sent(net.buyer) == sent + 1
    assert scene.client.balances(net.buyer.address).escrow == molt(0)
    assert scene.client.token_contract.allowance(net.buyer.address, net.deployment.escrow) == 0


def test_open__balance_covers_a_part__deposits_the_rest(scene: Scene, net: Devnet) -> None:
    net.client(net.buyer).deposit(molt(100))
    wallet = scene.client.balance_of(net.buyer.address)
    scene.open()
    assert wallet - scene.client.balance_of(net.buyer.address) == molt(140)


def test_open__balance_covers_all__takes_no_token(scene: Scene, net: Devnet) -> None:
    net.client(net.buyer).deposit(molt(300))
    wallet = scene.client.balance_of(net.buyer.address)
    scene.open()
    assert scene.client.balance_of(net.buyer.address) == wallet
    assert scene.client.balances(net.buyer.address).escrow == molt(60)


def test_open__token_without_permits__approves_and_opens(
    scene: Scene, net: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene.buyer.client, "permit", lambda *_: None)
    sent = scene.sent(net.buyer)
    assert scene.open().state is EscrowState.LOCKED
    assert scene.sent(net.buyer) == sent + 2
    assert scene.client.token_contract.allowance(net.buyer.address, net.deployment.escrow) == 0


def test_open__by_another_account__takes_the_buyers_tokens_and_the_others_gas(
    scene: Scene, net: Devnet
) -> None:
    sent = scene.sent(net.buyer)
    escrow = scene.open(net.payments(net.stranger))
    assert escrow.buyer == net.buyer.address
    assert scene.sent(net.buyer) == sent


def test_open__without_an_account__has_the_buyer_pay(scene: Scene) -> None:
    assert scene.open(scene.net.payments()).state is EscrowState.LOCKED


# ---------------------------------------------------------------- slots, and doing it again


def test_open__orders_of_one_buyer__take_slots_one_by_one(scene: Scene, net: Devnet) -> None:
    journal = MemoryJournal()
    payments = net.payments(net.buyer, journal=journal)
    scene.open(payments)
    scene.open(payments)
    assert [entry.opening and entry.opening.order.slot for entry in journal.openings(net.buyer.address)] == [
        0,
        1,
    ]


def test_open__fresh_journal__goes_on_after_the_chains_slots(scene: Scene, net: Devnet) -> None:
    scene.open()
    journal = MemoryJournal()
    scene.open(net.payments(net.buyer, journal=journal))
    [entry] = journal.openings(net.buyer.address)
    assert entry.opening is not None
    assert entry.opening.order.slot == 1


def test_open__again__returns_the_deal_and_sends_nothing(scene: Scene, net: Devnet) -> None:
    match = scene.match()
    escrow = scene.buyer.create_job_escrow(match, net.buyer)
    sent = scene.sent(net.buyer)
    assert scene.buyer.create_job_escrow(match, net.buyer) == escrow
    assert scene.sent(net.buyer) == sent


def test_open__again_with_an_empty_journal__returns_the_deal(scene: Scene, net: Devnet) -> None:
    """The order names its slot, so the deal's id is the same: the chain remembers what the disk forgot."""
    match = scene.match(slot=9)
    escrow = scene.buyer.create_job_escrow(match, net.buyer)
    again = net.payments(net.buyer).create_job_escrow(match, net.buyer)
    assert again.id == escrow.id


def test_open__in_two_threads__opens_one_deal(scene: Scene, net: Devnet) -> None:
    match = scene.match()
    sent = scene.sent(net.buyer)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(scene.buyer.create_job_escrow(match, net.buyer)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({escrow.id for escrow in found}) == 1
    assert len(found) == 4
    assert scene.sent(net.buyer) == sent + 1


def test_open__order_that_has_a_deal__with_another_offer__is_refused(scene: Scene, net: Devnet) -> None:
    order = scene.order()
    scene.buyer.create_job_escrow(scene.match(order=order), net.buyer)
    with pytest.raises(OrderAlreadyOpened) as refused:
        scene.buyer.create_job_escrow(scene.match(order=order, offer=scene.offer(slot=1)), net.buyer)
    assert (refused.value.actual, refused.value.limit) == (0, 0)


def test_open__by_somebody_else_at_the_same_time__is_ours_all_the_same(
    scene: Scene, net: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone who sees the permit and the two signatures may send them first; the deal is the same."""
    match = scene.match(slot=3)
    stranger = net.payments(net.stranger)
    prepare = scene.buyer.client.permit

    def permit_and_lose_the_race(*arguments: Any) -> Any:
        permit = prepare(*arguments)
        stranger.create_job_escrow(match, net.buyer)
        return permit

    monkeypatch.setattr(scene.buyer.client, "permit", permit_and_lose_the_race)
    assert scene.buyer.create_job_escrow(match, net.buyer).state is EscrowState.LOCKED


# ---------------------------------------------------------------- what is refused before anything is sent


@pytest.fixture
def untouched(scene: Scene, net: Devnet) -> Iterator[None]:
    """Check after the test that no money and no transaction moved."""
    before = (scene.wealth(net.buyer), scene.escrow_holds(), scene.sent(net.buyer))
    yield
    assert (scene.wealth(net.buyer), scene.escrow_holds(), scene.sent(net.buyer)) == before


def refused(scene: Scene, match: OrderMatch, error: type[MoltError]) -> Any:
    """Check that a match is refused with this very error, and return it."""
    with pytest.raises(error) as caught:
        scene.buyer.create_job_escrow(match, scene.net.buyer)
    assert caught.type is error
    return caught.value


@pytest.mark.usefixtures("untouched")
class TestRefused:
    def test_open__unsigned_offer(self, scene: Scene) -> None:
        offer = scene.offer().model_copy(update={"signature": None})
        assert refused(scene, scene.match(offer=offer), UnsignedOffer).offer_id == offer.id

    def test_open__tampered_price__is_not_the_providers_signature(self, scene: Scene, net: Devnet) -> None:
        offer = scene.offer().model_copy(update={"price_per_hour": molt("0.1")})
        assert refused(scene, scene.match(offer=offer), WrongSigner).expected == net.provider.address

    def test_open__offer_signed_by_a_stranger(self, scene: Scene, net: Devnet) -> None:
        forged = scene.offer(net.stranger).model_copy(update={"provider_id": PartyId(net.provider.address)})
        assert refused(scene, scene.match(offer=forged), WrongSigner).expected == net.provider.address

    def test_open__garbage_for_a_signature(self, scene: Scene) -> None:
        offer = scene.offer().model_copy(update={"signature": Signature("0x" + "00" * 65)})
        refused(scene, scene.match(offer=offer), InvalidSignature)

    def test_open__another_buyers_order(self, scene: Scene, net: Devnet) -> None:
        match = scene.match(buyer_id=net.buyers[1].address)
        error = refused(scene, match, WrongSigner)
        assert (error.expected, error.actual) == (net.buyers[1].address, net.buyer.address)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("gpu_count", 3),
            ("hours", 23),
            ("price_per_hour", molt(1)),
            ("total_cost", molt(1)),
            ("offer_id", OfferId("another")),
            ("order_id", OrderId("another")),
            ("provider_id", PartyId("another")),
        ],
    )
    def test_open__match_that_says_otherwise(self, scene: Scene, field: str, value: Any) -> None:
        error = refused(scene, replace(scene.match(), **{field: value}), MatchMismatch)
        assert str(error).startswith(field)

    def test_open__price_in_another_token(self, scene: Scene) -> None:
        dollars = Token("USDC", 6).amount("2.5")
        refused(scene, scene.match(offer=scene.offer(price_per_hour=dollars)), TokenMismatch)

    def test_open__unregistered_policy(self, scene: Scene, net: Devnet) -> None:
        unknown = policy_id(Policy(arbiter=net.stranger.address))
        error = refused(scene, scene.match(offer=scene.offer(policy_id=unknown)), PolicyNotFound)
        assert error.policy_id == unknown

    def test_open__too_few_tokens(self, scene: Scene, net: Devnet) -> None:
        available = scene.wealth(net.buyer)
        match = scene.match(max_price_per_hour=molt(10_000), offer=scene.offer(price_per_hour=molt(10_000)))
        error = refused(scene, match, InsufficientTokens)
        assert (error.needed, error.available) == (match.total_cost, available)

    def test_open__provider_without_the_bond(self, scene: Scene, net: Devnet) -> None:
        poor = scene.offer(net.stranger)
        error = refused(scene, scene.match(offer=poor), ProviderBalance)
        assert (error.actual, error.limit) == (0, molt(24).base_units)

    def test_open__price_above_the_orders_limit(self, scene: Scene) -> None:
        error = refused(scene, scene.match(max_price_per_hour=molt(2)), PriceAboveLimit)
        assert (error.actual, error.limit) == (molt("2.5").base_units, molt(2).base_units)

    def test_open__more_gpus_than_offered(self, scene: Scene) -> None:
        error = refused(scene, scene.match(min_gpu_count=9), CapacityExceeded)
        assert (error.actual, error.limit) == (9, 8)

    def test_open__expired_offer(self, scene: Scene, net: Devnet) -> None:
        offer = scene.offer(expires_at=net.clock.now() + timedelta(minutes=1))
        net.warp(60)
        assert refused(scene, scene.match(offer=offer), OfferExpired).limit == seconds(offer.expires_at)

    def test_open__expired_order(self, scene: Scene, net: Devnet) -> None:
        match = scene.match(expires_at=net.clock.now() + timedelta(minutes=1))
        net.warp(60)
        assert refused(scene, match, OrderExpired).limit == seconds(match.order.expires_at)

    def test_open__another_opener(self, scene: Scene, net: Devnet) -> None:
        with pytest.raises(NotOpener):
            scene.open(net.payments(net.stranger), opener=net.operator.address)


def test_open__gpus_in_use__are_refused(scene: Scene, net: Devnet) -> None:
    offer = scene.offer()
    scene.open(offer=offer)
    scene.open(offer=offer)
    error = refused(scene, scene.match(offer=offer), CapacityExceeded)
    assert (error.actual, error.limit) == (12, 8)


def test_open__refused__can_be_tried_again_when_the_reason_is_gone(scene: Scene, net: Devnet) -> None:
    match = scene.match(offer=scene.offer(net.stranger))
    refused(scene, match, ProviderBalance)
    net.mint(net.stranger.address, molt(24))
    net.client(net.stranger).deposit(molt(24))
    assert scene.buyer.create_job_escrow(match, net.buyer).state is EscrowState.LOCKED


# ---------------------------------------------------------------- what the chain itself refuses


def unchecked(scene: Scene, match: OrderMatch) -> tuple[TransactionReceipt, MarketError | None]:
    """Send a match without asking first, so that the refusal is mined."""
    net = scene.net
    net.client(net.buyer).deposit(molt(1_000))
    order = sign_order(match.order, net.buyer, net.domain, offer=match.offer)
    client = net.client(net.buyer)
    return client.send_unchecked(client.calls.open(match.offer, order))


def test_send_unchecked__tampered_price__is_mined_with_status_0(scene: Scene, net: Devnet) -> None:
    offer = scene.offer().model_copy(update={"price_per_hour": molt("0.1")})
    receipt, refusal = unchecked(scene, scene.match(offer=offer, slot=0))
    assert (receipt.succeeded, receipt.events) == (False, ())
    assert isinstance(refusal, BadSignature)
    assert Address.of(refusal.limit) == net.provider.address


def test_send_unchecked__offer_of_a_stranger__names_both_signers(scene: Scene, net: Devnet) -> None:
    forged = scene.offer(net.stranger).model_copy(update={"provider_id": PartyId(net.provider.address)})
    receipt, refusal = unchecked(scene, scene.match(offer=forged, slot=0))
    assert not receipt.succeeded
    assert isinstance(refusal, BadSignature)
    assert refusal.code == BadSignature.code
    assert Address.of(refusal.limit) == net.provider.address


def test_send_unchecked__fitting_match__opens(scene: Scene) -> None:
    receipt, refusal = unchecked(scene, scene.match(slot=0))
    assert refusal is None
    assert receipt.only(DealOpened).terms.gpu_count == 4


# ---------------------------------------------------------------- the book


def test_open__with_a_book__confirms_the_reservation(scene: Scene, net: Devnet) -> None:
    book = OrderBook(net.clock)
    match = scene.booked(book)
    net.payments(net.buyer, book=book).create_job_escrow(match, net.buyer)
    assert book.order(match.order_id).status is OrderStatus.ESCROWED
    with pytest.raises(InsufficientCapacity):
        book.match_order(scene.order(min_gpu_count=5))


def test_open__refused_by_the_chain__is_known_before_anything_is_reserved(scene: Scene, net: Devnet) -> None:
    book = OrderBook(net.clock)
    match = scene.booked(book)
    scene.open(offer=match.offer, min_gpu_count=8)
    sent = scene.sent(net.buyer)
    with pytest.raises(CapacityExceeded):
        net.payments(net.buyer, book=book).create_job_escrow(match, net.buyer)
    assert scene.sent(net.buyer) == sent
    with pytest.raises(OrderNotFound):
        book.order(match.order_id)


def test_open__refused_after_the_check__releases_the_reservation(
    scene: Scene, net: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = OrderBook(net.clock)
    match = scene.booked(book)
    scene.open(offer=match.offer, min_gpu_count=8)
    payments = net.payments(net.buyer, book=book)
    monkeypatch.setattr(payments.client, "check", lambda *_, **__: None)  # as if it had come in between
    with pytest.raises(CapacityExceeded):
        payments.create_job_escrow(match, net.buyer)
    assert book.order(match.order_id).status is OrderStatus.PENDING
    assert book.match_order(scene.order(min_gpu_count=8))


def test_open__by_somebody_else_just_before__is_the_same_deal_and_the_book_holds_it(
    scene: Scene, net: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = OrderBook(net.clock)
    match = scene.booked(book, slot=0)
    net.client(net.buyer).deposit(molt(240))
    payments, stranger = net.payments(net.buyer, book=book), net.client(net.stranger)
    check, sent = payments.client.check, scene.sent(net.stranger)

    def overtaken(offer: CapacityOffer, order: JobOrder, opener: Address) -> Refused | None:
        stranger.send(stranger.calls.open(offer, order))
        return check(offer, order, opener)

    monkeypatch.setattr(payments.client, "check", overtaken)
    escrow = payments.create_job_escrow(match, net.buyer)
    assert (escrow.status, scene.sent(net.stranger)) == (DealStatus.LOCKED, sent + 1)
    assert book.order(match.order_id).status is OrderStatus.ESCROWED
    with pytest.raises(InsufficientCapacity):
        book.match_order(scene.order(min_gpu_count=8))


def test_open__refused_by_the_book__sends_nothing(scene: Scene, net: Devnet) -> None:
    book = OrderBook(net.clock)
    match = scene.booked(book)
    book.remove_offer(match.offer_id)
    sent = scene.sent(net.buyer)
    journal = MemoryJournal()
    with pytest.raises(OfferNotFound):
        net.payments(net.buyer, book=book, journal=journal).create_job_escrow(match, net.buyer)
    assert scene.sent(net.buyer) == sent
    assert [entry.state for entry in journal.openings(net.buyer.address)] == [EntryState.FAILED]
