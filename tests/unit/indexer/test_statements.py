"""Statements of a log that is made up: spans, what is no log, and what a spreadsheet sees of it."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from molt_market.domain import events
from molt_market.domain.amounts import Token
from molt_market.domain.fields import moment
from molt_market.domain.ids import Address
from molt_market.errors import NodeError
from molt_market.indexer.movements import MovementKind
from molt_market.indexer.statements import Logged, Statement, signed_decimal, statement_of, write_csv
from tests.unit.indexer.test_records import CLOSED, OPENED, PAID, TERMS, where

SIX = Token("SIX", 6)
FEES = Address.of(99)
DEPOSITED = events.Deposited(account=TERMS.provider, sender=Address.of(5), amount=5_000, **where(0))
LOG = [DEPOSITED, OPENED, PAID, CLOSED]


def statement(account: Address, *, token: Token = SIX, log: list[events.Event] | None = None) -> Statement:
    logged = [Logged(event, 100 * event.block) for event in log or LOG]
    return statement_of(logged, account, token, fee_recipient=FEES, block=3)


def test_rows__tell_a_payment_by_its_parts() -> None:
    told = [(row.kind.value, row.amount, row.balance) for row in statement(TERMS.provider).rows]
    assert told == [
        ("deposit", 5_000, 5_000),
        ("bond_locked", -1_440, 3_560),
        ("payment", 3_600, 7_160),
        ("fee", -36, 7_124),
        ("payment", 3_600, 10_724),
        ("fee", -36, 10_688),
        ("bond_returned", 1_440, 12_128),
        ("bond_lost", -720, 11_408),
    ]


def test_rows__of_the_buyer_and_of_who_gets_the_fee() -> None:
    buyers = [(row.kind, row.amount) for row in statement(TERMS.buyer).rows]
    assert buyers == [
        (MovementKind.PRICE_LOCKED, -14_400),
        (MovementKind.REFUND, 7_200),
        (MovementKind.BOND_RECEIVED, 720),
    ]
    assert [(row.kind, row.amount, row.counterparty) for row in statement(FEES).rows] == [
        (MovementKind.FEE_RECEIVED, 36, None)
    ] * 2


def test_rows__name_the_other_side_and_where_it_stands() -> None:
    first, second, *_ = statement(TERMS.provider).rows
    assert (first.counterparty, first.deal_id) == (Address.of(5), None)
    assert (second.counterparty, second.deal_id) == (TERMS.buyer, OPENED.deal_id)
    assert (second.block, second.transaction_id, second.time) == (1, OPENED.transaction_id, moment(100))


def test_rows__of_somebody_else__are_none() -> None:
    assert statement(Address.of(12)).rows == ()


def test_log__without_the_opening__is_refused() -> None:
    with pytest.raises(NodeError, match="does not begin with its opening"):
        statement(TERMS.provider, log=[DEPOSITED, PAID])


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(0, 6, "0.000000"), (-1, 6, "-0.000001"), (10**30 + 1, 18, "1000000000000.000000000000000001")],
)
def test_signed_decimal__is_exact(units: int, decimals: int, text: str) -> None:
    assert signed_decimal(units, Token("T", decimals)) == text


def test_signed_decimal__of_a_token_without_decimals__has_none() -> None:
    assert signed_decimal(-12, Token("T", 0)) == "-12"


@pytest.mark.parametrize("symbol", ["=1+1", "+SUM(A1)", "-2", "@cmd", '=HYPERLINK("http://x")'])
def test_csv__text_that_looks_like_a_formula__is_guarded(symbol: str) -> None:
    """A deployment names its token: no spreadsheet may run that name."""
    rows = list(csv.DictReader(io.StringIO(written(statement(TERMS.provider, token=Token(symbol, 6))))))
    assert {row["token"] for row in rows} == {f"'{symbol}"}
    assert rows[1]["base_units"] == "-1440", "a number stays a number"
    assert rows[1]["amount"] == "-0.001440"


def test_csv__of_no_rows__has_its_names() -> None:
    assert written(replace(statement(TERMS.provider), rows=())).count("\n") == 1


def written(told: Statement) -> str:
    text = io.StringIO()
    write_csv(told, text)
    return text.getvalue()
