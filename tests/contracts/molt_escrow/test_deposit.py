"""deposit: tokens come in exactly, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.actors import ATTESTORS, BUYER, DEPLOYER, PROVIDER, STRANGER
from tests.contracts.desk import NEVER
from tests.contracts.factories import UNIT, ZERO_ADDRESS, addresses, make_policy
from tests.contracts.market import Market
from tests.contracts.node import Receipt
from tests.contracts.refusals import REENTRANT, SELECTOR, Code, refusal_in, refused

Deploy = Callable[..., Market]
Mock = Callable[..., Any]
LARGEST = 2**96 - 1
HONEST, REFUSING, LYING = range(3)  # moods of RefusingToken


def test_deposit__credits_the_account(market: Market) -> None:
    market.fund(STRANGER, 5)
    market.deposit(STRANGER, 5)
    assert market.balance(STRANGER) == 5
    assert market.token.balanceOf(STRANGER.address) == 0


def test_deposit__for_another__credits_him(market: Market) -> None:
    market.fund(STRANGER, 5)
    market.deposit(STRANGER, 5, to=PROVIDER.address)
    assert market.balance(PROVIDER) == 1_000 * UNIT + 5
    assert market.balance(STRANGER) == 0


def test_deposit__twice__adds_up(market: Market) -> None:
    market.fund(STRANGER, 5)
    market.deposit(STRANGER, 2)
    market.deposit(STRANGER, 3)
    assert market.balance(STRANGER) == 5


def test_deposit__keeps_a_mark(market: Market) -> None:
    """A deposit is no withdrawal's business."""
    market.request_withdraw(BUYER, 7 * UNIT)
    market.stock(BUYER, UNIT)
    assert market.escrow.accountOf(BUYER.address).withdrawing == 7 * UNIT


# ---------------------------------------------------------------- refused


def test_deposit__nothing__refused(market: Market) -> None:
    with refused(Code.ZERO_AMOUNT, actual=0, limit=1):
        market.deposit(BUYER, 0)


def test_deposit__to_nobody__refused(market: Market) -> None:
    market.fund(STRANGER, 5)
    with refused(Code.BAD_RECEIVER, actual=0, limit=0):
        market.deposit(STRANGER, 5, to=ZERO_ADDRESS)


def test_deposit__to_the_escrow__refused(market: Market) -> None:
    market.fund(STRANGER, 5)
    with refused(Code.BAD_RECEIVER, actual=market.domain.escrow, limit=0):
        market.deposit(STRANGER, 5, to=market.domain.escrow)


def test_deposit__without_approval__refused(market: Market) -> None:
    market.node.transact(DEPLOYER, market.token.mint, STRANGER.address, 5)
    with refused(Code.TOKEN_REFUSED, actual=0, limit=5):
        market.deposit(STRANGER, 5)


def test_deposit__a_base_unit_above_the_approval__refused(market: Market) -> None:
    market.fund(STRANGER, 5)
    market.node.transact(DEPLOYER, market.token.mint, STRANGER.address, 1)
    with refused(Code.TOKEN_REFUSED, actual=5, limit=6):
        market.deposit(STRANGER, 6)


def test_deposit__above_the_tokens_owned__refused(market: Market) -> None:
    market.node.transact(STRANGER, market.token.approve, market.domain.escrow, 5)
    market.node.transact(DEPLOYER, market.token.mint, STRANGER.address, 3)
    with refused(Code.TOKEN_REFUSED, actual=3, limit=5):
        market.deposit(STRANGER, 5)


# ---------------------------------------------------------------- the cap


def test_deposit__up_to_the_cap__credited(deploy: Deploy) -> None:
    market = deploy()
    market.stock(BUYER, LARGEST)
    assert market.balance(BUYER) == LARGEST


def test_deposit__above_the_cap__refused(deploy: Deploy) -> None:
    """All balances together stay within what one can hold."""
    market = deploy()
    market.stock(BUYER, LARGEST)
    market.fund(PROVIDER, 1)
    with refused(Code.TOKEN_CAP, actual=LARGEST + 1, limit=LARGEST):
        market.deposit(PROVIDER, 1)


def test_deposit__above_the_cap_at_once__refused(deploy: Deploy) -> None:
    market = deploy()
    market.fund(BUYER, 2**255)
    with refused(Code.TOKEN_CAP, actual=2**255, limit=LARGEST):
        market.deposit(BUYER, 2**255)


# ---------------------------------------------------------------- donations


def test_deposit__after_a_donation__counts_only_itself(market: Market) -> None:
    market.node.transact(DEPLOYER, market.token.mint, market.domain.escrow, 1_000)
    market.model.donated = 1_000
    market.stock(STRANGER, 5)
    assert market.balance(STRANGER) == 5


# ---------------------------------------------------------------- misbehaving tokens


def test_deposit__fee_on_transfer__refused(deploy: Deploy, mock: Mock) -> None:
    market = deploy(token=mock("FeeToken"))
    market.fund(BUYER, 1_000)
    with refused(Code.INEXACT_TRANSFER, actual=990, limit=1_000):
        market.deposit(BUYER, 1_000)


def test_deposit__fee_rounded_away__credited(deploy: Deploy, mock: Mock) -> None:
    """What arrives exactly is taken, whatever the token might do another time."""
    market = deploy(token=mock("FeeToken"))
    market.stock(BUYER, 99)
    assert market.balance(BUYER) == 99


def test_deposit__token_that_returns_nothing__credited(deploy: Deploy, mock: Mock) -> None:
    market = deploy(token=mock("SilentToken"))
    market.stock(BUYER, 1_000)
    assert market.balance(BUYER) == 1_000


def test_deposit__token_that_returns_nothing_and_reverts__refused(deploy: Deploy, mock: Mock) -> None:
    market = deploy(token=mock("SilentToken"))
    with refused(Code.TOKEN_REFUSED, actual=0, limit=1):
        market.deposit(BUYER, 1)


def test_deposit__token_returns_false__refused(deploy: Deploy, mock: Mock) -> None:
    token = mock("RefusingToken")
    market = deploy(token=token)
    market.fund(BUYER, 1_000)
    market.node.transact(DEPLOYER, token.setMood, REFUSING)
    with refused(Code.TOKEN_REFUSED, actual=1_000, limit=1_000):
        market.deposit(BUYER, 1_000)


def test_deposit__token_returns_true_without_moving__refused(deploy: Deploy, mock: Mock) -> None:
    token = mock("RefusingToken")
    market = deploy(token=token)
    market.fund(BUYER, 1_000)
    market.node.transact(DEPLOYER, token.setMood, LYING)
    with refused(Code.INEXACT_TRANSFER, actual=0, limit=1_000):
        market.deposit(BUYER, 1_000)


# ---------------------------------------------------------------- tokens that call back


def answers(market: Market, *calls: tuple[str, bytes]) -> list[tuple[bool, bytes]]:
    """Make the interrupted deposit, and return what each call came to."""
    events = interrupted(market, *calls).events(market.token)
    said = [values for name, values in events if name == "Answered"]
    return [(values["done"], bytes.fromhex(values["answer"][2:])) for values in said]


def interrupted(market: Market, *calls: tuple[str, bytes]) -> Receipt:
    """Deposit 1,000 of the buyer's, with these calls by the token in the middle of the transfer."""
    market.fund(BUYER, 1_000)
    market.node.transact(DEPLOYER, market.token.arm, [tuple(call) for call in calls])
    receipt = market.send(BUYER, "deposit", BUYER.address, 1_000)
    market.model.deposit(BUYER.address, 1_000)
    return receipt


def test_deposit__token_calls_a_guarded_verb__refused_inside(deploy: Deploy, mock: Mock) -> None:
    """deposit, depositWithPermit and withdraw, which the guard shuts while one of them runs."""
    market = deploy(token=mock("ReenteringToken"))
    escrow, token = market.domain.escrow, market.token.address
    calls = [
        market.encode("deposit", token, 1),
        market.encode("depositWithPermit", token, 1, 0, 27, b"", b""),
        market.encode("withdraw", token, token, 0, b""),
    ]
    assert answers(market, *((escrow, call) for call in calls)) == [(False, REENTRANT)] * 3
    assert market.balance(BUYER) == 1_000


def test_deposit__token_calls_a_guarded_verb_by_multicall__refused_inside(deploy: Deploy, mock: Mock) -> None:
    market = deploy(token=mock("ReenteringToken"))
    batch = market.encode("multicall", [market.encode("deposit", market.token.address, 1)], False)
    [(done, answer)] = answers(market, (market.domain.escrow, batch))
    assert not done
    assert answer[:4] == SELECTOR
    assert refusal_in(answer) == (Code.MALFORMED_CALL, 4, 0)


def test_deposit__token_opens_a_deal__sees_nothing_of_the_deposit(deploy: Deploy, mock: Mock) -> None:
    """The tokens have come, but they are not yet credited: they cannot be spent twice."""
    market = deploy(token=mock("ReenteringToken"))
    market.stock(PROVIDER, 1_000)
    match = market.match({"price_per_gpu_hour": 31}, {"max_budget": 32 * 31})
    [(done, answer)] = answers(market, (market.domain.escrow, market.encode("open", match.as_tuple())))
    assert not done
    assert refusal_in(answer) == (Code.BUYER_BALANCE, 0, 32 * 31)


def test_deposit__token_opens_a_funded_deal__both_count(deploy: Deploy, mock: Mock) -> None:
    market = deploy(token=mock("ReenteringToken"))
    market.stock(PROVIDER, 1_000)
    market.stock(BUYER, 992)
    match = market.match({"price_per_gpu_hour": 31})
    receipt = interrupted(market, (market.domain.escrow, market.encode("open", match.as_tuple())))
    market.opened(match, receipt.time)
    assert market.balance(BUYER) == 1_000


def test_deposit__token_calls_an_open_verb__works(deploy: Deploy, mock: Mock) -> None:
    """Verbs that touch no token need no guard; they act for the token's own account only."""
    market = deploy(token=mock("ReenteringToken"))
    escrow, token = market.domain.escrow, market.token.address
    policy = make_policy(bond_bps=1)
    calls = [
        market.encode("requestWithdraw", token, 0, 0, b""),
        market.encode("cancel", token, 0, 0, 0, b""),
        market.encode("registerPolicy", policy.as_tuple(), addresses(ATTESTORS)),
    ]
    assert [done for done, _ in answers(market, *((escrow, call) for call in calls))] == [True] * 3
    assert market.balance(BUYER) == 1_000


def test_deposit__token_acts_for_another__refused_inside(deploy: Deploy, mock: Mock) -> None:
    market = deploy(token=mock("ReenteringToken"))
    call = market.encode("requestWithdraw", BUYER.address, 0, NEVER, b"")
    [(done, answer)] = answers(market, (market.domain.escrow, call))
    assert not done
    assert refusal_in(answer) == (Code.BAD_SIGNATURE, int(market.token.address, 16), BUYER.number)


def test_deposit__donation_in_the_middle__refused(deploy: Deploy, mock: Mock) -> None:
    market = deploy(token=mock("ReenteringToken"))
    gift = bytes(market.token.mint.encode_input(market.domain.escrow, 1))
    with refused(Code.INEXACT_TRANSFER, actual=1_001, limit=1_000):
        interrupted(market, (str(market.token.address), gift))


def test_deposit__tokens_leave_in_the_middle__refused(deploy: Deploy, mock: Mock) -> None:
    """A token that takes back more than it brought counts as having brought nothing."""
    market = deploy(token=mock("ReenteringToken"))
    market.stock(PROVIDER, 5_000)
    theft = bytes(market.token.take.encode_input(market.domain.escrow, 2_000))
    with refused(Code.INEXACT_TRANSFER, actual=0, limit=1_000):
        interrupted(market, (str(market.token.address), theft))


def test_deposit__amount_of_all_words__refused(market: Market) -> None:
    with refused(Code.TOKEN_REFUSED, actual=0, limit=2**256 - 1):
        market.deposit(STRANGER, 2**256 - 1)


@pytest.mark.parametrize("decimals", [0, 6, 18])
def test_deposit__token_of_any_decimals__counts_base_units(deploy: Deploy, mock: Mock, decimals: int) -> None:
    market = deploy(token=mock("MoltToken", "MOLT", "MOLT", decimals))
    market.stock(BUYER, 7)
    assert market.balance(BUYER) == 7
