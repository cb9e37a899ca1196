"""multicall that skips: every item gets the same gas, so neither an item nor a poor sender harms another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from molt_market.signing import messages
from tests.contracts.actors import (
    AGENT,
    BUYER,
    DEPLOYER,
    OTHER_BUYER,
    PROVIDER,
    RELAYER,
    STRANGER,
    VOUCHER_SIGNER,
    Actor,
)
from tests.contracts.batches import batch, names, refusals, voucher_call
from tests.contracts.endings import FullMarket
from tests.contracts.factories import (
    HOUR,
    UNIT,
    USAGE_ROOT,
    ZERO,
    OpenDeal,
    addresses,
    attestors_hash,
    make_policy,
)
from tests.contracts.node import GAS, Receipt
from tests.contracts.refusals import Code, Refused, refused
from tests.contracts.signatures import compact

SHARE = 400_000
NEEDED = SHARE * 64 // 63 + 20_000  # before each item

Deploy = Callable[..., FullMarket]
Mock = Callable[..., Any]


@pytest.fixture
def burning(deploy: Deploy, mock: Mock) -> tuple[FullMarket, list[OpenDeal]]:
    """Two deals in a token that has come to burn all gas; the stranger has money there, and tokens left."""
    market = deploy(token=mock("BurningToken"))
    for actor in (BUYER, PROVIDER):
        market.stock(actor, 1_000 * UNIT)
    market.fund(STRANGER, 100)
    market.deposit(STRANGER, 50)
    market.request_withdraw(STRANGER, 50)
    deals = [market.open(market.match(order={"slot": slot, "gpu_count": 2})) for slot in (1, 2)]
    market.node.transact(DEPLOYER, market.token.setBurning, True)
    market.node.mine(market.model.accounts[STRANGER.address].unlock_at)
    return market, deals


def burners(market: FullMarket) -> list[bytes]:
    return [
        market.encode("deposit", STRANGER.address, 50),
        market.encode("withdraw", STRANGER.address, STRANGER.address, 0, b""),
    ]


def sent(market: FullMarket, calls: Sequence[bytes], gas: int) -> Receipt:
    data = market.encode("multicall", list(calls), True)
    return market.node.send(RELAYER.address, market.domain.escrow, data, gas=gas)


def paid(market: FullMarket, deals: Sequence[OpenDeal]) -> list[int]:
    return [market.escrow.dealOf(deal.id).paid for deal in deals]


# ---------------------------------------------------------------- an item that burns gas


def test_multicall__skip__gas_burning_items__harm_no_other(
    burning: tuple[FullMarket, list[OpenDeal]],
) -> None:
    market, deals = burning
    first, second = (voucher_call(market, deal, HOUR) for deal in deals)
    receipt = batch(market, first, *burners(market), second, skip=True, sender=STRANGER)
    for deal in deals:
        market.model.release(deal.id, HOUR)
    assert names(receipt, market) == ["DealPaid", "ItemRefused", "ItemRefused", "DealPaid"]
    assert [(index, code) for index, code, *_ in refusals(receipt, market)] == [
        (1, Code.MALFORMED_CALL),
        (2, Code.TOKEN_REFUSED),
    ]


def test_multicall__skip__gas_burning_items__burn_their_shares_and_no_more(
    burning: tuple[FullMarket, list[OpenDeal]],
) -> None:
    market, deals = burning
    plain = batch(market, voucher_call(market, deals[0], HOUR), skip=True, sender=STRANGER)
    market.model.release(deals[0].id, HOUR)
    call = voucher_call(market, deals[0], 2 * HOUR)
    receipt = batch(market, *burners(market), call, skip=True, sender=STRANGER)
    market.model.release(deals[0].id, 2 * HOUR)
    assert receipt.gas_used - plain.gas_used < 2 * (SHARE + 20_000)


def test_multicall__skip__twenty_gas_burning_items__harm_no_other(
    burning: tuple[FullMarket, list[OpenDeal]],
) -> None:
    market, [deal, _] = burning
    receipt = batch(
        market, *burners(market) * 10, voucher_call(market, deal, HOUR), skip=True, sender=STRANGER
    )
    market.model.release(deal.id, HOUR)
    assert names(receipt, market) == ["ItemRefused"] * 20 + ["DealPaid"]


def test_multicall__no_skip__gas_burning_item__undoes_all(
    burning: tuple[FullMarket, list[OpenDeal]],
) -> None:
    market, [deal, _] = burning
    with pytest.raises(Refused):
        batch(market, voucher_call(market, deal, HOUR), burners(market)[0], sender=STRANGER)
    assert paid(market, [deal]) == [0]


# ---------------------------------------------------------------- an item that answers too much


@pytest.mark.parametrize(("size", "carried"), [(100, 100), (32_000, 32_000), (300_000, 0)])
def test_multicall__skip__item_that_reverts_with_many_bytes__harms_no_other(
    deploy: Deploy, mock: Mock, size: int, carried: int
) -> None:
    """Whoever sends the batch pays for carrying them; more than the item's share pays for are not carried."""
    market = deploy(token=mock("BombToken"))
    for actor in (BUYER, PROVIDER):
        market.stock(actor, 1_000 * UNIT)
    deal = market.open(market.match())
    market.node.transact(DEPLOYER, market.token.setSize, size)
    bomb = market.encode("deposit", STRANGER.address, 1)
    receipt = batch(market, bomb, voucher_call(market, deal, HOUR), bomb, skip=True)
    market.model.release(deal.id, HOUR)
    market.node.transact(DEPLOYER, market.token.setSize, 0)
    assert names(receipt, market) == ["ItemRefused", "DealPaid", "ItemRefused"]
    assert refusals(receipt, market) == [(index, Code.MALFORMED_CALL, carried, 0) for index in (0, 2)]


# ---------------------------------------------------------------- a sender who gives little gas


def test_multicall__skip__less_gas_than_an_item_may_need__refused_before_it(market: FullMarket) -> None:
    deal = market.open(market.match())
    with pytest.raises(Refused) as caught:
        sent(market, [voucher_call(market, deal, HOUR)], NEEDED)
    code, left, limit = caught.value.answer
    assert (code, limit) == (Code.BATCH_GAS, NEEDED)
    assert left < NEEDED
    assert paid(market, [deal]) == [0]


def test_multicall__skip__any_gas__all_items_count_or_none(market: FullMarket) -> None:
    """However little is given, no item is passed over for want of it."""
    deals = [market.open(market.match(order={"slot": slot, "gpu_count": 2})) for slot in range(3)]
    outcomes = set()
    for turn, gas in enumerate(range(150_000, 720_000, 30_000), start=1):
        before, units = paid(market, deals), turn * HOUR // 4
        try:
            receipt = sent(market, [voucher_call(market, deal, units) for deal in deals], gas)
        except Refused as refusal:
            outcomes.add(refusal.answer[0])
            assert paid(market, deals) == before
        else:
            outcomes.add(Code.NONE)
            for deal in deals:
                market.model.release(deal.id, units)
            assert names(receipt, market) == ["DealPaid"] * 3
    assert outcomes == {Code.NONE, Code.BATCH_GAS}


@pytest.mark.parametrize("count", [1, 3, 50])
def test_multicall__skip__gas_as_estimated__all_items_count(market: FullMarket, count: int) -> None:
    """What a node estimates is what it takes: the least that is not refused."""
    deal = market.open(market.match())
    calls = [voucher_call(market, deal, HOUR + i) for i in range(count)]
    data = market.encode("multicall", calls, True)
    call = {"from": RELAYER.address, "to": market.domain.escrow, "data": "0x" + data.hex()}
    estimate = int(market.node.request("eth_estimateGas", call), 16)
    receipt = sent(market, calls, estimate)
    market.model.release(deal.id, HOUR + count - 1)
    assert names(receipt, market) == ["DealPaid"] * count
    assert receipt.gas_used < estimate < GAS


def test_multicall__no_skip__little_gas__needs_no_shares(market: FullMarket) -> None:
    """All or nothing: an item that runs out of gas undoes the rest, so nobody is harmed."""
    deal = market.open(market.match())
    data = market.encode("multicall", [voucher_call(market, deal, HOUR)], False)
    market.node.send(RELAYER.address, market.domain.escrow, data, gas=150_000)
    market.model.release(deal.id, HOUR)


# ---------------------------------------------------------------- what fits a share


def test_multicall__skip__claim_with_sixteen_attestors__fits_its_share(market: FullMarket) -> None:
    """The verb that checks the most signatures, beside the one that stores the most words."""
    many = sorted((Actor(f"attestor {i}") for i in range(16)), key=lambda actor: actor.number)
    wide = make_policy(threshold=16, attestors_hash=attestors_hash(many))
    policy = {"policy_id": market.register(wide, many)}
    match = market.match(policy, policy)
    deal = market.open(match)
    market.node.mine(deal.ends_at)
    statement = messages.Receipt(deal.id, HOUR, ZERO, USAGE_ROOT)
    sigs = b"".join(compact(actor.sign(statement, market.domain)) for actor in many)
    agreed = (AGENT.sign(statement, market.domain), addresses(many), sigs)
    other = make_policy(threshold=16, attestors_hash=attestors_hash(many), bond_bps=1)
    receipt = batch(
        market,
        market.encode("claim", deal.terms.as_tuple(), HOUR, ZERO, USAGE_ROOT, *agreed),
        market.encode("registerPolicy", other.as_tuple(), addresses(many)),
        skip=True,
    )
    market.model.claim(deal.id, HOUR, completed=False, time=receipt.time)
    assert names(receipt, market) == ["DealClaimed", "PolicyRegistered"]


def test_multicall__skip__opening_for_those_who_never_traded__fits_its_share(market: FullMarket) -> None:
    """Every word that it writes is fresh."""
    market.stock(OTHER_BUYER, 320 * UNIT)
    match = market.match({"slot": 1 << 40}, {"buyer": OTHER_BUYER.address, "slot": 1 << 40})
    receipt = batch(market, market.encode("open", match.as_tuple()), skip=True)
    market.opened(match, receipt.time)
    assert names(receipt, market) == ["DealOpened"]


# ---------------------------------------------------------------- how many


def test_multicall__skip__two_hundred_of_which_half_are_bad__the_others_count(market: FullMarket) -> None:
    deal = market.open(market.match())
    good = [voucher_call(market, deal, HOUR + i) for i in range(100)]
    bad = market.encode("finalize", deal.terms.as_tuple())
    receipt = batch(market, *(call for each in good for call in (bad, each)), skip=True)
    market.model.release(deal.id, HOUR + 99)
    assert names(receipt, market) == ["ItemRefused", "DealPaid"] * 100


def test_multicall__skip__items_of_the_caller__his_empty_signatures_count(market: FullMarket) -> None:
    """Each frame is the sender's own, however many there are."""
    deals = [market.open(market.match(order={"slot": slot, "gpu_count": 2})) for slot in (1, 2)]
    calls = [market.encode("release", deal.terms.as_tuple(), HOUR, b"") for deal in deals]
    receipt = batch(market, *calls, skip=True, sender=VOUCHER_SIGNER)
    for deal in deals:
        market.model.release(deal.id, HOUR)
    assert names(receipt, market) == ["DealPaid"] * 2
    with refused(Code.BAD_SIGNATURE, actual=RELAYER.address, limit=VOUCHER_SIGNER.address):
        batch(market, market.encode("release", deals[0].terms.as_tuple(), 2 * HOUR, b""), sender=RELAYER)
