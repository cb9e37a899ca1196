"""scheduleFee: another fee, capped, for deals that open from a week later on. Open deals keep theirs."""

from __future__ import annotations

import pytest

from tests.contracts.actors import FEE_RECIPIENT, FEE_SETTER, GUARDIAN, PROVIDER, STRANGER, Actor
from tests.contracts.endings import FullMarket
from tests.contracts.factories import DAY, HOUR, UNIT
from tests.contracts.hall import FEE_BPS, Config
from tests.contracts.market import Market
from tests.contracts.refusals import Code, refused

NOTICE = 7 * DAY


def fee_now(market: Market) -> int:
    return int(market.escrow.feeBps())


def test_schedule_fee__takes_effect_a_week_later(market: Market) -> None:
    since = market.schedule_fee(250)
    assert since == market.node.now + NOTICE
    assert market.config() == Config(FEE_BPS, 250, since, 0)
    market.node.mine(since - 1)
    assert fee_now(market) == FEE_BPS
    market.node.mine(since)
    assert fee_now(market) == 250


def test_schedule_fee__a_second_before__deals_open_at_the_old_one(market: FullMarket) -> None:
    since = market.schedule_fee(250)
    market.node.mine(since - 2)
    deal = market.open(market.match())
    assert deal.opened_at == since - 1
    assert market.escrow.dealOf(deal.id).feeBps == FEE_BPS


def test_schedule_fee__from_then_on__deals_open_at_the_new_one(market: FullMarket) -> None:
    """1 hour of 4 GPUs at 10 MOLT: 40 MOLT, of which 2.5 % are the fee."""
    market.node.mine(market.schedule_fee(250))
    deal = market.open(market.match())
    assert market.escrow.dealOf(deal.id).feeBps == 250
    market.release(deal, 4 * HOUR)
    assert market.balance(FEE_RECIPIENT) == UNIT


def test_schedule_fee__deals_already_open__keep_theirs(market: FullMarket) -> None:
    deals = [market.open(market.match(order={"slot": slot})) for slot in (1, 2)]
    market.schedule_fee(300)
    market.release(deals[0], 4 * HOUR)
    assert market.balance(FEE_RECIPIENT) == 4 * UNIT // 10
    market.node.at(deals[1].ends_at)
    market.claim(deals[1], 4 * HOUR)
    market.node.mine(market.deadline(deals[1]) + NOTICE)
    assert fee_now(market) == 300
    market.finalize(deals[1])
    market.release(deals[0], 8 * HOUR)
    assert market.balance(FEE_RECIPIENT) == 3 * 4 * UNIT // 10


def test_schedule_fee__replaced_before_its_time__never_counts(market: Market) -> None:
    first = market.schedule_fee(300)
    market.node.at(first - 1)
    second = market.schedule_fee(200)
    assert second == first - 1 + NOTICE
    for time, fee in ((first, FEE_BPS), (second - 1, FEE_BPS), (second, 200)):
        market.node.mine(time)
        assert fee_now(market) == fee


def test_schedule_fee__replaced_again_and_again__stays_the_first(market: Market) -> None:
    for _ in range(3):
        since = market.schedule_fee(300)
        market.node.at(since - 1)
    market.schedule_fee(300)
    assert fee_now(market) == FEE_BPS


@pytest.mark.parametrize("after", [0, 100])
def test_schedule_fee__after_another_took_effect__that_one_stays_until_then(
    market: Market, after: int
) -> None:
    first = market.schedule_fee(300)
    market.node.at(first + after)
    second = market.schedule_fee(0)
    assert fee_now(market) == 300
    market.node.mine(second - 1)
    assert fee_now(market) == 300
    market.node.mine(second)
    assert fee_now(market) == 0


def test_schedule_fee__the_same__takes_back_what_was_announced(market: Market) -> None:
    market.schedule_fee(300)
    market.node.mine(market.schedule_fee(FEE_BPS) + DAY)
    assert fee_now(market) == FEE_BPS


@pytest.mark.parametrize("fee", [0, 300])
def test_schedule_fee__at_a_bound__counts(market: Market, fee: int) -> None:
    market.node.mine(market.schedule_fee(fee))
    assert fee_now(market) == fee


@pytest.mark.parametrize("fee", [301, 10_000, 2**16 - 1])
def test_schedule_fee__above_the_cap__refused(market: Market, fee: int) -> None:
    with refused(Code.FEE_OUT_OF_RANGE, actual=fee, limit=300):
        market.schedule_fee(fee)


def test_schedule_fee__offers_with_a_lower_limit__open_no_more(market: FullMarket) -> None:
    """A provider is bound to no fee that he has not signed."""
    match = market.match({"max_fee_bps": FEE_BPS})
    market.node.mine(market.schedule_fee(FEE_BPS + 1))
    with refused(Code.FEE_ABOVE_LIMIT, actual=FEE_BPS + 1, limit=FEE_BPS):
        market.open(match)


@pytest.mark.parametrize(
    "sender", [STRANGER, GUARDIAN, FEE_RECIPIENT, PROVIDER], ids=lambda actor: actor.role
)
def test_schedule_fee__by_anyone_but_the_fee_setter__refused(market: Market, sender: Actor) -> None:
    with refused(Code.NOT_HOLDER, actual=sender.address, limit=FEE_SETTER.address):
        market.schedule_fee(50, sender)


def test_config__deployed__reads_the_fee_of_the_deployment(market: Market) -> None:
    assert market.config() == Config(0, FEE_BPS, 0, 0)
    assert fee_now(market) == FEE_BPS
