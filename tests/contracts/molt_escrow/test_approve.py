"""approve: a digest counts as signed wherever a verb takes its owner's word, for those who cannot sign."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from molt_market.signing import messages
from molt_market.signing.typed_data import Message
from tests.contracts.actors import ATTESTORS, BUYER, PROVIDER, RELAYER, STRANGER, Actor
from tests.contracts.desk import NEVER
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, USAGE_ROOT, ZERO
from tests.contracts.hall import CANCEL_DELAY
from tests.contracts.refusals import Code, refused
from tests.contracts.wallets import REVERTS, SIGNS_NOTHING, deploy_wallet
from tests.contracts.words import CLAIM, WORDS, Asked, Cast, Scene, Word

any_word = pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
lapsing_word = pytest.mark.parametrize(
    "word", [word for word in WORDS.values() if word.lapses], ids=[n for n, w in WORDS.items() if w.lapses]
)
signed_ones = pytest.mark.parametrize("name", ["offer", "order", "voucher", "stop", "withdrawal"])


def asked(market: FullMarket, word: Word, **cast: Actor) -> tuple[Actor, Asked]:
    """Come so far that the word is asked for, and return whose it is."""
    scene = Scene(market, Cast(**cast))
    return word.whose(scene), word.ask(scene)


@pytest.fixture
def wallet(market: FullMarket, project: Any) -> Actor:
    return deploy_wallet(market.node, project)


def test_approve__first__counts_for_ever(market: FullMarket) -> None:
    market.approve(BUYER, messages.Stop(ZERO, 0))
    assert market.approved_until(BUYER, messages.Stop(ZERO, 0)) == NEVER


def test_approve__again__changes_nothing(market: FullMarket) -> None:
    for _ in range(2):
        market.approve(BUYER, messages.Stop(ZERO, 0))
    assert market.approved_until(BUYER, messages.Stop(ZERO, 0)) == NEVER


# ---------------------------------------------------------------- what it does


@any_word
def test_approve__any_word__lets_a_relayer_bring_it(market: FullMarket, word: Word) -> None:
    owner, ask = asked(market, word)
    deadline = market.node.now + HOUR
    market.approve(owner, ask.message(deadline))
    ask.do(RELAYER, deadline)


@any_word
def test_approve__any_word_of_a_contract_wallet__lets_a_relayer_bring_it(
    market: FullMarket, word: Word, wallet: Actor
) -> None:
    owner, ask = asked(market, word, **{word.role: wallet})
    deadline = market.node.now + HOUR
    market.approve(owner, ask.message(deadline))
    ask.do(RELAYER, deadline)


@any_word
def test_approve__any_word_of_a_contract_wallet__is_not_needed_for_its_own_call(
    market: FullMarket, word: Word, wallet: Actor
) -> None:
    owner, ask = asked(market, word, **{word.role: wallet})
    ask.do(owner, market.node.now + HOUR)


@any_word
def test_approve__another_digest_or_by_another__refused(market: FullMarket, word: Word) -> None:
    """The right digest by a stranger and by the relayer, and what the owner means for another deal."""
    owner, ask = asked(market, word)
    deadline = market.node.now + HOUR
    market.approve(STRANGER, ask.message(deadline))
    market.approve(RELAYER, ask.message(deadline))
    market.approve(owner, other_than(ask.message(deadline)))
    with refused(Code.BAD_SIGNATURE, actual=RELAYER.address, limit=owner.address):
        ask.do(RELAYER, deadline)


def other_than(message: Any) -> Message:
    """Return the same message with its last field changed."""
    field = message.__slots__[-1]
    value = getattr(message, field)
    changed: Message = replace(message, **{field: value + 1 if isinstance(value, int) else "0x" + "0f" * 32})
    return changed


@lapsing_word
def test_approve__at_the_deadline__refused(market: FullMarket, word: Word) -> None:
    owner, ask = asked(market, word)
    deadline = market.node.now + 60
    market.approve(owner, ask.message(deadline))
    market.node.at(deadline)
    with refused(Code.TOO_LATE, actual=deadline, limit=deadline):
        ask.do(RELAYER, deadline)


@lapsing_word
def test_approve__a_second_before_the_deadline__counts(market: FullMarket, word: Word) -> None:
    owner, ask = asked(market, word)
    deadline = market.node.now + 60
    market.approve(owner, ask.message(deadline))
    market.node.at(deadline - 1)
    ask.do(RELAYER, deadline)


@pytest.mark.parametrize("sender", [RELAYER, BUYER], ids=lambda actor: actor.role)
def test_approve__a_bad_signature_beside_it__refused(market: FullMarket, sender: Actor) -> None:
    """Whoever gives a signature means it: an approval stands for an empty one only."""
    owner, ask = asked(market, WORDS["stop"])
    market.approve(owner, ask.message(NEVER))
    with refused(Code.BAD_SIGNATURE, actual=0, limit=owner.address):
        ask.do(sender, NEVER, b"\0" * 65)


def test_approve__attestor__does_not_count(market: FullMarket) -> None:
    """Their signatures come in one piece: there is no place for an empty one."""
    deal = market.open(market.match())
    for attestor in ATTESTORS:
        market.approve(attestor, messages.Receipt(deal.id, CLAIM, ZERO, USAGE_ROOT))
    market.node.at(deal.ends_at)
    with refused(Code.QUORUM, actual=0, limit=2):
        market.claim(deal, CLAIM, attestor_sigs=b"")


def test_approve__in_a_multicall__is_the_callers(market: FullMarket) -> None:
    match = market.match(order_sig=b"")
    calls = [
        market.encode("approve", market.digest(match.order)),
        market.encode("open", match.as_tuple()),
    ]
    receipt = market.send(BUYER, "multicall", calls, False)
    market.opened(match, receipt.time)
    assert market.approved_until(BUYER, match.order) == NEVER


@pytest.mark.parametrize("maker", [PROVIDER, BUYER], ids=lambda actor: actor.role)
def test_approve__both_sides_or_one__check_says_what_open_says(market: FullMarket, maker: Actor) -> None:
    match = market.match(offer_sig=b"", order_sig=b"")
    missing = BUYER if maker is PROVIDER else PROVIDER
    market.approve(maker, match.offer if maker is PROVIDER else match.order)
    said = (Code.BAD_SIGNATURE, STRANGER.number, missing.number)
    assert market.check(match, STRANGER) == said
    market.approve(missing, match.order if maker is PROVIDER else match.offer)
    assert market.check(match, STRANGER) == (Code.NONE, 0, 0)
    market.open(match, sender=STRANGER)


def test_approve__used_request__does_not_count_twice(market: FullMarket) -> None:
    """The nonce is in the digest: what was approved is the one request."""
    deadline = market.node.now + HOUR
    market.approve(BUYER, messages.RequestWithdraw(BUYER.address, 7, 0, deadline))
    market.request_withdraw(BUYER, 7, sender=RELAYER, deadline=deadline)
    with refused(Code.BAD_SIGNATURE, actual=RELAYER.address, limit=BUYER.address):
        market.request_withdraw(BUYER, 7, sender=RELAYER, deadline=deadline)


# ---------------------------------------------------------------- revoke


@signed_ones
def test_revoke__a_second_before_the_delay_is_over__still_counts(market: FullMarket, name: str) -> None:
    """A match made against an approval can be opened as long as one made against a signature."""
    owner, ask = asked(market, WORDS[name])
    deadline = market.node.now + HOUR
    market.approve(owner, ask.message(deadline))
    until = market.revoke(owner, ask.message(deadline))
    market.node.at(until - 1)
    ask.do(RELAYER, deadline)


@signed_ones
def test_revoke__delay_over__refused(market: FullMarket, name: str) -> None:
    owner, ask = asked(market, WORDS[name])
    deadline = market.node.now + HOUR
    market.approve(owner, ask.message(deadline))
    until = market.revoke(owner, ask.message(deadline))
    market.node.at(until)
    with refused(Code.BAD_SIGNATURE, actual=RELAYER.address, limit=owner.address):
        ask.do(RELAYER, deadline)


def test_revoke__takes_effect_after_the_cancel_delay(market: FullMarket) -> None:
    message = messages.Stop(ZERO, 0)
    market.approve(BUYER, message)
    until = market.revoke(BUYER, message)
    assert until == market.node.now + CANCEL_DELAY
    assert market.approved_until(BUYER, message) == until


def test_revoke__again__moves_nothing(market: FullMarket) -> None:
    message = messages.Stop(ZERO, 0)
    market.approve(BUYER, message)
    until = market.revoke(BUYER, message)
    for later in (1, 10_000):
        market.node.at(until + later)
        assert market.revoke(BUYER, message) == until


def test_revoke__nothing_approved__counts_never(market: FullMarket) -> None:
    assert market.revoke(BUYER, messages.Stop(ZERO, 0)) == 0


def test_revoke__approved_anew__counts_again(market: FullMarket) -> None:
    owner, ask = asked(market, WORDS["order"])
    market.approve(owner, ask.message(0))
    market.node.at(market.revoke(owner, ask.message(0)) + 1)
    market.approve(owner, ask.message(0))
    ask.do(RELAYER, 0)


def test_revoke__approved_anew_while_pending__is_undone(market: FullMarket) -> None:
    owner, ask = asked(market, WORDS["order"])
    market.approve(owner, ask.message(0))
    until = market.revoke(owner, ask.message(0))
    market.approve(owner, ask.message(0))
    market.node.at(until + 1)
    ask.do(RELAYER, 0)


def test_revoke__by_another__changes_nothing(market: FullMarket) -> None:
    owner, ask = asked(market, WORDS["order"])
    market.approve(owner, ask.message(0))
    market.revoke(STRANGER, ask.message(0))
    market.node.mine(market.node.now + CANCEL_DELAY)
    assert market.approved_until(owner, ask.message(0)) == NEVER
    ask.do(RELAYER, 0)


def test_revoke__signature_given_too__it_still_counts(market: FullMarket) -> None:
    """What is taken back is the approval. Against a signature there is `cancel`."""
    owner, ask = asked(market, WORDS["order"])
    market.approve(owner, ask.message(0))
    market.node.at(market.revoke(owner, ask.message(0)))
    ask.do(RELAYER, 0, owner.sign(ask.message(0), market.domain))


@pytest.mark.parametrize("role", ["provider", "buyer"])
def test_revoke__wallet_that_changes_its_mind_after_a_match__cannot_break_it(
    market: FullMarket, project: Any, role: str
) -> None:
    """It revokes, cancels its groups, marks all its money, signs nothing any more; the match still opens."""
    wallet = deploy_wallet(market.node, project)
    scene = Scene(market, Cast(**{role: wallet}))
    match = scene.match()
    message: Message = match.offer if role == "provider" else match.order
    market.approve(wallet, message)
    for mood in (SIGNS_NOTHING, REVERTS):
        wallet.set_mood(market.node, mood)
    until = market.revoke(wallet, message)
    market.cancel(wallet, messages.Side.OFFERS, match.offer.slot >> 2)
    market.cancel(wallet, messages.Side.ORDERS, match.order.slot >> 7)
    market.request_withdraw(wallet, market.balance(wallet))
    market.node.at(until - 1)
    market.open(match)
