"""`molt backup` and `molt restore`: a database in a file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson
from molt_market.errors import counted
from molt_market.storage.backup import back_up
from molt_market.storage.backup import restore as restore_from

File = Annotated[Path, typer.Argument(help="The backup: a SQLite file.", metavar="FILE")]


def backup(context: typer.Context, file: File, *, as_json: AsJson = False) -> None:
    """Copy the database to a new file, as it is at one moment, while others go on to write.

    From SQLite or PostgreSQL; the file is SQLite in both cases.
    """
    shared: AppContext = context.obj
    _tell(shared, "copied", back_up(shared.database(), file), file, as_json=as_json)


def restore(context: typer.Context, file: File, *, as_json: AsJson = False) -> None:
    """Copy a backup into the database, which has to be empty; it is made if there is none.

    Into SQLite or PostgreSQL. Let nothing else run; go on with `molt reconcile`, for each account that pays.
    """
    shared: AppContext = context.obj
    _tell(shared, "restored", restore_from(file, shared.database(make=True)), file, as_json=as_json)


def _tell(shared: AppContext, did: str, rows: int, file: Path, *, as_json: bool) -> None:
    if shared.says_json(as_json=as_json):
        shared.output.json({"file": str(file), "rows": rows})
    else:
        shared.output.line(f"{did} {counted(rows, 'row')}: {file}")
