"""Every entry point, called by the token in the middle of a deposit and of a withdrawal.

The guard shuts the three verbs that touch the token. The others do inside what they do outside, no more and
no less: each is compared with the model step by step, and so are all balances in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from molt_market.signing import messages
from tests.contracts.actors import ATTESTORS, BUYER, OPENER, PROVIDER, RELAYER, STRANGER, Actor
from tests.contracts.batches import voucher_call
from tests.contracts.desk import NEVER
from tests.contracts.factories import HOUR, UNIT, ZERO, make_policy
from tests.contracts.node import Node
from tests.contracts.reentry import ReenteredMarket, TokenActor
from tests.contracts.refusals import REENTRANT, Code, Reverted, refused
from tests.contracts.words import WORDS, Cast, Scene

OUTER = ["deposit", "withdraw"]
GUARDS, SETS_FEES = range(2)  # enum Role

Do = Callable[[], Any]


@dataclass(frozen=True)
class Entry:
    """An entry point, and how to come so far that the token can call it: then comes the call."""

    verb: str
    prepare: Callable[[ReenteredMarket], Do]


def word(name: str) -> Callable[[ReenteredMarket], Do]:
    """What a party has signed, brought by the token."""

    def prepare(market: ReenteredMarket) -> Do:
        scene, asked = Scene(market, Cast()), WORDS[name]
        ask = asked.ask(scene)
        deadline = market.node.now + HOUR
        sig = asked.whose(scene).sign(ask.message(deadline), market.domain)
        return lambda: ask.do(RELAYER, deadline, sig)

    return prepare


def token(market: ReenteredMarket) -> Actor:
    return TokenActor("token", str(market.token.address))


def finalize(market: ReenteredMarket) -> Do:
    deal = market.open(market.match())
    market.node.mine(deal.deadline)
    return lambda: market.finalize(deal)


def register(market: ReenteredMarket) -> Do:
    return lambda: market.register(make_policy(bond_bps=1), ATTESTORS)


def approve(market: ReenteredMarket) -> Do:
    return lambda: market.approve(token(market), messages.Stop(ZERO, 0))


def revoke(market: ReenteredMarket) -> Do:
    return lambda: market.revoke(token(market), messages.Stop(ZERO, 0))


def pause(market: ReenteredMarket) -> Do:
    return lambda: market.pause(token(market))


def unpause(market: ReenteredMarket) -> Do:
    market.send(token(market), "pause")
    return lambda: market.unpause(token(market))


def schedule_fee(market: ReenteredMarket) -> Do:
    return lambda: market.schedule_fee(300, token(market))


def offer_role(market: ReenteredMarket) -> Do:
    return lambda: market.send(token(market), "offerRole", GUARDS, OPENER.address)


def accept_role(market: ReenteredMarket) -> Do:
    market.send(token(market), "offerRole", SETS_FEES, market.token.address)
    return lambda: market.send(token(market), "acceptRole", SETS_FEES)


def batch(market: ReenteredMarket) -> Do:
    deal = market.open(market.match())

    def do() -> None:
        market.send(RELAYER, "multicall", [voucher_call(market, deal, HOUR)], False)
        market.model.release(deal.id, HOUR)

    return do


FREE = {
    **{
        name: Entry(verb, word(name))
        for name, verb in {
            "offer": "open",
            "voucher": "release",
            "receipt": "claim",
            "request to withdraw": "requestWithdraw",
            "cancel": "cancel",
            "stop": "stop",
            "cancel of a deal": "cancelDeal",
            "unattested claim": "claimUnattested",
            "dispute": "dispute",
            "ruling": "resolve",
            "concession of the buyer": "concede",
            "split of the buyer": "settle",
        }.items()
    },
    "finalize": Entry("finalize", finalize),
    "policy": Entry("registerPolicy", register),
    "approval": Entry("approve", approve),
    "revocation": Entry("revoke", revoke),
    "pause": Entry("pause", pause),
    "end of a pause": Entry("unpause", unpause),
    "fee": Entry("scheduleFee", schedule_fee),
    "role offered": Entry("offerRole", offer_role),
    "role accepted": Entry("acceptRole", accept_role),
    "batch": Entry("multicall", batch),
}


def deposit(market: ReenteredMarket) -> Do:
    return lambda: market.send(RELAYER, "deposit", market.token.address, 1)


def deposit_with_permit(market: ReenteredMarket) -> Do:
    arguments = (market.token.address, 1, 0, 27, b"", b"")
    return lambda: market.send(RELAYER, "depositWithPermit", *arguments)


def withdraw(market: ReenteredMarket) -> Do:
    market.request_withdraw(BUYER, 7)
    message = messages.Withdraw(BUYER.address, BUYER.address, 1, market.node.now + HOUR)
    sig = BUYER.sign(message, market.domain)
    return lambda: market.withdraw(BUYER, sender=RELAYER, deadline=message.deadline, sig=sig)


GUARDED = {
    "deposit": Entry("deposit", deposit),
    "deposit by permit": Entry("depositWithPermit", deposit_with_permit),
    "withdrawal": Entry("withdraw", withdraw),
}


@pytest.fixture
def reentered(node: Node, project: Any) -> ReenteredMarket:
    """A market whose token calls back, and holds both roles."""
    coin = node.deploy(project.ReenteringToken)
    roles = {"guardian": coin.address, "fee_setter": coin.address}
    market = ReenteredMarket.deploy(node, project, token=coin, **roles)
    for actor in (BUYER, PROVIDER):
        market.stock(actor, 1_000 * UNIT)
    return market


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("entry", FREE.values(), ids=FREE)
def test_reentry__unguarded_verb__does_what_it_does_outside(
    reentered: ReenteredMarket, entry: Entry, outer: str
) -> None:
    do = entry.prepare(reentered)
    with reentered.inside(outer):
        do()
    reentered.audit()


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("entry", GUARDED.values(), ids=GUARDED)
def test_reentry__guarded_verb__refused_inside(reentered: ReenteredMarket, entry: Entry, outer: str) -> None:
    do = entry.prepare(reentered)
    with reentered.inside(outer), pytest.raises(Reverted) as caught:
        do()
    assert caught.value.data == REENTRANT
    reentered.audit()


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("entry", GUARDED.values(), ids=GUARDED)
def test_reentry__guarded_verb_in_a_batch__refused_inside(
    reentered: ReenteredMarket, entry: Entry, outer: str
) -> None:
    """A batch opens no back door."""
    arguments = {
        "deposit": (reentered.token.address, 1),
        "depositWithPermit": (reentered.token.address, 1, 0, 27, b"", b""),
        "withdraw": (reentered.token.address, reentered.token.address, 0, b""),
    }
    call = reentered.encode(entry.verb, *arguments[entry.verb])
    with reentered.inside(outer), refused(Code.MALFORMED_CALL, actual=4, limit=0):
        reentered.send(RELAYER, "multicall", [call], False)
    reentered.audit()


@pytest.mark.parametrize(("outer", "balance", "nonce"), [("deposit", 10, 1), ("withdraw", 0, 2)])
def test_reentry__money_on_its_way__cannot_be_marked_inside(
    reentered: ReenteredMarket, outer: str, balance: int, nonce: int
) -> None:
    """A deposit is not yet credited, and a withdrawal has left the account already."""
    message = messages.RequestWithdraw(STRANGER.address, balance + 1, nonce, NEVER)
    sig = STRANGER.sign(message, reentered.domain)
    with (
        reentered.inside(outer),
        refused(Code.INSUFFICIENT_BALANCE, actual=balance, limit=balance + 1),
    ):
        reentered.request_withdraw(STRANGER, balance + 1, sender=RELAYER, sig=sig)
    reentered.audit()


def test_reentry__entry_points__they_are_all_called(reentered: ReenteredMarket) -> None:
    called = {entry.verb for entry in (*FREE.values(), *GUARDED.values())}
    assert called == {method.name for method in reentered.escrow.contract_type.mutable_methods}
