"""multicall: many calls in one transaction, each in a frame of its own, all by the same sender."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_abi.abi import encode

from tests.contracts.actors import DEPLOYER, OTHER_BUYER, PROVIDER, RELAYER, STRANGER, VOUCHER_SIGNER
from tests.contracts.batches import batch, names, refusals, voucher_call
from tests.contracts.desk import NEVER
from tests.contracts.factories import HOUR, UNIT
from tests.contracts.market import Market
from tests.contracts.refusals import SELECTOR, Code, refused
from tests.contracts.signatures import parts

both = pytest.mark.parametrize("skip", [False, True], ids=["all or nothing", "skip"])


def test_multicall__permit_deposit_and_open__opens_in_one(market: Market) -> None:
    """A buyer with nothing but tokens takes a match in one transaction, without ether or approval."""
    market.node.transact(DEPLOYER, market.token.mint, OTHER_BUYER.address, 320 * UNIT)
    match = market.match(order={"buyer": OTHER_BUYER.address})
    permit = parts(market.permit(OTHER_BUYER, 320 * UNIT))
    receipt = batch(
        market,
        market.encode("depositWithPermit", OTHER_BUYER.address, 320 * UNIT, NEVER, *permit),
        market.encode("open", match.as_tuple()),
    )
    market.model.deposit(OTHER_BUYER.address, 320 * UNIT)
    market.opened(match, receipt.time)
    assert names(receipt, market) == ["Deposited", "DealOpened"]
    assert market.balance(OTHER_BUYER) == 0


@both
def test_multicall__equals_its_calls_one_by_one(market: Market, *, skip: bool) -> None:
    deals = [market.open(market.match(order={"slot": slot, "gpu_count": 2})) for slot in range(3)]
    receipt = batch(market, *(voucher_call(market, deal, HOUR) for deal in deals), skip=skip)
    paid = [market.model.release(deal.id, HOUR) for deal in deals]
    said = [(values["toProvider"], values["fee"]) for _, values in receipt.events(market.escrow)]
    assert said == [(payout.provider, payout.fee) for payout in paid]


@both
def test_multicall__sender_is_the_caller(market: Market, *, skip: bool) -> None:
    """Items with empty signatures act for whoever sent the batch, and for nobody else."""
    deal = market.open(market.match())
    call = market.encode("release", deal.terms.as_tuple(), HOUR, b"")
    batch(market, call, skip=skip, sender=VOUCHER_SIGNER)
    market.model.release(deal.id, HOUR)


def test_multicall__deposit__is_pulled_from_the_caller(market: Market) -> None:
    market.fund(STRANGER, 5)
    batch(market, market.encode("deposit", PROVIDER.address, 5), sender=STRANGER)
    market.model.deposit(PROVIDER.address, 5)
    assert market.balance(PROVIDER) == 1_000 * UNIT + 5


@both
def test_multicall__nothing__does_nothing(market: Market, *, skip: bool) -> None:
    assert batch(market, skip=skip).logs == []


# ---------------------------------------------------------------- a bad item


def test_multicall__skip__bad_items_say_why_and_the_others_count(market: Market) -> None:
    deal = market.open(market.match())
    receipt = batch(
        market,
        market.encode("finalize", deal.terms.as_tuple()),
        voucher_call(market, deal, HOUR),
        voucher_call(market, deal, HOUR),
        skip=True,
    )
    market.model.release(deal.id, HOUR)
    assert names(receipt, market) == ["ItemRefused", "DealPaid", "ItemRefused"]
    assert refusals(receipt, market) == [
        (0, Code.TOO_EARLY, receipt.time, deal.deadline),
        (2, Code.NOT_ABOVE_PAID, HOUR, HOUR),
    ]


def test_multicall__no_skip__a_bad_item_undoes_all(market: Market) -> None:
    deal = market.open(market.match())
    with refused(Code.NOT_ABOVE_PAID, actual=HOUR, limit=HOUR):
        batch(market, voucher_call(market, deal, HOUR), voucher_call(market, deal, HOUR))
    assert market.escrow.dealOf(deal.id).paid == 0


def test_multicall__skip__a_refused_item_changes_nothing(market: Market) -> None:
    """The token was moved and moved back: a deposit above the cap is undone inside the batch."""
    market.fund(STRANGER, 2**96)
    receipt = batch(market, market.encode("deposit", STRANGER.address, 2**96), skip=True, sender=STRANGER)
    assert [code for _, code, *_ in refusals(receipt, market)] == [Code.TOKEN_CAP]
    assert market.token.balanceOf(STRANGER.address) == 2**96


def test_multicall__skip__two_openings_of_one_order__one_counts(market: Market) -> None:
    call = market.encode("open", market.match().as_tuple())
    receipt = batch(market, call, call, skip=True)
    market.opened(market.match(), receipt.time)
    assert refusals(receipt, market) == [(1, Code.ORDER_ALREADY_OPENED, 130, 130)]


# ---------------------------------------------------------------- no call at all

MALFORMED = {
    "empty": b"",
    "three bytes": b"\x01\x02\x03",
    "unknown selector": b"\xde\xad\xbe\xef",
    "no arguments": bytes.fromhex("47e7ef24"),  # deposit
}


@pytest.mark.parametrize("item", MALFORMED.values(), ids=MALFORMED)
def test_multicall__malformed_item__refused(market: Market, item: bytes) -> None:
    with refused(Code.MALFORMED_CALL, actual=0, limit=0):
        batch(market, item)


@pytest.mark.parametrize("item", MALFORMED.values(), ids=MALFORMED)
def test_multicall__skip__malformed_item__passed_over(market: Market, item: bytes) -> None:
    deal = market.open(market.match())
    receipt = batch(market, item, voucher_call(market, deal, HOUR), skip=True)
    market.model.release(deal.id, HOUR)
    assert refusals(receipt, market) == [(0, Code.MALFORMED_CALL, 0, 0)]


@both
@pytest.mark.parametrize("unknown", [Code.NONE, len(Code), 255, 2**256 - 1])
def test_multicall__forged_refusal_of_an_unknown_code__malformed(
    deploy: Callable[..., Market], mock: Callable[..., Any], unknown: int, *, skip: bool
) -> None:
    """Only a token can put foreign words into an answer; they must not break the reading of it.

    Nor may they make a call that was reverted look as if it had worked (NONE).
    """
    market = deploy(token=mock("ForgingToken"))
    forged = SELECTOR + encode(["uint256"] * 3, [unknown, 1, 2])
    calls = (
        market.encode("deposit", STRANGER.address, 1),
        market.encode("cancel", RELAYER.address, 0, 0, 0, b""),
    )
    market.node.transact(DEPLOYER, market.token.setAnswer, forged)
    if skip:
        receipt = batch(market, *calls, skip=True)
        assert names(receipt, market) == ["ItemRefused", "OrdersCancelled"]
        assert refusals(receipt, market) == [(0, Code.MALFORMED_CALL, len(forged), 0)]
    else:
        with refused(Code.MALFORMED_CALL, actual=len(forged), limit=0):
            batch(market, *calls)
    market.node.transact(DEPLOYER, market.token.setAnswer, b"")


def test_multicall__nested__refused(market: Market) -> None:
    """No item may be a batch."""
    harmless = market.encode("registerPolicy", market.policies[market.policy_id].as_tuple(), [])
    with refused(Code.NESTED_MULTICALL, actual=1, limit=0):
        batch(market, harmless, market.encode("multicall", [], False))


@both
def test_multicall__skip__nested__passed_over(market: Market, *, skip: bool) -> None:
    """A batch in a batch is a bad item like any other, whatever it would do with its own."""
    deal = market.open(market.match())
    call = voucher_call(market, deal, HOUR)
    receipt = batch(market, market.encode("multicall", [call], skip), call, skip=True)
    market.model.release(deal.id, HOUR)
    assert names(receipt, market) == ["ItemRefused", "DealPaid"]
    assert refusals(receipt, market) == [(0, Code.NESTED_MULTICALL, 0, 0)]


# ---------------------------------------------------------------- how many


@both
def test_multicall__two_hundred_and_one__refused(market: Market, *, skip: bool) -> None:
    with refused(Code.TOO_MANY_CALLS, actual=201, limit=200):
        batch(market, *[b""] * 201, skip=skip)


def test_multicall__two_hundred__all_run(market: Market) -> None:
    deal = market.open(market.match())
    receipt = batch(market, *(voucher_call(market, deal, HOUR + i) for i in range(200)), skip=True)
    market.model.release(deal.id, HOUR + 199)
    assert names(receipt, market) == ["DealPaid"] * 200
