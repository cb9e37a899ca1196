"""finalize: what becomes of a deal when nobody does anything more. Anyone may call it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contracts import model
from tests.contracts.actors import ATTESTORS, BUYER, FEE_RECIPIENT, PROVIDER, STRANGER
from tests.contracts.factories import HOUR, RESULT, UNIT, make_policy
from tests.contracts.market import Market
from tests.contracts.refusals import Code, refused

WHOLE = 32 * HOUR
NOTICE = 4 * 15 * 60  # GPU-seconds of the tolerated start-up time


def test_finalize__nothing_paid__refunds_price_and_bond(market: Market) -> None:
    deal = market.open(market.match())
    market.node.at(deal.deadline)
    receipt = market.finalize(deal, sender=STRANGER)
    says = {
        "dealId": deal.id,
        "status": model.REFUNDED,
        "gpuSeconds": 0,
        "toProvider": 0,
        "fee": 0,
        "toBuyer": 352 * UNIT,
    }
    assert receipt.events(market.escrow) == [("DealClosed", says)]
    assert market.balance(BUYER) == 10_032 * UNIT
    assert market.balance(PROVIDER) == 968 * UNIT
    assert market.balance(FEE_RECIPIENT) == 0
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 0


def test_finalize__half_paid__splits_the_bond(market: Market) -> None:
    deal = market.open(market.match())
    market.release(deal, 16 * HOUR)
    market.node.at(deal.deadline)
    market.finalize(deal)
    assert market.escrow.dealOf(deal.id).status == model.RELEASED
    assert market.balance(BUYER) == (10_000 - 160 + 16) * UNIT
    assert market.balance(PROVIDER) == (1_000 - 16) * UNIT + 1_584 * UNIT // 10


def test_finalize__paid_within_the_notice__returns_the_whole_bond(market: Market) -> None:
    deal = market.open(market.match())
    market.release(deal, WHOLE - NOTICE)
    market.node.at(deal.deadline)
    market.finalize(deal)
    earned = (WHOLE - NOTICE) * 10 * UNIT // HOUR * 99 // 100
    assert market.balance(PROVIDER) == 1_000 * UNIT + earned


def test_finalize__paid_a_second_short_of_the_notice__loses_bond(market: Market) -> None:
    deal = market.open(market.match())
    units = WHOLE - NOTICE - 1
    market.release(deal, units)
    market.node.at(deal.deadline)
    market.finalize(deal)
    earned = units * 10 * UNIT // HOUR - units * 10 * UNIT // HOUR // 100
    assert market.balance(PROVIDER) == 968 * UNIT + earned + 32 * UNIT * units // WHOLE


def test_finalize__notice_longer_than_the_deal__any_delivery_earns_the_bond(market: Market) -> None:
    lenient = {"policy_id": market.register(make_policy(notice_minutes=255), ATTESTORS)}
    deal = market.open(market.match(offer=lenient, order={**lenient, "duration_hours": 2}))
    market.release(deal, HOUR)
    market.node.at(deal.deadline)
    market.finalize(deal)
    assert market.balance(PROVIDER) == 1_000 * UNIT + 99 * UNIT // 10


def test_finalize__notice_longer_than_the_deal__no_delivery_earns_nothing(market: Market) -> None:
    """The start-up time is forgiven to who starts: who never comes loses the whole bond."""
    lenient = {"policy_id": market.register(make_policy(notice_minutes=255), ATTESTORS)}
    deal = market.open(market.match(offer=lenient, order={**lenient, "duration_hours": 2}))
    market.node.at(deal.deadline)
    market.finalize(deal)
    assert market.balance(PROVIDER) == (1_000 - 8) * UNIT
    assert market.balance(BUYER) == (10_000 + 8) * UNIT


def test_finalize__claimed__pays_the_claim(market: Market) -> None:
    deal = market.claimed(market.match(), 16 * HOUR)
    market.node.at(deal.ends_at + 2 * HOUR)
    receipt = market.finalize(deal)
    says = {
        "dealId": deal.id,
        "status": model.RELEASED,
        "gpuSeconds": 16 * HOUR,
        "toProvider": 1_584 * UNIT // 10 + 16 * UNIT,
        "fee": 16 * UNIT // 10,
        "toBuyer": (160 + 16) * UNIT,
    }
    assert receipt.events(market.escrow) == [("DealClosed", says)]


def test_finalize__claimed_in_full__pays_all(market: Market) -> None:
    deal = market.claimed(market.match(), WHOLE)
    market.node.at(deal.ends_at + 2 * HOUR)
    market.finalize(deal)
    assert market.balance(BUYER) == 9_680 * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT + 3_168 * UNIT // 10


def test_finalize__excused_claim__returns_the_whole_bond(market: Market) -> None:
    """The job finished early: what was not used was not owed."""
    deal = market.open(market.match())
    market.node.at(deal.opened_at + HOUR)
    market.claim(deal, 4 * HOUR, result=RESULT)
    market.node.at(deal.opened_at + 3 * HOUR)
    market.finalize(deal)
    assert market.balance(BUYER) == (10_000 - 40) * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT + 396 * UNIT // 10


def test_finalize__claimed_after_vouchers__pays_the_rest(market: Market) -> None:
    deal = market.claimed(market.match(), 20 * HOUR, paid=8 * HOUR)
    market.release(deal, 9 * HOUR)
    market.node.at(market.deadline(deal))
    market.finalize(deal)
    assert market.balance(FEE_RECIPIENT) == 2 * UNIT
    assert market.balance(PROVIDER) == (968 + 198 + 20) * UNIT


def test_finalize__no_bond__moves_the_price_only(market: Market) -> None:
    free = {"policy_id": market.register(make_policy(bond_bps=0), ATTESTORS)}
    deal = market.open(market.match(offer=free, order=free))
    market.node.at(deal.deadline)
    market.finalize(deal)
    assert market.balance(BUYER) == 10_000 * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT


# ---------------------------------------------------------------- when


def test_finalize__locked_a_second_before_the_deadline__refused(market: Market) -> None:
    deal = market.open(market.match())
    market.node.at(deal.deadline - 1)
    with refused(Code.TOO_EARLY, actual=deal.deadline - 1, limit=deal.deadline):
        market.finalize(deal)


def test_finalize__claimed_a_second_before_the_deadline__refused(market: Market) -> None:
    deal = market.claimed(market.match(), WHOLE)
    deadline = deal.ends_at + 2 * HOUR
    market.node.at(deadline - 1)
    with refused(Code.TOO_EARLY, actual=deadline - 1, limit=deadline):
        market.finalize(deal)


def test_finalize__deadline_of_the_claim_is_what_counts(market: Market) -> None:
    """A claim in the last second of the grace time opens a whole challenge window."""
    deal = market.open(market.match())
    market.node.at(deal.deadline - 1)
    market.claim(deal, WHOLE)
    with refused(Code.TOO_EARLY, actual=deal.deadline, limit=deal.deadline - 1 + 2 * HOUR):
        market.finalize(deal)


# ---------------------------------------------------------------- in which state


@pytest.mark.parametrize(("paid", "status"), [(0, model.REFUNDED), (HOUR, model.RELEASED)])
def test_finalize__twice__refused(market: Market, paid: int, status: int) -> None:
    deal = market.open(market.match())
    if paid:
        market.release(deal, paid)
    market.node.at(deal.deadline)
    market.finalize(deal)
    with refused(Code.WRONG_STATUS, actual=status, limit=model.LOCKED):
        market.finalize(deal)


def test_finalize__released_deal__refused(market: Market) -> None:
    deal = market.open(market.match())
    market.release(deal, WHOLE)
    market.node.at(deal.deadline)
    with refused(Code.WRONG_STATUS, actual=model.RELEASED, limit=model.LOCKED):
        market.finalize(deal)


def test_finalize__unknown_deal__refused(market: Market) -> None:
    deal = market.open(market.match())
    other = replace(deal, terms=replace(deal.terms, slot=7))
    market.node.at(deal.deadline)
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.LOCKED):
        market.finalize(other)


def test_finalize__never_opened_deal__refused(market: Market) -> None:
    """All windows of a deal that does not exist lie in 1970."""
    deal = market.open(market.match())
    other = replace(deal, terms=market.terms(market.match(order={"slot": 1})))
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.LOCKED):
        market.finalize(other)
