"""Alerts' subscriptions and deliveries in a database: nothing is sent twice, and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from eth_utils import keccak
from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update

from molt_market.alerts.kinds import Alert
from molt_market.alerts.ports import Delivery, DeliveryState, Outcome, Subscription
from molt_market.domain.ids import Address
from molt_market.errors import TooManySubscriptions
from molt_market.storage.database import Database, in_parts
from molt_market.storage.schema import alert_deliveries as deliveries
from molt_market.storage.schema import alert_subscriptions as subscriptions


class SqlAlerts:
    """The alerts of one deployment; `molt_market.alerts.ports.AlertStore` says what each method does.

    Args:
        database: where they are.
        deployment: names it: `<chain>:<escrow>`, as the facts do.
    """

    def __init__(self, database: Database, deployment: str) -> None:
        self._database = database
        self._deployment = deployment

    # ---------------------------------------------------------------- subscriptions

    def subscribe(self, url: str, party: Address | None, secret: str, now: datetime) -> Subscription:
        row = {"deployment": self._deployment, "party": party, "url": url, "secret": secret}
        with self._database.writing() as connection:
            made = insert(subscriptions).values(created_at=now, **row).returning(subscriptions)
            return _subscription(connection.execute(made).one())

    def subscribe_once(
        self, url: str, party: Address, secret: str, now: datetime, *, most: int
    ) -> tuple[Subscription, bool]:
        """Subscribe a party, unless its alerts go there already; the flag says whether this is a new one.

        Raises:
            TooManySubscriptions: it has so many already.
        """
        row = {"deployment": self._deployment, "party": party, "url": url, "secret": secret}
        of_party = select(subscriptions).where(self._mine, subscriptions.c.party == party)
        with self._database.writing() as connection:
            _take_turns(connection, f"{self._deployment} {party}")
            there = [_subscription(each) for each in connection.execute(of_party)]
            for each in there:
                if each.url == url:
                    return each, False
            if len(there) >= most:
                raise TooManySubscriptions(most)
            made = insert(subscriptions).values(created_at=now, **row).returning(subscriptions)
            return _subscription(connection.execute(made).one()), True

    def subscriptions_of(self, party: Address) -> Sequence[Subscription]:
        """Return where a party's alerts go, the oldest first."""
        of_party = select(subscriptions).where(self._mine, subscriptions.c.party == party)
        with self._database.reading() as connection:
            return [_subscription(row) for row in connection.execute(of_party.order_by(subscriptions.c.id))]

    def unsubscribe(self, subscription_id: int) -> bool:
        with self._database.writing() as connection:
            gone = delete(subscriptions).where(self._mine, subscriptions.c.id == subscription_id)
            return connection.execute(gone).rowcount == 1

    def subscriptions(self) -> Sequence[Subscription]:
        with self._database.reading() as connection:
            rows = connection.execute(select(subscriptions).where(self._mine).order_by(subscriptions.c.id))
            return [_subscription(row) for row in rows]

    # ---------------------------------------------------------------- deliveries

    def put(self, subscription: Subscription, alerts: Collection[Alert], now: datetime) -> int:
        found = {alert.id: alert for alert in alerts}
        if not set(found) - self._known(subscription, found):  # mostly so: no write, and no lock for it
            return 0
        with self._database.writing() as connection:
            there = select(subscriptions.c.id).where(self._mine, subscriptions.c.id == subscription.id)
            if connection.execute(there.with_for_update()).first() is None:  # it was taken back just now
                return 0
            new = [found[id_] for id_ in sorted(set(found) - self._has(connection, subscription, found))]
            rows = [self._row(subscription, alert, now) for alert in new]
            if rows:
                connection.execute(insert(deliveries), rows)
            return len(rows)

    def take(self, now: datetime, hold: timedelta, most: int) -> Sequence[Delivery]:
        free = or_(deliveries.c.held_until.is_(None), deliveries.c.held_until <= now)
        waits = (deliveries.c.state == DeliveryState.WAITING.value) & (deliveries.c.due_at <= now) & free
        joined = deliveries.join(subscriptions, deliveries.c.subscription_id == subscriptions.c.id)
        wanted = select(deliveries.c.id).select_from(joined).where(self._mine, waits)
        due = wanted.order_by(deliveries.c.due_at, deliveries.c.id).limit(most)
        holder = uuid4().hex
        with self._database.writing() as connection:
            # those that another process is about to take are passed over; SQLite has one writer at a time
            ids = connection.scalars(due.with_for_update(of=deliveries, skip_locked=True)).all()
            if not ids:
                return []
            these = deliveries.c.id.in_(ids)
            connection.execute(update(deliveries).where(these).values(holder=holder, held_until=now + hold))
            rows = connection.execute(select(deliveries).where(these).order_by(deliveries.c.id)).all()
            known = self._of(connection, {row.subscription_id for row in rows})
            return [_delivery(row, known[row.subscription_id]) for row in rows]

    def settle(self, delivery: Delivery, outcome: Outcome) -> bool:
        held = (deliveries.c.id == delivery.id) & (deliveries.c.holder == delivery.holder)
        values: dict[str, Any] = {
            "state": outcome.state.value,
            "attempts": delivery.attempts + 1,
            "holder": None,
            "held_until": None,
            "failure": outcome.failure,
        }
        values |= {"ended_at": outcome.at} if outcome.again_at is None else {"due_at": outcome.again_at}
        with self._database.writing() as connection:
            return connection.execute(update(deliveries).where(held).values(values)).rowcount == 1

    def forget(self, before: datetime) -> int:
        mine = deliveries.c.subscription_id.in_(select(subscriptions.c.id).where(self._mine))
        with self._database.writing() as connection:
            return connection.execute(delete(deliveries).where(mine, deliveries.c.ended_at < before)).rowcount

    def counts(self) -> dict[int, dict[DeliveryState, int]]:
        counted = select(deliveries.c.subscription_id, deliveries.c.state, func.count())
        grouped = counted.group_by(deliveries.c.subscription_id, deliveries.c.state)
        mine = grouped.where(deliveries.c.subscription_id.in_(select(subscriptions.c.id).where(self._mine)))
        found: dict[int, dict[DeliveryState, int]] = {}
        with self._database.reading() as connection:
            for subscription_id, state, number in connection.execute(mine):
                found.setdefault(subscription_id, {})[DeliveryState(state)] = number
        return found

    # ---------------------------------------------------------------- inside

    @property
    def _mine(self) -> ColumnElement[bool]:
        return subscriptions.c.deployment == self._deployment

    def _known(self, subscription: Subscription, ids: Collection[str]) -> set[str]:
        with self._database.reading() as connection:
            return self._has(connection, subscription, ids)

    def _has(self, connection: Connection, subscription: Subscription, ids: Collection[str]) -> set[str]:
        mine = deliveries.c.subscription_id == subscription.id
        found: set[str] = set()
        for some in in_parts(sorted(ids)):
            wanted = select(deliveries.c.alert_id).where(mine, deliveries.c.alert_id.in_(some))
            found |= set(connection.scalars(wanted))
        return found

    def _of(self, connection: Connection, ids: Collection[int]) -> dict[int, Subscription]:
        rows = connection.execute(select(subscriptions).where(subscriptions.c.id.in_(ids)))
        return {row.id: _subscription(row) for row in rows}

    def _row(self, subscription: Subscription, alert: Alert, now: datetime) -> dict[str, Any]:
        return {
            "subscription_id": subscription.id,
            "alert_id": alert.id,
            "body": alert.body(self._deployment),
            "state": DeliveryState.WAITING.value,
            "attempts": 0,
            "due_at": now,
            "created_at": now,
        }


def _take_turns(connection: Connection, name: str) -> None:
    """Let others of this name wait until the transaction ends; in SQLite all writers do so anyhow."""
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(keccak(text=name)[:8], "big", signed=True)
        connection.execute(select(func.pg_advisory_xact_lock(number)))


def _subscription(row: Row[Any]) -> Subscription:
    party = None if row.party is None else Address(row.party)
    return Subscription(row.id, row.url, party, row.secret, row.created_at)


def _delivery(row: Row[Any], subscription: Subscription) -> Delivery:
    return Delivery(row.id, subscription, row.alert_id, row.body, row.attempts, row.holder)
