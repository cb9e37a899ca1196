"""What a party or an arbiter signs for somebody else to send: printed as JSON, for a file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from molt_market.chain.client import MoltClient
from molt_market.cli.context import AppContext
from molt_market.cli.files import read_value
from molt_market.cli.options import Deal, GpuSeconds, Hours, one_of
from molt_market.domain.agreements import SplitAgreement
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.fields import Value
from molt_market.domain.ids import EscrowId
from molt_market.domain.settlement import gpu_seconds as billed
from molt_market.errors import InvalidStateTransition, InvalidValue
from molt_market.signing.agreements import sign_split, sign_vote, verify_split
from molt_market.signing.statements import sign_voucher, verify_voucher
from molt_market.signing.wallet import Wallet

Days = Annotated[int, typer.Option(help="How long it counts.", min=1, max=365)]


def voucher(
    context: typer.Context, deal: Deal, *, hours: Hours = None, gpu_seconds: GpuSeconds = None
) -> None:
    """Sign that the provider may be paid for so many hours, all earlier ones included. Sends nothing.

    The voucher is printed as JSON; whoever has it can `redeem` it. It cannot be taken back.
    """
    client, wallet, escrow = _opened(context, deal)
    units = _units(escrow, hours, gpu_seconds)
    signed = sign_voucher(escrow.id, units, wallet, client.domain)
    verify_voucher(signed, escrow.terms, client.domain)
    _write(context, signed)


def agree(
    context: typer.Context,
    deal: Deal,
    *,
    hours: Hours = None,
    gpu_seconds: GpuSeconds = None,
    to: Annotated[
        Path | None, typer.Option(help="File of the other party's agreement, to sign too.", metavar="FILE")
    ] = None,
    days: Days = 7,
) -> None:
    """Sign that the deal is to be closed at so many hours, as buyer or provider. Sends nothing.

    The agreement is printed as JSON. The other party signs the same (--to), or sends it (`deal settle`).
    """
    one_of({"--hours": hours, "--gpu-seconds": gpu_seconds, "--to": to})
    client, wallet, escrow = _opened(context, deal)
    if to is not None:
        agreement = read_value(to, SplitAgreement)
        verify_split(agreement, escrow.terms, client.domain, client.is_approved)
    else:
        units, until = _units(escrow, hours, gpu_seconds), client.now() + timedelta(days=days)
        agreement = SplitAgreement(deal_id=escrow.id, gpu_seconds=units, until=until)
    _write(context, sign_split(agreement, wallet, escrow.terms, client.domain))


def vote(context: typer.Context, deal: Deal, *, hours: Hours = None, gpu_seconds: GpuSeconds = None) -> None:
    """Sign a ruling on a dispute, as a member of the panel that has to rule. Sends nothing.

    The vote is printed as JSON. It counts until the time to rule is over; once enough members have signed the
    same hours, anyone brings their votes: `arbiter rule --vote`.
    """
    client, wallet, escrow = _opened(context, deal)
    if escrow.status is not DealStatus.DISPUTED:
        raise InvalidStateTransition(escrow.status.name, "RULED")
    units = _units(escrow, hours, gpu_seconds)
    if not escrow.paid_gpu_seconds <= units <= escrow.claimed_gpu_seconds:
        least, most = escrow.paid_gpu_seconds, escrow.claimed_gpu_seconds
        raise InvalidValue(f"{units} GPU-seconds: a ruling lies between {least} and {most}")
    panel = client.stored_policy(escrow.terms.policy_id).arbiter
    _write(context, sign_vote(escrow.id, units, wallet, panel, client.domain, until=escrow.locked_until))


def _opened(context: typer.Context, deal: str) -> tuple[MoltClient, Wallet, EscrowAccount]:
    """Open the key file, and read the deal. Raises DealNotFound."""
    shared: AppContext = context.obj
    deal_id, path, client = EscrowId(deal), shared.key_file(), shared.client()
    escrow = client.escrow(deal_id)
    return client, Wallet.from_file(path), escrow


def _units(escrow: EscrowAccount, hours: str | None, gpu_seconds: int | None) -> int:
    """Return the GPU-seconds that are given. Raises InvalidValue, also for more than the allocation."""
    one_of({"--hours": hours, "--gpu-seconds": gpu_seconds})
    units = billed(hours, escrow.terms.gpu_count) if hours is not None else gpu_seconds or 0
    if units > escrow.terms.gpu_seconds:
        raise InvalidValue(f"{units} GPU-seconds: the whole allocation has {escrow.terms.gpu_seconds}")
    return units


def _write(context: typer.Context, signed: Value) -> None:
    shared: AppContext = context.obj
    shared.output.json(signed.model_dump(mode="json"))
