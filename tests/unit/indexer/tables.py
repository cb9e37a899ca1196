"""What lies in a database's facts, to be compared."""

from __future__ import annotations

from sqlalchemy import select

from molt_market.storage.database import Database
from molt_market.storage.schema import cursors, deals, events

Tables = dict[str, list[tuple[object, ...]]]


def tables(database: Database, deployment: str) -> Tables:
    """Return all rows of a deployment, but for the checkpoints: these tell how it was followed."""
    found = {}
    with database.reading() as connection:
        for table in (cursors, events, deals):
            rows = connection.execute(select(table).where(table.c.deployment == deployment))
            found[table.name] = sorted((tuple(row)[1:] for row in rows), key=repr)
    return found
