"""`molt job`: a deal's job from its buyer's side: handed over, watched, its result fetched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from molt_market.chain.client import MoltClient
from molt_market.cli.console import Output, iso
from molt_market.cli.context import AppContext
from molt_market.cli.files import read_value
from molt_market.cli.options import AllowPrivate, AsJson, Deal
from molt_market.cli.stopping import stop_on_signals
from molt_market.domain.fields import MAX_UINT40
from molt_market.domain.ids import EscrowId
from molt_market.domain.jobs import JobSpec
from molt_market.errors import MoltError
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.direct import DirectMail, Mailbox
from molt_market.sdk.gateways import GatewayClient, GatewayLimits
from molt_market.sdk.jobs import WAIT_SECONDS, DealJob
from molt_market.sdk.watch import Look, Watch, WatchPolicy
from molt_market.signing.sealing import SealingKey
from molt_market.signing.wallet import TransactionSigner, Wallet

Key = Annotated[
    Path | None,
    typer.Option(help="File of the key that answers are sealed to; default: the wallet's, .sealing."),
]
Wait = Annotated[int, typer.Option(help="Seconds to wait for the agent.", min=0, max=86_400)]
At = Annotated[
    str | None,
    typer.Option(help="Address of the deal's gateway, asked instead of the market.", metavar="URL"),
]
WAIT = int(WAIT_SECONDS)

app = typer.Typer(no_args_is_help=True, help="Hand a job over, watch it run, fetch what it left.")


@app.command("hand-over")
def hand_over(
    context: typer.Context,
    deal: Deal,
    spec: Annotated[Path, typer.Argument(help="File of the job, as JSON.", metavar="FILE")],
    *,
    key: Key = None,
    wait: Wait = WAIT,
    at: At = None,
    allow_private: AllowPrivate = False,
    as_json: AsJson = False,
) -> None:
    """Seal a job to the deal's agent, and say how it is reached once it is ready.

    The market carries the letter and cannot read it; with --at it goes straight to the gateway. Answers are
    sealed to a key of yours, which is made if there is none: keep it to read them again.
    """
    shared: AppContext = context.obj
    job = read_value(spec, JobSpec)
    access = _side(shared, at, private=allow_private).job(deal, _key(shared, key)).hand_over(job, wait)
    if shared.says_json(as_json=as_json):
        shared.output.json(access.model_dump(mode="json"))
        return
    shared.output.line(f"deal {access.deal_id}", "bold")
    shared.output.line(f"files   {access.files_url}")
    for service in access.services:
        shared.output.line(f"service {service}")
    shared.output.line(f"token   {access.token}")


@app.command()
def result(
    context: typer.Context,
    deal: Deal,
    *,
    to: Annotated[
        Path | None, typer.Option(help="Fetch the files into this folder, and check each.", metavar="FOLDER")
    ] = None,
    key: Key = None,
    wait: Wait = WAIT,
    at: At = None,
    allow_private: AllowPrivate = False,
    as_json: AsJson = False,
) -> None:
    """Say how the job ended; with --to fetch its files, checked against what the agent has signed for."""
    shared: AppContext = context.obj
    job = _side(shared, at, private=allow_private).job(deal, _key(shared, key))
    found = job.result(wait)
    if to is not None:
        job.fetch(to, wait, private=allow_private)
    if shared.says_json(as_json=as_json):
        shared.output.json(found.model_dump(mode="json"))
        return
    shared.output.line(f"deal {job.escrow.id}", "bold")
    shared.output.line(f"exit code {found.exit_code}")
    kept = "" if to is None else f", checked and kept in {to}"
    for each in found.outputs:
        shared.output.line(f"{each.path}: {each.size} bytes{kept}")


# ---------------------------------------------------------------- while it runs


@app.command()
def watch(
    context: typer.Context,
    deal: Deal,
    *,
    every: Annotated[int, typer.Option(help="Seconds between two looks.", min=1, max=86_400)] = 60,
    cap: Annotated[
        int | None, typer.Option(help="Release this many GPU-seconds at most.", min=1, max=MAX_UINT40)
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(help="Release only while the log shows this many GPUs.", min=1)
    ] = None,
    least_utilization: Annotated[
        int | None, typer.Option(help="Release no more once the GPUs do less, in percent.", min=1, max=100)
    ] = None,
    patience: Annotated[int, typer.Option(help="For so many minutes.", min=1)] = 10,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    wait: Wait = WAIT,
    at: At = None,
    allow_private: AllowPrivate = False,
    as_json: AsJson = False,
) -> None:
    """Ping the machine, and release what its answers vouch for, until the deal is over.

    Each look leaves a voucher for the provider at the market, or with --at at the gateway: cumulative, and
    never for more than was answered. Your account has to be the deal's voucher signer. With --database the
    pings are kept there: they are what you lay before the arbiter in a dispute (`dispute evidence`).
    """
    shared: AppContext = context.obj
    policy = WatchPolicy(timedelta(seconds=every), cap, gpus, least_utilization, timedelta(minutes=patience))
    out, for_programs = shared.output, shared.says_json(as_json=as_json)
    side = _side(shared, at, private=allow_private, make=True)
    job = side.job(deal, SealingKey.generate())  # no answer is read
    asking = GatewayClient(job.gateway(wait), GatewayLimits(private=allow_private))
    pings = shared.pings(side.client, side.wallet.address)
    watching = Watch(side.mailbox, side.client, side.wallet, job.escrow, asking, policy=policy, pings=pings)
    with stop_on_signals() as stop:

        def tell(look: Look | MoltError) -> None:
            _tell_look(out, look, as_json=for_programs)
            if once:
                stop.set()

        watching.run(stop, tell)


def _tell_look(out: Output, look: Look | MoltError, *, as_json: bool) -> None:
    if isinstance(look, MoltError):
        out.note(f"no look: {' '.join(str(look).split())}")
    elif as_json:
        out.json_line(_machine(look))
    else:
        out.line(_told(look), "green" if look.voucher else "")


def _told(look: Look) -> str:
    at = f"{look.at:%H:%M:%S}"
    if look.held_back is not None:
        return f"{at} nothing more is released: {look.held_back}"
    answered = "answered" if look.answered else "no answer"
    released = f"{look.gpu_seconds} GPU-seconds released in all"
    return f"{at} {answered}, {released}" + ("; the deal is over" if look.is_over else "")


def _machine(look: Look) -> dict[str, Any]:
    return {
        "at": iso(look.at),
        "answered": look.answered,
        "gpu_seconds": look.gpu_seconds,
        "released": look.voucher is not None,
        "held_back": look.held_back,
        "is_over": look.is_over,
    }


@dataclass(frozen=True, slots=True)
class _Side:
    """A buyer's side of his deals: where letters are left, the chain, and his key."""

    mailbox: Mailbox
    client: MoltClient
    wallet: TransactionSigner

    def job(self, deal: str, key: SealingKey) -> DealJob:
        """Return the job of a deal. Raises DealNotFound."""
        return DealJob(self.mailbox, self.client, self.wallet, self.client.escrow(EscrowId(deal)), key)


def _side(shared: AppContext, at: str | None, *, private: bool, make: bool = False) -> _Side:
    """Open the key file; with an address `at` no market is asked, nor has one to be known."""
    if at is None:
        buyer = shared.party(Buyer, make=make)
        return _Side(buyer.api, buyer.client, buyer.wallet)
    wallet = Wallet.from_file(shared.key_file())
    return _Side(DirectMail(at, private=private), shared.client(wallet), wallet)


def _key(shared: AppContext, path: Path | None) -> SealingKey:
    return SealingKey.from_file(path or shared.key_file().with_suffix(".sealing"))
