"""`molt arbiter`: the disputes that wait for a ruling, and ruling on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from molt_market.chain.client import MoltClient
from molt_market.cli.console import Output, iso
from molt_market.cli.contested import show
from molt_market.cli.context import AppContext
from molt_market.cli.deal import Bench
from molt_market.cli.files import read_value
from molt_market.cli.options import AsJson, Deal, GpuSeconds, Hours, one_of
from molt_market.cli.signed import vote as sign
from molt_market.domain.agreements import Ruling, RulingVote
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.ids import Address
from molt_market.errors import utc
from molt_market.payments.explanation import held_of
from molt_market.payments.results import hours_of

app = typer.Typer(no_args_is_help=True, help="See the disputes that wait for a ruling, and rule on them.")


@app.command("list")
def list_(
    context: typer.Context,
    *,
    arbiter: Annotated[
        str | None, typer.Option(help="Whose; default: your account's. A panel's address, for example.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Whoever is to rule.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the disputes that wait for a ruling, the one with the least time left first."""
    shared: AppContext = context.obj
    whose = None if all_ else Address(arbiter) if arbiter else shared.account_of_wallet()
    rows = _waiting(shared.client(), whose)
    if shared.says_json(as_json=as_json):
        shared.output.json({"disputes": [_machine(*row) for row in rows]})
    else:
        _print(shared.output, rows)


@app.command()
def rule(
    context: typer.Context,
    deal: Deal,
    *,
    hours: Hours = None,
    gpu_seconds: GpuSeconds = None,
    ruling: Annotated[
        Path | None, typer.Option(help="File of a ruling that the arbiter has signed.", metavar="FILE")
    ] = None,
    vote: Annotated[
        list[Path] | None,
        typer.Option(help="File of a panel member's vote; as many as the panel needs.", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rule on a dispute: how many hours are paid in all, between the buyer's and the claimed ones.

    The arbiter says the --hours; anyone may bring his signed --ruling, or the votes of a panel.
    """
    one_of({"--hours": hours, "--gpu-seconds": gpu_seconds, "--ruling": ruling, "--vote": vote or None})
    signed = None if ruling is None else read_value(ruling, Ruling)
    votes = [read_value(path, RulingVote) for path in vote or ()]
    bench = Bench.of(context, deal, as_json=as_json)
    payments, escrow = bench.payments, bench.escrow
    if votes:
        bench.tell(payments.rule(escrow, votes))
    else:
        bench.tell(payments.resolve(escrow, hours, gpu_seconds=gpu_seconds, ruling=signed))


# ---------------------------------------------------------------- inside

Row = tuple[EscrowAccount, Address, Amount]
"""A deal in dispute, who has to rule, and what both sides have at stake."""


def _waiting(client: MoltClient, arbiter: Address | None) -> Sequence[Row]:
    now, rows = client.now(), []
    for escrow, events in client.deals(client.live_deals(among=[DealStatus.DISPUTED])).values():
        who = client.stored_policy(escrow.terms.policy_id).arbiter
        if now < escrow.locked_until and arbiter in {None, who}:
            held = held_of(escrow, events)
            rows.append((escrow, who, held.of_buyer + held.of_provider))
    return sorted(rows, key=lambda row: (row[0].locked_until, row[0].id))


def _print(out: Output, rows: Sequence[Row]) -> None:
    for escrow, who, held in rows:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_row("rule", f"before {utc(escrow.locked_until)}, as {who}")
        table.add_row("between", f"{_hours(escrow)[0]} and {_hours(escrow)[1]} hours")
        table.add_row("held", str(held))
        out.line(f"deal {escrow.id}", "bold")
        out.show(table)
        out.line()
    number = len(rows)
    out.line({0: "no dispute waits", 1: "1 dispute waits"}.get(number, f"{number} disputes wait"))


def _machine(escrow: EscrowAccount, who: Address, held: Amount) -> dict[str, Any]:
    return {
        "deal_id": escrow.id,
        "arbiter": who,
        "before": iso(escrow.locked_until),
        "least_gpu_seconds": escrow.paid_gpu_seconds,
        "most_gpu_seconds": escrow.claimed_gpu_seconds,
        "attested": escrow.attested,
        "held": str(held.base_units),
    }


def _hours(escrow: EscrowAccount) -> tuple[str, str]:
    """Write the hours that a ruling lies between."""
    return (
        str(hours_of(escrow.terms, escrow.paid_gpu_seconds)),
        str(hours_of(escrow.terms, escrow.claimed_gpu_seconds)),
    )


app.command("vote")(sign)
app.command("show")(show)
