"""Why an order does not match, and the least that would make it match: true, proved and minimal."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from molt_market.domain.amounts import Amount
from molt_market.domain.gpus import Feature, Location
from molt_market.domain.ids import Hash32
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.errors import Expired, InvalidStateTransition
from molt_market.orderbook import OrderBook, ScoreWeights
from molt_market.orderbook.constraints import CONSTRAINTS
from molt_market.orderbook.relaxations import RELAXABLE, Relaxation, applied
from molt_market.testing import ManualClock
from tests.factories import BUYER, NOON, make_offer, make_order
from tests.oracle import explain as oracle
from tests.oracle.market import Market
from tests.unit.orderbook import strategies as some
from tests.unit.orderbook.mirror import offer_as_dict, order_as_dict, second

MOST_TRIES = 4_000


def molt(tokens: int) -> Amount:
    return Amount.from_molt(tokens)


def told(book: OrderBook, order: JobOrder) -> list[str]:
    return [", ".join(change.text for change in each.changes) for each in book.explain(order).relaxations]


@pytest.mark.parametrize(
    ("asked", "offered", "says"),
    [
        ({"max_price_per_hour": molt(8)}, {}, "raise the price limit to 10 MOLT"),
        ({"max_budget": molt(300)}, {}, "raise the budget to 320 MOLT"),
        ({"required_models": ["A100"]}, {}, "accept H100"),
        ({"min_vram_gb": 141}, {}, "accept 80 GB of VRAM"),
        ({"required_features": ["nvlink", "fp8"]}, {"features": ["fp8"]}, "drop NVLINK"),
        ({"location": {"country": "DE"}}, {"location": {"country": "FR"}}, "accept any country"),
        (
            {"location": {"country": "DE", "region": "eu-1"}},
            {"location": {"country": "DE"}},
            "accept any region",
        ),
        ({"estimated_hours": 30}, {}, "run for 24 hours"),
        ({"estimated_hours": 1}, {"min_commitment_hours": 2}, "run for 2 hours"),
        ({"min_gpu_count": 9}, {}, "ask for 8 GPUs"),
        ({"policy_id": "0x" + "77" * 32}, {}, "accept any policy"),
        ({"offer_hash": "0x" + "77" * 32}, {}, "name no offer"),
    ],
)
def test_explain__one_thing_in_the_way__says_what_to_change(
    book: OrderBook, asked: dict[str, Any], offered: dict[str, Any], says: str
) -> None:
    book.add_offer(make_offer(**offered))
    order = make_order(**asked)
    explanation = book.explain(order)
    assert (explanation.offers, explanation.fitting) == (1, 0)
    assert [each.alone for each in explanation.exclusions] == [1]
    assert told(book, order) == [says]
    assert explanation.in_parts is None
    (relaxation,) = explanation.relaxations
    assert book.match_order(relaxation.order)[0] == relaxation.match


def test_explain__matches__has_nothing_to_relax(book: OrderBook) -> None:
    book.add_offer(make_offer())
    book.add_offer(make_offer(id="small", slot=1, gpu_count=1))
    explanation = book.explain(make_order())
    assert (explanation.offers, explanation.fitting, explanation.relaxations) == (2, 1, ())
    assert [(e.constraint, e.offers, e.alone) for e in explanation.exclusions] == [("gpus", 1, 1)]


@pytest.mark.parametrize(
    "offered", [{"provider_id": BUYER}, {"expires_at": NOON, "created_at": NOON.replace(hour=1)}]
)
def test_explain__what_no_change_mends__is_only_counted(book: OrderBook, offered: dict[str, Any]) -> None:
    if "expires_at" in offered:
        book._clock = ManualClock(NOON.replace(hour=2))
        book.add_offer(make_offer(**offered))
        book._clock = ManualClock(NOON)
    else:
        book.add_offer(make_offer(**offered))
    explanation = book.explain(make_order())
    assert explanation.relaxations == ()
    assert len(explanation.exclusions) == 1


def test_explain__budget__is_what_the_cheapest_offer_costs_once_the_rest_is_changed(book: OrderBook) -> None:
    """Four GPUs of the big dear offer would cost less than the small one for whose sake four are asked."""
    book.add_offer(make_offer(id="small", gpu_count=4, price_per_hour=molt(14)))
    book.add_offer(make_offer(id="big", slot=1, gpu_count=6, price_per_hour=molt(13)))
    order = make_order(min_gpu_count=8, estimated_hours=1, max_budget=molt(50))
    assert (
        told(book, order)
        == [
            "ask for 6 GPUs, raise the budget to 78 MOLT",
            "ask for 4 GPUs, raise the budget to 52 MOLT",
        ][::-1]
    )


def test_explain__fewest_changes_first__then_the_cheapest(book: OrderBook) -> None:
    book.add_offer(make_offer(id="dear", price_per_hour=molt(20)))
    book.add_offer(make_offer(id="a100", slot=1, gpu_model="A100", price_per_hour=molt(3)))
    book.add_offer(make_offer(id="l40s", slot=2, gpu_model="L40S", vram_gb=48, price_per_hour=molt(1)))
    order = make_order(required_models=["H100"], min_vram_gb=80)
    assert told(book, order) == [
        "accept A100",
        "raise the price limit to 20 MOLT",
        "accept L40S, accept 48 GB of VRAM",
    ]
    assert len(book.explain(order, limit=2).relaxations) == 2
    assert book.explain(order, limit=0).relaxations == ()


def test_explain__several_providers_could__says_how(book: OrderBook) -> None:
    book.add_offer(make_offer(id="small", gpu_count=3))
    book.add_offer(make_offer(id="smaller", slot=1, gpu_count=1, price_per_hour=molt(9)))
    explanation = book.explain(make_order(slot=None))
    assert explanation.in_parts == book.fill(make_order(slot=None, split=True))
    assert str(explanation).splitlines()[2] == "it can be split: 1 of smaller and 3 of small for 312 MOLT"
    assert book.explain(make_order()).in_parts is None  # its slot is good for one deal


def test_explain__reads_well(book: OrderBook) -> None:
    book.add_offer(make_offer(price_per_hour=molt(20)))
    book.add_offer(make_offer(id="offer-2", slot=1, gpu_model="A100", gpu_count=2))
    assert str(book.explain(make_order(required_models=["H100"]))) == (
        "0 of 2 offers fit order order-1\n"
        "  model: excludes 1\n"
        "  price: excludes 1, 1 by itself\n"
        "  gpus: excludes 1\n"
        "it would match if you\n"
        "  raise the price limit to 20 MOLT: offer-1 for 640 MOLT\n"
        "  ask for 2 GPUs, accept A100: offer-2 for 160 MOLT"
    )


def test_explain__an_order_that_cannot_be_matched__raises_as_match_order(book: OrderBook) -> None:
    with pytest.raises(Expired):
        book.explain(make_order(created_at=NOON.replace(hour=1), expires_at=NOON))
    book.add_offer(make_offer())
    book.reserve(book.match_order(make_order())[0], NOON.replace(second=59))
    with pytest.raises(InvalidStateTransition):
        book.explain(make_order())


def test_explain__more_than_can_be_counted__is_not_told(book: OrderBook) -> None:
    """Nobody can write an order for 2^96 base units."""
    book.add_offer(make_offer(price_per_hour=Amount(2**96 - 1)))
    assert told(book, make_order()) == []


def test_explain__a_job_longer_than_can_be_counted__is_not_told(book: OrderBook) -> None:
    """40,000 GPUs for the year that the offer is taken for at least are more than 2^40 GPU-seconds."""
    year = 8_760
    book.add_offer(make_offer(gpu_count=2**32 - 1, min_commitment_hours=year, available_hours=year))
    for budget in (None, molt(10**9)):
        explanation = book.explain(make_order(min_gpu_count=40_000, max_budget=budget))
        assert (explanation.fitting, explanation.relaxations) == (0, ())
        assert "hours" in {each.constraint for each in explanation.exclusions}


def test_explain__an_id_without_room_for_numbers__is_explained_without_parts(book: OrderBook) -> None:
    for number in range(2):
        book.add_offer(make_offer(id=f"offer-{number}", slot=number, gpu_count=2))
    assert book.explain(make_order(id="x" * 117, slot=None)).in_parts is not None
    assert book.explain(make_order(id="x" * 118, slot=None)).in_parts is None


def test_relaxable__all_but_the_token__the_parties__and_time() -> None:
    rest = {each.name for each in CONSTRAINTS} - set(RELAXABLE)
    assert rest == {"standing", "token", "parties", "voucher signer"}


# ---------------------------------------------------------------------------------- any book


def far(*values: Any) -> st.SearchStrategy[Any]:
    """Give each of the values as often as any other: for explain, much should be in the way."""
    return st.sampled_from(values)


@st.composite
def some_offer(draw: st.DrawFn, number: int) -> tuple[CapacityOffer, Hash32 | None]:
    place = draw(far(None, Location(country="DE"), Location(country="DE", region="eu-1")))
    commitment = draw(far(1, 1, 3))
    offer = make_offer(
        id=f"offer-{number}",
        slot=number,
        agent=None,
        gpu_count=draw(st.integers(1, 4)),
        price_per_hour=Amount(draw(some.prices)),
        gpu_model=draw(some.models),
        vram_gb=draw(far(24, 48, 80)),
        features=draw(some.features),
        location=place,
        min_commitment_hours=commitment,
        available_hours=commitment + draw(st.integers(0, 3)),
        policy_id=draw(far(None, *some.POLICIES)),
    )
    return offer, draw(far(None, *some.OFFER_HASHES))


@st.composite
def some_order(draw: st.DrawFn) -> JobOrder:
    limit = draw(some.prices)
    return make_order(
        slot=None,
        policy_id=draw(far(None, some.POLICIES[0])),
        offer_hash=draw(some.mostly(None, some.OFFER_HASHES[0])),
        min_gpu_count=draw(st.integers(1, 4)),
        min_vram_gb=draw(far(0, 48, 80)),
        estimated_hours=draw(st.integers(1, 4)),
        max_price_per_hour=Amount(limit),
        max_budget=draw(st.none() | st.integers(1, 60).map(molt)),
        required_models=draw(st.just(()) | some.model_lists),
        required_features=draw(far((), (Feature.FP8,), (Feature.FP8, Feature.NVLINK))),
        location=draw(far(None, None, Location(country="DE"), Location(country="US", region="eu-1"))),
    )


@given(st.integers(0, 4).flatmap(lambda n: st.tuples(*map(some_offer, range(n)))), some_order())
def test_explain__any_book__tells_every_minimal_relaxation_and_no_other(
    offers: tuple[tuple[CapacityOffer, Hash32 | None], ...], order: JobOrder
) -> None:
    """The oracle tries every combination of what any offer suggests."""
    book, market, now = OrderBook(ManualClock(NOON)), Market(asdict(ScoreWeights())), second(NOON)
    for offer, offer_hash in offers:
        book.add_offer(offer, offer_hash=offer_hash)
        market.add_offer(offer_as_dict(offer, offer_hash), now)
    asked = order_as_dict(order)
    assume(oracle.number_of_tries(market, asked, now) <= MOST_TRIES)

    explanation = book.explain(order, limit=100)
    counted = {each.constraint: (each.offers, each.alone) for each in explanation.exclusions}
    assert counted == oracle.excluded(market, asked, now)
    wanted = [] if explanation.fitting else oracle.relaxations(market, asked, now)
    mine = [{(c.direction, c.reach) for c in each.changes} for each in explanation.relaxations]
    assert {*map(frozenset, mine)} == {frozenset(each.items()) for each in wanted}
    assert len(mine) == len(wanted)
    for relaxation in explanation.relaxations:
        assert book.match_order(relaxation.order)[0] == relaxation.match
        assert not any(matches(book, less) for less in one_step_back(relaxation, order))


def matches(book: OrderBook, order: JobOrder) -> bool:
    return book.explain(order).fitting > 0


def one_step_back(relaxation: Relaxation, order: JobOrder) -> list[JobOrder]:
    """Return the orders that do without one of the changes, or go one unit less far in it.

    Not in the size: GPUs and hours are changed to what an offer has, whatever lies between.
    """
    found = []
    for left_out in relaxation.changes:
        kept = tuple(change for change in relaxation.changes if change is not left_out)
        found.append(kept)
        if left_out.direction in {"price", "budget", "vram"} and left_out.reach != 1:
            found.append((*kept, replace(left_out, value=nearer(left_out, order))))
    return [applied(changes, order) for changes in found]


def nearer(change: Any, order: JobOrder) -> Any:
    if isinstance(change.value, Amount):
        return Amount(change.value.base_units - 1)
    return change.value + 1  # GB of VRAM
