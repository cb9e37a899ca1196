"""stop: the buyer brings the end forward, by one notice at least, and never before the commitment.

The default deal: 8 hours, commitment 2 hours, notice 15 minutes, grace 3 hours.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contracts import model
from tests.contracts.actors import AGENT, ATTESTORS, BUYER, PROVIDER, RELAYER, STRANGER, VOUCHER_SIGNER, Actor
from tests.contracts.endings import FullMarket
from tests.contracts.endings_model import STOPPED
from tests.contracts.factories import HOUR, RESULT, UNIT, OpenDeal, make_policy
from tests.contracts.refusals import Code, refused

WHOLE = 32 * HOUR
NOTICE = 15 * 60
GRACE = 3 * HOUR
COMMITMENT = 2 * HOUR


def stopped(market: FullMarket, *, after: int) -> OpenDeal:
    """Open the default deal and stop it so many seconds later."""
    deal = market.open(market.match())
    market.node.at(deal.opened_at + after)
    market.stop(deal)
    return deal


# ---------------------------------------------------------------- the new end


def test_stop__writes_end_and_deadline(market: FullMarket) -> None:
    deal = stopped(market, after=4 * HOUR)
    stored = market.escrow.dealOf(deal.id)
    assert stored.status == model.LOCKED
    assert stored.flags == STOPPED
    assert stored.endsAt == deal.opened_at + 4 * HOUR + NOTICE
    assert stored.deadline == stored.endsAt + GRACE


def test_stop__emits_the_new_end(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.node.at(deal.opened_at + 4 * HOUR)
    receipt = market.stop(deal)
    end = deal.opened_at + 4 * HOUR + NOTICE
    says = {"dealId": deal.id, "endsAt": end, "deadline": end + GRACE, "excused": False}
    assert receipt.events(market.escrow) == [("DealStopped", says)]


@pytest.mark.parametrize(
    ("after", "ends_after"),
    [
        (COMMITMENT - NOTICE - 1, COMMITMENT),
        (COMMITMENT - NOTICE, COMMITMENT),
        (COMMITMENT - NOTICE + 1, COMMITMENT + 1),
    ],
)
def test_stop__never_ends_before_the_commitment(market: FullMarket, after: int, ends_after: int) -> None:
    deal = stopped(market, after=after)
    assert market.escrow.dealOf(deal.id).endsAt == deal.opened_at + ends_after


@pytest.mark.parametrize("minutes", [1, 4, 5, 60, 255])
def test_stop__any_notice__ends_one_notice_later(market: FullMarket, minutes: int) -> None:
    policy = {"policy_id": market.register(make_policy(notice_minutes=minutes), ATTESTORS)}
    deal = market.open(market.match(offer={**policy, "min_commitment_hours": 0}, order=policy))
    receipt = market.stop(deal)
    assert market.escrow.dealOf(deal.id).endsAt == receipt.time + minutes * 60


def test_stop__keeps_the_gpus_until_the_provider_lets_go(market: FullMarket) -> None:
    deal = stopped(market, after=4 * HOUR)
    assert market.escrow.gpusInUse(PROVIDER.address, deal.terms.slot) == 4
    market.cancel_deal(deal)
    assert market.escrow.gpusInUse(PROVIDER.address, deal.terms.slot) == 0


# ---------------------------------------------------------------- excused


@pytest.mark.parametrize(
    ("after", "flags"),
    [(1, STOPPED | model.EXCUSED), (NOTICE - 1, STOPPED | model.EXCUSED), (NOTICE, STOPPED)],
)
def test_stop__within_a_notice_of_the_opening__excuses(market: FullMarket, after: int, flags: int) -> None:
    deal = stopped(market, after=after)
    assert market.escrow.dealOf(deal.id).flags == flags


def test_stop__in_the_first_block__excuses(market: FullMarket) -> None:
    """Open and stop in one transaction: no second passes."""
    match = market.match()
    terms = market.terms(match).as_tuple()
    calls = [market.encode("open", match.as_tuple()), market.encode("stop", terms, 0, b"")]
    receipt = market.send(BUYER, "multicall", calls, False)
    deal = market.opened(match, receipt.time)
    assert market.modelled(deal).stop(receipt.time)
    assert market.escrow.dealOf(deal.id).endsAt == deal.opened_at + COMMITMENT


# ---------------------------------------------------------------- too late, twice, in another state


def test_stop__that_moves_the_end_by_a_second__stops(market: FullMarket) -> None:
    deal = stopped(market, after=8 * HOUR - NOTICE - 1)
    assert market.escrow.dealOf(deal.id).endsAt == deal.ends_at - 1


@pytest.mark.parametrize("before_end", [NOTICE, NOTICE - 1, 1, 0, -1, -GRACE])
def test_stop__that_would_not_move_the_end__refused(market: FullMarket, before_end: int) -> None:
    deal = market.open(market.match())
    now = deal.ends_at - before_end
    market.node.at(now)
    with refused(Code.STOP_TOO_LATE, actual=now + NOTICE, limit=deal.ends_at):
        market.stop(deal)


def test_stop__committed_to_the_whole_time__refused(market: FullMarket) -> None:
    deal = market.open(market.match(offer={"min_commitment_hours": 8}))
    with refused(Code.STOP_TOO_LATE, actual=deal.ends_at, limit=deal.ends_at):
        market.stop(deal)


def test_stop__twice__refused(market: FullMarket) -> None:
    deal = stopped(market, after=4 * HOUR)
    end = deal.opened_at + 4 * HOUR + NOTICE
    with refused(Code.ALREADY_STOPPED, actual=end, limit=end):
        market.stop(deal)


def test_stop__unknown_deal__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    other = replace(deal, terms=replace(deal.terms, commitment=0))
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.LOCKED):
        market.stop(other)


def test_stop__claimed__refused(market: FullMarket) -> None:
    """A job that finished early is claimed before its end: there is nothing left to stop."""
    deal = market.open(market.match())
    market.node.at(deal.opened_at + HOUR)
    market.claim(deal, 4 * HOUR, result=RESULT)
    with refused(Code.WRONG_STATUS, actual=model.CLAIMED, limit=model.LOCKED):
        market.stop(deal)


def test_stop__disputed__refused(market: FullMarket) -> None:
    deal = market.disputed(market.match(), WHOLE)
    with refused(Code.WRONG_STATUS, actual=model.DISPUTED, limit=model.LOCKED):
        market.stop(deal)


def test_stop__closed__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.cancel_deal(deal)
    with refused(Code.WRONG_STATUS, actual=model.REFUNDED, limit=model.LOCKED):
        market.stop(deal)


@pytest.mark.parametrize(
    "sender", [PROVIDER, AGENT, VOUCHER_SIGNER, RELAYER, STRANGER], ids=lambda actor: actor.role
)
def test_stop__by_anyone_but_the_buyer__refused(market: FullMarket, sender: Actor) -> None:
    deal = market.open(market.match())
    with refused(Code.BAD_SIGNATURE, actual=sender.address, limit=BUYER.address):
        market.stop(deal, sender=sender)


# ---------------------------------------------------------------- what a stopped deal still pays


def test_stop__voucher_above_the_new_end__honoured(market: FullMarket) -> None:
    """A stop never revokes a voucher: here one for all of it, although only half of the time will pass."""
    deal = stopped(market, after=4 * HOUR)
    market.release(deal, WHOLE)
    assert market.status(deal) == model.RELEASED
    assert market.balance(BUYER) == (10_000 - 320) * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT + 3_168 * UNIT // 10


def test_stop__interim_voucher_above_the_new_end__honoured_and_the_bond_is_whole(market: FullMarket) -> None:
    deal = stopped(market, after=4 * HOUR)
    market.release(deal, 24 * HOUR)
    market.node.at(market.deadline(deal))
    market.finalize(deal)
    assert market.balance(BUYER) == (10_000 - 240) * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT + 2_376 * UNIT // 10


def test_stop__claim_of_the_shortened_time__pays_it_and_the_whole_bond(market: FullMarket) -> None:
    """4 GPUs for 4 hours: 160 MOLT, 1 % fee."""
    deal = stopped(market, after=4 * HOUR - NOTICE)
    market.node.at(deal.opened_at + 4 * HOUR)
    market.claim(deal, 16 * HOUR)
    market.node.at(market.deadline(deal))
    market.finalize(deal)
    assert market.balance(BUYER) == (10_000 - 160) * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT + 1_584 * UNIT // 10


def test_stop__claim_of_half_the_shortened_time__earns_half_of_the_bond(market: FullMarket) -> None:
    deal = stopped(market, after=4 * HOUR - NOTICE)
    market.node.at(deal.opened_at + 4 * HOUR)
    market.claim(deal, 8 * HOUR)
    market.node.at(market.deadline(deal))
    market.finalize(deal)
    assert market.balance(BUYER) == (10_000 - 80 + 16) * UNIT
    assert market.balance(PROVIDER) == (1_000 - 16) * UNIT + 792 * UNIT // 10


def test_stop__claim_above_the_new_end__refused(market: FullMarket) -> None:
    """However late it comes."""
    deal = stopped(market, after=4 * HOUR - NOTICE)
    market.node.at(deal.opened_at + 6 * HOUR)
    with refused(Code.ABOVE_ELAPSED, actual=16 * HOUR + 1, limit=16 * HOUR):
        market.claim(deal, 16 * HOUR + 1)


def test_stop__claim_without_result_before_the_new_end__refused(market: FullMarket) -> None:
    deal = stopped(market, after=4 * HOUR - NOTICE)
    end = deal.opened_at + 4 * HOUR
    market.node.at(end - 1)
    with refused(Code.NOT_COMPLETED, actual=end - 1, limit=end):
        market.claim(deal, HOUR)


def test_stop__claim_in_the_last_second_of_the_new_grace__claims(market: FullMarket) -> None:
    deal = stopped(market, after=4 * HOUR)
    market.node.at(market.deadline(deal) - 1)
    market.claim(deal, HOUR)


def test_stop__claim_at_the_new_deadline__refused(market: FullMarket) -> None:
    deal = stopped(market, after=4 * HOUR)
    deadline = market.deadline(deal)
    assert deadline < deal.ends_at + GRACE
    market.node.at(deadline)
    with refused(Code.TOO_LATE, actual=deadline, limit=deadline):
        market.claim(deal, HOUR)


@pytest.mark.parametrize(("after", "to_provider"), [(NOTICE - 1, 32), (NOTICE, 0)], ids=["excused", "not"])
def test_stop__no_show__bond_goes_to_the_buyer_unless_excused(
    market: FullMarket, after: int, to_provider: int
) -> None:
    deal = stopped(market, after=after)
    market.node.at(market.deadline(deal))
    market.finalize(deal)
    assert market.status(deal) == model.REFUNDED
    assert market.balance(BUYER) == (10_032 - to_provider) * UNIT
    assert market.balance(PROVIDER) == (968 + to_provider) * UNIT


def test_stop__finalize_a_second_before_the_new_deadline__refused(market: FullMarket) -> None:
    deal = stopped(market, after=4 * HOUR)
    deadline = market.deadline(deal)
    market.node.at(deadline - 1)
    with refused(Code.TOO_EARLY, actual=deadline - 1, limit=deadline):
        market.finalize(deal)


def test_stop__excused_claim__pays_it_and_the_whole_bond(market: FullMarket) -> None:
    """The buyer changed his mind at once; the provider had served one hour with one of four GPUs."""
    deal = stopped(market, after=1)
    market.node.at(deal.opened_at + COMMITMENT)
    market.claim(deal, HOUR)
    market.node.at(market.deadline(deal))
    market.finalize(deal)
    assert market.balance(BUYER) == 9_990 * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT + 99 * UNIT // 10
