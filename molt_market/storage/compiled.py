"""Statements that are compiled once and then given to the driver as they are.

SQLAlchemy looks at a statement anew each time it is run, and at each row that it returns. On the few paths
where that is most of the cost (a post, the feed, the prices of a book) it is left out; all others go its way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from sqlalchemy import Column, Connection, Delete, Dialect, FromClause, Insert, Select, Update
from sqlalchemy.exc import DBAPIError

Statement = Select[Any] | Insert | Update | Delete
Values = Mapping[str, Any]


class Compiled:
    """A statement whose values are all named: by `bindparam`, or, of an insertion, by `columns`.

    What comes back are the driver's rows: types of ours (molt_market.storage.types) are not read back.
    """

    def __init__(self, statement: Statement, *, columns: tuple[str, ...] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._texts: dict[str, _Text] = {}

    def rows(self, connection: Connection, values: Values) -> list[Any]:
        """Run it, and return its rows."""
        text = self._text(connection.dialect)
        return list(send(connection, text.sql, text.values(values)).fetchall())

    def run(self, connection: Connection, *rows: Values) -> int:
        """Run it with each of these values; return how many rows it has changed."""
        text = self._text(connection.dialect)
        if len(rows) == 1:
            return int(send(connection, text.sql, text.values(rows[0])).rowcount)
        return int(send(connection, text.sql, [text.values(each) for each in rows], many=True).rowcount)

    def _text(self, dialect: Dialect) -> _Text:
        """Return it in the words of a database; two threads that do this at once come to the same."""
        text = self._texts.get(dialect.name)
        if text is None:
            text = self._texts[dialect.name] = _Text.of(self._statement, self._columns, dialect)
        return text


@dataclass(frozen=True, slots=True)
class _Text:
    """SQL with the names of its values, and with what writes those that are of a type of ours."""

    sql: str
    names: tuple[str, ...]
    written: Mapping[str, Callable[[Any], Any]]
    by_place: bool

    @classmethod
    def of(cls, statement: Statement, columns: tuple[str, ...] | None, dialect: Dialect) -> _Text:
        compiled: Any = statement.compile(dialect=dialect, column_keys=columns)
        types = {name: bound.type.dialect_impl(dialect) for name, bound in compiled.binds.items()}
        written = {name: type_.bind_processor(dialect) for name, type_ in types.items()}
        return cls(
            compiled.string,
            tuple(compiled.positiontup if compiled.positional else types),
            {name: write for name, write in written.items() if write is not None},
            compiled.positional,
        )

    def values(self, given: Values) -> Any:
        """Return values as the driver takes them with this SQL."""
        if self.written:
            given = {**given, **{name: write(given[name]) for name, write in self.written.items()}}
        return [given[name] for name in self.names] if self.by_place else given


def send(connection: Connection, sql: str, values: Any = (), *, many: bool = False) -> Any:
    """Let the driver run SQL in the connection's transaction; give its cursor. Raises as SQLAlchemy does."""
    at: Any = connection.connection.driver_connection
    driver: Any = connection.dialect.loaded_dbapi
    cursor = at.cursor()
    try:
        if many:
            cursor.executemany(sql, values)
        else:
            cursor.execute(sql, values)
    except driver.Error as error:
        raise DBAPIError.instance(sql, None, error, driver.Error, dialect=connection.dialect) from error
    return cursor


def insert_unless_there(connection: Connection, table: FromClause, *rows: Values) -> int:
    """Insert rows with the same columns, but for those whose key is there; return how many are new."""
    return _compiled_insertion(table, tuple(rows[0]), connection.dialect.name).run(connection, *rows)


def newly_inserted(connection: Connection, key: Column[Any], rows: Sequence[Values]) -> Collection[Any]:
    """Do the same to the table of a column; return what the new rows have in it."""
    if len(rows) == 1:  # it needs no answer but the count
        return {row[key.name] for row in rows if insert_unless_there(connection, key.table, row)}
    insertion = _insertion(key.table, connection.dialect.name).returning(key)
    return set(connection.execute(insertion, rows).scalars()) if rows else ()


def _insertion(table: FromClause, dialect: str) -> Any:
    insert = import_module(f"sqlalchemy.dialects.{dialect}").insert  # the other one is slow to import
    return insert(table).on_conflict_do_nothing()


@cache
def _compiled_insertion(table: FromClause, columns: tuple[str, ...], dialect: str) -> Compiled:
    return Compiled(_insertion(table, dialect), columns=columns)
