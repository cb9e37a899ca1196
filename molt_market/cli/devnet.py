"""`molt devnet`: a market of one's own on this machine, that is there until it is told to stop."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from molt_market import testing
from molt_market.app import follow, journal_in
from molt_market.cli.console import Output
from molt_market.cli.context import AppContext
from molt_market.cli.devnet_gateway import GatewayPlace, gateway_place, run_gateway
from molt_market.cli.devnet_market import attest, listening, serve_market
from molt_market.cli.keeper import work
from molt_market.cli.options import AsJson
from molt_market.cli.stopping import stop_on_signals
from molt_market.errors import InvalidValue, WalletError
from molt_market.payments.keeper import Keeper
from molt_market.payments.service import PaymentService
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import Database

PASSWORD = "devnet"  # noqa: S105 - everybody knows these keys, they are Anvil's
WEAK = 2**10  # scrypt's n: there is nothing to protect
LOOK_SECONDS = 2


@dataclass(frozen=True)
class Home:
    """The folder of a devnet: the deployment's file, key files, the database, and `env` to use them all.

    `listener` is where its market's server answers; None: its packages are not installed. `gateway` is where
    its provider's jobs run; None: nowhere.
    """

    net: testing.Devnet
    folder: Path
    listener: socket.socket | None = None
    gateway: GatewayPlace | None = None

    @cached_property
    def accounts(self) -> dict[str, Wallet]:
        """The accounts with a key file, by its name without `.json`."""
        net = self.net
        attestors = {f"attestor-{number}": each for number, each in enumerate(net.attestors, 1)}
        parties = {"buyer": net.buyer, "provider": net.provider, "agent": net.agent, "arbiter": net.arbiter}
        return {**parties, **attestors, "keeper": net.stranger, "operator": net.operator}

    @cached_property
    def server(self) -> str | None:
        """The address of the market's server."""
        return None if self.listener is None else f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    @property
    def database(self) -> Path:
        return self.folder / "market.db"

    def key_file(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that let `molt` use this devnet, as its buyer; policy and agent for offers."""
        server = {} if self.server is None else {"MOLT_SERVER": self.server}
        gateway = {} if self.gateway is None else {"AGENT_FOLDER": str(self.gateway.folder)}
        return {
            "MOLT_NETWORK": self.net.network.name,
            "MOLT_RPC_URL": self.net.url,
            "MOLT_DEPLOYMENTS": str(self.folder),
            "MOLT_DATABASE": str(self.database),
            "MOLT_WALLET": str(self.key_file("buyer")),
            "MOLT_WALLET_PASSWORD": PASSWORD,
            **server,
            "POLICY": self.net.policy_id,
            "AGENT": self.net.agent.address,
            **gateway,
        }

    @property
    def exports(self) -> list[str]:
        return [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]

    def furnish(self) -> None:
        """Write the files. A key file that is there stays, if it is of the right account.

        Raises:
            WalletError: it is of another one; nobody's key is overwritten.
        """
        for name, wallet in self.accounts.items():
            path = self.key_file(name)
            if not path.exists():
                wallet.save(path, PASSWORD, iterations=WEAK)
            elif Wallet.address_in(path) != wallet.address:
                raise WalletError(f"{path} is of another account than a devnet's: give another --dir")
        self.net.deployment.save(self.folder)
        Database(self.database).close()
        (self.folder / "env").write_text("\n".join(self.exports) + "\n", "utf-8")


Check = Callable[[], None]
"""Raises what ended something that should go on."""

Companion = Callable[[Home, Output], AbstractContextManager[Check]]
"""Runs beside the chain for as long as its block: started when all is there, ended before the chain is."""


@contextmanager
def keep_deals(home: Home, out: Output) -> Iterator[Check]:
    """Close what is due; follow the log into the database, unless the market's server does."""
    database = Database(home.database)
    try:
        client = home.net.client(home.accounts["keeper"])
        follower = follow(client, database)
        payments = PaymentService(client, journal=journal_in(database, client))
        alone = follower if home.server is None else None
        at_work = work(alone, Keeper(payments, follower.due), out, every=LOOK_SECONDS)
        with at_work.going():
            yield at_work.require_alive
    finally:
        database.close()


COMPANIONS: tuple[Companion, ...] = (keep_deals, serve_market, attest, run_gateway)


def devnet(
    context: typer.Context,
    *,
    folder: Annotated[Path, typer.Option("--dir", help="Where its files are written.")] = Path("devnet"),
    port: Annotated[int, typer.Option(help="Of the node, on this machine only; 0: a free one.")] = 8545,
    server_port: Annotated[
        int, typer.Option(help="Of the market's server, likewise.", min=0, max=65_535)
    ] = 8080,
    block_time: Annotated[
        int | None,
        typer.Option(help="Seconds between blocks; default: one for each transaction, at once.", min=1),
    ] = None,
    without_gateway: Annotated[
        bool, typer.Option("--without-gateway", help="Run no jobs: no gateway takes up its provider's deals.")
    ] = False,
    same_user: Annotated[
        bool,
        typer.Option("--same-user", help="Unless you are root, run jobs as you: they read your files."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a local chain with the contracts on it and all that a market has, until it is told to stop.

    That is a server, a keeper, three attestors, and the gateway of its provider, which runs jobs on this
    machine. Its accounts have money for tests, and key files in --dir. Everybody knows these keys: they are
    for nothing else. Each start is a new chain.
    """
    shared: AppContext = context.obj
    out = shared.output
    require_free_port(port)
    place = _made(folder)
    with (
        stop_on_signals() as stop,
        listening(server_port) as listener,
        gateway_place(out, wanted=not without_gateway, same_user=same_user) as gateway,
        testing.devnet(port=port, block_time=block_time, apart=True) as net,
    ):
        home = Home(net, place, listener, gateway)
        home.furnish()
        with ExitStack() as beside:
            checks = [beside.enter_context(companion(home, out)) for companion in COMPANIONS]
            if shared.says_json(as_json=as_json):
                out.json(_machine(home))
            else:
                _print(out, home)
            while not stop.wait(1):
                net.node.number("eth_blockNumber")  # raises if the chain is gone
                for check in checks:
                    check()


def require_free_port(port: int) -> None:
    """Raise InvalidValue if something listens on a port of this machine, or it is none."""
    if not 0 <= port < 2**16:
        raise InvalidValue(f"port {port}: give one of 0 to {2**16 - 1}, 0 takes a free one")
    with socket.socket() as test:
        test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            test.bind(("127.0.0.1", port))
        except OSError as error:
            raise InvalidValue(
                f"port {port} cannot be used ({error.strerror}): give another --port, or 0 for a free one"
            ) from error


def _made(folder: Path) -> Path:
    """Make the folder, for its owner only, if it is not there; return it as every process can find it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue(f"{folder} cannot be made ({error.strerror}): give another --dir") from error
    return folder.resolve()


# ---------------------------------------------------------------- for people, and for programs


def _print(out: Output, home: Home) -> None:
    net = home.net
    out.line(f"chain {net.deployment.chain_id} at {net.url}", "bold")
    if home.server is not None:
        out.line(f"market of it at {home.server}", "bold")
    if home.gateway is not None:
        out.line(f"gateway of its provider at {home.gateway.url}", "bold")
    rows = {"escrow": net.deployment.escrow, "token": net.deployment.token_address, "policy": net.policy_id}
    rows |= {"panel": net.panel, "policy of the panel": net.panel_policy_id}
    rows |= {name: wallet.address for name, wallet in home.accounts.items()}
    for name, value in rows.items():
        out.line(f"{name:21}{value}")
    out.line(f"\nTo use it, as the buyer (or: source {shlex.quote(str(home.folder / 'env'))}):")
    for line in home.exports:
        out.line(line)
    out.line("\nCtrl-C or SIGTERM ends it. Everybody knows these keys: they are for tests only.", "dim")
    if home.gateway is not None and home.gateway.users is None:
        out.line("So whoever reaches this machine's loopback address can have a job run here, as you.", "dim")


def _machine(home: Home) -> dict[str, Any]:
    net = home.net
    return {
        "url": net.url,
        "server": home.server,
        "gateway": None if home.gateway is None else home.gateway.url,
        "chain_id": net.deployment.chain_id,
        "escrow": net.deployment.escrow,
        "token": net.deployment.token_address,
        "policy": net.policy_id,
        "panel": net.panel,
        "panel_policy": net.panel_policy_id,
        "accounts": {
            name: {"address": wallet.address, "file": str(home.key_file(name))}
            for name, wallet in home.accounts.items()
        },
        "environment": home.environment,
    }
