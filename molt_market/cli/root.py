"""The root of all commands: the options that they share, and what an error becomes."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from molt_market.cli import logs
from molt_market.cli.console import Output
from molt_market.cli.later import Later, LaterGroup
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

COMMANDS = (  # as `molt --help` lists them
    Later(
        "payments",
        "payments:payments",
        "List the payments that are not final, and what comes next for each. Reads the database.",
    ),
    Later(
        "explain",
        "explain:explain",
        "Say where each unit of a deal's money is, and who may do what next, from when on.",
    ),
    Later(
        "reconcile",
        "reconcile:reconcile",
        "Compare the journal of your account with the chain, and repair it.",
    ),
    Later(
        "metrics",
        "metrics:metrics",
        "Print how many payments are in each state, in the text form of Prometheus. Reads the database.",
    ),
    Later(
        "statement",
        "statement:statement",
        "Print each movement of an account's money in the escrow as CSV, and its balance after each.",
    ),
    Later(
        "serve",
        "serve:serve",
        "Serve the market of a deployment from the database, and follow the chain into it.",
    ),
    Later(
        "audit",
        "audit:audit",
        "Account for all money of the escrow by its log alone, and compare it with the contract.",
    ),
    Later(
        "export",
        "export:export",
        "Write every event of the escrow to a file, CSV or Parquet: a row each, in order, nothing rounded.",
    ),
    Later(
        "backup",
        "backup:backup",
        "Copy the database to a new file, as it is at one moment, while others go on to write.",
    ),
    Later(
        "restore",
        "backup:restore",
        "Copy a backup into the database, which has to be empty; it is made if there is none.",
    ),
    Later("relay", "relay:relay", "Have a server bring a signed message to the chain, at its expense."),
    Later(
        "doctor",
        "doctor:doctor",
        "Look whether node, deployment, database and wallet are as the other commands need them.",
    ),
    Later("index", "index:index", "Follow the escrow's log into the database, until it is told to stop."),
    Later("keeper", "keeper:keeper", "Close deals whose deadline is over, until it is told to stop."),
    Later(
        "devnet",
        "devnet:devnet",
        "Run a local chain with the contracts on it and all that a market has, until it is told to stop.",
    ),
    Later("alerts", "alerts:app", "Webhooks that tell what a party or the operator has to know."),
    Later("agent", "agent:app", "Run the jobs of your deals, as a provider's gateway."),
    Later("market", "market:app", "See which market this is, its prices and what happens in it."),
    Later("offer", "offer:app", "Offer GPUs at a market, as a provider."),
    Later("order", "order:app", "Ask for GPUs at a market and take them, as a buyer."),
    Later("deal", "deal:app", "Look at a deal, and do what its parties may."),
    Later("dispute", "dispute:app", "Contest a claim, give in, lay evidence, see both sides."),
    Later("job", "job:app", "Hand a job over, watch it run, fetch what it left."),
    Later("arbiter", "arbiter:app", "See the disputes that wait for a ruling, and rule on them."),
    Later("attestor", "attestor:app", "Ask whether the GPUs of deals are there, and judge receipts."),
    Later("roles", "roles:app", "Pause openings, announce a fee, hand a role over."),
    Later("wallet", "wallet:app", "Make a key file, see what its account has, move its money."),
)


class ExitCode(IntEnum):
    """What a command exits with."""

    DONE = 0
    FAILED = 1  # the market, the chain or the journal says no
    BAD_INPUT = 2  # an option, an argument or a variable is wrong in itself
    UNREACHABLE = 3  # node, database or server cannot be reached: try again later


class Root(LaterGroup):
    """Turns every error of ours into one red line and an exit code; anything else is a fault of ours."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = {str(each.name): each for each in COMMANDS}

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MoltError as error:
            if ctx.obj:
                ctx.obj.output.error(error, ctx.obj.said)
            else:
                Output().error(error)
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
    network: Annotated[
        str | None, typer.Option(help="Chain: local, sepolia, ..., or its id. [MOLT_NETWORK]")
    ] = None,
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
    from molt_market.cli.context import AppContext  # noqa: PLC0415 - `molt --help` needs none of what it needs

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
