"""Who wins when somebody is silent: docs/states.md, row by row, on a real chain.

240 MOLT are locked for 24 hours, with a bond of 24; the fee is 1 %.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.refusals import OfferExpired, TooEarly
from molt_market.testing import Devnet
from tests.integration.scene import DONE, HOURS, Scene, molt
from tests.integration.stage import Stage


@pytest.fixture
def stage(scene: Scene) -> Stage:
    return Stage(scene)


def gained(scene: Scene, escrow: EscrowAccount) -> tuple[Amount, Amount]:
    """Return what buyer and provider have got of a closed deal, bond and stakes included."""
    events = scene.client.deal_events(escrow.id)
    units = [sum(getattr(event, to, 0) for event in events) for to in ("to_buyer", "to_provider")]
    return Amount(units[0], scene.client.token), Amount(units[1], scene.client.token)


def finalize(stage: Stage, escrow: EscrowAccount) -> tuple[Amount, Amount]:
    """Finalize as a stranger at the deadline, not before; return what buyer and provider have got."""
    present = stage.scene.client.escrow(escrow.id)
    left = int((present.locked_until - stage.net.clock.now()).total_seconds())
    stage.net.warp(left - 60)
    with pytest.raises(TooEarly):
        stage.send(escrow, "finalize", "0")
    stage.net.warp(60)
    stage.send(escrow, "finalize", "0")
    return gained(stage.scene, escrow)


def test_operator__silent_after_a_match__the_buyer_opens_it_himself(scene: Scene, net: Devnet) -> None:
    """Even an order that names the operator as its opener."""
    escrow = scene.open(opener=net.operator.address)
    assert escrow.status is DealStatus.LOCKED


def test_operator__silent_until_the_offer_expires__nothing_was_locked(scene: Scene, net: Devnet) -> None:
    offer = scene.offer(expires_at=net.clock.now() + timedelta(hours=1))
    before = scene.wealth(net.buyer), scene.escrow_holds()
    scene.run(1)
    with pytest.raises(OfferExpired):
        scene.open(offer=offer)
    assert (scene.wealth(net.buyer), scene.escrow_holds()) == before


def test_provider__never_starts__the_buyer_gets_price_and_bond(stage: Stage) -> None:
    escrow = stage.scene.open()
    assert escrow.ends_at is not None
    assert escrow.locked_until - escrow.ends_at == timedelta(seconds=stage.net.policy.grace_seconds)
    assert finalize(stage, escrow) == (molt(264), molt(0))


def test_provider__never_starts__and_the_buyer_stops__gets_them_sooner(stage: Stage) -> None:
    escrow = stage.scene.open()
    stage.net.warp(escrow.notice_minutes * 60 + 1)
    stage.send(escrow, "stop", "0")
    stopped = stage.scene.client.escrow(escrow.id)
    assert stopped.locked_until < escrow.locked_until - timedelta(hours=22)
    assert finalize(stage, escrow) == (molt(264), molt(0))


def test_provider__never_starts__and_the_buyer_stops_at_once__keeps_the_bond(stage: Stage) -> None:
    """Both are excused within one notice of the opening."""
    escrow = stage.scene.open()
    stage.send(escrow, "stop", "0")
    assert finalize(stage, escrow) == (molt(240), molt(24))


def test_stop__takes_effect_one_notice_later_and_not_before_the_commitment(stage: Stage) -> None:
    escrow = stage.scene.open(offer=stage.scene.offer(min_commitment_hours=6))
    stage.send(escrow, "stop", "0")
    stopped = stage.scene.client.escrow(escrow.id)
    assert stopped.ends_at == escrow.created_at + timedelta(hours=6)


def test_provider__delivers_and_never_claims__keeps_what_vouchers_paid(stage: Stage) -> None:
    escrow = stage.scene.open()
    stage.scene.run(12)
    stage.send(escrow, "release", "12")
    assert finalize(stage, escrow) == (molt(120) + molt(12), molt("118.8") + molt(12))


def test_provider__delivers_all_but_the_notice__earns_the_whole_bond(stage: Stage) -> None:
    escrow = stage.scene.open()
    stage.scene.run(HOURS)
    stage.send(escrow, "release", "23.75")  # the notice is a quarter of an hour
    assert finalize(stage, escrow) == (molt("2.5"), molt("235.125") + molt(24))


def test_buyer__hands_over_no_job__pays_for_what_was_available(stage: Stage) -> None:
    """A receipt counts GPU-seconds that were there: it says nothing of a job, and needs none."""
    escrow = stage.scene.open()
    stage.scene.run(HOURS)
    stage.send(escrow, "claim", "24")
    assert finalize(stage, escrow) == (molt(0), molt("237.6") + molt(24))


def test_buyer__neither_confirms_nor_contests__pays_the_claim(stage: Stage) -> None:
    escrow = stage.deal("CLAIMED")
    assert finalize(stage, escrow) == (molt(5) + molt("0.5"), molt("232.65") + molt("23.5"))


def test_buyer__silent_on_an_early_claim_with_a_result__leaves_the_provider_the_whole_bond(
    stage: Stage, scene: Scene
) -> None:
    escrow = scene.open()
    scene.run(12)
    scene.provider.release_payment(escrow, scene.proof(escrow, "6", result=DONE))
    assert finalize(stage, escrow) == (molt(180), molt("59.4") + molt(24))


def test_attestors__silent__the_arbiter_has_to_rule_on_the_providers_own_claim(stage: Stage) -> None:
    escrow = stage.deal("UNATTESTED")
    assert stage.send(escrow, "resolve", "23.5") is DealStatus.RELEASED
    to_buyer, to_provider = gained(stage.scene, escrow)
    share = molt("1.175")  # 5 % of the provider's stake of 23.5
    assert (to_buyer, to_provider) == (molt(5) + molt("0.5"), molt("232.65") + molt("23.5") - share)


def test_arbiter__silent__an_attested_claim_stands_and_wins_both_stakes(stage: Stage) -> None:
    escrow = stage.deal("DISPUTED")
    assert finalize(stage, escrow) == (molt(5) + molt("0.5"), molt("232.65") + 2 * molt("23.5"))


def test_arbiter__silent__an_unattested_claim_falls_and_loses_its_stake(stage: Stage) -> None:
    escrow = stage.deal("UNATTESTED")
    assert finalize(stage, escrow) == (molt(264), molt(0))
