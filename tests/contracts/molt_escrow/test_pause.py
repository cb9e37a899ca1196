"""pause: for 72 hours no deal opens. Everything else goes on, and nobody can pause again for a week."""

from __future__ import annotations

import pytest

from tests.contracts.actors import (
    ATTESTORS,
    BUYER,
    FEE_RECIPIENT,
    FEE_SETTER,
    GUARDIAN,
    OPENER,
    OTHER_BUYER,
    PROVIDER,
    STRANGER,
    Actor,
)
from tests.contracts.endings import FullMarket
from tests.contracts.factories import DAY, HOUR, UNIT, make_policy
from tests.contracts.market import Market
from tests.contracts.refusals import Code, refused
from tests.contracts.words import CLAIM, COUNTER, WORDS, Cast, Scene, Word

PAUSE, REST = 72 * HOUR, 7 * DAY
EXITS = {name: word for name, word in WORDS.items() if name not in {"offer", "order"}}


# ---------------------------------------------------------------- openings


def test_pause__holds_up_openings(market: Market) -> None:
    until = market.pause()
    assert until == market.node.now + PAUSE
    with refused(Code.PAUSED, actual=market.node.now + 1, limit=until):
        market.open(market.match())


def test_pause__a_second_before_it_lapses__still_holds_them_up(market: Market) -> None:
    until = market.pause()
    market.node.at(until - 1)
    with refused(Code.PAUSED, actual=until - 1, limit=until):
        market.open(market.match())


def test_pause__lapsed__deals_open_again(market: Market) -> None:
    until = market.pause()
    market.node.at(until)
    market.open(market.match())


def test_pause__check_says_so(market: Market) -> None:
    until = market.pause()
    assert market.check(market.match(), BUYER) == (Code.PAUSED, market.node.now, until)


def test_pause__pair_that_does_not_fit__says_that_first(market: Market) -> None:
    """What a pair says is for ever, a pause is not."""
    market.pause()
    match = market.match({"price_per_gpu_hour": 500 * UNIT, "expires_at": 1})
    assert market.check(match, BUYER)[0] == Code.PRICE_ABOVE_LIMIT
    assert market.check(market.vary("offer", expires_at=1), BUYER)[0] == Code.PAUSED


# ---------------------------------------------------------------- what goes on


@pytest.mark.parametrize("word", EXITS.values(), ids=EXITS)
def test_pause__any_other_verb_of_a_party__goes_on(market: FullMarket, word: Word) -> None:
    """Of deals that were open before, and of balances."""
    scene = Scene(market, Cast())
    ask = word.ask(scene)
    until = market.pause()
    ask.do(word.whose(scene), until - 1)
    assert market.node.now < until


def test_pause__the_whole_voucher__closes(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.pause()
    market.release(deal, deal.allocation)


@pytest.mark.parametrize("stage", ["locked", "claimed", "disputed"])
def test_pause__deadline_over__finalizes(market: FullMarket, stage: str) -> None:
    deal = getattr(Scene(market, Cast()), stage)()
    deadline = market.deadline(deal)
    market.node.at(deadline - 1)
    until = market.pause()
    market.finalize(deal)
    assert market.node.now < until


def test_pause__from_opening_to_withdrawal__money_goes_out(market: FullMarket) -> None:
    """The longest way: a claim, a dispute, a ruling and a withdrawal, all within one pause."""
    deal = market.open(market.match(order={"duration_hours": 2}))
    until = market.pause()
    market.node.at(deal.ends_at)
    market.claim(deal, 8 * HOUR)
    market.dispute(deal, 4 * HOUR)
    market.resolve(deal, 6 * HOUR)
    unlock_at = market.request_withdraw(PROVIDER, market.balance(PROVIDER)).time + 900
    market.node.at(unlock_at)
    market.withdraw(PROVIDER)
    assert market.balance(PROVIDER) == 0
    assert market.node.now < until


def test_pause__deposits_approvals_and_policies__go_on(market: Market) -> None:
    market.pause()
    market.stock(OTHER_BUYER, 5)
    match = market.match()
    market.approve(BUYER, match.order)
    market.revoke(BUYER, match.order)
    market.register(make_policy(bond_bps=1), ATTESTORS)
    market.schedule_fee(0)
    market.send(GUARDIAN, "offerRole", 0, OPENER.address)


def test_pause__money_in_deals__is_what_it_was(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.release(deal, HOUR)
    market.pause()
    market.node.at(deal.ends_at)
    market.claim(deal, CLAIM)
    market.dispute(deal, COUNTER)


# ---------------------------------------------------------------- the rest


@pytest.mark.parametrize("after", [1, PAUSE, PAUSE + REST - 1])
def test_pause__again_before_the_rest_is_over__refused(market: Market, after: int) -> None:
    until = market.pause()
    time = until - PAUSE + after
    market.node.at(time)
    with refused(Code.PAUSE_RESTING, actual=time, limit=until + REST):
        market.pause()


def test_pause__rested__pauses_again(market: Market) -> None:
    until = market.pause()
    market.node.at(until + REST)
    assert market.pause() == until + REST + PAUSE
    with refused(Code.PAUSED, actual=market.node.now + 1, limit=until + REST + PAUSE):
        market.open(market.match())


def test_pause__by_a_new_guardian__rests_all_the_same(market: Market) -> None:
    """Handing the role round is no way to pause for ever."""
    until = market.pause()
    market.send(GUARDIAN, "offerRole", 0, OPENER.address)
    market.send(OPENER, "acceptRole", 0)
    market.node.at(until)
    with refused(Code.PAUSE_RESTING, actual=until, limit=until + REST):
        market.pause(OPENER)


# ---------------------------------------------------------------- unpause


def test_unpause__lets_deals_open_at_once(market: Market) -> None:
    market.pause()
    market.unpause()
    market.open(market.match())


def test_unpause__rest_counts_from_it(market: Market) -> None:
    market.pause()
    ended = market.unpause()
    market.node.at(ended + REST - 1)
    with refused(Code.PAUSE_RESTING, actual=ended + REST - 1, limit=ended + REST):
        market.pause()
    market.node.at(ended + REST)
    market.pause()


@pytest.mark.parametrize("paused_before", [False, True], ids=["never", "lapsed"])
def test_unpause__not_paused__changes_nothing(market: Market, *, paused_before: bool) -> None:
    """Else it would put off the next pause, or bring it forward."""
    until = market.pause() if paused_before else 0
    if paused_before:
        market.node.at(until)
    assert market.send(GUARDIAN, "unpause").logs == []
    assert market.config().paused_until == until


# ---------------------------------------------------------------- who


@pytest.mark.parametrize(
    "sender", [STRANGER, FEE_SETTER, FEE_RECIPIENT, BUYER, PROVIDER], ids=lambda actor: actor.role
)
def test_pause__by_anyone_but_the_guardian__refused(market: Market, sender: Actor) -> None:
    with refused(Code.NOT_HOLDER, actual=sender.address, limit=GUARDIAN.address):
        market.pause(sender)


@pytest.mark.parametrize("sender", [STRANGER, FEE_SETTER], ids=lambda actor: actor.role)
def test_unpause__by_anyone_but_the_guardian__refused(market: Market, sender: Actor) -> None:
    market.pause()
    with refused(Code.NOT_HOLDER, actual=sender.address, limit=GUARDIAN.address):
        market.send(sender, "unpause")
