"""What a party asks for by a signature that anybody brings: it binds a deal, a figure, for a time.

The forms that a signature may have, and what else it binds (the place, the verb), are in test_signatures.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from molt_market.signing import messages
from molt_market.signing.typed_data import Message
from tests.contracts.actors import ARBITER, BUYER, PROVIDER, RELAYER, Actor
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, ZERO, OpenDeal
from tests.contracts.refusals import Code, Refused, refused
from tests.contracts.words import CLAIM, COUNTER, KEYS, WORDS, Cast, Scene, Word

RULING = 16 * HOUR
EVIDENCE = "0x" + "ee" * 32


@dataclass(frozen=True)
class Request:
    """A verb, whose word it takes, on which deal, and with what beside the terms and the deadline."""

    method: str
    message: Callable[..., Message]
    owner: Actor
    deal: Callable[[FullMarket, int], OpenDeal]
    figures: tuple[Any, ...] = ()

    def signed(self, market: FullMarket, deal: OpenDeal, deadline: int) -> Message:
        where = (market.domain.escrow,) if self.message is messages.Ruling else ()
        return self.message(*where, deal.id, *self.figures, deadline)

    def send(self, market: FullMarket, deal: OpenDeal, **how: Any) -> Any:
        """Send it as `how` says: by whom, with which deadline and signature."""
        named = {"evidence": self.figures[1]} if self.method == "dispute" else {}
        return getattr(market, self.method)(deal, *self.figures[:1], **named, **how)


def locked(market: FullMarket, slot: int) -> OpenDeal:
    return market.open(market.match(order={"slot": slot}))


def ended(market: FullMarket, slot: int) -> OpenDeal:
    deal = locked(market, slot)
    market.node.mine(deal.ends_at)
    return deal


def claimed(market: FullMarket, slot: int) -> OpenDeal:
    return market.claimed(market.match(order={"slot": slot}), CLAIM)


def disputed(market: FullMarket, slot: int) -> OpenDeal:
    return market.disputed(market.match(order={"slot": slot}), CLAIM, COUNTER)


REQUESTS = {
    "stop": Request("stop", messages.Stop, BUYER, locked),
    "cancelDeal": Request("cancel_deal", messages.CancelDeal, PROVIDER, locked),
    "claimUnattested": Request("claim_unattested", messages.UnattestedClaim, PROVIDER, ended, (CLAIM,)),
    "dispute": Request("dispute", messages.Dispute, BUYER, claimed, (COUNTER, EVIDENCE)),
    "resolve": Request("resolve", messages.Ruling, ARBITER, disputed, (RULING,)),
    "concede as provider": Request("concede", messages.Concede, PROVIDER, disputed, (COUNTER,)),
    "concede as buyer": Request("concede", messages.Concede, BUYER, disputed, (CLAIM,)),
}


@pytest.fixture(params=REQUESTS)
def request_(request: pytest.FixtureRequest) -> Request:
    return REQUESTS[request.param]


def test_signed_request__own_call__needs_no_signature_and_no_deadline(
    market: FullMarket, request_: Request
) -> None:
    """A deadline of 0 is long over: it binds signatures only."""
    deal = request_.deal(market, 130)
    request_.send(market, deal, sender=request_.owner, deadline=0)


def test_signed_request__in_its_last_second__does_the_same(market: FullMarket, request_: Request) -> None:
    deal = request_.deal(market, 130)
    deadline = market.node.now + 60
    sig = request_.owner.sign(request_.signed(market, deal, deadline), market.domain)
    market.node.at(deadline - 1)
    request_.send(market, deal, sender=RELAYER, deadline=deadline, sig=sig)


@pytest.mark.parametrize("sender", [RELAYER, BUYER, PROVIDER], ids=lambda actor: actor.role)
def test_signed_request__at_its_deadline__refused(
    market: FullMarket, request_: Request, sender: Actor
) -> None:
    """Even when the signer brings his own signature: he need not."""
    deal = request_.deal(market, 130)
    deadline = market.node.now + 60
    sig = request_.owner.sign(request_.signed(market, deal, deadline), market.domain)
    market.node.at(deadline)
    with refused(Code.TOO_LATE, actual=deadline, limit=deadline):
        request_.send(market, deal, sender=sender, deadline=deadline, sig=sig)


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_signed_request__by_another_key__refused(market: FullMarket, word: Word) -> None:
    """Not by the agent's nor the voucher signer's, which lie on machines, nor by the other party's."""
    scene = Scene(market, Cast())
    ask, owner = word.ask(scene), word.whose(scene)
    deadline = market.node.now + HOUR
    for key in KEYS:
        if key is not owner:
            forged = key.sign(ask.message(deadline), market.domain)
            with refused(Code.BAD_SIGNATURE, actual=key.address, limit=owner.address):
                ask.do(key, deadline, forged)


def test_signed_request__for_another_deal__refused(market: FullMarket, request_: Request) -> None:
    """The parties, the terms but the order, and the state are the same."""
    signed_for, other = request_.deal(market, 130), request_.deal(market, 131)
    deadline = market.node.now + HOUR
    sig = request_.owner.sign(request_.signed(market, signed_for, deadline), market.domain)
    found = market.recovered(request_.signed(market, other, deadline), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=request_.owner.address):
        request_.send(market, other, sender=RELAYER, deadline=deadline, sig=sig)


def test_signed_request__with_a_longer_deadline__refused(market: FullMarket, request_: Request) -> None:
    deal = request_.deal(market, 130)
    deadline = market.node.now + HOUR
    sig = request_.owner.sign(request_.signed(market, deal, deadline), market.domain)
    found = market.recovered(request_.signed(market, deal, deadline + 1), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=request_.owner.address):
        request_.send(market, deal, sender=RELAYER, deadline=deadline + 1, sig=sig)


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("claimUnattested", (CLAIM + 1,)),
        ("dispute", (COUNTER - 1, EVIDENCE)),
        ("dispute", (COUNTER, ZERO)),
        ("resolve", (RULING + 1,)),
    ],
)
def test_signed_request__with_other_figures__refused(
    market: FullMarket, name: str, figures: tuple[Any, ...]
) -> None:
    request_ = REQUESTS[name]
    deal = request_.deal(market, 130)
    deadline = market.node.now + HOUR
    sig = request_.owner.sign(request_.signed(market, deal, deadline), market.domain)
    altered = replace(request_, figures=figures)
    found = market.recovered(altered.signed(market, deal, deadline), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=request_.owner.address):
        altered.send(market, deal, sender=RELAYER, deadline=deadline, sig=sig)


def test_signed_request__replayed__refused(market: FullMarket, request_: Request) -> None:
    """Every one of them leaves a state in which it cannot be done again."""
    deal = request_.deal(market, 130)
    deadline = market.node.now + HOUR
    sig = request_.owner.sign(request_.signed(market, deal, deadline), market.domain)
    request_.send(market, deal, sender=RELAYER, deadline=deadline, sig=sig)
    with pytest.raises(Refused) as caught:
        request_.send(market, deal, sender=RELAYER, deadline=deadline, sig=sig)
    assert caught.value.answer[0] in {Code.WRONG_STATUS, Code.ALREADY_STOPPED}


def test_signed_request__concession_signed_ahead__binds_its_figure_only(market: FullMarket) -> None:
    """A provider who signed for a counter of 8 hours has not signed for one of 0."""
    deal = market.claimed(market.match(), CLAIM)
    deadline = market.node.now + HOUR
    message = messages.Concede(deal.id, COUNTER, deadline)
    sig = PROVIDER.sign(message, market.domain)
    market.dispute(deal, 0)
    found = market.recovered(messages.Concede(deal.id, 0, deadline), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=PROVIDER.address):
        market.concede(deal, 0, sender=BUYER, deadline=deadline, sig=sig)
