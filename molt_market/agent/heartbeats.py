"""Writing the usage logs: one heartbeat for each deal whose GPUs are there, again and again."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from logging import WARNING
from threading import Event, Lock

from molt_market.agent.ports import Devices, Runner, Usage
from molt_market.attestation.usage import Heartbeat, ProcessReading
from molt_market.domain.clock import Clock
from molt_market.domain.fields import moment
from molt_market.domain.handling import BEATING, Handling, HandlingPhase
from molt_market.domain.ids import ZERO_HASH
from molt_market.errors import NodeError, NodeUnreachable
from molt_market.telling import tell


class ChainTime:
    """The chain's time, never ahead of it; in between, and while no node answers, it goes on by itself.

    Any thread may ask.
    """

    def __init__(self, clock: Clock, *, every_seconds: float = 1.0) -> None:
        self._clock = clock
        self._every = every_seconds
        self._known: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """Return the second. Raises NodeUnreachable, NodeError if no node ever answered."""
        known = self._known
        if known is None or time.monotonic() - known[1] >= self._every:
            try:
                known = self._known = self._clock.now(), time.monotonic()
            except (NodeUnreachable, NodeError):
                if known is None:
                    raise
        told, asked = known
        return told + timedelta(seconds=int(time.monotonic() - asked))


class Heartbeats:
    """Writes heartbeats.

    Args:
        usage: where the logs are. runner, devices: what is described.
        clock: the chain's; a deal's times are told by it.
    """

    def __init__(self, usage: Usage, runner: Runner, devices: Devices, clock: Clock) -> None:
        self._usage, self._runner, self._devices, self._clock = usage, runner, devices, clock
        self._alone = Lock()  # a log has one end

    def beat(self, handling: Handling) -> bool:
        """Write a deal's next heartbeat; False if the chain's clock has not moved on since the last one."""
        with self._alone:
            last = self._usage.last(handling.deal_id)
            now = moment(int(self._clock.now().timestamp()))
            if last is not None and now <= last.at:
                return False
            return self._usage.beat(
                Heartbeat(
                    deal_id=handling.deal_id,
                    sequence=0 if last is None else last.sequence + 1,
                    at=now,
                    gpus=self._devices.read(handling.devices),
                    processes=self._processes(handling),
                    previous=ZERO_HASH if last is None else last.digest,
                )
            )

    def beat_all(self) -> None:
        """Write one for each deal that is not over. What fails is told, and leaves the others."""
        for handling in self._usage.handlings(BEATING):
            try:
                self.beat(handling)
            except Exception as error:  # noqa: BLE001 - whatever a driver does to one deal, others are there
                tell("no_heartbeat", level=WARNING, deal_id=handling.deal_id, reason=error)

    def run(self, stop: Event, *, every: timedelta) -> None:
        """Write them at an interval, until it is told to stop."""
        due = time.monotonic()
        while not stop.wait(max(due - time.monotonic(), 0)):
            due = max(due + every.total_seconds(), time.monotonic())
            try:
                self.beat_all()
            except Exception as error:  # noqa: BLE001 - a thread that dies in silence costs every deal
                tell("no_heartbeats", level=WARNING, reason=error)

    def _processes(self, handling: Handling) -> ProcessReading | None:
        if handling.phase is not HandlingPhase.RUNNING:
            return None
        return self._runner.processes(handling.job_id, handling.user)
