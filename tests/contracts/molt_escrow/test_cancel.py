"""cancel: kill the offers or orders of a group, after the delay. What dies when: test_open_times.py."""

from __future__ import annotations

import pytest

from molt_market.signing.messages import CancelOrders, Side
from tests.contracts.actors import BUYER, PROVIDER, RELAYER, STRANGER
from tests.contracts.hall import CANCEL_DELAY
from tests.contracts.market import Market
from tests.contracts.refusals import Code, Reverted, refused

sides = pytest.mark.parametrize("side", Side, ids=lambda side: side.name.lower())


@sides
def test_cancel__first__takes_effect_after_the_delay(market: Market, side: Side) -> None:
    cutoff = market.cancel(BUYER, side, 3)
    group = market.escrow.groupOf(BUYER.address, side, 3)
    assert (group.deadBefore, group.cutoffAt) == (0, cutoff)
    assert cutoff == market.node.now + CANCEL_DELAY


def test_cancel__again__remembers_the_first(market: Market) -> None:
    first = market.cancel(BUYER, Side.ORDERS, 3)
    market.node.at(first + 5)
    second = market.cancel(BUYER, Side.ORDERS, 3)
    group = market.escrow.groupOf(BUYER.address, Side.ORDERS, 3)
    assert (group.deadBefore, group.cutoffAt) == (first, second)


def test_cancel__a_second_before_the_pending_one__refused(market: Market) -> None:
    cutoff = market.cancel(BUYER, Side.ORDERS, 3)
    market.node.at(cutoff - 1)
    with refused(Code.CANCEL_PENDING, actual=cutoff - 1, limit=cutoff):
        market.cancel(BUYER, Side.ORDERS, 3)


def test_cancel__at_the_pending_one__accepted(market: Market) -> None:
    cutoff = market.cancel(BUYER, Side.ORDERS, 3)
    market.node.at(cutoff)
    assert market.cancel(BUYER, Side.ORDERS, 3) == cutoff + CANCEL_DELAY


def test_cancel__keeps_gpus_and_bits(market: Market) -> None:
    deal = market.open(market.match())
    market.cancel(PROVIDER, Side.OFFERS, 1)
    market.cancel(BUYER, Side.ORDERS, 1)
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 4
    market.release(deal, deal.allocation)


def test_cancel__other_groups_sides_and_owners__untouched(market: Market) -> None:
    market.cancel(BUYER, Side.ORDERS, 3)
    for owner, side, group in [(BUYER, 0, 3), (BUYER, 1, 2), (BUYER, 1, 4), (PROVIDER, 1, 3)]:
        assert market.escrow.groupOf(owner.address, side, group).cutoffAt == 0


def test_cancel__largest_group__stays_on_its_side(market: Market) -> None:
    market.cancel(BUYER, Side.OFFERS, 2**64 - 1)
    assert market.escrow.groupOf(BUYER.address, Side.ORDERS, 2**64 - 1).cutoffAt == 0
    assert market.escrow.groupOf(BUYER.address, Side.OFFERS, 2**64 - 1).cutoffAt != 0


def test_cancel__of_another__refused(market: Market) -> None:
    with refused(Code.BAD_SIGNATURE, actual=STRANGER.address, limit=BUYER.address):
        market.cancel(BUYER, Side.ORDERS, 3, sender=STRANGER)


def test_cancel__unknown_side__reverted(market: Market) -> None:
    data = market.encode("cancel", BUYER.address, 1, 3, 0, b"")
    data = data[:67] + b"\x02" + data[68:]
    with pytest.raises(Reverted):
        market.node.send(BUYER.address, market.domain.escrow, data)


# ---------------------------------------------------------------- by signature


def test_cancel__signed__counts(market: Market) -> None:
    deadline = market.node.now + 100
    sig = BUYER.sign(CancelOrders(BUYER.address, Side.ORDERS, 3, 0, deadline), market.domain)
    market.cancel(BUYER, Side.ORDERS, 3, sender=RELAYER, deadline=deadline, sig=sig)


def test_cancel__at_its_deadline__refused(market: Market) -> None:
    deadline = market.node.now + 100
    sig = BUYER.sign(CancelOrders(BUYER.address, Side.ORDERS, 3, 0, deadline), market.domain)
    market.node.at(deadline)
    with refused(Code.TOO_LATE, actual=deadline, limit=deadline):
        market.cancel(BUYER, Side.ORDERS, 3, sender=RELAYER, deadline=deadline, sig=sig)


@pytest.mark.parametrize(("side", "group"), [(Side.OFFERS, 3), (Side.ORDERS, 4)], ids=["side", "group"])
def test_cancel__signed_for_another_group__refused(market: Market, side: Side, group: int) -> None:
    deadline = market.node.now + 100
    sig = BUYER.sign(CancelOrders(BUYER.address, Side.ORDERS, 3, 0, deadline), market.domain)
    found = market.recovered(CancelOrders(BUYER.address, side, group, 0, deadline), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=BUYER.address):
        market.cancel(BUYER, side, group, sender=RELAYER, deadline=deadline, sig=sig)


def test_cancel__replayed_while_pending__refused(market: Market) -> None:
    """What was signed names the cutoff before it: the cancel itself has moved that."""
    deadline = market.node.now + CANCEL_DELAY
    sig = BUYER.sign(CancelOrders(BUYER.address, Side.ORDERS, 3, 0, deadline), market.domain)
    cutoff = market.cancel(BUYER, Side.ORDERS, 3, sender=RELAYER, deadline=deadline, sig=sig)
    found = market.recovered(CancelOrders(BUYER.address, Side.ORDERS, 3, cutoff, deadline), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=BUYER.address):
        market.cancel(BUYER, Side.ORDERS, 3, sender=STRANGER, deadline=deadline, sig=sig)


def test_cancel__replayed_when_in_effect__refused(market: Market) -> None:
    """Otherwise whoever has seen one cancel could kill later orders, until its deadline."""
    deadline = market.node.now + 10 * CANCEL_DELAY
    sig = BUYER.sign(CancelOrders(BUYER.address, Side.ORDERS, 3, 0, deadline), market.domain)
    cutoff = market.cancel(BUYER, Side.ORDERS, 3, sender=RELAYER, deadline=deadline, sig=sig)
    market.node.at(cutoff)
    found = market.recovered(CancelOrders(BUYER.address, Side.ORDERS, 3, cutoff, deadline), sig)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=BUYER.address):
        market.cancel(BUYER, Side.ORDERS, 3, sender=STRANGER, deadline=deadline, sig=sig)


def test_cancel__signed_with_the_present_cutoff__counts(market: Market) -> None:
    cutoff = market.cancel(BUYER, Side.ORDERS, 3)
    deadline = cutoff + 100
    sig = BUYER.sign(CancelOrders(BUYER.address, Side.ORDERS, 3, cutoff, deadline), market.domain)
    market.node.at(cutoff)
    market.cancel(BUYER, Side.ORDERS, 3, sender=RELAYER, deadline=deadline, sig=sig)


def test_cancel__signed_ahead_of_the_present_cutoff__refused_while_that_is_pending(market: Market) -> None:
    cutoff = market.cancel(BUYER, Side.ORDERS, 3)
    deadline = cutoff + 100
    sig = BUYER.sign(CancelOrders(BUYER.address, Side.ORDERS, 3, cutoff, deadline), market.domain)
    market.node.at(cutoff - 1)
    with refused(Code.CANCEL_PENDING, actual=cutoff - 1, limit=cutoff):
        market.cancel(BUYER, Side.ORDERS, 3, sender=RELAYER, deadline=deadline, sig=sig)
