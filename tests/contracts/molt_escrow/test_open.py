"""open: what it does, and whether it may be done now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from molt_market.signing.messages import Side
from tests.contracts import model
from tests.contracts.actors import (
    ATTESTORS,
    BUYER,
    FEE_RECIPIENT,
    OPENER,
    OTHER_BUYER,
    OTHER_PROVIDER,
    PROVIDER,
    RELAYER,
    STRANGER,
    Actor,
)
from tests.contracts.factories import DAY, HOUR, UNIT, make_policy
from tests.contracts.market import Market
from tests.contracts.refusals import Code, Reverted, refused

EIGHT_HOURS = 8 * HOUR


def test_open__takes_price_and_bond(market: Market) -> None:
    """320 MOLT for 4 GPUs x 8 hours x 10, and a tenth of it."""
    market.open(market.match())
    assert market.balance(BUYER) == (10_000 - 320) * UNIT
    assert market.balance(PROVIDER) == (1_000 - 32) * UNIT
    assert market.balance(FEE_RECIPIENT) == 0


def test_open__writes_the_deal(market: Market) -> None:
    deal = market.open(market.match())
    stored = market.escrow.dealOf(deal.id)
    assert stored.status == model.LOCKED
    assert stored.openedAt == market.node.now
    assert stored.endsAt == stored.openedAt + EIGHT_HOURS
    assert stored.deadline == stored.endsAt + 3 * HOUR
    assert (stored.feeBps, stored.bondBps, stored.noticeMinutes) == (100, 1_000, 15)
    assert (stored.flags, stored.paid, stored.claim) == (0, 0, 0)


def test_open__takes_lane_and_bit(market: Market) -> None:
    """Slot 6 of offers is lane 2 of group 1; slot 130 of orders is bit 2 of group 1."""
    market.open(market.match())
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 4
    assert market.escrow.groupOf(PROVIDER.address, Side.OFFERS, 1).payload == 4 << 64
    assert market.escrow.groupOf(BUYER.address, Side.ORDERS, 1).payload == 1 << 2


def test_open__emits_all_terms_and_the_word(market: Market) -> None:
    match = market.match()
    receipt = market.send(RELAYER, "open", match.as_tuple())
    deal = market.opened(match, receipt.time)
    terms, opened = deal.terms, receipt.time
    word = model.LOCKED | 100 << 16 | 1_000 << 32 | opened << 48 | deal.ends_at << 88 | deal.deadline << 128
    says = {
        "dealId": deal.id,
        "buyer": BUYER.address,
        "provider": PROVIDER.address,
        "voucherSigner": terms.voucher_signer,
        "agent": terms.agent,
        "pricePerGpuHour": 10 * UNIT,
        "gpuCount": 4,
        "duration": EIGHT_HOURS,
        "commitment": 2 * HOUR,
        "slot": 6,
        "policyId": market.policy_id,
        "orderHash": market.digest(match.order),
        "deal": word | 15 << 248,
    }
    assert receipt.events(market.escrow) == [("DealOpened", says)]


def test_open__price_is_the_offers(market: Market) -> None:
    """The buyer would have paid 12: what he does not owe stays his."""
    deal = market.open(market.match(offer={"price_per_gpu_hour": 7 * UNIT}))
    assert deal.terms.price_per_gpu_hour == 7 * UNIT
    assert market.balance(BUYER) == (10_000 - 7 * 32) * UNIT


def test_open__no_bond__needs_no_balance_of_the_provider(market: Market) -> None:
    free = {"policy_id": market.register(make_policy(bond_bps=0), ATTESTORS)}
    market.open(market.match(offer={**free, "provider": OTHER_PROVIDER.address}, order=free))
    assert market.balance(OTHER_PROVIDER) == 0


@pytest.mark.parametrize(
    ("field", "byte"),
    [(0, 11), (2, 19), (6, 2), (11, 26), (17, 0), (23, 27), (33, 11)],
    ids=["provider", "price", "country of offer", "createdAt", "buyer", "order's features", "opener"],
)
def test_open__dirty_bits__reverted(market: Market, field: int, byte: int) -> None:
    """A bit beside a field's value: an offer or order has one encoding."""
    data = bytearray(market.encode("open", market.match().as_tuple()))
    data[4 + 32 + 32 * field + byte] ^= (
        0x80  # behind selector and offset, the 17 words of the offer come first
    )
    with pytest.raises(Reverted) as caught:
        market.node.send(RELAYER.address, market.domain.escrow, bytes(data))
    assert caught.value.data == b""


# ---------------------------------------------------------------- who


def test_open__no_opener_named__opens_for_anyone(market: Market) -> None:
    market.open(market.match(), sender=STRANGER)


@pytest.mark.parametrize("sender", [OPENER, BUYER], ids=lambda actor: actor.role)
def test_open__opener_named__opens_for_him_and_the_buyer(market: Market, sender: Actor) -> None:
    market.open(market.match(order={"opener": OPENER.address}), sender=sender)


@pytest.mark.parametrize("sender", [STRANGER, PROVIDER], ids=lambda actor: actor.role)
def test_open__opener_named__refused_for_anybody_else(market: Market, sender: Actor) -> None:
    with refused(Code.NOT_OPENER, actual=sender.address, limit=OPENER.address):
        market.open(market.match(order={"opener": OPENER.address}), sender=sender)


# ---------------------------------------------------------------- once, and never too many


def test_open__order_opened__never_opens_again(market: Market) -> None:
    match = market.match()
    market.open(match)
    with refused(Code.ORDER_ALREADY_OPENED, actual=130, limit=130):
        market.open(match)


def test_open__order_of_a_closed_deal__never_opens_again(market: Market) -> None:
    deal = market.open(market.match())
    market.release(deal, deal.allocation)
    with refused(Code.ORDER_ALREADY_OPENED, actual=130, limit=130):
        market.open(deal.match)


def test_open__another_order_of_the_slot__refused(market: Market) -> None:
    """The bit belongs to the slot, whatever else the order says."""
    market.open(market.match())
    with refused(Code.ORDER_ALREADY_OPENED, actual=130, limit=130):
        market.open(market.match(order={"gpu_count": 1}))


def test_open__same_slot_of_another_buyer__opens(market: Market) -> None:
    market.stock(OTHER_BUYER, 320 * UNIT)
    market.open(market.match())
    market.open(market.match(order={"buyer": OTHER_BUYER.address}))
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 8


@pytest.mark.parametrize(("slot", "other"), [(0, 1), (127, 128), (2, 130), (2**64 - 1, 2**64 - 2)], ids=hex)
def test_open__neighbouring_orders__they_do_not_meet(market: Market, slot: int, other: int) -> None:
    market.open(market.match(order={"slot": slot, "gpu_count": 2}))
    market.open(market.match(order={"slot": other, "gpu_count": 2}))
    with refused(Code.ORDER_ALREADY_OPENED, actual=slot, limit=slot):
        market.open(market.match(order={"slot": slot, "gpu_count": 2}))


def test_open__capacity_exact__opens(market: Market) -> None:
    market.open(market.match(order={"slot": 1}))
    market.open(market.match(order={"slot": 2}))
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 8


def test_open__capacity_over_by_one__refused(market: Market) -> None:
    market.open(market.match())
    with refused(Code.CAPACITY_EXCEEDED, actual=9, limit=8):
        market.open(market.match(order={"slot": 1, "gpu_count": 5, "max_budget": 400 * UNIT}))


def test_open__two_offers_of_one_slot__they_share_its_gpus(market: Market) -> None:
    """A new price is a new offer on the same slot: the GPUs are the same."""
    market.open(market.match(order={"gpu_count": 6, "max_budget": 600 * UNIT}))
    dearer = {"price_per_gpu_hour": 11 * UNIT}
    with refused(Code.CAPACITY_EXCEEDED, actual=9, limit=8):
        market.open(market.match(offer=dearer, order={"slot": 1, "gpu_count": 3}))
    market.open(market.match(offer=dearer, order={"slot": 1, "gpu_count": 2}))


def test_open__smaller_offer_of_a_used_slot__refused(market: Market) -> None:
    market.open(market.match())
    with refused(Code.CAPACITY_EXCEEDED, actual=5, limit=4):
        market.open(market.match(offer={"gpu_count": 4}, order={"slot": 1, "gpu_count": 1}))


@pytest.mark.parametrize("slot", range(4))
def test_open__lanes_of_a_group__they_do_not_meet(market: Market, slot: int) -> None:
    market.open(market.match(offer={"slot": slot}))
    taken = [market.escrow.gpusInUse(PROVIDER.address, lane) for lane in range(4)]
    assert taken == [4 if lane == slot else 0 for lane in range(4)]


def test_open__gpus_of_a_closed_deal__they_are_free_again(market: Market) -> None:
    deal = market.open(market.match(offer={"gpu_count": 4}))
    market.release(deal, deal.allocation)
    market.open(market.match(offer={"gpu_count": 4}, order={"slot": 1}))


def test_open__offer_used_twice__gives_two_deals(market: Market) -> None:
    first = market.open(market.match(order={"slot": 1}))
    second = market.open(market.match(order={"slot": 2}))
    assert first.id != second.id


# ---------------------------------------------------------------- fee and funds


@pytest.mark.parametrize("limit", [0, 99])
def test_open__fee_above_limit__refused(market: Market, limit: int) -> None:
    with refused(Code.FEE_ABOVE_LIMIT, actual=100, limit=limit):
        market.open(market.match(offer={"max_fee_bps": limit}))


def test_open__fee_at_limit__opens(market: Market) -> None:
    market.open(market.match(offer={"max_fee_bps": 100}))


def test_open__buyer_a_base_unit_short__refused(market: Market) -> None:
    market.stock(OTHER_BUYER, 320 * UNIT - 1)
    with refused(Code.BUYER_BALANCE, actual=320 * UNIT - 1, limit=320 * UNIT):
        market.open(market.match(order={"buyer": OTHER_BUYER.address}))


def test_open__buyer_balance_exact__opens(market: Market) -> None:
    market.stock(OTHER_BUYER, 320 * UNIT)
    market.open(market.match(order={"buyer": OTHER_BUYER.address}))
    assert market.balance(OTHER_BUYER) == 0


def test_open__provider_a_base_unit_short__refused(market: Market) -> None:
    market.stock(OTHER_PROVIDER, 32 * UNIT - 1)
    with refused(Code.PROVIDER_BALANCE, actual=32 * UNIT - 1, limit=32 * UNIT):
        market.open(market.match(offer={"provider": OTHER_PROVIDER.address}))


def test_open__provider_balance_exact__opens(market: Market) -> None:
    market.stock(OTHER_PROVIDER, 32 * UNIT)
    market.open(market.match(offer={"provider": OTHER_PROVIDER.address}))
    assert market.balance(OTHER_PROVIDER) == 0


@pytest.mark.parametrize("owner", [BUYER, PROVIDER], ids=lambda actor: actor.role)
def test_open__money_marked_for_withdrawal__is_still_there(market: Market, owner: Actor) -> None:
    """A match made against a balance cannot be broken by asking for it back."""
    market.request_withdraw(owner, market.balance(owner))
    market.open(market.match())


@pytest.mark.parametrize("owner", [BUYER, PROVIDER], ids=lambda actor: actor.role)
def test_open__tokens_outside__they_do_not_count(market: Market, owner: Actor) -> None:
    """An allowance is nobody's balance."""
    poor = OTHER_BUYER if owner is BUYER else OTHER_PROVIDER
    market.fund(poor, 1_000 * UNIT)
    code, needed = (Code.BUYER_BALANCE, 320) if owner is BUYER else (Code.PROVIDER_BALANCE, 32)
    orders = {"buyer": poor.address} if owner is BUYER else {}
    offers = {"provider": poor.address} if owner is PROVIDER else {}
    with refused(code, actual=0, limit=needed * UNIT):
        market.open(market.match(offers, orders))


def test_open__deal_id__depends_on_the_pair_only(market: Market) -> None:
    """Whoever opens it and when: it is known before it is sent."""
    match = market.match()
    expected = market.digest(market.terms(match))
    market.node.at(market.node.now + DAY)
    assert market.open(replace(match, order_sig=b""), sender=BUYER).id == expected
    assert market.escrow.dealOf(expected).status == model.LOCKED
