"""What a gateway needs of its surroundings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from molt_market.attestation.usage import GpuReading, Heartbeat, ProcessReading, UsageLog
from molt_market.domain.documents import Document, DocumentKind, PostedDocument
from molt_market.domain.handling import Handling, HandlingPhase
from molt_market.domain.ids import Address, EscrowId, Hash32
from molt_market.domain.jobs import JobLimits, JobSpec
from molt_market.indexer.records import DealRecord

ExpectedJobSpec = Callable[[DealRecord], Hash32 | None]
"""Returns what a deal's order says of its job: the hash of its spec; None if that is not known."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job that may be started: `user` is the id of the user that it runs as, None for the gateway's own.

    `limits` are those that hold. `visible_devices` is its CUDA_VISIBLE_DEVICES.
    """

    deal_id: EscrowId
    spec: JobSpec
    limits: JobLimits
    user: int | None
    ports: tuple[int, ...] = ()
    visible_devices: str = ""


@dataclass(frozen=True, slots=True)
class NotStarted:
    """No job of the deal was started."""


@dataclass(frozen=True, slots=True)
class Running:
    """The job runs."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The job is over; negative, minus the number of the signal that ended it."""

    exit_code: int


JobState = NotStarted | Running | Ended


class Runner(Protocol):
    """Runs one job for each deal, apart from the gateway: it goes on when the gateway dies."""

    def users(self) -> Collection[int] | None:
        """Return the ids of the users that jobs may run as; None: as the gateway's own."""

    def obstacle(self, spec: JobSpec) -> str | None:
        """Say why a job cannot be run here, for its buyer; None: nothing speaks against it."""

    def fetch_image(self, image: str) -> None:
        """See to it that a container image is here. Raises InputRefused: it is not, and cannot be had."""

    def make_folder(self, deal_id: EscrowId) -> Path:
        """Return an empty folder for a job that was not started, for its inputs."""

    def folder(self, deal_id: EscrowId) -> Path:
        """Return where a job's files are."""

    def start(self, job: Job) -> None:
        """Start a job, once: to call it again, in another process too, changes nothing."""

    def look(self, deal_id: EscrowId, user: int | None) -> JobState:
        """Say how a job is."""

    def processes(self, deal_id: EscrowId, user: int | None) -> ProcessReading:
        """Say what the operating system knows of a job's processes."""

    def stop(self, deal_id: EscrowId, user: int | None) -> None:
        """End a job and all its processes, now. It is over when this returns."""

    def keep(self, deal_id: EscrowId) -> None:
        """Take a job's files from its user: the next deal of that user does not find them."""

    def remove(self, deal_id: EscrowId) -> None:
        """Delete a job's files."""


class Devices(Protocol):
    """The GPUs of this machine, by their positions from 0."""

    def count(self) -> int:
        """Return how many there are."""

    def visible(self, devices: Sequence[int]) -> str:
        """Return the CUDA_VISIBLE_DEVICES of a job that has these."""

    def read(self, devices: Sequence[int]) -> tuple[GpuReading, ...]:
        """Describe these. Nothing is said of GPUs that cannot be measured.

        Raises DeviceLost if one of them does not answer any more.
        """


class DeviceLost(Exception):
    """A GPU does not answer its driver: no heartbeat of its deal can be written."""


class Usage(Protocol):
    """The gateway's memory. What a method has written is durable when it returns."""

    def handling(self, deal_id: EscrowId) -> Handling | None:
        """Return a deal as it is handled; None: it is none of this gateway's."""

    def handlings(self, phases: Collection[HandlingPhase] = ...) -> Sequence[Handling]:
        """Return the deals that are in one of these phases, by their ids."""

    def put(self, handling: Handling) -> None:
        """Keep a deal as it is handled now."""

    def beat(self, heartbeat: Heartbeat) -> bool:
        """Add a heartbeat to its deal's log; False if the log is closed."""

    def length(self, deal_id: EscrowId) -> tuple[int, Hash32]:
        """Return how many heartbeats a log has, and the last one's digest; zero if it has none."""

    def last(self, deal_id: EscrowId) -> Heartbeat | None:
        """Return the last heartbeat of a log."""

    def heartbeats(self, deal_id: EscrowId, first: int, limit: int) -> Sequence[Heartbeat]:
        """Return heartbeats from a sequence number on, at most `limit`."""

    def log(self, deal_id: EscrowId) -> UsageLog:
        """Return a deal's whole log. Raises InvalidValue if it is no chain."""

    def leave(self, name: str, document: Document, sender: Address, at: datetime) -> None:
        """Write down what is to be posted, once under each name of a deal; it is in the mail at once."""

    def left(self, deal_id: EscrowId, name: str) -> Document | None:
        """Return what was written down under a name."""

    def unposted(self, deal_id: EscrowId) -> Sequence[tuple[str, Document]]:
        """Return what the market does not have yet, with its names."""

    def posted(self, deal_id: EscrowId, name: str, number: int) -> None:
        """Note the number that a document has at the market."""

    def unposted_deals(self) -> Sequence[EscrowId]:
        """Return the deals of which the market does not have everything yet."""

    def receive(self, document: Document, sender: Address, at: datetime, most: int | None = None) -> int:
        """Keep what was handed over, once whatever comes again; return its number in the deal's mail.

        Raises TooManyDocuments if it would be more than `most` of its kind and sender.
        """

    def mail(
        self,
        deal_id: EscrowId,
        after: int = 0,
        limit: int | None = None,
        *,
        kind: DocumentKind | None = None,
        sender: Address | None = None,
    ) -> Sequence[PostedDocument]:
        """Return what lies here for a deal behind a number, in its order: handed over, or left."""


class Beats(Protocol):
    """Writes a deal's next heartbeat."""

    def beat(self, handling: Handling) -> bool:
        """Write one now; False if the chain's clock has not moved since the last, or the log is closed."""
