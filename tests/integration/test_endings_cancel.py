"""The provider gives a deal up, himself or by a signature that the buyer brings."""

from __future__ import annotations

import pytest

from molt_market.domain.deals import DealStatus
from molt_market.domain.settlement import (
    SettlementStatus,
    gpu_seconds,
    quote_settlement,
)
from molt_market.errors import (
    InvalidStateTransition,
    NotYet,
    WrongSigner,
)
from molt_market.payments.journal import MemoryJournal
from molt_market.testing import Devnet
from tests.integration.endings import cancellation, require_paid_out
from tests.integration.scene import HOURS, Scene, molt

# ---------------------------------------------------------------- the provider cancels


def test_cancel__nothing_delivered__the_buyer_gets_price_and_bond(scene: Scene, net: Devnet) -> None:
    before = scene.wealth(net.buyer)
    escrow = scene.open()
    scene.provider.cancel(escrow)
    assert scene.wealth(net.buyer) - before == molt(24)
    assert scene.provider.settlement(escrow.id).status == SettlementStatus.FullRefund(
        reason="0 of 24 hours delivered"
    )
    assert scene.client.gpus_in_use(net.provider.address, 0) == 0


def test_cancel__after_part__keeps_what_vouchers_paid(scene: Scene) -> None:
    escrow = scene.open()
    scene.provider.redeem(escrow, scene.voucher(escrow, "6"))
    quote = quote_settlement(scene.client.escrow(escrow.id), gpu_seconds(6, 4))
    scene.provider.cancel(escrow)
    assert (quote.provider_payment, quote.bond_to_provider) == (molt("59.4"), molt(6))
    require_paid_out(scene, escrow, quote)


def test_cancel__again__returns_the_first_transaction(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    scene.provider.redeem(escrow, scene.voucher(escrow, "6"))
    first = scene.provider.cancel(escrow)
    assert first == scene.provider.cancel(escrow) == net.payments(net.provider).cancel(escrow)


def test_cancel__by_the_buyer__is_refused(scene: Scene) -> None:
    escrow = scene.open()
    with pytest.raises(WrongSigner):
        scene.buyer.cancel(escrow)


def test_cancel__by_the_agents_signature__is_refused(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    forged = cancellation(scene, escrow, net.agent)
    with pytest.raises(WrongSigner):
        scene.buyer.cancel(escrow, forged)


def test_cancel__closed_otherwise__is_refused(scene: Scene) -> None:
    escrow = scene.open()
    scene.provider.redeem(escrow, scene.voucher(escrow, "24"))
    with pytest.raises(InvalidStateTransition) as caught:
        scene.provider.cancel(escrow)
    assert (caught.value.from_, caught.value.to) == ("RELEASED", "CANCELLED")


# ---------------------------------------------------------------- refund_payment


def test_refund__with_the_providers_cancellation__is_at_once(scene: Scene, net: Devnet) -> None:
    journal = MemoryJournal()
    buyer = net.payments(net.buyer, journal=journal)
    escrow = scene.open()
    signed = cancellation(scene, escrow)
    refund = buyer.refund_payment(escrow, "the node burnt down", signed)
    assert scene.client.escrow(escrow.id).status is DealStatus.REFUNDED
    entry = journal.get(f"cancel:{escrow.id}")
    assert entry is not None
    assert entry.note == "the node burnt down"
    assert buyer.refund_payment(escrow, "again") == refund


def test_refund__too_early__names_the_date_and_the_ways_out(scene: Scene) -> None:
    escrow = scene.open()
    with pytest.raises(NotYet, match="or stop the deal, or have the provider cancel it") as early:
        scene.buyer.refund_payment(escrow, "changed my mind")
    assert early.value.due_at == escrow.locked_until


def test_refund__claimed__cannot_be_cancelled(scene: Scene, net: Devnet) -> None:
    escrow = scene.open()
    scene.run(HOURS)
    scene.provider.release_payment(escrow, scene.proof(escrow, "23.5"))
    signed = cancellation(scene, escrow)
    with pytest.raises(InvalidStateTransition):
        scene.buyer.refund_payment(escrow, "regret", signed)
    with pytest.raises(NotYet) as early:
        scene.buyer.refund_payment(escrow, "regret")
    assert "stop" not in str(early.value)
