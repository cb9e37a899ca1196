"""Whole lives of deals at odd prices, fees and bonds: every base unit goes where the model says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.actors import ATTESTORS, BUYER, PROVIDER
from tests.contracts.factories import RESULT, UNIT, ZERO, make_policy
from tests.contracts.market import Market

RICH = 2**94
MOST = 2**40 - 1
prices = st.one_of(st.sampled_from([1, 3_599, 3_600, 3_601, UNIT // 3, 7 * UNIT + 1]), st.integers(1, 10**24))
parts = st.lists(st.integers(1, 10**6), max_size=4, unique=True).map(sorted)  # millionths of what can be paid


@dataclass(frozen=True)
class Life:
    price: int
    gpus: int
    hours: int
    bond_bps: int
    vouchers: list[int]
    claim: int  # millionths of the allocation; 0 = no claim
    completed: bool
    late_vouchers: list[int]
    in_full: bool


lives = st.builds(
    Life,
    price=prices,
    gpus=st.integers(1, 8),
    hours=st.integers(1, 24),
    bond_bps=st.sampled_from([0, 1, 999, 5_000]),
    vouchers=parts,
    claim=st.one_of(st.just(0), st.integers(1, 10**6)),
    completed=st.booleans(),
    late_vouchers=parts,
    in_full=st.booleans(),
)


@pytest.mark.parametrize("fee_bps", [0, 1, 299, 300])
def test_money__any_life_of_a_deal__ends_to_the_unit(deploy: Callable[..., Market], fee_bps: int) -> None:
    market = deploy(fee_bps=fee_bps)
    market.stock(BUYER, RICH)
    market.stock(PROVIDER, RICH)

    @settings(max_examples=15)
    @given(lives)
    def live(life: Life) -> None:
        run(market, life)
        market.audit()

    live()


def run(market: Market, life: Life) -> None:
    """Open a deal, redeem vouchers, claim or not, redeem later vouchers, and close it."""
    policy = market.register(make_policy(bond_bps=life.bond_bps), ATTESTORS)
    offer = {"price_per_gpu_hour": life.price, "min_commitment_hours": 0, "slot": market.slot()}
    order = {
        "gpu_count": life.gpus,
        "duration_hours": life.hours,
        "slot": market.slot(),
        "max_price_per_gpu_hour": 2**96 - 1,
        "max_budget": 2**96 - 1,
    }
    both = {"policy_id": policy}
    deal = market.open(market.match({**offer, **both}, {**order, **both}))
    modelled = market.model.deals[deal.id]

    def redeem(vouchers: list[int], most: int) -> None:
        for part in vouchers:
            units = most * part // 10**6
            if modelled.paid < units < most:
                market.release(deal, units)

    redeem(life.vouchers, deal.allocation)
    claim = deal.allocation * life.claim // 10**6
    if claim > modelled.paid:
        market.node.at(deal.ends_at)
        market.claim(deal, claim, result=RESULT if life.completed else ZERO)
        redeem(life.late_vouchers, claim)
    if life.in_full:
        market.release(deal, MOST)
    else:
        market.node.at(modelled.deadline)
        market.finalize(deal)


@pytest.mark.parametrize("price", [1, 7, 3_601, UNIT // 3])
def test_money__vouchers_in_any_steps__they_bring_the_same(market: Market, price: int) -> None:
    """One voucher of 1,000 GPU-seconds, or a thousandth part of each: nobody gains by splitting."""
    offer = {"price_per_gpu_hour": price}
    whole = market.open(market.match(offer, {"slot": 1}))
    split = market.open(market.match(offer, {"slot": 2}))
    market.release(whole, 997)
    for units in [*range(1, 50, 7), 500, 501, 996, 997]:
        market.release(split, units)
    deals = market.model.deals
    assert deals[whole.id].held == deals[split.id].held
    assert deals[whole.id].word()[-3:] == deals[split.id].word()[-3:]
