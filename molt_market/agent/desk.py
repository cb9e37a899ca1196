"""Taking up deals and bringing all of them on, each by itself: a slow download holds nobody else up."""

from __future__ import annotations

import time
from collections.abc import Callable
from logging import WARNING
from threading import Event, Thread

from molt_market.agent.devices import assigned
from molt_market.agent.here import Here
from molt_market.agent.steps import Steps, is_old
from molt_market.domain.deals import DealStatus
from molt_market.domain.handling import AT_WORK, Handling, HandlingPhase
from molt_market.domain.ids import EscrowId
from molt_market.indexer.records import DealRecord
from molt_market.telling import tell

LOOK_SECONDS = 0.5
TIDY_SECONDS = 600


class Desk:
    """Knows the gateway's deals.

    Args:
        here: the gateway. follow: brings its facts up to the chain.
    """

    def __init__(self, here: Here, follow: Callable[[], object]) -> None:
        self._here = here
        self._follow = follow
        self._steps = Steps(here)
        self._at_work: dict[EscrowId, Thread] = {}
        self._tidied = float("-inf")
        self._waiting: set[EscrowId] = set()

    def run(self, stop: Event) -> None:
        """Look again and again until it is told to stop. What goes wrong is told, and tried again."""
        while not stop.is_set():
            try:
                self._follow()
                self.look()
            except Exception as error:  # noqa: BLE001 - a thread that dies in silence costs every deal
                tell("gateway_fails", level=WARNING, reason=error)
            stop.wait(LOOK_SECONDS)

    def look(self) -> None:
        """Take up the deals that are new, and let each one go on, in a thread of its own."""
        self.take_up()
        for handling in self._here.at_work():
            deal_id = handling.deal_id
            if not self._is_at_work(deal_id):
                # Daemons: what is under way must not keep the process alive; the next one does it again.
                self._at_work[deal_id] = Thread(target=self._step, args=(deal_id,), daemon=True)
                self._at_work[deal_id].start()
        if time.monotonic() - self._tidied >= TIDY_SECONDS:
            self._tidied = time.monotonic()
            self.tidy()

    def take_up(self) -> None:
        """Assign GPUs to the deals of this agent that are locked and have none yet, the oldest first."""
        known = {each.deal_id: each for each in self._here.usage.handlings(AT_WORK)}
        for record in sorted(self._here.facts.live(), key=lambda each: each.deal.opened_at):
            if record.deal.status is not DealStatus.LOCKED or not self._here.serves(record):
                continue
            if record.id in known:
                if known[record.id].phase is not HandlingPhase.WAITING or self._is_at_work(record.id):
                    continue
            elif self._here.usage.handling(record.id) is not None:
                continue
            elif any(self._goes_on_in(record, each) for each in known.values()):
                continue  # the step that closes the deal before hands over
            taken = {device for each in known.values() for device in each.devices}
            handling = self._assign(record, known.get(record.id), taken)
            if handling is not None:
                known[record.id] = handling

    def tidy(self) -> None:
        """Delete the files of jobs that were over long ago."""
        now = self._here.now()
        for handling in self._here.usage.handlings([HandlingPhase.CLOSED]):
            if is_old(handling, now, self._here.settings.kept):
                self._here.runner.remove(handling.job_id)
                gone = {"removed": True, "token": None, "spec": None}
                self._here.usage.put(handling.model_copy(update=gone))

    # ---------------------------------------------------------------- inside

    def _is_at_work(self, deal_id: EscrowId) -> bool:
        thread = self._at_work.get(deal_id)
        return thread is not None and thread.is_alive()

    def _assign(self, record: DealRecord, before: Handling | None, taken: set[int]) -> Handling | None:
        """Give a deal its GPUs, or let it wait for them; None: it is not taken up, or waits as before."""
        if record.terms.provider == self._here.agent.address:
            self._tell_once(
                record, "owners_key_is_here: the key that owns money must not lie on this machine"
            )
            return None
        devices = assigned(record.terms.gpu_count, taken, self._here.devices.count())
        if devices is None:
            return self._wait(record) if before is None else None
        ready = {"phase": HandlingPhase.READY, "devices": devices}
        handling = (before or Handling(deal_id=record.id)).model_copy(update=ready)
        self._here.usage.put(handling)
        tell("taken_up", deal_id=record.id, devices=devices)
        return handling

    def _wait(self, record: DealRecord) -> Handling:
        handling = Handling(deal_id=record.id, phase=HandlingPhase.WAITING)
        self._here.usage.put(handling)
        why = f"too few GPUs are free for its {record.terms.gpu_count}"
        tell("not_taken_up", level=WARNING, deal_id=record.id, reason=why)
        return handling

    def _goes_on_in(self, record: DealRecord, handling: Handling) -> bool:
        after = self._here.next_of(handling)
        return after is not None and after.id == record.id

    def _tell_once(self, record: DealRecord, reason: str) -> None:
        if record.id not in self._waiting:
            self._waiting.add(record.id)
            tell("not_taken_up", level=WARNING, deal_id=record.id, reason=reason)

    def _step(self, deal_id: EscrowId) -> None:
        try:
            self._steps.step(deal_id)
        except Exception as error:  # noqa: BLE001 - one deal's trouble must not end the others' gateway
            tell("deal_fails", level=WARNING, deal_id=deal_id, reason=f"{type(error).__name__}: {error}")
