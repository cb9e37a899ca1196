"""`molt export`: the whole log of the escrow as a table, for a spreadsheet or a database."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from molt_market.audit.auditor import SPAN
from molt_market.audit.contract import Contract
from molt_market.audit.export import csv_to_parquet, require_parquet, rows, write_csv
from molt_market.cli.audit import Blocks
from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson
from molt_market.errors import InvalidValue

SUFFIXES = (".csv", ".parquet")


def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Ends with .csv or .parquet.", metavar="FILE")],
    *,
    blocks: Blocks = SPAN,
    as_json: AsJson = False,
) -> None:
    """Write every event of the escrow to a file, CSV or Parquet: a row each, in order, nothing rounded.

    Up to the last confirmed block. Needs a node and the deployment's file: no database, no key.
    """
    if file.suffix not in SUFFIXES:
        raise InvalidValue(f"{file} is neither .csv nor .parquet: name one of them")
    if file.suffix == ".parquet":
        require_parquet()
    shared: AppContext = context.obj
    client = shared.client()
    contract = Contract(client.node, client.deployment.escrow)
    last = client.transactions.head() - client.transactions.confirmations
    found = rows(contract, client.deployment.block, last, blocks)
    try:
        with TemporaryDirectory(dir=file.parent) as folder:
            table, done = Path(folder) / "events.csv", Path(folder) / "events.parquet"
            with table.open("w", encoding="utf-8", newline="") as lines:
                number = write_csv(found, lines)
            if file.suffix == ".parquet":
                csv_to_parquet(table, done)
                table = done
            table.replace(file)
    except OSError as error:
        raise InvalidValue(f"{file} cannot be written: {error.strerror}; choose another") from error
    if shared.says_json(as_json=as_json):
        shared.output.json({"file": str(file), "events": number, "block": last})
    else:
        shared.output.line(f"{number} events up to block {last} in {file}")
