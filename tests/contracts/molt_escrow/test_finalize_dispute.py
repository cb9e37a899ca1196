"""finalize of a dispute on which nobody has ruled: an attested claim stands, an unattested one falls.

Contested here: 16 of 32 GPU-hours at 10 MOLT, above 8 that are paid; 16 MOLT of the bond are at stake.
"""

from __future__ import annotations

import pytest

from tests.contracts import model
from tests.contracts.actors import ARBITER, ATTESTORS, BUYER, FEE_RECIPIENT, PROVIDER, STRANGER
from tests.contracts.endings import FullMarket
from tests.contracts.factories import DAY, HOUR, RESULT, UNIT, OpenDeal, attestors_hash, make_policy
from tests.contracts.refusals import Code, refused

PAID, CLAIM = 8 * HOUR, 24 * HOUR
ARBITRATION = 2 * DAY


def silent(market: FullMarket, deal: OpenDeal) -> OpenDeal:
    """Let the arbitration time pass: the next transaction comes at its end."""
    market.node.at(market.deadline(deal))
    return deal


# ---------------------------------------------------------------- what is left


def test_finalize__disputed__attested__pays_the_claim_and_both_stakes(market: FullMarket) -> None:
    deal = silent(market, market.disputed(market.match(), CLAIM, PAID))
    receipt = market.finalize(deal, sender=STRANGER)
    says = {
        "dealId": deal.id,
        "status": model.RELEASED,
        "gpuSeconds": CLAIM,
        "toProvider": 1_584 * UNIT // 10 + 32 * UNIT,
        "fee": 16 * UNIT // 10,
        "toBuyer": 0,
    }
    assert receipt.events(market.escrow) == [("DealClosed", says)]
    assert market.balance(BUYER) == (10_000 - 240 + 8 - 16) * UNIT
    assert market.balance(PROVIDER) == (1_000 + 8) * UNIT + 2_376 * UNIT // 10
    assert market.balance(ARBITER) == 0


def test_finalize__disputed__unattested__falls(market: FullMarket) -> None:
    """As if the provider had cancelled: 24 of the bond to the buyer."""
    deal = silent(market, market.unattested(market.match(), CLAIM, paid=PAID))
    receipt = market.finalize(deal, sender=STRANGER)
    says = {
        "dealId": deal.id,
        "status": model.RELEASED,
        "gpuSeconds": PAID,
        "toProvider": 0,
        "fee": 0,
        "toBuyer": (160 + 16) * UNIT,
    }
    assert receipt.events(market.escrow) == [("DealClosed", says)]
    assert market.balance(BUYER) == (10_000 - 80 + 24) * UNIT
    assert market.balance(PROVIDER) == (1_000 - 24) * UNIT + 792 * UNIT // 10
    assert market.balance(ARBITER) == 0


def test_finalize__disputed__unattested_and_nothing_paid__refunds(market: FullMarket) -> None:
    deal = silent(market, market.unattested(market.match(), 32 * HOUR))
    market.finalize(deal)
    assert market.status(deal) == model.REFUNDED
    assert market.balance(BUYER) == 10_032 * UNIT
    assert market.balance(PROVIDER) == 968 * UNIT
    assert market.balance(FEE_RECIPIENT) == 0


def test_finalize__disputed__policy_without_attestors__falls(market: FullMarket) -> None:
    """No quorum of nobody: without attestors no claim ever stands by silence."""
    bare = {"policy_id": market.register(make_policy(threshold=0, attestors_hash=attestors_hash([])))}
    deal = silent(market, market.unattested(market.match(offer=bare, order=bare), 32 * HOUR))
    market.finalize(deal)
    assert market.status(deal) == model.REFUNDED


def test_finalize__disputed__excused_and_attested__pays_the_claim_and_both_stakes(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.node.at(deal.opened_at + 6 * HOUR)
    market.claim(deal, CLAIM, result=RESULT)
    market.dispute(deal, PAID)
    silent(market, deal)
    market.finalize(deal)
    assert market.balance(PROVIDER) == (1_000 + 16) * UNIT + 2_376 * UNIT // 10


def test_finalize__disputed__excused_and_unattested__keeps_what_was_excused(market: FullMarket) -> None:
    """Of 8 GPU-hours that the stop left he claims 2 in vain: a quarter of the bond."""
    deal = market.open(market.match())
    market.stop(deal)
    market.node.at(deal.opened_at + 2 * HOUR)
    market.claim_unattested(deal, 2 * HOUR)
    silent(market, deal)
    market.finalize(deal)
    assert market.balance(BUYER) == 10_008 * UNIT
    assert market.balance(PROVIDER) == (1_000 - 8) * UNIT


def test_finalize__disputed__no_bond__moves_the_price_only(market: FullMarket) -> None:
    free = {"policy_id": market.register(make_policy(bond_bps=0), ATTESTORS)}
    deal = silent(market, market.disputed(market.match(offer=free, order=free), CLAIM, PAID))
    market.finalize(deal)
    assert market.balance(BUYER) == (10_000 - 240) * UNIT


def test_finalize__disputed__leaves_the_gpus_of_later_deals_in_use(market: FullMarket) -> None:
    deal = market.disputed(market.match(), CLAIM, PAID)
    market.open(market.match(order={"slot": 131, "gpu_count": 8, "max_budget": 1_000 * UNIT}))
    silent(market, deal)
    market.finalize(deal)
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 8


# ---------------------------------------------------------------- when


def test_finalize__disputed__attested_a_second_before_the_deadline__refused(market: FullMarket) -> None:
    deal = market.claimed(market.match(), CLAIM)
    disputed_at = market.dispute(deal, PAID).time
    deadline = disputed_at + ARBITRATION
    market.node.at(deadline - 1)
    with refused(Code.TOO_EARLY, actual=deadline - 1, limit=deadline):
        market.finalize(deal)


def test_finalize__disputed__unattested_a_second_before_the_deadline__refused(market: FullMarket) -> None:
    deal = market.unattested(market.match(), CLAIM)
    deadline = deal.ends_at + ARBITRATION
    market.node.at(deadline - 1)
    with refused(Code.TOO_EARLY, actual=deadline - 1, limit=deadline):
        market.finalize(deal)


def test_finalize__disputed__after_the_challenge_window__is_not_due(market: FullMarket) -> None:
    """The dispute has a deadline of its own."""
    deal = market.disputed(market.match(), CLAIM, PAID)
    now = deal.ends_at + 2 * HOUR
    market.node.at(now)
    with refused(Code.TOO_EARLY, actual=now, limit=market.deadline(deal)):
        market.finalize(deal)


@pytest.mark.parametrize("after", [1, 1_000_000])
def test_finalize__disputed__long_after_the_deadline__closes(market: FullMarket, after: int) -> None:
    deal = market.disputed(market.match(), CLAIM, PAID)
    market.node.at(market.deadline(deal) + after)
    market.finalize(deal)
    assert market.status(deal) == model.RELEASED


def test_finalize__disputed__twice__refused(market: FullMarket) -> None:
    deal = silent(market, market.disputed(market.match(), CLAIM, PAID))
    market.finalize(deal)
    with refused(Code.WRONG_STATUS, actual=model.RELEASED, limit=model.LOCKED):
        market.finalize(deal)
