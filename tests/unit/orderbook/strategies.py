"""Offers, orders and times that meet often: few values for each field, the edges among them."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

from hypothesis import strategies as st

from molt_market.domain.amounts import MOLT, Amount, Token
from molt_market.domain.gpus import Feature, GpuCapacity, Location
from molt_market.domain.ids import Hash32, OfferId, OrderId
from molt_market.domain.offers import CapacityOffer, OfferStatus
from molt_market.domain.orders import JobOrder, JobRequirements, OrderStatus
from molt_market.orderbook import ScoreWeights
from tests.factories import AGENT, BUYER, NOON, PROVIDER, STRANGER, VOUCHER_SIGNER

T = TypeVar("T")

MODELS = ("H100", "A100", "L40S")
OFFER_HASHES = (Hash32("0x" + "01" * 32), Hash32("0x" + "02" * 32))
POLICIES = (Hash32("0x" + "0a" * 32), Hash32("0x" + "0b" * 32))
USDC = Token("USDC", 6)


def mostly(usual: T, *others: T) -> st.SearchStrategy[T]:
    """Give the usual value nineteen times in twenty: of many fields, all should fit now and then."""
    return st.sampled_from([usual] * (19 * len(others)) + list(others))


moments = st.integers(-5, 5).map(lambda seconds: NOON + timedelta(seconds=seconds))
past_moments = st.integers(-5, 0).map(lambda seconds: NOON + timedelta(seconds=seconds))
lifetimes = st.sampled_from([1, 7, 60, 200, 200, 200, 10_000, 10_000]).map(
    lambda seconds: timedelta(seconds=seconds)
)
features = st.frozensets(st.sampled_from(Feature), max_size=2).map(tuple)
tokens = mostly(MOLT, USDC)
prices = st.builds(lambda whole, dust: whole * 10**18 + dust, st.integers(1, 9), st.sampled_from([0, 0, 1]))
places = mostly(None, *(Location(region=r, country=c) for r in (None, "eu-1", "us-1") for c in ("DE", "US")))
models = st.sampled_from(MODELS)
model_lists = st.lists(models, unique=True, max_size=3).map(tuple)
buyers = mostly(BUYER, STRANGER, PROVIDER)
providers = st.sampled_from([PROVIDER, AGENT, STRANGER])

capacities = st.builds(
    GpuCapacity,
    gpu_count=st.integers(1, 6),
    gpu_model=models,
    vram_gb=st.sampled_from([24, 80]),
    memory_bandwidth=st.sampled_from([None, 0, 3_350, 7_999, 8_000, 9_000]),
    current_utilization=st.sampled_from([None, 0, 33, 100]),
)


@st.composite
def offers(draw: st.DrawFn, ids: st.SearchStrategy[str]) -> CapacityOffer:
    created_at = draw(moments)
    commitment = draw(mostly(1, 2, 3))
    return CapacityOffer(
        id=OfferId(draw(ids)),
        provider_id=draw(providers),
        agent=draw(mostly(None, AGENT, VOUCHER_SIGNER)),
        slot=draw(st.integers(0, 1)),
        policy_id=draw(mostly(POLICIES[0], POLICIES[1], None)),
        gpu_capacity=draw(capacities),
        price_per_hour=Amount(draw(prices), draw(tokens)),
        available_hours=commitment + draw(st.integers(0, 3)),
        min_commitment_hours=commitment,
        created_at=created_at,
        expires_at=created_at + draw(lifetimes),
        status=draw(mostly(OfferStatus.ACTIVE, *OfferStatus)),
        features=draw(features),
        location=draw(places),
    )


@st.composite
def requirements(draw: st.DrawFn) -> JobRequirements:
    return JobRequirements(
        min_gpu_count=draw(st.integers(1, 6)),
        min_vram_gb=draw(st.sampled_from([0, 24, 24, 80])),
        preferred_models=draw(model_lists),
        max_price_per_hour=Amount(draw(prices), draw(tokens)),
        estimated_hours=draw(st.integers(1, 4)),
        required_features=draw(mostly((), *((feature,) for feature in Feature))),
        location=draw(places),
        required_models=draw(st.just(()) | st.just(()) | model_lists),
    )


@st.composite
def orders(draw: st.DrawFn, ids: st.SearchStrategy[str], slots: st.SearchStrategy[int | None]) -> JobOrder:
    needs = draw(requirements())
    limit = needs.max_price_per_hour
    created_at = draw(past_moments if draw(mostly(True, False)) else moments)
    return JobOrder(
        id=OrderId(draw(ids)),
        buyer_id=draw(buyers),
        voucher_signer=draw(mostly(None, VOUCHER_SIGNER, AGENT)),
        slot=draw(slots),
        policy_id=draw(mostly(POLICIES[0], POLICIES[1], None)),
        offer_hash=draw(mostly(None, *OFFER_HASHES)),
        requirements=needs,
        max_budget=draw(st.none() | st.builds(Amount, prices.map(lambda p: p * 3), st.just(limit.token))),
        created_at=created_at,
        expires_at=created_at + draw(lifetimes),
        status=draw(mostly(OrderStatus.PENDING, *OrderStatus)),
    )


@st.composite
def plain_offers(draw: st.DrawFn, ids: st.SearchStrategy[str]) -> CapacityOffer:
    """Make an offer that fits every plain order but for its GPUs and its times."""
    return CapacityOffer(
        id=OfferId(draw(ids)),
        provider_id=draw(st.sampled_from([PROVIDER, AGENT])),
        slot=draw(st.integers(0, 1)),
        gpu_capacity=draw(capacities),
        price_per_hour=Amount.from_molt(draw(st.integers(1, 9))),
        available_hours=10,
        created_at=NOON,
        expires_at=NOON + draw(lifetimes),
    )


@st.composite
def plain_orders(
    draw: st.DrawFn, ids: st.SearchStrategy[str], slots: st.SearchStrategy[int | None]
) -> JobOrder:
    needs = JobRequirements(
        min_gpu_count=draw(st.integers(1, 3)),
        min_vram_gb=0,
        max_price_per_hour=Amount.from_molt(9),
        estimated_hours=1,
    )
    return JobOrder(
        id=OrderId(draw(ids)),
        buyer_id=draw(st.sampled_from([BUYER, STRANGER])),
        slot=draw(slots),
        requirements=needs,
        created_at=NOON,
        expires_at=NOON + draw(lifetimes),
    )


@st.composite
def weights(draw: st.DrawFn) -> ScoreWeights:
    cuts = sorted(draw(st.lists(st.integers(0, 1_000_000), min_size=5, max_size=5)))
    return ScoreWeights(*(end - start for start, end in zip([0, *cuts], [*cuts, 1_000_000], strict=True)))
