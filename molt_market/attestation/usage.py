"""What a provider logs while a deal runs: a chain of heartbeats, each bound to the one before it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
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
        self._digests: list[Hash32] = []
        self._made: MerkleTree | None = None  # until the log grows
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
        if heartbeat.previous != self.head:
            raise InvalidValue(
                f"heartbeat {heartbeat.sequence} follows {heartbeat.previous}, the log ends in {self.head}"
            )
        if self._heartbeats and heartbeat.at <= self._heartbeats[-1].at:
            raise InvalidValue(
                f"heartbeat {heartbeat.sequence} is of {heartbeat.at}, not later than the one before it"
            )
        self._heartbeats.append(heartbeat)
        self._digests.append(heartbeat.digest)
        self._made = None

    @property
    def heartbeats(self) -> tuple[Heartbeat, ...]:
        return tuple(self._heartbeats)

    @property
    def head(self) -> Hash32:
        """What the next heartbeat's `previous` has to be."""
        return self._digests[-1] if self._digests else ZERO_HASH

    def head_after(self, count: int) -> Hash32 | None:
        """Return the digest of the last of the first `count` heartbeats; None: the log has fewer."""
        if count > len(self._digests):
            return None
        return self._digests[count - 1] if count else ZERO_HASH

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
        return self._tree().proof(self._digests[sequence])

    def _tree(self) -> MerkleTree:
        self._made = self._made or MerkleTree(self._digests)
        return self._made


def covered_seconds(
    log: UsageLog, *, opened_at: datetime, until: datetime, longest_gap: timedelta, start_up: timedelta
) -> int:
    """Return the seconds between `opened_at` and `until` in which a log says that the GPUs were there.

    The time between two heartbeats counts if it is no longer than `longest_gap`, that from the opening to
    the first one if it is no longer than `start_up`; a longer one does not count at all.
    """
    covered = timedelta()
    before, longest = opened_at, start_up
    for heartbeat in log.heartbeats:
        if heartbeat.at - before <= longest:
            covered += _within(heartbeat.at, opened_at, until) - _within(before, opened_at, until)
        before, longest = heartbeat.at, longest_gap
    return int(covered.total_seconds())


def _within(at: datetime, first: datetime, last: datetime) -> datetime:
    return max(first, min(at, last))
