"""The root of all commands: the options that they share, and what an error becomes."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from molt_market.cli import (
    agent,
    alerts,
    arbiter,
    deal,
    devnet,
    doctor,
    explain,
    index,
    keeper,
    leaving,
    logs,
    market,
    metrics,
    offer,
    order,
    payments,
    reconcile,
    relay,
    serve,
    signed,
    statement,
    wallet,
)
from molt_market.cli.console import Output
from molt_market.cli.context import AppContext
from molt_market.errors import (
    InvalidValue,
    MoltError,
    NodeError,
    NodeUnreachable,
    ServerError,
    ServerUnreachable,
    StorageUnavailable,
)

AGAIN = (NodeUnreachable, NodeError, StorageUnavailable, ServerUnreachable, ServerError)


class ExitCode(IntEnum):
    """What a command exits with."""

    DONE = 0
    FAILED = 1  # the market, the chain or the journal says no
    BAD_INPUT = 2  # an option, an argument or a variable is wrong in itself
    UNREACHABLE = 3  # node, database or server cannot be reached: try again later


class Root(TyperGroup):
    """Turns every error of ours into one red line and an exit code; anything else is a fault of ours."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MoltError as error:
            shared = ctx.obj if isinstance(ctx.obj, AppContext) else None
            (shared.output if shared else Output()).error(error)
            raise typer.Exit(code_of(error)) from error


def code_of(error: MoltError) -> ExitCode:
    """Return the exit code of an error."""
    if isinstance(error, InvalidValue):
        return ExitCode.BAD_INPUT
    if isinstance(error, AGAIN):
        return ExitCode.UNREACHABLE
    return ExitCode.FAILED


app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    context: typer.Context,
    *,
    network: Annotated[str | None, typer.Option(help="Chain: local, sepolia, ... [MOLT_NETWORK]")] = None,
    rpc_url: Annotated[str | None, typer.Option(help="Address of the node. [MOLT_RPC_URL]")] = None,
    deployment: Annotated[
        Path | None, typer.Option(help="File or folder of the deployment. [MOLT_DEPLOYMENTS]")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="Where payments are written down: a path or URL. [MOLT_DATABASE]")
    ] = None,
    wallet: Annotated[Path | None, typer.Option(help="Key file of your account. [MOLT_WALLET]")] = None,
    server: Annotated[str | None, typer.Option(help="Address of the market's server. [MOLT_SERVER]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, help="Log to stderr: -v what happens, -vv all.", show_default=False
        ),
    ] = 0,
    log_format: Annotated[logs.Format, typer.Option(help="How lines of the log are written.")] = (
        logs.Format.TEXT
    ),
) -> None:
    """Offers, orders, deals, payments and key files of a GPU market."""
    logs.configure(verbose, log_format)
    output = Output(as_json=as_json)
    context.obj = AppContext.of(
        output,
        network=network,
        rpc_url=rpc_url,
        deployment=deployment,
        database=database,
        wallet=wallet,
        server=server,
        on_close=context.call_on_close,
    )


app.command("payments")(payments.payments)
app.command("explain")(explain.explain)
app.command("reconcile")(reconcile.reconcile)
app.command("metrics")(metrics.metrics)
app.command("statement")(statement.statement)
app.add_typer(alerts.app, name="alerts")
app.add_typer(agent.app, name="agent")
app.command("serve")(serve.serve)
app.command("relay")(relay.relay)
app.command("doctor")(doctor.doctor)
app.command("index")(index.index)
app.command("keeper")(keeper.keeper)
app.command("devnet")(devnet.devnet)
deal.app.command("voucher")(signed.voucher)
deal.app.command("agree")(signed.agree)
arbiter.app.command("vote")(signed.vote)
deal.app.command("release")(leaving.release)
deal.app.command("collect")(leaving.collect)
app.add_typer(market.app, name="market")
app.add_typer(offer.app, name="offer")
app.add_typer(order.app, name="order")
app.add_typer(deal.app, name="deal")
app.add_typer(arbiter.app, name="arbiter")
app.add_typer(wallet.app, name="wallet")
