"""One database: SQLite in a file for one machine, PostgreSQL for several."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, NoSuchModuleError, OperationalError

from molt_market.errors import InvalidValue, StorageUnavailable
from molt_market.storage.compiled import send
from molt_market.storage.schema import VERSION

if TYPE_CHECKING:
    from molt_market.storage.migrate import Tables

AT_ONCE = 500  # values in one statement
BUSY_SECONDS = 30  # how long one writer of a SQLite file waits for another

Found = TypeVar("Found")


class Database:
    """A database with our tables in it; they are made, or brought up to date, when it is opened.

    Args:
        url: `sqlite:///market.db` (or just a path), or `postgresql://user@host/name`.
        must_exist: refuse a SQLite file that is not there, instead of making it.

    Raises:
        InvalidValue: the URL names no database that we can use, or no file that is there.
        StorageUnavailable: it cannot be opened, or its tables are of a later version.

    >>> Database("sqlite:///market.db")  # doctest: +SKIP
    Database(sqlite:///market.db)
    """

    def __init__(self, url: str | Path, *, must_exist: bool = False) -> None:
        self.url = _url(url)
        if must_exist:
            _require_file(self.url)
        self.engine = _engine(self.url)
        self._readers = self.engine.execution_options(reading=True, **self._of_readers())
        self._writer: Connection | None = None
        self._writing = Lock()
        try:
            with unavailable(self.url):
                _bring_up_to_date(self.engine)
        except BaseException:
            self.close()
            raise

    @property
    def is_postgres(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    def _of_readers(self) -> dict[str, Any]:
        """SQLite's readers see one state anyway; PostgreSQL's would see each statement's own."""
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if self.is_postgres else {}

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Run one transaction that writes; it is durable when the block is left, and undone by an error.

        In SQLite there is one writer at a time, from the start of its transaction. Those of this process wait
        for each other here, and share a connection.
        """
        if self.is_postgres:
            with unavailable(self.url), self.engine.begin() as connection:
                yield connection
            return
        with self._writing, unavailable(self.url):
            if self._writer is None:
                self._writer = self.engine.connect()
            with self._writer.begin():
                yield self._writer

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Run one transaction that only reads, and sees one state of the database."""
        with unavailable(self.url), self._readers.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self.engine.dispose()

    def __repr__(self) -> str:
        return f"Database({self.url.render_as_string()})"


def look_into(url: str | Path) -> Tables:
    """Say what tables a database has, and change nothing in it, as opening it would.

    Raises:
        InvalidValue: the URL names no database that we can use, or no file that is there.
        StorageUnavailable: it cannot be read.
    """
    place = _url(url)
    _require_file(place)
    engine = _bare_engine(place)
    try:
        with unavailable(place):
            from molt_market.storage.migrate import tables_in  # noqa: PLC0415 - see _bring_up_to_date

            return tables_in(engine)
    finally:
        engine.dispose()


def in_parts(values: Sequence[Found]) -> Iterator[Sequence[Found]]:
    """Cut values into as many as one statement takes."""
    for first in range(0, len(values), AT_ONCE):
        yield values[first : first + AT_ONCE]


@contextmanager
def unavailable(url: URL) -> Iterator[None]:
    """Raise StorageUnavailable if the database itself fails in this block."""
    try:
        yield
    except DBAPIError as error:
        broken = (
            isinstance(error, OperationalError) or type(error) is DatabaseError
        )  # e.g. no database at all
        if broken or error.connection_invalidated:
            raise StorageUnavailable(url.render_as_string(), str(error.orig)) from error
        raise


def _url(given: str | Path) -> URL:
    if isinstance(given, Path) or "://" not in given:
        return URL.create("sqlite", database=str(given))
    try:
        url = make_url(given)
    except ArgumentError as error:
        raise InvalidValue(f"{given!r} is no database: write e.g. sqlite:///market.db") from error
    if url.drivername in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    return url


def _require_file(url: URL) -> None:
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        raise InvalidValue(f"there is no database at {url.database}: check the path")


def _bring_up_to_date(engine: Engine) -> None:
    """Make the tables or change them, if they are not this version's already.

    Alembic is slow to import, and nearly always there is nothing to do.
    """
    with engine.connect() as connection:
        known = inspect(connection).has_table("alembic_version")
        if known and connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == VERSION:
            return
    from molt_market.storage.migrate import migrate  # noqa: PLC0415

    migrate(engine)


def _engine(url: URL) -> Engine:
    engine = _bare_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _bare_engine(url: URL) -> Engine:
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise InvalidValue(f"{url.get_backend_name()} is not supported: use sqlite or postgresql")
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        raise InvalidValue(
            "a database in memory does not outlive the process: give a file, sqlite:///market.db"
        )
    try:
        return create_engine(url, pool_pre_ping=url.get_backend_name() == "postgresql")
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise InvalidValue("PostgreSQL needs a driver: pip install 'molt-market[postgres]'") from error


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1_000}")
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")  # what a method has written survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: Any) -> None:
    """Let readers and a writer work side by side; a file is switched to that once, by who opens it first.

    Where two do so at the same moment SQLite does not wait, whatever the busy timeout is.
    """
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    send(connection, "BEGIN" if reading else "BEGIN IMMEDIATE")
