"""`molt dispute evidence`: what a party lays before the arbiter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molt_market.attestation.evidence import EvidenceContent, lay_heartbeats
from molt_market.attestation.tee import TdxEvidence
from molt_market.attestation.usage import UsageLog
from molt_market.cli.context import AppContext
from molt_market.cli.files import read_text, read_value
from molt_market.cli.job import WAIT, Wait
from molt_market.cli.options import AllowPrivate, AsJson, Deal
from molt_market.domain.disputes import DisputeReason
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.domain.pings import Gateway
from molt_market.errors import ServerUnreachable, counted
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.gateways import GatewayClient, GatewayLimits, Unanswered


def evidence(
    context: typer.Context,
    deal: Deal,
    *,
    reason: Annotated[DisputeReason, typer.Option(help="What you hold against the claim.")] = (
        DisputeReason.LESS_THAN_CLAIMED
    ),
    text: Annotated[str, typer.Option(help="In your words.")] = "",
    heartbeat: Annotated[
        list[int] | None, typer.Option(help="A heartbeat of the usage log, by its number; may be repeated.")
    ] = None,
    tdx: Annotated[
        Path | None, typer.Option(help="File of a TDX quote and its certificates, as JSON.", metavar="FILE")
    ] = None,
    nvidia: Annotated[
        Path | None, typer.Option(help="File of an attestation token of NVIDIA's.", metavar="FILE")
    ] = None,
    wait: Wait = WAIT,
    allow_private: AllowPrivate = False,
    as_json: AsJson = False,
) -> None:
    """Leave evidence at the market, signed, and print its hash: `dispute open --evidence` names it.

    It holds the reason, your pings out of --database, answered or not, single heartbeats of the usage log
    with the proof that the claimed log has them, and what trusted hardware says. Everybody can read it.
    """
    shared: AppContext = context.obj
    buyer = shared.party(Buyer)
    escrow = buyer.escrow(EscrowId(deal))
    pings = shared.pings(buyer.client, buyer.wallet.address)
    content = EvidenceContent(
        reason=reason,
        text=text,
        pings=() if pings is None else tuple(pings.pings(escrow.id)),
        tdx=None if tdx is None else read_value(tdx, TdxEvidence),
        nvidia_token=None if nvidia is None else read_text(nvidia).strip(),
    )
    if heartbeat:
        log = _usage_log(buyer.gateway(escrow, wait), private=allow_private)
        content = content.model_copy(
            update={"usage_root": log.root, "heartbeats": lay_heartbeats(log, heartbeat)}
        )
    _tell_evidence(shared, escrow.id, buyer.lay_evidence(escrow, content), content, as_json=as_json)


def _usage_log(gateway: Gateway, *, private: bool) -> UsageLog:
    try:
        heartbeats = GatewayClient(gateway, GatewayLimits(private=private)).heartbeats()
    except Unanswered as error:
        raise ServerUnreachable(gateway.url, str(error)) from error
    return UsageLog(gateway.deal_id, heartbeats)


def _tell_evidence(
    shared: AppContext, deal_id: EscrowId, digest: Hash32, content: EvidenceContent, *, as_json: bool
) -> None:
    if shared.says_json(as_json=as_json):
        shared.output.json({"deal_id": deal_id, "evidence": digest})
        return
    answered = sum(each.answer is not None for each in content.pings)
    shared.output.line(f"deal {deal_id}", "bold")
    shared.output.line(f"evidence {digest}")
    shared.output.line(
        f"{counted(len(content.pings), 'ping')}, {answered} answered;"
        f" {counted(len(content.heartbeats), 'heartbeat')} of the log"
    )
