"""What the tests of endings have in common."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from molt_market.domain.agreements import ProviderCancellation, SplitAgreement
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.disputes import Dispute, DisputeOutcome, DisputeResolution
from molt_market.domain.settlement import SettlementQuote, gpu_seconds
from molt_market.signing.agreements import sign_cancellation, sign_split
from molt_market.signing.wallet import Wallet
from tests.integration.scene import HOURS, Scene

WEEK = timedelta(days=7)
CLAIM = "23.5"
OUTGOING = ("to_provider", "fee", "to_buyer", "share")


def require_paid_out(scene: Scene, escrow: EscrowAccount, quote: SettlementQuote) -> None:
    """Compare the log and the service's figures of a closed deal with a quote, to the base unit."""
    events = scene.client.deal_events(escrow.id)
    assert {name: sum(getattr(event, name, 0) for event in events) for name in OUTGOING} == {
        "to_provider": (quote.provider_payment + quote.bond_to_provider).base_units,
        "fee": quote.platform_fee.base_units,
        "to_buyer": (quote.buyer_refund + quote.bond_to_buyer).base_units,
        "share": quote.arbiter_share.base_units,
    }
    result = scene.provider.settlement(escrow.id)
    assert (result.provider_payment, result.platform_fee, result.buyer_refund) == (
        quote.provider_payment,
        quote.platform_fee,
        quote.buyer_refund,
    )


def split(scene: Scene, escrow: EscrowAccount, hours: str, *signers: Wallet, **fields: Any) -> SplitAgreement:
    """Make an agreement, signed by these."""
    units = gpu_seconds(hours, escrow.terms.gpu_count)
    until = scene.net.clock.now() + WEEK
    agreement = SplitAgreement(**{"deal_id": escrow.id, "gpu_seconds": units, "until": until, **fields})
    for signer in signers:
        agreement = sign_split(agreement, signer, escrow.terms, scene.net.domain)
    return agreement


def cancellation(scene: Scene, escrow: EscrowAccount, signer: Wallet | None = None) -> ProviderCancellation:
    """Have the provider (or another) give the deal up by signature."""
    return sign_cancellation(
        escrow.id, signer or scene.net.provider, scene.net.domain, until=scene.net.clock.now() + WEEK
    )


def claimed(scene: Scene, hours: str = CLAIM, *, paid: str | None = None) -> EscrowAccount:
    """Make a deal that ran and is claimed."""
    escrow = scene.open()
    if paid is not None:
        scene.provider.redeem(escrow, scene.voucher(escrow, paid))
    scene.run(HOURS)
    scene.provider.release_payment(escrow, scene.proof(escrow, hours))
    return scene.client.escrow(escrow.id)


def contest(escrow: EscrowAccount, hours: str = "20", **fields: Any) -> Dispute:
    return Dispute(escrow_id=escrow.id, counter_hours=hours, **fields)


def disputed(scene: Scene, hours: str = "20", claim: str = CLAIM) -> EscrowAccount:
    """Make a deal whose claim is contested."""
    escrow = claimed(scene, claim)
    scene.buyer.handle_dispute(escrow, contest(escrow, hours))
    return scene.client.escrow(escrow.id)


def ran(scene: Scene) -> EscrowAccount:
    """Make a deal that ran to its end, and nobody has claimed."""
    escrow = scene.open()
    scene.run(HOURS)
    return scene.client.escrow(escrow.id)


def require_resolved(
    scene: Scene, escrow: EscrowAccount, outcome: DisputeOutcome, quote: SettlementQuote
) -> DisputeResolution:
    """Compare the log and what the service says of a closed dispute with a quote, to the base unit."""
    require_paid_out(scene, escrow, quote)
    found = scene.buyer.resolution(escrow.id)
    assert found.outcome == outcome
    for name in SettlementQuote.__dataclass_fields__:
        assert getattr(found, name) == getattr(quote, name), name
    return found
