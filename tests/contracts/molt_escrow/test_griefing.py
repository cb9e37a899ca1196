"""Whoever wants to be a nuisance: he pays for it himself, and reaches nobody else's deals, GPUs or money.

Permits used by somebody first, phantom permits and deposits for others stand in test_deposit_with_permit.py,
a flood of reservations in tests/unit/orderbook/test_reservations.py.
"""

from __future__ import annotations

import pytest

from molt_market.signing.messages import Side
from tests.contracts.actors import (
    AGENT,
    ATTESTORS,
    BUYER,
    FEE_RECIPIENT,
    OTHER_BUYER,
    OTHER_PROVIDER,
    PROVIDER,
    STRANGER,
)
from tests.contracts.batches import batch, names
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, UNIT, make_policy
from tests.contracts.refusals import Code, refused
from tests.contracts.words import CLAIM

MINUTE = 60
LANE = 2**32 - 1  # the most GPUs of one slot


# ---------------------------------------------------------------- dust


def test_griefing__dust_deals__cost_nobody_else(market: FullMarket) -> None:
    """A base unit for an hour of one GPU: nothing is due before the last second, and no bond or fee ever."""
    market.stock(OTHER_BUYER, 50)
    dear = market.open(market.match())
    before = market.release(dear, HOUR).gas_used
    dust = [
        market.match(
            {"provider": OTHER_PROVIDER.address, "price_per_gpu_hour": 1, "min_commitment_hours": 0},
            {"buyer": OTHER_BUYER.address, "slot": slot, "gpu_count": 1, "duration_hours": 1},
        )
        for slot in range(8)
    ]
    receipt = batch(market, *(market.encode("open", match.as_tuple()) for match in dust), skip=True)
    deals = [market.opened(match, receipt.time) for match in dust]
    assert names(receipt, market) == ["DealOpened"] * 8
    for deal in deals:
        market.release(deal, HOUR - 1)
    assert market.balance(OTHER_PROVIDER) == 0
    for deal in deals:
        market.release(deal, HOUR)
    assert market.balance(OTHER_PROVIDER) == 8
    after = market.release(dear, 2 * HOUR).gas_used
    assert after - before <= 100  # a byte more or less of calldata
    assert market.balance(FEE_RECIPIENT) == 20 * UNIT // 100


def test_griefing__vouchers_second_by_second__bring_what_one_brings(market: FullMarket) -> None:
    """Each of them is worth less than a base unit; the sum of floors would be nothing."""
    deal = market.open(market.match({"price_per_gpu_hour": 1_000}))
    for units in range(1, 40):
        market.release(deal, units)
    assert market.balance(PROVIDER) == (1_000 * UNIT - 3_200) + 39 * 1_000 // 3_600


# ---------------------------------------------------------------- foreign lanes


def test_griefing__foreign_lanes__cannot_be_taken(market: FullMarket) -> None:
    """A slot is its provider's: the same number of another provider is another pool."""
    market.stock(OTHER_PROVIDER, 100 * UNIT)
    order = {"gpu_count": 8, "max_budget": 1_000 * UNIT}
    market.open(market.match({"provider": OTHER_PROVIDER.address}, order))
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 0
    market.open(market.match(order={**order, "slot": 131}))


def test_griefing__lane_filled_to_the_brim__does_not_run_over(market: FullMarket) -> None:
    """All GPUs that a lane can count, by the largest deals; one more would run into the next lane."""
    free = {"policy_id": market.register(make_policy(bond_bps=0), ATTESTORS)}
    offer = {**free, "gpu_count": LANE, "price_per_gpu_hour": 1, "min_commitment_hours": 0, "slot": 5}
    largest = (2**40 - 1) // HOUR
    left, slot = LANE, 1
    while left:
        gpus = min(left, largest)
        order = {**free, "gpu_count": gpus, "duration_hours": 1, "max_budget": 10**10, "slot": slot}
        market.open(market.match(offer, order))
        left, slot = left - gpus, slot + 1
    lanes = [market.escrow.gpusInUse(PROVIDER.address, lane) for lane in (4, 5, 6, 7)]
    assert lanes == [0, LANE, 0, 0]
    with refused(Code.CAPACITY_EXCEEDED, actual=LANE + 1, limit=LANE):
        market.open(market.match(offer, {**free, "gpu_count": 1, "duration_hours": 1, "slot": slot}))


@pytest.mark.parametrize("side", Side, ids=lambda side: side.name.lower())
def test_griefing__cancel_of_a_strangers_group__reaches_his_own_only(market: FullMarket, side: Side) -> None:
    """Both the default offer and the default order lie in group 1."""
    market.node.at(market.cancel(STRANGER, side, 1))
    market.open(market.match())


# ---------------------------------------------------------------- locking and letting go


@pytest.mark.parametrize(("commitment", "least"), [(2, 2 * HOUR), (0, 15 * MINUTE)])
def test_griefing__locking_gpus_and_stopping__costs_the_notice_or_the_commitment(
    market: FullMarket, commitment: int, least: int
) -> None:
    """The provider keeps the GPUs ready for that long, is paid for it, and keeps his bond."""
    deal = market.open(market.match({"min_commitment_hours": commitment}))
    market.stop(deal)
    seconds = market.modelled(deal).ends_at - deal.opened_at
    assert least <= seconds <= least + 1
    market.node.at(deal.opened_at + seconds)
    market.claim(deal, 4 * seconds)
    market.node.at(market.deadline(deal))
    market.finalize(deal)
    due = 4 * seconds * 10 * UNIT // HOUR
    assert market.balance(BUYER) == 10_000 * UNIT - due
    assert market.balance(PROVIDER) == 1_000 * UNIT + due - due // 100


def test_griefing__locking_gpus_and_stopping__provider_may_let_go_at_once(market: FullMarket) -> None:
    """Or he takes the bond back, and has the GPUs for somebody else."""
    deal = market.open(market.match())
    market.stop(deal)
    market.cancel_deal(deal)
    assert market.balance(PROVIDER) == 1_000 * UNIT
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 0


def test_griefing__provider_who_locks_money_and_walks_away__loses_the_bond(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.cancel_deal(deal)
    assert market.balance(BUYER) == 10_032 * UNIT
    assert market.balance(PROVIDER) == 968 * UNIT


# ---------------------------------------------------------------- almost done, hardly begun


def test_griefing__vouchers_for_nearly_all_and_then_silence__keep_what_was_paid(market: FullMarket) -> None:
    """99.9 % are paid and stay paid; the buyer gets the rest of the price, the provider his bond."""
    deal = market.open(market.match())
    units = deal.allocation * 999 // 1_000
    market.release(deal, units)
    market.node.at(deal.deadline)
    market.finalize(deal)
    paid = units * 10 * UNIT // HOUR
    assert market.balance(BUYER) == 10_000 * UNIT - paid
    assert market.balance(PROVIDER) == 1_000 * UNIT + paid - paid // 100


def test_griefing__claim_of_one_second__forfeits_the_bond(market: FullMarket) -> None:
    """A quorum may sign it; it brings the price of a second, and the undelivered bond goes to the buyer."""
    deal = market.claimed(market.match(), 1)
    market.node.at(market.deadline(deal))
    market.finalize(deal)
    due, bond = 10 * UNIT // HOUR, 32 * UNIT
    earned = bond // deal.allocation
    assert market.balance(PROVIDER) == 1_000 * UNIT - bond + due - due // 100 + earned
    assert market.balance(BUYER) == 10_000 * UNIT - due + bond - earned


def test_griefing__collusion_below_the_threshold__brings_nothing(market: FullMarket) -> None:
    """Provider, agent and one attestor of a quorum of two; the provider's own word then falls."""
    deal = market.open(market.match())
    market.node.mine(deal.ends_at)
    with refused(Code.QUORUM, actual=1, limit=2):
        market.claim(deal, CLAIM, by=ATTESTORS[:1])
    doubled = sorted((ATTESTORS[0], AGENT), key=lambda actor: actor.number)
    with refused(Code.ATTESTOR_IS_PARTY, actual=AGENT.address, limit=AGENT.address):
        market.claim(deal, CLAIM, by=doubled)
    market.claim_unattested(deal, CLAIM)
    market.node.at(market.deadline(deal))
    market.finalize(deal)
    assert market.balance(PROVIDER) == (1_000 - 32) * UNIT
