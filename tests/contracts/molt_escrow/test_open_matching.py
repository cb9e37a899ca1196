"""open: whether offer and order fit, by what they say alone. Each constraint, at its boundary and beyond."""

from __future__ import annotations

import pytest

from tests.contracts.actors import AGENT, ATTESTORS, BUYER, PROVIDER, VOUCHER_SIGNER, Actor
from tests.contracts.desk import Fields
from tests.contracts.factories import A100, H100, HOUR, UNIT, ZERO, ZERO_ADDRESS, make_policy, text_word
from tests.contracts.market import Market
from tests.contracts.refusals import Code, refused

MOST_GPU_SECONDS = 2**40 - 1


def test_open__provider_is_buyer__refused(market: Market) -> None:
    with refused(Code.SELF_TRADE, actual=PROVIDER.address, limit=PROVIDER.address):
        market.open(market.match(order={"buyer": PROVIDER.address}))


def test_open__order_names_another_offer__refused(market: Market) -> None:
    other = market.digest(market.match(offer={"slot": 7}).offer)
    match = market.match(order={"offer_hash": other})
    with refused(Code.OFFER_MISMATCH, actual=market.digest(match.offer), limit=other):
        market.open(match)


def test_open__order_names_this_offer__opens(market: Market) -> None:
    offer_hash = market.digest(market.match().offer)
    market.open(market.match(order={"offer_hash": offer_hash}))


def test_open__policies_differ__refused(market: Market) -> None:
    other = market.register(make_policy(bond_bps=0), ATTESTORS)
    with refused(Code.POLICY_MISMATCH, actual=market.policy_id, limit=other):
        market.open(market.match(order={"policy_id": other}))


def test_open__policy_not_registered__refused(market: Market) -> None:
    unknown = {"policy_id": "0x" + "77" * 32}
    with refused(Code.POLICY_UNKNOWN, actual=unknown["policy_id"], limit=0):
        market.open(market.match(offer=unknown, order=unknown))


def test_open__agent_zero__refused(market: Market) -> None:
    with refused(Code.AGENT_ZERO, actual=0, limit=1):
        market.open(market.match(offer={"agent": ZERO_ADDRESS}))


def test_open__agent_is_provider__opens(market: Market) -> None:
    market.open(market.match(offer={"agent": PROVIDER.address}))


@pytest.mark.parametrize("forbidden", [ZERO_ADDRESS, PROVIDER.address, AGENT.address])
def test_open__voucher_signer_forbidden__refused(market: Market, forbidden: str) -> None:
    with refused(Code.VOUCHER_SIGNER_FORBIDDEN, actual=forbidden, limit=forbidden):
        market.open(market.match(order={"voucher_signer": forbidden}))


def test_open__voucher_signer_is_buyer__opens(market: Market) -> None:
    market.open(market.match(order={"voucher_signer": BUYER.address}))


@pytest.mark.parametrize("party", [BUYER, VOUCHER_SIGNER, PROVIDER, AGENT], ids=lambda actor: actor.role)
def test_open__arbiter_is_party__refused(market: Market, party: Actor) -> None:
    ruled = {"policy_id": market.register(make_policy(arbiter=party.address), ATTESTORS)}
    with refused(Code.ARBITER_IS_PARTY, actual=party.address, limit=party.address):
        market.open(market.match(offer=ruled, order=ruled))


# ---------------------------------------------------------------- hardware


def test_open__no_gpus__refused(market: Market) -> None:
    with refused(Code.GPU_COUNT_ZERO, actual=0, limit=1):
        market.open(market.match(order={"gpu_count": 0}))


def test_open__vram_one_gb_short__refused(market: Market) -> None:
    with refused(Code.VRAM_BELOW_MINIMUM, actual=80, limit=81):
        market.open(market.match(order={"min_vram_gb": 81}))


def test_open__feature_missing__refused(market: Market) -> None:
    with refused(Code.FEATURES_MISSING, actual=0b01101, limit=0b10100):
        market.open(market.match(order={"features": 0b10100}))


@pytest.mark.parametrize(
    ("offered", "wanted"),
    [(0, 0), (0b1, 0), (0b1, 0b1), (2**32 - 1, 2**31)],
    ids=["none", "unasked", "exact", "highest"],
)
def test_open__features_cover__opens(market: Market, offered: int, wanted: int) -> None:
    market.open(market.match(offer={"features": offered}, order={"features": wanted}))


@pytest.mark.parametrize("offered", ["FR", "\0\0"], ids=["another", "not stated"])
def test_open__country_differs__refused(market: Market, offered: str) -> None:
    with refused(Code.COUNTRY_MISMATCH, actual=text_word(offered, 2), limit=text_word("DE", 2)):
        market.open(market.match(offer={"country": text_word(offered, 2)}))


@pytest.mark.parametrize("offered", ["eu-west", "", "eu-central-1"])
def test_open__region_differs__refused(market: Market, offered: str) -> None:
    with refused(Code.REGION_MISMATCH, actual=text_word(offered), limit=text_word("eu-central")):
        market.open(market.match(offer={"region": text_word(offered)}))


def test_open__model_differs__refused(market: Market) -> None:
    with refused(Code.MODEL_MISMATCH, actual=A100, limit=H100):
        market.open(market.match(offer={"model": A100}))


@pytest.mark.parametrize(
    "anything",
    [{"country": "0x0000"}, {"region": ZERO}, {"model": ZERO}, {"min_vram_gb": 0}, {"features": 0}],
)
def test_open__order_asks_for_anything__opens(market: Market, anything: Fields) -> None:
    market.open(market.match(order=anything))


# ---------------------------------------------------------------- hours


def test_open__no_hours__refused(market: Market) -> None:
    with refused(Code.DURATION_OUT_OF_RANGE, actual=0, limit=1):
        market.open(market.match(offer={"min_commitment_hours": 0}, order={"duration_hours": 0}))


def test_open__longer_than_a_year__refused(market: Market) -> None:
    with refused(Code.DURATION_OUT_OF_RANGE, actual=8_761, limit=8_760):
        market.open(market.match(offer={"available_hours": 9_000}, order={"duration_hours": 8_761}))


def test_open__a_year__opens(market: Market) -> None:
    market.open(
        market.match(
            offer={"available_hours": 8_760, "price_per_gpu_hour": UNIT // 100},
            order={"duration_hours": 8_760},
        )
    )


def test_open__shorter_than_commitment__refused(market: Market) -> None:
    with refused(Code.DURATION_BELOW_COMMITMENT, actual=1, limit=2):
        market.open(market.match(order={"duration_hours": 1}))


def test_open__longer_than_available__refused(market: Market) -> None:
    with refused(Code.DURATION_ABOVE_AVAILABLE, actual=25, limit=24):
        market.open(market.match(order={"duration_hours": 25, "max_budget": 2_000 * UNIT}))


@pytest.mark.parametrize("hours", [2, 24], ids=["commitment", "available"])
def test_open__hours_at_an_end__opens(market: Market, hours: int) -> None:
    market.open(market.match(order={"duration_hours": hours, "max_budget": 2_000 * UNIT}))


def test_open__no_commitment__opens_for_one_hour(market: Market) -> None:
    market.open(market.match(offer={"min_commitment_hours": 0}, order={"duration_hours": 1}))


def test_open__largest_allocation__opens(market: Market) -> None:
    gpus = MOST_GPU_SECONDS // HOUR
    offer = {"gpu_count": 2**32 - 1, "price_per_gpu_hour": 1, "min_commitment_hours": 0}
    deal = market.open(market.match(offer=offer, order={"gpu_count": gpus, "duration_hours": 1}))
    assert MOST_GPU_SECONDS - HOUR < deal.allocation <= MOST_GPU_SECONDS


def test_open__allocation_one_gpu_too_large__refused(market: Market) -> None:
    gpus = MOST_GPU_SECONDS // HOUR + 1
    offer = {"gpu_count": 2**32 - 1, "price_per_gpu_hour": 1, "min_commitment_hours": 0}
    with refused(Code.ALLOCATION_TOO_LARGE, actual=gpus * HOUR, limit=MOST_GPU_SECONDS):
        market.open(market.match(offer=offer, order={"gpu_count": gpus, "duration_hours": 1}))


def test_open__every_number_at_its_largest__refused_without_overflow(market: Market) -> None:
    offer = {"gpu_count": 2**32 - 1, "price_per_gpu_hour": 2**96 - 1, "available_hours": 2**16 - 1}
    order = {
        "gpu_count": 2**32 - 1,
        "duration_hours": 8_760,
        "max_price_per_gpu_hour": 2**96 - 1,
        "max_budget": 2**96 - 1,
    }
    with refused(Code.ALLOCATION_TOO_LARGE, actual=(2**32 - 1) * 8_760 * HOUR, limit=MOST_GPU_SECONDS):
        market.open(market.match(offer=offer, order=order))


# ---------------------------------------------------------------- price


def test_open__price_zero__refused(market: Market) -> None:
    with refused(Code.PRICE_ZERO, actual=0, limit=1):
        market.open(market.match(offer={"price_per_gpu_hour": 0}))


def test_open__price_a_base_unit_above_limit__refused(market: Market) -> None:
    with refused(Code.PRICE_ABOVE_LIMIT, actual=12 * UNIT + 1, limit=12 * UNIT):
        market.open(market.match(offer={"price_per_gpu_hour": 12 * UNIT + 1}))


def test_open__price_at_limit__opens(market: Market) -> None:
    market.open(market.match(offer={"price_per_gpu_hour": 12 * UNIT}))


def test_open__budget_a_base_unit_short__refused(market: Market) -> None:
    """4 GPUs for 8 hours at 10 MOLT."""
    with refused(Code.BUDGET_EXCEEDED, actual=320 * UNIT, limit=320 * UNIT - 1):
        market.open(market.match(order={"max_budget": 320 * UNIT - 1}))


def test_open__budget_exact__opens(market: Market) -> None:
    market.open(market.match(order={"max_budget": 320 * UNIT}))


def test_open__total_beyond_a_balance__refused_without_overflow(market: Market) -> None:
    offer, order = (
        {"price_per_gpu_hour": 2**96 - 1},
        {"max_price_per_gpu_hour": 2**96 - 1, "max_budget": 2**96 - 1},
    )
    with refused(Code.BUDGET_EXCEEDED, actual=32 * (2**96 - 1), limit=2**96 - 1):
        market.open(market.match(offer=offer, order=order))
