"""Running a market: its parts put together, and served until it is told to stop."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn

from molt_market.api.limits import Limits
from molt_market.api.server import create_app
from molt_market.api.service import Service
from molt_market.api.upkeep import Upkeep
from molt_market.app import follow, journal_in, let_ask
from molt_market.chain.client import MoltClient
from molt_market.domain.clock import Clock
from molt_market.domain.ids import Hash32
from molt_market.errors import InvalidValue
from molt_market.market.clock import SteadyClock
from molt_market.market.market import Market
from molt_market.market.resting import RestingOrders
from molt_market.orderbook.replica import ReplicaBook
from molt_market.payments.service import PaymentService
from molt_market.storage.database import Database
from molt_market.storage.facts import SqlFacts
from molt_market.storage.market import SqlMarket
from molt_market.wire.messages import KnownPolicy

GOODBYE_SECONDS = 5  # for requests that are under way when the server is told to stop


@contextmanager
def opened(
    client: MoltClient,
    database: Database,
    *,
    policies: Sequence[Hash32] = (),
    second_rpc_url: str | None = None,
    limits: Limits | None = None,
) -> Iterator[tuple[Service, Upkeep]]:
    """Open the market of a deployment over a database, and what keeps it current.

    A client with an account matches the orders that wait, and opens their deals at its expense.
    `policies` are those that the operator points to, by their ids. `limits` are those of each signer.

    Raises:
        StorageUnavailable: the database cannot be used. PolicyNotFound: a policy is not registered.
        NodeUnreachable, WrongChain: of the chain.
    """
    clock = SteadyClock(client.clock)
    named = f"{client.chain_name()}:{client.deployment.escrow}"
    book = ReplicaBook(clock)
    let_ask(book, client)
    known = tuple(KnownPolicy(policy_id=each, policy=client.policy(each)) for each in policies)
    store, signers = SqlMarket(database, named, client.token), limits or Limits()
    market = Market(store, client, client.domain, clock, book=book, admit=signers.take)
    follower = follow(client, database, second_rpc_url=second_rpc_url)
    opener = client.account.address if client.account else None
    service = Service(market, client, SqlFacts(database, named), clock, known, opener)
    yield service, Upkeep(market, follower, _matching(market, client, database, clock))


def _matching(
    market: Market, client: MoltClient, database: Database, clock: Clock
) -> Callable[[], object] | None:
    """Return what matches the orders that wait, if the client has an account to open their deals with."""
    if client.account is None:
        return None
    payments = PaymentService(client, book=market, journal=journal_in(database, client))
    payments.reconcile()
    return RestingOrders(market, clock, client.account.address, payments.open_resting).match_once


def serve(
    client: MoltClient,
    database: Database,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    policies: Sequence[Hash32] = (),
    second_rpc_url: str | None = None,
    when_listening: Callable[[str], object] = lambda _: None,
) -> None:
    """Serve a market until SIGINT or SIGTERM; `when_listening` is told its address. Raises as `opened` does.

    Raises InvalidValue if it cannot listen there.
    """
    with (
        opened(client, database, policies=policies, second_rpc_url=second_rpc_url) as (service, upkeep),
        _listening(host, port) as listener,
    ):
        when_listening(f"http://{host}:{listener.getsockname()[1]}")
        server_of(service, upkeep).run(sockets=[listener])


def server_of(service: Service, upkeep: Upkeep) -> uvicorn.Server:
    """Return what answers for a market, once it is run."""
    config = uvicorn.Config(
        create_app(service, upkeep),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
    )
    return uvicorn.Server(config)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Listen already, so that the address is known and who connects waits until the server is up."""
    try:
        listener = socket.create_server((host, port), backlog=1_024)
    except OSError as error:
        raise InvalidValue(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another port"
        ) from error
    with listener:
        yield listener
