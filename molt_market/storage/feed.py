"""The feed of a market in a database: every step, in the order in which the steps were committed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, Connection, and_, bindparam, insert, select, update

from molt_market.domain.fields import moment, seconds
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.updates import FeedItem, OfferPosted, OrderPosted, Update
from molt_market.storage.compiled import Compiled, insert_unless_there
from molt_market.storage.schema import feed, feeds, offers, orders

_UPDATE: TypeAdapter[Update] = TypeAdapter(Update)


_COUNT = Compiled(
    update(feeds)
    .where(feeds.c.deployment == bindparam("here"))
    .values(last=feeds.c.last + bindparam("more", type_=BigInteger))
    .returning(feeds.c.last)
)
_TELL = Compiled(insert(feed))

# What was posted lies in its own table, under the id that names it, for ever the same.
_OF_OFFER = and_(offers.c.deployment == feed.c.deployment, offers.c.offer_id == feed.c.offer_id)
_OF_ORDER = and_(orders.c.deployment == feed.c.deployment, orders.c.order_id == feed.c.order_id)
_ITEMS = select(feed.c.sequence, feed.c.time, feed.c.update, offers.c.offer, orders.c.order).select_from(
    feed.outerjoin(offers, _OF_OFFER).outerjoin(orders, _OF_ORDER)
)


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
            **_written(each),
        }
        for sequence, each in enumerate(updates, start=last - len(updates) + 1)
    ]
    _TELL.run(connection, *rows)


def read(connection: Connection, deployment: str, after: int, limit: int) -> list[FeedItem]:
    """Return the items behind a sequence number."""
    wanted = _ITEMS.where(feed.c.deployment == deployment, feed.c.sequence > after)
    rows = connection.execute(wanted.order_by(feed.c.sequence).limit(limit))
    return [FeedItem(sequence=row.sequence, time=moment(row.time), update=_told(row)) for row in rows]


def last(connection: Connection, deployment: str) -> int:
    """Return the sequence number of the last item; 0: there is none."""
    return connection.execute(select(feeds.c.last).where(feeds.c.deployment == deployment)).scalar() or 0


def _written(told: Update) -> dict[str, str | None]:
    return {
        "offer_id": told.offer.id if isinstance(told, OfferPosted) else None,
        "order_id": told.order.id if isinstance(told, OrderPosted) else None,
        "update": None if isinstance(told, OfferPosted | OrderPosted) else told.model_dump_json(),
    }


def _told(row: Any) -> Update:
    if row.update is not None:
        return _UPDATE.validate_json(row.update)
    if row.offer is not None:
        return OfferPosted(offer=CapacityOffer.model_validate_json(row.offer))
    return OrderPosted(order=JobOrder.model_validate_json(row.order))
