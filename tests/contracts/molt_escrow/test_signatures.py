"""Signatures, wherever a verb takes somebody's word: what counts, counts everywhere, and the rest nowhere.

Whose they have to be, and until when and for what they count, is in test_signed_requests.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from molt_market.signing import messages
from molt_market.signing.typed_data import Domain, Message, SigningDomain
from tests.contracts.actors import RELAYER
from tests.contracts.desk import NEVER
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, USAGE_ROOT, ZERO
from tests.contracts.refusals import Code, refused
from tests.contracts.signatures import compact, high_s, with_v
from tests.contracts.words import CLAIM, KEYS, WORDS, Cast, Scene, Word

SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "high s": high_s,
    "v of 0": lambda sig: with_v(sig, 0),
    "v of 1": lambda sig: with_v(sig, 1),
    "v of 29": lambda sig: with_v(sig, 29),
    "one byte": lambda sig: sig[:1],
    "63 bytes": lambda sig: sig[:63],
    "66 bytes": lambda sig: sig + b"\0",
    "96 bytes": lambda sig: sig.ljust(96, b"\0"),
    "two of them": lambda sig: sig + sig,
    "zeros": lambda _: b"\0" * 65,
    "64 zeros": lambda _: b"\0" * 64,
}

REQUESTS: list[type[Any]] = [
    messages.Voucher,
    messages.Receipt,
    messages.UnattestedClaim,
    messages.Split,
    messages.Concede,
    messages.Dispute,
    messages.Stop,
    messages.CancelDeal,
    messages.CancelOrders,
    messages.RequestWithdraw,
    messages.Withdraw,
    messages.Ruling,
]

any_word = pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)


@pytest.mark.parametrize("form", [bytes, compact], ids=["65 bytes", "64 bytes"])
@any_word
def test_signatures__of_65_or_64_bytes__count(
    market: FullMarket, word: Word, form: Callable[[bytes], bytes]
) -> None:
    """Whoever brings them."""
    scene = Scene(market, Cast())
    ask = word.ask(scene)
    deadline = market.node.now + HOUR
    ask.do(RELAYER, deadline, form(word.whose(scene).sign(ask.message(deadline), market.domain)))


@any_word
def test_signatures__spoilt__refused(market: FullMarket, word: Word) -> None:
    """They are nobody's: the address found is 0."""
    scene = Scene(market, Cast())
    ask, owner = word.ask(scene), word.whose(scene)
    deadline = market.node.now + HOUR
    sig = owner.sign(ask.message(deadline), market.domain)
    for spoil in SPOILT.values():
        with refused(Code.BAD_SIGNATURE, actual=0, limit=owner.address):
            ask.do(RELAYER, deadline, spoil(sig))
    ask.do(RELAYER, deadline, sig)


@any_word
def test_signatures__made_for_another_place__refused(market: FullMarket, word: Word) -> None:
    """Another chain, another deployment, another name or version of the contract."""
    scene = Scene(market, Cast())
    ask, owner = word.ask(scene), word.whose(scene)
    deadline = market.node.now + HOUR
    message = ask.message(deadline)
    chain_id, escrow = market.domain.chain_id, market.domain.escrow
    elsewhere: list[SigningDomain] = [
        Domain(1, escrow),
        Domain(chain_id, str(market.token.address)),
        SigningDomain("MoltEscrow", "2", chain_id, escrow),
        SigningDomain("PanelArbiter", "1", chain_id, escrow),
    ]
    for domain in elsewhere:
        sig = owner.sign(message, domain)
        with refused(Code.BAD_SIGNATURE, actual=market.recovered(message, sig), limit=owner.address):
            ask.do(RELAYER, deadline, sig)


@any_word
def test_signatures__none_given__refused_for_anyone_else(market: FullMarket, word: Word) -> None:
    scene = Scene(market, Cast())
    ask, owner = word.ask(scene), word.whose(scene)
    deadline = market.node.now + HOUR
    for sender in KEYS:
        if sender is not owner:
            with refused(Code.BAD_SIGNATURE, actual=sender.address, limit=owner.address):
                ask.do(sender, deadline)


@any_word
def test_signatures__made_for_another_verb__refused(market: FullMarket, word: Word) -> None:
    """The same owner signs each other type, its fields as like as they can be: it says nothing here."""
    scene = Scene(market, Cast())
    ask, owner = word.ask(scene), word.whose(scene)
    deadline = market.node.now + HOUR
    message = ask.message(deadline)
    for other in others_like(message, owner.address, market.domain.escrow):
        sig = owner.sign(other, market.domain)
        with refused(Code.BAD_SIGNATURE, actual=market.recovered(message, sig), limit=owner.address):
            ask.do(RELAYER, deadline, sig)
    ask.do(RELAYER, deadline, owner.sign(message, market.domain))


def others_like(message: Any, owner: str, escrow: str) -> list[Message]:
    """Return a message of each other type, with the values of this one wherever they share a field."""
    known: dict[str, Any] = {
        "deal_id": ZERO,
        "gpu_seconds": CLAIM,
        "counter": CLAIM,
        "amount": CLAIM,
        "deadline": NEVER,
        "cutoff_at": 0,
        "result_digest": ZERO,
        "usage_root": USAGE_ROOT,
        "evidence": ZERO,
        "account": owner,
        "to": owner,
        "escrow": escrow,
        "side": 0,
        "group": 0,
        "nonce": 0,
    }
    known |= {field.name: getattr(message, field.name) for field in fields(message)}
    return [
        type_(**{field.name: known[field.name] for field in fields(type_)})
        for type_ in REQUESTS
        if type_ is not type(message)
    ]
