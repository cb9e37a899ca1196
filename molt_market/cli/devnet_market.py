"""What a devnet has of a market: its server, and its attestors."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from molt_market.attestation.verifier import Rules
from molt_market.attestor.pinging import PingPlan
from molt_market.attestor.process import AttestorProcess
from molt_market.cli.attestor import tell_judged
from molt_market.cli.console import Output
from molt_market.cli.keeper import Work
from molt_market.cli.serve import can_serve
from molt_market.errors import InvalidValue
from molt_market.sdk.attestor import Attestor
from molt_market.sdk.gateways import GatewayLimits
from molt_market.storage.database import Database

if TYPE_CHECKING:
    from molt_market.cli.devnet import Home

EVERY = timedelta(seconds=0.5)  # between two looks of an attestor
PINGS = PingPlan(timedelta(seconds=0.5))
NO_SERVER = (
    "no market's server, no attestors and no gateway: they need more packages,"
    " pip install 'molt-market[server]'"
)


@contextmanager
def listening(port: int) -> Iterator[socket.socket | None]:
    """Listen where the market's server is going to be; None: its packages are not installed.

    Raises InvalidValue if something else listens there.
    """
    if not can_serve():
        yield None
        return
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
    except OSError as error:
        raise InvalidValue(
            f"port {port} cannot be used ({error.strerror}): give another --server-port, or 0 for a free one"
        ) from error
    with listener:
        yield listener


@contextmanager
def serve_market(home: Home, out: Output) -> Iterator[Callable[[], None]]:
    """Run the market's server, with the operator's wallet: it matches the orders that wait."""
    if home.listener is None:
        out.note(NO_SERVER)
        yield lambda: None
        return
    from molt_market.api.run import opened, server_of  # noqa: PLC0415 - only a server has these packages

    net, listener, database = home.net, home.listener, Database(home.database)
    try:
        client = net.client(home.accounts["operator"])
        with opened(client, database, policies=(net.policy_id, net.panel_policy_id)) as opening:
            server = server_of(*opening)
            at_work = Work(lambda _: server.run(sockets=[listener]))
            with at_work.going():
                try:
                    yield at_work.require_alive
                finally:
                    server.should_exit = True
    finally:
        database.close()


@contextmanager
def attest(home: Home, out: Output) -> Iterator[Callable[[], None]]:
    """Run the attestors, each with a key and a database of his own, as `molt attestor run` does."""
    if home.server is None:
        yield lambda: None
        return
    with ExitStack() as held:
        names = [name for name in home.accounts if name.startswith("attestor-")]
        attestors = [_attestor(home, name, out, held) for name in names]
        at_work = Work(*(job for each in attestors for job in each.jobs(EVERY)))
        with at_work.going():
            yield at_work.require_alive


def _attestor(home: Home, name: str, out: Output, held: ExitStack) -> AttestorProcess:
    """Make one that asks often, so that a job of a few seconds is seen, and that has followed the chain."""
    wallet, net = home.accounts[name], home.net
    party = Attestor(home.server or "", wallet, network=net.network, deployment=net.deployment)
    database = Database(home.folder / f"{name}.db")
    held.callback(database.close)
    held.enter_context(party)
    made = AttestorProcess(
        party,
        database,
        rules=Rules(longest_ping_gap=PINGS.longest_gap, gpus_visible=False),
        plan=PINGS,
        limits=GatewayLimits(private=True),
        told=lambda judged: tell_judged(out, judged, as_json=False),
    )
    made.follower.advance()
    return made
