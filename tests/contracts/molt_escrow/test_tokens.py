"""Tokens that misbehave once money is inside: deals end all the same, and whoever is not hit loses nothing.

What a deposit or a withdrawal answers to a misbehaving token stands in test_deposit.py and test_withdraw.py,
what a token can do by calling back in test_reentry.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.actors import (
    ARBITER,
    ATTESTORS,
    BUYER,
    DEPLOYER,
    FEE_RECIPIENT,
    PROVIDER,
    STRANGER,
    Actor,
)
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, UNIT, OpenDeal, make_policy
from tests.contracts.hall import WITHDRAW_DELAY
from tests.contracts.refusals import Code, Reverted, refused
from tests.contracts.words import CLAIM, COUNTER

LARGEST = 2**96 - 1
PARTIES = (BUYER, PROVIDER, ARBITER, FEE_RECIPIENT)

Deploy = Callable[..., FullMarket]
Mock = Callable[..., Any]


def stocked(deploy: Deploy, token: Any, amount: int = 1_000 * UNIT) -> FullMarket:
    market = deploy(token=token)
    for actor in (BUYER, PROVIDER):
        market.stock(actor, amount)
    return market


def ruled(market: FullMarket) -> OpenDeal:
    """Play a deal to its end in which everybody gets something: buyer, provider, arbiter and fee account."""
    deal = market.disputed(market.match(), CLAIM, COUNTER)
    market.resolve(deal, 2 * COUNTER)
    return deal


def unlock(market: FullMarket, *actors: Actor) -> None:
    """Mark all that they have, and let the delay pass."""
    for actor in actors:
        market.request_withdraw(actor, market.balance(actor))
    market.node.mine(market.node.now + WITHDRAW_DELAY)


def tell(market: FullMarket, verb: str, *arguments: Any) -> None:
    market.node.transact(DEPLOYER, getattr(market.token, verb), *arguments)


# ---------------------------------------------------------------- denylist


@pytest.mark.parametrize("denied", PARTIES, ids=lambda actor: actor.role)
def test_tokens__party_denied__hurts_himself_only(deploy: Deploy, mock: Mock, denied: Actor) -> None:
    """The deal goes its way, the others are paid out, and he may still name another receiver."""
    market = stocked(deploy, mock("DenylistToken"))
    tell(market, "deny", denied.address, True)
    ruled(market)
    unlock(market, *PARTIES)
    for actor in PARTIES:
        if actor is not denied:
            market.withdraw(actor)
    held, owed = int(market.token.balanceOf(market.domain.escrow)), market.balance(denied)
    assert held == owed > 0
    with refused(Code.TOKEN_REFUSED, actual=held, limit=owed):
        market.withdraw(denied)
    market.withdraw(denied, to=STRANGER.address)
    assert market.token.balanceOf(STRANGER.address) == owed


@pytest.mark.parametrize("receiver", [BUYER, PROVIDER], ids=lambda actor: actor.role)
def test_tokens__denied_party__can_be_given_money_inside(deploy: Deploy, mock: Mock, receiver: Actor) -> None:
    market = stocked(deploy, mock("DenylistToken"))
    tell(market, "deny", receiver.address, True)
    market.fund(STRANGER, 5)
    market.deposit(STRANGER, 5, to=receiver.address)
    market.open(market.match())


@pytest.mark.parametrize(("token", "switch"), [("DenylistToken", "deny"), ("PausableToken", "setPaused")])
def test_tokens__escrow_denied_or_token_paused__money_waits(
    deploy: Deploy, mock: Mock, token: str, switch: str
) -> None:
    """Nothing comes in or goes out; deals open and end; afterwards all of it goes out."""
    market = stocked(deploy, mock(token))
    market.fund(STRANGER, 5)
    where = (market.domain.escrow,) if switch == "deny" else ()
    tell(market, switch, *where, True)
    ruled(market)
    with refused(Code.TOKEN_REFUSED, actual=5, limit=5):
        market.deposit(STRANGER, 5)
    unlock(market, *PARTIES)
    held, owed = int(market.token.balanceOf(market.domain.escrow)), market.balance(BUYER)
    with refused(Code.TOKEN_REFUSED, actual=held, limit=owed):
        market.withdraw(BUYER)
    tell(market, switch, *where, False)
    for actor in PARTIES:
        market.withdraw(actor)
    assert market.token.balanceOf(market.domain.escrow) == 0


def test_tokens__code_gone__deals_end_and_money_waits(deploy: Deploy, mock: Mock) -> None:
    market = stocked(deploy, mock("MoltToken", "MOLT", "MOLT", 18))
    code = market.node.code(str(market.token.address))
    market.node.request("hardhat_setCode", str(market.token.address), "0x")
    ruled(market)
    unlock(market, BUYER)
    with pytest.raises(Reverted):
        market.deposit(PROVIDER, 1)
    with pytest.raises(Reverted):
        market.withdraw(BUYER)
    market.node.request("hardhat_setCode", str(market.token.address), code)
    market.withdraw(BUYER)


# ---------------------------------------------------------------- rebasing


def test_tokens__rebased_upwards__surplus_is_nobodys(deploy: Deploy, mock: Mock) -> None:
    market = stocked(deploy, mock("RebasingToken"))
    tell(market, "rebase", 12_500)
    market.model.donated = 500 * UNIT
    ruled(market)
    unlock(market, *PARTIES)
    for actor in PARTIES:
        market.withdraw(actor)
    assert market.token.balanceOf(market.domain.escrow) == 500 * UNIT


def test_tokens__rebased_downwards__the_last_ones_wait(deploy: Deploy, mock: Mock) -> None:
    """The books say more than there is. Deals end by them; what is missing is missing in withdrawals."""
    market = stocked(deploy, mock("RebasingToken"))
    tell(market, "rebase", 5_000)
    market.model.donated = -1_000 * UNIT
    ruled(market)
    unlock(market, BUYER, PROVIDER)
    market.withdraw(BUYER)
    held, owed = int(market.token.balanceOf(market.domain.escrow)), market.balance(PROVIDER)
    assert 0 < held < owed
    with refused(Code.TOKEN_REFUSED, actual=held, limit=owed):
        market.withdraw(PROVIDER)
    market.node.at(market.request_withdraw(PROVIDER, held).time + WITHDRAW_DELAY)
    market.withdraw(PROVIDER)
    assert market.token.balanceOf(PROVIDER.address) == held


# ---------------------------------------------------------------- decimals and amounts


@pytest.mark.parametrize("decimals", [0, 18])
def test_tokens__any_decimals__a_deal_ends_to_the_unit(deploy: Deploy, mock: Mock, decimals: int) -> None:
    """With no decimals a GPU-hour costs whole tokens: of 3 for 4 GPU-seconds' worth, nothing is due."""
    market = stocked(deploy, mock("MoltToken", "MOLT", "MOLT", decimals), 1_000)
    deal = market.open(market.match({"price_per_gpu_hour": 3}))
    market.release(deal, 1_199)
    assert market.balance(PROVIDER) == 1_000 - 9
    market.release(deal, 1_200)
    assert market.balance(PROVIDER) == 1_000 - 9 + 1
    market.release(deal, deal.allocation)
    assert market.balance(BUYER) == 1_000 - 96
    assert market.balance(FEE_RECIPIENT) == 0


def test_tokens__all_that_there_can_be__fits_one_deal(deploy: Deploy) -> None:
    """The largest price of the largest balance: no figure overflows on any way out."""
    market = deploy()
    market.stock(BUYER, LARGEST)
    free = {"policy_id": market.register(make_policy(bond_bps=0), ATTESTORS)}
    order = {**free, "gpu_count": 1, "duration_hours": 1, "max_budget": LARGEST}
    offer = {**free, "price_per_gpu_hour": LARGEST, "min_commitment_hours": 1}
    deal = market.open(market.match(offer, {**order, "max_price_per_gpu_hour": LARGEST}))
    assert market.balance(BUYER) == 0
    market.release(deal, 1)
    market.node.at(deal.ends_at)
    market.claim(deal, HOUR - 1)
    market.dispute(deal, 2)
    market.resolve(deal, HOUR // 2)
    assert sum(market.balance(actor) for actor in PARTIES) == LARGEST


def test_tokens__largest_bond_beside_the_largest_price__opens(deploy: Deploy) -> None:
    """All tokens that the escrow takes, two thirds of them a price and one third its bond of 50 %."""
    market = deploy()
    price = LARGEST // 3 * 2
    market.stock(BUYER, price)
    market.stock(PROVIDER, LARGEST - price)
    half = {"policy_id": market.register(make_policy(bond_bps=5_000), ATTESTORS)}
    offer = {**half, "price_per_gpu_hour": price, "min_commitment_hours": 1}
    order = {**half, "gpu_count": 1, "duration_hours": 1, "max_budget": price}
    deal = market.open(market.match(offer, {**order, "max_price_per_gpu_hour": price}))
    market.node.at(deal.ends_at)
    market.claim(deal, HOUR)
    market.node.at(market.deadline(deal))
    market.finalize(deal)
