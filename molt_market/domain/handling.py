"""What a provider's gateway knows of one of its deals, and how far it is with it."""

from __future__ import annotations

from enum import StrEnum

from molt_market.domain.fields import Moment, Uint16, Uint32, Value
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.domain.jobs import JobResult, JobSpec
from molt_market.domain.proofs import Confirmation


class HandlingPhase(StrEnum):
    """How far a gateway is with a deal: its GPUs are assigned in all phases but the first and the last.

    WAITING: other deals have them, a job that is handed over is refused. READY: they wait for a job.
    PREPARING: a job was handed over, and gets its inputs. RUNNING: it runs.
    ENDED: no heartbeats any more, the receipt is made. CLOSED: the deal's GPUs are free on the chain.
    """

    WAITING = "waiting"
    READY = "ready"
    PREPARING = "preparing"
    RUNNING = "running"
    ENDED = "ended"
    CLOSED = "closed"


BEATING = (HandlingPhase.READY, HandlingPhase.PREPARING, HandlingPhase.RUNNING)
"""The phases in which heartbeats are written."""

AT_WORK = tuple(each for each in HandlingPhase if each is not HandlingPhase.CLOSED)
"""The phases in which there is something to do."""


class Handling(Value):
    """A deal as its gateway handles it.

    `devices` are positions in the inventory, none while it waits for them. Of a job: `user` is the id of
    the system's user that it runs as, `ports` are the deal's, `token` opens its files; `reply_to` is whom
    answers go to, `reply_key` what they are sealed to, `asked` the number of the letter that wants them.
    `documents` is the number of the last document in the deal's mail that was read, `voucher` the largest
    that was there. `removed`: the job's files are gone. `job`: the deal that the job was started for, if
    this one took that one's place.
    """

    deal_id: EscrowId
    phase: HandlingPhase = HandlingPhase.READY
    devices: tuple[Uint32, ...] = ()
    user: Uint32 | None = None
    ports: tuple[Uint16, ...] = ()
    spec: JobSpec | None = None
    token: str | None = None
    reply_to: Address | None = None
    reply_key: Hash32 | None = None
    result: JobResult | None = None
    voucher: Confirmation | None = None
    asked: Uint32 = 0
    documents: Uint32 = 0
    ended_at: Moment | None = None
    removed: bool = False
    job: EscrowId | None = None

    @property
    def job_id(self) -> EscrowId:
        """What the runner knows the job by."""
        return self.job or self.deal_id
