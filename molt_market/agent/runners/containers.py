"""Jobs in containers, by the command line that podman and docker share.

The engine's client is what the supervisor waits for, as it waits for a job that is a process. What is inside
runs as the job's own user, who is nobody else's on this machine either, so that one signal ends all of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwuid

from molt_market.agent.inputs import InputRefused
from molt_market.agent.ports import Job
from molt_market.domain.ids import EscrowId
from molt_market.domain.jobs import JobSpec
from molt_market.errors import InvalidValue

NO_NETWORK, HOST_NETWORK = "none", "host"
INSIDE = "/job"  # where the job's folder is in its container
TMP_MB = 256
FILES_OPEN = 1_024
SECONDS, PULL_SECONDS = 60, 3_600
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": getpwuid(os.geteuid()).pw_dir,
}
VARIABLES = "variables"  # the file with a job's environment: a command line can be read by everybody


@dataclass(frozen=True, slots=True)
class Containers:
    """How jobs that name an image are run.

    Args:
        engine: the program, podman or docker; as root, since jobs run as users of their own.
        network: which of the engine's networks containers are in. `none`: they reach nobody.
        registries: whose images are fetched, e.g. `docker.io/pytorch`; all others have to be there already.
    """

    engine: str
    network: str = NO_NETWORK
    registries: tuple[str, ...] = ()

    def require(self) -> None:
        """Raise InvalidValue unless the engine is here and answers."""
        if shutil.which(self.engine, path=ENVIRONMENT["PATH"]) is None:
            raise InvalidValue(
                f"there is no {self.engine} here: install it, or leave --containers out and run no images"
            )
        found = self._run("info")
        if found.returncode != 0:
            raise InvalidValue(f"{self.engine} does not work here: {_last_line(found.stderr)}")

    def obstacle(self, spec: JobSpec) -> str | None:
        """Say why a job cannot be run in a container as it is; None: it can."""
        if spec.ports and self.network == NO_NETWORK:
            return "containers have no network at this gateway: leave `ports` out"
        if any(set(value) & {"\n", "\r", "\0"} for value in spec.environment.values()):
            return "a variable of a container is one line: put longer values into an input file"
        return None

    def fetch(self, image: str) -> None:
        """See to it that an image is here. Raises InputRefused: it is not, and cannot be had."""
        if self._run("image", "inspect", image).returncode == 0:
            return
        if not any(image.startswith(f"{each.rstrip('/')}/") for each in self.registries):
            where = f"from {', '.join(self.registries)} only" if self.registries else "from nowhere"
            raise InputRefused(f"image {image} is not here, and images are fetched {where}")
        try:
            fetched = self._run("pull", "--quiet", image, seconds=PULL_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise InputRefused(f"image {image} takes longer than {PULL_SECONDS} s to fetch") from error
        if fetched.returncode != 0:
            raise InputRefused(f"image {image} cannot be had: {_last_line(fetched.stderr)}")

    def command(self, job: Job, folder: Path, private: Path) -> list[str]:
        """Return what runs a job until it ends; the engine reads `variables` from a file in `private`."""
        assert job.spec.image is not None  # noqa: S101 - it is a job for a container
        program, *arguments = job.spec.command
        return [
            *(self.engine, "run", "--rm", "--pull", "never", "--name", _name(job.deal_id)),
            *("--log-driver", "none", "--network", self.network, *self._ports(job)),
            *("--user", f"{job.user}:{job.user}", "--cap-drop", "all"),
            *("--security-opt", "no-new-privileges", "--read-only"),
            *("--tmpfs", f"/tmp:rw,nosuid,nodev,size={TMP_MB}m,mode=1777"),  # noqa: S108 - the container's own
            *("--volume", f"{folder}:{INSIDE}", "--workdir", INSIDE),
            *("--env-file", str(private / VARIABLES), *_limits(job), *_devices(job)),
            *(f"--entrypoint={program}", job.spec.image, *arguments),
        ]

    def variables(self, job: Job) -> str:
        """Return the text of the file that `command` has the engine read."""
        own = {
            **job.spec.environment,
            "HOME": INSIDE,
            "MOLT_PORTS": ",".join(map(str, job.ports)),
            "CUDA_VISIBLE_DEVICES": job.visible_devices,
        }
        return "".join(f"{name}={value}\n" for name, value in own.items())

    def end(self, deal_id: EscrowId) -> list[str]:
        """Return what takes a job's container away; it does nothing more where there is none."""
        return [self.engine, "rm", "--force", _name(deal_id)]

    def _ports(self, job: Job) -> Iterator[str]:
        if self.network not in {NO_NETWORK, HOST_NETWORK}:
            for port in job.ports:
                yield from ("--publish", f"{port}:{port}")

    def _run(self, *arguments: str, seconds: int = SECONDS) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - the operator's own engine, no shell
            [self.engine, *arguments],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


def _name(deal_id: EscrowId) -> str:
    return f"molt-{deal_id.removeprefix('0x')}"


def _limits(job: Job) -> Iterator[str]:
    """Yield a job's limits; here memory and processes are those of the whole job."""
    most = job.limits
    yield from ("--ulimit", f"nofile={FILES_OPEN}:{FILES_OPEN}", "--ulimit", "core=0:0")
    if most.memory_mb is not None:
        yield from ("--memory", f"{most.memory_mb}m", "--memory-swap", f"{most.memory_mb}m")
        yield from ("--shm-size", f"{max(most.memory_mb // 2, 1)}m")  # it counts as memory
    if most.disk_mb is not None:
        yield from ("--ulimit", f"fsize={most.disk_mb * 2**20}:{most.disk_mb * 2**20}")
    if most.processes is not None:
        yield from ("--pids-limit", str(most.processes))
        yield from ("--ulimit", f"nproc={most.processes}:{most.processes}")  # else the engine raises it


def _devices(job: Job) -> Iterator[str]:
    """Yield the GPUs of a job by the names that the container device interface has for NVIDIA's.

    https://github.com/cncf-tags/container-device-interface: a container has these and no others.
    """
    for each in filter(None, job.visible_devices.split(",")):
        yield from ("--device", f"nvidia.com/gpu={each}")


def _last_line(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "it does not say why")
