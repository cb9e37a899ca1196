"""withdraw: what was marked, or what is left of it, after the delay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from molt_market.domain.ids import Address
from molt_market.signing.messages import RequestWithdraw, Withdraw
from tests.contracts.actors import BUYER, DEPLOYER, PROVIDER, RELAYER, STRANGER
from tests.contracts.factories import UNIT, ZERO_ADDRESS
from tests.contracts.hall import WITHDRAW_DELAY
from tests.contracts.market import Market
from tests.contracts.refusals import REENTRANT, Code, refused

REFUSING, LYING = 1, 2  # moods of RefusingToken
Deploy = Callable[..., Market]
Mock = Callable[..., Any]


def unlocked(market: Market, amount: int) -> int:
    """Mark an amount of the buyer's; the next transaction comes when it may be withdrawn."""
    unlock_at = market.request_withdraw(BUYER, amount).time + WITHDRAW_DELAY
    market.node.at(unlock_at)
    return unlock_at


def test_withdraw__at_unlock__pays(market: Market) -> None:
    unlocked(market, 7 * UNIT)
    market.withdraw(BUYER)
    assert market.token.balanceOf(BUYER.address) == 7 * UNIT
    account = market.escrow.accountOf(BUYER.address)
    assert (account.balance, account.withdrawing) == (9_993 * UNIT, 0)


def test_withdraw__a_second_before_unlock__refused(market: Market) -> None:
    unlock_at = unlocked(market, 7)
    market.node.at(unlock_at - 1)
    with refused(Code.TOO_EARLY, actual=unlock_at - 1, limit=unlock_at):
        market.withdraw(BUYER)


def test_withdraw__to_another__pays_him(market: Market) -> None:
    unlocked(market, 7)
    market.withdraw(BUYER, to=STRANGER.address)
    assert market.token.balanceOf(STRANGER.address) == 7


def test_withdraw__everything__leaves_nothing(market: Market) -> None:
    unlocked(market, 10_000 * UNIT)
    market.withdraw(BUYER)
    assert market.balance(BUYER) == 0


def test_withdraw__after_a_deal_spent_a_part__pays_what_is_left(market: Market) -> None:
    unlock_at = unlocked(market, 10_000 * UNIT)
    market.node.at(unlock_at - 1)
    market.open(market.match())
    market.withdraw(BUYER)
    assert market.token.balanceOf(BUYER.address) == 9_680 * UNIT
    assert market.balance(BUYER) == 0


def test_withdraw__after_a_deal_spent_what_was_not_marked__pays_the_mark(market: Market) -> None:
    unlocked(market, 9_000 * UNIT)
    market.open(market.match())
    market.withdraw(BUYER)
    assert market.token.balanceOf(BUYER.address) == 9_000 * UNIT
    assert market.balance(BUYER) == 680 * UNIT


def test_withdraw__after_deals_spent_all__refused(market: Market) -> None:
    market.stock(STRANGER, 320 * UNIT)
    receipt = market.request_withdraw(STRANGER, 320 * UNIT)
    market.open(market.match(order={"buyer": STRANGER.address}))
    market.node.at(receipt.time + WITHDRAW_DELAY)
    with refused(Code.ZERO_AMOUNT, actual=0, limit=1):
        market.withdraw(STRANGER)


def test_withdraw__replaced_mark__counts_from_the_second_request(market: Market) -> None:
    unlock_at = unlocked(market, 7)
    market.node.at(unlock_at - 1)
    receipt = market.request_withdraw(BUYER, 5)
    with refused(Code.TOO_EARLY, actual=unlock_at, limit=receipt.time + WITHDRAW_DELAY):
        market.withdraw(BUYER)
    market.node.at(receipt.time + WITHDRAW_DELAY)
    market.withdraw(BUYER)
    assert market.token.balanceOf(BUYER.address) == 5


def test_withdraw__mark_taken_back__refused(market: Market) -> None:
    market.request_withdraw(BUYER, 7)
    unlocked(market, 0)
    with refused(Code.ZERO_AMOUNT, actual=0, limit=1):
        market.withdraw(BUYER)


def test_withdraw__nothing_marked__refused(market: Market) -> None:
    with refused(Code.ZERO_AMOUNT, actual=0, limit=1):
        market.withdraw(BUYER)


def test_withdraw__twice__refused(market: Market) -> None:
    unlocked(market, 7)
    market.withdraw(BUYER)
    with refused(Code.ZERO_AMOUNT, actual=0, limit=1):
        market.withdraw(BUYER)


def test_withdraw__of_another__refused(market: Market) -> None:
    unlocked(market, 7)
    with refused(Code.BAD_SIGNATURE, actual=STRANGER.address, limit=BUYER.address):
        market.withdraw(BUYER, to=STRANGER.address, sender=STRANGER)


def test_withdraw__to_nobody__refused(market: Market) -> None:
    unlocked(market, 7)
    with refused(Code.BAD_RECEIVER, actual=0, limit=0):
        market.withdraw(BUYER, to=ZERO_ADDRESS)


def test_withdraw__to_the_escrow__refused(market: Market) -> None:
    unlocked(market, 7)
    with refused(Code.BAD_RECEIVER, actual=market.domain.escrow, limit=0):
        market.withdraw(BUYER, to=market.domain.escrow)


def test_withdraw__to_the_token__pays(market: Market) -> None:
    """Foolish, but the owner's affair."""
    unlocked(market, 7)
    market.withdraw(BUYER, to=str(market.token.address))


# ---------------------------------------------------------------- by signature


def order_to(market: Market, to: Address, *, nonce: int = 1, deadline: int) -> bytes:
    return BUYER.sign(Withdraw(BUYER.address, to, nonce, deadline), market.domain)


def test_withdraw__signed__pays_and_uses_the_nonce(market: Market) -> None:
    deadline = unlocked(market, 7) + 100
    sig = order_to(market, STRANGER.address, deadline=deadline)
    market.withdraw(BUYER, to=STRANGER.address, sender=RELAYER, deadline=deadline, sig=sig)
    assert market.token.balanceOf(STRANGER.address) == 7
    assert market.escrow.accountOf(BUYER.address).nonce == 2


def test_withdraw__signed_for_another_receiver__refused(market: Market) -> None:
    deadline = unlocked(market, 7) + 100
    sig = order_to(market, BUYER.address, deadline=deadline)
    found = market.recovered(Withdraw(BUYER.address, RELAYER.address, 1, deadline), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=BUYER.address):
        market.withdraw(BUYER, to=RELAYER.address, sender=RELAYER, deadline=deadline, sig=sig)


def test_withdraw__at_its_deadline__refused(market: Market) -> None:
    deadline = unlocked(market, 7)
    sig = order_to(market, BUYER.address, deadline=deadline)
    with refused(Code.TOO_LATE, actual=deadline, limit=deadline):
        market.withdraw(BUYER, sender=RELAYER, deadline=deadline, sig=sig)


def test_withdraw__a_second_before_its_deadline__pays(market: Market) -> None:
    deadline = unlocked(market, 7) + 1
    sig = order_to(market, BUYER.address, deadline=deadline)
    market.withdraw(BUYER, sender=RELAYER, deadline=deadline, sig=sig)


def test_withdraw__replayed__refused(market: Market) -> None:
    deadline = unlocked(market, 7) + 10_000
    sig = order_to(market, BUYER.address, deadline=deadline)
    market.withdraw(BUYER, sender=RELAYER, deadline=deadline, sig=sig)
    unlocked(market, 8)
    found = market.recovered(Withdraw(BUYER.address, BUYER.address, 3, deadline), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=BUYER.address):
        market.withdraw(BUYER, sender=RELAYER, deadline=deadline, sig=sig)


def test_withdraw__request_used_as_withdrawal__refused(market: Market) -> None:
    """One type of message never counts as another, and both share one nonce."""
    deadline = unlocked(market, 7) + 100
    sig = BUYER.sign(RequestWithdraw(BUYER.address, 7, 1, deadline), market.domain)
    found = market.recovered(Withdraw(BUYER.address, BUYER.address, 1, deadline), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=BUYER.address):
        market.withdraw(BUYER, sender=RELAYER, deadline=deadline, sig=sig)


def test_withdraw__own_call__uses_the_nonce_too(market: Market) -> None:
    """So whatever the owner has signed before is spent with it."""
    unlocked(market, 7)
    market.withdraw(BUYER, deadline=1)
    assert market.escrow.accountOf(BUYER.address).nonce == 2


# ---------------------------------------------------------------- misbehaving tokens


def test_withdraw__token_returns_false__refused_and_nothing_lost(deploy: Deploy, mock: Mock) -> None:
    token = mock("RefusingToken")
    market = deploy(token=token)
    market.stock(BUYER, 1_000)
    market.node.transact(DEPLOYER, token.setMood, REFUSING)
    unlocked(market, 700)
    with refused(Code.TOKEN_REFUSED, actual=1_000, limit=700):
        market.withdraw(BUYER)
    market.node.transact(DEPLOYER, token.setMood, 0)
    market.withdraw(BUYER)
    assert token.balanceOf(BUYER.address) == 700


def test_withdraw__token_that_returns_nothing__pays(deploy: Deploy, mock: Mock) -> None:
    market = deploy(token=mock("SilentToken"))
    market.stock(BUYER, 1_000)
    unlocked(market, 700)
    market.withdraw(BUYER)
    assert market.token.balanceOf(BUYER.address) == 700


def test_withdraw__token_calls_back__refused_inside(deploy: Deploy, mock: Mock) -> None:
    """In the middle of a withdrawal the money has left the account already."""
    market = deploy(token=mock("ReenteringToken"))
    token, escrow = str(market.token.address), market.domain.escrow
    market.stock(BUYER, 1_000)
    market.stock(PROVIDER, 1_000)
    calls = [(escrow, market.encode("withdraw", BUYER.address, token, 0, b""))]
    calls.append((escrow, market.encode("deposit", token, 1)))
    unlocked(market, 1_000)
    market.node.transact(DEPLOYER, market.token.arm, calls)
    receipt = market.withdraw(BUYER)
    said = [values["answer"] for name, values in receipt.events(market.token) if name == "Answered"]
    assert said == ["0x" + REENTRANT.hex()] * 2


@pytest.mark.parametrize("amount", [1, 999])
def test_withdraw__one_owner__leaves_the_others_whole(market: Market, amount: int) -> None:
    unlocked(market, amount)
    market.withdraw(BUYER)
    assert market.balance(PROVIDER) == 1_000 * UNIT
