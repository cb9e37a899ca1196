"""`molt attestor`: ask whether the GPUs of deals are there, sign receipts or say why not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import typer

from molt_market.app import deployment_name
from molt_market.attestation.ports import PingCount, Verdict
from molt_market.attestation.verifier import Rules
from molt_market.attestor.deals import DealsToAttest
from molt_market.attestor.examining import Judged
from molt_market.attestor.pinging import PingPlan
from molt_market.attestor.process import AttestorProcess
from molt_market.cli.console import Output, iso
from molt_market.cli.context import AppContext
from molt_market.cli.index import caught_up
from molt_market.cli.keeper import Work
from molt_market.cli.options import AllowPrivate, AsJson
from molt_market.cli.stopping import stop_on_signals
from molt_market.domain.ids import EscrowId
from molt_market.domain.pings import Ping
from molt_market.errors import counted
from molt_market.sdk.attestor import Attestor
from molt_market.sdk.gateways import GatewayLimits
from molt_market.storage.attestor import SqlAttestor
from molt_market.storage.facts import SqlFacts

app = typer.Typer(no_args_is_help=True, help="Ask whether the GPUs of deals are there, and judge receipts.")


@app.command()
def run(
    context: typer.Context,
    *,
    mean: Annotated[float, typer.Option(min=0.1, help="Seconds between two pings of a deal, about.")] = 60,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at chain and market.")] = 2,
    longest_gap: Annotated[
        int, typer.Option(min=1, help="Seconds between two heartbeats that count as one stretch.")
    ] = 30,
    longest_ping_gap: Annotated[
        int | None,
        typer.Option(min=1, help="Likewise between two answered pings (default: 3 means, and 5 seconds)."),
    ] = None,
    without_gpus: Annotated[
        bool, typer.Option("--without-gpus", help="Take logs that show no GPUs: where there are none.")
    ] = False,
    allow_private: AllowPrivate = False,
    as_json: AsJson = False,
) -> None:
    """Attest deals whose policy names the account of --wallet, until told to stop.

    Follows the chain into the database, which is made if there is none; asks the gateways of the deals at
    random times; and signs each receipt that the usage log and the answers bear out, or says why not.
    """
    shared: AppContext = context.obj
    database = shared.database(make=True)
    party = shared.party(Attestor)
    out, for_programs = shared.output, shared.says_json(as_json=as_json)
    plan = PingPlan(timedelta(seconds=mean))
    ping_gap = plan.longest_gap if longest_ping_gap is None else timedelta(seconds=longest_ping_gap)
    process = AttestorProcess(
        party,
        database,
        rules=Rules(
            longest_gap=timedelta(seconds=longest_gap),
            longest_ping_gap=ping_gap,
            gpus_visible=not without_gpus,
        ),
        plan=plan,
        limits=GatewayLimits(private=allow_private),
        told=lambda judged: tell_judged(out, judged, as_json=for_programs),
    )
    with stop_on_signals() as stop:
        if not caught_up(process.follower, party.client, out, stop):
            return
        if not for_programs:
            out.line(f"attests as {party.wallet.address}; Ctrl-C or SIGTERM stops it")
        at_work = Work(*process.jobs(timedelta(seconds=every)))
        with at_work.going():
            while not stop.wait(0.2):
                at_work.require_alive()


@app.command()
def show(
    context: typer.Context,
    deal: Annotated[str | None, typer.Argument(help="Only this deal, with each of its pings.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the deals that the account of --wallet attests, how often they answered, and what it said."""
    shared: AppContext = context.obj
    client, database = shared.client(), shared.database()
    name, whose = deployment_name(client), shared.account_of_wallet()
    store, facts = SqlAttestor(database, name, whose), SqlFacts(database, name)
    deals = DealsToAttest(whose, facts.live, facts.policies)
    deals.refresh()
    counts = store.ping_counts()
    ids = sorted({*deals.now(), *counts, *store.judged_deals()}) if deal is None else [EscrowId(deal)]
    found = [
        _Row(each, each in deals.now(), counts.get(each, PingCount()), store.verdicts(each)) for each in ids
    ]
    pings = [] if deal is None else store.pings(EscrowId(deal))
    if shared.says_json(as_json=as_json):
        shared.output.json(_machine(found, pings, with_pings=deal is not None))
    else:
        _print(shared.output, found, pings)


# ---------------------------------------------------------------- inside


@dataclass(frozen=True, slots=True)
class _Row:
    """What is known of a deal. `open`: it is LOCKED, and to be attested."""

    deal_id: EscrowId
    open: bool
    pings: PingCount
    verdicts: Sequence[Verdict]


def tell_judged(out: Output, judged: Judged, *, as_json: bool) -> None:
    """Say what was said of a receipt."""
    if as_json:
        out.json_line(
            {
                "deal_id": judged.deal_id,
                "gpu_seconds": judged.gpu_seconds,
                "code": judged.code,
                "text": judged.text,
            }
        )
    elif judged.code is None:
        out.line(f"attested deal {judged.deal_id}: {judged.text}", "green")
    else:
        out.line(f"rejected, deal {judged.deal_id}: {judged.code}: {judged.text}", "red")


def _print(out: Output, found: Sequence[_Row], pings: Iterable[Ping]) -> None:
    for row in found:
        counts = f"{counted(row.pings.answered, 'ping')} answered, {row.pings.unanswered} not"
        out.line(f"{row.deal_id}  {'open' if row.open else 'over'}  {counts}")
        if row.pings.last_failure:
            out.line(f"  last not answered: {row.pings.last_failure}")
        for verdict in row.verdicts:
            said = "signed" if verdict.code is None else verdict.code
            posted = "" if verdict.posted else " (not posted yet)"
            out.line(f"  {iso(verdict.judged_at)}  {said}: {verdict.text}{posted}")
    for ping in pings:
        heartbeats = "no answer" if ping.answer is None else f"{ping.answer.heartbeats} heartbeats"
        out.line(f"  {iso(ping.at)}  {heartbeats}")
    if not found:
        out.line("no deal names this account as an attestor")


def _machine(found: Sequence[_Row], pings: Iterable[Ping], *, with_pings: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"deals": [_of_deal(row) for row in found]}
    if with_pings:
        told["pings"] = [
            {"at": iso(ping.at), "heartbeats": None if ping.answer is None else ping.answer.heartbeats}
            for ping in pings
        ]
    return told


def _of_deal(row: _Row) -> dict[str, Any]:
    return {
        "deal_id": row.deal_id,
        "open": row.open,
        "answered": row.pings.answered,
        "unanswered": row.pings.unanswered,
        "last_failure": row.pings.last_failure,
        "verdicts": [
            {
                "gpu_seconds": each.receipt.gpu_seconds,
                "usage_root": each.receipt.usage_root,
                "code": each.code,
                "text": each.text,
                "judged_at": iso(each.judged_at),
                "posted": each.posted,
            }
            for each in row.verdicts
        ],
    }
