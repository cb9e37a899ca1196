"""Finding alerts and bringing them to their subscriptions, again and again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging import INFO, WARNING
from threading import Event as Flag

from molt_market.alerts import watch, webhooks
from molt_market.alerts.kinds import Alert
from molt_market.alerts.ports import AlertStore, Delivery, Outcome
from molt_market.domain.clock import Clock, SystemClock
from molt_market.domain.ids import Address, Hash32
from molt_market.errors import InvalidValue, MarketError
from molt_market.indexer.records import DealRecord
from molt_market.telling import tell

AT_ONCE = 20  # deliveries that one process makes at the same time
MOST_DOUBLINGS = 20  # after these every pause is the longest one
KEPT = timedelta(days=400)  # a deal runs for a year at most, and a few weeks of windows
MARGIN = timedelta(seconds=50)  # by which a hold is longer than an attempt: for the clocks of other machines


@dataclass(frozen=True, slots=True)
class Retries:
    """When a delivery that failed is tried again: after `first`, then twice as long each time, up to `most`.

    After so many `attempts` it is given up.
    """

    first: timedelta = timedelta(seconds=30)
    most: timedelta = timedelta(hours=1)
    attempts: int = 20

    def __post_init__(self) -> None:
        if self.attempts < 1 or not timedelta(0) < self.first <= self.most:
            raise InvalidValue("retries need at least one attempt, and pauses above 0, the longest last")

    def pause(self, failed: int) -> timedelta | None:
        """Return how long to wait after so many failed attempts; None: that was the last."""
        if failed >= self.attempts:
            return None
        doublings = min(failed - 1, MOST_DOUBLINGS)
        return min(self.first * (1 << doublings), self.most)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where alerts come from.

    Args:
        live: the open deals, as they are followed.
        arbiters: the arbiter of each registered policy.
        now: the chain's time (UTC).
        gas_money: wei of an account; with `payers`, those whose gas money is watched.
    """

    live: Callable[[], Sequence[DealRecord]]
    arbiters: Callable[[], Mapping[Hash32, Address]]
    now: Callable[[], datetime]
    gas_money: Callable[[Address], int] | None = None
    payers: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """What one look came to: alerts that are new to a subscription, and deliveries by their ends."""

    found: int = 0
    delivered: int = 0
    failed: int = 0


class Courier:
    """Finds alerts and delivers them. Any number of couriers may share one database: each alert is sent once.

    A process that dies after an alert was taken and before that is written down leaves it to be sent again: a
    receiver knows it by its id.

    Args:
        clock: of attempts and pauses; that of alerts is the chain's.
    """

    def __init__(
        self,
        sources: Sources,
        store: AlertStore,
        *,
        limits: watch.AlertLimits | None = None,
        retries: Retries | None = None,
        sending: webhooks.SendingLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._sources = sources
        self._store = store
        self._limits = limits or watch.AlertLimits()
        self._retries = retries or Retries()
        self._sending = sending or webhooks.SendingLimits()
        self._clock = clock or SystemClock()
        self._forgot_at: datetime | None = None

    def alerts(self) -> list[Alert]:
        """Return all that somebody has to know now.

        Raises:
            StorageUnavailable, NodeUnreachable, NodeError: it cannot be said.
        """
        sources, now = self._sources, self._sources.now()
        records, arbiters = sources.live(), sources.arbiters()
        known = [(record, arbiters.get(record.terms.policy_id)) for record in records]
        found = list(watch.of_deals(known, now, self._limits))
        for account in sources.payers:
            if sources.gas_money is not None:
                found += watch.of_gas_money(account, sources.gas_money(account), now, self._limits)
        return found

    def look(self) -> Round:
        """Find what is new, and deliver what is due, this also where the first fails; raises as `alerts`."""
        self._forget()
        found = 0
        try:
            found = self._note(self.alerts())
        finally:
            delivered, failed = self.deliver()
        return Round(found, delivered, failed)

    def deliver(self) -> tuple[int, int]:
        """Deliver all that is due now; return how many were delivered, and how many failed."""
        done = [0, 0]
        while taken := self._store.take(self._clock.now(), self._sending.whole + MARGIN, AT_ONCE):
            for delivery, failure in zip(taken, self._post(taken), strict=True):
                self._settle(delivery, failure)
                done[failure is not None] += 1
        return done[0], done[1]

    def run(self, stop: Flag, *, every: timedelta = timedelta(seconds=15)) -> None:
        """Look again and again until `stop` is set; what goes wrong is logged."""
        while not stop.is_set():
            try:
                self.look()
            except MarketError as error:
                tell("alerts_fail", level=WARNING, reason=error)
            stop.wait(every.total_seconds())

    # ---------------------------------------------------------------- inside

    def _forget(self) -> None:
        """Once a day, forget what was delivered so long ago that its deal is over."""
        now = self._clock.now()
        if self._forgot_at is None or now - self._forgot_at >= timedelta(days=1):
            self._store.forget(now - KEPT)
            self._forgot_at = now

    def _note(self, alerts: Collection[Alert]) -> int:
        """Write down what each subscription has to be told."""
        now = self._clock.now()
        new = 0
        for subscription in self._store.subscriptions():
            wanted = [alert for alert in alerts if alert.concerns(subscription.party)]
            new += self._store.put(subscription, wanted, now) if wanted else 0
        return new

    def _post(self, taken: Sequence[Delivery]) -> list[str | None]:
        now = self._clock.now()
        messages = [
            webhooks.Message(
                each.subscription.url, each.subscription.secret, each.alert_id, each.body.encode(), now
            )
            for each in taken
        ]
        return webhooks.post_all(messages, self._sending)

    def _settle(self, delivery: Delivery, failure: str | None) -> None:
        now = self._clock.now()
        pause = None if failure is None else self._retries.pause(delivery.attempts + 1)
        outcome = Outcome(now, failure, None if pause is None else now + pause)
        self._store.settle(delivery, outcome)
        tell(
            f"alert_{outcome.state}" if failure is None or pause is None else "alert_not_delivered",
            level=WARNING if failure else INFO,
            alert=delivery.alert_id,
            subscription=delivery.subscription.id,
            attempt=delivery.attempts + 1,
            reason=failure,
        )
