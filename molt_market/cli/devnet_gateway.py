"""A devnet's gateway: `molt agent run` for its provider, as a process that ends with the devnet."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from molt_market.app import deployment_name
from molt_market.cli.console import Output
from molt_market.cli.serve import can_serve
from molt_market.config import environment_with
from molt_market.errors import MoltError

if TYPE_CHECKING:
    from molt_market.cli.devnet import Home

DEVICES = 8
FIRST_USER, SPANS = 60_200, 100
NOT_AS_YOU = (
    "no gateway: its jobs would run as you and read your files, and everybody has the keys to hand some over;"
    " --same-user if nobody else is on this machine"
)
GOODBYE_SECONDS = 30  # a gateway that is told to stop ends what is under way


@dataclass(frozen=True)
class GatewayPlace:
    """Where a devnet's gateway keeps what it has, and where it listens."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def users(self) -> range | None:
        """Who jobs run as: by root others, one for each device; else whoever started the devnet.

        When a job ends all processes of its user are killed, so that two devnets should not share any.
        """
        if os.geteuid() != 0:
            return None
        first = FIRST_USER + DEVICES * (self.port % SPANS)
        return range(first, first + DEVICES)

    @property
    def options(self) -> list[str]:
        """What `molt agent run` has to be told of it."""
        users = self.users
        who = ["--same-user"] if users is None else ["--job-uids", f"{users[0]}-{users[-1]}"]
        return ["--url", self.url, "--listen", f"127.0.0.1:{self.port}", "--folder", str(self.folder), *who]


@contextmanager
def gateway_place(out: Output, *, wanted: bool, same_user: bool) -> Iterator[GatewayPlace | None]:
    """Choose where the gateway is going to be; None: it is not wanted, or cannot be, which is told.

    Its packages may not be installed. And whoever is not root can give jobs no user but himself, while any
    page that a browser of this machine shows can hand some over: everybody knows the keys.

    Its folder is not the devnet's: that may be where users of jobs cannot pass through. It is gone after the
    block, as the chain is.
    """
    if not wanted or not can_serve():
        yield None
        return
    if os.geteuid() != 0 and not same_user:
        out.note(NOT_AS_YOU)
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    with TemporaryDirectory(prefix="molt-devnet-", ignore_cleanup_errors=True) as folder:
        yield GatewayPlace(Path(folder), port)


@contextmanager
def run_gateway(home: Home, out: Output) -> Iterator[Callable[[], None]]:  # noqa: ARG001 - a companion
    """Run the gateway of the devnet's provider, and end its jobs with it: their market is gone."""
    place = home.gateway
    if place is None:
        yield lambda: None
        return
    name = deployment_name(home.net.client())
    command = [sys.executable, "-m", "molt_market.cli", "agent", "run", *place.options]
    command += ["--provider", home.net.provider.address, "--interval", "1"]
    command += ["--devices", str(DEVICES), "--without-gpus"]
    with subprocess.Popen(  # noqa: S603 - no shell, and the arguments are ours
        command,
        env=_environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        process_group=0,  # a Ctrl-C at the terminal does not reach it: we end it
    ) as process:
        try:
            _require_ready(process)
            yield lambda: _require_alive(process)
        finally:
            _end(process)
            _end_jobs(place, name)


# ---------------------------------------------------------------- inside


def _environment(home: Home) -> Mapping[str, str]:
    """Return the devnet's variables as the agent has them; his database is his folder's, not the market's."""
    agents = {"MOLT_WALLET": str(home.key_file("agent")), "MOLT_DATABASE": ""}
    return environment_with({**home.environment, **agents})


def _require_ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    if not process.stdout.readline():
        process.wait()
        _require_alive(process)


def _require_alive(process: subprocess.Popen[bytes]) -> None:
    code = process.poll()
    if code is not None:
        raise MoltError(f"the gateway has ended with {code}, see above; --without-gateway does without it")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GOODBYE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _end_jobs(place: GatewayPlace, name: str) -> None:
    from molt_market.agent.run import end_jobs  # noqa: PLC0415 - only a gateway has these packages

    end_jobs(place.folder, name, place.users)
