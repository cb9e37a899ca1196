"""rule: three of five members sign a ruling, anybody brings it, and the escrow takes it as its arbiter's.

Contested: 16 of 32 GPU-hours at 10 MOLT, above a counter of 8; 16 MOLT at stake on each side, a share of 5 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from molt_market.signing.signers import recover
from molt_market.signing.typed_data import SigningDomain
from tests.contracts import model
from tests.contracts.actors import BUYER, PROVIDER, STRANGER, Actor
from tests.contracts.desk import NEVER
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, UNIT, ZERO, addresses, make_policy
from tests.contracts.panel import CLAIM, COUNTER, MEMBERS, THRESHOLD, Panel, reverts
from tests.contracts.refusals import Code, refused

NO_QUORUM = "NoQuorum(uint256,uint256)"
NOT_A_MEMBER = "NotAMember(address)"
UNITS = 16 * HOUR
SHARE = 16 * UNIT // 10
A, B, C, D, E = MEMBERS


# ---------------------------------------------------------------- a ruling


def test_rule__three_of_five__closes_the_deal_as_ruled(market: FullMarket, panel: Panel) -> None:
    deal = panel.disputed()
    panel.rule(deal, UNITS)
    assert market.status(deal) == model.RELEASED
    assert market.escrow.dealOf(deal.id).paid == UNITS


def test_rule__share__is_the_panels(market: FullMarket, panel: Panel) -> None:
    panel.rule(panel.disputed(), UNITS)
    assert market.escrow.accountOf(panel.address).balance == SHARE


@pytest.mark.parametrize("by", [(A, B, C), (A, C, E), (C, D, E), (A, B, D, E), MEMBERS], ids=len)
def test_rule__any_quorum_or_more__rules(panel: Panel, by: Sequence[Actor]) -> None:
    panel.rule(panel.disputed(), UNITS, by=by)


@pytest.mark.parametrize("units", [COUNTER, CLAIM])
def test_rule__either_extreme__rules(panel: Panel, units: int) -> None:
    panel.rule(panel.disputed(), units)


@pytest.mark.parametrize("sender", [STRANGER, BUYER, A], ids=lambda actor: actor.role)
def test_rule__brought_by_anybody__rules(panel: Panel, sender: Actor) -> None:
    panel.rule(panel.disputed(), UNITS, sender=sender)


# ---------------------------------------------------------------- not a quorum


@pytest.mark.parametrize("by", [(), (A,), (A, B)], ids=len)
def test_rule__below_the_threshold__refused(panel: Panel, by: Sequence[Actor]) -> None:
    deal = panel.disputed()
    with reverts(NO_QUORUM, len(by), THRESHOLD):
        panel.rule(deal, UNITS, by=by)


@pytest.mark.parametrize("length", [1, 63, 64 * 3 - 1, 64 * 3 + 1])
def test_rule__broken_length__refused(panel: Panel, length: int) -> None:
    deal = panel.disputed()
    sigs = (panel.sign(panel.ruling(deal, UNITS), MEMBERS))[:length]
    with reverts(NO_QUORUM, length // 64, THRESHOLD):
        panel.rule(deal, UNITS, sigs=sigs)


@pytest.mark.parametrize(
    ("by", "wrong"),
    [
        ((B, A, C), A),
        ((A, C, B), B),
        ((A, A, B), A),
        ((A, B, B), B),
        ((A, B, C, C), C),
        ((A, B, STRANGER), STRANGER),
        ((A, B, C, STRANGER), STRANGER),
        ((PROVIDER, A, B, C), PROVIDER),
    ],
    ids=["unsorted", "unsorted last", "twice", "twice last", "one too many", "stranger", "beside", "first"],
)
def test_rule__unsorted_twice_or_strange__refused(panel: Panel, by: Sequence[Actor], wrong: Actor) -> None:
    """More than enough good signatures do not make up for a bad one."""
    deal = panel.disputed()
    with reverts(NOT_A_MEMBER, wrong.address):
        panel.rule(deal, UNITS, by=by)


@pytest.mark.parametrize("spoiled", [bytes(64), b"\xff" * 64])
def test_rule__nobodys_signature__refused(panel: Panel, spoiled: bytes) -> None:
    deal = panel.disputed()
    sigs = panel.sign(panel.ruling(deal, UNITS), (A, B)) + spoiled
    with reverts(NOT_A_MEMBER, "0x" + "00" * 20):
        panel.rule(deal, UNITS, sigs=sigs)


# ---------------------------------------------------------------- another ruling than the one that was signed


def refuses(panel: Panel, signed: dict[str, Any], domain: SigningDomain | None = None) -> None:
    """Have a ruling signed with these fields changed, and bring it as if they were not."""
    deal = panel.disputed()
    brought = panel.ruling(deal, UNITS)
    sigs = panel.sign(replace(brought, **signed), MEMBERS[:THRESHOLD], domain)
    found = recover(brought.digest(panel.domain), "0x" + sigs[:64].hex())
    with reverts(NOT_A_MEMBER, found):
        panel.rule(deal, UNITS, sigs=sigs)


@pytest.mark.parametrize(
    "signed",
    [{"gpu_seconds": UNITS + 1}, {"deadline": NEVER - 1}, {"deal_id": ZERO}, {"escrow": STRANGER.address}],
    ids=lambda signed: next(iter(signed)),
)
def test_rule__signed_otherwise__refused(market: FullMarket, panel: Panel, signed: dict[str, Any]) -> None:
    refuses(panel, signed)


@pytest.mark.parametrize(
    "elsewhere", [{"chain_id": 1}, {"contract": STRANGER.address}], ids=["chain", "panel"]
)
def test_rule__signed_for_another_place__refused(
    market: FullMarket, panel: Panel, elsewhere: dict[str, Any]
) -> None:
    refuses(panel, {}, replace(panel.domain, **elsewhere))


def test_rule__signed_for_the_escrow_itself__refused(market: FullMarket, panel: Panel) -> None:
    refuses(panel, {}, market.domain)


def test_rule__of_another_deal__refused(panel: Panel) -> None:
    first, second = panel.disputed(), panel.disputed(slot=131)
    sigs = panel.sign(panel.ruling(first, UNITS), (A, B, C))
    found = recover(panel.ruling(second, UNITS).digest(panel.domain), "0x" + sigs[:64].hex())
    with reverts(NOT_A_MEMBER, found):
        panel.rule(second, UNITS, sigs=sigs)


def test_rule__of_a_panel_with_the_same_members__refused(
    market: FullMarket, panel: Panel, project: Any
) -> None:
    """Its quorum rules where its own address is the arbiter, and nowhere else."""
    other = Panel(market, project)
    deal = panel.disputed()
    with refused(Code.BAD_SIGNATURE, actual=other.address, limit=panel.address):
        other.rule(deal, UNITS)


# ---------------------------------------------------------------- when, and what the escrow says


def test_rule__in_its_last_second__rules(market: FullMarket, panel: Panel) -> None:
    deal = panel.disputed()
    deadline = market.node.now + 60
    market.node.at(deadline - 1)
    panel.rule(deal, UNITS, deadline=deadline)


@pytest.mark.parametrize("after", [0, 1])
def test_rule__expired__refused(market: FullMarket, panel: Panel, after: int) -> None:
    deal = panel.disputed()
    deadline = market.node.now + 60
    market.node.at(deadline + after)
    with reverts("RulingExpired(uint256,uint256)", deadline + after, deadline):
        panel.rule(deal, UNITS, deadline=deadline)


@pytest.mark.parametrize(("units", "limit"), [(COUNTER - 1, COUNTER), (CLAIM + 1, CLAIM)])
def test_rule__out_of_bounds__refused_by_the_escrow(panel: Panel, units: int, limit: int) -> None:
    """Its own words reach whoever brought the ruling."""
    deal = panel.disputed()
    with refused(Code.RULING_OUT_OF_RANGE, actual=units, limit=limit):
        panel.rule(deal, units)


def test_rule__after_the_arbitration__refused_by_the_escrow(market: FullMarket, panel: Panel) -> None:
    deal = panel.disputed()
    deadline = market.deadline(deal)
    market.node.at(deadline)
    with refused(Code.TOO_LATE, actual=deadline, limit=deadline):
        panel.rule(deal, UNITS)


def test_rule__replayed__refused_by_the_escrow(panel: Panel) -> None:
    deal = panel.disputed()
    panel.rule(deal, UNITS)
    with refused(Code.WRONG_STATUS, actual=model.RELEASED, limit=model.DISPUTED):
        panel.rule(deal, UNITS)


def test_rule__two_rulings__the_first_counts(panel: Panel) -> None:
    deal = panel.disputed()
    panel.rule(deal, CLAIM, by=(A, B, C))
    with refused(Code.WRONG_STATUS, actual=model.RELEASED, limit=model.DISPUTED):
        panel.rule(deal, COUNTER, by=(C, D, E))


def test_rule__deal_with_another_arbiter__refused_by_the_escrow(market: FullMarket, panel: Panel) -> None:
    policy = make_policy()
    deal = market.disputed(market.match(), CLAIM, COUNTER)
    with refused(Code.BAD_SIGNATURE, actual=panel.address, limit=policy.arbiter):
        panel.rule(deal, UNITS)


def test_rule__members__are_what_they_were(panel: Panel) -> None:
    panel.rule(panel.disputed(), UNITS)
    assert list(panel.contract.members()) == addresses(MEMBERS)
