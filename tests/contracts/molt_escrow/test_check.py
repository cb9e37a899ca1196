"""check: what `open` would answer. `Market.open` holds it against every refusal; here, what is left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contracts.actors import BUYER, OPENER, PROVIDER, STRANGER, Actor
from tests.contracts.factories import UNIT
from tests.contracts.market import Market
from tests.contracts.refusals import Code

FITS = (Code.NONE, 0, 0)


def test_check__fits__says_none(market: Market) -> None:
    assert market.check(market.match(), STRANGER) == FITS


def test_check__changes_nothing(market: Market) -> None:
    match = market.match()
    assert market.check(match, STRANGER) == market.check(match, STRANGER)
    market.open(match)


def test_check__opened__says_so(market: Market) -> None:
    match = market.match()
    market.open(match)
    assert market.check(match, STRANGER) == (Code.ORDER_ALREADY_OPENED, 130, 130)


@pytest.mark.parametrize(
    ("opener", "answer"),
    [
        (OPENER, FITS),
        (BUYER, FITS),
        (STRANGER, (Code.NOT_OPENER, STRANGER.number, OPENER.number)),
        (PROVIDER, (Code.NOT_OPENER, PROVIDER.number, OPENER.number)),
    ],
    ids=["opener", "buyer", "stranger", "provider"],
)
def test_check__answers_for_the_opener_asked_about(
    market: Market, opener: Actor, answer: tuple[int, int, int]
) -> None:
    assert market.check(market.match(order={"opener": OPENER.address}), opener) == answer


def test_check__unsigned_order__fits_its_buyer_only(market: Market) -> None:
    """So a buyer can ask before he signs."""
    match = replace(market.match(), order_sig=b"")
    assert market.check(match, BUYER) == FITS
    assert market.check(match, STRANGER) == (Code.BAD_SIGNATURE, STRANGER.number, BUYER.number)


def test_check__time_is_the_latest_blocks(market: Market) -> None:
    match = market.vary("offer", expires_at=market.node.now + 100)
    assert market.check(match, STRANGER) == FITS
    later = match.offer.expires_at
    market.node.mine(later)
    assert market.check(match, STRANGER) == (Code.OFFER_EXPIRED, later, later)


def test_check__many_reasons__says_the_first(market: Market) -> None:
    """What the pair says comes first, then time and use, then money, then signatures."""
    hopeless = {"price_per_gpu_hour": 500 * UNIT, "expires_at": 1}
    match = market.match(hopeless, order_sig=b"")
    assert market.check(match, STRANGER) == (Code.PRICE_ABOVE_LIMIT, 500 * UNIT, 12 * UNIT)
    match = market.match({**hopeless, "price_per_gpu_hour": UNIT}, order_sig=b"")
    assert market.check(match, STRANGER)[0] == Code.OFFER_EXPIRED
