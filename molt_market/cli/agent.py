"""`molt agent`: the provider's gateway, which runs the jobs of its deals, and what it has done."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson
from molt_market.cli.serve import can_serve
from molt_market.domain.handling import Handling
from molt_market.domain.ids import Address
from molt_market.domain.jobs import JobLimits
from molt_market.errors import InvalidValue, counted
from molt_market.signing.wallet import Wallet
from molt_market.storage.database import Database
from molt_market.storage.usage import SqlUsage

Folder = Annotated[Path, typer.Option(help="Where the gateway keeps jobs, its database and its key.")]

app = typer.Typer(no_args_is_help=True, help="Run the jobs of your deals, as a provider's gateway.")


@app.command()
def run(
    context: typer.Context,
    *,
    url: Annotated[str, typer.Option(help="Where buyers and attestors reach the gateway.")],
    provider: Annotated[list[str], typer.Option(help="Account that is served; may be given more than once.")],
    folder: Folder,
    listen: Annotated[str, typer.Option(help="Address and port to listen on.")] = "127.0.0.1:8090",
    gas_wallet: Annotated[
        Path | None, typer.Option(help="Key file of the account that pays gas; default: the agent's.")
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(min=1, help="How many GPUs, where no driver tells: nothing is measured then."),
    ] = None,
    without_gpus: Annotated[
        bool, typer.Option("--without-gpus", help="Ask no driver, --devices are places: for a test.")
    ] = False,
    interval: Annotated[int, typer.Option(min=1, max=10, help="Seconds between two heartbeats.")] = 10,
    job_uids: Annotated[str | None, typer.Option(help="User ids that jobs run as: 60000-60999.")] = None,
    same_user: Annotated[
        bool,
        typer.Option("--same-user", help="Run jobs as this user: for your own only, they read its files."),
    ] = False,
    job_ports: Annotated[
        str | None, typer.Option(help="Ports that leases may listen at: 20000-20999.")
    ] = None,
    job_memory: Annotated[
        int, typer.Option(min=16, help="MiB of memory for each process of a job.")
    ] = 65_536,
    job_disk: Annotated[
        int, typer.Option(min=1, help="MiB of a job's largest file, and of its inputs.")
    ] = 10_240,
    job_processes: Annotated[int, typer.Option(min=1, help="Processes of a job at a time.")] = 1_024,
    containers: Annotated[
        str | None, typer.Option(help="Engine for jobs that name an image: podman or docker.")
    ] = None,
    container_network: Annotated[
        str, typer.Option(help="The engine's network that containers are in; none: they reach nobody.")
    ] = "none",
    registry: Annotated[
        list[str] | None, typer.Option(help="Whose images are fetched; may be given more than once.")
    ] = None,
    allow_private_inputs: Annotated[
        bool,
        typer.Option("--allow-private-inputs", help="Also fetch inputs from addresses that are not public."),
    ] = False,
) -> None:
    """Run the gateway until it is told to stop; jobs go on, and the next gateway finds them.

    --wallet is the agent's key, which signs receipts and moves no money; the owner's stays elsewhere.
    """
    shared: AppContext = context.obj
    if not can_serve():
        raise InvalidValue("a gateway needs more packages: pip install 'molt-market[agent]'")
    from molt_market.agent.devices import devices_here  # noqa: PLC0415 - only a gateway has these packages
    from molt_market.agent.here import GatewaySettings  # noqa: PLC0415
    from molt_market.agent.run import own_folder, serve  # noqa: PLC0415
    from molt_market.agent.runners.containers import Containers  # noqa: PLC0415

    settings = GatewaySettings(
        url=_public_url(url),
        providers=frozenset(Address(each) for each in provider),
        limits=JobLimits(memory_mb=job_memory, disk_mb=job_disk, processes=job_processes),
        interval=timedelta(seconds=interval),
        ports=span("--job-ports", job_ports) if job_ports else range(0),
        private_inputs=allow_private_inputs,
    )
    users = _users(job_uids, same_user=same_user)
    engine = None if containers is None else Containers(containers, container_network, tuple(registry or ()))
    agent = Wallet.from_file(shared.key_file())
    gas = agent if gas_wallet is None else Wallet.from_file(gas_wallet)
    client, found = shared.client(gas), devices_here(devices, without_gpus=without_gpus)
    if not client.node.number("eth_getBalance", gas.address, "latest"):
        shared.output.note(
            f"{gas.address} has no native coin: send it some, or the gateway can claim and redeem nothing"
        )
    with own_folder(folder), _listening(listen) as listener, _database(shared, folder) as database:
        serve(
            client,
            agent,
            shared.api(),
            database,
            folder,
            listener=listener,
            settings=settings,
            devices=found,
            users=users,
            containers=engine,
            fees=shared.fees,
            when_ready=lambda _: shared.output.line(
                f"gateway of agent {agent.address} at http://{listener.getsockname()[0]}"
                f":{listener.getsockname()[1]}, {counted(found.count(), 'GPU')}"
            ),
        )


@app.command()
def show(context: typer.Context, *, folder: Folder, as_json: AsJson = False) -> None:
    """List the deals of a gateway: how far each is, its GPUs, and its heartbeats."""
    shared: AppContext = context.obj
    from molt_market.app import deployment_name  # noqa: PLC0415 - as the others of this file

    with _database(shared, folder, must_exist=True) as database:
        usage = SqlUsage(database, deployment_name(shared.client()))
        deals = [_machine(usage, each) for each in usage.handlings()]
    if shared.says_json(as_json=as_json):
        shared.output.json({"deals": deals})
        return
    if not deals:
        where = "the database of --database or MOLT_DATABASE" if shared.database_url else str(folder)
        shared.output.note(f"no deal was taken up by a gateway, says {where}")
        return
    head = ("deal", "phase", "GPUs", "heartbeats", "job")
    rows = [
        (
            each["deal_id"],
            each["phase"],
            ",".join(map(str, each["devices"])) or "-",
            str(each["heartbeats"]),
            each["job"] or "-",
        )
        for each in deals
    ]
    shared.output.table(head, rows)


def span(option: str, text: str) -> range:
    """Read a span of numbers, both ends included. Raises InvalidValue.

    >>> span("--job-ports", "20000-20999")
    range(20000, 21000)
    """
    found = re.fullmatch(r"(\d{1,9})-(\d{1,9})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise InvalidValue(f"{option} {text!r} is no span: write e.g. 20000-20999")
    return range(int(found[1]), int(found[2]) + 1)


def _public_url(url: str) -> str:
    read = urlsplit(url)
    if read.scheme not in {"http", "https"} or not read.hostname or read.query or read.fragment:
        raise InvalidValue(
            f"--url {url!r} is no address that others can ask: write e.g. https://gpus.example"
        )
    return url.rstrip("/")


def _users(job_uids: str | None, *, same_user: bool) -> range | None:
    if (job_uids is None) != same_user:
        raise InvalidValue(
            "who do jobs run as? Give --job-uids 60000-60999 (as root), or --same-user for jobs of your own"
        )
    return None if job_uids is None else span("--job-uids", job_uids)


@contextmanager
def _listening(listen: str) -> Iterator[socket.socket]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidValue(f"--listen {listen!r}: write e.g. 127.0.0.1:8090")
    try:
        listener = socket.create_server((host, int(port)), backlog=1_024)
    except (OSError, OverflowError) as error:
        raise InvalidValue(f"cannot listen on {listen} ({error}): choose another port") from error
    with listener:
        yield listener


@contextmanager
def _database(shared: AppContext, folder: Path, *, must_exist: bool = False) -> Iterator[Database]:
    """Open the gateway's database: that of the options, else the one in its folder."""
    from molt_market.agent.run import DATABASE, PRIVATE  # noqa: PLC0415 - only a gateway has these packages

    if shared.database_url is not None:
        yield shared.database(make=not must_exist)
        return
    path = folder / PRIVATE / DATABASE
    if must_exist and not path.exists():
        raise InvalidValue(
            f"there is no database at {path}: check --folder, or give --database as the gateway was given it"
        )
    database = Database(path)
    try:
        yield database
    finally:
        database.close()


def _machine(usage: SqlUsage, handling: Handling) -> dict[str, Any]:
    heartbeats, head = usage.length(handling.deal_id)
    result = handling.result
    return {
        "deal_id": handling.deal_id,
        "phase": handling.phase.value,
        "devices": list(handling.devices),
        "heartbeats": heartbeats,
        "head": head,
        "job": None if handling.spec is None else handling.spec.kind.value,
        "exit_code": None if result is None else result.exit_code,
    }
