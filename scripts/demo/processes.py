"""The programs of a market as processes of their own: its server, a provider's gateway, attestors."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp

from molt_market import Wallet
from molt_market.testing import Devnet

PASSWORD = "demo"  # noqa: S105 - of Anvil's public keys
WEAK = 2**10  # scrypt's n: there is nothing to protect
GRACE_SECONDS = 15
AS_OTHERS = ("--job-uids", "60200-60299") if os.geteuid() == 0 else ("--same-user",)


class Programs:
    """What runs beside the story, all of it from one folder, until the block of `programs` ends."""

    def __init__(self, net: Devnet, folder: Path, stack: ExitStack) -> None:
        self.net = net
        self.folder = folder
        self._stack = stack
        net.deployment.save(folder)

    def market(self) -> str:
        """Start the market's server; return its address."""
        options = ("--port", "0", "--policy", self.net.policy_id)
        said = self._start("serve", *options, database="market.db", until=r"market of \S+ at (http://\S+)")
        return said[1]

    def gateway(self, server: str, agent: Wallet, provider: Wallet) -> None:
        """Start the gateway of an agent, with places for two GPUs that nobody can see."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        self._start(
            *("agent", "run", "--url", url, "--listen", f"127.0.0.1:{port}"),
            *("--provider", provider.address, "--folder", str(self.folder / "agent")),
            *("--devices", "2", "--interval", "1", "--allow-private-inputs", *AS_OTHERS),
            wallet=agent,
            server=server,
            until=r"gateway of agent",
        )

    def attestor(self, server: str, attestor: Wallet) -> None:
        """Start an attestor, who pings about once a second."""
        self._start(
            *("attestor", "run", "--mean", "1", "--every", "0.5", "--without-gpus", "--allow-private"),
            wallet=attestor,
            server=server,
            database=f"{attestor.address}.db",
            until=r"attests as",
        )

    def _start(
        self,
        *command: str,
        until: str,
        wallet: Wallet | None = None,
        server: str | None = None,
        database: str | None = None,
    ) -> re.Match[str]:
        """Start `molt` with a command, and wait until it says that it is ready."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MOLT_")}
        environment |= {"MOLT_RPC_URL": self.net.url, "MOLT_DEPLOYMENTS": str(self.folder)}
        if wallet is not None:
            key = self.folder / f"{wallet.address}.json"
            wallet.save(key, PASSWORD, iterations=WEAK)
            environment |= {"MOLT_WALLET": str(key), "MOLT_WALLET_PASSWORD": PASSWORD}
        if server is not None:
            environment["MOLT_SERVER"] = server
        if database is not None:
            environment["MOLT_DATABASE"] = str(self.folder / database)
        process = self._stack.enter_context(_running(list(command), environment))
        for line in process.stdout or ():
            if found := re.search(until, line):
                return found
        raise ChildProcessError(f"molt {' '.join(command)} ended with {process.wait()}")


@contextmanager
def programs(net: Devnet) -> Iterator[Programs]:
    """Give a folder and what can be started in it; all of it ends with the block."""
    folder = Path(mkdtemp(prefix="molt-demo-"))
    folder.chmod(0o711)  # jobs run as users of their own, and have to pass through
    try:
        with ExitStack() as stack:
            yield Programs(net, folder, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    molt = [sys.executable, "-m", "molt_market.cli", *command]
    process = subprocess.Popen(molt, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        if process.stdout is not None:
            process.stdout.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
