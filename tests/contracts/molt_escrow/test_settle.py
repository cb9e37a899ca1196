"""settle: the deal closes at the figure that buyer and provider have both signed, whatever it is.

The default deal: 32 GPU-hours at 10 MOLT, 32 MOLT bond.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from molt_market.signing import messages
from tests.contracts import model
from tests.contracts.actors import (
    AGENT,
    ARBITER,
    BUYER,
    FEE_RECIPIENT,
    PROVIDER,
    RELAYER,
    STRANGER,
    VOUCHER_SIGNER,
    Actor,
)
from tests.contracts.desk import NEVER
from tests.contracts.endings import FullMarket
from tests.contracts.factories import HOUR, RESULT, UNIT, ZERO
from tests.contracts.refusals import Code, refused
from tests.contracts.signatures import compact

WHOLE = 32 * HOUR
LOW, CLAIM = 8 * HOUR, 24 * HOUR
GARBAGE = b"\xff" * 65


# ---------------------------------------------------------------- locked


def test_settle__locked__pays_the_split_and_returns_the_whole_bond(market: FullMarket) -> None:
    deal = market.open(market.match())
    receipt = market.settle(deal, 16 * HOUR, sender=STRANGER)
    says = {
        "dealId": deal.id,
        "status": model.RELEASED,
        "gpuSeconds": 16 * HOUR,
        "toProvider": 1_584 * UNIT // 10 + 32 * UNIT,
        "fee": 16 * UNIT // 10,
        "toBuyer": 160 * UNIT,
    }
    assert receipt.events(market.escrow) == [("DealClosed", says)]
    assert market.balance(BUYER) == (10_000 - 160) * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT + 1_584 * UNIT // 10
    assert market.balance(FEE_RECIPIENT) == 16 * UNIT // 10


def test_settle__locked_at_nothing__refunds_and_returns_the_bond(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.settle(deal, 0)
    assert market.status(deal) == model.REFUNDED
    assert market.balance(BUYER) == 10_000 * UNIT
    assert market.balance(PROVIDER) == 1_000 * UNIT


def test_settle__locked_at_the_allocation__pays_all(market: FullMarket) -> None:
    """Before any of the time has passed, if that is what both want."""
    deal = market.open(market.match())
    market.settle(deal, WHOLE)
    assert market.balance(PROVIDER) == 1_000 * UNIT + 3_168 * UNIT // 10


def test_settle__after_a_voucher__pays_the_difference(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.release(deal, LOW)
    receipt = market.settle(deal, 16 * HOUR)
    ((_, says),) = receipt.events(market.escrow)
    assert says["toProvider"] == 792 * UNIT // 10 + 32 * UNIT


def test_settle__at_what_is_paid__pays_nothing_more(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.release(deal, LOW)
    market.settle(deal, LOW)
    assert market.status(deal) == model.RELEASED
    assert market.balance(BUYER) == (10_000 - 80) * UNIT


def test_settle__odd_figures__to_the_base_unit(market: FullMarket) -> None:
    offer, order = {"price_per_gpu_hour": 1_000_003}, {"gpu_count": 3, "duration_hours": 3}
    deal = market.open(market.match(offer, order))
    market.release(deal, 1_000)
    market.settle(deal, 20_001)
    assert market.balance(PROVIDER) == 1_000 * UNIT + 5_555_850 - 55_558
    assert market.balance(FEE_RECIPIENT) == 55_558
    assert market.balance(BUYER) == 10_000 * UNIT - 5_555_850


def test_settle__stopped__may_go_beyond_the_new_end(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.stop(deal)
    market.settle(deal, WHOLE)
    assert market.balance(BUYER) == (10_000 - 320) * UNIT


def test_settle__locked__frees_the_gpus(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.open(market.match(order={"slot": 131, "gpu_count": 3}))
    market.settle(deal, LOW)
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 3


# ---------------------------------------------------------------- claimed


@pytest.mark.parametrize("units", [LOW, CLAIM, CLAIM + 1, WHOLE])
def test_settle__claimed__closes_below_or_above_the_claim(market: FullMarket, units: int) -> None:
    deal = market.claimed(market.match(), CLAIM, paid=LOW)
    market.settle(deal, units)
    assert market.balance(BUYER) == 10_000 * UNIT - units * 10 * UNIT // HOUR
    assert market.balance(PROVIDER) == 1_000 * UNIT + units * 990 * UNIT // HOUR // 100


def test_settle__claimed__frees_no_gpus_twice(market: FullMarket) -> None:
    """The claim has freed them already: what is in use now is another deal's."""
    deal = market.claimed(market.match(), CLAIM)
    market.open(market.match(order={"slot": 131, "gpu_count": 8, "max_budget": 1_000 * UNIT}))
    market.settle(deal, LOW)
    assert market.escrow.gpusInUse(PROVIDER.address, 6) == 8


def test_settle__claimed_and_the_window_over__closes_until_somebody_finalizes(market: FullMarket) -> None:
    deal = market.claimed(market.match(), CLAIM)
    market.node.at(market.deadline(deal))
    market.settle(deal, LOW)
    assert market.escrow.dealOf(deal.id).paid == LOW


def test_settle__excused_claim__returns_the_whole_bond_too(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.node.at(deal.opened_at + 6 * HOUR)
    market.claim(deal, CLAIM, result=RESULT)
    market.settle(deal, LOW)
    assert market.balance(PROVIDER) == 1_000 * UNIT + 792 * UNIT // 10


# ---------------------------------------------------------------- disputed


@pytest.mark.parametrize("units", [LOW, 16 * HOUR, CLAIM])
def test_settle__disputed__returns_each_stake_to_its_owner(market: FullMarket, units: int) -> None:
    """Undelivered, in both parties' eyes, were 8 GPU-hours: that part of the bond has gone to the buyer."""
    deal = market.disputed(market.match(), CLAIM, LOW)
    market.settle(deal, units)
    assert market.balance(BUYER) == (10_000 + 8) * UNIT - units * 10 * UNIT // HOUR
    assert market.balance(PROVIDER) == (1_000 - 8) * UNIT + units * 990 * UNIT // HOUR // 100
    assert market.balance(ARBITER) == 0


@pytest.mark.parametrize("units", [LOW, 16 * HOUR, CLAIM])
def test_settle__unattested__returns_the_providers_stake(market: FullMarket, units: int) -> None:
    deal = market.unattested(market.match(), CLAIM, paid=LOW)
    market.settle(deal, units)
    assert market.balance(BUYER) == (10_000 + 8) * UNIT - units * 10 * UNIT // HOUR
    assert market.balance(PROVIDER) == (1_000 - 8) * UNIT + units * 990 * UNIT // HOUR // 100


def test_settle__unattested_at_nothing__refunds(market: FullMarket) -> None:
    deal = market.unattested(market.match(), WHOLE)
    market.settle(deal, 0)
    assert market.status(deal) == model.REFUNDED
    assert market.balance(PROVIDER) == 1_000 * UNIT


def test_settle__disputed_and_the_time_over__closes_until_somebody_finalizes(market: FullMarket) -> None:
    deal = market.disputed(market.match(), CLAIM, LOW)
    market.node.at(market.deadline(deal))
    market.settle(deal, 16 * HOUR)
    assert market.status(deal) == model.RELEASED


# ---------------------------------------------------------------- how much


@pytest.mark.parametrize("claimed", [0, CLAIM], ids=["locked", "claimed"])
def test_settle__below_what_is_paid__refused(market: FullMarket, claimed: int) -> None:
    deal = market.open(market.match())
    market.release(deal, LOW)
    if claimed:
        market.node.at(deal.ends_at)
        market.claim(deal, claimed)
    with refused(Code.SPLIT_OUT_OF_RANGE, actual=LOW - 1, limit=LOW):
        market.settle(deal, LOW - 1)


@pytest.mark.parametrize("claimed", [0, CLAIM], ids=["locked", "claimed"])
def test_settle__above_the_allocation__refused(market: FullMarket, claimed: int) -> None:
    deal = market.open(market.match())
    if claimed:
        market.node.at(deal.ends_at)
        market.claim(deal, claimed)
    with refused(Code.SPLIT_OUT_OF_RANGE, actual=WHOLE + 1, limit=WHOLE):
        market.settle(deal, WHOLE + 1)


@pytest.mark.parametrize(("units", "limit"), [(LOW - 1, LOW), (0, LOW), (CLAIM + 1, CLAIM), (WHOLE, CLAIM)])
def test_settle__disputed_out_of_bounds__refused(market: FullMarket, units: int, limit: int) -> None:
    """What was not claimed has gone back to the buyer: there is nothing to pay it with."""
    deal = market.disputed(market.match(), CLAIM, LOW)
    with refused(Code.SPLIT_OUT_OF_RANGE, actual=units, limit=limit):
        market.settle(deal, units)


# ---------------------------------------------------------------- when, and in which state


def test_settle__in_the_last_second__closes(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.node.at(deal.opened_at + 100)
    market.settle(deal, LOW, until=deal.opened_at + 101)


@pytest.mark.parametrize("sender", [RELAYER, BUYER], ids=lambda actor: actor.role)
def test_settle__past_until__refused(market: FullMarket, sender: Actor) -> None:
    """It binds the one who sends it himself too: the other side's signature has lapsed."""
    deal = market.open(market.match())
    until = deal.opened_at + 100
    market.node.at(until)
    with refused(Code.TOO_LATE, actual=until, limit=until):
        market.settle(deal, LOW, until=until, sender=sender, buyer_sig=b"" if sender is BUYER else None)


def test_settle__unknown_deal__refused(market: FullMarket) -> None:
    deal = market.open(market.match())
    other = replace(deal, terms=replace(deal.terms, order_hash=ZERO))
    with refused(Code.WRONG_STATUS, actual=model.NONE, limit=model.LOCKED):
        market.settle(other, LOW)


@pytest.mark.parametrize(("units", "status"), [(0, model.REFUNDED), (LOW, model.RELEASED)])
def test_settle__twice__refused(market: FullMarket, units: int, status: int) -> None:
    deal = market.open(market.match())
    market.settle(deal, units)
    with refused(Code.WRONG_STATUS, actual=status, limit=model.LOCKED):
        market.settle(deal, units)


def test_settle__locked__its_order_never_opens_again(market: FullMarket) -> None:
    deal = market.open(market.match())
    market.settle(deal, 0)
    with refused(Code.ORDER_ALREADY_OPENED, actual=130, limit=130):
        market.open(deal.match)


# ---------------------------------------------------------------- both signatures


@pytest.mark.parametrize(("sender", "side"), [(BUYER, "buyer_sig"), (PROVIDER, "provider_sig")])
def test_settle__sent_by_one_party__needs_only_the_others(
    market: FullMarket, sender: Actor, side: str
) -> None:
    deal = market.open(market.match())
    market.settle(deal, LOW, sender=sender, **{side: b""})  # type: ignore[arg-type]
    assert market.status(deal) == model.RELEASED


@pytest.mark.parametrize("state", ["locked", "claimed", "disputed", "unattested"])
@pytest.mark.parametrize(("party", "side"), [(BUYER, "buyer_sig"), (PROVIDER, "provider_sig")])
def test_settle__one_signature_missing__refused(
    market: FullMarket, state: str, party: Actor, side: str
) -> None:
    match = market.match()
    deal = {
        "locked": lambda: market.open(match),
        "claimed": lambda: market.claimed(match, CLAIM),
        "disputed": lambda: market.disputed(match, CLAIM),
        "unattested": lambda: market.unattested(match, CLAIM),
    }[state]()
    with refused(Code.BAD_SIGNATURE, actual=RELAYER.address, limit=party.address):
        market.settle(deal, LOW, **{side: b""})  # type: ignore[arg-type]


@pytest.mark.parametrize(("sender", "missing"), [(BUYER, PROVIDER), (PROVIDER, BUYER)])
def test_settle__no_signature_at_all__one_party_is_not_both(
    market: FullMarket, sender: Actor, missing: Actor
) -> None:
    deal = market.open(market.match())
    with refused(Code.BAD_SIGNATURE, actual=sender.address, limit=missing.address):
        market.settle(deal, LOW, sender=sender, buyer_sig=b"", provider_sig=b"")


@pytest.mark.parametrize(
    ("side", "owner", "signer"),
    [
        ("buyer_sig", BUYER, VOUCHER_SIGNER),
        ("buyer_sig", BUYER, PROVIDER),
        ("buyer_sig", BUYER, ARBITER),
        ("provider_sig", PROVIDER, AGENT),
        ("provider_sig", PROVIDER, BUYER),
        ("provider_sig", PROVIDER, STRANGER),
    ],
)
def test_settle__signed_with_another_key__refused(
    market: FullMarket, side: str, owner: Actor, signer: Actor
) -> None:
    """The keys that lie on machines split nothing."""
    deal = market.open(market.match())
    forged = signer.sign(messages.Split(deal.id, LOW, NEVER), market.domain)
    with refused(Code.BAD_SIGNATURE, actual=signer.address, limit=owner.address):
        market.settle(deal, LOW, **{side: forged})  # type: ignore[arg-type]


@pytest.mark.parametrize(("side", "owner"), [("buyer_sig", BUYER), ("provider_sig", PROVIDER)])
def test_settle__garbage__refused(market: FullMarket, side: str, owner: Actor) -> None:
    deal = market.open(market.match())
    with refused(Code.BAD_SIGNATURE, actual=0, limit=owner.address):
        market.settle(deal, LOW, **{side: GARBAGE})  # type: ignore[arg-type]


@pytest.mark.parametrize(("units", "until"), [(LOW + 1, NEVER), (LOW, NEVER - 1)])
def test_settle__parties_signed_different_splits__refused(market: FullMarket, units: int, until: int) -> None:
    deal = market.open(market.match())
    other = market.sign(BUYER.address, messages.Split(deal.id, units, until))
    found = market.recovered(messages.Split(deal.id, LOW, NEVER), other)
    with refused(Code.BAD_SIGNATURE, actual=found, limit=BUYER.address):
        market.settle(deal, LOW, buyer_sig=other)


def test_settle__split_of_another_deal__refused(market: FullMarket) -> None:
    first = market.open(market.match())
    second = market.open(market.match(order={"slot": 131}))
    split = messages.Split(first.id, LOW, NEVER)
    sigs = [market.sign(party.address, split) for party in (BUYER, PROVIDER)]
    found = market.recovered(messages.Split(second.id, LOW, NEVER), sigs[0])
    with refused(Code.BAD_SIGNATURE, actual=found, limit=BUYER.address):
        market.settle(second, LOW, buyer_sig=sigs[0], provider_sig=sigs[1])


def test_settle__compact_signatures__closes(market: FullMarket) -> None:
    deal = market.open(market.match())
    split = messages.Split(deal.id, LOW, NEVER)
    buyer_sig, provider_sig = (compact(market.sign(party.address, split)) for party in (BUYER, PROVIDER))
    market.settle(deal, LOW, buyer_sig=buyer_sig, provider_sig=provider_sig)
