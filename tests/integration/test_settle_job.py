"""A finished job becomes settled money: what everybody has afterwards, to the base unit."""

from datetime import datetime
from decimal import Decimal

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.ids import EscrowId
from molt_market.domain.settlement import (
    JobSettlementInput,
    SettlementResult,
    SettlementStatus,
    gpu_seconds,
    quote_settlement,
)
from molt_market.errors import DealNotFound, InvalidValue, ProofMismatch, WalletError, WrongSigner
from molt_market.orderbook import OrderBook
from molt_market.payments.settlement import settle_job
from molt_market.refusals import AboveElapsed, NotCompleted, Quorum, TooLate
from molt_market.signing.statements import sign_receipt, sign_voucher
from molt_market.testing import Devnet
from tests.integration.scene import DONE, HOURS, TOKEN, Scene, molt

PENDING = SettlementStatus.Pending
PARTIAL = SettlementStatus.PartialRefund(reason="23.5 of 24 hours delivered")
# 4 GPUs x 2.5 MOLT: 10 MOLT an hour, 1 % fee, a bond of 24 MOLT.
PAID_FOR_23_5 = (molt("232.65"), molt(5), molt("2.35"))


def figures(result: SettlementResult) -> tuple[object, ...]:
    return result.provider_payment, result.buyer_refund, result.platform_fee


def claimable_at(result: SettlementResult) -> datetime:
    assert isinstance(result.status, SettlementStatus.Pending)
    return result.status.claimable_at


def quoted(scene: Scene, escrow: EscrowAccount, hours: str) -> tuple[object, ...]:
    quote = quote_settlement(escrow, gpu_seconds(hours, escrow.terms.gpu_count))
    return quote.provider_payment, quote.buyer_refund, quote.platform_fee


# ---------------------------------------------------------------- with the buyer's confirmation


def test_settle__all_confirmed__pays_everything_in_one_transaction(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    sent, wealth = scene.sent(net.provider), scene.wealth(net.provider)
    result = settle_job(scene.job(escrow, "24", confirmed=True), scene.provider)
    assert result.status == SettlementStatus.Success()
    assert figures(result) == (molt("237.6"), molt(0), molt("2.4")) == quoted(scene, escrow, "24")
    assert len(result.transactions) == scene.sent(net.provider) - sent == 1
    assert scene.wealth(net.provider) - wealth == molt("237.6") + molt(24)  # the bond comes back
    assert scene.client.gpus_in_use(net.provider.address, 0) == 0


def test_settle__less_confirmed_and_attested__closes_at_once(scene: Scene, net: Devnet) -> None:
    """Claim and voucher together are the consent of both sides: nobody has to wait."""
    escrow = scene.open()
    scene.run(HOURS)
    sent = scene.sent(net.provider)
    result = settle_job(scene.job(escrow, "23.5", confirmed=True), scene.provider)
    assert (result.status, figures(result)) == (PARTIAL, PAID_FOR_23_5)
    assert figures(result) == quoted(scene, escrow, "23.5")
    assert len(result.transactions) == scene.sent(net.provider) - sent == 1


def test_settle__less_confirmed_before_the_end__with_a_result__closes_at_once(scene: Scene) -> None:
    escrow = scene.open()
    scene.run(12)
    result = settle_job(scene.job(escrow, "11.75", confirmed=True, result=DONE), scene.provider)
    assert result.status == SettlementStatus.PartialRefund(reason="11.75 of 24 hours delivered")
    assert result.buyer_refund == molt("122.5")


def test_settle__less_confirmed_but_unattested__pays_it_and_keeps_the_rest_locked(
    scene: Scene, net: Devnet
) -> None:
    """A voucher never closes a deal below its allocation: the rest comes back when the deadline is over."""
    escrow = scene.open()
    scene.run(HOURS)
    job = scene.job(escrow, "23.5", confirmed=True, attestors=0)
    result = settle_job(job, scene.provider)
    assert claimable_at(result) == escrow.locked_until
    assert figures(result) == (molt("232.65"), molt(0), molt("2.35"))
    scene.run_past(escrow)
    assert (settle_job(job, scene.provider).status, figures(settle_job(job, scene.provider))) == (
        PARTIAL,
        PAID_FOR_23_5,
    )


def test_settle__less_confirmed_before_the_end__is_paid_and_waits(scene: Scene) -> None:
    escrow = scene.open()
    scene.run(12)
    result = settle_job(scene.job(escrow, "12", confirmed=True), scene.provider)
    assert (claimable_at(result), result.provider_payment) == (escrow.locked_until, molt("118.8"))


def test_settle__less_confirmed_after_the_deadline__pays_and_closes_at_once(
    scene: Scene, net: Devnet
) -> None:
    escrow = scene.open()
    scene.run_past(escrow)
    result = settle_job(scene.job(escrow, "23.5", confirmed=True), scene.provider)
    assert (result.status, figures(result)) == (PARTIAL, PAID_FOR_23_5)
    assert len(result.transactions) == 1


def test_settle__confirmed_after_the_claim__closes_without_waiting(scene: Scene) -> None:
    escrow = scene.open()
    scene.run(HOURS)
    settle_job(scene.job(escrow, "23.5"), scene.provider)
    result = settle_job(scene.job(escrow, "23.5", confirmed=True), scene.provider)
    assert (result.status, figures(result), len(result.transactions)) == (PARTIAL, PAID_FOR_23_5, 2)


# ---------------------------------------------------------------- without it


def test_settle__attested__claims_waits_and_finalizes(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    before = {wallet.address: scene.wealth(wallet) for wallet in (net.buyer, net.provider, net.fee_recipient)}
    scene.run(HOURS)
    job = scene.job(escrow, "23.5")
    pending = settle_job(job, scene.provider)
    assert figures(pending) == (molt(0), molt(0), molt(0))
    assert claimable_at(pending) == scene.client.escrow(escrow.id).locked_until
    assert scene.client.gpus_in_use(net.provider.address, 0) == 0  # a claim frees the GPUs
    net.warp(net.policy.challenge_seconds)
    result = settle_job(job, scene.provider)
    assert (result.status, figures(result), len(result.transactions)) == (PARTIAL, PAID_FOR_23_5, 2)
    assert figures(result) == quoted(scene, escrow, "23.5")
    bond = quote_settlement(scene.client.escrow(escrow.id), gpu_seconds("23.5", 4))
    assert scene.wealth(net.buyer) - before[net.buyer.address] == molt(5) + bond.bond_to_buyer
    assert scene.wealth(net.provider) - before[net.provider.address] == molt("232.65") + bond.bond_to_provider
    assert scene.wealth(net.fee_recipient) - before[net.fee_recipient.address] == molt("2.35")


def test_settle__claimed__again_within_the_window__sends_nothing(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    scene.run(HOURS)
    job = scene.job(escrow, "23.5")
    first = settle_job(job, scene.provider)
    sent = scene.sent(net.provider)
    assert settle_job(job, scene.provider) == first
    assert settle_job(job, net.payments(net.provider)) == first  # and from another machine
    assert scene.sent(net.provider) == sent


def test_settle__closed__again__returns_the_same_and_sends_nothing(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    job = scene.job(escrow, "24", confirmed=True)
    first = settle_job(job, scene.provider)
    sent = scene.sent(net.provider)
    assert settle_job(job, scene.provider) == first == settle_job(job, net.payments(net.provider))
    assert scene.sent(net.provider) == sent


def test_settle__all_deals__leave_nothing_behind(scene: Scene, net: Devnet) -> None:
    """By balanceOf: no token is made or lost, and the contract holds what it owes, to the base unit."""
    everybody = [*net.buyers, *net.providers, net.fee_recipient, net.operator, net.stranger, net.arbiter]
    before = sum(scene.wealth(wallet).base_units for wallet in everybody)
    offers = [
        scene.offer(price_per_hour=Amount(molt(1).base_units // 7 + spread, TOKEN)) for spread in range(3)
    ]
    escrows = [scene.open(offer=offer, estimated_hours=5, min_gpu_count=2) for offer in offers]
    scene.run(5)
    for escrow, hours in zip(escrows, ("5", "4.7777", "0.0003"), strict=True):
        settle_job(scene.job(escrow, hours, confirmed=hours == "5"), scene.provider)
    net.warp(net.policy.challenge_seconds)
    for escrow in escrows[1:]:
        scene.provider.refund_payment(escrow, "the window is over")
    owed = sum(scene.client.balances(wallet.address).escrow.base_units for wallet in everybody)
    assert scene.escrow_holds().base_units == owed
    assert sum(scene.wealth(wallet).base_units for wallet in everybody) == before


def test_settle__anyone_may_send_it(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    result = settle_job(scene.job(escrow, "24", confirmed=True), net.payments(net.stranger))
    assert result.status == SettlementStatus.Success()


def test_settle__frees_the_gpus_in_the_book(scene: Scene, net: Devnet) -> None:
    book = OrderBook(net.clock)
    match = scene.booked(book)
    payments = net.payments(net.buyer, book=book)
    escrow = payments.create_job_escrow(match, net.buyer)
    settle_job(scene.job(escrow, "24", confirmed=True), payments)
    assert book.match_order(scene.order(min_gpu_count=8))


# ---------------------------------------------------------------- what is refused, and sends nothing


@pytest.fixture
def escrow(scene: Scene) -> EscrowAccount:
    return scene.open()


def changed(job: JobSettlementInput, **overrides: object) -> JobSettlementInput:
    return JobSettlementInput(**{**dict(job), **overrides})


def refuse(scene: Scene, job: JobSettlementInput, error: type[Exception]) -> Exception:
    sent = scene.sent(scene.net.provider)
    with pytest.raises(error) as caught:
        settle_job(job, scene.provider)
    assert caught.type is error
    assert scene.sent(scene.net.provider) == sent
    assert scene.client.escrow(job.escrow_id).status is DealStatus.LOCKED
    return caught.value


def test_settle__hours_of_the_input_differ__is_refused(scene: Scene, escrow: EscrowAccount) -> None:
    job = changed(scene.job(escrow, "23.5", confirmed=True), actual_hours=Decimal("23.4"))
    refuse(scene, job, ProofMismatch)


def test_settle__hours_of_the_confirmation_differ__is_refused(scene: Scene, escrow: EscrowAccount) -> None:
    job = changed(scene.job(escrow, "23.5"), buyer_confirmation=scene.voucher(escrow, "23.4"))
    refuse(scene, job, ProofMismatch)


def test_settle__confirmation_by_a_stranger__is_refused(
    scene: Scene, net: Devnet, escrow: EscrowAccount
) -> None:
    forged = scene.voucher(escrow, "24", net.stranger)
    error = refuse(scene, changed(scene.job(escrow, "24"), buyer_confirmation=forged), WrongSigner)
    assert isinstance(error, WrongSigner)
    assert (error.expected, error.actual) == (net.buyer.address, net.stranger.address)


def test_settle__receipt_by_a_stranger__is_refused(scene: Scene, net: Devnet, escrow: EscrowAccount) -> None:
    refuse(scene, scene.job(escrow, "24", confirmed=True, agent=net.stranger), WrongSigner)


def test_settle__more_than_the_allocation__is_refused(scene: Scene, escrow: EscrowAccount) -> None:
    scene.run(HOURS + 1)
    refuse(scene, scene.job(escrow, "24.5", confirmed=True), InvalidValue)


def test_settle__more_than_has_passed__is_refused(scene: Scene, escrow: EscrowAccount) -> None:
    scene.run(12)
    refuse(scene, scene.job(escrow, "13", result=DONE), AboveElapsed)


def test_settle__unconfirmed_before_the_end__is_refused(scene: Scene, escrow: EscrowAccount) -> None:
    scene.run(12)
    refuse(scene, scene.job(escrow, "12"), NotCompleted)


def test_settle__too_few_attestors__is_refused(scene: Scene, escrow: EscrowAccount) -> None:
    scene.run(HOURS)
    error = refuse(scene, scene.job(escrow, "23.5", attestors=1), Quorum)
    assert isinstance(error, Quorum)
    assert (error.actual, error.limit) == (1, 2)


def test_settle__claim_after_the_deadline__is_refused(scene: Scene, escrow: EscrowAccount) -> None:
    scene.run_past(escrow)
    refuse(scene, scene.job(escrow, "23.5"), TooLate)


def test_settle__unknown_deal__is_not_found(scene: Scene, net: Devnet, escrow: EscrowAccount) -> None:
    unknown = EscrowId("0x" + "12" * 32)
    receipt = sign_receipt(unknown, 1, net.agent, net.domain)
    job = changed(
        scene.job(escrow, "24"),
        escrow_id=unknown,
        provider_attestation=receipt,
        buyer_confirmation=sign_voucher(unknown, 1, net.buyer, net.domain),
    )
    with pytest.raises(DealNotFound):
        settle_job(job, scene.provider)


def test_settle__without_an_account__says_who_pays(scene: Scene, net: Devnet, escrow: EscrowAccount) -> None:
    with pytest.raises(WalletError):
        settle_job(scene.job(escrow, "24", confirmed=True), net.payments())


def test_settle__less_than_is_paid_already__is_refused(scene: Scene, escrow: EscrowAccount) -> None:
    scene.run(12)
    settle_job(scene.job(escrow, "12", confirmed=True), scene.provider)
    with pytest.raises(InvalidValue):
        settle_job(scene.job(escrow, "11", confirmed=True), scene.provider)
