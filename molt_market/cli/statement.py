"""`molt statement`: what moved an account's money, as CSV or JSON."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from molt_market.app import account_statement, follow
from molt_market.cli.console import iso
from molt_market.cli.context import AppContext
from molt_market.domain.amounts import Token
from molt_market.domain.ids import Address
from molt_market.errors import InvalidValue, counted
from molt_market.indexer.statements import Statement, machine_row, require_span, signed_decimal, write_csv


def statement(
    context: typer.Context,
    account: Annotated[
        str | None,
        typer.Argument(help="Whose statement (default: the account of --wallet).", metavar="ADDRESS"),
    ] = None,
    *,
    since: Annotated[
        str | None, typer.Option(help="From this day or time (UTC) on, e.g. 2026-01-01.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Before this day or time (UTC).")] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of stdout.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of CSV.")] = False,
) -> None:
    """Print each movement of an account's money in the escrow as CSV, and its balance after each.

    Brings the facts in the database up to the chain first. Needs --database.
    """
    shared: AppContext = context.obj
    owner, span = _account(shared, account), (_time(since), _time(until))
    require_span(*span)
    client, database = shared.client(), shared.database()
    follow(client, database).advance()
    found = account_statement(client, database, owner, since=span[0], until=span[1])
    text = _json(found) if as_json or shared.output.as_json else _csv(found)
    if out is None:
        shared.output.text(text)
    else:
        _write(out, text)
    shared.output.note(_summary(found))


def _account(shared: AppContext, given: str | None) -> Address:
    if given is not None:
        return Address(given)
    own = shared.own_address()
    if own is None:
        raise InvalidValue("whose statement: give an address, or --wallet")
    return own


def _time(given: str | None) -> datetime | None:
    """Read a day or a time; one without a zone is in UTC."""
    if given is None:
        return None
    try:
        read = datetime.fromisoformat(given)
    except ValueError:
        raise InvalidValue(f"{given!r} is no time: write e.g. 2026-01-31 or 2026-01-31T12:00:00Z") from None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def _csv(found: Statement) -> str:
    text = io.StringIO()
    write_csv(found, text)
    return text.getvalue()


def _json(found: Statement) -> str:
    told: dict[str, Any] = {
        "account": found.account,
        "token": found.token.symbol,
        "since": iso(found.since),
        "until": iso(found.until),
        "block": found.block,
        "opening_base_units": str(found.opening),
        "closing_base_units": str(found.closing),
        "rows": [machine_row(row, found.token) for row in found.rows],
    }
    return json.dumps(told, indent=2) + "\n"


def _summary(found: Statement) -> str:
    """Say on one line what no row says."""
    opening, closing = (_money(units, found.token) for units in (found.opening, found.closing))
    return f"{counted(len(found.rows), 'row')} up to block {found.block}: from {opening} to {closing}"


def _money(base_units: int, token: Token) -> str:
    return f"{signed_decimal(base_units, token)} {token.symbol}"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8", newline="")
    except OSError as error:
        raise InvalidValue(f"{path} cannot be written: {error.strerror}; choose another --out") from error
