"""`molt serve`: a market's server, until it is told to stop."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from molt_market.alerts.webhooks import SendingLimits
from molt_market.cli.context import AppContext
from molt_market.domain.ids import Hash32
from molt_market.errors import InvalidValue
from molt_market.payments.fees import GWEI
from molt_market.payments.gas import GasPolicy
from molt_market.signing.wallet import Wallet


def can_serve() -> bool:
    """Tell whether the packages are installed that only a server needs."""
    return find_spec("fastapi") is not None and find_spec("uvicorn") is not None


def serve(
    context: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0: a free one.")] = 8080,
    policy: Annotated[
        list[str] | None, typer.Option(help="Id of a policy to point users to; may be given more than once.")
    ] = None,
    second_rpc_url: Annotated[
        str | None, typer.Option(help="Another node of the chain, to be asked beside the first.")
    ] = None,
    relay_gas: Annotated[
        int,
        typer.Option(min=0, help="Gwei of gas paid a day for each whole token of an account; 0: no relays."),
    ] = 0,
    relay_most: Annotated[
        int | None, typer.Option(min=0, help="Gwei paid a day for an account at most, whatever it holds.")
    ] = None,
    alerts: Annotated[
        bool, typer.Option("--alerts", help="Also deliver alerts, and let parties subscribe to theirs.")
    ] = False,
    alerts_private: Annotated[
        bool, typer.Option("--alerts-private", help="Also post alerts to addresses that are not public.")
    ] = False,
) -> None:
    """Serve the market of a deployment from the database, and follow the chain into it.

    With a wallet it also matches the orders that wait, and pays for the opening of their deals; with
    --relay-gas it brings to the chain what others signed.
    """
    shared: AppContext = context.obj
    if not can_serve():
        raise InvalidValue("a server needs more packages: pip install 'molt-market[server]'")
    from molt_market.api.run import serve as run  # noqa: PLC0415 - only a server has these packages

    account = None if shared.wallet is None else Wallet.from_file(shared.wallet)
    database = shared.database(make=True)
    run(
        shared.client(account),
        database,
        host=host,
        port=port,
        policies=[Hash32(each) for each in policy or []],
        second_rpc_url=second_rpc_url,
        relays=_gas_policy(relay_gas, relay_most),
        alerts=_sending(alerts=alerts, private=alerts_private),
        when_listening=lambda url: shared.output.line(f"market of {shared.network.name} at {url}"),
    )


def _gas_policy(gwei_per_token: int, most_gwei: int | None) -> GasPolicy | None:
    if gwei_per_token == 0:
        if most_gwei is not None:
            raise InvalidValue("--relay-most without --relay-gas: nothing is relayed; give both")
        return None
    return GasPolicy(gwei_per_token * GWEI, most=None if most_gwei is None else most_gwei * GWEI)


def _sending(*, alerts: bool, private: bool) -> SendingLimits | None:
    if private and not alerts:
        raise InvalidValue("--alerts-private without --alerts: nothing is delivered; give both")
    return SendingLimits(private=private) if alerts else None
