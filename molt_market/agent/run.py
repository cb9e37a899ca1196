"""Running a gateway: its parts put together, and served until it is told to stop."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import uvicorn

from molt_market.agent.at_market import AtMarket
from molt_market.agent.desk import Desk
from molt_market.agent.heartbeats import ChainTime, Heartbeats
from molt_market.agent.here import GatewaySettings, Here
from molt_market.agent.money import Money
from molt_market.agent.ports import Devices
from molt_market.agent.runners.containers import Containers
from molt_market.agent.runners.process import ProcessRunner
from molt_market.agent.server import create_app
from molt_market.api.beside import Job
from molt_market.app import deployment_name, follow, journal_in
from molt_market.chain.client import MoltClient
from molt_market.chain.openings import opening_of
from molt_market.domain.handling import HandlingPhase
from molt_market.domain.ids import Hash32
from molt_market.errors import InvalidValue
from molt_market.indexer.records import DealRecord
from molt_market.payments.fees import FeePolicy
from molt_market.payments.service import PaymentService
from molt_market.sdk.api import MarketApi
from molt_market.signing.sealing import SealingKey
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import Database
from molt_market.storage.facts import SqlFacts
from molt_market.storage.usage import SqlUsage

GOODBYE_SECONDS = 5  # for requests that are under way when the gateway is told to stop
PRIVATE, DATABASE, SEALING_KEY, LOCK = "private", "agent.db", "sealing.key", "lock"


def expected_job_spec(client: MoltClient, record: DealRecord) -> Hash32 | None:
    """Return what a deal's order says of its job, by the transaction that opened it; None: it does not show.

    Raises NodeUnreachable, NodeError.
    """
    opening = opening_of(client.node, client.escrow(record.id), client.domain)
    return None if opening is None else Hash32(opening.order.job_spec_hash)


@contextmanager
def own_folder(folder: Path) -> Iterator[Path]:
    """Make a gateway's folder, for the block its alone; give the part that no job can read.

    Raises InvalidValue: another gateway runs in it, or it cannot be made.
    """
    private = folder / PRIVATE
    os.umask(0o077)  # whatever is made from here on is for the gateway's eyes only
    try:
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        private.chmod(0o700)
        lock = (private / LOCK).open("w")
    except OSError as error:
        raise InvalidValue(f"{folder} cannot be used ({error.strerror}): give another --folder") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InvalidValue(f"another gateway runs in {folder}: each has its own --folder") from error
        yield private


def end_jobs(folder: Path, deployment: str, users: Collection[int] | None) -> None:
    """Kill the jobs of a gateway that has ended and does not come again. The rest as `serve` was told."""
    path = folder / PRIVATE / DATABASE
    if not path.exists():
        return
    runner, database = ProcessRunner(folder, users), Database(path)
    try:
        usage = SqlUsage(database, deployment)
        for each in usage.handlings([HandlingPhase.PREPARING, HandlingPhase.RUNNING]):
            runner.stop(each.job_id, each.user)
    finally:
        database.close()


def serve(
    client: MoltClient,
    agent: Wallet,
    api: MarketApi,
    database: Database,
    folder: Path,
    *,
    listener: socket.socket,
    settings: GatewaySettings,
    devices: Devices,
    users: Collection[int] | None,
    containers: Containers | None = None,
    fees: FeePolicy | None = None,
    when_ready: Callable[[Here], object] = lambda _: None,
) -> None:
    """Run a gateway until SIGINT or SIGTERM; its jobs go on, and the next one finds them.

    The client's account pays the gas. `folder` is what `own_folder` was told. `users` and
    `containers`: as ProcessRunner.

    Raises:
        InvalidValue: jobs cannot be run as these users. StorageUnavailable: the database cannot be used.
        NodeUnreachable, NodeError: no node answers.
    """
    facts, usage = SqlFacts(database, deployment_name(client)), SqlUsage(database, deployment_name(client))
    runner, clock = ProcessRunner(folder, users, containers), ChainTime(client.clock)
    here = Here(
        settings=settings,
        agent=agent,
        sealing=SealingKey.from_file(folder / PRIVATE / SEALING_KEY),
        domain=client.domain,
        approvals=client.is_approved,
        clock=clock,
        api=api,
        facts=facts,
        usage=usage,
        runner=runner,
        devices=devices,
        heartbeats=Heartbeats(usage, runner, devices, clock),
        expected_job_spec=partial(expected_job_spec, client),
    )
    payments = PaymentService(client, journal=journal_in(database, client), fees=fees)
    follower = follow(client, database)
    beside = (
        Job(Desk(here, follower.advance).run, "deals"),
        Job(AtMarket(here).run, "market"),
        Job(partial(here.heartbeats.run, every=settings.interval), "heartbeats"),
        Job(Money(here, client, payments).run, "money"),
    )
    when_ready(here)
    config = uvicorn.Config(
        create_app(here, *beside),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])
