"""Whole stories of random deals: after each step the chain says what the plain-Python model says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contracts import model
from tests.contracts.actors import ATTESTORS, BUYER, PROVIDER
from tests.contracts.endings import FullMarket
from tests.contracts.factories import RESULT, UNIT, ZERO, OpenDeal, make_policy

PARTS = st.integers(0, 1_000) | st.sampled_from([0, 1, 999, 1_000])  # thousandths of what is possible


@dataclass(frozen=True)
class Story:
    """A deal, and what its parties do with it."""

    price: int
    gpus: int
    hours: int
    bond_bps: int
    notice_minutes: int
    share_bps: int
    stop: int | None  # when, in thousandths of the duration
    voucher: int
    claim: int
    counter: int
    ruling: int
    kind: str
    close: str
    last: str


STORIES = st.builds(
    Story,
    price=st.integers(1, 20 * UNIT) | st.integers(1, 10_000),
    gpus=st.integers(1, 8),
    hours=st.integers(1, 24),
    bond_bps=st.integers(0, 5_000),
    notice_minutes=st.integers(1, 255),
    share_bps=st.integers(0, 5_000),
    stop=st.none() | PARTS,
    voucher=st.just(0) | PARTS,
    claim=PARTS,
    counter=PARTS,
    ruling=PARTS,
    kind=st.sampled_from(["none", "attested", "completed", "unattested"]),
    close=st.sampled_from(["finalize", "settle", "release", "dispute", "dispute", "dispute"]),
    last=st.sampled_from(["resolve", "resolve", "provider", "buyer", "settle", "finalize"]),
)


@pytest.fixture
def rich(market: FullMarket) -> FullMarket:
    """A market in which no story ends for want of money."""
    market.stock(BUYER, 10**9 * UNIT)
    market.stock(PROVIDER, 10**9 * UNIT)
    return market


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(story=STORIES)
def test_endings__any_story__ends_as_the_model_says(rich: FullMarket, story: Story) -> None:
    """The verbs compare every event, the market at the end every account and every deal."""
    deal = begin(rich, story)
    if open_still(rich, deal):
        go_on(rich, deal, story)
    assert rich.modelled(deal).status in {model.RELEASED, model.REFUNDED}
    assert rich.modelled(deal).held == 0


def begin(market: FullMarket, story: Story) -> OpenDeal:
    """Open the deal, stop it if the story says so and it can be, and bring the voucher."""
    policy = make_policy(
        bond_bps=story.bond_bps, notice_minutes=story.notice_minutes, arbiter_share_bps=story.share_bps
    )
    terms = {"policy_id": market.register(policy, ATTESTORS), "slot": market.slot()}
    offer = {"price_per_gpu_hour": story.price, "min_commitment_hours": 0}
    order = {"max_price_per_gpu_hour": story.price, "max_budget": 2**96 - 1, "duration_hours": story.hours}
    deal = market.open(market.match({**terms, **offer}, {**terms, **order, "gpu_count": story.gpus}))
    if story.stop is not None:
        at = deal.opened_at + 1 + deal.terms.duration * story.stop // 1_000
        if at + story.notice_minutes * 60 < deal.ends_at:
            market.node.at(at)
            market.stop(deal)
    voucher = deal.allocation * story.voucher // 1_000
    if voucher:
        market.release(deal, voucher)
    return deal


def go_on(market: FullMarket, deal: OpenDeal, story: Story) -> None:
    """Claim, as far as there is something to claim, and close."""
    modelled = market.modelled(deal)
    most = deal.terms.gpu_count * (modelled.ends_at - modelled.opened_at)
    if story.kind == "none" or modelled.paid >= most:
        return leave(market, deal, story)
    market.node.at(modelled.ends_at)
    units = between(modelled.paid + 1, most, story.claim)
    if story.kind == "unattested":
        market.claim_unattested(deal, units)
        return end_dispute(market, deal, story)
    market.claim(deal, units, result=RESULT if story.kind == "completed" else ZERO)
    return end_claim(market, deal, story)


def leave(market: FullMarket, deal: OpenDeal, story: Story) -> None:
    modelled = market.modelled(deal)
    if story.close == "finalize":
        market.node.at(modelled.deadline)
        market.finalize(deal)
    elif story.close == "settle":
        market.settle(deal, between(modelled.paid, modelled.allocation, story.ruling))
    else:
        market.cancel_deal(deal)


def end_claim(market: FullMarket, deal: OpenDeal, story: Story) -> None:
    modelled = market.modelled(deal)
    if story.close == "dispute":
        market.dispute(deal, between(modelled.paid, modelled.claim - 1, story.counter))
        return end_dispute(market, deal, story)
    if story.close == "settle":
        market.settle(deal, between(modelled.paid, modelled.allocation, story.ruling))
    elif story.close == "release":
        market.release(deal, between(modelled.paid + 1, modelled.claim, story.ruling))
    if open_still(market, deal):
        market.node.at(modelled.deadline)
        market.finalize(deal)
    return None


def end_dispute(market: FullMarket, deal: OpenDeal, story: Story) -> None:
    modelled = market.modelled(deal)
    ruling = between(modelled.paid, modelled.claim, story.ruling)
    match story.last:
        case "resolve":
            market.resolve(deal, ruling)
        case "provider":
            market.concede(deal, modelled.paid, sender=PROVIDER)
        case "buyer":
            market.concede(deal, modelled.claim, sender=BUYER)
        case "settle":
            market.settle(deal, ruling)
        case _:
            market.node.at(modelled.deadline)
            market.finalize(deal)


def open_still(market: FullMarket, deal: OpenDeal) -> bool:
    return market.modelled(deal).status in {model.LOCKED, model.CLAIMED}


def between(least: int, most: int, thousandths: int) -> int:
    return least + (most - least) * thousandths // 1_000
