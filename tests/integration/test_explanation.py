"""Deals in every status, explained: where the money is, against what the contract holds and has paid."""

from __future__ import annotations

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.fields import seconds
from molt_market.payments.explanation import DealExplanation, Place, explain_deal
from molt_market.signing.hashes import policy_id
from molt_market.testing import Devnet
from tests.integration.scene import Scene
from tests.integration.stage import LEADING_TO, Stage

# The ways of a disputed deal to its end, beside those of the stage.
FURTHER = {
    "STOPPED": ("LOCKED", [("release", "3.5"), ("stop", "0")]),
    "PARTLY PAID": ("LOCKED", [("release", "3.5")]),
    "PAID AND CLAIMED": ("CLAIMED", [("release", "10")]),
    "PARTLY ACCEPTED": ("CLAIMED", [("release", "10"), ("dispute", "17.25")]),
    "RULED": ("DISPUTED", [("resolve", "11.1")]),
    "RULED, UNATTESTED": ("UNATTESTED", [("resolve", "11.1")]),
    "CONCEDED": ("DISPUTED", [("concede", "0")]),
    "SPLIT": ("LOCKED", [("release", "3.5"), ("settle", "11.1")]),
    "SPLIT IN A DISPUTE": ("DISPUTED", [("settle", "7")]),
}
WAYS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    name: (name, []) for name in LEADING_TO if name != "NONE"
} | FURTHER


def explained(scene: Scene, escrow: EscrowAccount) -> DealExplanation:
    client = scene.client
    present = client.escrow(escrow.id)
    policy = client.policy(present.terms.policy_id)
    return explain_deal(present, policy, client.deal_events(escrow.id), client.now())


def at(told: DealExplanation, place: Place) -> Amount:
    [share] = [share for share in told.shares if share.place is place]
    return share.together


@pytest.mark.parametrize("way", WAYS)
def test_explained__is_where_the_contract_has_it__to_the_unit(scene: Scene, way: str) -> None:
    net, stage = scene.net, Stage(scene)
    parties = {
        Place.PROVIDER: net.provider,
        Place.BUYER: net.buyer,
        Place.FEE: net.fee_recipient,
        Place.ARBITER: net.arbiter,
    }
    before = {place: scene.wealth(wallet) for place, wallet in parties.items()}
    status, further = WAYS[way]
    escrow = stage.deal(status)
    for verb, hours in further:
        stage.send(escrow, verb, hours)
    told = explained(scene, escrow)
    put_in = {Place.BUYER: told.escrow.amount + told.stake, Place.PROVIDER: told.escrow.bond}
    none = Amount.zero(told.escrow.token)
    for place, wallet in parties.items():
        moved = at(told, place)
        assert scene.wealth(wallet) + put_in.get(place, none) == before[place] + moved, place
    total = none
    for share in told.shares:
        total += share.together
    assert total == told.in_all
    # all that the contract holds is balances, and this deal's money
    balances = none
    for wallet in (*net.buyers, *net.providers, net.fee_recipient, net.arbiter):
        balances += scene.client.balances(wallet.address).escrow
    assert scene.escrow_holds() == balances + at(told, Place.ESCROW)


@pytest.mark.parametrize("way", [way for way in WAYS if WAYS[way][0] not in {"RELEASED", "REFUNDED"}])
def test_silence__brings_what_was_said(scene: Scene, way: str) -> None:
    status, further = WAYS[way]
    escrow = Stage(scene).deal(status)
    for verb, hours in further:
        Stage(scene).send(escrow, verb, hours)
    told = explained(scene, escrow)
    if not told.moves:
        assert told.says.startswith("closed at ")
        return
    silence = told.moves[-1]
    assert silence.from_ == told.escrow.locked_until
    scene.run_past(escrow)
    before = [scene.wealth(wallet) for wallet in (scene.net.provider, scene.net.buyer)]
    scene.net.payments(scene.net.stranger).refund_payment(escrow, "nobody did anything")
    after = [scene.wealth(wallet) for wallet in (scene.net.provider, scene.net.buyer)]
    for had, has, where in zip(before, after, ("to the provider", "to the buyer"), strict=True):
        said = f"{has - had} {where}"
        assert (said in silence.then) is (has != had)
    assert explained(scene, escrow).moves == ()


def test_stop__is_offered_for_as_long_as_the_contract_takes_it(scene: Scene) -> None:
    escrow, stage = scene.open(), Stage(scene)
    [stop] = [move for move in explained(scene, escrow).moves if move.verb == "stop"]
    assert stop.before is not None
    scene.net.warp(seconds(stop.before) - seconds(scene.net.clock.now()) - 2)
    assert any(move.verb == "stop" for move in explained(scene, escrow).moves)
    stage.send(escrow, "stop", "0")
    assert not any(move.verb == "stop" for move in explained(scene, escrow).moves)


def test_policy_without_attestors__offers_no_attested_claim(scene: Scene, net: Devnet) -> None:
    policy = net.policy.model_copy(update={"threshold": 0, "attestors": ()})
    client = net.client(net.operator)
    client.register_policy(policy)
    escrow = scene.open(offer=scene.offer(policy_id=policy_id(policy)))
    verbs = [move.verb for move in explained(scene, escrow).moves]
    assert "release_payment" not in verbs
    assert "claim_unattested" in verbs
