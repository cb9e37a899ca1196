"""The views: what they say of what never was, and of what is. And what the contract does not have."""

from __future__ import annotations

import pytest

from molt_market.signing.messages import Side
from tests.contracts import model
from tests.contracts.actors import BUYER, PROVIDER, STRANGER
from tests.contracts.factories import HOUR, UNIT, ZERO, ZERO_ADDRESS
from tests.contracts.market import Market
from tests.contracts.refusals import Reverted

NOTHING = "0x" + "77" * 32


def test_account_of__stranger__reads_zeros(market: Market) -> None:
    assert tuple(market.escrow.accountOf(STRANGER.address)) == (0, 0, 0, 0)


def test_account_of__marked__reads_all_fields(market: Market) -> None:
    receipt = market.request_withdraw(BUYER, 7)
    assert tuple(market.escrow.accountOf(BUYER.address)) == (10_000 * UNIT, 7, receipt.time + 900, 1)


def test_deal_of__unknown__reads_zeros(market: Market) -> None:
    assert tuple(market.escrow.dealOf(NOTHING)) == (model.NONE, *[0] * 9)


def test_deal_of__claimed__reads_all_fields(market: Market) -> None:
    """Every field of the packed word has a value of its own, so that none can lie in another's place."""
    deal = market.claimed(market.match(), 5 * HOUR, paid=HOUR)
    opened, ends, deadline = deal.opened_at, deal.ends_at, deal.ends_at + 2 * HOUR
    expected = (model.CLAIMED, model.ATTESTED, 100, 1_000, opened, ends, deadline, HOUR, 5 * HOUR, 15)
    assert tuple(market.escrow.dealOf(deal.id)) == expected


def test_deal_id_of__any_terms__is_their_digest(market: Market) -> None:
    """Known before the deal opens, and the same afterwards."""
    terms = market.terms(market.match())
    before = market.escrow.dealIdOf(terms.as_tuple())
    deal = market.open(market.match())
    assert market.escrow.dealIdOf(deal.terms.as_tuple()) == before == bytes.fromhex(deal.id[2:])


def test_approved_until__nothing_approved__reads_zero(market: Market) -> None:
    market.approve(BUYER, market.match().order)
    assert market.approved_until(BUYER, market.match().offer) == 0
    assert market.approved_until(STRANGER, market.match().order) == 0


def test_policy_of__unknown__reads_zeros(market: Market) -> None:
    policy = market.escrow.policyOf(NOTHING)
    assert policy.arbiter == ZERO_ADDRESS
    assert not any(tuple(policy)[1:-1])
    assert int(policy.attestorsHash.hex(), 16) == int(ZERO, 16)


def test_group_of__unused__reads_zeros(market: Market) -> None:
    for side in Side:
        assert tuple(market.escrow.groupOf(STRANGER.address, side, 0)) == (0, 0, 0)


def test_gpus_in_use__of_an_open_deal__reads_its_count(market: Market) -> None:
    market.open(market.match())
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 4
    assert market.escrow.gpusInUse(PROVIDER.address, 5) == 0
    assert market.escrow.gpusInUse(BUYER.address, 6) == 0


def test_fee_bps__reads_that_of_the_deployment(market: Market) -> None:
    assert market.escrow.feeBps() == 100


# ---------------------------------------------------------------- what there is not


@pytest.mark.parametrize("data", ["", "47e7ef24", "deadbeef"], ids=["nothing", "deposit", "unknown"])
def test_escrow__ether__refused(market: Market, data: str) -> None:
    market.node.request("hardhat_setBalance", STRANGER.address, "0x1")
    with pytest.raises(Reverted):
        market.node.send(STRANGER.address, market.domain.escrow, bytes.fromhex(data), value=1)


def test_escrow__has_no_other_verbs(market: Market) -> None:
    """No sweep, no upgrade, no owner: whoever adds a function answers for it here."""
    verbs = {method.name for method in market.escrow.contract_type.mutable_methods}
    assert verbs == {
        "acceptRole",
        "approve",
        "cancel",
        "cancelDeal",
        "claim",
        "claimUnattested",
        "concede",
        "deposit",
        "depositWithPermit",
        "dispute",
        "finalize",
        "multicall",
        "offerRole",
        "open",
        "pause",
        "registerPolicy",
        "release",
        "requestWithdraw",
        "resolve",
        "revoke",
        "scheduleFee",
        "settle",
        "stop",
        "unpause",
        "withdraw",
    }
