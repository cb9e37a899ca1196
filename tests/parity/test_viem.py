"""Hashes and signatures against viem, an implementation that shares no code with ours."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from molt_market.signing.hashes import attestors_hash, order_message, policy_id, policy_message
from molt_market.signing.messages import Permit
from molt_market.signing.signers import compact, recover
from molt_market.signing.statements import sign_order, sign_permit
from molt_market.signing.typed_data import Domain, Message, TokenDomain
from tests.factories import make_offer, make_order, make_policy
from tests.parity.samples import MESSAGES, address, domain, sample
from tests.unit.signing.keys import BUYER, STRANGER

COUNT = 40
Viem = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def cases() -> list[tuple[Message, Any]]:
    rng = random.Random(2_026)
    return [(sample(kind, rng), domain(rng)) for kind in MESSAGES for _ in range(COUNT)]


@pytest.fixture(scope="module")
def answers(viem: Viem, cases: list[tuple[Message, Any]]) -> list[dict[str, str]]:
    """What viem says of each case; every second signature is given in its compact form."""
    items = []
    for number, (message, where) in enumerate(cases):
        signature = STRANGER.sign(message, where)
        items.append(
            {
                "typedData": message.as_typed_data(where),
                "signature": compact(signature) if number % 2 else signature,
            }
        )
    found: list[dict[str, str]] = viem(items)["items"]
    assert len(found) == len(cases) >= 17 * COUNT
    return found


def test_struct_hashes(cases: list[tuple[Message, Any]], answers: list[dict[str, str]]) -> None:
    for (message, _), answer in zip(cases, answers, strict=True):
        assert "0x" + message.hash_struct().hex() == answer["structHash"], message


def test_digests(cases: list[tuple[Message, Any]], answers: list[dict[str, str]]) -> None:
    for (message, where), answer in zip(cases, answers, strict=True):
        assert "0x" + message.digest(where).hex() == answer["digest"], (message, where)


def test_our_signatures__recover_there(answers: list[dict[str, str]]) -> None:
    assert {answer["recovered"] for answer in answers} == {STRANGER.address}


def test_their_signatures__recover_here(
    cases: list[tuple[Message, Any]], answers: list[dict[str, str]]
) -> None:
    for (message, where), answer in zip(cases, answers, strict=True):
        assert recover(message.digest(where), answer["signature"]) == BUYER.address
        assert answer["signature"] == BUYER.sign(message, where)  # both sign deterministically


def test_attestors_hash(viem: Viem) -> None:
    rng = random.Random(7)
    sets = [sorted((address(rng) for _ in range(size)), key=lambda each: each.number()) for size in range(17)]
    found = viem(sets=sets)["attestorsHashes"]
    assert [attestors_hash(members) for members in sets] == found


def test_policy_id(viem: Viem) -> None:
    policy = make_policy(arbiter="0x" + "a1" * 20, bond_bps=0, arbiter_share_bps=5_000)
    typed = policy_message(policy).as_typed_data(Domain(1, "0x" + "11" * 20))
    assert policy_id(policy) == viem([{"typedData": typed}])["items"][0]["structHash"]


def test_signed_order__recovers_there(viem: Viem) -> None:
    where = Domain(31_337, "0x" + "11" * 20)
    order = sign_order(make_order(buyer_id=BUYER.address), BUYER, where, make_offer())
    item = {"typedData": order_message(order).as_typed_data(where), "signature": order.signature}
    assert viem([item])["items"][0]["recovered"] == BUYER.address


def test_signed_permit__recovers_there(viem: Viem) -> None:
    token = TokenDomain(10, "0x" + "22" * 20, "Molt")
    permit = sign_permit(STRANGER, token, spender=BUYER.address, value=2**256 - 1, nonce=3, deadline=2**64)
    typed = Permit(STRANGER.address, BUYER.address, 2**256 - 1, 3, 2**64).as_typed_data(token)
    signature = permit.r + permit.s[2:] + f"{permit.v:02x}"
    assert viem([{"typedData": typed, "signature": signature}])["items"][0]["recovered"] == STRANGER.address
