"""resolve: the arbiter's ruling, between the counter and the claim. The stakes follow it, less his share.

Contested here: 16 of 32 GPU-hours at 10 MOLT, above a counter of 8. Each side stakes 16 MOLT, 5 % are his.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from molt_market.signing import messages
from molt_market.signing.typed_data import SigningDomain
from tests.contracts import model
from tests.contracts.actors import (
    AGENT,
    ARBITER,
    ATTESTORS,
    BUYER,
    FEE_RECIPIENT,
    PROVIDER,
    RELAYER,
    STRANGER,
    Actor,
)
from tests.contracts.desk import NEVER
from tests.contracts.endings import FullMarket
from tests.contracts.factories import DAY, HOUR, UNIT, OpenDeal, make_policy
from tests.contracts.hall import WITHDRAW_DELAY
from tests.contracts.refusals import Code, refused

COUNTER, CLAIM = 8 * HOUR, 24 * HOUR
ARBITRATION = 2 * DAY
SHARE = 16 * UNIT // 10
CENT = UNIT // 100


def disputed(market: FullMarket) -> OpenDeal:
    return market.disputed(market.match(), CLAIM, COUNTER)


def ruling(market: FullMarket, deal: OpenDeal, units: int, deadline: int) -> messages.Ruling:
    return messages.Ruling(market.domain.escrow, deal.id, units, deadline)


# ---------------------------------------------------------------- money


def test_resolve__in_the_middle__splits_the_stakes_evenly(market: FullMarket) -> None:
    """To the provider: 80 MOLT less 1 %, and half of 30.4. The buyer gets the other halves."""
    deal = disputed(market)
    receipt = market.resolve(deal, 16 * HOUR)
    ruled = {"dealId": deal.id, "arbiter": ARBITER.address, "gpuSeconds": 16 * HOUR, "share": SHARE}
    closed = {
        "dealId": deal.id,
        "status": model.RELEASED,
        "gpuSeconds": 16 * HOUR,
        "toProvider": (7_920 + 1_520) * CENT,
        "fee": 80 * CENT,
        "toBuyer": (8_000 + 1_520) * CENT,
    }
    assert receipt.events(market.escrow) == [("DealRuled", ruled), ("DealClosed", closed)]
    assert market.balance(ARBITER) == SHARE
    assert market.balance(FEE_RECIPIENT) == 160 * CENT


def test_resolve__for_the_provider__he_wins_both_stakes(market: FullMarket) -> None:
    deal = disputed(market)
    market.resolve(deal, CLAIM)
    assert market.balance(PROVIDER) == (1_000 - 24) * UNIT + 23_760 * CENT + 32 * UNIT - SHARE
    assert market.balance(BUYER) == (10_000 - 240 + 8 - 16) * UNIT


def test_resolve__for_the_buyer__he_wins_both_stakes(market: FullMarket) -> None:
    deal = disputed(market)
    market.resolve(deal, COUNTER)
    assert market.status(deal) == model.RELEASED
    assert market.balance(PROVIDER) == (1_000 - 24) * UNIT + 7_920 * CENT
    assert market.balance(BUYER) == (10_000 - 80 + 8 + 16) * UNIT - SHARE


def test_resolve__nothing_was_delivered__refunds(market: FullMarket) -> None:
    deal = market.disputed(market.match(), CLAIM, 0)
    market.resolve(deal, 0)
    assert market.status(deal) == model.REFUNDED
    assert market.balance(FEE_RECIPIENT) == 0


@pytest.mark.parametrize("units", [7_777, 7_778, 12_345, 20_000, 20_001])
def test_resolve__odd_figures__every_floor_favours_the_buyer(market: FullMarket, units: int) -> None:
    """Of 9,000,027 units: 7,777 of 32,400 GPU-seconds countered, 20,001 claimed."""
    offer, order = {"price_per_gpu_hour": 1_000_003}, {"gpu_count": 3, "duration_hours": 3}
    deal = market.disputed(market.match(offer, order), 20_001, 7_777)
    before = market.balance(PROVIDER), market.balance(BUYER), market.balance(FEE_RECIPIENT)
    market.resolve(deal, units)
    bond, due = 900_002, units * 1_000_003 // 3_600
    stake, earned = (bond * above // 32_400 - bond * 7_777 // 32_400 for above in (20_001, units))
    pot = 2 * stake
    share = pot * 500 // 10_000
    won = (pot - share) * earned // stake
    fee = due // 100 - 2_160_284 // 100
    assert market.balance(ARBITER) == share
    assert market.balance(FEE_RECIPIENT) - before[2] == fee
    assert market.balance(PROVIDER) - before[0] == due - 2_160_284 - fee + won
    assert market.balance(BUYER) - before[1] == 5_555_850 - due + pot - share - won


@pytest.mark.parametrize(("bps", "share"), [(0, 0), (1, 32 * UNIT // 10_000), (5_000, 16 * UNIT)])
def test_resolve__share_of_the_policy__is_all_the_arbiter_gets(
    market: FullMarket, bps: int, share: int
) -> None:
    policy = {"policy_id": market.register(make_policy(arbiter_share_bps=bps), ATTESTORS)}
    deal = market.disputed(market.match(offer=policy, order=policy), CLAIM, COUNTER)
    market.resolve(deal, 16 * HOUR)
    assert market.balance(ARBITER) == share


def test_resolve__unattested__splits_the_providers_stake_alone(market: FullMarket) -> None:
    """16 MOLT at stake, 0.8 to the arbiter, the rest halved."""
    deal = market.unattested(market.match(), CLAIM, paid=COUNTER)
    receipt = market.resolve(deal, 16 * HOUR)
    (_, ruled), (_, closed) = receipt.events(market.escrow)
    assert ruled["share"] == 80 * CENT
    assert closed["toProvider"] == (7_920 + 760) * CENT
    assert closed["toBuyer"] == (8_000 + 760) * CENT


def test_resolve__unattested_and_true__pays_the_claim(market: FullMarket) -> None:
    """The provider gets all but the arbiter's share of his bond."""
    deal = market.unattested(market.match(), 32 * HOUR)
    market.resolve(deal, 32 * HOUR)
    assert market.balance(PROVIDER) == 1_000 * UNIT + 31_680 * CENT - SHARE
    assert market.balance(BUYER) == 9_680 * UNIT


@pytest.mark.parametrize("claim", [31 * HOUR, 32 * HOUR], ids=["up to the step", "all"])
def test_resolve__overclaimed_up_to_the_whole_bond__earns_what_the_truth_earns(
    market: FullMarket, claim: int
) -> None:
    """31 of 32 GPU-hours earn the whole bond. Whoever delivered 16 keeps half of it, less the share."""
    deal = market.unattested(market.match(), claim)
    receipt = market.resolve(deal, 16 * HOUR)
    (_, closed) = receipt.events(market.escrow)[-1]
    assert closed["toProvider"] == 15_840 * CENT + 1_520 * CENT
    assert market.balance(ARBITER) == SHARE


def test_resolve__within_the_tolerated_start_up__the_provider_wins_the_stakes(market: FullMarket) -> None:
    """All was claimed, 31 of 32 GPU-hours are found: the whole bond is earned with them."""
    deal = market.disputed(market.match(), 32 * HOUR, COUNTER)
    receipt = market.resolve(deal, 31 * HOUR)
    (_, closed) = receipt.events(market.escrow)[-1]
    assert closed["toProvider"] == 22_770 * CENT + 48 * UNIT * 95 // 100
    assert closed["toBuyer"] == 10 * UNIT


def test_resolve__no_stakes__pays_the_ruling_alone(market: FullMarket) -> None:
    free = {"policy_id": market.register(make_policy(bond_bps=0), ATTESTORS)}
    deal = market.disputed(market.match(offer=free, order=free), CLAIM, COUNTER)
    market.resolve(deal, 16 * HOUR)
    assert market.balance(ARBITER) == 0
    assert market.balance(BUYER) == (10_000 - 160) * UNIT


def test_resolve__share__is_his_to_withdraw(market: FullMarket) -> None:
    market.resolve(disputed(market), 16 * HOUR)
    market.request_withdraw(ARBITER, SHARE)
    market.node.at(market.node.now + WITHDRAW_DELAY)
    market.withdraw(ARBITER)
    assert market.token.balanceOf(ARBITER.address) == SHARE


def test_resolve__several_in_a_multicall__rules_on_each(market: FullMarket) -> None:
    deals = [market.disputed(market.match(order={"slot": slot}), CLAIM, COUNTER) for slot in (1, 2)]
    calls = [market.encode("resolve", deal.terms.as_tuple(), 16 * HOUR, 0, b"") for deal in deals]
    market.send(ARBITER, "multicall", calls, False)
    for deal in deals:
        modelled = market.modelled(deal)
        share = modelled.share
        market.model._credit(modelled, modelled.rule(16 * HOUR, share))
        market.model.accounts[ARBITER.address].balance += share
        assert market.status(deal) == model.RELEASED


def test_resolve__leaves_the_gpus_of_later_deals_in_use(market: FullMarket) -> None:
    deal = disputed(market)
    market.open(market.match(order={"slot": 131, "gpu_count": 8, "max_budget": 1_000 * UNIT}))
    market.resolve(deal, CLAIM)
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 8


# ---------------------------------------------------------------- the ruling


@pytest.mark.parametrize(
    ("units", "limit"), [(COUNTER - 1, COUNTER), (0, COUNTER), (CLAIM + 1, CLAIM), (2**40 - 1, CLAIM)]
)
def test_resolve__out_of_bounds__refused(market: FullMarket, units: int, limit: int) -> None:
    deal = disputed(market)
    with refused(Code.RULING_OUT_OF_RANGE, actual=units, limit=limit):
        market.resolve(deal, units)


# ---------------------------------------------------------------- when, and in which state


def test_resolve__in_the_last_second__rules(market: FullMarket) -> None:
    deal = disputed(market)
    market.node.at(market.deadline(deal) - 1)
    market.resolve(deal, 16 * HOUR)


@pytest.mark.parametrize("after", [0, 1])
def test_resolve__from_the_deadline_on__refused(market: FullMarket, after: int) -> None:
    deal = disputed(market)
    deadline = market.deadline(deal)
    market.node.at(deadline + after)
    with refused(Code.TOO_LATE, actual=deadline + after, limit=deadline):
        market.resolve(deal, 16 * HOUR)


def test_resolve__locked__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    with refused(Code.WRONG_STATUS, actual=model.LOCKED, limit=model.DISPUTED):
        market.resolve(deal, 0)


def test_resolve__claimed__refused(market: FullMarket) -> None:
    """Whoever does not dispute a claim accepts it: nobody has asked the arbiter."""
    deal = market.claimed(market.match(), CLAIM)
    with refused(Code.WRONG_STATUS, actual=model.CLAIMED, limit=model.DISPUTED):
        market.resolve(deal, 0)


def test_resolve__twice__refused(market: FullMarket) -> None:
    deal = disputed(market)
    market.resolve(deal, 16 * HOUR)
    with refused(Code.WRONG_STATUS, actual=model.RELEASED, limit=model.DISPUTED):
        market.resolve(deal, 16 * HOUR)


def test_resolve__conceded__refused(market: FullMarket) -> None:
    deal = market.disputed(market.match(), CLAIM, 0)
    market.concede(deal, 0, sender=PROVIDER)
    with refused(Code.WRONG_STATUS, actual=model.REFUNDED, limit=model.DISPUTED):
        market.resolve(deal, 0)


# ---------------------------------------------------------------- who


@pytest.mark.parametrize(
    "sender", [BUYER, PROVIDER, AGENT, RELAYER, ATTESTORS[0], STRANGER], ids=lambda actor: actor.role
)
def test_resolve__by_anyone_but_the_arbiter__refused(market: FullMarket, sender: Actor) -> None:
    deal = disputed(market)
    with refused(Code.BAD_SIGNATURE, actual=sender.address, limit=ARBITER.address):
        market.resolve(deal, 16 * HOUR, sender=sender)


@pytest.mark.parametrize("sender", [RELAYER, BUYER, PROVIDER], ids=lambda actor: actor.role)
def test_resolve__signed_by_the_arbiter__rules_whoever_brings_it(market: FullMarket, sender: Actor) -> None:
    deal = disputed(market)
    deadline = market.node.now + HOUR
    sig = ARBITER.sign(ruling(market, deal, 16 * HOUR, deadline), market.domain)
    market.resolve(deal, 16 * HOUR, sender=sender, deadline=deadline, sig=sig)


def test_resolve__two_rulings_signed__the_first_brought_counts(market: FullMarket) -> None:
    deal = disputed(market)
    for_buyer, for_provider = (
        ARBITER.sign(ruling(market, deal, units, NEVER), market.domain) for units in (COUNTER, CLAIM)
    )
    market.resolve(deal, CLAIM, sender=PROVIDER, sig=for_provider)
    with refused(Code.WRONG_STATUS, actual=model.RELEASED, limit=model.DISPUTED):
        market.resolve(deal, COUNTER, sender=BUYER, sig=for_buyer)


@pytest.mark.parametrize("signer", [BUYER, PROVIDER, AGENT, STRANGER], ids=lambda actor: actor.role)
def test_resolve__signed_by_another__refused(market: FullMarket, signer: Actor) -> None:
    deal = disputed(market)
    sig = signer.sign(ruling(market, deal, 16 * HOUR, NEVER), market.domain)
    with refused(Code.BAD_SIGNATURE, actual=signer.address, limit=ARBITER.address):
        market.resolve(deal, 16 * HOUR, sender=signer, sig=sig)


def test_resolve__signed_for_another_escrow__refused(market: FullMarket) -> None:
    """The ruling names it, though the domain does so too: panels sign in a domain of their own."""
    deal = disputed(market)
    elsewhere = messages.Ruling(market.token.address, deal.id, 16 * HOUR, NEVER)
    sig = ARBITER.sign(elsewhere, market.domain)
    found = market.recovered(ruling(market, deal, 16 * HOUR, NEVER), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=ARBITER.address):
        market.resolve(deal, 16 * HOUR, sender=RELAYER, sig=sig)


def test_resolve__signed_in_the_domain_of_a_panel__refused(market: FullMarket) -> None:
    deal = disputed(market)
    panel = SigningDomain("PanelArbiter", "1", market.node.chain_id, ARBITER.address)
    message = ruling(market, deal, 16 * HOUR, NEVER)
    sig = ARBITER.sign(message, panel)
    with refused(Code.BAD_SIGNATURE, actual=market.recovered(message, sig), limit=ARBITER.address):
        market.resolve(deal, 16 * HOUR, sender=RELAYER, sig=sig)


def test_resolve__out_of_bounds_and_unsigned__says_the_bounds_first(market: FullMarket) -> None:
    deal = disputed(market)
    with refused(Code.RULING_OUT_OF_RANGE, actual=CLAIM + 1, limit=CLAIM):
        market.resolve(deal, CLAIM + 1, sender=STRANGER)


def test_resolve__by_the_arbiter_of_another_policy__refused(market: FullMarket) -> None:
    """Terms that name a policy of the attacker's are those of another deal."""
    deal = disputed(market)
    own = market.register(make_policy(arbiter=STRANGER.address), ATTESTORS)
    forged = replace(deal, terms=replace(deal.terms, policy_id=own))
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.DISPUTED):
        market.resolve(forged, COUNTER, sender=STRANGER)


def test_resolve__terms_of_an_unregistered_policy__refused(market: FullMarket) -> None:
    deal = disputed(market)
    forged = replace(deal, terms=replace(deal.terms, policy_id="0x" + "77" * 32))
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.DISPUTED):
        market.resolve(forged, COUNTER)
