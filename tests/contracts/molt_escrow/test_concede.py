"""concede: one party puts its name under the other's figure. The stakes go with it, the arbiter gets nothing.

Contested here: 16 of 32 GPU-hours at 10 MOLT, above a counter of 8. Each side stakes 16 MOLT.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contracts import model
from tests.contracts.actors import AGENT, ARBITER, BUYER, PROVIDER, RELAYER, STRANGER, VOUCHER_SIGNER, Actor
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, UNIT, ZERO, OpenDeal
from tests.contracts.refusals import Code, refused

COUNTER, CLAIM = 8 * HOUR, 24 * HOUR


def disputed(market: FullMarket) -> OpenDeal:
    return market.disputed(market.match(), CLAIM, COUNTER)


# ---------------------------------------------------------------- money


def test_concede__provider__the_buyer_wins_both_stakes(market: FullMarket) -> None:
    deal = disputed(market)
    receipt = market.concede(deal, COUNTER, sender=PROVIDER)
    says = {
        "dealId": deal.id,
        "status": model.RELEASED,
        "gpuSeconds": COUNTER,
        "toProvider": 0,
        "fee": 0,
        "toBuyer": (160 + 32) * UNIT,
    }
    assert receipt.events(market.escrow) == [("DealClosed", says)]
    assert market.balance(BUYER) == (10_000 - 80 + 24) * UNIT
    assert market.balance(ARBITER) == 0


def test_concede__buyer__the_provider_wins_both_stakes(market: FullMarket) -> None:
    deal = disputed(market)
    receipt = market.concede(deal, CLAIM, sender=BUYER)
    says = {
        "dealId": deal.id,
        "status": model.RELEASED,
        "gpuSeconds": CLAIM,
        "toProvider": 1_584 * UNIT // 10 + 32 * UNIT,
        "fee": 16 * UNIT // 10,
        "toBuyer": 0,
    }
    assert receipt.events(market.escrow) == [("DealClosed", says)]
    assert market.balance(PROVIDER) == (1_000 - 32 + 8 + 32) * UNIT + 2_376 * UNIT // 10
    assert market.balance(ARBITER) == 0


def test_concede__provider_to_nothing__refunds(market: FullMarket) -> None:
    deal = market.disputed(market.match(), CLAIM, 0)
    market.concede(deal, 0, sender=PROVIDER)
    assert market.status(deal) == model.REFUNDED
    assert market.balance(BUYER) == 10_032 * UNIT


def test_concede__provider_of_an_unattested_claim__loses_his_stake_alone(market: FullMarket) -> None:
    deal = market.unattested(market.match(), CLAIM, paid=COUNTER)
    market.concede(deal, COUNTER, sender=PROVIDER)
    assert market.balance(BUYER) == (10_000 - 80 + 24) * UNIT
    assert market.balance(PROVIDER) == (1_000 - 24) * UNIT + 792 * UNIT // 10


def test_concede__buyer_to_an_unattested_claim__pays_it_and_no_stake(market: FullMarket) -> None:
    deal = market.unattested(market.match(), CLAIM, paid=COUNTER)
    market.concede(deal, CLAIM, sender=BUYER)
    assert market.balance(BUYER) == (10_000 - 240 + 8) * UNIT
    assert market.balance(PROVIDER) == (1_000 - 8) * UNIT + 2_376 * UNIT // 10


def test_concede__odd_figures__to_the_base_unit(market: FullMarket) -> None:
    """Of 9,000,027 units: 7,777 of 32,400 GPU-seconds countered, 20,001 claimed."""
    offer, order = {"price_per_gpu_hour": 1_000_003}, {"gpu_count": 3, "duration_hours": 3}
    deal = market.disputed(market.match(offer, order), 20_001, 7_777)
    market.concede(deal, 20_001, sender=BUYER)
    bond, due = 900_002, 5_555_850
    stake = bond * 20_001 // 32_400 - bond * 7_777 // 32_400
    earned = bond * 7_777 // 32_400 + 2 * stake
    assert market.balance(PROVIDER) == 1_000 * UNIT - bond + due - due // 100 + earned


# ---------------------------------------------------------------- to what


@pytest.mark.parametrize("sender", [PROVIDER, BUYER], ids=lambda actor: actor.role)
@pytest.mark.parametrize("units", [0, COUNTER - 1, COUNTER + 1, CLAIM - 1, CLAIM + 1, 2**40 - 1])
def test_concede__any_other_figure__refused(market: FullMarket, sender: Actor, units: int) -> None:
    """In between is for the arbiter, or for a split."""
    deal = disputed(market)
    with refused(Code.RULING_OUT_OF_RANGE, actual=units, limit=COUNTER):
        market.concede(deal, units, sender=sender)


# ---------------------------------------------------------------- when, and in which state


@pytest.mark.parametrize(("units", "sender"), [(COUNTER, PROVIDER), (CLAIM, BUYER)])
def test_concede__in_the_last_second__closes(market: FullMarket, units: int, sender: Actor) -> None:
    deal = disputed(market)
    market.node.at(market.deadline(deal) - 1)
    market.concede(deal, units, sender=sender)


@pytest.mark.parametrize(("units", "sender"), [(COUNTER, PROVIDER), (CLAIM, BUYER)])
def test_concede__from_the_deadline_on__refused(market: FullMarket, units: int, sender: Actor) -> None:
    """The default has been decided by then."""
    deal = disputed(market)
    deadline = market.deadline(deal)
    market.node.at(deadline)
    with refused(Code.TOO_LATE, actual=deadline, limit=deadline):
        market.concede(deal, units, sender=sender)


def test_concede__locked__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    with refused(Code.WRONG_STATUS, actual=model.LOCKED, limit=model.DISPUTED):
        market.concede(deal, 0, sender=PROVIDER)


def test_concede__claimed__refused(market: FullMarket) -> None:
    deal = market.claimed(market.match(), CLAIM)
    with refused(Code.WRONG_STATUS, actual=model.CLAIMED, limit=model.DISPUTED):
        market.concede(deal, CLAIM, sender=BUYER)


def test_concede__unknown_deal__refused(market: FullMarket) -> None:
    deal = disputed(market)
    other = replace(deal, terms=replace(deal.terms, order_hash=ZERO))
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.DISPUTED):
        market.concede(other, COUNTER, sender=PROVIDER)


def test_concede__twice__refused(market: FullMarket) -> None:
    """The one who gives in first closes it."""
    deal = disputed(market)
    market.concede(deal, COUNTER, sender=PROVIDER)
    with refused(Code.WRONG_STATUS, actual=model.RELEASED, limit=model.DISPUTED):
        market.concede(deal, CLAIM, sender=BUYER)


# ---------------------------------------------------------------- who


@pytest.mark.parametrize("sender", [BUYER, AGENT, ARBITER, RELAYER, STRANGER], ids=lambda actor: actor.role)
def test_concede__to_the_counter_by_anyone_but_the_provider__refused(
    market: FullMarket, sender: Actor
) -> None:
    deal = disputed(market)
    with refused(Code.BAD_SIGNATURE, actual=sender.address, limit=PROVIDER.address):
        market.concede(deal, COUNTER, sender=sender)


@pytest.mark.parametrize(
    "sender", [PROVIDER, VOUCHER_SIGNER, ARBITER, RELAYER, STRANGER], ids=lambda actor: actor.role
)
def test_concede__to_the_claim_by_anyone_but_the_buyer__refused(market: FullMarket, sender: Actor) -> None:
    deal = disputed(market)
    with refused(Code.BAD_SIGNATURE, actual=sender.address, limit=BUYER.address):
        market.concede(deal, CLAIM, sender=sender)
