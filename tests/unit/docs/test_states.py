"""docs/states.md: its states and transitions are the code's."""

from __future__ import annotations

from itertools import chain

from molt_market.chain.artefacts import artefact
from molt_market.domain.deals import DealStatus, EscrowState
from molt_market.domain.orders import TRANSITIONS, OrderStatus
from molt_market.domain.states import ORDER_STATUSES
from tests.pages import Page, codes

PAGE = Page("states.md")
BEFORE = {OrderStatus.PENDING, OrderStatus.MATCHED, OrderStatus.CANCELLED, OrderStatus.EXPIRED}


def test_one_table__names_every_state_and_no_other() -> None:
    on_chain, escrow, order = ({row[column] for row in PAGE.table("One table")} for column in range(3))
    assert on_chain - {"-"} == {status.name for status in DealStatus}
    assert escrow - {"-"} == {state.name for state in EscrowState}
    assert order == {status.name for status in OrderStatus}


def test_one_table__gives_a_deals_status_the_state_that_the_code_gives_it() -> None:
    for on_chain, escrow, order, _ in PAGE.table("One table"):
        if on_chain == "-":
            assert (escrow, OrderStatus[order] in BEFORE) == ("-", True)
        else:
            assert EscrowState.of(DealStatus[on_chain]).name == escrow


def test_one_table__is_the_one_that_the_code_goes_by() -> None:
    told: dict[DealStatus, set[OrderStatus]] = {status: set() for status in DealStatus}
    for on_chain, _, order, _ in PAGE.table("One table"):
        if on_chain != "-":
            told[DealStatus[on_chain]].add(OrderStatus[order])
    assert told == ORDER_STATUSES


def test_order_transitions__are_those_of_the_code() -> None:
    told = [(OrderStatus[from_], OrderStatus[to]) for from_, to, _ in PAGE.table("An order in the book")]
    assert sorted(told) == sorted((from_, to) for from_, after in TRANSITIONS.items() for to in after)


def test_order_diagram__names_every_status() -> None:
    diagrams = [block.text for block in PAGE.blocks()]
    assert all(status.name in diagrams[1] for status in OrderStatus)
    assert all(status.name in diagrams[0] for status in DealStatus)


def test_verbs__are_the_contracts() -> None:
    abi = {entry["name"] for entry in artefact("MoltEscrow").abi if entry["type"] == "function"}
    verbs = chain.from_iterable(codes(row[1]) for row in PAGE.table("A deal on the chain"))
    ways_out = chain.from_iterable(codes(row[3]) for row in PAGE.table("Who wins when somebody is silent"))
    assert {*verbs, *ways_out} <= abi
