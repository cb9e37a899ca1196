"""cancelDeal: the provider gives the deal up. What vouchers paid stays paid, the bond goes by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contracts import model
from tests.contracts.actors import (
    AGENT,
    ATTESTORS,
    BUYER,
    FEE_RECIPIENT,
    PROVIDER,
    RELAYER,
    STRANGER,
    VOUCHER_SIGNER,
    Actor,
)
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, UNIT, make_policy
from tests.contracts.refusals import Code, refused

WHOLE = 32 * HOUR
NOTICE = 4 * 15 * 60  # GPU-seconds of the tolerated start-up time


def test_cancel_deal__nothing_paid__returns_all_and_the_whole_bond_to_the_buyer(market: FullMarket) -> None:
    deal = market.open(market.match())
    receipt = market.cancel_deal(deal)
    says = {
        "dealId": deal.id,
        "status": model.REFUNDED,
        "gpuSeconds": 0,
        "toProvider": 0,
        "fee": 0,
        "toBuyer": 352 * UNIT,
    }
    assert receipt.events(market.escrow) == [("DealClosed", says)]
    assert market.balance(BUYER) == 10_032 * UNIT
    assert market.balance(PROVIDER) == 968 * UNIT
    assert market.balance(FEE_RECIPIENT) == 0


def test_cancel_deal__quarter_paid__keeps_it_and_a_quarter_of_the_bond(market: FullMarket) -> None:
    """8 of 32 GPU-hours: 80 MOLT, 1 % fee, 8 of 32 MOLT bond."""
    deal = market.open(market.match())
    market.release(deal, 8 * HOUR)
    market.cancel_deal(deal)
    assert market.status(deal) == model.RELEASED
    assert market.balance(BUYER) == (10_000 - 80 + 24) * UNIT
    assert market.balance(PROVIDER) == (1_000 - 24) * UNIT + 792 * UNIT // 10
    assert market.balance(FEE_RECIPIENT) == 8 * UNIT // 10


@pytest.mark.parametrize(
    ("short", "bond"), [(NOTICE, 32 * UNIT), (NOTICE + 1, 32 * UNIT * (WHOLE - NOTICE - 1) // WHOLE)]
)
def test_cancel_deal__paid_within_the_notice_of_all__returns_the_whole_bond(
    market: FullMarket, short: int, bond: int
) -> None:
    deal = market.open(market.match())
    market.release(deal, WHOLE - short)
    before = market.balance(PROVIDER)
    market.cancel_deal(deal)
    assert market.balance(PROVIDER) - before == bond


@pytest.mark.parametrize(("paid", "status"), [(0, model.REFUNDED), (8, model.RELEASED)])
def test_cancel_deal__excused__returns_the_whole_bond(market: FullMarket, paid: int, status: int) -> None:
    deal = market.open(market.match())
    market.stop(deal)
    if paid:
        market.release(deal, paid * HOUR)
    market.cancel_deal(deal)
    assert market.status(deal) == status
    assert market.balance(BUYER) == (10_000 - 10 * paid) * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT + 99 * paid * UNIT // 10


def test_cancel_deal__stopped_but_not_excused__bond_goes_by_the_shortened_time(market: FullMarket) -> None:
    """Half of the time that the stop left is paid: half of the bond."""
    deal = market.open(market.match())
    market.node.at(deal.opened_at + 4 * HOUR - 15 * 60)
    market.stop(deal)
    market.release(deal, 8 * HOUR)
    market.cancel_deal(deal)
    assert market.balance(PROVIDER) == (1_000 - 16) * UNIT + 792 * UNIT // 10


def test_cancel_deal__no_bond__returns_the_price(market: FullMarket) -> None:
    free = {"policy_id": market.register(make_policy(bond_bps=0), ATTESTORS)}
    deal = market.open(market.match(offer=free, order=free))
    market.cancel_deal(deal)
    assert market.balance(BUYER) == 10_000 * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT


def test_cancel_deal__odd_figures__to_the_base_unit(market: FullMarket) -> None:
    """7 of 32,400 GPU-seconds at 1,000,003 units per hour: 1,944 due, 19 fee; 193 of 900,002 bond."""
    odd = {"price_per_gpu_hour": 1_000_003}
    deal = market.open(market.match(offer=odd, order={"gpu_count": 3, "duration_hours": 3}))
    market.release(deal, 7)
    market.cancel_deal(deal)
    price, bond = 9_000_027, 900_002
    assert market.balance(PROVIDER) == 1_000 * UNIT - bond + 1_944 - 19 + 194
    assert market.balance(FEE_RECIPIENT) == 19
    assert market.balance(BUYER) == 10_000 * UNIT - price + (price - 1_944) + (bond - 194)


def test_cancel_deal__frees_the_gpus(market: FullMarket) -> None:
    """All eight of the offer are let to another order, in the same lane."""
    deal = market.open(market.match())
    market.cancel_deal(deal)
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 0
    market.open(market.match(order={"slot": 131, "gpu_count": 8, "max_budget": 1_000 * UNIT}))


def test_cancel_deal__leaves_the_gpus_of_other_deals_in_use(market: FullMarket) -> None:
    first = market.open(market.match())
    market.open(market.match(order={"slot": 131, "gpu_count": 3}))
    market.cancel_deal(first)
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 3


def test_cancel_deal__its_order_never_opens_again(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.cancel_deal(deal)
    with refused(Code.ORDER_ALREADY_OPENED, actual=130, limit=130):
        market.open(deal.match)


# ---------------------------------------------------------------- when


def test_cancel_deal__in_the_block_of_the_opening__closes(market: FullMarket) -> None:
    match = market.match()
    terms = market.terms(match).as_tuple()
    calls = [market.encode("open", match.as_tuple()), market.encode("cancelDeal", terms, 0, b"")]
    receipt = market.send(PROVIDER, "multicall", calls, False)
    deal = market.opened(match, receipt.time)
    market.model.finalize(deal.id)
    assert market.status(deal) == model.REFUNDED


@pytest.mark.parametrize("after_deadline", [-1, 0, 1_000_000])
def test_cancel_deal__around_the_deadline__closes_as_long_as_nobody_has(
    market: FullMarket, after_deadline: int
) -> None:
    """Nothing hangs on it: `finalize` would say the same."""
    deal = market.open(market.match())
    market.release(deal, 8 * HOUR)
    market.node.at(deal.deadline + after_deadline)
    market.cancel_deal(deal)
    assert market.balance(PROVIDER) == (1_000 - 24) * UNIT + 792 * UNIT // 10


# ---------------------------------------------------------------- in which state


def test_cancel_deal__unknown_deal__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    other = replace(deal, terms=replace(deal.terms, price_per_gpu_hour=1))
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.LOCKED):
        market.cancel_deal(other)


def test_cancel_deal__claimed__refused(market: FullMarket) -> None:
    deal = market.claimed(market.match(), 16 * HOUR)
    with refused(Code.WRONG_STATUS, actual=model.CLAIMED, limit=model.LOCKED):
        market.cancel_deal(deal)


def test_cancel_deal__disputed__refused(market: FullMarket) -> None:
    """He may concede."""
    deal = market.disputed(market.match(), 16 * HOUR)
    with refused(Code.WRONG_STATUS, actual=model.DISPUTED, limit=model.LOCKED):
        market.cancel_deal(deal)


def test_cancel_deal__twice__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.cancel_deal(deal)
    with refused(Code.WRONG_STATUS, actual=model.REFUNDED, limit=model.LOCKED):
        market.cancel_deal(deal)


def test_cancel_deal__then_a_voucher__refused(market: FullMarket) -> None:
    """The provider redeems the best voucher first."""
    deal = market.open(market.match())
    market.cancel_deal(deal)
    with refused(Code.WRONG_STATUS, actual=model.REFUNDED, limit=model.LOCKED):
        market.release(deal, HOUR)


# ---------------------------------------------------------------- who


@pytest.mark.parametrize(
    "sender", [AGENT, BUYER, VOUCHER_SIGNER, RELAYER, STRANGER], ids=lambda actor: actor.role
)
def test_cancel_deal__by_anyone_but_the_provider__refused(market: FullMarket, sender: Actor) -> None:
    deal = market.open(market.match())
    with refused(Code.BAD_SIGNATURE, actual=sender.address, limit=PROVIDER.address):
        market.cancel_deal(deal, sender=sender)
