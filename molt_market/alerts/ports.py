"""What alerts need of a database: a port, so that they know none."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from molt_market.alerts.kinds import Alert
from molt_market.domain.ids import Address


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"  # for its time, or somebody is at it
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"  # after the last attempt


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a party's alerts go; `party` None: the operator's. The secret signs them, and is not shown."""

    id: int
    url: str
    party: Address | None
    secret: str = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One alert to one subscription, taken by one process. `attempts` were made before this one."""

    id: int
    subscription: Subscription
    alert_id: str
    body: str
    attempts: int
    holder: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: `failure` None: it was delivered. `again_at` None: there is no other attempt."""

    at: datetime
    failure: str | None = None
    again_at: datetime | None = None

    @property
    def state(self) -> DeliveryState:
        if self.failure is None:
            return DeliveryState.DELIVERED
        return DeliveryState.GIVEN_UP if self.again_at is None else DeliveryState.WAITING


class AlertStore(Protocol):
    """Keeps the subscriptions of one deployment, and what was delivered to them.

    Any number of processes may share one; each method is one transaction.
    """

    def subscribe(self, url: str, party: Address | None, secret: str, now: datetime) -> Subscription: ...

    def unsubscribe(self, subscription_id: int) -> bool:
        """Forget a subscription and its deliveries. False: there is none."""
        ...

    def subscriptions(self) -> Sequence[Subscription]: ...

    def put(self, subscription: Subscription, alerts: Collection[Alert], now: datetime) -> int:
        """Write down alerts that a subscription does not have yet; return how many these were."""
        ...

    def take(self, now: datetime, hold: timedelta, most: int) -> Sequence[Delivery]:
        """Take deliveries whose time has come: nobody else gets them for so long."""
        ...

    def settle(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Write down how an attempt ended. False: the hold was over, and another process has it."""
        ...

    def forget(self, before: datetime) -> int:
        """Forget deliveries that ended before a time; return how many these were."""
        ...

    def counts(self) -> dict[int, dict[DeliveryState, int]]:
        """Return how many deliveries of each subscription are in each state."""
        ...
