"""`molt roles`: what guardian and fee setter may do. Neither can touch a balance or an open deal."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from molt_market.chain.client import MoltClient
from molt_market.cli.console import iso
from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson
from molt_market.domain.fields import BPS
from molt_market.domain.ids import Address
from molt_market.domain.roles import Role
from molt_market.domain.transactions import TransactionReceipt
from molt_market.errors import utc
from molt_market.signing.wallet import Wallet


class RoleName(StrEnum):
    """A role, as it is typed."""

    GUARDIAN = "guardian"
    FEE_SETTER = "fee-setter"

    @property
    def role(self) -> Role:
        return Role[self.name]


Named = Annotated[RoleName, typer.Argument(help="Which role.", metavar="ROLE")]

app = typer.Typer(no_args_is_help=True, help="Pause openings, announce a fee, hand a role over.")


@app.command()
def show(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show who has which role, the fee now and the next one, and whether openings are paused."""
    shared: AppContext = context.obj
    _tell(shared, shared.client(), None, as_json=as_json)


@app.command()
def pause(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Let no deal open for 72 hours from now, as the guardian.

    All else goes on: open deals, deposits, withdrawals. It ends by itself, and a next one has to wait 7 days.
    """
    shared, client = _sender(context)
    _tell(shared, client, client.pause(), as_json=as_json)


@app.command()
def unpause(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Let deals open again now, as the guardian."""
    shared, client = _sender(context)
    _tell(shared, client, client.unpause(), as_json=as_json)


@app.command()
def fee(
    context: typer.Context,
    bps: Annotated[int, typer.Argument(help="In hundredths of a percent, 300 at most.", min=0)],
    *,
    as_json: AsJson = False,
) -> None:
    """Announce the fee of deals that open from 7 days on, as the fee setter.

    It replaces one that was announced and does not hold yet. Deals that are open then keep their own.
    """
    shared, client = _sender(context)
    _tell(shared, client, client.schedule_fee(bps), as_json=as_json)


@app.command()
def offer(
    context: typer.Context,
    role: Named,
    to: Annotated[str, typer.Argument(help="The zero address takes an offer back.", metavar="ADDRESS")],
    *,
    as_json: AsJson = False,
) -> None:
    """Offer your role to another account; it has the role when it accepts, not before."""
    address = Address(to)
    shared, client = _sender(context)
    _tell(shared, client, client.offer_role(role.role, address), as_json=as_json)


@app.command()
def accept(context: typer.Context, role: Named, *, as_json: AsJson = False) -> None:
    """Take over a role that was offered to your account, now."""
    shared, client = _sender(context)
    _tell(shared, client, client.accept_role(role.role), as_json=as_json)


# ---------------------------------------------------------------- inside


def _sender(context: typer.Context) -> tuple[AppContext, MoltClient]:
    shared: AppContext = context.obj
    return shared, shared.client(Wallet.from_file(shared.key_file()))


def _tell(
    shared: AppContext, client: MoltClient, receipt: TransactionReceipt | None, *, as_json: bool
) -> None:
    """Say what was sent, if anything, and what the roles have set now."""
    config, holders = client.config(), {name: client.role(name.role) for name in RoleName}
    sent = None if receipt is None else receipt.transaction_id
    if shared.says_json(as_json=as_json):
        told: dict[str, Any] = {
            "transaction": sent,
            "fee_bps": config.fee_bps,
            "next_fee_bps": config.next_fee_bps,
            "next_fee_from": iso(config.next_fee_from),
            "paused_until": iso(config.paused_until),
            "roles": {
                name.value: {"holder": each.holder, "pending": each.pending} for name, each in holders.items()
            },
        }
        shared.output.json(told)
        return
    out = shared.output
    if sent is not None:
        out.line(f"transaction {sent}")
    out.line(f"{'fee':12}{percent(config.fee_bps)} of what a provider is paid")
    if config.next_fee_bps is not None:
        out.line(f"{'':12}{percent(config.next_fee_bps)} for deals that open {_from(config.next_fee_from)}")
    paused = "no" if config.paused_until is None else f"no deal opens before {utc(config.paused_until)}"
    out.line(f"{'paused':12}{paused}")
    for name, each in holders.items():
        pending = "" if each.pending is None else f", offered to {each.pending}"
        out.line(f"{name.value:12}{each.holder or 'nobody, for ever'}{pending}")


def percent(bps: int) -> str:
    """Write basis points as a percentage.

    >>> percent(250)
    '2.50%'
    """
    whole, rest = divmod(bps, BPS // 100)
    return f"{whole}.{rest:02d}%"


def _from(moment: datetime | None) -> str:
    return "" if moment is None else f"from {utc(moment)} on"
