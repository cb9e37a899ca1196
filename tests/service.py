"""A market's server for tests, as a process of its own or in this one."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from molt_market.api.beside import Beside
from molt_market.api.run import opened, server_of
from molt_market.api.service import Service
from molt_market.market.market import Market
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import Database
from molt_market.testing import Devnet

PASSWORD = "secret"
LISTENING = re.compile(r"market of local at (http://127\.0\.0\.1:\d+)")


def key_file(net: Devnet, folder: Path) -> Path:
    """Write the operator's key down, as a server opens it."""
    path = folder / "operator.json"
    net.operator.save(path, PASSWORD, iterations=2**10)
    return path


@contextmanager
def server(
    net: Devnet,
    database: str,
    folder: Path,
    *,
    port: int = 0,
    wallet: Path | None = None,
    options: Sequence[str] = (),
) -> Iterator[Server]:
    """Run `molt serve`, and stop it at the end of the block."""
    started = Server(net, database, folder, port, wallet=wallet, options=options)
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def hosted(net: Devnet, database: str, *, account: Wallet | None = None, **options: Any) -> Iterator[str]:
    """Serve a market as `molt serve` does, but out of this process, which starts at once."""
    with (
        closing(Database(database)) as opened_database,
        opened(net.client(account), opened_database, policies=[net.policy_id], **options) as parts,
        listening(*parts) as url,
    ):
        yield url


@contextmanager
def serving(
    net: Devnet, folder: Path, *, upkeep: bool = False, **options: Any
) -> Iterator[tuple[str, Market]]:
    """Serve a market out of this process; without `upkeep` with nothing beside it."""
    with (
        closing(Database(folder / "market.db")) as database,
        opened(net.client(), database, **options) as (service, *beside),
        listening(service, *(beside if upkeep else ())) as url,
    ):
        yield url, service.market


@contextmanager
def listening(service: Service, *beside: Beside) -> Iterator[str]:
    """Answer for a market in a thread of this process."""
    server = server_of(service, *beside)
    with socket.create_server(("127.0.0.1", 0), backlog=1_024) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Server:
    """`molt serve` of a devnet, over a database."""

    def __init__(
        self,
        net: Devnet,
        database: str,
        folder: Path,
        port: int = 0,
        *,
        wallet: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        (folder / f"{net.deployment.chain_id}.json").write_text(net.deployment.model_dump_json())
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MOLT_")}
        environment |= {"MOLT_RPC_URL": net.url, "MOLT_DEPLOYMENTS": str(folder), "MOLT_DATABASE": database}
        if wallet is not None:
            environment |= {"MOLT_WALLET": str(wallet), "MOLT_WALLET_PASSWORD": PASSWORD}
        self.net = net
        command = [sys.executable, "-m", "molt_market.cli", "serve", "--port", str(port)]
        command += ["--policy", net.policy_id, *options]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = LISTENING.match(self.process.stdout.readline())
        assert found is not None
        self.url = found[1]

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self.process.kill()
        self.process.wait(timeout=10)

    def stop(self) -> None:
        """Ask it to end; it has to do so by itself, without an error, unless it was killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert self.process.wait(timeout=20) in {0, -signal.SIGKILL, -signal.SIGTERM}
