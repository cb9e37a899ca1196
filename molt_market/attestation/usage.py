"""What a provider logs while a deal runs: a chain of heartbeats, each bound to the one before it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from molt_market.attestation.merkle import MerkleTree
from molt_market.domain.fields import Moment, Uint32, Uint40, Uint64, Value, whole
from molt_market.domain.ids import ZERO_HASH, EscrowId, Hash32
from molt_market.errors import InvalidValue
from molt_market.signing.hashes import json_hash

GpuUuid = Annotated[str, Field(pattern=r"^[!-~]{1,96}$")]
Percent = Annotated[int, whole(0, 100)]


class GpuReading(Value):
    """One GPU as its driver describes it: total memory and memory in use in MiB, utilization in percent.

    What cannot be measured is left out. Nothing here is ever filled without a GPU.
    """

    uuid: GpuUuid
    model: Annotated[str, Field(min_length=1, max_length=96)]
    vram_mb: Uint32
    utilization_percent: Percent | None = None
    memory_mb: Uint32 | None = None


class ProcessReading(Value):
    """The job's processes as the operating system describes them: how many, milliseconds of CPU, MiB."""

    count: Uint32
    cpu_ms: Uint64
    memory_mb: Uint32


class Heartbeat(Value):
    """What one moment of a deal looked like: the GPUs allocated to it, and the processes of its job.

    `progress_digest` is the job's own; `previous` is the digest of the heartbeat before, zero in the first.
    """

    deal_id: EscrowId
    sequence: Uint40
    at: Moment
    gpus: tuple[GpuReading, ...] = ()
    processes: ProcessReading | None = None
    progress_digest: Hash32 = ZERO_HASH
    previous: Hash32 = ZERO_HASH

    @model_validator(mode="after")
    def _check_gpus(self) -> Self:
        uuids = [gpu.uuid for gpu in self.gpus]
        if len(set(uuids)) != len(uuids):
            raise InvalidValue("a GPU is listed twice: list each once")
        return self

    @property
    def digest(self) -> Hash32:
        """The hash of its canonical JSON."""
        return json_hash(self.model_dump(mode="json"))


class UsageLog:
    """The heartbeats of one deal. It only grows, and takes only what continues it.

    >>> log = UsageLog(EscrowId("0x" + "11" * 32))
    >>> log.root == ZERO_HASH
    True
    """

    def __init__(self, deal_id: EscrowId, heartbeats: Iterable[Heartbeat] = ()) -> None:
        self.deal_id = deal_id
        self._heartbeats: list[Heartbeat] = []
        self._head = ZERO_HASH
        for heartbeat in heartbeats:
            self.append(heartbeat)

    def append(self, heartbeat: Heartbeat) -> None:
        """Add the next heartbeat.

        Raises:
            InvalidValue: it is of another deal, out of sequence, or neither bound to nor later than the last.
        """
        if heartbeat.deal_id != self.deal_id:
            raise InvalidValue(f"the heartbeat is of deal {heartbeat.deal_id}, the log of {self.deal_id}")
        if heartbeat.sequence != len(self._heartbeats):
            raise InvalidValue(
                f"heartbeat {heartbeat.sequence} comes where {len(self._heartbeats)} is due: append in order"
            )
        if heartbeat.previous != self._head:
            raise InvalidValue(
                f"heartbeat {heartbeat.sequence} follows {heartbeat.previous}, the log ends in {self._head}"
            )
        if self._heartbeats and heartbeat.at <= self._heartbeats[-1].at:
            raise InvalidValue(
                f"heartbeat {heartbeat.sequence} is of {heartbeat.at}, not later than the one before it"
            )
        self._heartbeats.append(heartbeat)
        self._head = heartbeat.digest

    @property
    def heartbeats(self) -> tuple[Heartbeat, ...]:
        return tuple(self._heartbeats)

    @property
    def head(self) -> Hash32:
        """What the next heartbeat's `previous` has to be."""
        return self._head

    @property
    def root(self) -> Hash32:
        """What a receipt commits to: the Merkle root of the digests; zero while nothing is logged."""
        return self._tree().root if self._heartbeats else ZERO_HASH

    def proof(self, sequence: int) -> tuple[Hash32, ...]:
        """Return the proof that one heartbeat is in the log, for `merkle.verify_inclusion` or the chain.

        Raises:
            InvalidValue: the log has no such heartbeat.
        """
        if not 0 <= sequence < len(self._heartbeats):
            raise InvalidValue(f"the log has no heartbeat {sequence}: it ends at {len(self._heartbeats) - 1}")
        return self._tree().proof(self._heartbeats[sequence].digest)

    def _tree(self) -> MerkleTree:
        return MerkleTree(heartbeat.digest for heartbeat in self._heartbeats)


def covered_seconds(
    log: UsageLog, *, opened_at: datetime, until: datetime, longest_gap: timedelta, start_up: timedelta
) -> int:
    """Return for how many seconds of a deal its log shows that the GPUs were there.

    Between two heartbeats they were, unless these are further apart than `longest_gap`: then none of that
    time counts. The time from the opening to the first heartbeat counts if it is at most `start_up`. What
    lies before `opened_at` or after `until` never counts. Each GPU of the deal is billed for these seconds.

    >>> opened = datetime.fromisoformat("2026-01-01T12:00:00Z")
    >>> first = Heartbeat(deal_id="0x" + "11" * 32, sequence=0, at=opened + timedelta(seconds=60))
    >>> log = UsageLog(first.deal_id, [first])
    >>> hour, gap = opened + timedelta(hours=1), timedelta(seconds=30)
    >>> covered_seconds(log, opened_at=opened, until=hour, longest_gap=gap, start_up=timedelta(minutes=15))
    60
    """
    times = [heartbeat.at for heartbeat in log.heartbeats]
    if not times:
        return 0
    spans = [(start, end) for start, end in pairwise(times) if end - start <= longest_gap]
    if times[0] - opened_at <= start_up:
        spans.append((opened_at, times[0]))
    covered = (min(end, until) - max(start, opened_at) for start, end in spans)
    return sum(max(int(each.total_seconds()), 0) for each in covered)
