"""release: the buyer's voucher pays. The default deal is 32 GPU-hours at 10 MOLT, 1 % fee, 10 % bond."""

from __future__ import annotations

from dataclasses import replace

import pytest

from molt_market.signing import messages
from tests.contracts import model
from tests.contracts.actors import (
    AGENT,
    BUYER,
    FEE_RECIPIENT,
    PROVIDER,
    STRANGER,
    VOUCHER_SIGNER,
    Actor,
)
from tests.contracts.factories import DAY, HOUR, RESULT, UNIT
from tests.contracts.market import Market
from tests.contracts.refusals import Code, refused

WHOLE = 32 * HOUR


def test_release__interim__pays_due_less_fee_and_stays_locked(market: Market) -> None:
    deal = market.open(market.match())
    receipt = market.release(deal, HOUR)
    says = {"dealId": deal.id, "gpuSeconds": HOUR, "toProvider": 99 * UNIT // 10, "fee": UNIT // 10}
    assert receipt.events(market.escrow) == [("DealPaid", says)]
    assert market.escrow.dealOf(deal.id).status == model.LOCKED
    assert market.escrow.dealOf(deal.id).paid == HOUR
    assert market.balance(PROVIDER) == (1_000 - 32) * UNIT + 99 * UNIT // 10
    assert market.balance(FEE_RECIPIENT) == UNIT // 10
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 4


def test_release__repeated__pays_the_difference(market: Market) -> None:
    deal = market.open(market.match())
    market.release(deal, HOUR)
    market.release(deal, 3 * HOUR)
    market.release(deal, 3 * HOUR + 1)
    assert market.balance(FEE_RECIPIENT) == (3 * HOUR + 1) * 10 * UNIT // HOUR // 100


def test_release__in_full__closes_with_the_bond(market: Market) -> None:
    deal = market.open(market.match())
    receipt = market.release(deal, WHOLE)
    says = {
        "dealId": deal.id,
        "status": model.RELEASED,
        "gpuSeconds": WHOLE,
        "toProvider": 3_168 * UNIT // 10 + 32 * UNIT,
        "fee": 32 * UNIT // 10,
        "toBuyer": 0,
    }
    assert receipt.events(market.escrow) == [("DealClosed", says)]
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 0
    assert market.balance(PROVIDER) == 1_000 * UNIT + 3_168 * UNIT // 10
    assert market.balance(BUYER) == (10_000 - 320) * UNIT


def test_release__in_full_after_interim__closes(market: Market) -> None:
    deal = market.open(market.match())
    market.release(deal, 7)
    market.release(deal, WHOLE)
    assert market.escrow.dealOf(deal.id).status == model.RELEASED
    assert market.balance(PROVIDER) == 1_000 * UNIT + 3_168 * UNIT // 10


@pytest.mark.parametrize("units", [WHOLE + 1, 2**40 - 1])
def test_release__above_allocation__counts_as_the_whole(market: Market, units: int) -> None:
    deal = market.open(market.match())
    market.release(deal, units)
    assert market.escrow.dealOf(deal.id).paid == WHOLE


def test_release__a_second_short_of_the_whole__stays_locked(market: Market) -> None:
    deal = market.open(market.match())
    market.release(deal, WHOLE - 1)
    assert market.escrow.dealOf(deal.id).status == model.LOCKED


def test_release__dust__stays_with_the_buyer(market: Market) -> None:
    """At one base unit per GPU-hour, the first hour's seconds are worth nothing until the hour is full."""
    cheap = {"price_per_gpu_hour": 1}
    deal = market.open(market.match(offer=cheap))
    market.release(deal, HOUR - 1)
    assert market.model.deals[deal.id].held == 32 + 3
    market.release(deal, HOUR)
    assert market.model.deals[deal.id].held == 31 + 3


def test_release__anyone_may_send_it_at_any_time(market: Market) -> None:
    """A voucher has no end: until somebody finalizes, it pays."""
    deal = market.open(market.match())
    market.node.at(deal.deadline + DAY)
    market.release(deal, HOUR, sender=STRANGER)


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize("units", [0, 1, HOUR])
def test_release__not_above_paid__refused(market: Market, units: int) -> None:
    deal = market.open(market.match())
    market.release(deal, HOUR)
    with refused(Code.NOT_ABOVE_PAID, actual=units, limit=HOUR):
        market.release(deal, units)


def test_release__nothing__refused(market: Market) -> None:
    deal = market.open(market.match())
    with refused(Code.NOT_ABOVE_PAID, actual=0, limit=0):
        market.release(deal, 0)


@pytest.mark.parametrize("key", [BUYER, AGENT, PROVIDER, STRANGER], ids=lambda actor: actor.role)
def test_release__signed_by_another_key__refused(market: Market, key: Actor) -> None:
    """When the buyer has named a voucher signer, not even his own key signs vouchers."""
    deal = market.open(market.match())
    stolen = replace(deal, terms=replace(deal.terms, voucher_signer=key.address))
    with refused(Code.BAD_SIGNATURE, actual=key.address, limit=VOUCHER_SIGNER.address):
        market.release(deal, HOUR, sig=market.voucher(stolen, HOUR))


def test_release__voucher_of_another_deal__refused(market: Market) -> None:
    deal = market.open(market.match())
    other = market.open(market.match(order={"slot": 1}))
    voucher = market.voucher(other, HOUR)
    found = market.recovered(messages.Voucher(deal.id, HOUR), voucher)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=VOUCHER_SIGNER.address):
        market.release(deal, HOUR, sig=voucher)


def test_release__voucher_of_another_amount__refused(market: Market) -> None:
    deal = market.open(market.match())
    voucher = market.voucher(deal, HOUR)
    found = market.recovered(messages.Voucher(deal.id, HOUR + 1), voucher)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=VOUCHER_SIGNER.address):
        market.release(deal, HOUR + 1, sig=voucher)


def test_release__empty_signature_of_the_voucher_signer__pays(market: Market) -> None:
    deal = market.open(market.match())
    market.release(deal, HOUR, sig=b"", sender=VOUCHER_SIGNER)


def test_release__empty_signature_of_another__refused(market: Market) -> None:
    deal = market.open(market.match())
    with refused(Code.BAD_SIGNATURE, actual=BUYER.address, limit=VOUCHER_SIGNER.address):
        market.release(deal, HOUR, sig=b"", sender=BUYER)


def test_release__unknown_deal__refused(market: Market) -> None:
    deal = market.open(market.match())
    other = replace(deal, terms=replace(deal.terms, price_per_gpu_hour=11 * UNIT))
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.LOCKED):
        market.release(other, HOUR)


def test_release__dirty_bits_in_the_terms__refused(market: Market) -> None:
    """They make another hash, and no deal has it."""
    deal = market.open(market.match())
    data = bytearray(market.encode("release", deal.terms.as_tuple(), HOUR, market.voucher(deal, HOUR)))
    data[4] = 1
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.LOCKED):
        market.node.send(STRANGER.address, market.domain.escrow, bytes(data))


def test_release__after_it_was_released__refused(market: Market) -> None:
    deal = market.open(market.match())
    market.release(deal, WHOLE)
    with refused(Code.WRONG_STATUS, actual=model.RELEASED, limit=model.LOCKED):
        market.release(deal, WHOLE)


def test_release__after_it_was_refunded__refused(market: Market) -> None:
    deal = market.open(market.match())
    market.node.at(deal.deadline)
    market.finalize(deal)
    with refused(Code.WRONG_STATUS, actual=model.REFUNDED, limit=model.LOCKED):
        market.release(deal, HOUR)


# ---------------------------------------------------------------- on a claim


def test_release__below_the_claim__pays_and_stays_claimed(market: Market) -> None:
    deal = market.claimed(market.match(), 16 * HOUR)
    market.release(deal, HOUR)
    assert market.escrow.dealOf(deal.id).status == model.CLAIMED
    assert market.balance(FEE_RECIPIENT) == UNIT // 10


@pytest.mark.parametrize("units", [16 * HOUR, 16 * HOUR + 1, WHOLE])
def test_release__at_the_claim_or_above__closes_at_the_claim(market: Market, units: int) -> None:
    """Half was claimed: half the bond is earned, and the buyer gets the rest at once."""
    deal = market.claimed(market.match(), 16 * HOUR)
    market.release(deal, units)
    stored = market.escrow.dealOf(deal.id)
    assert (stored.status, stored.paid) == (model.RELEASED, 16 * HOUR)
    assert market.balance(BUYER) == (10_000 - 160 + 16) * UNIT
    assert market.balance(PROVIDER) == (1_000 - 16) * UNIT + 1_584 * UNIT // 10


def test_release__at_an_excused_claim__returns_the_whole_bond(market: Market) -> None:
    deal = market.claimed(market.match(), 16 * HOUR, result=RESULT)
    market.release(deal, 16 * HOUR)
    assert market.balance(BUYER) == (10_000 - 160) * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT + 1_584 * UNIT // 10


def test_release__on_a_claim__what_is_paid__refused(market: Market) -> None:
    deal = market.claimed(market.match(), 16 * HOUR, paid=2 * HOUR)
    with refused(Code.NOT_ABOVE_PAID, actual=2 * HOUR, limit=2 * HOUR):
        market.release(deal, 2 * HOUR)


def test_release__in_full_after_a_late_finalize__refused(market: Market) -> None:
    deal = market.claimed(market.match(), 16 * HOUR)
    market.node.at(market.deadline(deal))
    market.finalize(deal)
    with refused(Code.WRONG_STATUS, actual=model.RELEASED, limit=model.LOCKED):
        market.release(deal, WHOLE)
