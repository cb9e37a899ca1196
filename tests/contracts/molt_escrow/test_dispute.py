"""dispute: the buyer names his figure, pays it at once, and stakes on the rest as much as the provider has.

The default deal: 32 GPU-hours at 10 MOLT, 32 MOLT bond. Claimed here: 24 GPU-hours; the counter: 8.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from molt_market.signing import messages
from tests.contracts import model
from tests.contracts.actors import (
    AGENT,
    ATTESTORS,
    BUYER,
    DEPLOYER,
    FEE_RECIPIENT,
    OTHER_BUYER,
    PROVIDER,
    RELAYER,
    STRANGER,
    VOUCHER_SIGNER,
    Actor,
)
from tests.contracts.desk import NEVER
from tests.contracts.endings import FullMarket
from tests.contracts.factories import DAY, HOUR, RESULT, UNIT, ZERO, OpenDeal, make_policy
from tests.contracts.hall import WITHDRAW_DELAY
from tests.contracts.refusals import Code, refused
from tests.contracts.signatures import parts

WHOLE = 32 * HOUR
CHALLENGE = 2 * HOUR
EVIDENCE = "0x" + "ee" * 32


def poor_buyers_deal(market: FullMarket, claim: int, *, beside: int = 0) -> OpenDeal:
    """Have another buyer, who has so much beside the price, open a deal, and the provider claim on it."""
    market.stock(OTHER_BUYER, 320 * UNIT + beside)
    return market.claimed(market.match(order={"buyer": OTHER_BUYER.address}), claim)


# ---------------------------------------------------------------- money


def test_dispute__pays_the_counter_and_returns_what_is_not_claimed(market: FullMarket) -> None:
    """The provider: 80 MOLT less 1 %, and 8 of the bond. The buyer: 80 and 8 back, 16 at stake."""
    deal = market.disputed(market.match(), 24 * HOUR, 8 * HOUR)
    assert market.balance(PROVIDER) == (1_000 - 32 + 8) * UNIT + 792 * UNIT // 10
    assert market.balance(BUYER) == (10_000 - 320 + 88 - 16) * UNIT
    assert market.balance(FEE_RECIPIENT) == 8 * UNIT // 10
    assert market.modelled(deal).held == (160 + 16 + 16) * UNIT


def test_dispute__writes_the_dispute(market: FullMarket) -> None:
    deal = market.claimed(market.match(), 24 * HOUR)
    receipt = market.dispute(deal, 8 * HOUR)
    stored = market.escrow.dealOf(deal.id)
    assert (stored.status, stored.flags) == (model.DISPUTED, model.ATTESTED)
    assert (stored.paid, stored.claim) == (8 * HOUR, 24 * HOUR)
    assert stored.deadline == receipt.time + 2 * DAY


def test_dispute__emits_figures_and_evidence(market: FullMarket) -> None:
    deal = market.claimed(market.match(), 24 * HOUR)
    receipt = market.dispute(deal, 8 * HOUR, evidence=EVIDENCE)
    says = {
        "dealId": deal.id,
        "counter": 8 * HOUR,
        "gpuSeconds": 24 * HOUR,
        "evidence": EVIDENCE,
        "stake": 16 * UNIT,
        "deadline": receipt.time + 2 * DAY,
        "toProvider": 8 * UNIT + 792 * UNIT // 10,
        "fee": 8 * UNIT // 10,
        "toBuyer": 88 * UNIT,
    }
    assert receipt.events(market.escrow) == [("DealDisputed", says)]


def test_dispute__after_vouchers__pays_the_difference(market: FullMarket) -> None:
    deal = market.claimed(market.match(), 24 * HOUR, paid=6 * HOUR)
    receipt = market.dispute(deal, 8 * HOUR)
    (_, says), *_ = receipt.events(market.escrow)
    assert says["toProvider"] == 8 * UNIT + 198 * UNIT // 10
    assert says["fee"] == 2 * UNIT // 10


def test_dispute__odd_figures__to_the_base_unit(market: FullMarket) -> None:
    """Of 9,000,027 units: 1,000 of 32,400 GPU-seconds paid, 7,777 countered, 20,001 claimed."""
    offer, order = {"price_per_gpu_hour": 1_000_003}, {"gpu_count": 3, "duration_hours": 3}
    market.disputed(market.match(offer, order), 20_001, 7_777, paid=1_000)
    due_counter, due_claim, bond = 2_160_284, 5_555_850, 900_002
    bond_counter, bond_claim = bond * 7_777 // 32_400, bond * 20_001 // 32_400
    stake = bond_claim - bond_counter
    assert market.balance(PROVIDER) == 1_000 * UNIT - bond + due_counter - due_counter // 100 + bond_counter
    assert market.balance(BUYER) == 10_000 * UNIT - due_claim + bond - bond_claim - stake


def test_dispute__excused_claim__undelivered_bond_goes_to_the_provider(market: FullMarket) -> None:
    """The job finished after 6 hours: only the 16 contested GPU-hours keep bond at stake."""
    deal = market.open(market.match())
    market.node.at(deal.opened_at + 6 * HOUR)
    market.claim(deal, 24 * HOUR, result=RESULT)
    market.dispute(deal, 8 * HOUR)
    assert market.balance(PROVIDER) == (1_000 - 16) * UNIT + 792 * UNIT // 10
    assert market.balance(BUYER) == (10_000 - 240 - 16) * UNIT


def test_dispute__excused_by_a_stop__likewise(market: FullMarket) -> None:
    """8 GPU-hours until the new end, 4 claimed, none conceded: 16 of the bond stay at stake."""
    deal = market.open(market.match())
    market.stop(deal)
    market.node.at(deal.opened_at + 2 * HOUR)
    market.claim(deal, 4 * HOUR)
    market.dispute(deal, 0)
    assert market.balance(PROVIDER) == (1_000 - 16) * UNIT
    assert market.balance(BUYER) == (10_000 - 40 - 16) * UNIT


def test_dispute__holds_no_gpus(market: FullMarket) -> None:
    """All eight of the offer are let to another order."""
    market.disputed(market.match(), 24 * HOUR)
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 0
    market.open(market.match(order={"slot": 131, "gpu_count": 8, "max_budget": 1_000 * UNIT}))


# ---------------------------------------------------------------- the counter


@pytest.mark.parametrize("counter", [0, 1, 24 * HOUR - 1])
def test_dispute__any_counter_below_the_claim__contests(market: FullMarket, counter: int) -> None:
    deal = market.disputed(market.match(), 24 * HOUR, counter)
    assert market.escrow.dealOf(deal.id).paid == counter


@pytest.mark.parametrize("counter", [24 * HOUR, 24 * HOUR + 1, 2**40 - 1])
def test_dispute__counter_not_below_the_claim__refused(market: FullMarket, counter: int) -> None:
    deal = market.claimed(market.match(), 24 * HOUR)
    with refused(Code.COUNTER_OUT_OF_RANGE, actual=counter, limit=24 * HOUR - 1):
        market.dispute(deal, counter)


def test_dispute__counter_at_what_is_paid__contests(market: FullMarket) -> None:
    deal = market.disputed(market.match(), 24 * HOUR, 8 * HOUR, paid=8 * HOUR)
    assert market.escrow.dealOf(deal.id).paid == 8 * HOUR


def test_dispute__counter_below_what_is_paid__refused(market: FullMarket) -> None:
    deal = market.claimed(market.match(), 24 * HOUR, paid=8 * HOUR)
    with refused(Code.COUNTER_OUT_OF_RANGE, actual=8 * HOUR - 1, limit=8 * HOUR):
        market.dispute(deal, 8 * HOUR - 1)


def test_dispute__counter_below_a_voucher_redeemed_meanwhile__refused(market: FullMarket) -> None:
    """What the buyer's own voucher says he cannot contest."""
    deal = market.claimed(market.match(), 24 * HOUR)
    market.release(deal, 9 * HOUR)
    with refused(Code.COUNTER_OUT_OF_RANGE, actual=8 * HOUR, limit=9 * HOUR):
        market.dispute(deal, 8 * HOUR)


# ---------------------------------------------------------------- the stake


def test_dispute__without_money_for_the_stake__refused(market: FullMarket) -> None:
    """Contesting all of a whole claim takes the whole bond, and there is nothing that comes back."""
    deal = poor_buyers_deal(market, WHOLE, beside=32 * UNIT - 1)
    with refused(Code.BUYER_BALANCE, actual=32 * UNIT - 1, limit=32 * UNIT):
        market.dispute(deal, 0, sender=OTHER_BUYER)


def test_dispute__with_exactly_the_stake__contests(market: FullMarket) -> None:
    deal = poor_buyers_deal(market, WHOLE, beside=32 * UNIT)
    market.dispute(deal, 0, sender=OTHER_BUYER)
    assert market.balance(OTHER_BUYER) == 0


def test_dispute__what_comes_back_pays_the_stake(market: FullMarket) -> None:
    """30 of 32 claimed: 20 + 2 MOLT come back, 22 are at stake from a counter of 8 on."""
    deal = poor_buyers_deal(market, 30 * HOUR)
    market.dispute(deal, 8 * HOUR, sender=OTHER_BUYER)
    assert market.balance(OTHER_BUYER) == 0


def test_dispute__what_comes_back_is_a_second_short__refused(market: FullMarket) -> None:
    deal = poor_buyers_deal(market, 30 * HOUR)
    stake = 30 * UNIT - 32 * UNIT * (8 * HOUR - 1) // WHOLE
    with refused(Code.BUYER_BALANCE, actual=22 * UNIT, limit=stake):
        market.dispute(deal, 8 * HOUR - 1, sender=OTHER_BUYER)


def test_dispute__marked_money__counts(market: FullMarket) -> None:
    """And is gone for the withdrawal."""
    deal = poor_buyers_deal(market, WHOLE, beside=32 * UNIT)
    market.request_withdraw(OTHER_BUYER, 32 * UNIT)
    market.dispute(deal, 0, sender=OTHER_BUYER)
    market.node.at(market.node.now + WITHDRAW_DELAY)
    with refused(Code.ZERO_AMOUNT, actual=0, limit=1):
        market.withdraw(OTHER_BUYER)


def test_dispute__withdrawn_money__does_not_count(market: FullMarket) -> None:
    deal = poor_buyers_deal(market, WHOLE, beside=32 * UNIT)
    market.request_withdraw(OTHER_BUYER, 32 * UNIT)
    market.node.at(market.node.now + WITHDRAW_DELAY)
    market.withdraw(OTHER_BUYER)
    with refused(Code.BUYER_BALANCE, actual=0, limit=32 * UNIT):
        market.dispute(deal, 0, sender=OTHER_BUYER)


def test_dispute__permit_and_deposit_and_dispute__contests_in_one_transaction(market: FullMarket) -> None:
    deal = poor_buyers_deal(market, WHOLE)
    market.node.transact(DEPLOYER, market.token.mint, OTHER_BUYER.address, 32 * UNIT)
    permit = market.permit(OTHER_BUYER, 32 * UNIT)
    calls = [
        market.encode("depositWithPermit", OTHER_BUYER.address, 32 * UNIT, NEVER, *parts(permit)),
        market.encode("dispute", deal.terms.as_tuple(), 0, EVIDENCE, 0, b""),
    ]
    receipt = market.send(OTHER_BUYER, "multicall", calls, False)
    market.model.deposit(OTHER_BUYER.address, 32 * UNIT)
    market.contested(deal, market.modelled(deal).contest(0, receipt.time))
    assert market.status(deal) == model.DISPUTED


def test_dispute__permit_and_deposit_and_dispute__contests_by_a_relayer(market: FullMarket) -> None:
    """Two signatures and no ether are all that a poor buyer needs."""
    deal = poor_buyers_deal(market, WHOLE)
    market.node.transact(DEPLOYER, market.token.mint, OTHER_BUYER.address, 32 * UNIT)
    permit = market.permit(OTHER_BUYER, 32 * UNIT)
    sig = market.sign(OTHER_BUYER.address, messages.Dispute(deal.id, 0, EVIDENCE, NEVER))
    calls = [
        market.encode("depositWithPermit", OTHER_BUYER.address, 32 * UNIT, NEVER, *parts(permit)),
        market.encode("dispute", deal.terms.as_tuple(), 0, EVIDENCE, NEVER, sig),
    ]
    receipt = market.send(RELAYER, "multicall", calls, False)
    market.model.deposit(OTHER_BUYER.address, 32 * UNIT)
    market.contested(deal, market.modelled(deal).contest(0, receipt.time))
    assert market.status(deal) == model.DISPUTED


def test_dispute__in_a_skipping_multicall_without_the_stake__changes_nothing(market: FullMarket) -> None:
    deal = poor_buyers_deal(market, 30 * HOUR)
    calls = [market.encode("dispute", deal.terms.as_tuple(), 0, ZERO, 0, b"")]
    receipt = market.send(OTHER_BUYER, "multicall", calls, True)
    says = {"index": 0, "code": Code.BUYER_BALANCE, "actual": 22 * UNIT, "limit": 30 * UNIT}
    assert receipt.events(market.escrow) == [("ItemRefused", says)]
    assert market.status(deal) == model.CLAIMED


def test_dispute__within_the_tolerated_start_up__takes_no_stake(market: FullMarket) -> None:
    """One GPU-hour short of all earns the whole bond: what lies above has none."""
    deal = poor_buyers_deal(market, WHOLE)
    market.dispute(deal, 31 * HOUR, sender=OTHER_BUYER)
    assert market.modelled(deal).held == 10 * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT + 3_069 * UNIT // 10


def test_dispute__no_bond__takes_no_stake(market: FullMarket) -> None:
    free = {"policy_id": market.register(make_policy(bond_bps=0), ATTESTORS)}
    deal = market.disputed(market.match(offer=free, order=free), 24 * HOUR, 8 * HOUR)
    assert market.modelled(deal).pot == 0
    assert market.balance(BUYER) == (10_000 - 240) * UNIT


# ---------------------------------------------------------------- when, and in which state


def test_dispute__in_the_last_second_of_the_window__contests(market: FullMarket) -> None:
    deal = market.claimed(market.match(), 24 * HOUR)
    market.node.at(deal.ends_at + CHALLENGE - 1)
    market.dispute(deal, 0)
    assert market.deadline(deal) == deal.ends_at + CHALLENGE - 1 + 2 * DAY


@pytest.mark.parametrize("after", [0, 1])
def test_dispute__after_the_window__refused(market: FullMarket, after: int) -> None:
    deal = market.claimed(market.match(), 24 * HOUR)
    deadline = deal.ends_at + CHALLENGE
    market.node.at(deadline + after)
    with refused(Code.TOO_LATE, actual=deadline + after, limit=deadline):
        market.dispute(deal, 0)


def test_dispute__locked__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    with refused(Code.WRONG_STATUS, actual=model.LOCKED, limit=model.CLAIMED):
        market.dispute(deal, 0)


def test_dispute__unknown_deal__refused(market: FullMarket) -> None:
    deal = market.claimed(market.match(), 24 * HOUR)
    other = replace(deal, terms=replace(deal.terms, order_hash=ZERO))
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.CLAIMED):
        market.dispute(other, 0)


def test_dispute__twice__refused(market: FullMarket) -> None:
    deal = market.disputed(market.match(), 24 * HOUR)
    with refused(Code.WRONG_STATUS, actual=model.DISPUTED, limit=model.CLAIMED):
        market.dispute(deal, 8 * HOUR)


def test_dispute__closed__refused(market: FullMarket) -> None:
    deal = market.claimed(market.match(), 24 * HOUR)
    market.release(deal, 24 * HOUR)
    with refused(Code.WRONG_STATUS, actual=model.RELEASED, limit=model.CLAIMED):
        market.dispute(deal, 0)


def test_dispute__then_a_voucher__refused(market: FullMarket) -> None:
    """The buyer who means it concedes."""
    deal = market.disputed(market.match(), 24 * HOUR)
    with refused(Code.WRONG_STATUS, actual=model.DISPUTED, limit=model.LOCKED):
        market.release(deal, 16 * HOUR)


# ---------------------------------------------------------------- who


@pytest.mark.parametrize(
    "sender", [VOUCHER_SIGNER, PROVIDER, AGENT, RELAYER, STRANGER], ids=lambda actor: actor.role
)
def test_dispute__by_anyone_but_the_buyer__refused(market: FullMarket, sender: Actor) -> None:
    """To spend the buyer's money on a stake takes the buyer."""
    deal = market.claimed(market.match(), 24 * HOUR)
    with refused(Code.BAD_SIGNATURE, actual=sender.address, limit=BUYER.address):
        market.dispute(deal, 0, sender=sender)
