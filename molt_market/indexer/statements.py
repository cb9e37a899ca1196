"""An account's statement: each movement of its money in a span of time, and its balance after each.

All of it comes from the followed log. The sum of all rows is the account's balance in the escrow.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

from molt_market.domain import events
from molt_market.domain.amounts import Amount, Token
from molt_market.domain.events import DEAL_EVENTS, Event
from molt_market.domain.fields import moment, seconds
from molt_market.domain.ids import Address, EscrowId, TransactionId
from molt_market.errors import InvalidValue, NodeError
from molt_market.indexer.movements import Movement, MovementKind, of_account, of_deal, of_opening, of_ruling
from molt_market.indexer.records import DealRecord, after, opened

COLUMNS = (
    "time",
    "block",
    "log_index",
    "transaction",
    "kind",
    "deal",
    "counterparty",
    "base_units",
    "amount",
    "balance_base_units",
    "balance",
    "token",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the start of a formula."""


@dataclass(frozen=True, slots=True)
class Logged:
    """An event of the log, and the Unix second of its block."""

    event: Event
    time: int


@dataclass(frozen=True, slots=True)
class Row:
    """One movement: `amount` base units (negative: out of the balance), after which `balance` are there."""

    time: datetime
    block: int
    log_index: int
    transaction_id: TransactionId
    kind: MovementKind
    deal_id: EscrowId | None
    counterparty: Address | None
    amount: int
    balance: int


@dataclass(frozen=True, slots=True)
class Statement:
    """The rows of a span of time (`since` inclusive, `until` exclusive, UTC; None: without an end).

    `opening` and `closing` are the balances before and after them, in base units. `block` is the last block
    that was followed: the log after it is not in here.
    """

    account: Address
    token: Token
    since: datetime | None
    until: datetime | None
    block: int
    opening: int
    closing: int
    rows: tuple[Row, ...]


def statement_of(
    logged: Iterable[Logged],
    account: Address,
    token: Token,
    *,
    fee_recipient: Address,
    block: int,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Statement:
    """Return an account's statement out of the events that touch it, all from the start and in order.

    Raises:
        NodeError: they contradict themselves, so that some are missing.
    """
    opening, balance, rows = 0, 0, []
    for entry, movement in _movements(logged, fee_recipient):
        if movement.account != account:
            continue
        balance += movement.amount
        if since is not None and entry.time < seconds(since):
            opening = balance
        elif until is None or entry.time < seconds(until):
            rows.append(_row(entry, movement, balance))
    closing = rows[-1].balance if rows else opening
    return Statement(account, token, since, until, block, opening, closing, tuple(rows))


def require_span(since: datetime | None, until: datetime | None) -> None:
    """Raise InvalidValue unless a span of time is one: with zones, and its end after its start."""
    for each in (since, until):
        if each is not None and each.tzinfo is None:
            raise InvalidValue(f"{each} has no time zone: give it one, e.g. datetime.now(UTC)")
    if since is not None and until is not None and until <= since:
        raise InvalidValue(f"until {until} is not after since {since}: turn them round")


def signed_decimal(base_units: int, token: Token) -> str:
    """Write base units as an exact number of whole tokens, with all decimals of the token.

    >>> signed_decimal(-1_500_000, Token("USDC", 6))
    '-1.500000'
    """
    sign = "-" if base_units < 0 else ""
    return f"{sign}{Amount(abs(base_units), token).to_decimal():f}"


def machine_row(row: Row, token: Token) -> dict[str, str | int | None]:
    """Return a row for a program, by the names of COLUMNS; base units are strings, as they may be large."""
    values = (
        row.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        row.block,
        row.log_index,
        row.transaction_id,
        row.kind.value,
        row.deal_id,
        row.counterparty,
        str(row.amount),
        signed_decimal(row.amount, token),
        str(row.balance),
        signed_decimal(row.balance, token),
        token.symbol,
    )
    return dict(zip(COLUMNS, values, strict=True))


def write_csv(statement: Statement, file: TextIO) -> None:
    """Write a statement as CSV: a line of names, then a line for each row.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow(COLUMNS)
    for row in statement.rows:
        lines.writerow(_guarded(machine_row(row, statement.token)))


# ---------------------------------------------------------------- inside


def _movements(logged: Iterable[Logged], fee_recipient: Address) -> Iterator[tuple[Logged, Movement]]:
    deals: dict[EscrowId, DealRecord] = {}
    for entry in logged:
        for movement in _of(entry.event, deals, fee_recipient):
            yield entry, movement


def _of(event: Event, deals: dict[EscrowId, DealRecord], fee_recipient: Address) -> Iterable[Movement]:
    """Return what an event moves, and take it into the deals as they stand."""
    if isinstance(event, events.DealOpened):
        deals[event.deal_id] = opened(event)
        return of_opening(deals[event.deal_id])
    if not isinstance(event, DEAL_EVENTS):
        movement = of_account(event)
        return [] if movement is None else [movement]
    before = deals.get(event.deal_id)
    if before is None:
        raise NodeError(f"the log of deal {event.deal_id} does not begin with its opening: start anew")
    now = deals[event.deal_id] = after(before, event)
    return of_ruling(event) if isinstance(event, events.DealRuled) else of_deal(before, now, fee_recipient)


def _row(entry: Logged, movement: Movement, balance: int) -> Row:
    event = entry.event
    return Row(
        moment(entry.time),
        event.block,
        event.log_index,
        event.transaction_id,
        movement.kind,
        movement.deal_id,
        movement.counterparty,
        movement.amount,
        balance,
    )


def _guarded(values: Mapping[str, str | int | None]) -> Sequence[str | int | None]:
    """Guard the texts; a number may begin with a minus, and has to stay one."""
    numbers = {"base_units", "amount", "balance_base_units", "balance"}
    return [value if name in numbers else _text(value) for name, value in values.items()]


def _text(value: str | int | None) -> str | int | None:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
