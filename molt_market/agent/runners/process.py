"""Jobs as processes: each as a user of its own, with an empty environment, in its own folder.

Those that name an image run in a container (molt_market.agent.runners.containers), in the same way otherwise.

The folders: `jobs/<deal>` is the job's, `private/jobs/<deal>` what its supervisor and the gateway keep of it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from molt_market.agent.ports import Ended, Job, JobState, NotStarted, Running
from molt_market.agent.runners import supervisor
from molt_market.agent.runners.containers import ENVIRONMENT, VARIABLES, Containers
from molt_market.attestation.usage import ProcessReading
from molt_market.domain.ids import EscrowId
from molt_market.domain.jobs import JobSpec
from molt_market.errors import InvalidValue

PATH = "/usr/local/bin:/usr/bin:/bin"
LOST = -int(signal.SIGKILL)  # how a job ended whose supervisor is gone
STOP_SECONDS = 20
MIB = 2**20


class ProcessRunner:
    """Runs jobs as processes of other users than its own; only root can do that.

    Args:
        folder: where their files are. Users of jobs have to be able to pass through it.
        users: ids of users that nobody else has: one for each job. None: jobs run as the gateway's own user,
            and can read what it can.
        containers: for jobs that name an image. None: these are refused.

    Raises:
        InvalidValue: there are users, and this is not root, or they cannot pass through the folder; there are
            to be containers, and no users, or no engine that works.
    """

    def __init__(
        self, folder: Path, users: Collection[int] | None, containers: Containers | None = None
    ) -> None:
        self._jobs, self._private = folder.absolute() / "jobs", folder.absolute() / "private" / "jobs"
        self._users, self._containers = users, containers
        if users is not None:
            _require_root(users)
        if containers is not None:
            _require_users(users)
            containers.require()
        self._jobs.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._private.mkdir(parents=True, exist_ok=True)
        self._private.parent.chmod(0o700)  # what is inside is closed to jobs, whatever its own mode is
        if users is not None:
            folder.chmod(0o711)
            self._jobs.chmod(0o711)
            _require_passable(self._jobs)

    def users(self) -> Collection[int] | None:
        return self._users

    def obstacle(self, spec: JobSpec) -> str | None:
        if spec.image is None:
            return None
        if self._containers is None:
            return "this gateway runs no containers: leave `image` out"
        return self._containers.obstacle(spec)

    def fetch_image(self, image: str) -> None:
        if self._containers is not None:
            self._containers.fetch(image)

    def make_folder(self, deal_id: EscrowId) -> Path:
        folder = self.folder(deal_id)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        return folder

    def folder(self, deal_id: EscrowId) -> Path:
        return self._jobs / deal_id

    def start(self, job: Job) -> None:
        own = self._private / job.deal_id
        if (own / supervisor.STARTED).exists():
            return
        own.mkdir(mode=0o700, exist_ok=True)
        if job.user is not None:
            _give(self.folder(job.deal_id), job.user)
        order = self._in_container(job, own) if job.spec.image is not None else self._as_process(job)
        (own / supervisor.JOB).write_text(json.dumps(order), "utf-8")
        subprocess.run(  # noqa: S603 - our own program, no shell
            [sys.executable, "-I", supervisor.__file__, "run", str(own)],
            env={},
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _until((own / supervisor.STARTED).exists)

    def look(self, deal_id: EscrowId, user: int | None) -> JobState:
        own = self._private / deal_id
        if not (own / supervisor.STARTED).exists():
            return NotStarted()
        alive = self._supervisor(deal_id)  # first: it writes how it ended, and then it is gone
        ended = _read(own / supervisor.ENDED)
        if ended is not None:
            return Ended(int(ended["exit_code"]))
        if alive is not None:
            return Running()
        self._end(deal_id, user)
        return Ended(LOST)

    def processes(self, deal_id: EscrowId, user: int | None) -> ProcessReading:
        waits = self._supervisor(deal_id)
        if user is not None:
            found = set(_processes_of(user))
        else:
            found = set() if waits is None else set(supervisor.descendants(waits))
        readings = [each for pid in found if (each := _measured(pid)) is not None]
        return ProcessReading(
            count=len(readings),
            cpu_ms=sum(cpu for cpu, _ in readings),
            memory_mb=sum(memory for _, memory in readings) // MIB,
        )

    def stop(self, deal_id: EscrowId, user: int | None) -> None:
        waits = self._supervisor(deal_id)
        if waits is not None:
            with suppress(ProcessLookupError):
                os.kill(waits, signal.SIGTERM)
            _until(lambda: self._supervisor(deal_id) is None)
        self._end(deal_id, user)

    def keep(self, deal_id: EscrowId) -> None:
        folder = self.folder(deal_id)
        if folder.exists():
            os.chown(folder, os.geteuid(), os.getegid())

    def remove(self, deal_id: EscrowId) -> None:
        shutil.rmtree(self.folder(deal_id), ignore_errors=True)
        for name in (supervisor.JOB, VARIABLES):  # its environment may be secret
            (self._private / deal_id / name).unlink(missing_ok=True)

    # ---------------------------------------------------------------- inside

    def _as_process(self, job: Job) -> dict[str, Any]:
        folder = str(self.folder(job.deal_id))
        environment = {"PATH": PATH} | job.spec.environment
        environment |= {
            "HOME": folder,
            "MOLT_PORTS": ",".join(map(str, job.ports)),
            "CUDA_VISIBLE_DEVICES": job.visible_devices,
        }
        return {
            "command": list(job.spec.command),
            "environment": environment,
            "folder": folder,
            "user": job.user,
            "seconds": job.limits.seconds,
            "container": None,
            "limits": job.limits.model_dump(),
        }

    def _in_container(self, job: Job, own: Path) -> dict[str, Any]:
        """Return the same of a job in a container, whose environment and limits its engine sets."""
        assert self._containers is not None  # noqa: S101 - others were refused
        (own / VARIABLES).write_text(self._containers.variables(job), "utf-8")
        folder = self.folder(job.deal_id)
        return {
            "command": self._containers.command(job, folder, own),
            "environment": ENVIRONMENT,
            "folder": str(folder),
            "user": job.user,
            "seconds": job.limits.seconds,
            "container": {"end": self._containers.end(job.deal_id), "disk_mb": job.limits.disk_mb},
            "limits": {},
        }

    def _supervisor(self, deal_id: EscrowId) -> int | None:
        """Return the process that waits for a job; None: it is gone."""
        told = _read(self._private / deal_id / supervisor.STARTED)
        if told is None or supervisor.identity(told["pid"]) != told["identity"]:
            return None
        return int(told["pid"])

    def _end(self, deal_id: EscrowId, user: int | None) -> None:
        """End what is left of a job: its user's processes, and its container."""
        if user is not None:
            command = [sys.executable, "-I", supervisor.__file__, "kill", str(user)]
            subprocess.run(command, env={}, check=False, timeout=STOP_SECONDS)  # noqa: S603 - our own program
        order = _read(self._private / deal_id / supervisor.JOB)
        if order is not None:
            supervisor.end_container(order)


def _require_root(users: Collection[int]) -> None:
    if os.geteuid() != 0:
        raise InvalidValue(
            "jobs of others need users of their own, and only root can give them these: run the gateway as"
            " root, or give --same-user for jobs of your own"
        )
    if not users or min(users) < 1_000:
        raise InvalidValue("--job-uids names users of the system itself: give e.g. 60000-60999")


def _require_users(users: Collection[int] | None) -> None:
    if users is None:
        raise InvalidValue("jobs in containers run as users of their own: give --job-uids, as root")


def _require_passable(folder: Path) -> None:
    for each in (folder, *folder.absolute().parents):
        if not each.stat().st_mode & 0o001:
            raise InvalidValue(
                f"users of jobs cannot pass through {each}: choose another --folder, or chmod o+x it"
            )


def _give(folder: Path, user: int) -> None:
    """Make a user the owner of a folder and of all in it. Nothing of his runs yet."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(place, name), user, user, follow_symlinks=False)
    os.chown(folder, user, user)


def _processes_of(user: int) -> Iterator[int]:
    for each in Path("/proc").iterdir():
        with suppress(OSError):
            if each.name.isdigit() and each.stat().st_uid == user:
                yield int(each.name)


def _measured(pid: int) -> tuple[int, int] | None:
    """Return milliseconds of CPU and bytes of memory of a process; None: it is gone."""
    fields = supervisor.stat_of(pid)
    if fields is None or fields[0] in "ZX":
        return None
    ticks = int(fields[11]) + int(fields[12])
    return ticks * 1_000 // os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return found


def _until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so. Raises TimeoutError if it takes too long."""
    until = time.monotonic() + STOP_SECONDS
    while not is_so():
        if time.monotonic() >= until:
            raise TimeoutError("a job's supervisor does not answer")
        time.sleep(0.01)
