"""Jobs as processes: each as a user of its own, with an empty environment, in its own folder.

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
from molt_market.attestation.usage import ProcessReading
from molt_market.domain.ids import EscrowId
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

    Raises:
        InvalidValue: there are users, and this is not root, or they cannot pass through the folder.
    """

    def __init__(self, folder: Path, users: Collection[int] | None) -> None:
        self._jobs, self._private = folder / "jobs", folder / "private" / "jobs"
        self._users = users
        if users is not None:
            _require_root(users)
        self._jobs.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._private.mkdir(parents=True, exist_ok=True)
        self._private.parent.chmod(0o700)  # what is inside is closed to jobs, whatever its own mode is
        if users is not None:
            folder.chmod(0o711)
            self._jobs.chmod(0o711)
            _require_passable(self._jobs)

    def users(self) -> Collection[int] | None:
        return self._users

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
        (own / supervisor.JOB).write_text(json.dumps(self._order(job)), "utf-8")
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
        self._kill(user)
        return Ended(LOST)

    def processes(self, deal_id: EscrowId, user: int | None) -> ProcessReading:
        waits = self._supervisor(deal_id)
        found = set() if waits is None else set(supervisor.descendants(waits))
        if user is not None:
            found |= set(_processes_of(user))
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
        self._kill(user)

    def keep(self, deal_id: EscrowId) -> None:
        folder = self.folder(deal_id)
        if folder.exists():
            os.chown(folder, os.geteuid(), os.getegid())

    def remove(self, deal_id: EscrowId) -> None:
        shutil.rmtree(self.folder(deal_id), ignore_errors=True)
        (self._private / deal_id / supervisor.JOB).unlink(missing_ok=True)  # its environment may be secret

    # ---------------------------------------------------------------- inside

    def _order(self, job: Job) -> dict[str, Any]:
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
            **job.limits.model_dump(),
        }

    def _supervisor(self, deal_id: EscrowId) -> int | None:
        """Return the process that waits for a job; None: it is gone."""
        told = _read(self._private / deal_id / supervisor.STARTED)
        if told is None or supervisor.identity(told["pid"]) != told["identity"]:
            return None
        return int(told["pid"])

    def _kill(self, user: int | None) -> None:
        """End what is left of a user's processes."""
        if user is None:
            return
        command = [sys.executable, "-I", supervisor.__file__, "kill", str(user)]
        subprocess.run(command, env={}, check=False, timeout=STOP_SECONDS)  # noqa: S603 - our own program


def _require_root(users: Collection[int]) -> None:
    if os.geteuid() != 0:
        raise InvalidValue(
            "jobs of others need users of their own, and only root can give them these: run the gateway as"
            " root, or give --same-user for jobs of your own"
        )
    if not users or min(users) < 1_000:
        raise InvalidValue("--job-uids names users of the system itself: give e.g. 60000-60999")


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
