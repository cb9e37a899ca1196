"""An order over several providers: split into orders, opened one by one under one budget."""

from __future__ import annotations

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.ids import ZERO_HASH, OrderId
from molt_market.domain.matches import OrderMatch
from molt_market.domain.orders import JobOrder
from molt_market.errors import InvalidValue, PriceExceedsBudget
from molt_market.payments.parts import within_budget
from tests.factories import make_match, make_order

# 12 GPUs for 8 hours at 10 MOLT, in two parts: 640 and 320 MOLT.
BUDGET = Amount.from_molt(960)


def whole() -> JobOrder:
    return make_order(id=OrderId("big"), min_gpu_count=12, slot=None)


def matches() -> list[OrderMatch]:
    return [make_match(order=part) for part in whole().in_parts(8, 4)]


def test_in_parts__each_is_an_order_of_its_own() -> None:
    parts = whole().in_parts(8, 4)
    assert [part.id for part in parts] == ["big.1", "big.2"]
    assert [part.requirements.min_gpu_count for part in parts] == [8, 4]
    assert {part.requirements.estimated_hours for part in parts} == {8}
    assert parts == whole().in_parts(8, 4)


def test_in_parts__share_the_budget__and_never_exceed_it() -> None:
    order = make_order(min_gpu_count=7, slot=None, max_budget=Amount(1_000))
    budgets = [part.budget.base_units for part in order.in_parts(3, 3, 1)]
    assert budgets == [428, 428, 142]


@pytest.mark.parametrize("counts", [(8, 3), (8, 5), (), (12, 0)])
def test_in_parts__that_do_not_add_up__are_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"make them add up|greater than or equal to 1"):
        whole().in_parts(*counts)


@pytest.mark.parametrize(
    "bound",
    [{"slot": 3}, {"offer_hash": ZERO_HASH}, {"signature": "0x" + "51" * 65}],
    ids=["slot", "offer", "signature"],
)
def test_in_parts__of_an_order_for_one_deal__is_refused(bound: dict[str, object]) -> None:
    order = make_order(**{"min_gpu_count": 12, "slot": None, **bound})
    with pytest.raises(InvalidValue, match="which go for one deal"):
        order.in_parts(8, 4)


def test_within_budget__each_for_no_more_than_it_costs() -> None:
    parts = within_budget(matches(), BUDGET)
    assert [part.order_id for part in parts] == ["big.1", "big.2"]
    assert [part.order.max_budget for part in parts] == [Amount.from_molt(640), Amount.from_molt(320)]


def test_within_budget__above_it__is_refused() -> None:
    budget = BUDGET - Amount(1)
    with pytest.raises(PriceExceedsBudget) as caught:
        within_budget(matches(), budget)
    assert (caught.value.price, caught.value.budget) == (BUDGET, budget)


def test_within_budget__the_same_order_twice__is_refused() -> None:
    with pytest.raises(InvalidValue, match="twice"):
        within_budget([matches()[0]] * 2, BUDGET)


def test_within_budget__of_nothing__is_nothing() -> None:
    assert within_budget([], BUDGET) == []
