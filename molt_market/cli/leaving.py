"""`molt deal release` and `molt deal collect`: vouchers on their way from buyer to provider."""

from __future__ import annotations

import typer

from molt_market.cli.context import AppContext
from molt_market.cli.options import AsJson, Deal, GpuSeconds, Hours
from molt_market.domain.ids import EscrowId
from molt_market.domain.settlement import gpu_seconds as billed
from molt_market.errors import InvalidValue
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.provider import Provider


def release(
    context: typer.Context,
    deal: Deal,
    *,
    hours: Hours = None,
    gpu_seconds: GpuSeconds = None,
    as_json: AsJson = False,
) -> None:
    """Leave a voucher for the provider at the market: for all hours, or so many. It cannot be taken back.

    The hours that were released before are included. The money moves when he collects it.
    """
    if hours is not None and gpu_seconds is not None:
        raise InvalidValue("--hours and --gpu-seconds: give one of them, or none for all")
    shared: AppContext = context.obj
    deal_id = EscrowId(deal)
    buyer = shared.party(Buyer)
    escrow = buyer.escrow(deal_id)
    much = gpu_seconds if hours is None else billed(hours, escrow.terms.gpu_count)
    voucher = buyer.release(escrow, much)
    if shared.says_json(as_json=as_json):
        shared.output.json(voucher.model_dump(mode="json"))
        return
    shared.output.line(f"deal {deal_id}", "bold")
    whole = escrow.terms.gpu_seconds
    shared.output.line(f"a voucher for {voucher.gpu_seconds} of {whole} GPU-seconds lies at the market")


def collect(context: typer.Context, deal: Deal, *, as_json: AsJson = False) -> None:
    """Redeem the largest voucher that lies at the market for a deal, as its provider; say what was paid."""
    shared: AppContext = context.obj
    deal_id = EscrowId(deal)
    paid = shared.party(Provider).redeem(deal_id)
    status = type(paid.status).__name__.removeprefix("_")
    if shared.says_json(as_json=as_json):
        amounts = {name: str(getattr(paid, name).base_units) for name in AMOUNTS}
        shared.output.json({"deal_id": deal_id, "status": status, **amounts})
        return
    shared.output.line(f"deal {deal_id}", "bold")
    shared.output.line(
        f"{status}: {paid.provider_payment} to the provider, {paid.platform_fee} fee,"
        f" {paid.buyer_refund} back to the buyer"
    )


AMOUNTS = ("provider_payment", "platform_fee", "buyer_refund")
