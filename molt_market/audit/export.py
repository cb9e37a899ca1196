"""Every event of the escrow as a table: one row each in the log's order, one column for each field.

Nothing is rounded. CSV has numbers in full and times in UTC; Parquet is made of that very CSV, with types.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel

from molt_market.audit.contract import Contract
from molt_market.domain.events import Event
from molt_market.domain.fields import moment
from molt_market.errors import InvalidValue


class Kind(StrEnum):
    """What a column holds, as Parquet's writer calls it."""

    TEXT = "VARCHAR"  # addresses and hashes as hex, names of statuses and roles; integers of 256 bits
    NUMBER = "BIGINT"
    LARGE = "UBIGINT"  # 64 bits without a sign
    MONEY = "DECIMAL(38,0)"  # base units, of up to 96 bits
    FLAG = "BOOLEAN"
    TIME = "TIMESTAMP WITH TIME ZONE"  # UTC


COLUMNS = {
    "block": Kind.NUMBER,
    "log_index": Kind.NUMBER,
    "time": Kind.TIME,
    "transaction_id": Kind.TEXT,
    "event": Kind.TEXT,
    # accounts
    "account": Kind.TEXT,
    "sender": Kind.TEXT,
    "to": Kind.TEXT,
    "amount": Kind.MONEY,
    "unlock_at": Kind.TIME,
    # offers, orders, approvals, roles
    "side": Kind.NUMBER,
    "group": Kind.LARGE,
    "cutoff_at": Kind.TIME,
    "digest": Kind.TEXT,
    "until": Kind.TIME,
    "role": Kind.TEXT,
    "holder": Kind.TEXT,
    "pending": Kind.TEXT,
    "from": Kind.TIME,
    # policies
    "policy_id": Kind.TEXT,
    "arbiter": Kind.TEXT,
    "challenge_seconds": Kind.NUMBER,
    "grace_seconds": Kind.NUMBER,
    "arbitration_seconds": Kind.NUMBER,
    "arbiter_share_bps": Kind.NUMBER,
    "threshold": Kind.NUMBER,
    "attestors": Kind.TEXT,
    # deals
    "deal_id": Kind.TEXT,
    "buyer": Kind.TEXT,
    "voucher_signer": Kind.TEXT,
    "provider": Kind.TEXT,
    "agent": Kind.TEXT,
    "price_per_gpu_hour": Kind.MONEY,
    "gpu_count": Kind.NUMBER,
    "duration": Kind.NUMBER,
    "commitment": Kind.NUMBER,
    "slot": Kind.LARGE,
    "order_hash": Kind.TEXT,
    "status": Kind.TEXT,
    "flags": Kind.NUMBER,
    "fee_bps": Kind.NUMBER,
    "bond_bps": Kind.NUMBER,
    "opened_at": Kind.TIME,
    "ends_at": Kind.TIME,
    "deadline": Kind.TIME,
    "paid": Kind.NUMBER,
    "claim": Kind.NUMBER,
    "notice_minutes": Kind.NUMBER,
    "gpu_seconds": Kind.NUMBER,
    "to_provider": Kind.MONEY,
    "fee": Kind.MONEY,
    "to_buyer": Kind.MONEY,
    "result_digest": Kind.TEXT,
    "usage_root": Kind.TEXT,
    "excused": Kind.FLAG,
    "counter": Kind.NUMBER,
    "evidence": Kind.TEXT,
    "stake": Kind.MONEY,
    "share": Kind.MONEY,
    # refused items of batches
    "index": Kind.NUMBER,
    "code": Kind.NUMBER,
    "actual": Kind.TEXT,
    "limit": Kind.TEXT,
}


def rows(contract: Contract, first: int, last: int, span: int) -> Iterator[dict[str, str]]:
    """Read the log of these blocks, `span` at a time, and yield a row for each event.

    Raises NodeUnreachable, NodeError.
    """
    for page in contract.logged(first, last, span):
        times = contract.node.block_times({event.block for event in page.events})
        for event in page.events:
            yield row(event, times[event.block])


def row(event: Event, time: int) -> dict[str, str]:
    """Return the cells of an event; `time` is the Unix second of its block. What it has not is left out."""
    cells = {"event": type(event).__name__, "time": time} | dict(_flat(event))
    return {name: _cell(value, COLUMNS[name]) for name, value in cells.items()}


def write_csv(found: Iterable[Mapping[str, str]], file: TextIO) -> int:
    """Write a line of names, then a line for each row; return how many rows there were."""
    lines = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
    lines.writeheader()
    number = 0
    for each in found:
        lines.writerow(each)
        number += 1
    return number


def require_parquet() -> None:
    """Raise InvalidValue unless what writes Parquet is installed."""
    try:
        import duckdb  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        says = "Parquet needs a package: pip install 'molt-market[export]', or write .csv"
        raise InvalidValue(says) from error


def csv_to_parquet(source: Path, target: Path) -> None:
    """Write a CSV of `write_csv` as Parquet, each column with its type. Empty cells are null."""
    import duckdb  # noqa: PLC0415 - an extra

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        types = {name: kind.value for name, kind in COLUMNS.items()}
        table = connection.read_csv(str(source), header=True, dtype=types, all_varchar=False)
        table.write_parquet(str(target), compression="zstd")


# ---------------------------------------------------------------- inside


def _flat(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of an event, and those of the terms, the deal or the policy in it."""
    for name in _names(value):
        held = getattr(value, name)
        if is_dataclass(held) or isinstance(held, BaseModel):
            yield from _flat(held)
        else:
            yield name.removesuffix("_"), held


def _names(value: Any) -> list[str]:
    if isinstance(value, BaseModel):
        return list(type(value).model_fields)
    return [each.name for each in fields(value)]


def _cell(value: Any, kind: Kind) -> str:
    if kind is Kind.TIME:
        return moment(value).strftime("%Y-%m-%dT%H:%M:%SZ")
    if kind is Kind.FLAG:
        return "true" if value else "false"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if isinstance(value, Enum):
        return str(value.name if kind is Kind.TEXT else value.value)
    return str(value)
