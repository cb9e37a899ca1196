"""A claim is contested: what is paid at once, who stakes what, and how it ends.

240 MOLT are locked for 24 hours, with a bond of 24; the fee is 1 %, the arbiter's share 5 % of the stakes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.disputes import Dispute, DisputeOutcome, DisputeReason, DisputeResolution
from molt_market.domain.endings import (
    quote_default,
    quote_dispute,
    quote_ruling,
    quote_split,
    quote_unattested_claim,
)
from molt_market.domain.events import DealDisputed
from molt_market.domain.ids import DisputeId, Hash32
from molt_market.domain.orders import OrderStatus
from molt_market.domain.settlement import SettlementQuote, SettlementStatus, gpu_seconds
from molt_market.errors import (
    EscrowError,
    InsufficientTokens,
    InvalidStateTransition,
    InvalidValue,
    ProofMismatch,
    WrongSigner,
)
from molt_market.orderbook import OrderBook
from molt_market.payments.journal import MemoryJournal
from molt_market.payments.service import PaymentService
from molt_market.payments.settlement import settle_job
from molt_market.refusals import (
    AboveElapsed,
    BuyerBalance,
    CounterOutOfRange,
    NotArbiter,
    RulingOutOfRange,
    TooEarly,
    TooLate,
)
from molt_market.signing.agreements import (
    sign_concession,
    sign_dispute,
    sign_unattested_claim,
)
from molt_market.testing import Devnet
from tests.integration.endings import WEEK, require_paid_out, split
from tests.integration.scene import HOURS, Scene, molt

CLAIM = "23.5"
EVIDENCE = Hash32("0x" + "ef" * 32)


@pytest.fixture
def arbiter(net: Devnet) -> PaymentService:
    return net.payments(net.arbiter)


@pytest.fixture
def stranger(net: Devnet) -> PaymentService:
    """An account that is no party, with a journal of its own."""
    return net.payments(net.stranger)


def claimed(scene: Scene, hours: str = CLAIM, *, paid: str | None = None) -> EscrowAccount:
    """Make a deal that ran and is claimed."""
    escrow = scene.open()
    if paid is not None:
        scene.provider.redeem(escrow, scene.voucher(escrow, paid))
    scene.run(HOURS)
    scene.provider.release_payment(escrow, scene.proof(escrow, hours))
    return scene.client.escrow(escrow.id)


def contest(escrow: EscrowAccount, hours: str = "20", **fields: Any) -> Dispute:
    return Dispute(escrow_id=escrow.id, counter_hours=hours, **fields)


def disputed(scene: Scene, hours: str = "20", claim: str = CLAIM) -> EscrowAccount:
    """Make a deal whose claim is contested."""
    escrow = claimed(scene, claim)
    scene.buyer.handle_dispute(escrow, contest(escrow, hours))
    return scene.client.escrow(escrow.id)


def ran(scene: Scene) -> EscrowAccount:
    """Make a deal that ran to its end, and nobody has claimed."""
    escrow = scene.open()
    scene.run(HOURS)
    return scene.client.escrow(escrow.id)


def require_resolved(
    scene: Scene, escrow: EscrowAccount, outcome: DisputeOutcome, quote: SettlementQuote
) -> DisputeResolution:
    """Compare the log and what the service says of a closed dispute with a quote, to the base unit."""
    require_paid_out(scene, escrow, quote)
    found = scene.buyer.resolution(escrow.id)
    assert found.outcome == outcome
    for name in SettlementQuote.__dataclass_fields__:
        assert getattr(found, name) == getattr(quote, name), name
    return found


# ---------------------------------------------------------------- the dispute opens


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


# ---------------------------------------------------------------- the arbiter rules


@pytest.mark.parametrize("hours", ["20", "22", "23.5"])
def test_ruling__splits_stakes_as_the_bond(
    scene: Scene, net: Devnet, arbiter: PaymentService, hours: str
) -> None:
    escrow = disputed(scene)
    share = net.policy.arbiter_share_bps
    quote = quote_ruling(escrow, gpu_seconds(hours, 4), arbiter_share_bps=share)
    before = scene.wealth(net.arbiter)
    ruling = arbiter.resolve(escrow, hours)
    found = require_resolved(scene, escrow, DisputeOutcome.Ruled(arbiter=net.arbiter.address), quote)
    assert scene.wealth(net.arbiter) - before == found.arbiter_share == molt("0.35")
    assert found.transactions[-1] == ruling


def test_ruling__again__returns_the_first(scene: Scene, net: Devnet, arbiter: PaymentService) -> None:
    escrow = disputed(scene)
    first = arbiter.resolve(escrow, "22")
    assert first == arbiter.resolve(escrow, "22") == net.payments(net.arbiter).resolve(escrow, "22")
    with pytest.raises(InvalidStateTransition):
        arbiter.resolve(escrow, "21")


@pytest.mark.parametrize("hours", ["19.9", "23.6"])
def test_ruling__out_of_bounds__is_refused(scene: Scene, arbiter: PaymentService, hours: str) -> None:
    with pytest.raises(RulingOutOfRange):
        arbiter.resolve(disputed(scene), hours)


def test_ruling__by_another__is_refused(scene: Scene) -> None:
    escrow = disputed(scene)
    with pytest.raises(NotArbiter):
        scene.buyer.resolve(escrow, "20")


def test_ruling__when_the_time_is_over__is_refused(scene: Scene, arbiter: PaymentService) -> None:
    escrow = disputed(scene)
    scene.run_past(escrow)
    with pytest.raises(TooLate):
        arbiter.resolve(escrow, "22")


def test_ruling__on_nothing__is_refused(scene: Scene, arbiter: PaymentService) -> None:
    with pytest.raises(InvalidStateTransition):
        arbiter.resolve(claimed(scene), "22")


def test_ruling__says_how_long_once(scene: Scene, arbiter: PaymentService) -> None:
    escrow = disputed(scene)
    with pytest.raises(InvalidValue):
        arbiter.resolve(escrow)
    with pytest.raises(InvalidValue):
        arbiter.resolve(escrow, "22", gpu_seconds=1)
    arbiter.resolve(escrow, gpu_seconds=escrow.paid_gpu_seconds + 1)
    assert scene.client.escrow(escrow.id).paid_gpu_seconds == escrow.paid_gpu_seconds + 1


def test_ruling__settle_job_tells_it(scene: Scene, arbiter: PaymentService) -> None:
    escrow = disputed(scene)
    job = scene.job(escrow, CLAIM)
    assert settle_job(job, scene.provider).status == SettlementStatus.Disputed(DisputeId(escrow.id))
    assert settle_job(job, scene.provider).buyer_refund == molt(5)
    arbiter.resolve(escrow, "22")
    assert settle_job(job, scene.provider).status == SettlementStatus.PartialRefund(
        reason="22 of 24 hours, as ruled"
    )


def test_ruling__for_nothing_at_all__is_a_full_refund(scene: Scene, arbiter: PaymentService) -> None:
    escrow = disputed(scene, "0")
    arbiter.resolve(escrow, 0)
    assert scene.client.escrow(escrow.id).status is DealStatus.REFUNDED
    assert scene.provider.settlement(escrow.id).status == SettlementStatus.FullRefund(
        reason="0 of 24 hours, as ruled"
    )


# ---------------------------------------------------------------- without a ruling


def test_concession__of_the_provider__to_the_counter(scene: Scene, net: Devnet) -> None:
    escrow = disputed(scene)
    quote = quote_ruling(escrow, gpu_seconds(20, 4))
    first = scene.provider.concede(escrow)
    require_resolved(scene, escrow, DisputeOutcome.Conceded(by=net.provider.address), quote)
    assert first == scene.provider.concede(escrow) == net.payments(net.provider).concede(escrow)
    with pytest.raises(InvalidStateTransition):
        scene.buyer.concede(escrow)


def test_concession__of_the_buyer__to_the_claim(scene: Scene, net: Devnet) -> None:
    escrow = disputed(scene)
    quote = quote_ruling(escrow, gpu_seconds(CLAIM, 4))
    scene.buyer.concede(escrow)
    require_resolved(scene, escrow, DisputeOutcome.Conceded(by=net.buyer.address), quote)
    assert scene.buyer.settlement(escrow.id).status == SettlementStatus.PartialRefund(
        reason="23.5 of 24 hours, as conceded"
    )


def test_concession__by_signature__anyone_sends_it(
    scene: Scene, net: Devnet, stranger: PaymentService
) -> None:
    escrow = disputed(scene)
    until = net.clock.now() + timedelta(hours=1)
    given = sign_concession(escrow.id, escrow.paid_gpu_seconds, net.provider, net.domain, until=until)
    stranger.concede(escrow, given)
    assert scene.buyer.resolution(escrow.id).outcome == DisputeOutcome.Conceded(by=net.provider.address)


def test_concession__by_a_stranger__is_refused(scene: Scene, net: Devnet, stranger: PaymentService) -> None:
    escrow = disputed(scene)
    with pytest.raises(WrongSigner):
        stranger.concede(escrow)
    forged = sign_concession(
        escrow.id, escrow.paid_gpu_seconds, net.stranger, net.domain, until=net.clock.now() + WEEK
    )
    with pytest.raises(WrongSigner):
        stranger.concede(escrow, forged)


def test_concession__of_a_figure_in_between__is_refused(scene: Scene, net: Devnet) -> None:
    escrow = disputed(scene)
    between = sign_concession(
        escrow.id, gpu_seconds(21, 4), net.provider, net.domain, until=net.clock.now() + WEEK
    )
    with pytest.raises(RulingOutOfRange):
        scene.buyer.concede(escrow, between)


@pytest.mark.parametrize("hours", ["20", "21", "23.5"])
def test_split__of_a_dispute__gives_each_his_stake(scene: Scene, net: Devnet, hours: str) -> None:
    escrow = disputed(scene)
    quote = quote_split(escrow, gpu_seconds(hours, 4))
    scene.buyer.settle_split(escrow, split(scene, escrow, hours, net.buyer, net.provider))
    require_resolved(scene, escrow, DisputeOutcome.Settled(), quote)


def test_split__of_a_dispute_after_its_time__counts_as_agreed(scene: Scene, net: Devnet) -> None:
    escrow = disputed(scene)
    scene.run_past(escrow)
    quote = quote_split(escrow, escrow.claimed_gpu_seconds)
    scene.buyer.settle_split(escrow, split(scene, escrow, CLAIM, net.buyer, net.provider))
    require_resolved(scene, escrow, DisputeOutcome.Settled(), quote)
    assert scene.buyer.settlement(escrow.id).status == SettlementStatus.PartialRefund(
        reason="23.5 of 24 hours, as agreed"
    )


def test_silent_arbiter__an_attested_claim_stands(scene: Scene) -> None:
    escrow = disputed(scene)
    quote = quote_default(escrow)
    scene.run_past(escrow)
    found = scene.buyer.handle_dispute(escrow, contest(escrow))
    assert found == require_resolved(scene, escrow, DisputeOutcome.TimedOut(), quote)
    assert found.gpu_seconds == escrow.claimed_gpu_seconds
    assert scene.buyer.handle_dispute(escrow, contest(escrow)) == found


def test_silent_arbiter__settle_job_finalizes_too(scene: Scene) -> None:
    escrow = disputed(scene)
    scene.run_past(escrow)
    result = settle_job(scene.job(escrow, CLAIM), scene.provider)
    assert result.status == SettlementStatus.PartialRefund(reason="23.5 of 24 hours, as nobody ruled")


# ---------------------------------------------------------------- a claim without attestors


def test_unattested__goes_straight_to_the_arbiter(scene: Scene, net: Devnet) -> None:
    escrow = ran(scene)
    quote = quote_unattested_claim(escrow, gpu_seconds(CLAIM, 4))
    claim = scene.provider.claim_unattested(escrow, CLAIM)
    present = scene.client.escrow(escrow.id)
    assert (present.status, present.attested) == (DealStatus.DISPUTED, False)
    [event] = [each for each in scene.client.deal_events(escrow.id) if isinstance(each, DealDisputed)]
    assert (event.to_provider, event.fee, event.to_buyer, event.stake) == (
        quote.to_provider.base_units,
        quote.platform_fee.base_units,
        quote.to_buyer.base_units,
        0,
    )
    assert claim == scene.provider.claim_unattested(escrow, CLAIM)
    assert claim == net.payments(net.provider).claim_unattested(escrow, CLAIM)
    assert scene.client.gpus_in_use(net.provider.address, 0) == 0


def test_unattested__buyer_asks_how_it_stands(scene: Scene) -> None:
    escrow = ran(scene)
    scene.provider.claim_unattested(escrow, CLAIM)
    found = scene.buyer.handle_dispute(escrow, contest(escrow, "0"))
    assert found.outcome == DisputeOutcome.Pending(until=scene.client.escrow(escrow.id).locked_until)
    assert found.stake == molt(0)


@pytest.mark.parametrize("hours", ["0", "12", "23.5"])
def test_unattested__ruled(scene: Scene, net: Devnet, arbiter: PaymentService, hours: str) -> None:
    escrow = ran(scene)
    scene.provider.claim_unattested(escrow, CLAIM)
    present = scene.client.escrow(escrow.id)
    quote = quote_ruling(present, gpu_seconds(hours, 4), arbiter_share_bps=net.policy.arbiter_share_bps)
    arbiter.resolve(escrow, hours)
    require_resolved(scene, escrow, DisputeOutcome.Ruled(arbiter=net.arbiter.address), quote)


def test_unattested__silent_arbiter__it_falls(scene: Scene) -> None:
    escrow = scene.open()
    scene.provider.redeem(escrow, scene.voucher(escrow, "6"))
    scene.run(HOURS)
    scene.provider.claim_unattested(escrow, CLAIM)
    present = scene.client.escrow(escrow.id)
    quote = quote_default(present)
    scene.run_past(escrow)
    scene.buyer.refund_payment(escrow, "nobody ruled")
    found = require_resolved(scene, escrow, DisputeOutcome.TimedOut(), quote)
    assert found.gpu_seconds == gpu_seconds(6, 4)


def test_unattested__buyer_concedes(scene: Scene, net: Devnet) -> None:
    escrow = ran(scene)
    scene.provider.claim_unattested(escrow, CLAIM)
    quote = quote_ruling(scene.client.escrow(escrow.id), gpu_seconds(CLAIM, 4))
    scene.buyer.concede(escrow)
    require_resolved(scene, escrow, DisputeOutcome.Conceded(by=net.buyer.address), quote)


def test_unattested__by_signature__anyone_sends_it(
    scene: Scene, net: Devnet, stranger: PaymentService
) -> None:
    escrow = ran(scene)
    until = net.clock.now() + WEEK
    claim = sign_unattested_claim(escrow.id, gpu_seconds(CLAIM, 4), net.provider, net.domain, until=until)
    stranger.claim_unattested(escrow, claim=claim)
    assert scene.client.escrow(escrow.id).claimed_gpu_seconds == gpu_seconds(CLAIM, 4)


def test_unattested__by_the_agent__is_refused(scene: Scene, net: Devnet) -> None:
    escrow = ran(scene)
    with pytest.raises(WrongSigner):
        net.payments(net.agent).claim_unattested(escrow, CLAIM)
    until = net.clock.now() + WEEK
    claim = sign_unattested_claim(escrow.id, gpu_seconds(CLAIM, 4), net.agent, net.domain, until=until)
    with pytest.raises(WrongSigner):
        net.payments(net.agent).claim_unattested(escrow, claim=claim)


def test_unattested__before_the_end__or_after_the_deadline__is_refused(scene: Scene) -> None:
    escrow = scene.open()
    with pytest.raises(TooEarly):
        scene.provider.claim_unattested(escrow, CLAIM)
    scene.run_past(escrow)
    with pytest.raises(TooLate):
        scene.provider.claim_unattested(escrow, CLAIM)


def test_unattested__for_more_than_it_ran__is_refused(scene: Scene) -> None:
    with pytest.raises(AboveElapsed):
        scene.provider.claim_unattested(ran(scene), "24.5")


def test_unattested__another_figure_afterwards__is_refused(scene: Scene) -> None:
    escrow = ran(scene)
    scene.provider.claim_unattested(escrow, CLAIM)
    with pytest.raises(InvalidStateTransition):
        scene.provider.claim_unattested(escrow, "23")
