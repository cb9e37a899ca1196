"""Bringing the tables of a database to this version's."""

from __future__ import annotations

from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from molt_market.errors import StorageUnavailable

LOCK = 0x4D4F4C54  # "MOLT": one process migrates at a time


def config() -> Config:
    """Return the settings of Alembic, for scripts that lie in the package."""
    settings = Config()
    settings.set_main_option("script_location", "molt_market.storage:migrations")
    return settings


def migrate(engine: Engine) -> None:
    """Make the tables, or bring them up to date. Raises StorageUnavailable if they are of a later version."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        known = {each.revision for each in _scripts().walk_revisions()}
        present = _version(connection)
        if present is not None and present not in known:
            raise StorageUnavailable(
                engine.url.render_as_string(),
                f"its tables are of a later version ({present}): update molt-market",
            )
        settings = config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")


@dataclass(frozen=True, slots=True)
class Tables:
    """The version of a database's tables, None without any, and the one that this version works with."""

    present: str | None
    wanted: str | None
    is_known: bool

    @property
    def is_current(self) -> bool:
        return self.present == self.wanted


def tables_in(engine: Engine) -> Tables:
    """Say what tables a database has, and leave them as they are."""
    with engine.connect() as connection:
        present = _version(connection)
    known = {each.revision for each in _scripts().walk_revisions()}
    return Tables(present, _head(), present is None or present in known)


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(config())


def _head() -> str | None:
    return _scripts().get_current_head()


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
