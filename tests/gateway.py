"""A provider's gateway as a process of its own, for tests."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from molt_market.testing import Devnet
from tests.service import PASSWORD

LISTENING = re.compile(r"gateway of agent (0x\w+) at (http://127\.0\.0\.1:\d+), (\d+) GPUs")
AS_ROOT = os.geteuid() == 0
USERS = ("--job-uids", "60100-60199") if AS_ROOT else ("--same-user",)


class GatewayProcess:
    """`molt agent run` of a devnet's first agent, for its first provider; `start` runs it (again)."""

    def __init__(self, net: Devnet, server: str, folder: Path, options: Sequence[str] = ()) -> None:
        self.folder = folder / "agent"
        self.database = self.folder / "private" / "agent.db"
        (folder / f"{net.deployment.chain_id}.json").write_text(net.deployment.model_dump_json())
        key = folder / "agent.json"
        net.agent.save(key, PASSWORD, iterations=2)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MOLT_")}
        environment |= {"MOLT_RPC_URL": net.url, "MOLT_DEPLOYMENTS": str(folder), "MOLT_WALLET": str(key)}
        self._environment = environment | {"MOLT_WALLET_PASSWORD": PASSWORD, "MOLT_SERVER": server}
        self._program = [sys.executable, "-m", "molt_market.cli", "-v", "agent"]
        self._options = ["--url", self.url, "--listen", f"127.0.0.1:{port}", "--interval", "1"]
        self._options += ["--provider", net.provider.address, *USERS, "--devices", "4", *options]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [*self._program, "run", "--folder", str(self.folder), *self._options]
        self.process = subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = LISTENING.match(self.process.stdout.readline())
        assert found is not None
        assert (found[2], found[3]) == (self.url, "4")

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        assert self.process is not None
        self.process.kill()
        self._ended()

    def stop(self) -> None:
        """Ask it to end; it has to do so by itself, without an error."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self._ended()

    def deals(self) -> list[dict[str, Any]]:
        """Return what `molt agent show` says."""
        command = [*self._program, "show", "--folder", str(self.folder), "--json"]
        done = subprocess.run(command, env=self._environment, stdout=subprocess.PIPE, text=True, check=True)
        told: list[dict[str, Any]] = json.loads(done.stdout)["deals"]
        return told

    def _ended(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert self.process.wait(timeout=30) in {0, -signal.SIGKILL, -signal.SIGTERM}


@contextmanager
def gateway(net: Devnet, server: str, folder: Path, options: Sequence[str] = ()) -> Iterator[GatewayProcess]:
    """Run a gateway for the length of the block."""
    made = GatewayProcess(net, server, folder, options)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
