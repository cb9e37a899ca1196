"""What a gateway does next for one deal. Each step may be repeated: a crash between two loses nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from logging import WARNING

from molt_market.agent.here import Here
from molt_market.agent.inputs import InputRefused, fetch_inputs
from molt_market.agent.letters import Letters, is_batch, limits_of
from molt_market.agent.outputs import collect
from molt_market.agent.ports import DeviceLost, Ended, Job, NotStarted
from molt_market.attestation.receipts import issue_receipt
from molt_market.attestation.usage import covered_seconds
from molt_market.domain.deals import DealStatus
from molt_market.domain.documents import Document
from molt_market.domain.fields import moment
from molt_market.domain.handling import Handling, HandlingPhase
from molt_market.domain.ids import ZERO_HASH, EscrowId
from molt_market.domain.jobs import JobResult
from molt_market.errors import MarketError
from molt_market.indexer.records import DealRecord
from molt_market.signing.hashes import json_hash, result_digest
from molt_market.signing.pings import sign_gateway
from molt_market.telling import tell

RECEIPT = "receipt"


class Steps:
    """Brings one deal on, a step at a time."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._letters = Letters(here)

    def step(self, deal_id: EscrowId) -> None:
        """Do what is due for a deal now: with its job, and with what was handed over for it.

        Raises MarketError: what could not be done, and is tried again by the next call.
        """
        handling = self._here.usage.handling(deal_id)
        if handling is None:
            return
        record = self._here.facts.deal(deal_id)
        if handling.phase is HandlingPhase.CLOSED:
            self._read_on(handling, record)
            return
        handling = self._go_on(handling, record)
        if record is None or handling.phase is HandlingPhase.CLOSED:
            return
        self._say_where(deal_id)
        if handling.phase is HandlingPhase.WAITING and self._here.shortage(record) is None:
            return  # it gets its GPUs at the next look: what was handed over is not refused before
        handling = self._letters.read(handling, record)
        self._go_on(handling, record)

    # ---------------------------------------------------------------- the job

    def _go_on(self, handling: Handling, record: DealRecord | None) -> Handling:
        if record is None or record.deal.status is not DealStatus.LOCKED:
            return self._close(handling)
        if handling.phase is HandlingPhase.ENDED:
            self._conclude(handling, record)
            return handling
        if self._here.now() >= moment(record.deal.ends_at):
            return self._end(handling, record)
        if handling.phase is HandlingPhase.PREPARING:
            handling = self._prepare(handling)
        if handling.phase is HandlingPhase.RUNNING:
            self._letters.access(handling)
            if is_batch(handling) and self._has_ended(handling):
                return self._end(handling, record)
        return handling

    def _has_ended(self, handling: Handling) -> bool:
        return isinstance(self._here.runner.look(handling.job_id, handling.user), Ended)

    def _prepare(self, handling: Handling) -> Handling:
        """Fetch the inputs and start the job, unless it was started already."""
        runner, spec = self._here.runner, handling.spec
        assert spec is not None  # noqa: S101 - it came with the phase
        try:
            if isinstance(runner.look(handling.job_id, handling.user), NotStarted):
                if spec.image is not None:
                    runner.fetch_image(spec.image)
                fetch_inputs(
                    spec.inputs,
                    runner.make_folder(handling.job_id),
                    self._here.settings.fetching,
                    goes_on=lambda: self._is_locked(handling.deal_id),
                )
                visible = self._here.devices.visible(handling.devices)
                limits = limits_of(spec, self._here.settings.limits)
                runner.start(Job(handling.job_id, spec, limits, handling.user, handling.ports, visible))
        except InputRefused as error:
            return self._hand_back(handling, str(error))
        tell("job_runs", deal_id=handling.deal_id)
        return self._put(handling, phase=HandlingPhase.RUNNING)

    def _hand_back(self, handling: Handling, reason: str) -> Handling:
        """Refuse a job that was taken over, so that another one may come."""
        tell("job_is_refused", deal_id=handling.deal_id, reason=reason)
        self._letters.refuse(handling, reason)
        self._here.runner.remove(handling.job_id)
        nothing = {
            "spec": None,
            "user": None,
            "ports": (),
            "token": None,
            "reply_to": None,
            "reply_key": None,
            "asked": 0,
        }
        return self._put(handling, phase=HandlingPhase.READY, **nothing)

    def _end(self, handling: Handling, record: DealRecord) -> Handling:
        """Close the usage log: the job is over, or the deal's time."""
        self._here.runner.stop(handling.job_id, handling.user)
        result = self._result(handling)
        try:
            self._here.heartbeats.beat(handling)  # so that the time up to here is covered
        except (MarketError, DeviceLost) as error:
            tell("no_heartbeat", level=WARNING, deal_id=handling.deal_id, reason=error)
        ended = self._put(handling, phase=HandlingPhase.ENDED, ended_at=self._here.now(), result=result)
        self._here.runner.keep(handling.job_id)
        self._conclude(ended, record)
        return ended

    def _result(self, handling: Handling) -> JobResult | None:
        state = self._here.runner.look(handling.job_id, handling.user)
        if not isinstance(state, Ended) or not is_batch(handling) or handling.spec is None:
            return None
        folder = self._here.runner.folder(handling.job_id)
        return collect(handling.deal_id, state.exit_code, folder, handling.spec.outputs, handling.user)

    def _conclude(self, handling: Handling, record: DealRecord) -> None:
        """Write result and receipt down, once; nothing is claimed where nothing is covered."""
        if handling.result is not None:
            self._letters.access(handling)  # who asks again now has to be able to fetch the files
            self._letters.result(handling)
        if self._here.usage.left(handling.deal_id, RECEIPT) is not None:
            return
        log = self._here.usage.log(handling.deal_id)
        deal = record.deal
        covered = covered_seconds(
            log,
            opened_at=moment(deal.opened_at),
            until=min(handling.ended_at or self._here.now(), moment(deal.ends_at)),
            longest_gap=self._here.settings.longest_gap,
            start_up=timedelta(minutes=deal.notice_minutes),
        )
        gpu_seconds = min(record.terms.gpu_count * covered, record.terms.gpu_seconds)
        if gpu_seconds == 0:
            return
        digest = ZERO_HASH if handling.result is None else result_digest(handling.result)
        receipt = issue_receipt(log, gpu_seconds, self._here.agent, self._here.domain, result_digest=digest)
        tell("receipt", deal_id=handling.deal_id, gpu_seconds=gpu_seconds)
        self._here.leave(RECEIPT, Document(receipt=receipt))

    def _close(self, handling: Handling) -> Handling:
        """Free the GPUs of a deal that is not locked any more, unless its job goes on in the next one."""
        after = self._here.next_of(handling)
        if after is not None:
            return self._pass_on(handling, after.id)
        self._here.runner.stop(handling.job_id, handling.user)
        self._here.runner.keep(handling.job_id)
        tell("closed", deal_id=handling.deal_id, devices=handling.devices)
        ended_at = handling.ended_at or self._here.now()
        return self._put(handling, phase=HandlingPhase.CLOSED, ended_at=ended_at)

    def _read_on(self, handling: Handling, record: DealRecord | None) -> None:
        """Read what comes while a claim can be contested: vouchers, and who asks for his result again."""
        if record is not None and record.deal.status is DealStatus.CLAIMED:
            read = self._letters.read(handling, record)
            if read.result is not None and not read.removed:
                self._letters.access(read)
                self._letters.result(read)

    def _pass_on(self, handling: Handling, deal_id: EscrowId) -> Handling:
        """Let the next deal have GPUs and job, as they are; its buyer is told how he reaches it there."""
        if self._here.usage.handling(deal_id) is None:  # else this is done for the second time
            taken = handling.model_copy(
                update={"deal_id": deal_id, "job": handling.job_id, "documents": 0, "voucher": None}
            )
            self._here.usage.put(taken)
        tell("passed_on", deal_id=handling.deal_id, to=deal_id)
        gone = {"removed": True, "token": None, "spec": None, "user": None, "ports": ()}
        return self._put(handling, phase=HandlingPhase.CLOSED, ended_at=self._here.now(), **gone)

    # ---------------------------------------------------------------- inside

    def _say_where(self, deal_id: EscrowId) -> None:
        """Leave word where the deal's pings and letters are answered, again where that has changed."""
        here = self._here
        url, key = here.settings.url, here.sealing.public
        name = f"gateway:{json_hash([url, key])[2:18]}"
        if here.usage.left(deal_id, name) is None:
            said = sign_gateway(deal_id, url, key, here.agent, here.domain)
            here.leave(name, Document(gateway=said))

    def _put(self, handling: Handling, **fields: object) -> Handling:
        changed = handling.model_copy(update=fields)
        self._here.usage.put(changed)
        return changed

    def _is_locked(self, deal_id: EscrowId) -> bool:
        record = self._here.facts.deal(deal_id)
        return record is not None and record.deal.status is DealStatus.LOCKED


def is_old(handling: Handling, now: datetime, kept: timedelta) -> bool:
    """Tell whether a closed deal's files have been there long enough."""
    return not handling.removed and handling.ended_at is not None and handling.ended_at + kept <= now
