"""claimUnattested: the provider's word alone. It goes to the arbiter, and falls if he does not speak.

The default deal: 32 GPU-hours at 10 MOLT, 32 MOLT bond. Contested here: 16 GPU-hours above 8 that are paid.
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
    FEE_RECIPIENT,
    OTHER_BUYER,
    PROVIDER,
    RELAYER,
    STRANGER,
    Actor,
)
from tests.contracts.endings import FullMarket
from tests.contracts.factories import DAY, HOUR, RESULT, UNIT, USAGE_ROOT, ZERO, attestors_hash, make_policy
from tests.contracts.refusals import Code, refused

WHOLE = 32 * HOUR
GRACE = 3 * HOUR


def test_claim_unattested__settles_what_is_not_contested(market: FullMarket) -> None:
    """Not claimed: 8 of 32. Paid before: 8. In between the arbiter speaks: 160 MOLT and half of the bond."""
    deal = market.unattested(market.match(), 24 * HOUR, paid=8 * HOUR)
    assert market.balance(BUYER) == (10_000 - 320 + 80 + 8) * UNIT
    assert market.balance(PROVIDER) == (1_000 - 32 + 8) * UNIT + 792 * UNIT // 10
    assert market.balance(FEE_RECIPIENT) == 8 * UNIT // 10
    assert market.modelled(deal).held == (160 + 16) * UNIT


def test_claim_unattested__writes_the_dispute(market: FullMarket) -> None:
    deal = market.unattested(market.match(), 24 * HOUR, paid=8 * HOUR)
    stored = market.escrow.dealOf(deal.id)
    assert (stored.status, stored.flags) == (model.DISPUTED, 0)
    assert (stored.paid, stored.claim) == (8 * HOUR, 24 * HOUR)
    assert stored.deadline == deal.ends_at + 2 * DAY


def test_claim_unattested__emits_the_dispute_without_a_stake(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.node.at(deal.ends_at)
    receipt = market.claim_unattested(deal, 24 * HOUR)
    says = {
        "dealId": deal.id,
        "counter": 0,
        "gpuSeconds": 24 * HOUR,
        "evidence": ZERO,
        "stake": 0,
        "deadline": receipt.time + 2 * DAY,
        "toProvider": 0,
        "fee": 0,
        "toBuyer": 88 * UNIT,
    }
    assert receipt.events(market.escrow) == [("DealDisputed", says)]


def test_claim_unattested__whole__leaves_price_and_bond_to_the_arbiter(market: FullMarket) -> None:
    deal = market.unattested(market.match(), WHOLE)
    assert market.modelled(deal).held == 352 * UNIT
    assert market.balance(BUYER) == 9_680 * UNIT


def test_claim_unattested__odd_figures__to_the_base_unit(market: FullMarket) -> None:
    """Of 9,000,027 units: 1,000 of 32,400 GPU-seconds paid, 20,001 claimed."""
    offer, order = {"price_per_gpu_hour": 1_000_003}, {"gpu_count": 3, "duration_hours": 3}
    market.unattested(market.match(offer, order), 20_001, paid=1_000)
    due_paid, due_claim, bond = 277_778, 5_555_850, 900_002
    bond_paid, bond_claim = bond * 1_000 // 32_400, bond * 20_001 // 32_400
    assert market.balance(PROVIDER) == 1_000 * UNIT - bond + due_paid - due_paid // 100 + bond_paid
    assert market.balance(BUYER) == 10_000 * UNIT - due_claim + bond - bond_claim


def test_claim_unattested__frees_the_gpus(market: FullMarket) -> None:
    deal = market.unattested(market.match(), WHOLE)
    assert market.escrow.gpusInUse(PROVIDER.address, deal.terms.slot) == 0


def test_claim_unattested__needs_no_money_of_the_buyer(market: FullMarket) -> None:
    market.stock(OTHER_BUYER, 320 * UNIT)
    market.unattested(market.match(order={"buyer": OTHER_BUYER.address}), WHOLE)
    assert market.balance(OTHER_BUYER) == 0


def test_claim_unattested__excused__undelivered_bond_goes_to_the_provider(market: FullMarket) -> None:
    """Stopped at once: it ends after 2 hours, 8 GPU-hours; he claims 2 of them: 20 MOLT and 8 of the bond."""
    deal = market.open(market.match())
    market.stop(deal)
    market.node.at(deal.opened_at + 2 * HOUR)
    market.claim_unattested(deal, 2 * HOUR)
    assert market.balance(BUYER) == (10_000 - 20) * UNIT
    assert market.balance(PROVIDER) == (1_000 - 8) * UNIT
    assert market.modelled(deal).held == 28 * UNIT


def test_claim_unattested__policy_without_attestors__is_the_only_claim(market: FullMarket) -> None:
    bare = make_policy(threshold=0, attestors_hash=attestors_hash([]))
    policy = {"policy_id": market.register(bare)}
    deal = market.open(market.match(offer=policy, order=policy))
    market.node.mine(deal.ends_at)
    with refused(Code.UNATTESTED_POLICY, actual=0, limit=1):
        market.claim(deal, WHOLE, attestors=(), by=())
    market.claim_unattested(deal, WHOLE)
    assert market.status(deal) == model.DISPUTED


def test_claim_unattested__with_attestors_in_the_policy__claims_too(market: FullMarket) -> None:
    """They may be the silent ones."""
    deal = market.unattested(market.match(), WHOLE)
    assert market.status(deal) == model.DISPUTED


# ---------------------------------------------------------------- when


def test_claim_unattested__a_second_before_the_end__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.node.at(deal.ends_at - 1)
    with refused(Code.TOO_EARLY, actual=deal.ends_at - 1, limit=deal.ends_at):
        market.claim_unattested(deal, HOUR)


@pytest.mark.parametrize("after_end", [0, 1, GRACE - 1])
def test_claim_unattested__from_the_end_through_the_grace__claims(market: FullMarket, after_end: int) -> None:
    deal = market.open(market.match())
    market.node.at(deal.ends_at + after_end)
    market.claim_unattested(deal, WHOLE)
    assert market.deadline(deal) == deal.ends_at + after_end + 2 * DAY


@pytest.mark.parametrize("after", [0, 1])
def test_claim_unattested__from_the_deadline_on__refused(market: FullMarket, after: int) -> None:
    deal = market.open(market.match())
    market.node.at(deal.deadline + after)
    with refused(Code.TOO_LATE, actual=deal.deadline + after, limit=deal.deadline):
        market.claim_unattested(deal, WHOLE)


def test_claim_unattested__after_a_stop__claims_from_the_new_end_on(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.node.at(deal.opened_at + 4 * HOUR - 15 * 60)
    market.stop(deal)
    market.node.at(deal.opened_at + 4 * HOUR)
    market.claim_unattested(deal, 16 * HOUR)
    assert market.balance(BUYER) == (10_000 - 160) * UNIT


# ---------------------------------------------------------------- how much


def test_claim_unattested__what_is_paid__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.release(deal, HOUR)
    market.node.at(deal.ends_at)
    with refused(Code.NOT_ABOVE_PAID, actual=HOUR, limit=HOUR):
        market.claim_unattested(deal, HOUR)


def test_claim_unattested__nothing__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.node.at(deal.ends_at)
    with refused(Code.NOT_ABOVE_PAID, actual=0, limit=0):
        market.claim_unattested(deal, 0)


@pytest.mark.parametrize("after_end", [0, GRACE - 1])
def test_claim_unattested__above_the_allocation__refused(market: FullMarket, after_end: int) -> None:
    deal = market.open(market.match())
    market.node.at(deal.ends_at + after_end)
    with refused(Code.ABOVE_ELAPSED, actual=WHOLE + 1, limit=WHOLE):
        market.claim_unattested(deal, WHOLE + 1)


def test_claim_unattested__above_a_stopped_time__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.stop(deal)
    market.node.at(deal.opened_at + 3 * HOUR)
    with refused(Code.ABOVE_ELAPSED, actual=8 * HOUR + 1, limit=8 * HOUR):
        market.claim_unattested(deal, 8 * HOUR + 1)


# ---------------------------------------------------------------- in which state


def test_claim_unattested__unknown_deal__refused(market: FullMarket) -> None:
    """All its windows lie in 1970, but it is its state that is wrong."""
    deal = market.open(market.match())
    other = replace(deal, terms=replace(deal.terms, gpu_count=5))
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.LOCKED):
        market.claim_unattested(other, HOUR)


def test_claim_unattested__claimed__refused(market: FullMarket) -> None:
    deal = market.claimed(market.match(), 16 * HOUR)
    with refused(Code.WRONG_STATUS, actual=model.CLAIMED, limit=model.LOCKED):
        market.claim_unattested(deal, WHOLE)


def test_claim_unattested__twice__refused(market: FullMarket) -> None:
    deal = market.unattested(market.match(), 16 * HOUR)
    with refused(Code.WRONG_STATUS, actual=model.DISPUTED, limit=model.LOCKED):
        market.claim_unattested(deal, WHOLE)


def test_claim_unattested__closed__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.cancel_deal(deal)
    market.node.at(deal.ends_at)
    with refused(Code.WRONG_STATUS, actual=model.REFUNDED, limit=model.LOCKED):
        market.claim_unattested(deal, WHOLE)


def test_claim_unattested__then_an_attested_claim__refused(market: FullMarket) -> None:
    deal = market.unattested(market.match(), WHOLE)
    with refused(Code.WRONG_STATUS, actual=model.DISPUTED, limit=model.LOCKED):
        market.claim(deal, WHOLE, result=RESULT)


def test_claim_unattested__then_a_voucher__refused(market: FullMarket) -> None:
    """The buyer who means it concedes."""
    deal = market.unattested(market.match(), WHOLE)
    with refused(Code.WRONG_STATUS, actual=model.DISPUTED, limit=model.LOCKED):
        market.release(deal, WHOLE)


def test_claim_unattested__then_a_dispute__refused(market: FullMarket) -> None:
    """It is one already, and the buyer stakes nothing."""
    deal = market.unattested(market.match(), WHOLE)
    with refused(Code.WRONG_STATUS, actual=model.DISPUTED, limit=model.CLAIMED):
        market.dispute(deal, HOUR)


# ---------------------------------------------------------------- who


@pytest.mark.parametrize("sender", [AGENT, BUYER, RELAYER, STRANGER], ids=lambda actor: actor.role)
def test_claim_unattested__by_anyone_but_the_provider__refused(market: FullMarket, sender: Actor) -> None:
    deal = market.open(market.match())
    market.node.at(deal.ends_at)
    with refused(Code.BAD_SIGNATURE, actual=sender.address, limit=PROVIDER.address):
        market.claim_unattested(deal, HOUR, sender=sender)


@pytest.mark.parametrize("signer", [AGENT, PROVIDER, ATTESTORS[0]], ids=lambda actor: actor.role)
def test_claim_unattested__by_a_bare_receipt__refused(market: FullMarket, signer: Actor) -> None:
    """Not even by one that the provider himself has signed: it is another type."""
    deal = market.open(market.match())
    market.node.mine(deal.ends_at)
    sig = signer.sign(messages.Receipt(deal.id, HOUR, ZERO, USAGE_ROOT), market.domain)
    deadline = market.node.now + HOUR
    found = market.recovered(messages.UnattestedClaim(deal.id, HOUR, deadline), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=PROVIDER.address):
        market.claim_unattested(deal, HOUR, sender=AGENT, deadline=deadline, sig=sig)
