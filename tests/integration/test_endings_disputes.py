"""A claim is contested: what is paid at once, and who stakes what.

240 MOLT are locked for 24 hours, with a bond of 24; the fee is 1 %. 23.5 hours are claimed, 20 accepted.
"""

from __future__ import annotations

import pytest

from molt_market.domain.deals import DealStatus
from molt_market.domain.disputes import Dispute, DisputeOutcome, DisputeReason
from molt_market.domain.endings import (
    quote_dispute,
)
from molt_market.domain.events import DealDisputed
from molt_market.domain.ids import DisputeId, Hash32
from molt_market.domain.orders import OrderStatus
from molt_market.domain.settlement import gpu_seconds
from molt_market.errors import (
    EscrowError,
    InsufficientTokens,
    InvalidStateTransition,
    ProofMismatch,
    WrongSigner,
)
from molt_market.orderbook import OrderBook
from molt_market.payments.journal import MemoryJournal
from molt_market.payments.service import PaymentService
from molt_market.payments.settlement import settle_job
from molt_market.refusals import (
    BuyerBalance,
    CounterOutOfRange,
    TooLate,
)
from molt_market.signing.agreements import (
    sign_dispute,
)
from molt_market.testing import Devnet
from tests.integration.endings import CLAIM, WEEK, claimed, contest
from tests.integration.scene import HOURS, Scene, molt

EVIDENCE = Hash32("0x" + "ef" * 32)


@pytest.fixture
def arbiter(net: Devnet) -> PaymentService:
    return net.payments(net.arbiter)


@pytest.fixture
def stranger(net: Devnet) -> PaymentService:
    """An account that is no party, with a journal of its own."""
    return net.payments(net.stranger)


def test_dispute__pays_the_counter_and_stakes_on_the_rest(scene: Scene, net: Devnet) -> None:
    escrow = claimed(scene)
    quote = quote_dispute(escrow, gpu_seconds(20, 4))
    before = scene.wealth(net.buyer)
    found = scene.buyer.handle_dispute(escrow, contest(escrow, evidence=EVIDENCE))
    present = scene.client.escrow(escrow.id)
    assert found.outcome == DisputeOutcome.Pending(until=present.locked_until)
    assert (found.dispute_id, found.gpu_seconds) == (DisputeId(escrow.id), gpu_seconds(20, 4))
    assert (found.provider_payment, found.platform_fee, found.buyer_refund) == (molt(198), molt(2), molt(5))
    assert (found.stake, found.arbiter_share) == (molt("3.5"), molt(0))
    assert (found.bond_to_provider, found.bond_to_buyer) == (molt(20), molt("0.5"))
    assert scene.wealth(net.buyer) - before == quote.to_buyer - quote.stake
    assert (present.status, present.attested) == (DealStatus.DISPUTED, True)


@pytest.mark.parametrize("counter", ["0", "12", "23.4"])
def test_dispute__moves_what_the_quote_says(scene: Scene, counter: str) -> None:
    escrow = claimed(scene)
    quote = quote_dispute(escrow, gpu_seconds(counter, 4))
    scene.buyer.handle_dispute(escrow, contest(escrow, counter, evidence=EVIDENCE))
    [event] = [each for each in scene.client.deal_events(escrow.id) if isinstance(each, DealDisputed)]
    assert (event.counter, event.gpu_seconds) == (quote.counter_gpu_seconds, quote.claimed_gpu_seconds)
    assert (event.to_provider, event.fee, event.to_buyer, event.stake) == (
        quote.to_provider.base_units,
        quote.platform_fee.base_units,
        quote.to_buyer.base_units,
        quote.stake.base_units,
    )
    assert event.evidence == EVIDENCE


def test_dispute__what_the_balance_lacks_comes_by_permit_in_the_same_transaction(
    scene: Scene, net: Devnet
) -> None:
    escrow = claimed(scene)
    wallet, sent = scene.client.balance_of(net.buyer.address), scene.sent(net.buyer)
    found = scene.buyer.handle_dispute(escrow, contest(escrow, "0"))
    missing = found.stake - found.buyer_refund - found.bond_to_buyer
    assert missing == molt("18")
    assert wallet - scene.client.balance_of(net.buyer.address) == missing
    assert scene.client.balances(net.buyer.address).escrow == molt(0)
    assert scene.sent(net.buyer) == sent + 1 == sent + len(found.transactions)


def test_dispute__buyer_cannot_stake__is_refused(scene: Scene, net: Devnet) -> None:
    escrow = claimed(scene)
    client = net.client(net.buyer)
    client.deposit(scene.client.balance_of(net.buyer.address))
    client.request_withdraw(scene.client.balances(net.buyer.address).escrow)
    net.warp(900)
    client.withdraw(net.stranger.address)
    with pytest.raises(InsufficientTokens) as caught:
        scene.buyer.handle_dispute(escrow, contest(escrow, "0"))
    assert (caught.value.needed, caught.value.available) == (molt("23.5"), molt("5.5"))
    assert scene.client.escrow(escrow.id).status is DealStatus.CLAIMED


def test_dispute__again__sends_nothing(scene: Scene, net: Devnet) -> None:
    escrow = claimed(scene)
    first = scene.buyer.handle_dispute(escrow, contest(escrow))
    sent = scene.sent(net.buyer)
    assert scene.buyer.handle_dispute(escrow, contest(escrow)) == first
    assert net.payments(net.buyer).handle_dispute(escrow, contest(escrow, "21")) == first
    assert scene.sent(net.buyer) == sent


def test_dispute__reason_and_text_go_to_the_journal(scene: Scene, net: Devnet) -> None:
    journal = MemoryJournal()
    escrow = claimed(scene)
    why = contest(escrow, reason=DisputeReason.UNREACHABLE, text="no answer from 3 to 7")
    net.payments(net.buyer, journal=journal).handle_dispute(escrow, why)
    entry = journal.get(f"contest:{escrow.id}")
    assert entry is not None
    assert entry.note == "unreachable: no answer from 3 to 7"


def test_dispute__counter_in_gpu_seconds__after_an_odd_voucher(scene: Scene) -> None:
    """Hours of the whole allocation cannot say what was paid: 6 hours of all GPUs but one."""
    escrow = scene.open()
    odd = scene.voucher(escrow, "6").gpu_seconds - 1
    scene.provider.redeem(escrow, scene.voucher(escrow, "5"))
    scene.run(HOURS)
    scene.provider.release_payment(escrow, scene.proof(escrow, CLAIM))
    found = scene.buyer.handle_dispute(escrow, Dispute(escrow_id=escrow.id, counter_gpu_seconds=odd))
    assert found.gpu_seconds == odd


@pytest.mark.parametrize("hours", ["5", "23.5", "24"])
def test_dispute__counter_out_of_range__is_refused(scene: Scene, hours: str) -> None:
    escrow = claimed(scene, paid="6")
    with pytest.raises(CounterOutOfRange):
        scene.buyer.handle_dispute(escrow, contest(escrow, hours))


def test_dispute__by_another_account__is_refused(scene: Scene) -> None:
    escrow = claimed(scene)
    with pytest.raises(WrongSigner):
        scene.provider.handle_dispute(escrow, contest(escrow))


def test_dispute__of_another_deal__is_refused(scene: Scene) -> None:
    escrow = claimed(scene)
    with pytest.raises(ProofMismatch):
        scene.buyer.handle_dispute(escrow, contest(scene.open()))


def test_dispute__nothing_is_claimed__is_refused(scene: Scene) -> None:
    escrow = scene.open()
    with pytest.raises(InvalidStateTransition) as caught:
        scene.buyer.handle_dispute(escrow, contest(escrow))
    assert (caught.value.from_, caught.value.to) == ("LOCKED", "DISPUTED")
    with pytest.raises(EscrowError, match="no dispute"):
        scene.buyer.resolution(escrow.id)


def test_dispute__after_the_challenge_window__is_refused(scene: Scene) -> None:
    escrow = claimed(scene)
    scene.run_past(escrow)
    with pytest.raises(TooLate):
        scene.buyer.handle_dispute(escrow, contest(escrow))


def test_dispute__signed__a_watchtower_sends_it(scene: Scene, net: Devnet, stranger: PaymentService) -> None:
    escrow = claimed(scene)
    until = net.clock.now() + WEEK
    signed = sign_dispute(contest(escrow), escrow, net.buyer, net.domain, until=until)
    found = stranger.handle_dispute(escrow, signed)
    assert found.gpu_seconds == gpu_seconds(20, 4)


def test_dispute__signed__but_no_stake_in_the_balance__is_refused(
    scene: Scene, net: Devnet, stranger: PaymentService
) -> None:
    escrow = claimed(scene)
    signed = sign_dispute(contest(escrow, "0"), escrow, net.buyer, net.domain, until=net.clock.now() + WEEK)
    with pytest.raises(BuyerBalance):
        stranger.handle_dispute(escrow, signed)


def test_dispute__the_order_follows(scene: Scene, net: Devnet, arbiter: PaymentService) -> None:
    book = OrderBook(net.clock)
    match = scene.booked(book)
    buyer = net.payments(net.buyer, book=book)
    escrow = buyer.create_job_escrow(match, net.buyer)
    scene.run(HOURS)
    settle_job(scene.job(escrow, CLAIM), buyer)
    assert book.order(match.order_id).status is OrderStatus.COMPLETED
    buyer.handle_dispute(escrow, contest(escrow))
    assert book.order(match.order_id).status is OrderStatus.DISPUTED
    net.payments(net.arbiter, book=book).resolve(escrow, "22")
    assert book.order(match.order_id).status is OrderStatus.SETTLED
