"""open: offer and order are valid at this second: created, not expired, not cancelled."""

from __future__ import annotations

import pytest

from molt_market.signing.messages import Side
from tests.contracts.actors import BUYER, PROVIDER, Actor
from tests.contracts.factories import DAY
from tests.contracts.hall import CANCEL_DELAY
from tests.contracts.market import Market
from tests.contracts.refusals import Code, refused


@pytest.mark.parametrize(("side", "code"), [("offer", Code.OFFER_EXPIRED), ("order", Code.ORDER_EXPIRED)])
def test_open__at_expiry__refused(market: Market, side: str, code: Code) -> None:
    expires_at = market.node.now + 100
    match = market.vary(side, expires_at=expires_at)
    market.node.at(expires_at)
    with refused(code, actual=expires_at, limit=expires_at):
        market.open(match)


@pytest.mark.parametrize("side", ["offer", "order"])
def test_open__a_second_before_expiry__opens(market: Market, side: str) -> None:
    expires_at = market.node.now + 100
    match = market.vary(side, expires_at=expires_at)
    market.node.at(expires_at - 1)
    market.open(match)


@pytest.mark.parametrize(
    ("side", "code"), [("offer", Code.OFFER_NOT_YET_VALID), ("order", Code.ORDER_NOT_YET_VALID)]
)
def test_open__a_second_before_creation__refused(market: Market, side: str, code: Code) -> None:
    created_at = market.node.now + 100
    match = market.vary(side, created_at=created_at)
    market.node.at(created_at - 1)
    with refused(code, actual=created_at - 1, limit=created_at):
        market.open(match)


@pytest.mark.parametrize("side", ["offer", "order"])
def test_open__at_creation__opens(market: Market, side: str) -> None:
    created_at = market.node.now + 100
    match = market.vary(side, created_at=created_at)
    market.node.at(created_at)
    market.open(match)


# ---------------------------------------------------------------- cancelled

CANCELS = [
    ("offer", PROVIDER, Side.OFFERS, Code.OFFER_CANCELLED),
    ("order", BUYER, Side.ORDERS, Code.ORDER_CANCELLED),
]
cancels = pytest.mark.parametrize(("kind", "owner", "side", "code"), CANCELS, ids=["offer", "order"])


@cancels
def test_open__at_cutoff__refused(market: Market, kind: str, owner: Actor, side: Side, code: Code) -> None:
    created_at = market.node.now
    cutoff = market.cancel(owner, side, 1)
    market.node.at(cutoff)
    with refused(code, actual=created_at, limit=cutoff):
        market.open(market.vary(kind, created_at=created_at))


@cancels
def test_open__a_second_before_cutoff__opens(
    market: Market, kind: str, owner: Actor, side: Side, code: Code
) -> None:
    cutoff = market.cancel(owner, side, 1)
    market.node.at(cutoff - 1)
    market.open(market.match())


@cancels
def test_open__created_at_cutoff__opens(
    market: Market, kind: str, owner: Actor, side: Side, code: Code
) -> None:
    cutoff = market.cancel(owner, side, 1)
    market.node.at(cutoff)
    market.open(market.vary(kind, created_at=cutoff))


@cancels
def test_open__created_before_cutoff__dead_from_then_on(
    market: Market, kind: str, owner: Actor, side: Side, code: Code
) -> None:
    """Also what was made after the cancel was called, while it was pending."""
    cutoff = market.cancel(owner, side, 1)
    market.node.at(cutoff + DAY)
    with refused(code, actual=cutoff - 1, limit=cutoff):
        market.open(market.vary(kind, created_at=cutoff - 1))


@cancels
def test_open__cancelled_twice__nothing_revives(
    market: Market, kind: str, owner: Actor, side: Side, code: Code
) -> None:
    """While the second cancel is pending, the first one holds."""
    first = market.cancel(owner, side, 1)
    market.node.at(first)
    second = market.cancel(owner, side, 1)
    assert second == first + CANCEL_DELAY
    with refused(code, actual=first - 1, limit=first):
        market.open(market.vary(kind, created_at=first - 1))
    market.open(market.vary(kind, created_at=first))


@cancels
def test_open__another_group_cancelled__opens(
    market: Market, kind: str, owner: Actor, side: Side, code: Code
) -> None:
    market.cancel(owner, side, 0)
    cutoff = market.cancel(owner, side, 2)
    market.node.at(cutoff)
    market.open(market.match())


@cancels
def test_open__other_side_cancelled__opens(
    market: Market, kind: str, owner: Actor, side: Side, code: Code
) -> None:
    cutoff = market.cancel(owner, Side(1 - side), 1)
    market.node.at(cutoff)
    market.open(market.match())


def test_open__order_opened_and_its_group_cancelled__never_opens_again(market: Market) -> None:
    """A cancel kills orders; it does not give their slots back."""
    market.open(market.match())
    cutoff = market.cancel(BUYER, Side.ORDERS, 1)
    market.node.at(cutoff)
    with refused(Code.ORDER_CANCELLED, actual=0, limit=cutoff):
        market.open(market.match())
    with refused(Code.ORDER_ALREADY_OPENED, actual=130, limit=130):
        market.open(market.vary("order", created_at=cutoff))
