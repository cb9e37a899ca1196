"""Waits for one job, ends all its processes, and writes down how it ended. Needs the standard library only.

It is a process of its own, so that the job goes on when the gateway dies:

    python -I supervisor.py run FOLDER     FOLDER has job.json; `started` and `ended` are written there
    python -I supervisor.py kill USER      end all processes of a user's id

FOLDER is the gateway's own: the job can neither read nor change it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

JOB, STARTED, ENDED = "job.json", "started", "ended"
STDOUT, STDERR = "stdout.txt", "stderr.txt"
CANNOT_RUN, NOT_FOUND = 126, 127  # as shells say it
LOOK_SECONDS = 0.05
FILES_OPEN = 1_024
END_SECONDS = 15
MIB = 2**20
TAKE_ORPHANS, NO_NEW_PRIVILEGES = 36, 38  # PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS


class Told(BaseException):
    """SIGTERM came: the job has to end."""


def main(arguments: list[str]) -> int:
    """Do what the command line says."""
    if arguments[:1] == ["kill"]:
        kill_user(int(arguments[1]))
        return 0
    if os.fork():
        return 0  # nobody's child from here on: the gateway need not wait for it
    folder = Path(arguments[1])
    signal.signal(signal.SIGTERM, _told)
    if not _is_first(folder):
        return 0
    prctl(TAKE_ORPHANS)  # who leaves his parent becomes a child of this process
    job = json.loads((folder / JOB).read_text("utf-8"))
    _write(folder / ENDED, {"exit_code": _run(job)})
    return 0


def _run(job: dict[str, Any]) -> int:
    """Run the job to its end, and return how it ended."""
    process = None
    try:
        with _made(job, STDOUT) as out, _made(job, STDERR) as err:
            process = _started(job, out, err)
            code = _waited(process.pid, job, (out, err))
    except Told:
        code = -signal.SIGKILL
    except FileNotFoundError as error:
        return _not_run(job, error, NOT_FOUND)
    except (OSError, subprocess.SubprocessError) as error:
        return _not_run(job, error, CANNOT_RUN)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends anyway
        end_all(job["user"])
        end_container(job)
    if process is not None:
        process.returncode = code
    return code


def _started(job: dict[str, Any], out: IO[bytes], err: IO[bytes]) -> subprocess.Popen[bytes]:
    user = job["user"]
    apart: dict[str, Any] = {}
    if job["container"] is None:  # else it is the engine's client, which sets user and limits inside
        apart["preexec_fn"] = _bounds(job)
        if user is not None:
            apart |= {"user": user, "group": user, "extra_groups": []}
    return subprocess.Popen(  # noqa: S603 - it is what it is for; no shell
        job["command"],
        cwd=job["folder"],
        env=job["environment"],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
        umask=0o077,
        **apart,
    )


def _made(job: dict[str, Any], name: str) -> IO[bytes]:
    """Make a file of the job's; nothing of it runs yet that could put something else in its place."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(Path(job["folder"], name), flags, 0o600)
    if job["user"] is not None:
        os.fchown(descriptor, job["user"], job["user"])
    return os.fdopen(descriptor, "wb")


def _bounds(job: dict[str, Any]) -> Callable[[], None]:
    """Return what bounds a process before the job's program takes it over."""
    seconds, given = job["seconds"], job["limits"]
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: FILES_OPEN,
        resource.RLIMIT_DATA: given["memory_mb"] * MIB,
        resource.RLIMIT_FSIZE: given["disk_mb"] * MIB,
    }
    if job["user"] is not None:  # it counts a user's processes, and these are the job's alone
        limits[resource.RLIMIT_NPROC] = given["processes"]
    if seconds is not None:
        limits[resource.RLIMIT_CPU] = seconds * (os.cpu_count() or 1)

    def bound() -> None:
        for kind, most in limits.items():
            hard = resource.getrlimit(kind)[1]
            held = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (held, held))
        prctl(NO_NEW_PRIVILEGES)

    return bound


def _waited(pid: int, job: dict[str, Any], outputs: tuple[IO[bytes], ...]) -> int:
    """Return how the job's first process ended; orphans that end before are taken away."""
    until = None if job["seconds"] is None else time.monotonic() + job["seconds"]
    while True:
        done, status = os.waitpid(-1, os.WNOHANG)
        if done == pid:
            return os.waitstatus_to_exitcode(status)
        if done:
            continue
        if (until is not None and time.monotonic() >= until) or _says_too_much(job, outputs):
            return -signal.SIGKILL
        time.sleep(LOOK_SECONDS)


def _says_too_much(job: dict[str, Any], outputs: tuple[IO[bytes], ...]) -> bool:
    """Tell whether a container's output, which its engine's client writes, is longer than a file may be."""
    if job["container"] is None:
        return False
    most = job["container"]["disk_mb"] * MIB
    return any(os.fstat(each.fileno()).st_size > most for each in outputs)


def end_container(job: dict[str, Any]) -> None:
    """Take a job's container away, if it is in one; its processes have ended."""
    if job["container"] is None:
        return
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(  # noqa: S603 - the operator's own engine, no shell
            job["container"]["end"],
            env=job["environment"],
            check=False,
            timeout=END_SECONDS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def end_all(user: int | None) -> None:
    """End every process that descends from this one, and every process of the job's user."""
    while True:
        if user is not None:
            _kill_all_of(user)
        for pid in descendants(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass  # one that has ended was taken away; there may be more
        except ChildProcessError:
            return
        time.sleep(0.005)


def _kill_all_of(user: int) -> None:
    killer = os.fork()
    if killer == 0:
        try:
            kill_user(user)
        finally:
            os._exit(0)
    os.waitpid(killer, 0)


def kill_user(user: int) -> None:
    """Become the user, and kill all that he may kill: one call, which no fork escapes. Root is refused."""
    if user == 0:
        return
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Return the processes that descend from one."""
    children: dict[int, list[int]] = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and (parent := parent_of(int(each.name))) is not None:
            children.setdefault(parent, []).append(int(each.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def parent_of(pid: int) -> int | None:
    """Return a process's parent; None: it is gone."""
    fields = stat_of(pid)
    return None if fields is None else int(fields[1])


def stat_of(pid: int) -> list[str] | None:
    """Return what /proc says of a process, from its state on; None: it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def identity(pid: int) -> str | None:
    """Return what tells a process from a later one with its number; None: it has ended."""
    fields = stat_of(pid)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return None if fields is None or fields[0] in "ZX" else f"{boot}:{fields[19]}"


def prctl(option: int) -> None:
    """Set one of the process's own switches. Raises OSError if the system refuses."""
    if LIBC.prctl(option, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


LIBC = ctypes.CDLL(None, use_errno=True)


def _is_first(folder: Path) -> bool:
    """Say in the folder who waits for its job; False: somebody does, or did, already."""
    mine = folder / f"{STARTED}.{os.getpid()}"
    _write(mine, {"pid": os.getpid(), "identity": identity(os.getpid())})
    try:
        os.link(mine, folder / STARTED)  # it appears whole, and only once
    except FileExistsError:
        return False
    finally:
        mine.unlink()
    return True


def _write(path: Path, value: dict[str, Any]) -> None:
    """Write a file that is there whole, or not at all, after a power cut too."""
    made = path.with_name(f"{path.name}.new")
    with made.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    made.replace(path)


def _not_run(job: dict[str, Any], error: Exception, code: int) -> int:
    with suppress(OSError), Path(job["folder"], STDERR).open("a") as err:
        print(f"{job['command'][0]}: {error}", file=err)
    return code


def _told(_number: int, _frame: FrameType | None) -> None:
    raise Told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
