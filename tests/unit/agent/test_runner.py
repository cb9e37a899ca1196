"""Real processes: what a job is given, what bounds it, and what it can not reach."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from molt_market.agent.ports import Ended, Job, JobState, NotStarted, Running
from molt_market.agent.runners import supervisor
from molt_market.agent.runners.process import ProcessRunner
from molt_market.domain.ids import EscrowId
from molt_market.domain.jobs import JobLimits, JobSpec
from molt_market.errors import InvalidValue
from tests.unit.agent.places import open_folder

DEAL, OTHER = EscrowId("0x" + "11" * 32), EscrowId("0x" + "22" * 32)
USERS = range(60_000, 60_010)
LIMITS = JobLimits(memory_mb=512, disk_mb=1, processes=64)
AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can give jobs users of their own")
kinds = pytest.mark.parametrize("users", [pytest.param(USERS, marks=needs_root), None], ids=["apart", "same"])


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as place:
        yield place


def job(command: str, user: int | None, deal_id: EscrowId = DEAL, **fields: object) -> Job:
    spec = JobSpec(command=("sh", "-c", command), environment={"GREETING": "hello"})
    return Job(deal_id, spec, LIMITS.model_copy(update=fields), user, (20_000, 20_001), "GPU-1,GPU-2")


def started(runner: ProcessRunner, wanted: Job) -> Job:
    runner.make_folder(wanted.deal_id)
    runner.start(wanted)
    return wanted


def ended(runner: ProcessRunner, wanted: Job) -> int:
    state = soon(lambda: runner.look(wanted.deal_id, wanted.user), lambda each: isinstance(each, Ended))
    assert isinstance(state, Ended)
    return state.exit_code


def soon(ask: Callable[[], JobState], wanted: Callable[[JobState], bool]) -> JobState:
    until = time.monotonic() + 15
    while not wanted(answer := ask()):
        assert time.monotonic() < until, answer
        time.sleep(0.02)
    return answer


def said(runner: ProcessRunner, deal_id: EscrowId = DEAL) -> str:
    return (runner.folder(deal_id) / supervisor.STDOUT).read_text("utf-8")


def first_user(runner: ProcessRunner) -> int | None:
    return None if runner.users() is None else USERS[0]


@kinds
def test_job__has_its_environment_and_nothing_else(folder: Path, users: range | None) -> None:
    runner = ProcessRunner(folder, users)
    wanted = started(runner, job("env; pwd; umask; cat; ulimit -c; ls /proc/self/fd", first_user(runner)))
    assert ended(runner, wanted) == 0
    lines = said(runner).splitlines()
    here = str(runner.folder(DEAL))
    assert {line for line in lines if "=" in line} - {f"PWD={here}", "SHLVL=0", "_=/usr/bin/env"} == {
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "GREETING=hello",
        f"HOME={here}",
        "MOLT_PORTS=20000,20001",
        "CUDA_VISIBLE_DEVICES=GPU-1,GPU-2",
    }
    rest = [line for line in lines if "=" not in line]
    assert rest[0] == here
    assert rest[1] in {"0077", "77"}
    assert rest[2] == "0"  # no core; `cat` had nothing to read
    assert set(rest[3:]) <= {"0", "1", "2", "3"}  # 3 is the listing itself


@kinds
def test_job__that_cannot_run_or_fails__says_how(folder: Path, users: range | None) -> None:
    runner = ProcessRunner(folder, users)
    nowhere = Job(DEAL, JobSpec(command=("no-such-program",)), LIMITS, first_user(runner))
    assert ended(runner, started(runner, nowhere)) == supervisor.NOT_FOUND
    assert "no-such-program" in (runner.folder(DEAL) / supervisor.STDERR).read_text("utf-8")
    failing = job("exit 7", first_user(runner), OTHER)
    assert ended(runner, started(runner, failing)) == 7


@kinds
def test_time_limit__ends_the_job_and_all_that_it_left_behind(folder: Path, users: range | None) -> None:
    runner = ProcessRunner(folder, users)
    command = "setsid sh -c 'sleep 300 & exec sleep 301' & sleep 302"
    wanted = started(runner, job(command, first_user(runner), seconds=1))
    soon_count(runner, wanted, 4)
    assert ended(runner, wanted) == -signal.SIGKILL
    assert not sleepers("300", "301", "302")


@kinds
def test_stop__ends_everything_now(folder: Path, users: range | None) -> None:
    runner = ProcessRunner(folder, users)
    assert runner.look(DEAL, first_user(runner)) == NotStarted()
    wanted = started(runner, job("trap '' TERM; setsid sleep 303 & sleep 304", first_user(runner)))
    soon_count(runner, wanted, 3)
    runner.stop(DEAL, wanted.user)
    assert runner.look(DEAL, wanted.user) == Ended(-signal.SIGKILL)
    assert not sleepers("303", "304")


@kinds
def test_start__twice_and_in_another_process__runs_once(folder: Path, users: range | None) -> None:
    runner = ProcessRunner(folder, users)
    wanted = started(runner, job("echo ran >> ran.txt; sleep 1; echo over", first_user(runner)))
    runner.start(wanted)
    again = ProcessRunner(folder, users)  # as the gateway has after it was killed
    again.start(wanted)
    assert again.look(DEAL, wanted.user) == Running()
    # A supervisor that comes late, because the gateway died between starting it and the first look.
    own = folder / "private" / "jobs" / DEAL
    subprocess.run([sys.executable, "-I", supervisor.__file__, "run", str(own)], check=True)
    assert ended(again, wanted) == 0
    assert said(again) == "over\n"
    assert (again.folder(DEAL) / "ran.txt").read_text() == "ran\n"


@kinds
def test_supervisor__that_is_gone__is_a_job_that_was_lost(folder: Path, users: range | None) -> None:
    runner = ProcessRunner(folder, users)
    wanted = started(runner, job("sleep 30", first_user(runner)))
    told = json.loads((folder / "private" / "jobs" / DEAL / supervisor.STARTED).read_text())
    os.kill(told["pid"], signal.SIGKILL)
    state = soon(lambda: runner.look(DEAL, wanted.user), lambda each: isinstance(each, Ended))
    assert state == Ended(-signal.SIGKILL)


@kinds
def test_limits__hold(folder: Path, users: range | None) -> None:
    runner = ProcessRunner(folder, users)
    wanted = started(runner, job("head -c 3000000 /dev/zero > big; ls -l big | wc -l", first_user(runner)))
    ended(runner, wanted)
    assert (runner.folder(DEAL) / "big").stat().st_size == 2**20  # disk_mb
    hungry = f"exec {sys.executable} -c 'bytearray(600 << 20)'"
    if users is None:  # another user may not reach this interpreter
        assert ended(runner, started(runner, job(hungry, None, OTHER))) != 0


@needs_root
def test_processes__are_bounded(folder: Path) -> None:
    runner = ProcessRunner(folder, USERS)
    command = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait"
    wanted = started(runner, job(command, USERS[0], processes=4))
    ended(runner, wanted)
    assert "fork" in (runner.folder(DEAL) / supervisor.STDERR).read_text("utf-8")


@kinds
def test_reading__tells_of_the_jobs_processes(folder: Path, users: range | None) -> None:
    runner = ProcessRunner(folder, users)
    wanted = started(runner, job("while :; do :; done", first_user(runner)))
    until = time.monotonic() + 10
    while (reading := runner.processes(DEAL, wanted.user)).cpu_ms < 100:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert reading.count == 1
    runner.stop(DEAL, wanted.user)
    assert runner.processes(DEAL, wanted.user).count == 0


@needs_root
def test_job__cannot_read_keys_database_or_another_jobs_files(folder: Path) -> None:
    """The job really tries, also as who knows every path; each attempt has to fail."""
    runner = ProcessRunner(folder, USERS)
    secrets = [folder / "private" / name for name in ("agent.json", "agent.db", "sealing.key")]
    for path in secrets:
        path.write_text("SECRET")
        path.chmod(0o644)  # the folder around it has to be enough
    started(runner, job("echo SECRET > mine.txt; PASSWORD=SECRET sleep 20", USERS[1], OTHER))
    mine = runner.folder(OTHER) / "mine.txt"
    until = time.monotonic() + 10
    while not mine.exists() or runner.processes(OTHER, USERS[1]).count < 2:
        assert time.monotonic() < until
        time.sleep(0.02)
    kept = EscrowId("0x" + "33" * 32)  # of the same user, from an earlier deal
    assert ended(runner, started(runner, job("echo SECRET > mine.txt", USERS[0], kept))) == 0
    runner.keep(kept)
    targets = [*secrets, mine, runner.folder(kept) / "mine.txt"]
    tries = [f"cat {path}" for path in targets]
    tries += [f"cat {folder}/private/jobs/{OTHER}/job.json", f"ls {folder}/private", f"ls {folder}/jobs"]
    tries += [f"echo x > {path}" for path in targets]
    tries += ["cat /proc/[0-9]*/environ", f"kill -9 {os.getpid()}", "cat /etc/shadow"]
    tries += ["ln -s / root; cat root/etc/shadow", f"su -c id; chown 0 stdout.txt; ls {runner.folder(OTHER)}"]
    script = (
        "; ".join(f"({each}) && echo DONE" for each in tries) + "; id -u; grep NoNewPrivs /proc/self/status"
    )
    wanted = started(runner, job(script, USERS[0]))
    assert ended(runner, wanted) == 0
    output = said(runner)
    assert "SECRET" not in output
    assert "uid=0" not in output
    assert f"{USERS[0]}\n" in output
    assert output.splitlines()[-1].split() == ["NoNewPrivs:", "1"]
    # Of all that was tried only reading one's own processes may come to something.
    assert output.count("DONE") <= 1
    assert [path.read_text() for path in targets] == ["SECRET", "SECRET", "SECRET", "SECRET\n", "SECRET\n"]
    assert "GREETING" in output or "Permission denied" in errors(runner)
    runner.stop(OTHER, USERS[1])


def test_users__need_root_and_a_folder_they_can_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    with pytest.raises(InvalidValue, match="--same-user"):
        ProcessRunner(folder, USERS)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(InvalidValue, match="users of the system"):
        ProcessRunner(folder, range(10))
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(InvalidValue, match="pass through"):
        ProcessRunner(closed / "agent", USERS)


def errors(runner: ProcessRunner) -> str:
    return (runner.folder(DEAL) / supervisor.STDERR).read_text("utf-8", "replace")


def soon_count(runner: ProcessRunner, wanted: Job, count: int) -> None:
    until = time.monotonic() + 10
    while runner.processes(wanted.deal_id, wanted.user).count < count:
        assert time.monotonic() < until
        time.sleep(0.02)


def sleepers(*seconds: str) -> list[str]:
    """Return which of these sleeps are still going on."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"sleep") and len(words) > 1 and words[1].decode() in seconds:
            found.append(words[1].decode())
    return found
