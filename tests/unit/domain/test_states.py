from __future__ import annotations

from itertools import pairwise, product

import pytest

from molt_market.domain.deals import DealStatus
from molt_market.domain.orders import OrderStatus, transition
from molt_market.domain.states import ORDER_STATUSES, agree, way_to
from molt_market.errors import InvalidStateTransition

# Of every order and deal: what the order goes through to follow ("." nothing, "-" no way leads there).
WAYS = """
            NONE     LOCKED      CLAIMED          DISPUTED      RELEASED         REFUNDED
 PENDING    MATCHED  M,ESCROWED  M,E,R,COMPLETED  M,E,DISPUTED  M,E,R,C,SETTLED  M,E,F,REFUNDED
 MATCHED    .        ESCROWED    E,R,COMPLETED    E,DISPUTED    E,R,C,SETTLED    E,F,REFUNDED
 ESCROWED   -        .           R,COMPLETED      DISPUTED      R,C,SETTLED      F,REFUNDED
 RUNNING    -        .           COMPLETED        DISPUTED      C,SETTLED        F,REFUNDED
 COMPLETED  -        .           .                DISPUTED      SETTLED          D,V,REFUNDED
 FAILED     -        .           -                -             -                REFUNDED
 DISPUTED   -        -           -                .             V,SETTLED        V,REFUNDED
 RESOLVED   -        -           -                -             SETTLED          REFUNDED
 SETTLED    -        -           -                -             .                -
 REFUNDED   -        -           -                -             -                .
 CANCELLED  -        -           -                -             -                -
 EXPIRED    -        -           -                -             -                -
"""
SHORT = {
    "M": OrderStatus.MATCHED,
    "E": OrderStatus.ESCROWED,
    "R": OrderStatus.RUNNING,
    "C": OrderStatus.COMPLETED,
    "F": OrderStatus.FAILED,
    "D": OrderStatus.DISPUTED,
    "V": OrderStatus.RESOLVED,
}


def told() -> dict[tuple[OrderStatus, DealStatus], tuple[OrderStatus, ...] | None]:
    """Read the table."""
    head, *rows = (line.split() for line in WAYS.strip("\n").split("\n"))
    ways = {}
    for order, *cells in rows:
        for deal, cell in zip(head, cells, strict=True):
            names = [] if cell in {".", "-"} else cell.split(",")
            way = tuple(SHORT[name] if name in SHORT else OrderStatus[name] for name in names)
            ways[OrderStatus[order], DealStatus[deal]] = None if cell == "-" else way
    return ways


TABLE = told()


def test_table__has_all_pairs() -> None:
    assert set(TABLE) == set(product(OrderStatus, DealStatus))


@pytest.mark.parametrize(("order", "deal"), sorted(TABLE))
def test_way__of_every_pair(order: OrderStatus, deal: DealStatus) -> None:
    way = TABLE[order, deal]
    if way is None:
        with pytest.raises(InvalidStateTransition) as caught:
            way_to(order, deal)
        assert caught.value.from_ == order.name
        return
    assert way_to(order, deal) == way
    for from_, to in pairwise((order, *way)):
        transition(from_, to)  # every step is one of the state machine's
    assert agree((order, *way)[-1], deal)


@pytest.mark.parametrize("order", OrderStatus)
def test_agree__an_order_that_need_not_move(order: OrderStatus) -> None:
    """RESOLVED agrees with a closed deal, but only in passing."""
    staying = {deal for deal in DealStatus if TABLE[order, deal] == ()}
    passing = {DealStatus.RELEASED, DealStatus.REFUNDED} if order is OrderStatus.RESOLVED else set()
    assert {deal for deal in DealStatus if agree(order, deal)} == staying | passing


def test_way__a_voucher_was_redeemed__the_job_runs() -> None:
    assert way_to(OrderStatus.ESCROWED, DealStatus.LOCKED, paid=True) == (OrderStatus.RUNNING,)
    assert way_to(OrderStatus.RUNNING, DealStatus.LOCKED, paid=True) == ()
    assert way_to(OrderStatus.COMPLETED, DealStatus.LOCKED, paid=True) == ()
    assert way_to(OrderStatus.ESCROWED, DealStatus.LOCKED) == ()


def test_order_statuses__of_every_deal_status() -> None:
    assert set(ORDER_STATUSES) == set(DealStatus)
