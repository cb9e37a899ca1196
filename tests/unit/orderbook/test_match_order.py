"""What fits, in which order, and what is said when nothing does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.gpus import Feature, Location
from molt_market.domain.ids import Hash32, OfferId, OrderId
from molt_market.domain.orders import JobOrder, OrderStatus
from molt_market.errors import (
    Expired,
    InsufficientCapacity,
    InvalidStateTransition,
    NoMatchingOffers,
    PriceExceedsBudget,
)
from molt_market.orderbook import OrderBook
from molt_market.refusals import OrderNotYetValid
from molt_market.testing import ManualClock
from tests.factories import (
    AGENT,
    BUYER,
    NOON,
    POLICY_ID,
    PROVIDER,
    STRANGER,
    make_offer,
    make_order,
    make_requirements,
)

OTHER_HASH = Hash32("0x" + "07" * 32)
SECOND = timedelta(seconds=1)


def molt(value: int | str) -> Amount:
    return Amount.from_molt(value)


def ids(book: OrderBook, order: JobOrder) -> list[str]:
    return [match.offer_id for match in book.match_order(order)]


# ---------------------------------------------------------------------------------- a match


def test_match_order__fitting_offer__carries_all_figures(book: OrderBook) -> None:
    offer, order = make_offer(), make_order()
    book.add_offer(offer)
    [match] = book.match_order(order)
    assert (match.order_id, match.offer_id, match.provider_id) == (order.id, offer.id, PROVIDER)
    assert (match.gpu_count, match.hours, match.price_per_hour) == (4, 8, molt(10))
    assert match.total_cost == molt(320)
    assert match.score_millionths == sum(part.millionths for part in match.reasons)
    assert (match.offer, match.order) == (offer, order)


def test_match_order__changes_nothing(book: OrderBook) -> None:
    book.add_offer(make_offer())
    assert book.match_order(make_order()) == book.match_order(make_order())
    assert book.pending_orders() == []
    assert book.active_offers() == [make_offer()]


def test_match_order__unsigned_strangers_without_policy__match(book: OrderBook) -> None:
    """In process, names need not be accounts."""
    book.add_offer(make_offer(provider_id="provider-123", agent=None, policy_id=None))
    assert ids(book, make_order(buyer_id="buyer-456", voucher_signer=None, policy_id=None)) == ["offer-1"]


# ---------------------------------------------------------------------------------- hard constraints

AT_THE_EDGE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"min_gpu_count": 8}),
    ({}, {"min_vram_gb": 80}),
    ({"features": [Feature.NVLINK, Feature.FP8]}, {"required_features": [Feature.FP8]}),
    ({"location": Location(region="eu-1", country="DE")}, {"location": Location(country="DE")}),
    ({"location": Location(region="eu-1", country="DE")}, {"location": Location(region="eu-1")}),
    ({}, {"required_models": ["A100", "H100"]}),
    ({}, {"preferred_models": ["A100"]}),
    ({"min_commitment_hours": 8}, {"estimated_hours": 8}),
    ({"available_hours": 8}, {"estimated_hours": 8}),
    ({}, {"max_price_per_hour": Amount.from_molt(10)}),
    ({}, {"max_budget": Amount.from_molt(320)}),
    ({"expires_at": NOON + SECOND}, {}),
    ({}, {"expires_at": NOON + SECOND}),
    ({"policy_id": None}, {}),
    ({}, {"policy_id": None}),
]

BEYOND_THE_EDGE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"min_vram_gb": 81}),
    ({"features": [Feature.NVLINK]}, {"required_features": [Feature.NVLINK, Feature.FP8]}),
    ({"location": Location(region="eu-1", country="DE")}, {"location": Location(country="FR")}),
    ({"location": Location(region="eu-1", country="DE")}, {"location": Location(region="eu-2")}),
    ({}, {"location": Location(country="DE")}),
    ({}, {"required_models": ["A100"]}),
    ({"min_commitment_hours": 9}, {"estimated_hours": 8}),
    ({"available_hours": 7}, {"estimated_hours": 8}),
    ({"created_at": NOON + SECOND}, {}),
    ({"price_per_hour": Amount(1, Token("USDC", 6))}, {}),
    ({"price_per_hour": Amount(1, Token("MOLT", 18, AGENT))}, {}),
    ({"provider_id": BUYER}, {}),
    ({}, {"voucher_signer": PROVIDER}),
    ({}, {"voucher_signer": AGENT}),
    ({"agent": None}, {"voucher_signer": PROVIDER}),
    ({"agent": BUYER}, {"voucher_signer": None}),
    ({}, {"policy_id": OTHER_HASH}),
    ({}, {"offer_hash": OTHER_HASH}),
]


@pytest.mark.parametrize(("offered", "asked"), AT_THE_EDGE)
def test_match_order__constraint_just_kept__matches(
    book: OrderBook, offered: dict[str, Any], asked: dict[str, Any]
) -> None:
    book.add_offer(make_offer(**offered))
    assert ids(book, make_order(**asked)) == ["offer-1"]


@pytest.mark.parametrize(("offered", "asked"), BEYOND_THE_EDGE)
def test_match_order__constraint_just_broken__raises_no_matching_offers(
    book: OrderBook, offered: dict[str, Any], asked: dict[str, Any]
) -> None:
    book.add_offer(make_offer(**offered))
    with pytest.raises(NoMatchingOffers):
        book.match_order(make_order(**asked))


def test_match_order__named_offer__is_found_by_its_hash_only(book: OrderBook) -> None:
    book.add_offer(make_offer(id="named"), offer_hash=OTHER_HASH)
    book.add_offer(make_offer(id="other", slot=1), offer_hash=POLICY_ID)
    book.add_offer(make_offer(id="without", slot=2))
    assert ids(book, make_order(offer_hash=OTHER_HASH)) == ["named"]


def test_match_order__offer_expires__stands_until_the_second_before(
    book: OrderBook, clock: ManualClock
) -> None:
    book.add_offer(make_offer(expires_at=NOON + 2 * SECOND))
    clock.advance(1)
    assert ids(book, make_order()) == ["offer-1"]
    clock.advance(1)
    with pytest.raises(NoMatchingOffers):
        book.match_order(make_order())


# ---------------------------------------------------------------------------------- sequence


def test_match_order__sorts_by_score_first(book: OrderBook) -> None:
    """A preferred model outweighs a lower price here."""
    book.add_offer(make_offer(id="cheap", gpu_model="A100", price_per_hour=molt(9)))
    book.add_offer(make_offer(id="preferred"))
    assert ids(book, make_order(preferred_models=["H100"])) == ["preferred", "cheap"]


def test_match_order__equal_scores__sorts_by_price(book: OrderBook) -> None:
    """One base unit moves no millionth, and still goes first."""
    book.add_offer(make_offer(id="a", price_per_hour=molt(3)))
    book.add_offer(make_offer(id="b", price_per_hour=Amount(molt(3).base_units - 1)))
    first, second = book.match_order(make_order())
    assert first.score_millionths == second.score_millionths
    assert first.offer_id == "b"


def test_match_order__equal_prices__sorts_by_time_then_id(book: OrderBook) -> None:
    book.add_offer(make_offer(id="c"))
    book.add_offer(make_offer(id="b"))
    book.add_offer(make_offer(id="a", created_at=NOON))
    book.add_offer(make_offer(id="z", created_at=NOON - SECOND))
    assert ids(book, make_order()) == ["z", "a", "b", "c"]


def test_match_order__equal_in_all__sorts_by_id_across_models(book: OrderBook) -> None:
    book.add_offer(make_offer(id="b", gpu_model="A100"))
    book.add_offer(make_offer(id="a", gpu_model="H100"))
    book.add_offer(make_offer(id="c", gpu_model="H100"))
    assert ids(book, make_order()) == ["a", "b", "c"]


# ---------------------------------------------------------------------------------- nothing fits


def test_match_order__empty_book__raises_no_matching_offers(book: OrderBook) -> None:
    with pytest.raises(NoMatchingOffers):
        book.match_order(make_order())


def test_match_order__price_above_limit__names_cheapest_total_and_budget(book: OrderBook) -> None:
    book.add_offer(make_offer(id="dear", price_per_hour=molt(20)))
    book.add_offer(make_offer(id="cheaper", price_per_hour=molt(16)))
    with pytest.raises(PriceExceedsBudget) as refusal:
        book.match_order(make_order())
    assert (refusal.value.price, refusal.value.budget) == (molt(512), molt(480))


def test_match_order__example_of_the_reference__exceeds_its_budget(book: OrderBook) -> None:
    """8 GPUs for 24 hours at 10 is 1,920: the limit of 12 would do, the budget of 300 does not."""
    book.add_offer(make_offer(features=[Feature.NVLINK]))
    order = make_order(
        min_gpu_count=8,
        min_vram_gb=80,
        preferred_models=["H100"],
        max_price_per_hour=molt(12),
        estimated_hours=24,
        required_features=[Feature.NVLINK],
        max_budget=molt(300),
    )
    with pytest.raises(PriceExceedsBudget) as refusal:
        book.match_order(order)
    assert (refusal.value.price, refusal.value.budget) == (molt(1_920), molt(300))


def test_match_order__price_above_limit_but_within_budget__names_what_the_limit_comes_to(
    book: OrderBook,
) -> None:
    book.add_offer(make_offer(price_per_hour=molt(16)))
    with pytest.raises(PriceExceedsBudget) as refusal:
        book.match_order(make_order(max_budget=molt(1_000)))
    assert (refusal.value.price, refusal.value.budget) == (molt(512), molt(480))


def test_match_order__too_few_gpus__names_the_most_that_is_free(book: OrderBook) -> None:
    book.add_offer(make_offer(id="two", gpu_count=2))
    book.add_offer(make_offer(id="three", gpu_count=3, slot=1))
    with pytest.raises(InsufficientCapacity) as refusal:
        book.match_order(make_order())
    assert (refusal.value.required, refusal.value.available) == (4, 3)


def test_match_order__one_too_dear_one_too_small__returns_nothing(book: OrderBook) -> None:
    book.add_offer(make_offer(id="dear", price_per_hour=molt(20)))
    book.add_offer(make_offer(id="small", gpu_count=2, slot=1))
    assert book.match_order(make_order()) == []


def test_match_order__too_dear_and_too_small__returns_nothing(book: OrderBook) -> None:
    book.add_offer(make_offer(price_per_hour=molt(20), gpu_count=2))
    assert book.match_order(make_order()) == []


def test_match_order__money_is_all_that_is_missing_somewhere__says_so(book: OrderBook) -> None:
    """Offers that miss anything else, or money and GPUs together, do not hide it."""
    book.add_offer(make_offer(id="dear", price_per_hour=molt(20)))
    book.add_offer(make_offer(id="both", price_per_hour=molt(30), gpu_count=2, slot=1))
    book.add_offer(make_offer(id="other", vram_gb=24, slot=2))
    with pytest.raises(PriceExceedsBudget) as refusal:
        book.match_order(make_order())
    assert refusal.value.price == molt(640)


def test_match_order__gpus_are_all_that_is_missing_somewhere__says_so(book: OrderBook) -> None:
    book.add_offer(make_offer(id="small", gpu_count=2))
    book.add_offer(make_offer(id="both", price_per_hour=molt(20), gpu_count=3, slot=1))
    book.add_offer(make_offer(id="other", vram_gb=24, slot=2))
    with pytest.raises(InsufficientCapacity) as refusal:
        book.match_order(make_order())
    assert refusal.value.available == 2


def test_match_order__other_needs_unmet__raises_no_matching_offers(book: OrderBook) -> None:
    book.add_offer(make_offer(id="dear", price_per_hour=molt(20), vram_gb=24))
    book.add_offer(make_offer(id="small", gpu_count=2, vram_gb=24, slot=1))
    with pytest.raises(NoMatchingOffers, match="ask for less"):
        book.match_order(make_order())


# ---------------------------------------------------------------------------------- the order itself


def test_match_order__order_expired__raises_expired(book: OrderBook, clock: ManualClock) -> None:
    order = make_order(expires_at=NOON + SECOND)
    clock.advance(1)
    with pytest.raises(Expired, match=r"order-1 \(until 2026-01-01 12:00:01 UTC, and the market.s clock "):
        book.match_order(order)


def test_match_order__order_of_the_future__raises_order_not_yet_valid(book: OrderBook) -> None:
    book.add_offer(make_offer())
    with pytest.raises(OrderNotYetValid) as refusal:
        book.match_order(make_order(created_at=NOON + SECOND))
    assert refusal.value.limit - refusal.value.actual == 1


def test_match_order__order_not_pending__raises_invalid_state_transition(book: OrderBook) -> None:
    book.add_offer(make_offer())
    with pytest.raises(InvalidStateTransition) as refusal:
        book.match_order(make_order(status=OrderStatus.SETTLED))
    assert (refusal.value.from_, refusal.value.to) == ("SETTLED", "MATCHED")


def test_match_order__order_cancelled_in_the_book__raises_invalid_state_transition(book: OrderBook) -> None:
    """The book's word counts, whatever status the caller's copy has."""
    book.add_offer(make_offer())
    book.submit_order(make_order())
    book.cancel_order(OrderId("order-1"))
    with pytest.raises(InvalidStateTransition):
        book.match_order(make_order())


# ---------------------------------------------------------------------------------- best offers


def test_best_offers__returns_the_best_first_and_no_more(book: OrderBook) -> None:
    for price in (12, 10, 14, 11):
        book.add_offer(make_offer(id=f"at-{price}", price_per_hour=molt(price), slot=price))
    found = book.best_offers(make_requirements(), 2)
    assert [offer.id for offer in found] == ["at-10", "at-11"]
    assert found[0] == book.offer(OfferId("at-10"))


def test_best_offers__nothing_fits__returns_nothing(book: OrderBook) -> None:
    book.add_offer(make_offer(price_per_hour=molt(16)))
    assert book.best_offers(make_requirements(), 5) == []
    assert book.best_offers(make_requirements(max_price_per_hour=molt(16)), -1) == []


def test_best_offers__whoever_asks(book: OrderBook) -> None:
    """There is no buyer yet who could be the provider himself."""
    book.add_offer(make_offer(provider_id=STRANGER))
    assert len(book.best_offers(make_requirements(), 1)) == 1
