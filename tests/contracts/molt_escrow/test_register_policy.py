"""registerPolicy: stored under its hash, by anyone, for ever; every bound at it and beyond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from molt_market.signing import messages
from tests.contracts.actors import ATTESTORS, RELAYER, STRANGER, Actor
from tests.contracts.factories import DAY, HOUR, ZERO, ZERO_ADDRESS, addresses, attestors_hash, make_policy
from tests.contracts.market import Market
from tests.contracts.refusals import Code, refused

NOBODY: Sequence[Actor] = ()
SIXTEEN = sorted((Actor(f"attestor {i}") for i in range(16)), key=lambda actor: actor.number)
SEVENTEEN = sorted((Actor(f"attestor {i}") for i in range(17)), key=lambda actor: actor.number)


def of(attestors: Sequence[Actor], threshold: int) -> messages.Policy:
    return make_policy(threshold=threshold, attestors_hash=attestors_hash(attestors))


def test_register_policy__stores_it_under_its_hash(market: Market) -> None:
    policy = make_policy(challenge=5 * HOUR)
    policy_id = market.register(policy, ATTESTORS)
    stored = tuple(market.escrow.policyOf(policy_id).values())
    assert stored[:-1] == policy.as_tuple()[:-1]
    assert "0x" + stored[-1].hex().removeprefix("0x") == policy.attestors_hash


def test_register_policy__emits_policy_and_attestors(market: Market) -> None:
    policy = make_policy(challenge=5 * HOUR)
    receipt = market.send(STRANGER, "registerPolicy", policy.as_tuple(), addresses(ATTESTORS))
    says = {
        "policyId": "0x" + policy.hash_struct().hex(),
        "policy": policy.as_tuple(),
        "attestors": tuple(addresses(ATTESTORS)),
    }
    assert receipt.events(market.escrow) == [("PolicyRegistered", says)]


def test_register_policy__again__changes_nothing(market: Market) -> None:
    """Nobody gains by doing it first, not even with other attestors beside the same policy."""
    policy = make_policy()
    for attestors in (ATTESTORS, NOBODY):
        receipt = market.send(RELAYER, "registerPolicy", policy.as_tuple(), addresses(attestors))
        assert receipt.logs == []
    assert market.escrow.policyOf(market.policy_id).threshold == 2


# ---------------------------------------------------------------- bounds

AT_A_BOUND: list[dict[str, Any]] = [
    {"bond_bps": 0},
    {"bond_bps": 5_000},
    {"challenge": HOUR},
    {"challenge": 14 * DAY},
    {"grace": HOUR},
    {"grace": 7 * DAY},
    {"notice_minutes": 1},
    {"notice_minutes": 255},
    {"arbitration": DAY},
    {"arbitration": 14 * DAY},
    {"arbiter_share_bps": 0},
    {"arbiter_share_bps": 5_000},
    {"threshold": 1},
    {"threshold": 3},
]


@pytest.mark.parametrize("bound", AT_A_BOUND, ids=str)
def test_register_policy__at_a_bound__registered(market: Market, bound: dict[str, Any]) -> None:
    policy_id = market.register(make_policy(**bound), ATTESTORS)
    assert market.escrow.policyOf(policy_id).arbiter != ZERO_ADDRESS


@pytest.mark.parametrize(
    ("beyond", "code", "limit"),
    [
        ({"bond_bps": 5_001}, Code.POLICY_BOND, 5_000),
        ({"challenge": HOUR - 1}, Code.POLICY_CHALLENGE, HOUR),
        ({"challenge": 14 * DAY + 1}, Code.POLICY_CHALLENGE, 14 * DAY),
        ({"grace": HOUR - 1}, Code.POLICY_GRACE, HOUR),
        ({"grace": 7 * DAY + 1}, Code.POLICY_GRACE, 7 * DAY),
        ({"notice_minutes": 0}, Code.POLICY_NOTICE, 1),
        ({"arbitration": DAY - 1}, Code.POLICY_ARBITRATION, DAY),
        ({"arbitration": 14 * DAY + 1}, Code.POLICY_ARBITRATION, 14 * DAY),
        ({"arbiter_share_bps": 5_001}, Code.POLICY_ARBITER_SHARE, 5_000),
        ({"threshold": 4}, Code.POLICY_THRESHOLD, 3),
        ({"threshold": 255}, Code.POLICY_THRESHOLD, 3),
    ],
    ids=str,
)
def test_register_policy__beyond_a_bound__refused(
    market: Market, beyond: dict[str, int], code: Code, limit: int
) -> None:
    [value] = beyond.values()
    with refused(code, actual=value, limit=limit):
        market.register(make_policy(**beyond), ATTESTORS)


def test_register_policy__no_arbiter__refused(market: Market) -> None:
    with refused(Code.POLICY_ARBITER, actual=0, limit=1):
        market.register(make_policy(arbiter=ZERO_ADDRESS), ATTESTORS)


# ---------------------------------------------------------------- attestors


@pytest.mark.parametrize(
    ("attestors", "threshold"),
    [(NOBODY, 0), (ATTESTORS[:1], 1), (SIXTEEN, 1), (SIXTEEN, 16)],
    ids=["none", "one", "sixteen", "all of sixteen"],
)
def test_register_policy__attestors_within_bounds__registered(
    market: Market, attestors: Sequence[Actor], threshold: int
) -> None:
    policy_id = market.register(of(attestors, threshold), attestors)
    assert market.escrow.policyOf(policy_id).threshold == threshold


def test_register_policy__seventeen_attestors__refused(market: Market) -> None:
    with refused(Code.POLICY_ATTESTOR_COUNT, actual=17, limit=16):
        market.register(of(SEVENTEEN, 16), SEVENTEEN)


def test_register_policy__threshold_of_none__refused(market: Market) -> None:
    with refused(Code.POLICY_THRESHOLD, actual=1, limit=0):
        market.register(of(NOBODY, 1), NOBODY)


def test_register_policy__attestors_without_threshold__refused(market: Market) -> None:
    """They would look like a promise and mean nothing."""
    with refused(Code.POLICY_THRESHOLD, actual=0, limit=1):
        market.register(of(ATTESTORS, 0), ATTESTORS)


def test_register_policy__attestors_unsorted__refused(market: Market) -> None:
    swapped = [ATTESTORS[1], ATTESTORS[0], ATTESTORS[2]]
    with refused(Code.POLICY_ATTESTOR_ORDER, actual=ATTESTORS[0].address, limit=ATTESTORS[1].address):
        market.register(of(swapped, 2), swapped)


def test_register_policy__attestor_twice__refused(market: Market) -> None:
    twice = [ATTESTORS[0], ATTESTORS[0], ATTESTORS[1]]
    with refused(Code.POLICY_ATTESTOR_ORDER, actual=ATTESTORS[0].address, limit=ATTESTORS[0].address):
        market.register(of(twice, 2), twice)


def test_register_policy__attestor_zero__refused(market: Market) -> None:
    """Address 0 is what a bad signature recovers to."""
    policy = make_policy(threshold=1)
    with refused(Code.POLICY_ATTESTOR_ORDER, actual=0, limit=0):
        market.send(RELAYER, "registerPolicy", policy.as_tuple(), [ZERO_ADDRESS, ATTESTORS[0].address])


@pytest.mark.parametrize("named", [ZERO, attestors_hash(ATTESTORS[:2])], ids=["zero", "others"])
def test_register_policy__hash_of_other_attestors__refused(market: Market, named: str) -> None:
    with refused(Code.POLICY_ATTESTORS, actual=attestors_hash(ATTESTORS), limit=named):
        market.register(replace(make_policy(), attestors_hash=named), ATTESTORS)


def test_register_policy__refused__is_not_stored(market: Market) -> None:
    policy = make_policy(bond_bps=5_001)
    with refused(Code.POLICY_BOND, actual=5_001, limit=5_000):
        market.register(policy, ATTESTORS)
    assert market.escrow.policyOf("0x" + policy.hash_struct().hex()).arbiter == ZERO_ADDRESS
