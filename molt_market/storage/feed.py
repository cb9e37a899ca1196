"""The feed of a market in a database: every step, in the order in which the steps were committed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, Connection, bindparam, insert, select, update

from molt_market.domain.fields import moment, seconds
from molt_market.domain.updates import FeedItem, Update
from molt_market.storage.compiled import Compiled, insert_unless_there
from molt_market.storage.schema import feed, feeds

_UPDATE: TypeAdapter[Update] = TypeAdapter(Update)


_COUNT = Compiled(
    update(feeds)
    .where(feeds.c.deployment == bindparam("here"))
    .values(last=feeds.c.last + bindparam("more", type_=BigInteger))
    .returning(feeds.c.last)
)
_TELL = Compiled(insert(feed))


def append(connection: Connection, deployment: str, now: datetime, updates: Sequence[Update]) -> None:
    """Count updates on, as the last thing that a transaction does.

    The counter's row is locked until the commit, so that numbers become visible in their order: who has read
    up to one of them will never find a smaller one later.
    """
    if not updates:
        return
    counted = {"here": deployment, "more": len(updates)}
    found = _COUNT.rows(connection, counted)
    if not found:
        insert_unless_there(connection, feeds, {"deployment": deployment, "last": 0})
        found = _COUNT.rows(connection, counted)
    [(last,)] = found
    rows = [
        {
            "deployment": deployment,
            "sequence": sequence,
            "time": seconds(now),
            "update": each.model_dump_json(),
        }
        for sequence, each in enumerate(updates, start=last - len(updates) + 1)
    ]
    _TELL.run(connection, *rows)


def read(connection: Connection, deployment: str, after: int, limit: int) -> list[FeedItem]:
    """Return the items behind a sequence number."""
    wanted = select(feed).where(feed.c.deployment == deployment, feed.c.sequence > after)
    rows = connection.execute(wanted.order_by(feed.c.sequence).limit(limit))
    return [
        FeedItem(sequence=row.sequence, time=moment(row.time), update=_UPDATE.validate_json(row.update))
        for row in rows
    ]


def last(connection: Connection, deployment: str) -> int:
    """Return the sequence number of the last item; 0: there is none."""
    return connection.execute(select(feeds.c.last).where(feeds.c.deployment == deployment)).scalar() or 0
