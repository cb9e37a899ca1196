"""A copy of a whole database in a file: made while others write, restored into one of either kind."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Connection, Table, func, insert, select, text

from molt_market.errors import InvalidValue
from molt_market.storage.database import AT_ONCE, Database
from molt_market.storage.schema import metadata

OWNER_ONLY = 0o600  # secrets of webhooks are in it


def back_up(source: Database, file: Path) -> int:
    """Write all rows, as they are at one moment, to a new SQLite file; return how many there are.

    Whoever writes meanwhile is not held up. The file appears when it is whole.

    Raises:
        InvalidValue: the file is there already, or cannot be made.
        StorageUnavailable: one of the two databases fails.
    """
    if file.exists():
        raise InvalidValue(f"{file} is there already: name a new file")
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))
    except OSError as error:
        raise InvalidValue(f"{part} cannot be made: {error.strerror}") from error
    target = Database(part)
    try:
        rows = _copy(source, target)
    finally:
        target.close()
    part.replace(file)
    return rows


def restore(file: Path, target: Database) -> int:
    """Write all rows of a backup to an empty database, all or none; return how many there are.

    Raises:
        InvalidValue: there is no such file, or the database has rows already.
        StorageUnavailable: one of the two databases fails, or is of a later version.
    """
    source = Database(file, must_exist=True)
    try:
        return _copy(source, target)
    finally:
        source.close()


def _copy(source: Database, target: Database) -> int:
    rows = 0
    with source.reading() as reading, target.writing() as writing:
        for table in metadata.sorted_tables:
            if writing.execute(select(func.count()).select_from(table)).scalar_one():
                where = target.url.render_as_string()
                raise InvalidValue(f"{where} has {table.name} already: restore into an empty database")
            rows += _copy_table(table, reading, writing)
            if target.is_postgres:
                _count_on(table, writing)
    return rows


def _copy_table(table: Table, reading: Connection, writing: Connection) -> int:
    rows = 0
    found = reading.execution_options(yield_per=AT_ONCE).execute(select(table))
    for some in found.mappings().partitions():
        writing.execute(insert(table), [dict(row) for row in some])
        rows += len(some)
    return rows


def _count_on(table: Table, writing: Connection) -> None:
    """Have the next row counted on from the rows that are there: PostgreSQL counts apart from them."""
    counted = table.autoincrement_column
    if counted is None:
        return
    most = writing.execute(select(func.max(counted))).scalar_one()
    if most is not None:
        names = {"table": table.name, "column": counted.name, "most": most}
        writing.execute(text("SELECT setval(pg_get_serial_sequence(:table, :column), :most)"), names)
