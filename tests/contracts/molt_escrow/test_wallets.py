"""Accounts that are code: contract wallets in every part of a deal, and owners who have delegated to code.

The escrow asks no wallet what it thinks of a signature: the answer could change after a match. A wallet
without a key approves digests; an owner who has delegated his address (EIP-7702) has his key, and signs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.contracts.actors import BUYER, OWNER, PROVIDER, RELAYER, STRANGER, Actor
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, UNIT
from tests.contracts.refusals import Code, refused
from tests.contracts.signatures import compact
from tests.contracts.wallets import (
    REVERTS,
    SIGNS_ALL,
    SIGNS_NOTHING,
    Coded,
    Wallet,
    delegate,
    deploy_wallet,
)
from tests.contracts.words import COUNTER, WORDS, Cast, Scene, Word

any_word = pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
NewWallet = Callable[[], Wallet]
Delegate = Callable[[Actor], Coded]
any_mood = pytest.mark.parametrize("mood", [SIGNS_ALL, SIGNS_NOTHING, REVERTS])


@pytest.fixture
def new_wallet(market: FullMarket, project: Any) -> NewWallet:
    return lambda: deploy_wallet(market.node, project)


@pytest.fixture
def wallet(new_wallet: NewWallet) -> Wallet:
    return new_wallet()


# ---------------------------------------------------------------- contract wallets


def test_wallets__buyer_provider_and_arbiter__see_a_deal_through(
    market: FullMarket, new_wallet: NewWallet
) -> None:
    """From approved offer and order over claim, dispute and ruling to three withdrawals."""
    buyer, provider, arbiter = new_wallet(), new_wallet(), new_wallet()
    deal = Scene(market, Cast(buyer, provider, arbiter=arbiter)).disputed()
    market.resolve(deal, 2 * COUNTER, sender=arbiter)
    for party in (buyer, provider, arbiter):
        amount = market.balance(party)
        unlock_at = market.request_withdraw(party, amount).time + 900
        market.node.at(unlock_at)
        market.withdraw(party)
        assert market.token.balanceOf(party.address) == amount > 0


@any_mood
def test_wallets__signature_that_it_would_call_valid__refused(
    market: FullMarket, wallet: Wallet, mood: int
) -> None:
    """ERC-1271 is not asked for, whatever it would answer."""
    wallet.set_mood(market.node, mood)
    match = replace(Scene(market, Cast(buyer=wallet)).match(), order_sig=b"\1" * 65)
    with refused(Code.BAD_SIGNATURE, actual=0, limit=wallet.address):
        market.open(match)


def test_wallets__signed_by_its_owner__refused(market: FullMarket, wallet: Wallet) -> None:
    """Its owner's key is not its own."""
    match = Scene(market, Cast(buyer=wallet)).match()
    sig = OWNER.sign(match.order, market.domain)
    with refused(Code.BAD_SIGNATURE, actual=OWNER.address, limit=wallet.address):
        market.open(replace(match, order_sig=sig))


@pytest.mark.parametrize("mood", [SIGNS_NOTHING, REVERTS])
def test_wallets__arbiter_that_reverts__holds_up_nobody(
    market: FullMarket, wallet: Wallet, mood: int
) -> None:
    """He is never called: silence is all that he can do, and his share is a balance."""
    wallet.set_mood(market.node, mood)
    scene = Scene(market, Cast(arbiter=wallet))
    deal = scene.disputed()
    market.node.at(market.deadline(deal))
    market.finalize(deal)
    scene.slot += 1
    market.resolve(scene.disputed(), COUNTER, sender=wallet)
    assert market.balance(wallet) > 0


def test_wallets__provider_that_reverts__is_paid_all_the_same(market: FullMarket, wallet: Wallet) -> None:
    deal = Scene(market, Cast(provider=wallet)).locked()
    wallet.set_mood(market.node, REVERTS)
    market.release(deal, deal.allocation)
    assert market.balance(wallet) == 1_000 * UNIT + 320 * UNIT * 99 // 100


# ---------------------------------------------------------------- delegated owners (EIP-7702)


@pytest.fixture
def delegated(market: FullMarket, wallet: Wallet) -> Delegate:
    """Delegate an actor's address to the wallet's code."""
    return lambda actor: delegate(market.node, actor, wallet.contract)


@any_word
def test_wallets__delegated_owner__still_signs(market: FullMarket, delegated: Delegate, word: Word) -> None:
    scene = Scene(market, Cast())
    delegated(word.whose(scene))
    ask = word.ask(scene)
    deadline = market.node.now + HOUR
    ask.do(RELAYER, deadline, word.whose(scene).sign(ask.message(deadline), market.domain))


@any_mood
@pytest.mark.parametrize("side", [BUYER, PROVIDER], ids=lambda actor: actor.role)
def test_wallets__owner_who_delegates_after_a_match__cannot_break_it(
    market: FullMarket, delegated: Delegate, side: Actor, mood: int
) -> None:
    """Code at his address that takes back his signature takes back nothing."""
    match = market.match()
    account = delegated(side)
    account.set_mood(market.node, mood)
    market.open(match)


@pytest.mark.parametrize("form", [bytes, compact])
def test_wallets__delegated_owner__nobody_else_signs_for_him(
    market: FullMarket, delegated: Delegate, form: Callable[[bytes], bytes]
) -> None:
    """Not the owner of the code either, whom the code itself would obey."""
    delegated(BUYER)
    match = market.match()
    sig = form(OWNER.sign(match.order, market.domain))
    with refused(Code.BAD_SIGNATURE, actual=OWNER.address, limit=BUYER.address):
        market.open(replace(match, order_sig=sig))


def test_wallets__delegated_owners_code__calls_as_he_does(market: FullMarket, delegated: Delegate) -> None:
    """What he delegates to can do what he can: approve, open, stop, withdraw."""
    account = delegated(BUYER)
    deal = market.open(replace(market.match(), order_sig=b""), sender=account)
    market.stop(deal, sender=account)
    market.request_withdraw(account, 5)


def test_wallets__delegated_owners_code__obeys_its_owner_only(
    market: FullMarket, delegated: Delegate
) -> None:
    account = delegated(BUYER)
    deal = market.open(market.match())
    with refused(Code.BAD_SIGNATURE, actual=STRANGER.address, limit=BUYER.address):
        market.stop(deal, sender=STRANGER)
    market.stop(deal, sender=account)
