"""Real containers of an engine on this machine: what a job in one is given, its bounds, and its reach."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from molt_market.agent.inputs import InputRefused
from molt_market.agent.ports import Ended, Job, NotStarted, Running
from molt_market.agent.runners import supervisor
from molt_market.agent.runners.containers import Containers
from molt_market.agent.runners.process import ProcessRunner
from molt_market.domain.ids import EscrowId
from molt_market.domain.jobs import JobKind, JobLimits, JobSpec
from molt_market.errors import InvalidValue
from tests.containers import ENGINE, asked, image, needs_engine
from tests.unit.agent.places import open_folder

DEAL, OTHER = EscrowId("0x" + "11" * 32), EscrowId("0x" + "22" * 32)
USERS = range(60_020, 60_030)
LIMITS = JobLimits(memory_mb=64, disk_mb=1, processes=32)
NETWORK = "podman"  # the one that podman has from the start
NOWHERE = "registry.invalid/x@sha256:" + "00" * 32


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as place:
        yield place


@pytest.fixture
def runner(folder: Path) -> Iterator[ProcessRunner]:
    made = ProcessRunner(folder, USERS, Containers(ENGINE))
    yield made
    for place in (folder / "jobs").iterdir():
        made.stop(EscrowId(place.name), place.stat().st_uid)


def job(command: str, user: int = USERS[0], deal_id: EscrowId = DEAL, **limits: object) -> Job:
    spec = JobSpec(
        command=("sh", "-c", command), image=image(), environment={"GREETING": 'say "hello", = #1'}
    )
    return Job(deal_id, spec, LIMITS.model_copy(update=limits), user, (20_000, 20_001))


def started(runner: ProcessRunner, wanted: Job) -> Job:
    runner.make_folder(wanted.deal_id)
    runner.start(wanted)
    return wanted


def ended(runner: ProcessRunner, wanted: Job) -> int:
    until = time.monotonic() + 30
    while not isinstance(state := runner.look(wanted.deal_id, wanted.user), Ended):
        assert time.monotonic() < until, state
        time.sleep(0.02)
    return state.exit_code


def said(runner: ProcessRunner, name: str = supervisor.STDOUT) -> str:
    return (runner.folder(DEAL) / name).read_text("utf-8", "replace")


def containers() -> str:
    return asked("ps", "--all", "--quiet", "--filter", "name=^molt-")


@needs_engine
def test_job__has_its_environment_its_folder_and_little_else(runner: ProcessRunner) -> None:
    runner.make_folder(DEAL)
    (runner.folder(DEAL) / "input.txt").write_text("INPUT\n")
    runner.start(wanted := job("cat input.txt; echo out > out.txt; id -u; env; ls /; ls /sys/class/net"))
    assert ended(runner, wanted) == 0
    lines = said(runner).splitlines()
    assert lines[:2] == ["INPUT", str(USERS[0])]
    assert {'GREETING=say "hello", = #1', "HOME=/job", "MOLT_PORTS=20000,20001"} < set(lines)
    assert lines[-1] == "lo"  # no network but its own loopback
    assert "bin" in lines
    assert "home" not in lines
    assert (runner.folder(DEAL) / "out.txt").stat().st_uid == USERS[0]
    assert containers() == ""


@needs_engine
def test_job__that_fails_or_cannot_run__says_how(runner: ProcessRunner) -> None:
    assert ended(runner, started(runner, job("exit 7"))) == 7
    spec = JobSpec(command=("no-such-program",), image=image())
    assert ended(runner, started(runner, Job(OTHER, spec, LIMITS, USERS[1]))) == supervisor.NOT_FOUND
    assert "no-such-program" in (runner.folder(OTHER) / supervisor.STDERR).read_text("utf-8")


@needs_engine
def test_time_limit__ends_all_that_is_in_the_container(runner: ProcessRunner) -> None:
    wanted = started(runner, job("trap '' TERM; setsid sleep 311 & sleep 312", seconds=2))
    assert ended(runner, wanted) == -signal.SIGKILL
    assert runner.processes(DEAL, USERS[0]).count == 0
    assert containers() == ""


@needs_engine
def test_stop__ends_everything_now(runner: ProcessRunner) -> None:
    assert runner.look(DEAL, USERS[0]) == NotStarted()
    wanted = started(runner, job("sleep 313 & sleep 314"))
    until_there(runner, 2)
    runner.stop(DEAL, wanted.user)
    assert runner.look(DEAL, wanted.user) == Ended(-signal.SIGKILL)
    assert runner.processes(DEAL, USERS[0]).count == 0
    assert containers() == ""


@needs_engine
def test_start__again_in_another_gateway__runs_once(runner: ProcessRunner, folder: Path) -> None:
    wanted = started(runner, job("echo ran >> ran.txt; sleep 1; echo over"))
    again = ProcessRunner(folder, USERS, Containers(ENGINE))
    again.start(wanted)
    assert again.look(DEAL, wanted.user) == Running()
    assert ended(again, wanted) == 0
    assert (again.folder(DEAL) / "ran.txt").read_text() == "ran\n"
    assert said(again) == "over\n"


@needs_engine
def test_supervisor__that_is_killed__leaves_no_container(runner: ProcessRunner) -> None:
    wanted = started(runner, job("sleep 315"))
    until_there(runner, 1)
    waits = runner._supervisor(DEAL)
    assert waits is not None
    os.kill(waits, signal.SIGKILL)
    assert ended(runner, wanted) == -signal.SIGKILL
    assert runner.processes(DEAL, USERS[0]).count == 0
    assert containers() == ""


@needs_engine
def test_limits__hold(runner: ProcessRunner) -> None:
    hungry = started(
        runner, job("head -c 200000000 /dev/zero > /dev/shm/big; head -c 3000000 /dev/zero > big; exit 3")
    )
    assert ended(runner, hungry) != 0  # its memory ends first, or the shared part of it does
    loud = started(runner, job("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done", USERS[1], OTHER))
    assert ended(runner, loud) == -signal.SIGKILL
    many = EscrowId("0x" + "33" * 32)
    forks = "i=0; while [ $i -lt 60 ]; do sleep 5 & i=$((i+1)); done; wait"
    assert ended(runner, started(runner, job(forks, USERS[2], many, processes=8))) != 0
    assert "fork" in (runner.folder(many) / supervisor.STDERR).read_text("utf-8")
    large = EscrowId("0x" + "44" * 32)
    ended(runner, started(runner, job("head -c 3000000 /dev/zero > big; true", USERS[3], large)))
    assert (runner.folder(large) / "big").stat().st_size == 2**20


@needs_engine
def test_job__reaches_nothing_of_the_machine(runner: ProcessRunner, folder: Path) -> None:
    """The job really tries, also as who knows every path; each attempt has to fail."""
    secret = folder / "private" / "sealing.key"
    secret.write_text("SECRET")
    secret.chmod(0o644)
    started(runner, job("echo SECRET > mine.txt; sleep 20", USERS[1], OTHER))
    mine = runner.folder(OTHER) / "mine.txt"
    until = time.monotonic() + 10
    while not mine.exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    tries = [
        f"cat {secret}",
        f"cat {mine}",
        f"ls {folder}",
        "cat /etc/shadow",
        "echo x > /bin/sh",
        "echo x > /x",
    ]
    tries += [
        f"kill -9 {os.getpid()}",
        "cat /proc/1/cwd/../etc/shadow",
        "wget -q -T 2 -O - http://127.0.0.1:8545",
    ]
    script = "; ".join(f"({each}) && echo DONE" for each in tries)
    wanted = started(
        runner, job(f"{script}; ls /proc | grep -c '^[0-9]'; grep -E 'NoNewPrivs|CapBnd' /proc/self/status")
    )
    ended(runner, wanted)
    runner.stop(OTHER, USERS[1])
    output = said(runner)
    assert "SECRET" not in output
    assert "DONE" not in output
    assert "NoNewPrivs:\t1" in output
    assert "CapBnd:\t0000000000000000" in output
    assert int(output.splitlines()[0]) < 10  # its own processes are all that it sees


@needs_engine
def test_lease__is_reached_at_its_port_and_no_other(folder: Path) -> None:
    runner = ProcessRunner(folder, USERS, Containers(ENGINE, network=NETWORK))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    spec = JobSpec(
        kind=JobKind.LEASE,
        command=("sh", "-c", "echo there > index.html; exec httpd -f -p $MOLT_PORTS"),
        image=image(),
        ports=1,
    )
    started(runner, Job(DEAL, spec, LIMITS, USERS[0], (port,)))
    until = time.monotonic() + 20
    while (answer := reached(port)) is None:
        assert time.monotonic() < until, said(runner, supervisor.STDERR)
        time.sleep(0.05)
    assert answer == b"there\n"
    runner.stop(DEAL, USERS[0])
    assert reached(port) is None


def reached(port: int) -> bytes | None:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/index.html").content
    except httpx.TransportError:
        return None


@needs_engine
def test_reading__tells_of_the_jobs_processes_alone(runner: ProcessRunner) -> None:
    wanted = started(runner, job("while :; do :; done"))
    until = time.monotonic() + 20
    while (reading := runner.processes(DEAL, wanted.user)).cpu_ms < 100:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert reading.count == 1  # neither the engine's client nor what watches the container
    runner.stop(DEAL, wanted.user)


@needs_engine
def test_image__that_is_here__is_not_fetched_and_others_only_from_where_they_may_come() -> None:
    here = image()
    assert here is not None
    Containers(ENGINE).fetch(here)
    with pytest.raises(InputRefused, match="from nowhere"):
        Containers(ENGINE).fetch(NOWHERE)
    with pytest.raises(InputRefused, match=r"from docker\.io only"):
        Containers(ENGINE, registries=("docker.io",)).fetch("docker.io.invalid/x@sha256:" + "00" * 32)
    with pytest.raises(InputRefused, match="cannot be had"):
        Containers(ENGINE, registries=("registry.invalid",)).fetch(NOWHERE)


@needs_engine
def test_containers__need_users_and_an_engine(folder: Path) -> None:
    with pytest.raises(InvalidValue, match="--job-uids"):
        ProcessRunner(folder, None, Containers(ENGINE))
    with pytest.raises(InvalidValue, match="no engine-of-nobody here"):
        ProcessRunner(folder, USERS, Containers("engine-of-nobody"))
    with pytest.raises(InvalidValue, match="false does not work"):
        ProcessRunner(folder, USERS, Containers("false"))


def test_job__that_no_container_can_do__is_refused() -> None:
    alone, with_network = Containers(ENGINE), Containers(ENGINE, network="bridge")
    listening = JobSpec(kind=JobKind.LEASE, command=("x",), image=NOWHERE, ports=1)
    assert "no network" in (alone.obstacle(listening) or "")
    assert with_network.obstacle(listening) is None
    long = JobSpec(command=("x",), image=NOWHERE, environment={"KEY": "a\nb"})
    assert "one line" in (alone.obstacle(long) or "")


def test_command__shows_the_gpus_and_ports_of_its_deal_and_no_others() -> None:
    spec = JobSpec(kind=JobKind.LEASE, command=("serve", "--all"), image=NOWHERE, ports=1)
    of = Job(DEAL, spec, LIMITS, USERS[0], (20_000,), "GPU-1,GPU-2")
    command = Containers(ENGINE, network="bridge").command(of, Path("/jobs/1"), Path("/private/1"))
    options = list(pairwise(command))
    assert [value for name, value in options if name == "--device"] == [
        "nvidia.com/gpu=GPU-1",
        "nvidia.com/gpu=GPU-2",
    ]
    assert [value for name, value in options if name == "--publish"] == ["20000:20000"]
    assert command[-3:] == ["--entrypoint=serve", NOWHERE, "--all"]


@pytest.mark.parametrize("name", ["--privileged@sha256:", "x y@sha256:", "x@sha256:0@sha256:", "@sha256:"])
def test_image__that_is_no_reference__is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="image"):
        JobSpec(command=("x",), image=name + "00" * 32)


def until_there(runner: ProcessRunner, count: int) -> None:
    until = time.monotonic() + 20
    while runner.processes(DEAL, USERS[0]).count < count:
        assert time.monotonic() < until
        time.sleep(0.02)
