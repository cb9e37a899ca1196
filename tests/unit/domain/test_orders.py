from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from molt_market.domain.amounts import Amount, Token
from molt_market.domain.orders import TRANSITIONS, JobOrder, OrderStatus, Priority, transition
from molt_market.errors import InvalidStateTransition
from tests.factories import BUYER, NOON, make_order, make_requirements

ALLOWED = """
    PENDING    -> MATCHED CANCELLED EXPIRED
    MATCHED    -> ESCROWED PENDING
    ESCROWED   -> RUNNING FAILED DISPUTED
    RUNNING    -> COMPLETED FAILED DISPUTED
    COMPLETED  -> SETTLED DISPUTED
    FAILED     -> REFUNDED
    DISPUTED   -> RESOLVED
    RESOLVED   -> SETTLED REFUNDED
"""
PAIRS = {
    (OrderStatus[from_], OrderStatus[to])
    for from_, to_all in (
        line.split("->") for line in ALLOWED.replace(" ->", "->").split("\n") if line.strip()
    )
    for from_, to in product([from_.strip()], to_all.split())
}


def refusal_of(**fields: Any) -> str:
    """Return what is said of an order with these fields."""
    with pytest.raises(ValidationError) as caught:
        make_order(**fields)
    return str(caught.value)


@pytest.mark.parametrize(("from_", "to"), sorted(PAIRS))
def test_transition__of_the_table__gives_the_next_status(from_: OrderStatus, to: OrderStatus) -> None:
    assert transition(from_, to) is to


@pytest.mark.parametrize(("from_", "to"), sorted(set(product(OrderStatus, repeat=2)) - PAIRS))
def test_transition__of_any_other_pair__is_refused(from_: OrderStatus, to: OrderStatus) -> None:
    with pytest.raises(InvalidStateTransition) as caught:
        transition(from_, to)
    assert (caught.value.from_, caught.value.to) == (from_.name, to.name)


def test_transitions__lead_from_every_status_to_an_end() -> None:
    ends = {status for status in OrderStatus if not TRANSITIONS[status]}
    assert ends == {OrderStatus.SETTLED, OrderStatus.REFUNDED, OrderStatus.CANCELLED, OrderStatus.EXPIRED}
    reaching = set(ends)
    for _ in OrderStatus:
        reaching |= {status for status in OrderStatus if TRANSITIONS[status] & reaching}
    assert reaching == set(OrderStatus)


def test_with_status__keeps_everything_else() -> None:
    order = make_order()
    matched = order.with_status(OrderStatus.MATCHED)
    assert (order.status, matched.status) == (OrderStatus.PENDING, OrderStatus.MATCHED)
    assert matched.model_copy(update={"status": OrderStatus.PENDING}) == order
    with pytest.raises(InvalidStateTransition):
        order.with_status(OrderStatus.SETTLED)


def test_order__of_the_least_fields__has_the_references_defaults() -> None:
    order = JobOrder(buyer_id="buyer-456", requirements=make_requirements())
    assert (order.status, order.priority, order.max_budget) == (OrderStatus.PENDING, Priority.NORMAL, None)
    assert order.expires_at - order.created_at == timedelta(hours=1)
    assert (order.voucher_signer, order.slot, order.policy_id) == (None, None, None)
    assert (order.offer_hash, order.opener, order.signature) == (None, None, None)


def test_order__as_json__comes_back_equal() -> None:
    order = make_order(max_budget=Amount.from_molt(300), required_models=["H100"], priority=Priority.URGENT)
    assert JobOrder.model_validate_json(order.model_dump_json()) == order
    assert JobOrder.model_validate(order.model_dump()) == order


def test_budget__left_out__is_the_limit_price_of_all_gpus_and_hours() -> None:
    order = make_order(min_gpu_count=4, estimated_hours=8, max_price_per_hour=Amount.from_molt(15))
    assert order.budget == Amount.from_molt(15 * 4 * 8)


def test_budget__that_is_given__counts() -> None:
    """The reference's own example: 8 GPUs for 24 hours at up to 12 may cost 300 in all."""
    order = make_order(min_gpu_count=8, estimated_hours=24, max_budget=Amount.from_molt(300))
    assert order.budget == Amount.from_molt(300)


@given(units=st.integers(1, 2**60), gpus=st.integers(1, 1000), hours=st.integers(1, 8_760))
def test_cost_at__is_price_times_gpus_times_hours(units: int, gpus: int, hours: int) -> None:
    needs = make_requirements(min_gpu_count=gpus, estimated_hours=hours)
    assert needs.cost_at(Amount(units)) == Amount(units * gpus * hours)
    assert needs.gpu_seconds == gpus * hours * 3_600


def test_budget__in_another_token__is_refused() -> None:
    assert "use one token throughout" in refusal_of(max_budget=Token("USDC", 6).amount(5))


@pytest.mark.parametrize("units", [0, 2**96])
def test_budget__that_the_contract_cannot_charge__is_refused(units: int) -> None:
    assert "cannot be charged" in refusal_of(max_budget=Amount(units))


def test_budget__left_out_and_too_large__is_refused_with_the_way_out() -> None:
    limit = Amount(2**95)
    assert "set max_budget" in refusal_of(min_gpu_count=2, estimated_hours=1, max_price_per_hour=limit)
    order = make_order(
        min_gpu_count=2, estimated_hours=1, max_price_per_hour=limit, max_budget=Amount.from_molt(1)
    )
    assert order.budget == Amount.from_molt(1)


def test_budget__as_a_float__says_how_to_write_it() -> None:
    assert 'Amount.from_molt("300.0")' in refusal_of(max_budget=300.0)


def test_allocation__of_2_to_the_40_gpu_seconds__is_refused() -> None:
    most = (2**40 - 1) // (8_760 * 3_600)
    price = Amount(1)
    needs = make_requirements(min_gpu_count=most, estimated_hours=8_760, max_price_per_hour=price)
    assert needs.gpu_seconds < 2**40
    with pytest.raises(ValidationError, match="split the order"):
        make_requirements(min_gpu_count=most + 1, estimated_hours=8_760, max_price_per_hour=price)


@pytest.mark.parametrize(
    "field",
    [
        {"min_gpu_count": 0},
        {"min_gpu_count": 4.0},
        {"min_vram_gb": -1},
        {"min_vram_gb": 2**16},
        {"estimated_hours": 0},
        {"estimated_hours": 8_761},
        {"estimated_hours": 8.5},
        {"max_price_per_hour": Amount(0)},
        {"required_models": ["H1000"]},
    ],
)
def test_requirement__out_of_its_range__is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        make_requirements(**field)
    assert caught.value.errors()[0]["loc"] == tuple(field)


def test_vram__of_zero__asks_for_any() -> None:
    assert make_requirements(min_vram_gb=0).min_vram_gb == 0


def test_voucher_signer__that_is_nobody__is_refused() -> None:
    assert "leave it out to name the buyer" in refusal_of(voucher_signer="0x" + "00" * 20)


def test_buyer__that_is_an_address__is_kept_in_its_spelling() -> None:
    assert make_order(buyer_id=BUYER.lower()).buyer_id == BUYER


def test_expiry__at_creation__is_refused() -> None:
    assert "is not after created_at" in refusal_of(expires_at=NOON)
