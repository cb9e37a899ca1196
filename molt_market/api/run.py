"""Running a market: its parts put together, and served until it is told to stop."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import uvicorn

from molt_market.alerts.webhooks import SendingLimits
from molt_market.api.beside import Beside, Job
from molt_market.api.limits import Limits
from molt_market.api.relay_desk import RelayDesk
from molt_market.api.server import create_app
from molt_market.api.service import Service
from molt_market.api.upkeep import Upkeep
from molt_market.app import alert_courier, alert_store, follow, journal_in, let_ask, relayer
from molt_market.chain.client import MoltClient
from molt_market.domain.clock import Clock
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.errors import InvalidValue
from molt_market.market.clock import SteadyClock
from molt_market.market.market import Market
from molt_market.market.resting import RestingOrders
from molt_market.orderbook.replica import ReplicaBook
from molt_market.payments.gas import GasPolicy
from molt_market.payments.journal import opening_key
from molt_market.payments.service import PaymentService
from molt_market.storage.database import Database
from molt_market.storage.facts import SqlFacts
from molt_market.storage.market import SqlMarket
from molt_market.wire.messages import KnownPolicy

ALERT_SECONDS = 5  # between two looks for alerts
GOODBYE_SECONDS = 5  # for requests that are under way when the server is told to stop


@contextmanager
def opened(
    client: MoltClient,
    database: Database,
    *,
    policies: Sequence[Hash32] = (),
    second_rpc_url: str | None = None,
    limits: Limits | None = None,
    relays: GasPolicy | None = None,
    alerts: SendingLimits | None = None,
) -> Iterator[tuple[Service, *tuple[Beside, ...]]]:
    """Open the market of a deployment over a database, and what keeps it current.

    A client with an account matches the orders that wait, and opens their deals at its expense.
    `policies` are those that the operator points to, by their ids. `limits` are those of each signer.
    `relays` says how much gas it pays for what others signed; it needs an account for that. With `alerts` it
    finds and delivers them, and lets parties subscribe.

    Raises:
        StorageUnavailable: the database cannot be used. PolicyNotFound: a policy is not registered.
        NodeUnreachable, WrongChain: of the chain. InvalidValue: there are to be relays, and is no account.
    """
    clock = SteadyClock(client.clock)
    named = f"{client.chain_name()}:{client.deployment.escrow}"
    known = tuple(KnownPolicy(policy_id=each, policy=client.policy(each)) for each in policies)
    store, signers = SqlMarket(database, named, client.token), limits or Limits()
    book = ReplicaBook(clock, store)
    let_ask(book, client)
    market = Market(store, client, client.domain, clock, book=book, admit=signers.take)
    follower = follow(client, database, second_rpc_url=second_rpc_url)
    opener = client.account.address if client.account else None
    beside: list[Beside] = [Upkeep(market, follower, _matching(market, client, database, clock))]
    desk = None if relays is None else _desk(client, database, clock, relays)
    service = Service(market, client, SqlFacts(database, named), clock, known, opener, desk)
    if alerts is not None:
        service = replace(service, alerts=alert_store(client, database))
        beside.append(_courier(client, database, alerts))
    yield service, *beside


def _matching(
    market: Market, client: MoltClient, database: Database, clock: Clock
) -> Callable[[], object] | None:
    """Return what matches the orders that wait, if the client has an account to open their deals with."""
    if client.account is None:
        return None
    journal = journal_in(database, client)
    payments = PaymentService(client, book=market, journal=journal)
    payments.reconcile()

    def is_opening(deal: EscrowId) -> bool:
        entry = journal.get(opening_key(deal))
        return entry is not None and entry.in_flight

    opener = client.account.address
    return RestingOrders(market, clock, opener, payments.open_resting, is_opening).match_once


def _courier(client: MoltClient, database: Database, sending: SendingLimits) -> Job:
    payers = [client.account.address] if client.account else []
    courier = alert_courier(client, database, payers=payers, sending=sending)
    return Job(partial(courier.run, every=timedelta(seconds=ALERT_SECONDS)), "alerts")


def _desk(client: MoltClient, database: Database, clock: Clock, gas: GasPolicy) -> RelayDesk:
    if client.account is None:
        raise InvalidValue("who relays has to pay gas: give --wallet, or set MOLT_WALLET")
    payer = client.account.address
    return RelayDesk(relayer(client, database, gas), payer, client.domain, clock, client.is_approved)


def serve(
    client: MoltClient,
    database: Database,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    policies: Sequence[Hash32] = (),
    second_rpc_url: str | None = None,
    relays: GasPolicy | None = None,
    alerts: SendingLimits | None = None,
    when_listening: Callable[[str], object] = lambda _: None,
) -> None:
    """Serve a market until SIGINT or SIGTERM; `when_listening` is told its address. Raises as `opened` does.

    Raises InvalidValue if it cannot listen there.
    """
    with (
        opened(
            client,
            database,
            policies=policies,
            second_rpc_url=second_rpc_url,
            relays=relays,
            alerts=alerts,
        ) as opening,
        _listening(host, port) as listener,
    ):
        gc.freeze()  # all that is imported by now stays: the collector need not look at it each time
        when_listening(f"http://{host}:{listener.getsockname()[1]}")
        server_of(*opening).run(sockets=[listener])


def server_of(service: Service, *beside: Beside) -> uvicorn.Server:
    """Return what answers for a market, once it is run."""
    config = uvicorn.Config(
        create_app(service, *beside),
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
