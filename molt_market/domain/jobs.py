"""What a buyer wants to have run, how he reaches it, and what came of it.

All three go sealed between buyer and agent; the server that carries them sees ciphertext only.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from molt_market.domain.fields import Uint16, Uint32, Uint64, Value
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.errors import InvalidValue

MOST_FILES = 1_000


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if path != "/".join(parts) or ".." in parts or path.startswith("/") or not path.isprintable():
        raise InvalidValue(f"{path!r} is not a path inside the job's folder: give one like data/input.bin")
    return path


FilePath = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_inside)]
"""A path inside the job's folder, with / between its parts."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest, as 64 hexadecimal digits."""

Url = Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=2_000)]


Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class JobKind(StrEnum):
    """A batch job ends by itself; a lease runs until the deal does."""

    BATCH = "batch"
    LEASE = "lease"


class InputFile(Value):
    """A file that the job finds at `path`: fetched from `url`, refused unless it has this digest."""

    path: FilePath
    url: Url
    sha256: Sha256


class OutputFile(Value):
    """A file that the job left at `path`, with its size in bytes."""

    path: FilePath
    sha256: Sha256
    size: Uint64


class JobLimits(Value):
    """The most that a job may take; None leaves it to the provider's own limit.

    `seconds` of wall-clock time, `memory_mb` in MiB of main memory, `disk_mb` in MiB of one file,
    `processes` at a time.
    """

    seconds: Annotated[Uint32, Field(ge=1)] | None = None
    memory_mb: Annotated[Uint32, Field(ge=16)] | None = None
    disk_mb: Annotated[Uint32, Field(ge=1)] | None = None
    processes: Annotated[Uint32, Field(ge=1)] | None = None


class JobSpec(Value):
    """What is to run: `job_spec_hash` of it is in the order that the buyer signs.

    `command` is the program and its arguments, run in the job's own folder with `environment` and nothing
    else. `image` is a container image by digest; without it the command runs as a process. Of a batch job,
    the files at or under `outputs` are kept when it ends. A lease may listen at as many ports as `ports`
    says; the job finds their numbers in MOLT_PORTS.

    >>> JobSpec(command=("sh", "-c", "wc -c < in.txt > out.txt"), outputs=("out.txt",)).kind.value
    'batch'
    """

    kind: JobKind = JobKind.BATCH
    command: Annotated[tuple[str, ...], Field(min_length=1, max_length=200)]
    image: (
        Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.:/-]*@sha256:[0-9a-f]{64}$", max_length=300)] | None
    ) = None
    environment: dict[Variable, str] = Field(default_factory=dict)
    inputs: Annotated[tuple[InputFile, ...], Field(max_length=MOST_FILES)] = ()
    outputs: Annotated[tuple[FilePath, ...], Field(max_length=MOST_FILES)] = ()
    ports: Annotated[Uint16, Field(le=16)] = 0
    limits: JobLimits = JobLimits()

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.kind is JobKind.BATCH and self.ports:
            raise InvalidValue("a batch job has no ports: nobody reaches it; make it a lease")
        if self.kind is JobKind.LEASE and self.outputs:
            raise InvalidValue("a lease has no outputs: it ends with the deal; make it a batch job")
        paths = [each.path for each in self.inputs]
        if len(set(paths)) != len(paths):
            raise InvalidValue("two inputs have the same path: give each its own")
        return self


class Access(Value):
    """How the buyer reaches his job.

    `files_url` is where its files can be had, `services` is `host:port` of each port of a lease. `token`
    goes with each request to `files_url`, as `Authorization: Bearer`.
    """

    deal_id: EscrowId
    token: str
    files_url: Url
    services: tuple[str, ...] = ()


class JobResult(Value):
    """How a batch job ended, and what it left. The receipt's `result_digest` is the hash of this.

    `exit_code` is negative, minus the signal's number, where a signal ended it.
    """

    deal_id: EscrowId
    exit_code: Annotated[int, Field(strict=True, ge=-255, le=255)]
    outputs: tuple[OutputFile, ...] = ()


class HandOver(Value):
    """The buyer's letter to the agent: the job, and the key that answers are sealed to."""

    spec: JobSpec
    reply_key: Hash32


class HandOverAnswer(Value):
    """The agent's letters to the buyer: access when the job is ready, its result, or why it is not run."""

    access: Access | None = None
    result: JobResult | None = None
    refusal: Annotated[str, Field(max_length=2_000)] | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if sum(each is not None for each in (self.access, self.result, self.refusal)) != 1:
            raise InvalidValue("an answer is access, a result or a refusal: set one of them")
        return self
