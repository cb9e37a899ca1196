"""claim: a receipt of the agent and a quorum of attestors. The default policy asks for two in three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from molt_market.signing import messages
from tests.contracts import model
from tests.contracts.actors import AGENT, ATTESTORS, BUYER, PROVIDER, STRANGER, VOUCHER_SIGNER, Actor
from tests.contracts.factories import (
    HOUR,
    RESULT,
    UNIT,
    USAGE_ROOT,
    ZERO,
    OpenDeal,
    attestors_hash,
    make_policy,
)
from tests.contracts.market import Market
from tests.contracts.refusals import Code, Reverted, refused
from tests.contracts.signatures import compact, high_s

WHOLE = 32 * HOUR
EXCUSED, ATTESTED = 1, 2


def ended(market: Market) -> OpenDeal:
    """Open the default deal and let it end: the next transaction comes at its end."""
    deal = market.open(market.match())
    market.node.at(deal.ends_at)
    return deal


def signatures(market: Market, deal: OpenDeal, units: int, signers: Sequence[Actor]) -> bytes:
    receipt = messages.Receipt(deal.id, units, ZERO, USAGE_ROOT)
    return b"".join(compact(signer.sign(receipt, market.domain)) for signer in signers)


def test_claim__writes_claim_and_window(market: Market) -> None:
    deal = ended(market)
    market.claim(deal, 30 * HOUR)
    stored = market.escrow.dealOf(deal.id)
    assert (stored.status, stored.claim, stored.paid) == (model.CLAIMED, 30 * HOUR, 0)
    assert stored.flags == ATTESTED
    assert stored.deadline == deal.ends_at + 2 * HOUR


def test_claim__frees_the_gpus_and_moves_no_money(market: Market) -> None:
    deal = ended(market)
    market.claim(deal, WHOLE)
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 0
    assert market.balance(PROVIDER) == 968 * UNIT


def test_claim__emits_receipt_and_deadline(market: Market) -> None:
    deal = ended(market)
    receipt = market.claim(deal, WHOLE, result=RESULT)
    says = {
        "dealId": deal.id,
        "gpuSeconds": WHOLE,
        "resultDigest": RESULT,
        "usageRoot": USAGE_ROOT,
        "deadline": receipt.time + 2 * HOUR,
    }
    assert receipt.events(market.escrow) == [("DealClaimed", says)]


def test_claim__after_vouchers__counts_above_them(market: Market) -> None:
    deal = market.claimed(market.match(), 30 * HOUR, paid=20 * HOUR)
    assert market.escrow.dealOf(deal.id).paid == 20 * HOUR


# ---------------------------------------------------------------- how much and when


def test_claim__not_above_paid__refused(market: Market) -> None:
    deal = market.open(market.match())
    market.release(deal, HOUR)
    market.node.at(deal.ends_at)
    with refused(Code.NOT_ABOVE_PAID, actual=HOUR, limit=HOUR):
        market.claim(deal, HOUR)


def test_claim__nothing__refused(market: Market) -> None:
    deal = ended(market)
    with refused(Code.NOT_ABOVE_PAID, actual=0, limit=0):
        market.claim(deal, 0)


def test_claim__above_the_allocation__refused(market: Market) -> None:
    deal = ended(market)
    with refused(Code.ABOVE_ELAPSED, actual=WHOLE + 1, limit=WHOLE):
        market.claim(deal, WHOLE + 1)


def test_claim__above_what_has_elapsed__refused(market: Market) -> None:
    """After 100 seconds, 4 GPUs can have given 400 GPU-seconds."""
    deal = market.open(market.match())
    market.node.at(deal.opened_at + 100)
    with refused(Code.ABOVE_ELAPSED, actual=401, limit=400):
        market.claim(deal, 401, result=RESULT)


def test_claim__all_that_has_elapsed__claims_with_a_result(market: Market) -> None:
    deal = market.open(market.match())
    market.node.at(deal.opened_at + 100)
    market.claim(deal, 400, result=RESULT)
    stored = market.escrow.dealOf(deal.id)
    assert stored.flags == ATTESTED | EXCUSED
    assert stored.deadline == deal.opened_at + 100 + 2 * HOUR


def test_claim__in_the_second_of_opening__refused(market: Market) -> None:
    """Nothing has elapsed. Both calls in one block: in one multicall."""
    match = market.match()
    deal_id = market.digest(market.terms(match))
    receipt = messages.Receipt(deal_id, 1, RESULT, USAGE_ROOT)
    sigs = b"".join(compact(signer.sign(receipt, market.domain)) for signer in ATTESTORS[:2])
    agreed = (AGENT.sign(receipt, market.domain), [actor.address for actor in ATTESTORS], sigs)
    calls = [
        market.encode("open", match.as_tuple()),
        market.encode("claim", market.terms(match).as_tuple(), 1, RESULT, USAGE_ROOT, *agreed),
    ]
    with refused(Code.ABOVE_ELAPSED, actual=1, limit=0):
        market.send(PROVIDER, "multicall", calls, False)


def test_claim__a_second_before_the_end__needs_a_result(market: Market) -> None:
    deal = market.open(market.match())
    market.node.at(deal.ends_at - 1)
    with refused(Code.NOT_COMPLETED, actual=deal.ends_at - 1, limit=deal.ends_at):
        market.claim(deal, HOUR)


def test_claim__at_the_end__needs_none(market: Market) -> None:
    market.claim(ended(market), HOUR)


def test_claim__at_the_deadline__refused(market: Market) -> None:
    deal = market.open(market.match())
    market.node.at(deal.deadline)
    with refused(Code.TOO_LATE, actual=deal.deadline, limit=deal.deadline):
        market.claim(deal, HOUR)


def test_claim__a_second_before_the_deadline__counts_to_the_end_only(market: Market) -> None:
    deal = market.open(market.match())
    market.node.at(deal.deadline - 1)
    with refused(Code.ABOVE_ELAPSED, actual=WHOLE + 1, limit=WHOLE):
        market.claim(deal, WHOLE + 1)
    market.finalize(deal)


def test_claim__a_second_before_the_deadline__counts(market: Market) -> None:
    deal = market.open(market.match())
    market.node.at(deal.deadline - 1)
    market.claim(deal, WHOLE)
    assert market.deadline(deal) == deal.deadline - 1 + 2 * HOUR


# ---------------------------------------------------------------- in which state


def test_claim__twice__refused(market: Market) -> None:
    deal = market.claimed(market.match(), HOUR)
    with refused(Code.WRONG_STATUS, actual=model.CLAIMED, limit=model.LOCKED):
        market.claim(deal, 2 * HOUR)


def test_claim__closed_deal__refused(market: Market) -> None:
    deal = market.open(market.match())
    market.release(deal, WHOLE)
    with refused(Code.WRONG_STATUS, actual=model.RELEASED, limit=model.LOCKED):
        market.claim(deal, HOUR)


def test_claim__unknown_deal__refused(market: Market) -> None:
    deal = ended(market)
    other = replace(deal, terms=replace(deal.terms, agent=STRANGER.address))
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.LOCKED):
        market.claim(other, HOUR)


# ---------------------------------------------------------------- the agent


@pytest.mark.parametrize("key", [PROVIDER, STRANGER, ATTESTORS[0]], ids=lambda actor: actor.role)
def test_claim__signed_by_another_agent__refused(market: Market, key: Actor) -> None:
    deal = ended(market)
    receipt = messages.Receipt(deal.id, HOUR, ZERO, USAGE_ROOT)
    with refused(Code.BAD_SIGNATURE, actual=key.address, limit=AGENT.address):
        market.claim(deal, HOUR, agent_sig=key.sign(receipt, market.domain))


def test_claim__empty_signature_of_the_agent__counts(market: Market) -> None:
    market.claim(ended(market), HOUR, agent_sig=b"", sender=AGENT)


def test_claim__voucher_for_a_receipt__refused(market: Market) -> None:
    """The same key signs both when agent and voucher signer are careless: the types keep them apart."""
    deal = ended(market)
    voucher = AGENT.sign(messages.Voucher(deal.id, HOUR), market.domain)
    found = market.recovered(messages.Receipt(deal.id, HOUR, ZERO, USAGE_ROOT), voucher)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=AGENT.address):
        market.claim(deal, HOUR, agent_sig=voucher)


@pytest.mark.parametrize(
    "other",
    [
        {"gpu_seconds": HOUR + 1},
        {"result_digest": RESULT},
        {"usage_root": ZERO},
        {"deal_id": "0x" + "11" * 32},
    ],
    ids=lambda change: next(iter(change)),
)
def test_claim__agent_signed_another_receipt__refused(market: Market, other: dict[str, Any]) -> None:
    deal = ended(market)
    receipt = messages.Receipt(deal.id, HOUR, ZERO, USAGE_ROOT)
    sig = AGENT.sign(replace(receipt, **other), market.domain)
    with refused(Code.BAD_SIGNATURE, actual=market.recovered(receipt, sig), limit=AGENT.address):
        market.claim(deal, HOUR, agent_sig=sig)


# ---------------------------------------------------------------- the attestors


@pytest.mark.parametrize(
    "signers",
    [ATTESTORS[:2], ATTESTORS[1:], ATTESTORS[::2], ATTESTORS],
    ids=["first two", "last two", "outer two", "all three"],
)
def test_claim__quorum__claims(market: Market, signers: Sequence[Actor]) -> None:
    market.claim(ended(market), HOUR, by=signers)


@pytest.mark.parametrize("count", [0, 1])
def test_claim__quorum_short__refused(market: Market, count: int) -> None:
    deal = ended(market)
    with refused(Code.QUORUM, actual=count, limit=2):
        market.claim(deal, HOUR, by=ATTESTORS[:count])


def test_claim__duplicate_attestor__counts_once(market: Market) -> None:
    deal, twice = ended(market), ATTESTORS[1]
    with refused(Code.ATTESTOR_ORDER, actual=twice.address, limit=twice.address):
        market.claim(deal, HOUR, by=[twice, twice])


def test_claim__attestors_unsorted__refused(market: Market) -> None:
    deal = ended(market)
    with refused(Code.ATTESTOR_ORDER, actual=ATTESTORS[0].address, limit=ATTESTORS[1].address):
        market.claim(deal, HOUR, by=ATTESTORS[1::-1])


def test_claim__attestor_unknown__refused(market: Market) -> None:
    deal = ended(market)
    signers = sorted([ATTESTORS[1], STRANGER], key=lambda actor: actor.number)
    with refused(Code.ATTESTOR_UNKNOWN, actual=STRANGER.address, limit=0):
        market.claim(deal, HOUR, by=signers)


def test_claim__attestor_unknown_beyond_the_quorum__refused(market: Market) -> None:
    """No signature is passed over: a wrong one is a mistake worth knowing."""
    deal = ended(market)
    signers = sorted([*ATTESTORS, VOUCHER_SIGNER], key=lambda actor: actor.number)
    with refused(Code.ATTESTOR_UNKNOWN, actual=VOUCHER_SIGNER.address, limit=0):
        market.claim(deal, HOUR, by=signers)


def test_claim__attestor_signed_another_receipt__refused(market: Market) -> None:
    deal = ended(market)
    other = signatures(market, deal, HOUR + 1, ATTESTORS[:2])
    found = market.recovered(messages.Receipt(deal.id, HOUR, ZERO, USAGE_ROOT), other[:64])
    with refused(Code.ATTESTOR_UNKNOWN, actual=found, limit=0):
        market.claim(deal, HOUR, attestor_sigs=other)


def test_claim__attestor_with_high_s__refused(market: Market) -> None:
    """In 64 bytes there is no room for a high s: its highest bit says v. Somebody else signed, or nobody."""
    deal = ended(market)
    receipt = messages.Receipt(deal.id, HOUR, ZERO, USAGE_ROOT)
    high = high_s(ATTESTORS[0].sign(receipt, market.domain))[:64]
    with pytest.raises(Reverted):
        market.claim(deal, HOUR, attestor_sigs=high + signatures(market, deal, HOUR, ATTESTORS[1:2]))


def test_claim__zero_signature__refused(market: Market) -> None:
    deal = ended(market)
    with refused(Code.ATTESTOR_ORDER, actual=0, limit=0):
        market.claim(deal, HOUR, attestor_sigs=b"\0" * 128)


@pytest.mark.parametrize("extra", [1, 63])
def test_claim__bytes_left_over__refused(market: Market, extra: int) -> None:
    deal = ended(market)
    sigs = signatures(market, deal, HOUR, ATTESTORS[:2])
    with refused(Code.QUORUM, actual=2, limit=2):
        market.claim(deal, HOUR, attestor_sigs=sigs + b"\0" * extra)


@pytest.mark.parametrize(
    "given",
    [ATTESTORS[:2], ATTESTORS[::-1], (), (*ATTESTORS, STRANGER)],
    ids=["part", "unsorted", "none", "more"],
)
def test_claim__wrong_set__refused(market: Market, given: Sequence[Actor]) -> None:
    deal = ended(market)
    with refused(Code.ATTESTOR_SET, actual=attestors_hash(given), limit=attestors_hash(ATTESTORS)):
        market.claim(deal, HOUR, attestors=given)


@pytest.mark.parametrize("party", [BUYER, PROVIDER, AGENT], ids=lambda actor: actor.role)
def test_claim__attestor_is_party__refused(market: Market, party: Actor) -> None:
    """The policy may name him, but his word does not count in his own deal."""
    named = sorted([*ATTESTORS, party], key=lambda actor: actor.number)
    policy = market.register(make_policy(attestors_hash=attestors_hash(named)), named)
    deal = market.open(market.match(offer={"policy_id": policy}, order={"policy_id": policy}))
    market.node.at(deal.ends_at)
    signers = sorted([ATTESTORS[0], party], key=lambda actor: actor.number)
    with refused(Code.ATTESTOR_IS_PARTY, actual=party.address, limit=party.address):
        market.claim(deal, HOUR, by=signers, attestors=named)


def test_claim__policy_without_attestors__refused(market: Market) -> None:
    policy = market.register(make_policy(threshold=0, attestors_hash=attestors_hash([])))
    deal = market.open(market.match(offer={"policy_id": policy}, order={"policy_id": policy}))
    market.node.at(deal.ends_at)
    with refused(Code.UNATTESTED_POLICY, actual=0, limit=1):
        market.claim(deal, HOUR, by=[], attestors=[])


def test_claim__quorum_of_sixteen__claims(market: Market) -> None:
    many = sorted((Actor(f"attestor {i}") for i in range(16)), key=lambda actor: actor.number)
    policy = market.register(make_policy(threshold=16, attestors_hash=attestors_hash(many)), many)
    deal = market.open(market.match(offer={"policy_id": policy}, order={"policy_id": policy}))
    market.node.at(deal.ends_at)
    market.claim(deal, HOUR, by=many, attestors=many)
