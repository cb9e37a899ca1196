"""`molt export`: the whole log as a table, read back to the very same events."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import duckdb
import pytest

from molt_market.audit.contract import Contract
from molt_market.audit.export import COLUMNS, Kind, csv_to_parquet, row, write_csv
from molt_market.chain.artefacts import artefact
from molt_market.cli.root import ExitCode
from molt_market.domain import events
from molt_market.domain.deals import Deal, DealStatus
from molt_market.domain.events import Event
from molt_market.domain.ids import Address, EscrowId, TransactionId
from molt_market.domain.policies import Policy
from molt_market.domain.roles import Role
from molt_market.domain.terms import Terms
from molt_market.testing import Devnet
from tests.integration.commands import asked, molt, refused
from tests.integration.scene import Scene
from tests.integration.story import Story

KINDS = {each.__name__: each for each in Event.__subclasses__()}
PARTS = {"terms": Terms, "deal": Deal, "policy": Policy}
NAMES: dict[str, Any] = {"status": DealStatus, "role": Role}


@pytest.fixture(scope="module")
def story(chain: Devnet) -> Story:
    story = Story(Scene(chain))
    story.tell()
    return story


def all_events(net: Devnet) -> list[Event]:
    contract, latest = Contract(net.node, net.deployment.escrow), net.node.number("eth_blockNumber")
    return [event for page in contract.logged(0, latest, latest + 1) for event in page.events]


def read_back(cells: Mapping[str, Any]) -> Any:
    """Make the event again out of a row, by the types of its fields; knows nothing of how it was written."""
    return _made(KINDS[cells["event"]], cells)


def _made(kind: Any, cells: Mapping[str, Any]) -> Any:
    values = {}
    for name, type_ in get_type_hints(kind).items():
        if name in PARTS and PARTS[name] is type_:
            values[name] = _made(type_, cells)
        elif name != "model_config":
            values[name] = _value(type_, cells[name.removesuffix("_")], name)
    return kind(**values)


def _value(type_: Any, cell: Any, name: str) -> Any:
    if name in NAMES:
        return NAMES[name][cell]
    if name == "attestors":
        return tuple(Address(each) for each in cell.split())
    if isinstance(cell, datetime):
        return int(cell.timestamp())
    if isinstance(cell, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", cell):
        return int(datetime.fromisoformat(cell).timestamp())
    if cell in {"true", "false"}:
        return cell == "true"
    return type_(cell) if isinstance(type_, type) else int(cell)


def of_parquet(path: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        read = connection.read_parquet(str(path))
        names = read.columns
        return [dict(zip(names, each, strict=True)) for each in read.fetchall()]


def types_of(path: Path) -> dict[str, str]:
    with duckdb.connect() as connection:
        read = connection.read_parquet(str(path))
        return {name: str(type_) for name, type_ in zip(read.columns, read.types, strict=True)}


# ---------------------------------------------------------------- round trips


def test_export__csv__is_read_back_to_the_same_events(story: Story, net: Devnet, folder: Path) -> None:
    known = all_events(net)
    told = asked("export", "events.csv")
    assert (told["events"], told["block"]) == (len(known), net.node.number("eth_blockNumber"))
    with Path("events.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [read_back(line) for line in lines] == known
    times = net.node.block_times({event.block for event in known})
    assert [int(datetime.fromisoformat(line["time"]).timestamp()) for line in lines] == [
        times[event.block] for event in known
    ]
    assert {type(event).__name__ for event in known} == KINDS.keys()


def test_export__parquet__is_read_back_to_the_same_events(story: Story, net: Devnet, folder: Path) -> None:
    known = all_events(net)
    assert f"{len(known)} events up to block" in molt("export", "events.parquet", "--blocks", "5")
    assert [read_back(line) for line in of_parquet(Path("events.parquet"))] == known
    assert types_of(Path("events.parquet")) == {name: str(kind) for name, kind in COLUMNS.items()}
    assert [each.name for each in folder.iterdir() if each.suffix != ".json"] == ["events.parquet"]


def test_export__largest_figures__are_not_rounded(tmp_path: Path) -> None:
    where: Any = {"transaction_id": TransactionId("0x" + "ab" * 32), "block": 2**53 + 1, "log_index": 0}
    account = Address("0x" + "11" * 20)
    known = [
        events.Deposited(account=account, sender=account, amount=2**96 - 1, **where),
        events.OrdersCancelled(account=account, side=0, group=2**64 - 1, cutoff_at=2**32, **where),
        events.ItemRefused(index=199, code=1, actual=2**256 - 1, limit=2**256 - 2, **where),
        events.DealPaid(
            deal_id=EscrowId("0x" + "cd" * 32), gpu_seconds=2**40 - 1, to_provider=2**96 - 2, fee=1, **where
        ),
    ]
    table, parquet = tmp_path / "events.csv", tmp_path / "it's; here.parquet"
    with table.open("w", newline="") as file:
        assert write_csv([row(each, 2**32) for each in known], file) == len(known)
    csv_to_parquet(table, parquet)
    lines = of_parquet(parquet)
    assert [read_back(line) for line in lines] == known
    assert lines[0]["time"] == datetime.fromtimestamp(2**32, UTC)


def test_export__nothing_logged__is_an_empty_table(tmp_path: Path) -> None:
    table, parquet = tmp_path / "events.csv", tmp_path / "events.parquet"
    with table.open("w", newline="") as file:
        assert write_csv([], file) == 0
    csv_to_parquet(table, parquet)
    assert of_parquet(parquet) == []
    assert types_of(parquet) == {name: str(kind) for name, kind in COLUMNS.items()}


# ---------------------------------------------------------------- columns


def test_columns__are_the_fields_of_all_events() -> None:
    def names(kind: Any) -> set[str]:
        found = [each.name for each in fields(kind)] if is_dataclass(kind) else list(kind.model_fields)
        return {
            inner.removesuffix("_")
            for name in found
            for inner in (names(PARTS[name]) if name in PARTS else [name])
        }

    found = set().union(*(names(kind) for kind in KINDS.values()))
    assert set(COLUMNS) == found | {"time", "event"}


def test_columns__of_money__are_wide_enough() -> None:
    """What the contract logs as 256 bits is 96 bits of money, 40 of usage or time, 16 of a fee, or text."""
    snake = re.compile(r"(?<!^)([A-Z])")
    wide = {
        snake.sub(r"_\1", field["name"]).lower()
        for each in artefact("MoltEscrow").abi
        if each["type"] == "event"
        for field in each["inputs"]
        if field["type"] == "uint256"
    }
    kinds = {name: COLUMNS[name] for name in wide & COLUMNS.keys()}
    money = {"amount", "to_provider", "fee", "to_buyer", "stake", "share"}
    assert {name for name, kind in kinds.items() if kind is Kind.MONEY} == money
    assert {name for name, kind in kinds.items() if kind is Kind.TEXT} == {"actual", "limit"}
    assert {name for name, kind in kinds.items() if kind is Kind.NUMBER} == {
        "index",
        "fee_bps",
        "gpu_seconds",
        "counter",
    }


# ---------------------------------------------------------------- refusals


def test_export__without_the_package__says_what_to_install(
    net: Devnet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    said = refused("export", "events.parquet", code=ExitCode.BAD_INPUT)
    assert "pip install 'molt-market[export]'" in said
    molt("export", "events.csv")


@pytest.mark.parametrize(
    ("name", "says"), [("events.xlsx", "neither"), ("no/events.csv", "cannot be written")]
)
def test_export__cannot_be__is_said(net: Devnet, folder: Path, name: str, says: str) -> None:
    assert says in refused("export", name, code=ExitCode.BAD_INPUT)
