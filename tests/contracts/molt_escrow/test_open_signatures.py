"""open: both parties have signed exactly this, for this escrow on this chain, or make the call themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from molt_market.signing.typed_data import Domain, Message
from tests.contracts.actors import (
    AGENT,
    ATTESTORS,
    BUYER,
    OPENER,
    PROVIDER,
    RELAYER,
    STRANGER,
    VOUCHER_SIGNER,
    Actor,
)
from tests.contracts.factories import UNIT, ZERO_ADDRESS, Match, make_policy
from tests.contracts.market import Market
from tests.contracts.refusals import Code, refused
from tests.contracts.signatures import compact, high_s, with_v

OTHER_HASH = "0x" + "99" * 32
SIDES = {"offer": PROVIDER, "order": BUYER}
both_sides = pytest.mark.parametrize("side", SIDES)


def message(match: Match, side: str) -> Message:
    return match.offer if side == "offer" else match.order


def signature(match: Match, side: str) -> bytes:
    return match.offer_sig if side == "offer" else match.order_sig


def with_signature(match: Match, side: str, sig: bytes) -> Match:
    return replace(match, offer_sig=sig) if side == "offer" else replace(match, order_sig=sig)


@both_sides
def test_open__compact_signature__opens(market: Market, side: str) -> None:
    match = market.match()
    market.open(with_signature(match, side, compact(signature(match, side))))


@both_sides
@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda sig: sig[:63],
        lambda sig: sig[:64] + b"\x1b\0",
        high_s,
        lambda sig: with_v(sig, sig[64] - 27),
        lambda sig: with_v(sig, 29),
        lambda _: with_v(b"\0" * 65, 27),
        lambda _: b"\xff" * 64,
    ],
    ids=["empty", "63 bytes", "66 bytes", "high s", "v of 0 or 1", "v of 29", "zero", "compact high s"],
)
def test_open__no_signature__refused(market: Market, side: str, spoil: Callable[[bytes], bytes]) -> None:
    """Nobody signed: the recovered address is 0, or the sender's when the signature is empty."""
    match = market.match()
    spoiled = spoil(signature(match, side))
    found = 0 if spoiled else RELAYER.number
    with refused(Code.BAD_SIGNATURE, actual=found, limit=SIDES[side].address):
        market.open(with_signature(match, side, spoiled))


@both_sides
def test_open__signed_by_another__refused(market: Market, side: str) -> None:
    match = market.match()
    forged = STRANGER.sign(message(match, side), market.domain)
    with refused(Code.BAD_SIGNATURE, actual=STRANGER.address, limit=SIDES[side].address):
        market.open(with_signature(match, side, forged))


@pytest.mark.parametrize(("side", "key"), [("offer", AGENT), ("order", VOUCHER_SIGNER)])
def test_open__signed_by_a_lesser_key__refused(market: Market, side: str, key: Actor) -> None:
    """The keys that lie on machines open nothing."""
    match = market.match()
    forged = key.sign(message(match, side), market.domain)
    with refused(Code.BAD_SIGNATURE, actual=key.address, limit=SIDES[side].address):
        market.open(with_signature(match, side, forged))


@both_sides
@pytest.mark.parametrize("where", ["chain", "contract"])
def test_open__signed_for_another_place__refused(market: Market, side: str, where: str) -> None:
    chain_id, escrow = market.domain.chain_id, market.domain.escrow
    elsewhere = Domain(1, escrow) if where == "chain" else Domain(chain_id, str(market.token.address))
    match = market.match()
    foreign = SIDES[side].sign(message(match, side), elsewhere)
    with refused(
        Code.BAD_SIGNATURE, actual=market.recovered(message(match, side), foreign), limit=SIDES[side].address
    ):
        market.open(with_signature(match, side, foreign))


@both_sides
def test_open__a_field_changed_after_signing__refused(market: Market, side: str) -> None:
    match = market.match()
    changed = market.match(offer={"metadata_hash": OTHER_HASH}, order={"job_spec_hash": OTHER_HASH})
    sig = signature(match, side)
    with refused(
        Code.BAD_SIGNATURE, actual=market.recovered(message(changed, side), sig), limit=SIDES[side].address
    ):
        market.open(with_signature(changed, side, sig))


def test_open__signatures_swapped__refused(market: Market) -> None:
    match = market.match()
    swapped = replace(match, offer_sig=match.order_sig, order_sig=match.offer_sig)
    found = market.recovered(message(match, "offer"), match.order_sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=PROVIDER.address):
        market.open(swapped)


@pytest.mark.parametrize(("sender", "side"), [(PROVIDER, "offer"), (BUYER, "order")])
def test_open__empty_signature_of_the_sender__opens(market: Market, sender: Actor, side: str) -> None:
    market.open(with_signature(market.match(), side, b""), sender=sender)


@pytest.mark.parametrize("sender", [BUYER, PROVIDER, OPENER], ids=lambda actor: actor.role)
def test_open__empty_signatures__they_stand_for_the_sender_only(market: Market, sender: Actor) -> None:
    match = market.match(offer_sig=b"", order_sig=b"")
    missing = BUYER if sender is PROVIDER else PROVIDER
    with refused(Code.BAD_SIGNATURE, actual=sender.address, limit=missing.address):
        market.open(match, sender=sender)


def test_open__provider_zero__signed_by_nobody__refused(market: Market) -> None:
    """What no key has signed recovers to address 0, which is nobody. Without a bond it needs no money."""
    free = {"policy_id": market.register(make_policy(bond_bps=0), ATTESTORS)}
    match = market.match({**free, "provider": ZERO_ADDRESS}, free)
    with refused(Code.BAD_SIGNATURE, actual=0, limit=0):
        market.open(match)


def test_open__buyer_zero__has_no_money(market: Market) -> None:
    with refused(Code.BUYER_BALANCE, actual=0, limit=320 * UNIT):
        market.open(market.match(order={"buyer": ZERO_ADDRESS}))
